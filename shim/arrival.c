/*
 * What happens when a managed signal arrives, on whatever thread and stack the kernel chose.
 *
 * A target's own handler is called here and now, with the siginfo and the context that the kernel
 * gave; siglongjmp out of it is as good as without libgrace. Only a chain signal (a stop even where
 * the target has a handler) may wait for the announcement first.
 */
#include "shim.h"

#include "arch.h"
#include "raw.h"

/* In a forked child nothing is ours: do what the kernel would have done. */
static void arrive_in_child(int signo, siginfo_t *info, void *context,
                            struct grace_disposition disposition, unsigned slot)
{
    if (disposition.handler == NULL)
        grace_end_by_signal(signo, info);
    if (disposition.once)
        grace_disposition_reset(signo, slot);
    disposition.handler(signo, info, context);
}

void grace_signal_arrived(int signo, siginfo_t *info, void *context, unsigned slot)
{
    int saved_errno = errno;
    struct grace_disposition disposition = grace_disposition_of_slot(slot);
    if (!grace_is_owner()) {
        errno = saved_errno;
        arrive_in_child(signo, info, context, disposition, slot);
        return;
    }
    if (grace_stop_retry(info, context) || grace_end_exit_requested(info, context)) {
        errno = saved_errno;
        return;
    }
    grace_stop_restore_info(signo, info);
    if (disposition.handler == NULL) {
        grace_stop_by_signal(signo, info, context);
        errno = saved_errno;
        return;
    }
    bool now = !(grace_shim.plan->chain & GRACE_SIGNAL_BIT(signo)) ||
               grace_stop_announce_first(signo, info, context);
    if (now && disposition.once)
        grace_disposition_reset(signo, slot);
    errno = saved_errno;
    if (now)
        disposition.handler(signo, info, context);
}
