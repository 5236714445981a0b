/*
 * What depends on the processor: reading and redirecting an interrupted context, and running a
 * function on another stack. GRACE_ARCH_SAFE_POINT says that the safe point is known here.
 */
#ifndef GRACE_SHIM_ARCH_H
#define GRACE_SHIM_ARCH_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#if defined(__x86_64__)

#define GRACE_ARCH_SAFE_POINT 1

static inline uintptr_t grace_context_ip(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

static inline uintptr_t grace_context_sp(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}

/* What the system call returned, when the context stands just behind one. */
static inline long grace_context_result(const ucontext_t *context)
{
    return (long)context->uc_mcontext.gregs[REG_RAX];
}

/* The number of the system call that the context stands before. */
static inline long grace_context_number(const ucontext_t *context)
{
    return (long)context->uc_mcontext.gregs[REG_RAX];
}

/* The system call's arguments as far as the kernel keeps them. */
static inline long grace_context_argument(const ucontext_t *context, int index)
{
    static const int registers[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
    return (long)context->uc_mcontext.gregs[registers[index]];
}

/* Where the code is that makes the system call which the context stands at or behind. */
static inline uintptr_t grace_context_caller(const ucontext_t *context)
{
    return grace_context_ip(context);
}

/* The function through which libc enters the kernel; 0: it does so by itself. */
static inline uintptr_t grace_kernel_entry(void)
{
    return 0;
}

/* Length of the system call instruction, and whether one stands at an address. */
#define GRACE_SYSCALL_LENGTH 2
static inline bool grace_is_syscall_at(uintptr_t address)
{
    return memcmp((const void *)address, "\x0f\x05", 2) == 0;
}

/*
 * The number of the system call that the context stands just behind; -1: not known. The register
 * holds the result by now, but libc's stubs load the number shortly before: mov $number, %eax, or
 * xor %eax, %eax for 0.
 */
static inline long grace_context_number_behind(const ucontext_t *context)
{
    const unsigned char *ip = (const unsigned char *)grace_context_ip(context);
    if (ip[-4] == 0x31 && ip[-3] == 0xc0)
        return 0;
    for (int back = GRACE_SYSCALL_LENGTH + 5; back <= GRACE_SYSCALL_LENGTH + 12; back++)
        if (ip[-back] == 0xb8 && ip[-back + 3] == 0 && ip[-back + 4] == 0)
            return ip[-back + 1] | ip[-back + 2] << 8;
    return -1;
}

/*
 * Move a context that stands just behind a system call back to make it again, if the code before it
 * tells the call's number beyond doubt and `may` allows it: mov $number, %eax (or xor %eax, %eax)
 * with nothing but loads from the stack up to the system call instruction. The kernel changes no
 * other register. The 64 bytes before the caller's address must be readable.
 */
typedef bool grace_may_repeat(const ucontext_t *context, long number);
static inline bool grace_context_repeat(ucontext_t *context, grace_may_repeat *may)
{
    const uint8_t *call = (const uint8_t *)grace_context_ip(context) - GRACE_SYSCALL_LENGTH;
    for (int back = 2; back <= 32; back++) {
        const uint8_t *at = call - back;
        uint32_t number = 0;
        if (at[0] == 0xb8 && back >= 5)
            memcpy(&number, at + 1, sizeof number);
        else if (at[0] != 0x31 || at[1] != 0xc0)
            continue;
        for (at += at[0] == 0xb8 ? 5 : 2; at < call;) {
            const uint8_t *code = at + ((at[0] & 0xf0) == 0x40); /* REX */
            if (code[0] != 0x8b || code[2] != 0x24)
                break;
            if ((code[1] & 0xc7) == 0x44) /* mov offset(%rsp), register */
                at = code + 4;
            else if ((code[1] & 0xc7) == 0x04) /* mov (%rsp), register */
                at = code + 3;
            else
                break;
        }
        if (at != call || !grace_is_syscall_at((uintptr_t)call) || !may(context, (long)number))
            continue;
        context->uc_mcontext.gregs[REG_RAX] = (greg_t)number;
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)call;
        return true;
    }
    return false;
}

/* Have a system call that the context stands before fail with EINTR. */
static inline void grace_context_interrupt(ucontext_t *context)
{
    context->uc_mcontext.gregs[REG_RIP] += GRACE_SYSCALL_LENGTH;
    context->uc_mcontext.gregs[REG_RAX] = -EINTR;
}

/* Have the context go on in function(argument), as if it had been called there. */
static inline void grace_context_redirect(ucontext_t *context, void (*function)(long),
                                          long argument)
{
    /* Below the red zone, aligned as after a call instruction. */
    uintptr_t sp = ((grace_context_sp(context) - 256) & ~(uintptr_t)15) - 8;
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
    context->uc_mcontext.gregs[REG_RDI] = (greg_t)argument;
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)function;
}

