/*
 * What happens when a managed signal arrives, on whatever thread and stack the kernel chose.
 *
 * A target's own handler is called here and now, with the siginfo and the context that the kernel
 * gave; siglongjmp out of it is as good as without libgrace. Only a chain signal (a stop even where
 * the target has a handler) may wait for the announcement first, one that `deliver` replaces comes
 * back as another, and in a stop a handler may wait for a safe point (putoff.c). Where the target
 * has seen nothing of the signal, the call that it interrupted goes on (resume.c).
 */
#include "shim.h"

#include <stddef.h>

#include "arch.h"
#include "drain.h"
#include "hooks/room.h"
#include "raw.h"
#include "resume.h"

/* A handler's signal that nothing else is to happen for is the same in every process. */
static bool is_plain(int signo, const struct grace_disposition *disposition)
{
    return disposition->handler != NULL && !(grace_shim.plan->chain & GRACE_SIGNAL_BIT(signo)) &&
           grace_signal_delivered_as(signo) == signo;
}

/* The kinds that libgrace sends. */
static bool may_be_ours(const siginfo_t *info)
{
    return info->si_code == SI_TIMER || info->si_code == SI_QUEUE;
}

/* Whether the target gets to see the signal here and now. Every signal is blocked: a handler of the
 * target's for another one might jump out of here, and never come back. */
static bool is_for_handler(int signo, siginfo_t *info, ucontext_t *context,
                           const struct grace_disposition *disposition)
{
    if (grace_drain_woke(info)) {
        grace_drain_worker_woke(signo, info, context);
        return false;
    }
    if (grace_stop_retry(info, context) || grace_end_exit_requested(info, context) ||
        grace_putoff_signal(signo, info, context, disposition->handler != NULL))
        return false;
    grace_kept_restore(info);
    if (is_plain(signo, disposition))
        return true; /* queued or a timer's: it might have been ours */
    /* Little is ours in a forked child, nor once the pid file names another process: then it is as
     * the kernel would have it. */
    if (!grace_is_owner() || grace_stop_hands_over(false) != 0) {
        if (grace_drain_worker_first(signo, info, context, disposition))
            return false;
        if (disposition->handler == NULL)
            grace_end_by_signal(signo, info);
        return true;
    }
    bool final = grace_signal_is_final(signo);
    if (disposition->handler == NULL && final) {
        grace_stop_by_signal(signo, info, context);
        return false;
    }
    if ((grace_shim.plan->chain & GRACE_SIGNAL_BIT(signo)) &&
        !grace_announce_first(signo, info, context, disposition->once))
        return false;
    if (!final)
        grace_signal_send_on(signo, info, info->si_code == SI_TKILL ? grace_gettid() : 0);
    return final;
}

grace_slot_entry *grace_signal_arrived(int signo, siginfo_t *info, void *context, unsigned slot)
{
    int saved_errno = errno;
    unsigned handlers = grace_resume_handlers();
    struct grace_disposition disposition = grace_disposition_of_slot(slot);
    uint64_t mask;
    bool is_masked = !is_plain(signo, &disposition) || may_be_ours(info) || grace_putoff_is_on(),
         is_its_own = true;
    if (is_masked) {
        grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &mask);
        is_its_own = is_for_handler(signo, info, context, &disposition);
    }
    if (is_its_own) {
        grace_resume_revoke(context);
        if (disposition.once)
            grace_disposition_reset(signo, slot);
    } else {
        grace_frame_forget(context);
    }
    errno = saved_errno;
    if (is_masked)
        grace_sigprocmask(SIG_SETMASK, mask, NULL);
    if (is_its_own)
        return disposition.handler;
    /* What `deliver` sends instead may just have been handled above us. */
    if (grace_resume_handlers() == handlers)
        grace_resume_mark(context, saved_errno);
    return NULL;
}

/* ---- stacks with no room ------------------------------------------------------------------- */

/*
 * The smallest alternate stack that there may be (MINSIGSTKSZ) holds what the kernel puts on it,
 * and hardly more. A thread's that has room for a handler of its own need not have it for us.
 *
 * On another stack every signal stays blocked: to the kernel the alternate one is free meanwhile,
 * and the next handler would begin at its top.
 */
#define ROOM 2048 /* several times what we use */

#define STACKS     4
#define STACK_SIZE (16 * 1024)

static struct aside {
    char stack[STACK_SIZE];
    _Alignas(16) _Atomic uint32_t taken; /* where its stack begins */
    uint64_t mask;
} asides[STACKS] GRACE_ROOM(asides);

static bool has_room(const ucontext_t *context, uintptr_t sp)
{
    uintptr_t base = (uintptr_t)context->uc_stack.ss_sp;
    return sp - base >= context->uc_stack.ss_size || sp - base >= ROOM;
}

void *grace_arrival_stack(const ucontext_t *context)
{
    if (has_room(context, (uintptr_t)__builtin_frame_address(0)))
        return NULL;
    for (size_t i = 0; i < STACKS; i++) {
        struct aside *aside = &asides[i];
        if (atomic_exchange_explicit(&aside->taken, 1, memory_order_acquire) != 0)
            continue;
        grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &aside->mask);
        return &aside->taken;
    }
    return NULL;
}

void grace_arrival_leave(void *stack)
{
    struct aside *aside = (struct aside *)((char *)stack - offsetof(struct aside, taken));
    uint64_t mask = aside->mask;
    atomic_store_explicit(&aside->taken, 0, memory_order_release);
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
}
