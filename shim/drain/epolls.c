/*
 * What epoll watches is an open file, not a number. So a listener that is replaced under its number
 * by dup2 would be watched for ever if anybody else has it open: it is taken out before, and what
 * replaces it is put in after. Which epolls watch it, and how, is in /proc/self/fdinfo.
 */
#include "epolls.h"

#include <fcntl.h>
#include <string.h>

#include "hooks/text.h"
#include "shim/raw.h"

/* ---- reading /proc/self/fdinfo ------------------------------------------------------------- */

/* One line of an epoll's: "tfd: 3 events: 19 data: 3  pos:0 ino:1234 sdev:8". */
struct entry {
    uint64_t number, events, data, inode;
};

static const char *after(const char *line, const char *key)
{
    const char *found = strstr(line, key);
    return found == NULL ? NULL : found + strlen(key);
}

static uint64_t parse(const char *digits, unsigned base)
{
    uint64_t value = 0;
    while (digits != NULL && *digits == ' ')
        digits++;
    for (; digits != NULL; digits++) {
        unsigned digit = *digits >= '0' && *digits <= '9'   ? (unsigned)(*digits - '0')
                         : *digits >= 'a' && *digits <= 'f' ? (unsigned)(*digits - 'a') + 10
                                                            : 16;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    return value;
}

static int parse_entry(const char *line, struct entry *entry)
{
    if (strncmp(line, "tfd:", 4) != 0)
        return 0;
    entry->number = parse(line + 4, 10);
    entry->events = parse(after(line, "events:"), 16);
    entry->data = parse(after(line, "data:"), 16);
    entry->inode = parse(after(line, "ino:"), 16);
    return 1;
}

/* ---- taking -------------------------------------------------------------------------------- */

struct search {
    int fd;
    uint64_t inode;
    struct grace_epolls *taken;
};

static void take(int epoll, const struct entry *entry, const struct search *search)
{
    struct grace_epolls *taken = search->taken;
    struct epoll_event unused = {0};
    if (entry->number != (uint64_t)search->fd || taken->count == GRACE_EPOLLS ||
        (entry->inode != 0 && entry->inode != search->inode))
        return;
    if (grace_kernel(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, search->fd, &unused) != 0)
        return;
    taken->list[taken->count].epoll = epoll;
    taken->list[taken->count].event.events = (uint32_t)entry->events;
    taken->list[taken->count].event.data.u64 = entry->data;
    taken->count++;
}

static void look_at(int epoll, long file, const struct search *search)
{
    char buffer[4096 + 1];
    size_t held = 0;
    long length;
    while ((length = grace_kernel(SYS_read, file, buffer + held, sizeof buffer - 1 - held)) > 0) {
        held += (size_t)length;
        buffer[held] = '\0';
        char *line = buffer, *end;
        while ((end = strchr(line, '\n')) != NULL) {
            struct entry entry;
            *end = '\0';
            if (parse_entry(line, &entry))
                take(epoll, &entry, search);
            line = end + 1;
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
        if (held == sizeof buffer - 1)
            held = 0; /* no line of an epoll's is so long */
    }
}

static int is_epoll(int fd)
{
    char path[40], name[32];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/self/fd/%d", fd);
    long length = grace_kernel(SYS_readlinkat, AT_FDCWD, path, name, sizeof name - 1);
    static const char epoll[] = "anon_inode:[eventpoll]";
    return length == sizeof epoll - 1 && memcmp(name, epoll, sizeof epoll - 1) == 0;
}

static void visit(int epoll, void *argument)
{
    char path[40];
    struct grace_text text;
    if (!is_epoll(epoll))
        return;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/self/fdinfo/%d", epoll);
    long file = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    look_at(epoll, file, argument);
    grace_kernel(SYS_close, file);
}

void grace_epolls_take(int fd, uint64_t inode, struct grace_epolls *taken)
{
    struct search search = {fd, inode, taken};
    taken->count = 0;
    grace_kernel_each_descriptor(visit, &search);
}

void grace_epolls_give_back(int fd, const struct grace_epolls *taken)
{
    for (unsigned i = 0; i < taken->count; i++) {
        struct epoll_event event = taken->list[i].event;
        grace_kernel(SYS_epoll_ctl, taken->list[i].epoll, EPOLL_CTL_ADD, fd, &event);
    }
}
