/*
 * Looking again in a moment: a one-shot timer sends the same signal once more, and the place that
 * it interrupts is judged anew. The target goes on working in between. Raw system calls: libc's
 * timer_create allocates.
 */
#include "shim.h"

#include <string.h>

#include "raw.h"

/* Not always the same: a program that forks all the time is in libc's fork whenever a long one
 * ends, since the signal comes as that call returns; a short one ends just behind it. */
static const long retry_us[] = {300, 20, 300, 60};
#define RETRIES (sizeof retry_us / sizeof *retry_us)

#define LOOKS   400 /* at least, where half a second more allows it */
#define MORE_MS 500

void grace_again_begin(struct grace_again *again, int signo, unsigned for_ms)
{
    again->signo = signo;
    again->limit_ms = grace_now_ms() + for_ms;
    again->looks = 0;
}

/* On a busy machine the thread may have run for little of the time: then it is looked at some more.
 */
bool grace_again_is_over(const struct grace_again *again)
{
    uint64_t now = grace_now_ms();
    return now >= again->limit_ms && (again->looks >= LOOKS || now >= again->limit_ms + MORE_MS);
}

bool grace_again_arm(const struct grace_again *again)
{
    struct itimerspec soon = {.it_value = {.tv_nsec = retry_us[again->looks % RETRIES] * 1000}};
    return syscall(SYS_timer_settime, again->timer, 0, &soon, NULL) == 0;
}

bool grace_again_start(struct grace_again *again)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = again->signo;
    event.sigev_value.sival_ptr = again; /* tells its signals from all others */
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &again->timer) != 0)
        return false;
    if (grace_again_arm(again))
        return true;
    grace_again_stop(again);
    return false;
}

void grace_again_stop(const struct grace_again *again)
{
    syscall(SYS_timer_delete, again->timer);
}

bool grace_again_sent(const struct grace_again *again, const siginfo_t *info)
{
    return info->si_code == SI_TIMER && info->si_value.sival_ptr == again;
}
