/*
 * Slots: what the kernel calls in place of the target's handlers.
 *
 * A managed signal's entry in the kernel is a few instructions of ours, one piece for each slot,
 * that load the slot's number and go to grace_signal_arrived. For the default action there is a
 * slot for each combination of flags, and its number says all: these never run out.
 *
 * For handlers each managed signal has a range of slots of its own. A slot is written when a
 * handler is set for the first time. A target that sets ever new ones (they may be made at run
 * time) comes to the end of the range some day; then the slot that was written longest ago and that
 * the kernel does not have now gets the new meaning. A signal that the kernel has delivered to such
 * a slot, whose thread has not run since, reaches the newer handler of the same signal; by then the
 * target has set as many other handlers for it as the range is long.
 *
 * Between taking a slot and giving it to the kernel a thread holds it (`held`), so that no other
 * thread gives it another meaning. Nobody waits for a slot that is held, he takes another. So a
 * handler may come in between at any place, and one that jumps out of here costs a slot.
 *
 * A vfork child shares this memory and has the kernel's entries for itself: it may add a meaning,
 * but cannot know which slots its parent's entries still need. So in another process than the one
 * that libgrace set up a full range stays as it is.
 */
#include "slots.h"

#include <stdatomic.h>
#include <stddef.h>

#include "hooks/room.h"
#include "raw.h"
#include "shim.h"

#define DEFAULTS 64 /* combinations of the six flags */
#define HANDLERS 448
#define SLOTS    512

_Static_assert(DEFAULTS + HANDLERS == SLOTS, "which are made as many pieces of code");

#define FLAGS_SHIFT 56
#define IN_USE      (UINT64_C(1) << 63)

static _Atomic uint64_t words[HANDLERS] GRACE_ROOM(words);

enum { FREE = 0, EXCLUSIVE = -1 }; /* or how many threads are about to give it to the kernel */
static _Atomic int held[HANDLERS] GRACE_ROOM(held);

static _Atomic
    uint32_t turn[65] GRACE_ROOM(turn); /* where in a signal's range to look for the oldest */

/* ---- the code ------------------------------------------------------------------------------ */

/*
 * Each piece: the slot's number into the fourth argument's register, and on. All have one size, so
 * that an address tells the slot.
 *
 * What follows asks grace_signal_arrived for the target's handler and goes there with registers and
 * stack as the kernel left them: nothing of ours is on the stack while it runs, and it returns to
 * where the kernel had it return. Where the stack has no room for us, the asking is done on another
 * (arrival.c, grace_arrival_stack).
 */
#define TEXT(word)  TEXT_(word)
#define TEXT_(word) #word

#if defined(__x86_64__)

#define ENTRY_SIZE 10 /* mov and jmp, 5 bytes each */
#define ENTRY                                                                                      \
    ".byte 0xb9; .long slot\n"           /* mov $slot, %ecx */                                     \
    ".byte 0xe9; .long arrive - . - 4\n" /* jmp arrive */

#define ARRIVE                                                                                     \
    ".cfi_startproc\n"                                                                             \
    "pushq %rbx\n"                                                                                 \
    ".cfi_def_cfa_offset 16\n"                                                                     \
    ".cfi_offset %rbx, -16\n"                                                                      \
    "pushq %rdi; pushq %rsi; pushq %rdx; pushq %rcx\n"                                             \
    ".cfi_def_cfa_offset 48\n"                                                                     \
    "movq %rsp, %rbx\n"                                                                            \
    ".cfi_def_cfa_register %rbx\n"                                                                 \
    "movq %rdx, %rdi; call grace_arrival_stack\n"                                                  \
    "movl (%rbx), %ecx; movq 8(%rbx), %rdx; movq 16(%rbx), %rsi; movq 24(%rbx), %rdi\n"            \
    "movq %rax, (%rbx); testq %rax, %rax; jz 1f; movq %rax, %rsp\n"                                \
    "1: call grace_signal_arrived\n"                                                               \
    "movq %rbx, %rsp\n"                                                                            \
    "movq (%rbx), %rdi; movq %rax, (%rbx); testq %rdi, %rdi; jz 2f\n"                              \
    "call grace_arrival_leave\n"                                                                   \
    "2: popq %r11; popq %rdx; popq %rsi; popq %rdi\n"                                              \
    ".cfi_def_cfa %rsp, 16\n"                                                                      \
    "popq %rbx\n"                                                                                  \
    ".cfi_def_cfa_offset 8\n"                                                                      \
    ".cfi_restore %rbx\n"                                                                          \
    "xorl %eax, %eax\n" /* as the kernel has it */                                                 \
    "testq %r11, %r11; jz 3f; jmp *%r11\n"                                                         \
    "3: ret\n"                                                                                     \
    ".cfi_endproc\n"

