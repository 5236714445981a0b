/*
 * System calls straight to the kernel.
 *
 * libgrace lives in a foreign program. A libc function may be one that the program defines itself,
 * one that libgrace wraps, or one that takes a lock or writes errno; in a child that shares our
 * memory errno is even another thread's. So what runs during a stop asks the kernel without libc.
 * Each function returns what the kernel returns: a result, or a negative errno. errno is never
 * touched. All are async-signal-safe and thread-safe.
 */
#ifndef GRACE_HOOKS_KERNEL_H
#define GRACE_HOOKS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#if !defined(__linux__)
#error "libgrace lives on what Linux offers (signals, /proc, futex, pidfd): build it on Linux"
#elif !defined(__GLIBC__)
#error                                                                                             \
    "libgrace.so needs GNU's libc: it knows where that keeps its locks. Build with a compiler for it (gcc, not musl-gcc); for a program of another libc there is `grace run`"
#elif !defined(__x86_64__) && !defined(__aarch64__) && !defined(__i386__)
#error                                                                                             \
    "libgrace is written for x86_64, aarch64 and i386; another processor needs its part in hooks/kernel.h, hooks/kernel.c, shim/arch.h, shim/slots.c and shim/redirect.c first"
#elif defined(__ILP32__) && !defined(__i386__)
#error                                                                                             \
    "libgrace knows no 32-bit pointers on a 64-bit processor (x32, ilp32): build for x86_64, aarch64 or i386"
#endif

/* i386 has older calls under the plain names, with 16 bits for a user or the arguments in memory;
 * these are the ones that behave as elsewhere. An offset of mmap2 is in pages. */
#if defined(__i386__)
#define GRACE_SYS_mmap      SYS_mmap2
#define GRACE_SYS_getuid    SYS_getuid32
#define GRACE_SYS_getresuid SYS_getresuid32
#define GRACE_SYS_setresuid SYS_setresuid32
#define GRACE_SYS_setresgid SYS_setresgid32
#define GRACE_SYS_setgroups SYS_setgroups32
#define GRACE_SYS_fstat     SYS_fstat64
#else
#define GRACE_SYS_mmap      SYS_mmap
#define GRACE_SYS_getuid    SYS_getuid
#define GRACE_SYS_getresuid SYS_getresuid
#define GRACE_SYS_setresuid SYS_setresuid
#define GRACE_SYS_setresgid SYS_setresgid
#define GRACE_SYS_setgroups SYS_setgroups
#define GRACE_SYS_fstat     SYS_fstat
#endif

/* For what runs on a stack that a sanitizer does not know. */
#if defined(__GNUC__)
#define GRACE_PLAIN __attribute__((no_sanitize("address", "undefined", "thread")))
#else
#define GRACE_PLAIN
#endif

static inline GRACE_PLAIN long grace_kernel6(long number, long a, long b, long c, long d, long e,
                                             long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#else
    /* %ebp may be the frame's: the sixth argument waits on the stack until it is free. */
    long result;
    __asm__ volatile("pushl %[f]\n\t"
                     "pushl %%ebp\n\t"
                     "movl 4(%%esp), %%ebp\n\t"
                     "int $0x80\n\t"
                     "popl %%ebp\n\t"
                     "addl $4, %%esp"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [f] "m"(f)
                     : "memory", "cc");
    return result;
#endif
}

/* A call with up to six arguments of any scalar type: grace_kernel(SYS_close, fd). */
#define grace_kernel(...)                                                                          \
    GRACE_KERNEL_PICK(__VA_ARGS__, GRACE_KERNEL_6, GRACE_KERNEL_5, GRACE_KERNEL_4, GRACE_KERNEL_3, \
                      GRACE_KERNEL_2, GRACE_KERNEL_1, GRACE_KERNEL_0, )                            \
    (__VA_ARGS__)
#define GRACE_KERNEL_PICK(n, a, b, c, d, e, f, pick, ...) pick
#define GRACE_KERNEL_0(n)                                 grace_kernel6(n, 0, 0, 0, 0, 0, 0)
#define GRACE_KERNEL_1(n, a)                              grace_kernel6(n, (long)(a), 0, 0, 0, 0, 0)
#define GRACE_KERNEL_2(n, a, b)                           grace_kernel6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define GRACE_KERNEL_3(n, a, b, c)                        grace_kernel6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define GRACE_KERNEL_4(n, a, b, c, d)                                                              \
    grace_kernel6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define GRACE_KERNEL_5(n, a, b, c, d, e)                                                           \
    grace_kernel6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define GRACE_KERNEL_6(n, a, b, c, d, e, f)                                                        \
    grace_kernel6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* pread and pwrite: how an offset of 64 bits is passed depends on the processor. */
