/*
 * signalfd: the target blocks its stop signals everywhere and reads them from a descriptor. No
 * handler ever runs, and the descriptor must not read the signal before it is announced.
 *
 * So, where a chain signal is asked for and there is something to announce, the descriptor is made
 * without that signal, and a thread of ours waits for it (the one case in which there is such a
 * thread before a stop). It announces, gives the descriptors the signals that they were made for,
 * sends the signal on with its own siginfo, and is gone.
 *
 *   - A copy of the descriptor (dup) is the same to the kernel. One that was moved to another
 * number is found by what /proc says of it.
 *   - A forked child reads its own signals from its parent's descriptor. It gets one of its own in
 *     its place, with all signals: there nothing is announced. (The kernel ties an epoll entry of
 *     such a descriptor to the parent's signals; that is so without us.)
 *   - A signal for one thread is seen by nobody else. Those that the target sends to itself are
 *     announced as they are sent (calls/raise.c); one that another program sends to a single thread
 *     (tgkill) is read after the next announcement only.
 *   - /proc/PID/fdinfo shows the smaller set.
 */
#include "shim.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "drain.h"
#include "hooks/kernel.h"
#include "hooks/room.h"
#include "hooks/text.h"
#include "raw.h"

#define DESCRIPTORS 32

static struct {
    struct {
        _Atomic int fd;                 /* number + 1; 0: free */
        _Atomic uint64_t asked, narrow; /* what the target asked for, what the kernel has */
    } list[DESCRIPTORS];
    _Atomic uint64_t watched; /* signals that a thread of ours waits for */
    _Atomic uint32_t fork_known;
} descriptors GRACE_ROOM(descriptors);

static uint64_t bits_of(const sigset_t *set)
{
    uint64_t bits;
    memcpy(&bits, set, sizeof bits); /* the kernel's part of it */
    return bits;
}

static long kernel_signalfd(int fd, uint64_t mask, int flags)
{
    return grace_kernel(SYS_signalfd4, fd, &mask, sizeof mask, flags);
}

/* ---- which descriptors --------------------------------------------------------------------- */

static void forget(int fd)
{
    for (size_t i = 0; i < DESCRIPTORS; i++)
        if (atomic_load(&descriptors.list[i].fd) == fd + 1)
            atomic_store(&descriptors.list[i].fd, 0);
}

static bool remember(int fd, uint64_t asked, uint64_t narrow)
{
    for (size_t i = 0; i < DESCRIPTORS; i++) {
        int seen = atomic_load(&descriptors.list[i].fd);
        if (seen != 0 && seen != fd + 1)
            continue;
        atomic_store(&descriptors.list[i].asked, asked);
        atomic_store(&descriptors.list[i].narrow, narrow);
        if (seen == fd + 1 ||
            atomic_compare_exchange_strong(&descriptors.list[i].fd, &seen, fd + 1))
            return true;
    }
    return false;
}

