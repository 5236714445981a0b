/*
 * What the target's threads wait for, by /proc/self/task/TID/syscall: the number of the call and
 * its arguments.
 */
#include "threads.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "hooks/kernel.h"
#include "hooks/room.h"
#include "hooks/text.h"
#include "shim/drain.h"
#include "shim/raw.h"

#define READ_AT_ONCE 256

static struct {
    bool known;
    unsigned count;
    int list[READ_AT_ONCE]; /* descriptors that a thread reads from */
} readers GRACE_ROOM(readers);

struct call {
    long number; /* -1: none, the thread runs */
    int fd;      /* its first argument */
};

/* "0 0x5 0x7ffd… …", or "running". */
static bool call_of(const char *thread, struct call *call)
{
    char path[64], line[64];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/self/task/%s/syscall", thread);
    long file = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    long length = grace_kernel(SYS_read, file, line, sizeof line - 1);
    grace_kernel(SYS_close, file);
    if (length < 0)
        return false;
    line[length] = '\0';
    *call = (struct call){.number = -1, .fd = -1};
    const char *at = line;
    if (*at < '0' || *at > '9')
        return true;
    for (call->number = 0; *at >= '0' && *at <= '9'; at++)
        call->number = call->number * 10 + (*at - '0');
    if (strncmp(at, " 0x", 3) != 0)
        return true;
    uint64_t argument = 0;
    for (at += 3; *at != ' ' && *at != '\0'; at++)
        argument = argument << 4 | (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    call->fd = (int)argument;
    return true;
}

static bool reads(const struct call *call)
{
    switch (call->number) {
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
        return true;
    default:
        return false;
    }
}

static void look_for_readers(void)
{
    struct grace_kernel_listing listing;
    const char *thread;
    readers.known = true;
    readers.count = 0;
    if (grace_kernel_list(&listing, "/proc/self/task") < 0)
        return;
    while ((thread = grace_kernel_list_next(&listing)) != NULL) {
        struct call call;
        if (readers.count < READ_AT_ONCE && call_of(thread, &call) && reads(&call))
            readers.list[readers.count++] = call.fd;
    }
    grace_kernel_list_end(&listing);
}

void grace_threads_forget(void)
{
    readers.known = false;
}

bool grace_threads_read_from(int fd)
{
    if (!readers.known)
        look_for_readers();
    for (unsigned i = 0; i < readers.count; i++)
        if (readers.list[i] == fd)
            return true;
    return false;
}

/* ---- waking -------------------------------------------------------------------------------- */

static const char wake_request; /* its address tells our request from any other siginfo */

/* How many were sent to threads of this process, and how many have arrived. */
static _Atomic uint32_t sent, arrived;

bool grace_drain_woke(const siginfo_t *info)
{
    if (info->si_code != SI_QUEUE || info->si_value.sival_ptr != &wake_request)
        return false;
    if (info->si_pid == 0)
        atomic_fetch_add(&arrived, 1);
    return true;
}

bool grace_threads_are_woken(void)
{
    return atomic_load(&arrived) >= atomic_load(&sent);
}

static siginfo_t make_request(int signo)
{
    siginfo_t request;
    memset(&request, 0, sizeof request);
    request.si_signo = signo;
    request.si_code = SI_QUEUE;
    request.si_value.sival_ptr = (void *)(uintptr_t)&wake_request;
    return request;
}

static void wake(int tid, int signo)
{
    siginfo_t request = make_request(signo);
    if (grace_kernel(SYS_rt_tgsigqueueinfo, grace_getpid(), tid, signo, &request) == 0)
        atomic_fetch_add(&sent, 1);
}

void grace_drain_wake_process(int pid, int signo)
{
    siginfo_t request = make_request(signo);
    request.si_pid = grace_getpid();
    grace_kernel(SYS_rt_sigqueueinfo, pid, signo, &request);
}

void grace_drain_wake_self(int signo)
{
    wake(grace_gettid(), signo);
}

static int number_of(const char *digits)
{
    int number = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++)
        number = number * 10 + (*digits - '0');
    return number;
}

void grace_threads_wake_accept(int fd, int signo)
{
    struct grace_kernel_listing listing;
    const char *thread;
    if (grace_kernel_list(&listing, "/proc/self/task") < 0)
        return;
    while ((thread = grace_kernel_list_next(&listing)) != NULL) {
        struct call call;
        bool known = call_of(thread, &call);
        if (!known || ((call.number == SYS_accept || call.number == SYS_accept4) && call.fd == fd))
            wake(number_of(thread), signo);
    }
    grace_kernel_list_end(&listing);
}
