/*
 * Slots: what the kernel calls in place of the target's handlers. See slots.c.
 */
#ifndef GRACE_SHIM_SLOTS_H
#define GRACE_SHIM_SLOTS_H

#include <signal.h>
#include <stdint.h>

/*
 * What a slot stands for, in one word: the handler's address in the low 56 bits (user space ends
 * below; 0: the default action), and above them those flags of the target's that the kernel's entry
 * does not show as they were set.
 */
#define GRACE_SLOT_HANDLER  ((UINT64_C(1) << 56) - 1)
#define GRACE_SLOT_SIGINFO  (UINT64_C(1) << 56)
#define GRACE_SLOT_ONCE     (UINT64_C(1) << 57)
#define GRACE_SLOT_ONSTACK  (UINT64_C(1) << 58)
#define GRACE_SLOT_RESTART  (UINT64_C(1) << 59)
#define GRACE_SLOT_NODEFER  (UINT64_C(1) << 60)
#define GRACE_SLOT_RESTORER (UINT64_C(1) << 61)

typedef void grace_slot_entry(int, siginfo_t *, void *);

/*
 * A slot for a managed signal that stands for `word`, to be given to the kernel before it is left
 * again; until then nobody gives it another meaning. -1: there is none, and the target's handler
 * has to go to the kernel itself. Async-signal-safe, lock-free.
 */
int grace_slot_take(int signo, uint64_t word);
void grace_slot_leave(int slot);

/* What a slot stands for now; what the kernel calls for it, and the other way round (-1: none). */
uint64_t grace_slot_word(int slot);
grace_slot_entry *grace_slot_entry_of(int slot);
int grace_slot_of_entry(grace_slot_entry *entry);

#endif
