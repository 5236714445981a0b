/*
 * What happens when a managed signal arrives, on whatever thread and stack the kernel chose.
 *
 * A target's own handler is called here and now, with the siginfo and the context that the kernel
 * gave; siglongjmp out of it is as good as without libgrace. Only a chain signal (a stop even where
 * the target has a handler) may wait for the announcement first, and one that `deliver` replaces
 * comes back as another. Where the target has seen nothing of the signal, the call that it
 * interrupted goes on (resume.c).
 */
#include "shim.h"

#include "arch.h"
#include "raw.h"
#include "resume.h"

/* A handler's signal that nothing else is to happen for is the same in every process. */
static bool is_plain(int signo, const struct grace_disposition *disposition)
{
    return disposition->handler != NULL && !(grace_shim.plan->chain & GRACE_SIGNAL_BIT(signo)) &&
           grace_signal_delivered_as(signo) == signo;
}

/* Whether the target gets to see the signal here and now. */
static bool is_for_handler(int signo, siginfo_t *info, ucontext_t *context,
                           const struct grace_disposition *disposition)
{
    if (grace_stop_retry(info, context) || grace_end_exit_requested(info, context))
        return false;
    grace_kept_restore(info);
    if (is_plain(signo, disposition))
        return true;
    if (!grace_is_owner()) { /* nothing is ours in a forked child: as the kernel would have it */
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
        !grace_stop_announce_first(signo, info, context))
        return false;
    if (!final)
        grace_signal_send_on(signo, info, info->si_code == SI_TKILL ? grace_gettid() : 0);
    return final;
}

void grace_signal_arrived(int signo, siginfo_t *info, void *context, unsigned slot)
{
    int saved_errno = errno;
    struct grace_disposition disposition = grace_disposition_of_slot(slot);
    if (!is_for_handler(signo, info, context, &disposition)) {
        grace_resume_mark(context, saved_errno);
        errno = saved_errno;
        return;
    }
    grace_resume_revoke(context);
    if (disposition.once)
        grace_disposition_reset(signo, slot);
    errno = saved_errno;
    disposition.handler(signo, info, context);
}
