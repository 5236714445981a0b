/*
 * The safe point: a moment at which an interrupted thread holds none of libc's locks.
 *
 * pthread_create takes malloc's lock and those of the stack cache; a handler that interrupted
 * malloc and calls it waits for itself. Whether a thread is inside malloc cannot be asked, but
 * where its instruction pointer is can. It is safe when
 *   - it lies outside the text of libc, ld.so, libgrace, of whichever object defines malloc, and of
 *     what that one is linked with (tcmalloc calls libstdc++ while it holds its lock); or
 *   - the thread is at or just behind a blocking system call made by libc: libc's lists are whole
 *     there. It stands at the instruction when the call will be restarted, else just behind it.
 *     Calls that malloc itself makes (mmap, brk, …), and a wait for one of libc's own locks, are
 * not on the list.
 *
 * What this does not see: code of the target's that libc called back while holding a lock
 * (dl_iterate_phdr's callback; a FILE's lock in fopencookie). pthread_create needs neither.
 *
 * The same question about the calling thread itself (exit called inside a handler) is answered by
 * looking for signal frames on its stack (frames.c): each holds the context that it interrupted.
 */
#include "shim.h"

#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "arch.h"
#include "object.h"
#include "raw.h"

struct range {
    uintptr_t start, end;
};

/* Text in which a thread may hold a lock. Few and constant after the constructor. */
#define RANGES 32
static struct range guarded[RANGES];
static size_t guarded_count;
static struct range mask_function; /* pthread_sigmask, which sigprocmask calls */
static struct range syscall_function, barrier_function; /* syscall, pthread_barrier_wait */
/* ld.so, even whose system calls are made under its lock, but for those that it makes for libc. */
static struct range loader, kernel_entry;

/* ---- where the code lies ------------------------------------------------------------------- */

static void guard_text(const struct dl_phdr_info *object, bool is_loader)
{
    for (size_t i = 0; i < object->dlpi_phnum && guarded_count < RANGES; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        struct range range = {object->dlpi_addr + part->p_vaddr,
                              object->dlpi_addr + part->p_vaddr + part->p_memsz};
        guarded[guarded_count++] = range;
        if (is_loader)
            loader = range;
    }
}

static void learn_function(const struct dl_phdr_info *object, const char *name, struct range *range)
{
    struct grace_function function;
    if (grace_object_function(object, name, &function))
        *range = (struct range){function.address, function.address + function.size};
}

static size_t storage_of(const struct dl_phdr_info *object)
{
    size_t size = 0;
    for (size_t i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_TLS)
            size += object->dlpi_phdr[i].p_memsz + object->dlpi_phdr[i].p_align;
    return size;
}

/* Whichever object defines malloc first is the one that is called; libc's is guarded as well. */
static int visit(struct dl_phdr_info *object, size_t size, void *argument)
{
    struct dl_phdr_info *allocator = argument; /* no headers: not found yet */
    struct grace_function function;
    (void)size;
    bool is_loader = object->dlpi_addr != 0 && object->dlpi_addr == getauxval(AT_BASE);
    /* libpthread is an object of its own before glibc 2.34. */
    bool is_libpthread =
        object->dlpi_name != NULL && strstr(object->dlpi_name, "/libpthread") != NULL;
    bool is_own = grace_object_covers(object, (uintptr_t)&visit);
    bool is_libc = grace_object_function(object, "gnu_get_libc_version", &function);
    bool is_allocator =
        allocator->dlpi_phdr == NULL && grace_object_function(object, "malloc", &function);
    /* On i386 libc makes its system calls in there. */
    bool is_kernels =
        object->dlpi_addr != 0 && grace_object_covers(object, getauxval(AT_SYSINFO_EHDR));
    grace_thread_storage += storage_of(object);
    if (is_allocator)
        *allocator = *object;
    if (is_loader || is_libpthread || is_own || is_libc || is_allocator || is_kernels)
        guard_text(object, is_loader);
    if (is_libc) {
        learn_function(object, "pthread_sigmask", &mask_function);
        learn_function(object, "syscall", &syscall_function);
        learn_function(object, "pthread_barrier_wait", &barrier_function);
    }
    return 0;
}

static int visit_helper(struct dl_phdr_info *object, size_t size, void *argument)
{
    const struct dl_phdr_info *allocator = argument;
    const char *slash = strrchr(object->dlpi_name, '/');
    (void)size;
    if (slash != NULL && grace_object_needs(allocator, slash + 1))
        guard_text(object, false);
    return 0;
}

/* The program itself is linked with everything: it is no reason to guard all of that. */
static bool is_library_but_libc(const struct dl_phdr_info *object)
{
    struct grace_function function;
    return object->dlpi_phdr != NULL && object->dlpi_name[0] != '\0' &&
           !grace_object_function(object, "gnu_get_libc_version", &function);
}

void grace_safepoint_setup(void)
{
    struct dl_phdr_info allocator = {.dlpi_phdr = NULL};
    kernel_entry.start = grace_kernel_entry();
    kernel_entry.end = kernel_entry.start + GRACE_SYSCALL_LENGTH + 1;
    dl_iterate_phdr(visit, &allocator);
    if (is_library_but_libc(&allocator))
        dl_iterate_phdr(visit_helper, &allocator);
}

static bool within(const struct range *range, uintptr_t address)
{
    return address >= range->start && address < range->end;
}

static bool is_guarded(uintptr_t address)
{
    for (size_t i = 0; i < guarded_count; i++)
        if (within(&guarded[i], address))
            return true;
    return false;
}

static bool is_loaders(uintptr_t address)
{
    return within(&loader, address) && !within(&kernel_entry, address);
}

/* ---- blocking system calls ----------------------------------------------------------------- */

