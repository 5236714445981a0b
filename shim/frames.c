/*
 * Signal frames on the calling thread's own stack: what the kernel puts there for a handler, with
 * the context that it interrupted. They are told by their shape and by the code that a handler
 * returns to, which every unwinder knows and the kernel therefore never changes.
 *
 * Read from handlers, over stacks whose end is only guessed for threads that libc did not make:
 * each page is asked about before it is touched. What an ended handler left behind in a buffer that
 * nobody has written since looks like a frame; then one too many is seen, which is the safe error.
 */
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "arch.h"
#include "raw.h"
#include "shim.h"

#define PAGE 4096u /* the smallest: larger ones are asked about more often */

/* rt_sigprocmask reads the new mask, here any eight bytes, before it refuses to know what to do
 * with it (kernel/signal.c). */
static bool is_readable(uintptr_t address, size_t size)
{
    enum { NOTHING = -1 };
    uintptr_t end = address + size;
    for (address &= ~(uintptr_t)7; address < end; address = (address | (PAGE - 1)) + 1)
        if (grace_kernel(SYS_rt_sigprocmask, NOTHING, address, NULL, 8) != -EINVAL)
            return false;
    return true;
}

static bool has_code(uintptr_t address, const char *code, size_t size)
{
    return address >= PAGE && is_readable(address, size) &&
           memcmp((const void *)address, code, size) == 0;
}

/* ---- what a frame looks like --------------------------------------------------------------- */

#if defined(__x86_64__)

/* arch/x86/include/asm/sigframe.h, struct rt_sigframe. */
struct frame {
    uintptr_t restorer;
    ucontext_t context;
};
#define FRAME_ALIGNMENT 8
/* The kernel's ucontext ends before libc's larger sigset_t; only what both have is looked at. */
#define FRAME_SIZE (offsetof(struct frame, context) + offsetof(ucontext_t, uc_sigmask) + 8)

static bool is_restorer(uintptr_t address)
{
    return has_code(address, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9); /* mov $15, %rax; syscall */
}

static GRACE_PLAIN const ucontext_t *context_of(const struct frame *frame)
{
    const ucontext_t *context = &frame->context;
    uint16_t code_segment = (uint16_t)(context->uc_mcontext.gregs[REG_CSGSFS] & 0xffff);
    bool has_shape = (context->uc_flags & ~7ul) == 0 && context->uc_link == NULL &&
                     code_segment == 0x33 && frame->restorer >> 47 == 0;
    return has_shape && is_restorer(frame->restorer) ? context : NULL;
}

const ucontext_t *grace_frame_below(const ucontext_t *context)
{
    return context_of((const struct frame *)grace_context_sp(context));
}

#elif defined(__i386__)

/* arch/x86/include/asm/sigframe.h: struct rt_sigframe_ia32 for handlers with SA_SIGINFO, struct
 * sigframe_ia32 for the others. The arguments are the handler's, and may be anything by now. */
struct frame {
    uintptr_t restorer;
    union {
        struct {
            uintptr_t arguments[3];
            char info[128];
            ucontext_t context;
        } full;
        struct {
            uintptr_t argument;
            mcontext_t registers; /* struct sigcontext, which has the same layout */
        } plain;
    };
};
#define FRAME_ALIGNMENT 4
#define FRAME_SIZE      (offsetof(struct frame, full.context) + offsetof(ucontext_t, uc_sigmask) + 8)

static bool is_user_code(const mcontext_t *registers)
{
    int segment = registers->gregs[REG_CS];
    return segment == 0x23 || segment == 0x73; /* of a 64-bit kernel, of a 32-bit one */
}

/* Of a plain frame there is no more than the registers. */
static GRACE_PLAIN const ucontext_t *context_of(const struct frame *frame)
{
    const ucontext_t *context = &frame->full.context;
    if ((context->uc_flags & ~7ul) == 0 && context->uc_link == NULL &&
        is_user_code(&context->uc_mcontext) &&
        has_code(frame->restorer, "\xb8\xad\0\0\0\xcd\x80", 7)) /* mov $173, %eax; int $0x80 */
        return context;
    const char *registers = (const char *)&frame->plain.registers;
    if (is_user_code(&frame->plain.registers) &&
        has_code(frame->restorer, "\x58\xb8\x77\0\0\0\xcd\x80",
                 8)) /* pop %eax; mov $119, %eax; … */
        return (const ucontext_t *)(registers - offsetof(ucontext_t, uc_mcontext));
    return NULL;
}

