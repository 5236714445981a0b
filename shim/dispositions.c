/*
 * The signals' dispositions: what the target sees, and what the kernel holds.
 *
 * The kernel is the only table. For each pair of {target's handler, flags that we had to change}
 * there is a slot, and for each slot a small function of its own, the thunk. A managed signal's
 * entry in the kernel is such a thunk, with the target's own mask and flags beside it. So one
 * system call, the target's own sigaction, moves everything at once, from any number of threads and
 * handlers; a query finds the thunk in what the kernel returns and translates it back. Slots are
 * written once and never change, so a vfork child that adds one to our memory does no harm.
 *
 * Forked children are treated alike: the thunks are theirs too, tell that they are not the owner's,
 * and do what the kernel would have done. So no wrapper here asks who it runs in.
 *
 * SIG_IGN goes to the kernel as it is: a child after exec has to inherit it. SIG_DFL becomes the
 * thunk of a slot without a handler. When all slots are taken (a target that makes new handlers for
 * ever), the target's handler goes to the kernel directly: it works, and libgrace does not see the
 * signal.
 */
#include "shim.h"

#include <dlfcn.h>
#include <stddef.h>

#include "raw.h"

/* ---- slots --------------------------------------------------------------------------------- */

#define SLOTS 64

/* A slot holds the handler's address in the low 56 bits (user space ends below) and, above them,
 * that it is in use and which of its flags the kernel's entry does not show as the target set them.
 */
#define RESTORER     0x04000000u /* SA_RESTORER, which libc sets and its headers do not name */
#define IN_USE       (UINT64_C(1) << 63)
#define HAS_SIGINFO  (UINT64_C(1) << 56)
#define HAS_ONCE     (UINT64_C(1) << 57)
#define HAS_ONSTACK  (UINT64_C(1) << 58)
#define HAS_RESTART  (UINT64_C(1) << 59)
#define HAS_NODEFER  (UINT64_C(1) << 60)
#define HAS_RESTORER (UINT64_C(1) << 61)
#define HANDLER_MASK ((UINT64_C(1) << 56) - 1)

static _Atomic uint64_t slots[SLOTS];

typedef void thunk(int, siginfo_t *, void *);

#define THUNK(n)                                                                                   \
    static void thunk_##n(int signo, siginfo_t *info, void *context)                               \
    {                                                                                              \
        grace_signal_arrived(signo, info, context, 0##n);                                          \
    }
#define THUNKS8(n)                                                                                 \
    THUNK(n##0) THUNK(n##1) THUNK(n##2) THUNK(n##3) THUNK(n##4) THUNK(n##5) THUNK(n##6) THUNK(n##7)
/* Octal: 00 to 77. */
/* clang-format off */
THUNKS8(0)
THUNKS8(1)
THUNKS8(2)
THUNKS8(3)
THUNKS8(4)
THUNKS8(5)
THUNKS8(6)
THUNKS8(7)

#define ADDRESS(n) thunk_##n
#define ADDRESSES8(n)                                                                              \
    ADDRESS(n##0), ADDRESS(n##1), ADDRESS(n##2), ADDRESS(n##3), ADDRESS(n##4), ADDRESS(n##5),      \
        ADDRESS(n##6), ADDRESS(n##7)
static thunk *const thunks[SLOTS] = {
    ADDRESSES8(0), ADDRESSES8(1), ADDRESSES8(2), ADDRESSES8(3),
    ADDRESSES8(4), ADDRESSES8(5), ADDRESSES8(6), ADDRESSES8(7),
};
/* clang-format on */

/* The slot that holds `word`, taking a free one if need be; -1: all are taken. */
static int slot_for(uint64_t word)
{
    for (int i = 0; i < SLOTS; i++) {
        uint64_t seen = atomic_load_explicit(&slots[i], memory_order_acquire);
        if (seen == 0 && atomic_compare_exchange_strong_explicit(
                             &slots[i], &seen, word, memory_order_acq_rel, memory_order_acquire))
            return i;
        if (seen == word)
            return i;
    }
    return -1;
}

static int slot_of_thunk(const void *handler)
{
    for (int i = 0; i < SLOTS; i++)
        if ((const void *)(uintptr_t)thunks[i] == handler)
            return i;
    return -1;
}

struct grace_disposition grace_disposition_of_slot(unsigned slot)
{
    uint64_t word = atomic_load_explicit(&slots[slot], memory_order_acquire);
    uintptr_t handler = (uintptr_t)(word & HANDLER_MASK);
    return (struct grace_disposition){
        .handler = (void (*)(int, siginfo_t *, void *))handler,
        .once = (word & HAS_ONCE) != 0,
    };
}

/* ---- between the target's view and the kernel's -------------------------------------------- */

static const struct {
    uint64_t bit;
    unsigned flag;
} kept_flags[] = {
    {HAS_SIGINFO, SA_SIGINFO}, {HAS_ONCE, (unsigned)SA_RESETHAND}, {HAS_ONSTACK, SA_ONSTACK},
    {HAS_RESTART, SA_RESTART}, {HAS_NODEFER, SA_NODEFER},
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
    uint64_t word = IN_USE | (uint64_t)handler;
    for (size_t i = 0; i < KEPT_FLAGS; i++)
        if (flags & kept_flags[i].flag)
            word |= kept_flags[i].bit;
    return word;
}

/* What goes to the kernel for what the target asked for. */
static struct sigaction encode(const struct sigaction *action, bool by_target)
{
    struct sigaction kernel = *action;
    if (action->sa_handler == SIG_IGN)
        return kernel;
    uintptr_t handler = action->sa_handler == SIG_DFL ? 0 : (uintptr_t)action->sa_handler;
    if (handler & ~(uintptr_t)HANDLER_MASK)
        return kernel;
    uint64_t word = word_for(handler, (unsigned)action->sa_flags);
    if (by_target)
        word |= HAS_RESTORER; /* libc will have put its own */
    int slot = slot_for(word);
    if (slot < 0)
        return kernel;
    kernel.sa_sigaction = thunks[slot];
    kernel.sa_flags = (int)kernel_flags((unsigned)action->sa_flags, handler != 0);
    return kernel;
}

/* What the target is told for what the kernel returned. */
static struct sigaction decode(const struct sigaction *kernel)
{
    struct sigaction view = *kernel;
    int slot = slot_of_thunk((const void *)(uintptr_t)kernel->sa_sigaction);
    if (slot < 0)
        return view;
    uint64_t word = atomic_load_explicit(&slots[slot], memory_order_acquire);
    uintptr_t handler = (uintptr_t)(word & HANDLER_MASK);
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
    if (!(word & HAS_RESTORER)) {
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
    if (action != NULL)
        to_kernel = encode(action, true);
    int result = real(signo, action == NULL ? NULL : &to_kernel, old == NULL ? NULL : &from_kernel);
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
    if (real(signo, NULL, &now) != 0 || now.sa_sigaction != thunks[slot])
        return; /* the target has set another one meanwhile */
    struct sigaction view = decode(&now);
    view.sa_handler = SIG_DFL; /* as the kernel does it: flags and mask stay */
    struct sigaction kernel = encode(&view, true);
    if (real(signo, &kernel, &replaced) == 0 && replaced.sa_sigaction != thunks[slot])
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
        struct sigaction kernel = encode(&now, ((unsigned)now.sa_flags & RESTORER) != 0);
        real(signo, &kernel, NULL);
    }
}
