/*
 * Children that serve connections, of a target that is PID 1.
 *
 * Anywhere else they go on when their parent ends. The end of PID 1 is the end of all: so it waits
 * for their connections as for its own. They got no signal; those that are forks of ours are asked
 * to drain (a client that never pauses would hold a child for ever). That request is a stop signal
 * with our mark, so it is sent only to who has our handler: the same program, with libgrace at the
 * same place in its memory.
 */
#include "children.h"

#include <fcntl.h>
#include <string.h>

#include "addresses.h"
#include "diag.h"
#include "hooks/kernel.h"
#include "hooks/process.h"
#include "hooks/room.h"
#include "hooks/text.h"
#include "shim/drain.h"
#include "shim/raw.h"

#define CONNECTIONS   1024
#define LOOK_EVERY_US 20000
#define LOOK_SHARE    25

static struct {
    uint64_t inodes[CONNECTIONS];
    unsigned count;
    bool serve;
    uint64_t next_look_us;
} known GRACE_ROOM(children);

bool grace_children_matter(void)
{
    return grace_getpid() == 1;
}

/* Call visit(pid) for every other process until it returns true, and tell whether it did. */
static bool any_process(bool (*visit)(int pid, int signo), int signo)
{
    struct grace_kernel_listing listing;
    const char *name;
    bool found = false;
    if (grace_kernel_list(&listing, "/proc") < 0)
        return false;
    while (!found && (name = grace_kernel_list_next(&listing)) != NULL) {
        int pid = 0;
        for (; *name >= '0' && *name <= '9'; name++)
            pid = pid * 10 + (*name - '0');
        if (*name == '\0' && pid != grace_getpid())
            found = visit(pid, signo);
    }
    grace_kernel_list_end(&listing);
    return found;
}

/* ---- taking along -------------------------------------------------------------------------- */

/* Whether a process has this very function where we have it. */
static bool is_fork_of_ours(int pid)
{
    static const char marked[] = "a fork has this at the same place";
    char found[sizeof marked];
    return grace_process_read(pid, (uintptr_t)marked, found, sizeof found) &&
           memcmp(found, marked, sizeof found) == 0;
}

static bool take_along(int pid, int signo)
{
    if (is_fork_of_ours(pid))
        grace_drain_wake_process(pid, signo);
    return false;
}

void grace_children_take_along(int signo)
{
    any_process(take_along, signo);
}

/* ---- what they serve ----------------------------------------------------------------------- */

static void note_connection(unsigned port, uint64_t inode, void *unused)
{
    (void)unused;
    if (inode != 0 && known.count < CONNECTIONS && grace_drain_address_has_port(port))
        known.inodes[known.count++] = inode;
}

static bool has_one(int pid, int unused)
{
    (void)unused;
    char path[32];
    struct grace_text text;
    struct grace_kernel_listing listing;
    const char *name;
    bool found = false;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/%d/fd", pid);
    if (grace_kernel_list(&listing, path) < 0)
        return false;
    while (!found && (name = grace_kernel_list_next(&listing)) != NULL) {
        char link[64] = "";
        grace_kernel(SYS_readlinkat, listing.fd, name, link, sizeof link - 1);
        if (strncmp(link, "socket:[", 8) != 0)
            continue;
        uint64_t inode = 0;
        for (const char *digit = link + 8; *digit >= '0' && *digit <= '9'; digit++)
            inode = inode * 10 + (uint64_t)(*digit - '0');
        for (unsigned i = 0; i < known.count; i++)
            found = found || known.inodes[i] == inode;
    }
    grace_kernel_list_end(&listing);
    return found;
}

bool grace_children_serve(void)
{
    uint64_t now = grace_now_us();
    if (!grace_children_matter())
        return false;
    if (now < known.next_look_us)
        return known.serve;
    known.count = 0;
    grace_diag_connections(note_connection, NULL);
    known.serve = known.count > 0 && any_process(has_one, 0);
    uint64_t cost = (grace_now_us() - now) * LOOK_SHARE;
    known.next_look_us = now + (cost > LOOK_EVERY_US ? cost : LOOK_EVERY_US);
    return known.serve;
}