/* Whether a plain FUTEX_WAIT is the program's: by syscall(2), or at a barrier. */
static bool is_callers_wait(const ucontext_t *context)
{
    uintptr_t caller = grace_context_caller(context);
    return within(&syscall_function, caller) || within(&barrier_function, caller);
}

static bool blocks_outside_locks(const ucontext_t *context, long number)
{
    switch (number) {
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
    case SYS_preadv:
    case SYS_write:
    case SYS_writev:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_ppoll:
    case SYS_pselect6:
    case SYS_epoll_pwait:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
#ifdef SYS_accept
    case SYS_accept:
#endif
    case SYS_accept4:
    case SYS_connect:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_msgrcv:
    case SYS_msgsnd:
#ifdef SYS_semtimedop
    case SYS_semtimedop:
    case SYS_semop:
#endif
#ifdef SYS_socketcall
    case SYS_socketcall: /* all calls on sockets, and all of System V's */
    case SYS_ipc:
    case SYS__newselect:
    case SYS_fcntl64:
    case SYS_sendfile64:
    case SYS_ppoll_time64:
    case SYS_pselect6_time64:
    case SYS_clock_nanosleep_time64:
    case SYS_rt_sigtimedwait_time64:
    case SYS_recvmmsg_time64:
    case SYS_semtimedop_time64:
    case SYS_mq_timedreceive_time64:
    case SYS_mq_timedsend_time64:
    case SYS_waitpid:
    case SYS_sigsuspend:
#endif
    case SYS_flock:
    case SYS_fcntl:
    case SYS_ioctl:
    case SYS_io_getevents:
    case SYS_sendfile:
    case SYS_splice:
    case SYS_tee:
    case SYS_vmsplice:
    case SYS_copy_file_range:
    case SYS_fallocate:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_syncfs:
    case SYS_sync:
    case SYS_openat: /* a FIFO; ld.so's own are made elsewhere */
    case SYS_mq_timedreceive:
    case SYS_mq_timedsend:
#ifdef SYS_poll
    case SYS_open:
    case SYS_poll:
    case SYS_select:
    case SYS_epoll_wait:
    case SYS_pause:
#endif
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
    case SYS_io_uring_enter:
#endif
        return true;
#ifdef SYS_futex_time64
    case SYS_futex_time64:
#endif
    case SYS_futex: {
        /* Condition variables, semaphores and joins wait with FUTEX_WAIT_BITSET; libc's own locks
         * with FUTEX_WAIT, and so does a thread that changes the user, while it holds the list of
         * stacks (nptl/nptl_setxid.c). To wake somebody is not to wait: the other threads do so in
         * the middle of that. */
        long operation = grace_context_argument(context, 1) & FUTEX_CMD_MASK;
        return operation == FUTEX_WAIT_BITSET ||
               (operation == FUTEX_WAIT && is_callers_wait(context));
    }
    default:
        return false;
    }
}

/*
 * A signal that the thread sent to its own process, or lets in, arrives as the call returns: raise,
 * kill, sigprocmask. libc makes these calls with none of the locks that matter held; but it also
 * changes the mask by itself, inside fork with all of malloc's locks held (nptl/_Fork.c), so of
 * rt_sigprocmask only the one in the function that programs call counts.
 */
static bool brings_signals(const ucontext_t *context, long number)
{
    switch (number) {
    case SYS_tgkill: {
        /* libc's own signals go out while it holds the list of stacks. */
        long signo = grace_context_argument(context, 2);
        return signo != 32 && signo != 33;
    }
    case SYS_kill:
    case SYS_tkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:
        return true;
    case SYS_rt_sigprocmask:
        return within(&mask_function, grace_context_caller(context));
    default:
        return false;
    }
}

bool grace_safepoint_is_libc(uintptr_t address)
{
    return is_guarded(address) && is_guarded(address - 64) && !is_loaders(address);
}

static bool is_readable_code(uintptr_t address)
{
    return is_guarded(address) && is_guarded(address + GRACE_SYSCALL_LENGTH - 1);
}

bool grace_safepoint_at(const ucontext_t *context)
{
    uintptr_t ip = grace_context_ip(context);
    if (!is_guarded(ip))
        return true;
    if (is_loaders(ip) || is_loaders(grace_context_caller(context)))
        return false;
    if (is_readable_code(ip) && grace_is_syscall_at(ip))
        return blocks_outside_locks(context, grace_context_number(context));
    uintptr_t before = ip - GRACE_SYSCALL_LENGTH;
    if (!is_readable_code(before) || !grace_is_syscall_at(before))
        return false;
    long number = grace_context_number_behind(context);
    if (number >= 0)
        return brings_signals(context, number) || blocks_outside_locks(context, number);
    if (grace_context_result(context) != -EINTR)
        return false;
    /* No call of malloc's returns EINTR, but a wait for a lock does: the futex call is told by its
     * arguments alone. */
    long operation = grace_context_argument(context, 1);
    bool lock_wait = (operation == FUTEX_WAIT || operation == FUTEX_WAIT_PRIVATE) &&
                     (uint32_t)grace_context_argument(context, 2) != 0 &&
                     grace_context_argument(context, 3) == 0 && !is_callers_wait(context);
    return !lock_wait;
}

/* ---- the calling thread -------------------------------------------------------------------- */

bool grace_safepoint_here(void)
{
    uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
    for (int depth = 0; depth < 16; depth++) {
        const ucontext_t *context;
        if (!grace_frame_find(sp, &context))
            return false;
        if (context == NULL)
            return true;
        if (!grace_safepoint_at(context))
            return false;
        sp = grace_context_sp(context);
    }
    return false; /* deeper than any real program: take no risk */
}