#elif defined(__aarch64__)

#define ENTRY_SIZE 8
#define ENTRY      "movz w3, #slot; b arrive\n"

#define ARRIVE                                                                                     \
    ".cfi_startproc\n"                                                                             \
    "stp x29, x30, [sp, #-64]!\n"                                                                  \
    ".cfi_def_cfa_offset 64\n"                                                                     \
    ".cfi_offset 29, -64\n"                                                                        \
    ".cfi_offset 30, -56\n"                                                                        \
    "mov x29, sp\n"                                                                                \
    ".cfi_def_cfa_register 29\n"                                                                   \
    "stp x0, x1, [x29, #16]; stp x2, x3, [x29, #32]\n"                                             \
    "mov x0, x2; bl grace_arrival_stack\n"                                                         \
    "str x0, [x29, #48]; mov x4, x0\n"                                                             \
    "ldp x0, x1, [x29, #16]; ldp x2, x3, [x29, #32]\n"                                             \
    "cbz x4, 1f; mov sp, x4\n"                                                                     \
    "1: bl grace_signal_arrived\n"                                                                 \
    "mov sp, x29\n"                                                                                \
    "str x0, [x29, #40]; ldr x0, [x29, #48]; cbz x0, 2f; bl grace_arrival_leave\n"                 \
    "2: ldp x0, x1, [x29, #16]; ldp x2, x16, [x29, #32]\n"                                         \
    "ldp x29, x30, [sp], #64\n"                                                                    \
    ".cfi_def_cfa 31, 0\n"                                                                         \
    ".cfi_restore 29\n"                                                                            \
    ".cfi_restore 30\n"                                                                            \
    "cbz x16, 3f; br x16\n"                                                                        \
    "3: ret\n"                                                                                     \
    ".cfi_endproc\n"

#elif defined(__i386__)

/* Arguments are on the stack, and in registers for a handler that was built with regparm. Above the
 * slot's number: the address to return to, and the three arguments. */
#define ENTRY_SIZE 10
#define ENTRY                                                                                      \
    ".byte 0x68; .long slot\n"           /* push $slot */                                          \
    ".byte 0xe9; .long arrive - . - 4\n" /* jmp arrive */

#define ARRIVE                                                                                     \
    ".cfi_startproc\n"                                                                             \
    ".cfi_def_cfa_offset 8\n"                                                                      \
    "pushl %ebp\n"                                                                                 \
    ".cfi_def_cfa_offset 12\n"                                                                     \
    ".cfi_offset %ebp, -12\n"                                                                      \
    "movl %esp, %ebp\n"                                                                            \
    ".cfi_def_cfa_register %ebp\n"                                                                 \
    "pushl %eax; pushl %edx; pushl %ecx; pushl $0\n"                                               \
    "andl $-16, %esp; subl $12, %esp; pushl 20(%ebp); call grace_arrival_stack\n"                  \
    "movl %eax, -16(%ebp); testl %eax, %eax; jz 1f; movl %eax, %esp\n"                             \
    "1: pushl 4(%ebp); pushl 20(%ebp); pushl 16(%ebp); pushl 12(%ebp)\n"                           \
    "call grace_signal_arrived\n"                                                                  \
    "movl %eax, 4(%ebp)\n"                                                                         \
    "leal -16(%ebp), %esp; movl (%esp), %eax; testl %eax, %eax; jz 2f\n"                           \
    "andl $-16, %esp; subl $12, %esp; pushl %eax; call grace_arrival_leave\n"                      \
    "2: movl -12(%ebp), %ecx; movl -8(%ebp), %edx; movl -4(%ebp), %eax\n"                          \
    "movl %ebp, %esp; popl %ebp\n"                                                                 \
    ".cfi_def_cfa %esp, 8\n"                                                                       \
    ".cfi_restore %ebp\n"                                                                          \
    "cmpl $0, (%esp); je 3f\n"                                                                     \
    "ret\n" /* to the handler */                                                                   \
    "3: addl $4, %esp\n"                                                                           \
    ".cfi_def_cfa_offset 4\n"                                                                      \
    "ret\n"                                                                                        \
    ".cfi_endproc\n"

#endif

__asm__(".pushsection .text\n"
        ".p2align 4\n"
        ".type grace_slot_entries, %function\n"
        "grace_slot_entries:\n"
        ".set slot, 0\n"
        ".rept " TEXT(SLOTS) "\n" ENTRY ".set slot, slot + 1\n"
                             ".endr\n"
                             "arrive:\n" ARRIVE ".size grace_slot_entries, . - grace_slot_entries\n"
                             ".popsection\n");