static inline void grace_call_on_stack(void (*function)(void *), void *argument, void *stack_end)
{
    __asm__ volatile("movq %%rsp, %%rbx\n\t"
                     "movq %[stack], %%rsp\n\t"
                     "call *%[function]\n\t"
                     "movq %%rbx, %%rsp"
                     : "+D"(argument)
                     : [stack] "r"((uintptr_t)stack_end & ~(uintptr_t)15), [function] "r"(function)
                     : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc",
                       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#elif defined(__aarch64__)

#define GRACE_ARCH_SAFE_POINT 1

static inline uintptr_t grace_context_ip(const ucontext_t *context)
{
    return context->uc_mcontext.pc;
}

static inline uintptr_t grace_context_sp(const ucontext_t *context)
{
    return context->uc_mcontext.sp;
}

static inline long grace_context_result(const ucontext_t *context)
{
    return (long)context->uc_mcontext.regs[0];
}

static inline long grace_context_number(const ucontext_t *context)
{
    return (long)context->uc_mcontext.regs[8];
}

static inline long grace_context_argument(const ucontext_t *context, int index)
{
    return (long)context->uc_mcontext.regs[index];
}

static inline uintptr_t grace_context_caller(const ucontext_t *context)
{
    return grace_context_ip(context);
}

static inline uintptr_t grace_kernel_entry(void)
{
    return 0;
}

#define GRACE_SYSCALL_LENGTH 4
static inline bool grace_is_syscall_at(uintptr_t address)
{
    return memcmp((const void *)address, "\x01\x00\x00\xd4", 4) == 0; /* svc #0 */
}

static inline long grace_context_number_behind(const ucontext_t *context)
{
    return (long)context->uc_mcontext.regs[8];
}

/* The first argument is where the result is now. */
typedef bool grace_may_repeat(const ucontext_t *context, long number);
static inline bool grace_context_repeat(ucontext_t *context, grace_may_repeat *may)
{
    (void)context;
    (void)may;
    return false;
}

static inline void grace_context_interrupt(ucontext_t *context)
{
    context->uc_mcontext.pc += GRACE_SYSCALL_LENGTH;
    context->uc_mcontext.regs[0] = (unsigned long)-EINTR;
}

static inline void grace_context_redirect(ucontext_t *context, void (*function)(long),
                                          long argument)
{
    context->uc_mcontext.sp = (grace_context_sp(context) - 256) & ~(uintptr_t)15;
    context->uc_mcontext.regs[0] = (unsigned long)argument;
    context->uc_mcontext.regs[30] = 0;
    context->uc_mcontext.pc = (uintptr_t)function;
}

static inline void grace_call_on_stack(void (*function)(void *), void *argument, void *stack_end)
{
    register void *x0 __asm__("x0") = argument;
    __asm__ volatile("mov x19, sp\n\t"
                     "mov sp, %[stack]\n\t"
                     "blr %[function]\n\t"
                     "mov sp, x19"
                     : "+r"(x0)
                     : [stack] "r"((uintptr_t)stack_end & ~(uintptr_t)15), [function] "r"(function)
                     : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
                       "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x30", "memory", "cc", "v0",
                       "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20",
                       "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

#elif defined(__i386__)

#define GRACE_ARCH_SAFE_POINT 1

/*
 * libc makes nearly all system calls through a function of the kernel's, __kernel_vsyscall in the
 * vDSO (arch/x86/entry/vdso/vdso32/system_call.S). However that enters the kernel, the context
 * stands behind an int $0x80 there, or at it when the call is to be made again; what follows pops
 * the saved registers and returns.
 */
static inline uintptr_t grace_context_ip(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_EIP];
}

static inline uintptr_t grace_context_sp(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_ESP];
}

static inline long grace_context_result(const ucontext_t *context)
{
    return context->uc_mcontext.gregs[REG_EAX];
}

static inline long grace_context_number(const ucontext_t *context)
{
    return context->uc_mcontext.gregs[REG_EAX];
}

static inline long grace_context_argument(const ucontext_t *context, int index)
{
    static const int registers[] = {REG_EBX, REG_ECX, REG_EDX, REG_ESI, REG_EDI, REG_EBP};
    return context->uc_mcontext.gregs[registers[index]];
}

#define GRACE_SYSCALL_LENGTH 2
static inline bool grace_is_syscall_at(uintptr_t address)
{
    return memcmp((const void *)address, "\xcd\x80", 2) == 0;
}

/* The address that the vDSO's function returns to; the context's own where libc enters the kernel
 * by itself. */
static inline uintptr_t grace_context_caller(const ucontext_t *context)
{
    const uint8_t *code = (const uint8_t *)grace_context_ip(context);
    const uintptr_t *stack = (const uintptr_t *)grace_context_sp(context);
    if (grace_is_syscall_at((uintptr_t)code))
        code += GRACE_SYSCALL_LENGTH;
    for (int pops = 0; pops < 4; pops++, code++, stack++) {
        if (*code == 0xc3) /* ret */
            return *stack;
        if ((*code & 0xf8) != 0x58) /* pop register */
            break;
    }
    return grace_context_ip(context);
}

#define GRACE_VSYSCALL_LENGTH 7 /* call *%gs:0x10 */

/* Without a vDSO (vdso32=0 for the kernel; qemu-user) that leads to ld.so, to int $0x80 and ret
 * (sysdeps/unix/sysv/linux/i386/dl-sysdep.h, _dl_sysinfo_int80). */
static inline uintptr_t grace_kernel_entry(void)
{
    uintptr_t entry;
    __asm__("movl %%gs:0x10, %0" : "=r"(entry));
    return entry;
}

/* The instruction with which libc makes the call; NULL: not known. */
static inline const uint8_t *grace_context_call(const ucontext_t *context)
{
    uintptr_t caller = grace_context_caller(context);
    if (caller == grace_context_ip(context))
        return (const uint8_t *)caller - GRACE_SYSCALL_LENGTH;
    const uint8_t *call = (const uint8_t *)caller - GRACE_VSYSCALL_LENGTH;
    return memcmp(call, "\x65\xff\x15\x10\0\0\0", GRACE_VSYSCALL_LENGTH) == 0 ? call : NULL;
}

static inline long grace_context_number_behind(const ucontext_t *context)
{
    const uint8_t *call = grace_context_call(context);
    for (int back = 5; call != NULL && back <= 24; back++) {
        const uint8_t *at = call - back;
        if (at[0] != 0xb8 || at[3] != 0 || at[4] != 0) /* mov $number, %eax */
            continue;
        for (at += 5; at < call;) {
            if (at[0] == 0x8b && at[2] == 0x24 && (at[1] & 0x87) == 0x04 && (at[1] & 0x38) != 0)
                at += at[1] & 0x40 ? 4 : 3; /* mov offset(%esp), register */
            else if (at[0] == 0x89 && at[1] >= 0xc0 && (at[1] & 7) != 0)
                at += 2; /* mov register, register */
            else if (at[0] > 0xb8 && at[0] <= 0xbf)
                at += 5; /* mov $number, register */
            else
                break;
        }
        if (at == call)
            return call[-back + 1] | call[-back + 2] << 8;
    }
    return -1;
}

typedef bool grace_may_repeat(const ucontext_t *context, long number);
static inline bool grace_context_repeat(ucontext_t *context, grace_may_repeat *may)
{
    uintptr_t instruction = grace_context_ip(context) - GRACE_SYSCALL_LENGTH;
    long number = grace_context_number_behind(context);
    if (number < 0 || !grace_is_syscall_at(instruction) || !may(context, number))
        return false;
    context->uc_mcontext.gregs[REG_EAX] = (greg_t)number;
    context->uc_mcontext.gregs[REG_EIP] = (greg_t)instruction;
    return true;
}

static inline void grace_context_interrupt(ucontext_t *context)
{
    context->uc_mcontext.gregs[REG_EIP] += GRACE_SYSCALL_LENGTH;
    context->uc_mcontext.gregs[REG_EAX] = -EINTR;
}

static inline void grace_context_redirect(ucontext_t *context, void (*function)(long),
                                          long argument)
{
    long *stack = (long *)((grace_context_sp(context) - 256) & ~(uintptr_t)15) - 1;
    stack[0] = 0; /* it does not return */
    stack[1] = argument;
    context->uc_mcontext.gregs[REG_ESP] = (greg_t)(uintptr_t)stack;
    context->uc_mcontext.gregs[REG_EIP] = (greg_t)(uintptr_t)function;
}

static inline void grace_call_on_stack(void (*function)(void *), void *argument, void *stack_end)
{
    uintptr_t stack = (uintptr_t)stack_end & ~(uintptr_t)15;
    __asm__ volatile("movl %%esp, %%esi\n\t"
                     "movl %%edx, %%esp\n\t"
                     "subl $12, %%esp\n\t"
                     "pushl %%eax\n\t"
                     "call *%%ecx\n\t"
                     "movl %%esi, %%esp"
                     : "+a"(argument), "+d"(stack), "+c"(function)
                     :
                     : "esi", "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)",
                       "st(6)", "st(7)");
}

#endif

#endif