/* Whether a descriptor reads these signals: it may be none of signalfd's by now. */
static bool reads(int fd, uint64_t wanted)
{
    static const char key[] = "sigmask:";
    char path[48], text[512];
    struct grace_text name;
    grace_text_start(&name, path, sizeof path);
    grace_text_format(&name, "/proc/self/fdinfo/%d", fd);
    long file = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    long length = grace_kernel(SYS_read, file, text, sizeof text - 1);
    grace_kernel(SYS_close, file);
    text[length < 0 ? 0 : length] = '\0';
    const char *at = strstr(text, key);
    if (at == NULL)
        return false;
    uint64_t mask = 0;
    for (at += sizeof key - 1; *at != '\0' && *at != '\n'; at++) {
        if (*at >= '0' && *at <= '9')
            mask = mask << 4 | (uint64_t)(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            mask = mask << 4 | (uint64_t)(*at - 'a' + 10);
    }
    return mask == wanted;
}

struct search {
    uint64_t narrow;
    int fd;
};

static void compare(int fd, void *argument)
{
    struct search *search = argument;
    if (search->fd < 0 && reads(fd, search->narrow))
        search->fd = fd;
}

/* Where the descriptor of an entry is now, or -1. */
static int find(size_t entry)
{
    int fd = atomic_load(&descriptors.list[entry].fd) - 1;
    uint64_t narrow = atomic_load(&descriptors.list[entry].narrow);
    if (fd < 0 || reads(fd, narrow))
        return fd;
    struct search search = {.narrow = narrow, .fd = -1};
    grace_kernel_each_descriptor(compare, &search);
    return search.fd;
}

void grace_signalfd_open(void)
{
    for (size_t i = 0; i < DESCRIPTORS; i++) {
        int fd = find(i);
        if (fd < 0 || atomic_exchange(&descriptors.list[i].fd, 0) == 0)
            continue;
        kernel_signalfd(fd, atomic_load(&descriptors.list[i].asked), 0);
    }
}

/* ---- forked children ----------------------------------------------------------------------- */

static void in_child(void)
{
    GRACE_KEEP_ERRNO;
    for (size_t i = 0; i < DESCRIPTORS; i++) {
        int fd = find(i);
        if (fd < 0)
            continue;
        int flags = (int)grace_kernel(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK;
        int closed = (int)grace_kernel(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
        long own = kernel_signalfd(-1, atomic_load(&descriptors.list[i].asked), flags | O_CLOEXEC);
        if (own < 0)
            continue;
        grace_kernel(SYS_dup3, own, fd, closed);
        grace_kernel(SYS_close, own);
        atomic_store(&descriptors.list[i].fd, 0);
    }
}

/* ---- waiting for the signal ---------------------------------------------------------------- */

static void *watch(void *argument)
{
    uint64_t set = (uint64_t)(uintptr_t)argument;
    for (;;) {
        siginfo_t info;
        long signo = grace_kernel(SYS_rt_sigtimedwait, &set, &info, NULL, sizeof set);
        if (signo <= 0 || grace_drain_woke(&info) || grace_stop_retry(&info, NULL) ||
            grace_putoff_signal((int)signo, &info, NULL, false) ||
            !grace_announce_here((int)signo, &info))
            continue;
        grace_signalfd_open();
        grace_signal_send_on((int)signo, &info, 0);
        return NULL;
    }
}

static bool start_watching(uint64_t set)
{
    uint64_t before = atomic_fetch_or(&descriptors.watched, set);
    uint64_t missing = set & ~before;
    if (missing == 0)
        return true;
    uint32_t no = 0;
    if (atomic_compare_exchange_strong(&descriptors.fork_known, &no, 1))
        pthread_atfork(NULL, NULL, in_child);
    if (grace_thread_start(watch, (void *)(uintptr_t)missing) == 0)
        return true;
    atomic_fetch_and(&descriptors.watched, ~missing);
    return false;
}

/* ---- the calls ----------------------------------------------------------------------------- */

int grace_signalfd(int fd, const sigset_t *mask, int flags, grace_signalfd_function *real)
{
    uint64_t asked = mask == NULL ? 0 : bits_of(mask);
    bool is_ours = atomic_load(&grace_shim.process) != 0 && (asked & grace_shim.plan->chain) != 0;
    if (fd >= 0)
        forget(fd);
    if (!is_ours || !grace_is_owner() || !grace_announce_is_owed())
        return real(fd, mask, flags);
    uint64_t held = asked & grace_shim.plan->chain, narrow = asked & ~held;
    sigset_t smaller = *mask;
    memcpy(&smaller, &narrow, sizeof narrow);
    int result = real(fd, &smaller, flags);
    if (result < 0)
        return result;
    GRACE_KEEP_ERRNO;
    if (!remember(result, asked, narrow) || !start_watching(held))
        kernel_signalfd(result, asked, 0);
    return result;
}

void grace_signalfd_before_raise(int signo)
{
    uint64_t watched = atomic_load_explicit(&descriptors.watched, memory_order_relaxed);
    if (watched == 0 || signo < 1 || signo > 64 || !(watched & GRACE_SIGNAL_BIT(signo)) ||
        !grace_is_owner() || !grace_announce_is_owed())
        return;
    GRACE_KEEP_ERRNO;
    siginfo_t info = {.si_signo = signo, .si_code = SI_TKILL};
    info.si_pid = grace_getpid();
    info.si_uid = (uid_t)grace_kernel(GRACE_SYS_getuid);
    if (grace_safepoint_here())
        grace_announce_here(signo, &info);
    grace_signalfd_open();
}
