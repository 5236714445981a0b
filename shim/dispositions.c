/*
 * The signals' dispositions: what the target sees, and what the kernel holds.
 *
 * The kernel is the only table. A managed signal's entry there is the code of a slot (slots.c),
 * which stands for the target's handler and the flags that we had to change; the target's own mask
 * and flags are beside it. So one system call, the target's own sigaction, moves everything at
 * once, from any number of threads and handlers; a query finds the slot in what the kernel returns
 * and translates it back.
 *
 * Forked children are treated alike: the slots are theirs too, tell that they are not the owner's,
 * and do what the kernel would have done. So no wrapper here asks who it runs in.
 *
 * SIG_IGN goes to the kernel as it is: a child after exec has to inherit it. SIG_DFL becomes a slot
 * without a handler.
 */
#include "shim.h"

#include <dlfcn.h>
#include <stddef.h>

#include "raw.h"
#include "slots.h"

#define RESTORER 0x04000000u /* SA_RESTORER, which libc sets and its headers do not name */

struct grace_disposition grace_disposition_of_slot(unsigned slot)
{
    uint64_t word = grace_slot_word((int)slot);
    uintptr_t handler = (uintptr_t)(word & GRACE_SLOT_HANDLER);
    return (struct grace_disposition){
        .handler = (grace_slot_entry *)handler,
        .once = (word & GRACE_SLOT_ONCE) != 0,
    };
}

/* ---- between the target's view and the kernel's -------------------------------------------- */

static const struct {
    uint64_t bit;
    unsigned flag;
} kept_flags[] = {
    {GRACE_SLOT_SIGINFO, SA_SIGINFO}, {GRACE_SLOT_ONCE, (unsigned)SA_RESETHAND},
    {GRACE_SLOT_ONSTACK, SA_ONSTACK}, {GRACE_SLOT_RESTART, SA_RESTART},
    {GRACE_SLOT_NODEFER, SA_NODEFER},
};
#define KEPT_FLAGS (sizeof kept_flags / sizeof *kept_flags)

/* Only handled, one-shot and siginfo differ for a handler; for the default action all of them. */
static unsigned kernel_flags(unsigned flags, bool has_handler)
{
    flags = (flags | SA_SIGINFO) & ~(unsigned)SA_RESETHAND;
    if (has_handler)
        return flags;
    return (flags | SA_ONSTACK | SA_RESTART) & ~(unsigned)SA_NODEFER;
}

static uint64_t word_for(uintptr_t handler, unsigned flags)
{
    uint64_t word = (uint64_t)handler;
    for (size_t i = 0; i < KEPT_FLAGS; i++)
        if (flags & kept_flags[i].flag)
            word |= kept_flags[i].bit;
    return word;
}

/* What goes to the kernel for what the target asked for, and the slot to leave behind that; -1:
 * none. */
static struct sigaction encode(int signo, const struct sigaction *action, bool by_target, int *slot)
{
    struct sigaction kernel = *action;
    *slot = -1;
    if (action->sa_handler == SIG_IGN)
        return kernel;
    uintptr_t handler = action->sa_handler == SIG_DFL ? 0 : (uintptr_t)action->sa_handler;
    if (handler & ~(uintptr_t)GRACE_SLOT_HANDLER)
        return kernel;
    uint64_t word = word_for(handler, (unsigned)action->sa_flags);
    if (by_target)
        word |= GRACE_SLOT_RESTORER; /* libc will have put its own */
    *slot = grace_slot_take(signo, word);
    if (*slot < 0)
        return kernel;
    kernel.sa_sigaction = grace_slot_entry_of(*slot);
    kernel.sa_flags = (int)kernel_flags((unsigned)action->sa_flags, handler != 0);
    return kernel;
}