const ucontext_t *grace_frame_below(const ucontext_t *context)
{
    return context_of((const struct frame *)grace_context_sp(context));
}

#elif defined(__aarch64__)

/* arch/arm64/kernel/signal.c, struct rt_sigframe. The address to return to is in a register; what
 * tells a frame is the record of the floating-point registers, which comes first. */
struct frame {
    siginfo_t info; /* filled in with SA_SIGINFO only */
    ucontext_t context;
};
#define FRAME_ALIGNMENT 16
#define FRAME_SIZE      (offsetof(struct frame, context.uc_mcontext.__reserved) + 8)

static GRACE_PLAIN const ucontext_t *context_of(const struct frame *frame)
{
    static const uint32_t record[] = {0x46508001, 528}; /* FPSIMD_MAGIC, its size */
    const ucontext_t *context = &frame->context;
    bool has_shape = context->uc_flags == 0 && context->uc_link == NULL &&
                     memcmp(context->uc_mcontext.__reserved, record, sizeof record) == 0;
    return has_shape ? context : NULL;
}

const ucontext_t *grace_frame_below(const ucontext_t *context)
{
    /* mov x8, #139; svc #0 */
    if (!has_code(context->uc_mcontext.regs[30], "\x68\x11\x80\xd2\x01\0\0\xd4", 8))
        return NULL;
    return context_of((const struct frame *)grace_context_sp(context));
}

#endif

/* ---- looking for one ----------------------------------------------------------------------- */

/* The end of the stack that `sp` is on, or an address that nobody looks beyond. */
#define LOOK_AT_MOST (8u << 20)
static uintptr_t stack_end(uintptr_t sp)
{
    stack_t alternate;
    uintptr_t limit = sp + LOOK_AT_MOST, self = (uintptr_t)pthread_self();
    if (sigaltstack(NULL, &alternate) == 0 && (alternate.ss_flags & SS_ONSTACK) &&
        sp - (uintptr_t)alternate.ss_sp < alternate.ss_size)
        return (uintptr_t)alternate.ss_sp + alternate.ss_size;
    if (limit < sp)
        limit = UINTPTR_MAX;
    if (grace_gettid() == grace_getpid())
        return sp < (uintptr_t)grace_shim.stack_end && (uintptr_t)grace_shim.stack_end < limit
                   ? (uintptr_t)grace_shim.stack_end
                   : limit;
    /* libc keeps a thread's own descriptor at the top of its stack. */
    return sp < self && self < limit ? self : limit;
}

bool grace_frame_find(uintptr_t sp, const ucontext_t **context)
{
    uintptr_t end = stack_end(sp), readable = sp;
    *context = NULL;
    for (uintptr_t at = sp & ~(uintptr_t)(FRAME_ALIGNMENT - 1); end - at >= FRAME_SIZE;
         at += FRAME_ALIGNMENT) {
        if (at + FRAME_SIZE > readable) {
            if (!is_readable(readable, at + FRAME_SIZE - readable))
                return readable != sp;
            readable = (at + FRAME_SIZE + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
        }
        *context = context_of((const struct frame *)at);
        if (*context != NULL)
            break;
    }
    return true;
}

/* No kernel looks at it, nor at its return (restore_sigcontext() and its like take the registers,
 * the mask and the alternate stack), and what has one is none: see context_of(). */
void grace_frame_forget(ucontext_t *context)
{
    context->uc_link = context;
}

/* ---- who sent a signal --------------------------------------------------------------------- */

static bool is_behind_call(const ucontext_t *context)
{
    uintptr_t ip = grace_context_ip(context);
    return grace_context_result(context) == 0 && ip % PAGE >= GRACE_SYSCALL_LENGTH &&
           grace_is_syscall_at(ip - GRACE_SYSCALL_LENGTH);
}

bool grace_frame_sent_by(const ucontext_t *context, const siginfo_t *info)
{
    bool by_call =
        info->si_code == SI_TKILL || info->si_code == SI_USER || info->si_code == SI_QUEUE;
    if (!by_call || info->si_pid != grace_getpid())
        return false;
    while (!is_behind_call(context))
        if ((context = grace_frame_below(context)) == NULL)
            return false;
    return true;
}
