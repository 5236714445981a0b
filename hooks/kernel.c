#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

GRACE_PLAIN void grace_kernel_block_signals(uint64_t *old)
{
    uint64_t all = ~UINT64_C(0);
    grace_kernel(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, sizeof all);
}

GRACE_PLAIN void grace_kernel_set_mask(uint64_t mask)
{
    grace_kernel(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

uint64_t grace_kernel_now_us(void)
{
    struct timespec now = {0, 0};
    grace_kernel(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* As long as a stop prepares until its first hook can run. */
#define MOMENT_US 250

bool grace_kernel_changes_soon(const _Atomic uint32_t *word, uint32_t seen)
{
    for (uint64_t began = 0, now = 0; now - began < MOMENT_US;) {
        for (int i = 0; i < 8; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen)
                return true;
            grace_kernel(SYS_sched_yield); /* whoever answers may need this processor */
        }
        now = grace_kernel_now_us();
        if (began == 0)
            began = now;
    }
    return false;
}

_Noreturn GRACE_PLAIN void grace_kernel_exit(int status)
{
    for (;;)
        grace_kernel(SYS_exit_group, status);
}

/*
 * Our own rather than libc's clone(): a program may well define a function of that name, and then
 * it would be called instead. The child begins on its new stack, on which entry and argument lie.
 */
GRACE_PLAIN long grace_kernel_clone(unsigned long flags, void *stack_top, int32_t *child_tid,
                                    void (*entry)(void *), void *argument)
{
    /* 16-aligned with two words on it, so that the stack is aligned at the call. */
    uintptr_t *stack = (uintptr_t *)((uintptr_t)stack_top & ~(uintptr_t)15) - 2;
    stack[0] = (uintptr_t)argument;
    stack[1] = (uintptr_t)entry;
#if defined(__x86_64__)
    long result;
    register int32_t *r10 __asm__("r10") = child_tid;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t" /* ends the chain of frames for whoever unwinds */
                     "pop %%rdi\n\t"
                     "pop %%rax\n\t"
                     "call *%%rax\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(result)
                     : "a"((long)SYS_clone), "D"(flags), "S"(stack), "d"(0L), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory", "cc");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone;
    register unsigned long x0 __asm__("x0") = flags;
    register uintptr_t *x1 __asm__("x1") = stack;
    register long x2 __asm__("x2") = 0;
    register long x3 __asm__("x3") = 0;
    register int32_t *x4 __asm__("x4") = child_tid;
    __asm__ volatile("svc 0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "ldp x0, x1, [sp], #16\n\t"
                     "blr x1\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                     : "memory", "cc");
    return (long)x0;
#else
    long result;
    __asm__ volatile("int $0x80\n\t"
                     "test %%eax, %%eax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "popl %%edx\n\t"
                     "popl %%eax\n\t"
                     "subl $12, %%esp\n\t"
                     "pushl %%edx\n\t"
                     "call *%%eax\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(result)
                     : "a"((long)SYS_clone), "b"(flags), "c"(stack), "d"(0L), "S"(0L),
                       "D"(child_tid)
                     : "memory", "cc");
    return result;
#endif
}

/* A sequence of instructions that changes nothing, except under valgrind, which takes it as a
 * question: are we? (The manual, "The Client Request mechanism".) */
bool grace_kernel_is_valgrind(void)
{
    uintptr_t request[6] = {0x1001}, answer = 0;
#if defined(__x86_64__)
    __asm__ volatile("rolq $3, %%rdi\n\t"
                     "rolq $13, %%rdi\n\t"
                     "rolq $61, %%rdi\n\t"
                     "rolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "+d"(answer)
                     : "a"(request)
                     : "cc", "memory");
#elif defined(__aarch64__)
    register uintptr_t x3 __asm__("x3") = 0;
    register uintptr_t *x4 __asm__("x4") = request;
    __asm__ volatile("ror x12, x12, #3\n\t"
                     "ror x12, x12, #13\n\t"
                     "ror x12, x12, #51\n\t"
                     "ror x12, x12, #61\n\t"
                     "orr x10, x10, x10"
                     : "+r"(x3)
                     : "r"(x4)
                     : "cc", "memory");
    answer = x3;
#else
    __asm__ volatile("roll $3, %%edi\n\t"
                     "roll $13, %%edi\n\t"
                     "roll $29, %%edi\n\t"
                     "roll $19, %%edi\n\t"
                     "xchgl %%ebx, %%ebx"
                     : "+d"(answer)
                     : "a"(request)
                     : "cc", "memory");
#endif
    return answer != 0;
}

struct directory_entry {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* The number that a name in /proc/self/fd stands for. */
static GRACE_PLAIN int descriptor_number(const char *name)
{
    int number = 0;
    for (; *name != '\0'; name++) {
        if (*name < '0' || *name > '9' || number > 100000000)
            return -1;
        number = number * 10 + (*name - '0');
    }
    return number;
}

GRACE_PLAIN int grace_kernel_list(struct grace_kernel_listing *listing, const char *path)
{
    listing->fd = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    listing->length = listing->at = 0;
    return listing->fd < 0 ? (int)listing->fd : 0;
}

GRACE_PLAIN const char *grace_kernel_list_next(struct grace_kernel_listing *listing)
{
    for (;;) {
        if (listing->at >= listing->length) {
            listing->at = 0;
            listing->length =
                grace_kernel(SYS_getdents64, listing->fd, listing->buffer, sizeof listing->buffer);
            if (listing->length <= 0)
                return NULL;
        }
        struct directory_entry *entry =
            (struct directory_entry *)(void *)(listing->buffer + listing->at);
        listing->at += entry->length; /* NOLINT(*-core.uninitialized.*): the kernel fills it */
        if (entry->name[0] != '.')
            return entry->name;
    }
}

GRACE_PLAIN void grace_kernel_list_end(struct grace_kernel_listing *listing)
{
    grace_kernel(SYS_close, listing->fd);
}

GRACE_PLAIN int grace_kernel_each_descriptor(void (*visit)(int, void *), void *argument)
{
    struct grace_kernel_listing listing;
    int result = grace_kernel_list(&listing, "/proc/self/fd");
    if (result < 0)
        return result;
    const char *name;
    while ((name = grace_kernel_list_next(&listing)) != NULL) {
        int number = descriptor_number(name);
        if (number >= 0 && number != listing.fd)
            visit(number, argument);
    }
    grace_kernel_list_end(&listing);
    return listing.length < 0 ? (int)listing.length : 0;
}

struct closing {
    unsigned first, last;
    int closed;
};

static GRACE_PLAIN void close_one(int number, void *argument)
{
    struct closing *closing = argument;
    if ((unsigned)number < closing->first || (unsigned)number > closing->last)
        return;
    grace_kernel(SYS_close, number);
    closing->closed = 1;
}

/* Kernels before 5.9 have no close_range. Closing while reading makes the list skip entries, so
 * read again until a whole pass finds nothing to close. */
static GRACE_PLAIN int close_listed(unsigned first, unsigned last)
{
    struct closing closing = {first, last, 0};
    do {
        closing.closed = 0;
        if (grace_kernel_each_descriptor(close_one, &closing) != 0)
            return -1;
    } while (closing.closed);
    return 0;
}

GRACE_PLAIN void grace_kernel_close_range(unsigned first, unsigned last)
{
#ifdef SYS_close_range
    if (grace_kernel(SYS_close_range, first, last, 0) == 0)
        return;
#endif
    if (close_listed(first, last) == 0)
        return;
    struct rlimit limit = {1024, 1024};
    grace_kernel(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    unsigned end = limit.rlim_cur < 65536 ? (unsigned)limit.rlim_cur : 65536;
    for (unsigned number = first; number < end && number <= last; number++)
        grace_kernel(SYS_close, number);
}