/* What the target is told for what the kernel returned. */
static struct sigaction decode(const struct sigaction *kernel)
{
    struct sigaction view = *kernel;
    int slot = grace_slot_of_entry(kernel->sa_sigaction);
    if (slot < 0)
        return view;
    uint64_t word = grace_slot_word(slot);
    uintptr_t handler = (uintptr_t)(word & GRACE_SLOT_HANDLER);
    view.sa_handler = handler == 0 ? SIG_DFL : (void (*)(int))handler;
    unsigned flags = (unsigned)view.sa_flags;
    for (size_t i = 0; i < KEPT_FLAGS; i++) {
        bool changed = kernel_flags(0, handler != 0) & kept_flags[i].flag ||
                       !(kernel_flags(~0u, handler != 0) & kept_flags[i].flag);
        if (!changed)
            continue;
        flags &= ~kept_flags[i].flag;
        if (word & kept_flags[i].bit)
            flags |= kept_flags[i].flag;
    }
    if (!(word & GRACE_SLOT_RESTORER)) {
        flags &= ~RESTORER;
        view.sa_restorer = NULL;
    }
    view.sa_flags = (int)flags;
    return view;
}

/* ---- the calls ----------------------------------------------------------------------------- */

grace_sigaction_function *grace_real_sigaction(void)
{
    /* Found by the constructor, or by a caller that came before it. The symbol exists, so dlsym
     * does not allocate. */
    static _Atomic(grace_sigaction_function *) found;
    grace_sigaction_function *real = atomic_load_explicit(&found, memory_order_relaxed);
    if (real == NULL) {
        real = (grace_sigaction_function *)dlsym(RTLD_NEXT, "sigaction");
        atomic_store_explicit(&found, real, memory_order_relaxed);
    }
    return real;
}

bool grace_disposition_managed(int signo)
{
    if (signo < 1 || signo > 64)
        return false;
    /* Read before the constructor ran, too: then there is no owner, and no plan. */
    return atomic_load_explicit(&grace_shim.process, memory_order_acquire) != 0 &&
           (grace_shim.plan->signals & GRACE_SIGNAL_BIT(signo)) != 0;
}

int grace_disposition(int signo, const struct sigaction *action, struct sigaction *old,
                      grace_sigaction_function *real)
{
    if (!grace_disposition_managed(signo))
        return real(signo, action, old);
    struct sigaction to_kernel, from_kernel;
    int slot = -1;
    if (action != NULL)
        to_kernel = encode(signo, action, true, &slot);
    int result = real(signo, action == NULL ? NULL : &to_kernel, old == NULL ? NULL : &from_kernel);
    if (slot >= 0)
        grace_slot_leave(slot);
    if (result == 0 && old != NULL)
        *old = decode(&from_kernel);
    return result;
}

/* The kernel does this as it takes the signal from the queue. Here it happens a moment later: a
 * second signal in that moment, not blocked (SA_NODEFER), runs the handler once more. */
void grace_disposition_reset(int signo, unsigned slot)
{
    struct sigaction now, replaced;
    grace_sigaction_function *real = grace_real_sigaction();
    grace_slot_entry *entry = grace_slot_entry_of((int)slot);
    int next;
    if (real(signo, NULL, &now) != 0 || now.sa_sigaction != entry)
        return; /* the target has set another one meanwhile */
    struct sigaction view = decode(&now);
    view.sa_handler = SIG_DFL; /* as the kernel does it: flags and mask stay */
    struct sigaction kernel = encode(signo, &view, true, &next);
    if (real(signo, &kernel, &replaced) == 0 && replaced.sa_sigaction != entry)
        real(signo, &replaced, NULL);
}

void grace_dispositions_adopt(void)
{
    grace_sigaction_function *real = grace_real_sigaction();
    for (int signo = 1; signo <= 64; signo++) {
        struct sigaction now;
        if (!(grace_shim.plan->signals & GRACE_SIGNAL_BIT(signo)) || real(signo, NULL, &now) != 0)
            continue;
        if (now.sa_handler == SIG_IGN)
            continue; /* ignored at start (nohup): left alone */
        int slot;
        struct sigaction kernel =
            encode(signo, &now, ((unsigned)now.sa_flags & RESTORER) != 0, &slot);
        real(signo, &kernel, NULL);
        if (slot >= 0)
            grace_slot_leave(slot);
    }
}
