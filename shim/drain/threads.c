/*
 * What the target's threads wait for, by /proc/self/task/TID/syscall: the number of the call and
 * its arguments.
 */
#include "threads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net.h>
#include <string.h>
#include <sys/uio.h>

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

/* What a file of a thread's says, from its beginning; false: not to be had. */
static bool read_of(const char *thread, const char *file, char *into, size_t size)
{
    char path[64];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/self/task/%s/%s", thread, file);
    long open = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (open < 0)
        return false;
    long length = grace_kernel(SYS_read, open, into, size - 1);
    grace_kernel(SYS_close, open);
    into[length < 0 ? 0 : length] = '\0';
    return length >= 0;
}

/* Where libc makes the calls on sockets through one call of the kernel's (i386), that one's
 * arguments are in our memory. */
static void look_into_socketcall(struct call *call, uintptr_t arguments)
{
#ifdef SYS_socketcall
    static const long numbers[] = {[SYS_ACCEPT] = SYS_accept4,
                                   [SYS_ACCEPT4] = SYS_accept4,
                                   [SYS_RECV] = SYS_recvfrom,
                                   [SYS_RECVFROM] = SYS_recvfrom,
                                   [SYS_RECVMSG] = SYS_recvmsg};
    int32_t first = -1;
    struct iovec local = {&first, sizeof first}, remote = {(void *)arguments, sizeof first};
    if (call->number != SYS_socketcall)
        return;
    size_t kind = (size_t)call->fd;
    bool is_read = grace_kernel(SYS_process_vm_readv, grace_getpid(), &local, 1, &remote, 1, 0) ==
                   (long)sizeof first;
    call->number = kind < sizeof numbers / sizeof *numbers && numbers[kind] != 0 && is_read
                       ? numbers[kind]
                       : SYS_socketcall;
    call->fd = first;
#else
    (void)call;
    (void)arguments;
#endif
}

static uint64_t hexadecimal(const char **at)
{
    uint64_t number = 0;
    for (; **at > ' '; ++*at)
        number = number << 4 | (uint64_t)(**at <= '9' ? **at - '0' : **at - 'a' + 10);
    return number;
}

/* "0 0x5 0x7ffd… …", or "running". */
static bool call_of(const char *thread, struct call *call)
{
    char line[64];
    if (!read_of(thread, "syscall", line, sizeof line))
        return false;
    *call = (struct call){.number = -1, .fd = -1};
    const char *at = line;
    if (*at < '0' || *at > '9')
        return true;
    for (call->number = 0; *at >= '0' && *at <= '9'; at++)
        call->number = call->number * 10 + (*at - '0');
    if (strncmp(at, " 0x", 3) != 0)
        return true;
    at += 3;
    call->fd = (int)hexadecimal(&at);
    if (strncmp(at, " 0x", 3) == 0) {
        at += 3;
        look_into_socketcall(call, (uintptr_t)hexadecimal(&at));
    }
    return true;
}

static bool accepts(const struct call *call)
{
#ifdef SYS_accept
    if (call->number == SYS_accept)
        return true;
#endif
    return call->number == SYS_accept4;
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

/* The threads to which it is on its way. More than that are not waited for. */
#define WOKEN 256
static _Atomic int32_t woken[WOKEN] GRACE_ROOM(woken); /* 0: none, or it has arrived */
static unsigned woken_count;

bool grace_drain_woke(const siginfo_t *info)
{
    if (info->si_code != SI_QUEUE || info->si_value.sival_ptr != &wake_request)
        return false;
    int32_t self = grace_gettid();
    for (unsigned i = 0; info->si_pid == 0 && i < WOKEN; i++)
        if (atomic_load_explicit(&woken[i], memory_order_relaxed) == self)
            atomic_store(&woken[i], 0);
    return true;
}

bool grace_threads_are_woken(void)
{
    for (unsigned i = 0; i < woken_count; i++) {
        int32_t tid = atomic_load(&woken[i]);
        if (tid != 0 && grace_kernel(SYS_tgkill, grace_getpid(), tid, 0) == 0)
            return false;
    }
    return true;
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

static bool wake(int tid, int signo)
{
    siginfo_t request = make_request(signo);
    return grace_kernel(SYS_rt_tgsigqueueinfo, grace_getpid(), tid, signo, &request) == 0;
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

/* What blocks it, as all threads of libgrace do, would not take it. */
static bool takes(const char *thread, int signo)
{
    char status[4096];
    const char *at =
        read_of(thread, "status", status, sizeof status) ? strstr(status, "SigBlk:\t") : NULL;
    if (at == NULL)
        return true;
    at += strlen("SigBlk:\t");
    return (hexadecimal(&at) >> (signo - 1) & 1) == 0;
}

/* A thread that runs, or would if there were a processor for it, may have taken a connection out of
 * the backlog just now and have no descriptor yet: the signal comes when it has. */
static bool may_accept(const struct call *call, int fd)
{
    return call->number < 0 || (accepts(call) && call->fd == fd);
}

void grace_threads_begin(void)
{
    woken_count = 0;
    for (unsigned i = 0; i < WOKEN; i++)
        atomic_store(&woken[i], 0);
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
        if ((known && !may_accept(&call, fd)) || !takes(thread, signo))
            continue;
        bool has_room = woken_count < WOKEN;
        if (has_room)
            atomic_store(&woken[woken_count], number_of(thread));
        if (wake(number_of(thread), signo) && has_room)
            woken_count++;
    }
    grace_kernel_list_end(&listing);
}