extern const char grace_slot_entries[] __attribute__((visibility("hidden")));

grace_slot_entry *grace_slot_entry_of(int slot)
{
    return (grace_slot_entry *)(uintptr_t)(grace_slot_entries + (size_t)slot * ENTRY_SIZE);
}

int grace_slot_of_entry(grace_slot_entry *entry)
{
    uintptr_t offset = (uintptr_t)entry - (uintptr_t)grace_slot_entries;
    return offset < SLOTS * ENTRY_SIZE && offset % ENTRY_SIZE == 0 ? (int)(offset / ENTRY_SIZE)
                                                                   : -1;
}

/* ---- meanings ------------------------------------------------------------------------------ */

uint64_t grace_slot_word(int slot)
{
    return slot < DEFAULTS
               ? (uint64_t)slot << FLAGS_SHIFT
               : atomic_load_explicit(&words[slot - DEFAULTS], memory_order_acquire) & ~IN_USE;
}

void grace_slot_leave(int slot)
{
    if (slot >= DEFAULTS)
        atomic_fetch_sub_explicit(&held[slot - DEFAULTS], 1, memory_order_release);
}

/* Hold a slot that has this meaning, with others who do. */
static bool hold(int place, uint64_t word)
{
    int count = atomic_load_explicit(&held[place], memory_order_relaxed);
    do {
        if (count == EXCLUSIVE)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&held[place], &count, count + 1,
                                                    memory_order_acquire, memory_order_relaxed));
    if (atomic_load_explicit(&words[place], memory_order_acquire) == word)
        return true;
    atomic_fetch_sub_explicit(&held[place], 1, memory_order_release);
    return false;
}

static bool hold_alone(int place)
{
    int nobody = FREE;
    return atomic_compare_exchange_strong_explicit(&held[place], &nobody, EXCLUSIVE,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* For whoever holds it alone: give it a meaning, and hold it on as one of many. */
static void give(int place, uint64_t word)
{
    atomic_store_explicit(&words[place], word, memory_order_release);
    atomic_store_explicit(&held[place], 1, memory_order_release);
}

static bool find(int first, int count, uint64_t word, int *found)
{
    for (*found = first; *found < first + count; ++*found)
        if (atomic_load_explicit(&words[*found], memory_order_acquire) == word &&
            hold(*found, word))
            return true;
    return false;
}

static bool take_free(int first, int count, uint64_t word, int *found)
{
    for (*found = first; *found < first + count; ++*found) {
        if (atomic_load_explicit(&words[*found], memory_order_relaxed) != 0 || !hold_alone(*found))
            continue;
        if (atomic_load_explicit(&words[*found], memory_order_relaxed) == 0) {
            give(*found, word);
            return true;
        }
        atomic_store_explicit(&held[*found], FREE, memory_order_release);
    }
    return false;
}

/* The kernel has it now: asked while it is held alone, so it does not get it meanwhile. */
static bool is_current(int signo, int place)
{
    struct grace_kernel_sigaction now = {.handler = NULL};
    grace_rt_sigaction(signo, NULL, &now);
    return grace_slot_of_entry(now.handler) == place + DEFAULTS;
}

static bool take_oldest(int signo, int first, int count, uint64_t word, int *found)
{
    if (atomic_load_explicit(&grace_shim.process, memory_order_relaxed) != grace_getpid() &&
        !grace_is_forked())
        return false; /* a child of vfork: this is its parent's memory */
    for (int tries = 0; tries < count; tries++) {
        uint32_t at = atomic_fetch_add_explicit(&turn[signo], 1, memory_order_relaxed);
        *found = first + (int)(at % (uint32_t)count);
        if (!hold_alone(*found))
            continue;
        if (!is_current(signo, *found)) {
            give(*found, word);
            return true;
        }
        atomic_store_explicit(&held[*found], FREE, memory_order_release);
    }
    return false;
}

int grace_slot_take(int signo, uint64_t word)
{
    if ((word & GRACE_SLOT_HANDLER) == 0)
        return (int)(word >> FLAGS_SHIFT);
    uint64_t managed = grace_shim.plan->signals;
    int count = HANDLERS / __builtin_popcountll(managed);
    int first = count * __builtin_popcountll(managed & (GRACE_SIGNAL_BIT(signo) - 1));
    int place;
    word |= IN_USE;
    if (find(first, count, word, &place) || take_free(first, count, word, &place) ||
        take_oldest(signo, first, count, word, &place))
        return place + DEFAULTS;
    return -1;
}