static inline GRACE_PLAIN long grace_kernel_pread(long fd, void *buffer, size_t size,
                                                  uint64_t offset)
{
#if defined(__i386__)
    return grace_kernel(SYS_pread64, fd, buffer, size, (uint32_t)offset, (uint32_t)(offset >> 32));
#else
    return grace_kernel(SYS_pread64, fd, buffer, size, offset);
#endif
}

static inline GRACE_PLAIN long grace_kernel_pwrite(long fd, const void *buffer, size_t size,
                                                   uint64_t offset)
{
#if defined(__i386__)
    return grace_kernel(SYS_pwrite64, fd, buffer, size, (uint32_t)offset, (uint32_t)(offset >> 32));
#else
    return grace_kernel(SYS_pwrite64, fd, buffer, size, offset);
#endif
}

/* Whether a call that returns an address, as mmap, returned an error instead. */
static inline GRACE_PLAIN int grace_kernel_failed(long result)
{
    return (unsigned long)result > -4096ul;
}

/* Block every signal for this thread, libc's own included; *old is what was blocked before. */
void grace_kernel_block_signals(uint64_t *old);
/* Set this thread's mask. */
void grace_kernel_set_mask(uint64_t mask);

static inline __attribute__((always_inline)) int32_t grace_getpid(void)
{
    return (int32_t)grace_kernel(SYS_getpid);
}

/* Milliseconds of CLOCK_MONOTONIC, and the same in microseconds. */
uint64_t grace_kernel_now_us(void);
static inline uint64_t grace_kernel_now_ms(void)
{
    return grace_kernel_now_us() / 1000;
}

/*
 * Whether *word stops being `seen` within a moment, while others run: what to do before sleeping
 * on a futex when the answer is near. To wake a sleeper takes 20 to 50 us (on a virtual machine
 * an interrupt of another processor), most in-process hooks less.
 */
bool grace_kernel_changes_soon(const _Atomic uint32_t *word, uint32_t seen);

/*
 * Start a process on a stack of its own, running entry(argument), which must not return. `flags` as
 * of clone(2); child_tid is for CLONE_CHILD_CLEARTID. Returns the pid or a negative errno.
 *
 * An emulator (qemu-user) or a sandbox's filter may refuse one that shares this one's memory
 * (CLONE_VM) or tells nobody of its end by a signal; and with CLONE_VFORK it may be a forked one
 * that the caller does not wait for. Whoever asks for any of these goes on without.
 */
long grace_kernel_clone(unsigned long flags, void *stack_top, int32_t *child_tid,
                        void (*entry)(void *), void *argument);

/* Whether valgrind runs this program: it knows no clone but those of fork, vfork and threads, and
 * ends the program at any other. */
bool grace_kernel_is_valgrind(void);

/*
 * The names in a folder, without a lock or allocation: list, then next until NULL, then end.
 * Returns 0 or a negative errno. A name lives until the next is asked for. Skips "." and "..".
 */
struct grace_kernel_listing {
    long fd;
    long length, at;
    _Alignas(8) char buffer[1024];
};
int grace_kernel_list(struct grace_kernel_listing *listing, const char *path);
const char *grace_kernel_list_next(struct grace_kernel_listing *listing);
void grace_kernel_list_end(struct grace_kernel_listing *listing);

/*
 * Call visit(number, argument) for each open descriptor of this process, without a lock or
 * allocation. What is opened or closed meanwhile may or may not be seen. Returns 0, or a negative
 * errno where /proc cannot be read.
 */
int grace_kernel_each_descriptor(void (*visit)(int, void *), void *argument);

/* Close every descriptor from first to last in this process, as close_range does, on kernels that
 * lack it too. */
void grace_kernel_close_range(unsigned first, unsigned last);

/* End this process (all its threads) without running anything of libc's. */
_Noreturn void grace_kernel_exit(int status);

#endif
