/*
 * Who else has a listener open: whoever gave it to us, a process that we forked, a sibling. Then it
 * is shared, and the others go on accepting from it.
 *
 * A process that drains is told by the name of its conductor's thread; one that was forked by a
 * process that drained, by a word of its memory. A listener of which all holders drain, and are the
 * same program, is nobody's any more: they close it together.
 *
 * One that was open at load was given to us, and the giver is assumed to have kept it (systemd
 * does), whether or not we may look. For one that was made here, processes are looked through for
 * the same socket, relatives first. A stranger can only have got it by a message, and those that we
 * cannot look at are not suspected. Of a relative that we may not look at the worst is assumed: it
 * holds what we hold. So it is in a daemon that has given up root's rights: none of its processes
 * may look into another (proc(5), "dumpable"). A fork of ours is told there by what all may see.
 */
#include "holders.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>

#include "hooks/kernel.h"
#include "hooks/process.h"
#include "hooks/text.h"
#include "shim/drain.h"
#include "socket.h"

/* Listeners that were given to us have low numbers. */
#define LOOKED_AT_LOAD 128
#define GIVEN          32

/* The thread's name. */
#define DRAINING "grace-drain"

/* How long processes that are no relatives may be looked through. */
#define STRANGERS_LIMIT_US 50000

static struct {
    uint64_t given[GIVEN]; /* inodes of listeners open at load */
    unsigned given_count;
    uint64_t joined; /* when this process began to drain, in ticks of grace_process_born */
} past;

/* ---- at load ------------------------------------------------------------------------------- */

void grace_holders_at_load(void)
{
    struct pollfd events[LOOKED_AT_LOAD];
    struct timespec now = {0, 0};
    for (int fd = 0; fd < LOOKED_AT_LOAD; fd++)
        events[fd] = (struct pollfd){.fd = fd, .events = 0};
    if (grace_kernel(SYS_ppoll, events, LOOKED_AT_LOAD, &now, NULL, sizeof(uint64_t)) < 0)
        return;
    for (int fd = 0; fd < LOOKED_AT_LOAD; fd++)
        if (!(events[fd].revents & POLLNVAL) && past.given_count < GIVEN &&
            grace_socket_listens(fd))
            past.given[past.given_count++] = grace_socket_inode(fd);
}

/* ---- processes ----------------------------------------------------------------------------- */

struct look {
    const uint64_t *inodes;
    enum grace_holders *who;
    size_t count;
    int self, parent;
    bool relatives; /* which are looked at this time */
    bool forked;    /* from a process that had all of ours, too; false: loaded by exec */
    uint64_t until_us;
    uint64_t
        family; /* a sum over those who do not drain: another one says that they have changed */
};

static bool worst_is_known(const struct look *look)
{
    for (size_t i = 0; i < look->count; i++)
        if (look->who[i] < GRACE_HELD_OTHERS)
            return false;
    return true;
}

/* The beginning of a file of a process's, `name` in parts; "": it cannot be read. */
static const char *file_of(int pid, const char *folder, const char *thread, const char *name,
                           char *content, size_t size)
{
    char path[64];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/%d/%s%s%s", pid, folder, thread, name);
    long file = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), length = 0;
    if (file >= 0) {
        length = grace_kernel(SYS_read, file, content, size - 1);
        grace_kernel(SYS_close, file);
    }
    content[length > 0 ? length : 0] = '\0';
    return content;
}

static bool has_name(int pid, const char *thread)
{
    char name[sizeof DRAINING + 1];
    return strcmp(file_of(pid, "task/", thread, "/comm", name, sizeof name), DRAINING "\n") == 0;
}

static bool drains(int pid)
{
    char path[32];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/%d/task", pid);
    struct grace_kernel_listing listing;
    if (grace_kernel_list(&listing, path) < 0)
        return false;
    const char *thread;
    bool found = false;
    while (!found && (thread = grace_kernel_list_next(&listing)) != NULL)
        found = has_name(pid, thread);
    grace_kernel_list_end(&listing);
    return found;
}

/* What it means that this process holds a socket of ours. */
static enum grace_holders standing_of(int pid)
{
    struct grace_executable own, its;
    if (!grace_executable_of(grace_getpid(), &own))
        return GRACE_HELD_OTHERS;
    if (!grace_executable_of(pid, &its))
        return GRACE_HELD_ALONE; /* it ends: its memory goes first, and its descriptors with it */
    if (own.device != its.device || own.inode != its.inode)
        return GRACE_HELD_OTHERS;
    return grace_drain_worker_born_late(pid) || drains(pid) ? GRACE_HELD_LEAVING
                                                            : GRACE_HELD_FAMILY;
}

static void note_holder(struct look *look, size_t index, int pid, enum grace_holders who)
{
    if (look->who[index] < who)
        look->who[index] = who;
    if (who == GRACE_HELD_FAMILY)
        look->family += (uint64_t)pid * (index + 1);
}

static void note_link(const char *name, int pid, struct look *look)
{
    if (strncmp(name, "socket:[", 8) != 0)
        return;
    uint64_t inode = 0;
    for (name += 8; *name >= '0' && *name <= '9'; name++)
        inode = inode * 10 + (uint64_t)(*name - '0');
    for (size_t i = 0; i < look->count; i++)
        if (look->inodes[i] == inode)
            note_holder(look, i, pid, standing_of(pid));
}

/* What a process has open; false: we may not look. */
static bool look_through(int pid, struct look *look)
{
    char path[32];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/%d/fd", pid);
    struct grace_kernel_listing listing;
    if (grace_kernel_list(&listing, path) < 0)
        return false;
    const char *name;
    while ((name = grace_kernel_list_next(&listing)) != NULL) {
        char link[64] = "";
        long length = grace_kernel(SYS_readlinkat, listing.fd, name, link, sizeof link - 1);
        link[length < 0 ? 0 : length] = '\0';
        note_link(link, pid, look);
    }
    grace_kernel_list_end(&listing);
    return true;
}

/* The signals that a process handles, as a mask. */
static uint64_t handled_by(int pid)
{
    char status[2048];
    const char *at = strstr(file_of(pid, "", "", "status", status, sizeof status), "\nSigCgt:\t");
    uint64_t mask = 0;
    for (at = at == NULL ? "" : at + 9; *at != '\0' && *at != '\n'; at++)
        mask = mask << 4 | (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return mask;
}

/* Whether a process that we may not look into is a fork of ours, for all that can be seen: it has
 * our name, and handles a signal that libgrace handles here; an exec leaves none handled. */
static bool seems_a_fork(int pid)
{
    char own[32], its[32];
    file_of(grace_getpid(), "", "", "comm", own, sizeof own);
    file_of(pid, "", "", "comm", its, sizeof its);
    uint64_t ours = handled_by(grace_getpid()) & grace_shim.plan->signals;
    return strcmp(own, its) == 0 && (handled_by(pid) & ours) != 0;
}

/* Nobody but root may look into one that is just ending, of which less and less can be seen until
 * it is gone: what seems to be a stranger is looked at once more. */
static enum grace_holders standing_of_hidden(int pid)
{
    for (int looks = 0; looks < 3 && grace_process_runs(pid); looks++) {
        struct timespec moment = {0, 1000000};
        bool is_late = grace_process_born(pid) > past.joined || drains(pid);
        if (seems_a_fork(pid) || grace_process_leaves(pid))
            return is_late ? GRACE_HELD_LEAVING : GRACE_HELD_FAMILY;
        grace_kernel(SYS_nanosleep, &moment, NULL);
    }
    return grace_process_runs(pid) ? GRACE_HELD_OTHERS : GRACE_HELD_ALONE;
}

/* It is assumed to have all that we have. */
static void note_hidden(int pid, struct look *look)
{
    enum grace_holders who = standing_of_hidden(pid);
    for (size_t i = 0; i < look->count; i++)
        note_holder(look, i, pid, who);
}

static void look_at_process(int pid, struct look *look)
{
    int parent = grace_process_parent(pid);
    bool relative = parent == look->self || pid == look->parent || parent == look->parent;
    if (relative != look->relatives || parent == 0)
        return;
    /* What execs has its listeners closed, as a rule; a fork of ours that we cannot see into has
     * not. The parent, and a sibling, only have those of a time when we were one process. */
    bool suspect = parent == look->self || look->forked;
    if (!look_through(pid, look) && relative && suspect)
        note_hidden(pid, look);
}

static void look_at_all(struct look *look)
{
    struct grace_kernel_listing listing;
    const char *name;
    if (grace_kernel_list(&listing, "/proc") < 0)
        return;
    while ((name = grace_kernel_list_next(&listing)) != NULL) {
        int pid = 0;
        const char *digit = name;
        for (; *digit >= '0' && *digit <= '9'; digit++)
            pid = pid * 10 + (*digit - '0');
        if (*digit != '\0' || pid == 0 || pid == look->self)
            continue;
        if (worst_is_known(look) || (!look->relatives && grace_now_us() >= look->until_us))
            break;
        look_at_process(pid, look);
    }
    grace_kernel_list_end(&listing);
}

uint64_t grace_holders_look(const uint64_t *inodes, enum grace_holders *who, size_t count)
{
    struct look look = {
        .inodes = inodes,
        .who = who,
        .count = count,
        .self = grace_getpid(),
        .parent = (int)grace_kernel(SYS_getppid),
        .relatives = true,
        .forked = grace_is_forked(),
        .until_us = grace_now_us() + STRANGERS_LIMIT_US,
    };
    for (size_t i = 0; i < count; i++) {
        who[i] = GRACE_HELD_ALONE;
        for (unsigned k = 0; k < past.given_count; k++)
            if (past.given[k] == inodes[i])
                who[i] = GRACE_HELD_GIVER;
    }
    if (worst_is_known(&look))
        return 0;
    look_at_all(&look);
    look.relatives = false;
    look_at_all(&look);
    return look.family;
}

/* ---- the family ---------------------------------------------------------------------------- */

static char own_name[16];

void grace_holders_join(void)
{
    grace_kernel(SYS_prctl, PR_GET_NAME, own_name);
    grace_kernel(SYS_prctl, PR_SET_NAME, DRAINING);
    past.joined = grace_process_clock();
}

void grace_holders_leave(void)
{
    grace_kernel(SYS_prctl, PR_SET_NAME, own_name);
}
