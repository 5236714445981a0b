/*
 * One stop: who leads it, who waits, when it is over.
 *
 *        by a signal or a call (CAS)             hooks are through
 *   NONE ────────────────────────────▶ LED ─────────────────────────▶ DONE ─▶ the ending itself
 *     ▲                                  │
 *     └────────── taken back ────────────┘ (by `grace stop --abort`, up to the end of the drain)
 *
 * Whoever moves NONE to LED decides how the process ends. A stop by signal is led by the conductor,
 * a thread that the handler starts; it ends with the signal's own action, and every thread that
 * meanwhile calls exit waits for that. A stop by call (exit, return, _exit, quick_exit) is
 * conducted on a thread of its own too when the caller is at a safe point, else on the calling
 * thread with external hooks only; then the call goes on as libc would.
 *
 * Before a handler of the target's only a part of a stop is led: announce.c.
 */
#include "shim.h"

#include <string.h>

#include "drain.h"
#include "guardian.h"
#include "hooks/log.h"
#include "hooks/room.h"
#include "raw.h"

/* Ctrl-C to a whole group and a supervisor's TERM behind it are one. */
#define SECOND_SIGNAL_AFTER_MS 500

/* How often the conductor looks at the ledger for wishes while it waits for something else. */
#define WISH_LOOK_MS 100

enum { NONE, LED, DONE };

static struct {
    _Atomic uint32_t state; /* futex: moves to DONE */
    _Atomic uint32_t bell;  /* futex: something has changed */
    _Atomic uint32_t lead;  /* futex lock: one conducts at a time */
    _Atomic uint32_t cut;
    bool by_signal;
    pid_t leader; /* the thread whose call began the stop */
    bool waits;   /* … and it waits for the conductor, with none of libc's locks */
    _Atomic uint64_t first_signal_ms;
    _Atomic uint64_t cut_ms;
    _Atomic uint32_t hurry; /* a second signal before the target's own handler: ends the drain */
    bool drained;           /* … that came before that handler */
    struct grace_stop_facts facts;
} stop;

void grace_stop_setup(void)
{
    memset(&stop.facts, 0, sizeof stop.facts);
    stop.facts.status = stop.facts.sender_uid = -1;
}

/* ---- for the conductor --------------------------------------------------------------------- */

const struct grace_stop_facts *grace_stop_facts(void)
{
    return &stop.facts;
}

/* What somebody beside the target asked for through the ledger. */
static bool is_wished(uint32_t wish)
{
    return (atomic_load_explicit(&grace_shim.ledger->wishes, memory_order_acquire) & wish) != 0;
}

bool grace_stop_is_cut(void)
{
    return atomic_load_explicit(&stop.cut, memory_order_acquire) != 0 ||
           is_wished(GRACE_WISH_FORCE);
}

bool grace_stop_is_wanted_back(void)
{
    return is_wished(GRACE_WISH_ABORT) && !grace_stop_is_cut();
}

uint32_t grace_stop_bell_value(void)
{
    return atomic_load_explicit(&stop.bell, memory_order_acquire);
}

void grace_stop_bell_wait(uint32_t seen, int64_t timeout_ms)
{
    /* Nobody rings this one for a wish. */
    grace_futex_wait(&stop.bell, seen, timeout_ms < WISH_LOOK_MS ? timeout_ms : WISH_LOOK_MS);
}

void grace_stop_bell_tap(void)
{
    atomic_fetch_add_explicit(&stop.bell, 1, memory_order_acq_rel);
    grace_futex_wake_all(&stop.bell);
}

void grace_stop_bell_ring(void)
{
    grace_stop_bell_tap();
    grace_ledger_ring(&grace_shim.ledger->answered); /* the conductor may be waiting there */
}

/* ---- leading ------------------------------------------------------------------------------- */

static void take_lead(void)
{
    uint32_t free = 0;
    while (!atomic_compare_exchange_weak_explicit(&stop.lead, &free, 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
        if (free != 0)
            grace_futex_wait(&stop.lead, 1, -1);
        free = 0;
    }
}

static void leave_lead(void)
{
    atomic_store_explicit(&stop.lead, 0, memory_order_release);
    grace_futex_wake_all(&stop.lead);
}

void grace_stop_announce(bool in_process)
{
    take_lead();
    grace_conductor_log_begin();
    grace_conduct(GRACE_PHASE_ANNOUNCE, GRACE_PHASE_ANNOUNCE, in_process);
    leave_lead();
}

static void finish(void)
{
    grace_count_stop();
    grace_guardian_retire();
    atomic_store_explicit(&stop.state, DONE, memory_order_release);
    grace_futex_wake_all(&stop.state);
}

/* False: the stop was taken back. */
static bool wait_until_done(void)
{
    while (atomic_load_explicit(&stop.state, memory_order_acquire) == LED)
        grace_futex_wait(&stop.state, LED, -1);
    return atomic_load_explicit(&stop.state, memory_order_acquire) == DONE;
}

static _Noreturn void wait_for_ever(void)
{
    for (;;)
        grace_futex_wait(&stop.state, atomic_load_explicit(&stop.state, memory_order_relaxed), -1);
}

/* ---- draining, and taking a stop back ------------------------------------------------------ */

/* A program that stops itself does not ask for time, and the thread that does may be the one that
 * would have to answer. */
static bool came_from_itself(void)
{
    const siginfo_t *info = &stop.facts.info;
    return (info->si_code == SI_TKILL || info->si_code == SI_USER || info->si_code == SI_QUEUE) &&
           info->si_pid == grace_getpid();
}

/* Also when the target ends by a call of its own while its handler has still to run. */
static bool drain_is_off(void)
{
    return grace_stop_is_cut() || is_wished(GRACE_WISH_NO_DRAIN) || atomic_load(&stop.hurry) != 0 ||
           (!stop.by_signal && atomic_load(&stop.state) != NONE);
}

/* False: the stop is to be taken back. */
static bool drain(void)
{
    const struct grace_drain_how how = {
        .signo = stop.facts.signo,
        .until_ms = stop.facts.began_ms + grace_shim.plan->deadline_ms,
        .is_off = drain_is_off,
        .is_wanted_back = grace_stop_is_wanted_back,
        .goes_on = !stop.by_signal,
        .ledger = grace_shim.ledger,
    };
    if (grace_stop_is_wanted_back())
        return false;
    if (!came_from_itself() && grace_drain(&how) == GRACE_DRAIN_TAKEN_BACK)
        return false;
    atomic_store(&grace_shim.ledger->drain,
                 GRACE_DRAIN_OVER); /* from here on there is no way back */
    return true;
}

/* All is as if no signal had come, but for the hooks that have run. The last store lets the next
 * stop begin. */
static void take_back(void)
{
    grace_log(GRACE_LOG_WARNING, "stop-aborted", "the stop is taken back; the target goes on");
    grace_conductor_forget();
    grace_kept_discard();
    stop.by_signal = stop.drained = false;
    grace_stop_setup();
    atomic_store(&stop.first_signal_ms, 0);
    atomic_store(&stop.cut_ms, 0);
    atomic_store(&stop.hurry, 0);
    atomic_store(&grace_shim.ledger->drain, GRACE_DRAIN_NONE);
    atomic_store(&grace_shim.ledger->wishes, 0);
    atomic_fetch_add(&grace_shim.ledger->taken_back, 1);
    grace_guardian_tell(GRACE_STAGE_RUNNING);
    uint32_t led = LED;
    atomic_compare_exchange_strong(&stop.state, &led, NONE);
    grace_futex_wake_all(&stop.state);
}

/* The whole stop, from announce to the last hook. False: it was taken back. */
static bool conduct_stop(bool in_process)
{
    grace_stop_announce(in_process);
    if (in_process && stop.by_signal && !drain()) {
        take_back();
        return false;
    }
    take_lead();
    grace_conduct(GRACE_PHASE_DRAIN, GRACE_PHASE_CLEANUP, in_process);
    grace_conductor_log_end();
    leave_lead();
    return true;
}

static void know_sender(const siginfo_t *info)
{
    bool by_process =
        info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL;
    stop.facts.sender_pid = by_process ? info->si_pid : 0;
    stop.facts.sender_uid = by_process ? (int)info->si_uid : -1;
    stop.facts.info = *info;
}

/* ---- by a signal --------------------------------------------------------------------------- */

static void *signal_conductor(void *unused)
{
    if (conduct_stop(true)) {
        finish();
        grace_end(true);
    }
    return unused;
}

/* No safe point came, or no thread: lead from within the handler, as far as that is safe. */
static void signal_stuck(void)
{
    grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, NULL);
    conduct_stop(false);
    finish();
    grace_end(false);
}

GRACE_LAUNCH_STACK(stop_stack);
static struct grace_launch stop_launch;
static const struct grace_launched stopping = {.conductor = signal_conductor,
                                               .stuck = signal_stuck,
                                               .stack_end = stop_stack + sizeof stop_stack,
                                               .beside = grace_conductor_prepare};

static void another_signal(int signo, const siginfo_t *info)
{
    uint64_t now = grace_now_ms(), first = 0;
    if (atomic_load_explicit(&stop.state, memory_order_acquire) == DONE) {
        if (!stop.by_signal)
            grace_end_by_signal(signo, info); /* no longer ours to hold */
        return;
    }
    if (atomic_compare_exchange_strong(&stop.first_signal_ms, &first, now))
        return; /* the first one, during an ending that the target began itself */
    if (now - first < SECOND_SIGNAL_AFTER_MS ||
        grace_shim.plan->second_signal == GRACE_SECOND_IGNORE)
        return;
    uint64_t uncut = 0;
    if (atomic_compare_exchange_strong(&stop.cut_ms, &uncut, now)) {
        atomic_store_explicit(&stop.cut, 1, memory_order_release);
        grace_stop_bell_ring();
    } else if (now - uncut >= SECOND_SIGNAL_AFTER_MS) {
        grace_end_by_signal(signo, info); /* a third: whoever sends it wants it over */
    }
}

/*
 * Its thread stays here until the conductor ends the process; other signals still reach it. It does
 * not expect to go on: without libgrace it would be dead. (What Go has behind such a call is an
 * exit with status 2.)
 */
static void hold_sender(const siginfo_t *info, const ucontext_t *context)
{
    bool conductor_runs = stop.by_signal && atomic_load(&stop_launch.pending) == 0;
    if (!conductor_runs || !grace_frame_sent_by(context, info))
        return;
    uint64_t mask;
    memcpy(&mask, &context->uc_sigmask, sizeof mask); /* as it was: the signal was not blocked */
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
    wait_for_ever();
}

/* Whether a one-shot handler, before which was drained, has just sent the signal again: it is the
 * same stop still. */
static bool is_last_word(void)
{
    return stop.drained && grace_now_ms() - stop.facts.began_ms < grace_shim.plan->deadline_ms;
}

static void begin_by_signal(int signo, const siginfo_t *info, const ucontext_t *context)
{
    uint32_t none = NONE;
    if (!atomic_compare_exchange_strong(&stop.state, &none, LED)) {
        another_signal(signo, info);
        return;
    }
    stop.by_signal = true;
    stop.facts.cause = GRACE_CAUSE_SIGNAL;
    stop.facts.signo = signo;
    if (!is_last_word())
        stop.facts.began_ms = grace_now_ms();
    know_sender(info);
    atomic_store(&stop.first_signal_ms, stop.facts.began_ms);
    grace_guardian_tell(GRACE_STAGE_LED);
    grace_launch(&stop_launch, &stopping, signo, context);
}

void grace_stop_by_signal(int signo, const siginfo_t *info, const ucontext_t *context)
{
    begin_by_signal(signo, info, context);
    hold_sender(info, context);
}

/* ---- by a call ----------------------------------------------------------------------------- */

/* Does not return: where the last pthread_exit led here, libc counts that thread as gone, and would
 * call exit once more at the end of this one, beside it. */
static void *call_conductor(void *unused)
{
    (void)unused;
    conduct_stop(true);
    finish();
    wait_for_ever();
}

/* With every signal blocked. */
static void lead_call(void)
{
    stop.waits = grace_safepoint_here() && grace_thread_start(call_conductor, NULL) == 0;
    if (stop.waits) {
        grace_conductor_prepare();
    } else {
        conduct_stop(false);
        finish();
    }
}

/* Another ending came first. Returns true when this one may go on regardless, false when the other
 * was taken back. */
static bool wait_for_leader(enum grace_cause cause)
{
    if (!wait_until_done())
        return false;
    if (!stop.by_signal && stop.leader == grace_gettid())
        return true; /* exit called again by a handler of exit's, or by a signal's above it */
    bool at_once = cause == GRACE_CAUSE__EXIT || cause == GRACE_CAUSE_QUICK_EXIT;
    if (stop.by_signal || !at_once)
        wait_for_ever();
    return true;
}

bool grace_stop_waits_here(void)
{
    return stop.waits && stop.leader == grace_gettid();
}

bool grace_stop_is_led_by_signal(void)
{
    return stop.by_signal;
}

void grace_stop_let_exit_pass(void)
{
    stop.leader = grace_gettid();
    stop.by_signal = false;
}

int grace_stop_hands_over(bool to_any_child)
{
    bool under_way = atomic_load(&stop.state) != NONE || stop.facts.cause == GRACE_CAUSE_SIGNAL;
    return under_way || !grace_is_owner() ? 0 : grace_owner_hands_over(to_any_child);
}

static void end_owner(enum grace_cause cause, int status)
{
    GRACE_KEEP_ERRNO;
    if (grace_worker_is_current())
        grace_worker_give_up(GRACE_OUTCOME_ENDED, status);
    if (grace_stop_hands_over(status == 0) != 0)
        return;
    /* Until a conductor runs: a handler of the target's that ran above us, and called exit, would
     * wait for us in vain. */
    uint64_t mask;
    for (;;) {
        uint32_t none = NONE;
        grace_sigprocmask(SIG_SETMASK, GRACE_ALL_SIGNALS, &mask);
        if (atomic_compare_exchange_strong(&stop.state, &none, LED))
            break;
        grace_sigprocmask(SIG_SETMASK, mask, NULL);
        if (wait_for_leader(cause))
            return;
    }
    stop.leader = grace_gettid();
    if (stop.facts.cause != GRACE_CAUSE_SIGNAL)
        stop.facts.cause = cause;
    stop.facts.status = status;
    stop.facts.began_ms = grace_now_ms();
    grace_guardian_tell(GRACE_STAGE_CALLED);
    if (grace_conductor_has_work(GRACE_PHASE_ANNOUNCE, GRACE_PHASE_CLEANUP, stop.facts.cause))
        lead_call();
    else
        finish();
    grace_sigprocmask(SIG_SETMASK, mask, NULL);
    wait_until_done();
    stop.waits = false;
}

GRACE_IN_CHILDREN void grace_stop_by_call(enum grace_cause cause, int status)
{
    /* A child that cannot strike itself out may have been handed over to at this moment. */
    if (grace_child_leaves() || !grace_is_owner())
        grace_drain_worker_ends(cause, status);
    else
        end_owner(cause, status);
}

/* ---- before the target's own handler ------------------------------------------------------- */

bool grace_stop_is_under_way(void)
{
    return atomic_load(&stop.state) != NONE;
}

void grace_stop_note_signal(int signo, const siginfo_t *info)
{
    uint64_t first = 0;
    if (!atomic_compare_exchange_strong(&stop.first_signal_ms, &first, grace_now_ms()))
        return;
    stop.facts.signo = signo;
    stop.facts.began_ms = grace_now_ms();
    know_sender(info);
    stop.facts.cause = GRACE_CAUSE_SIGNAL;
    grace_guardian_tell(GRACE_STAGE_CHAINED);
}

bool grace_stop_drain_first(void)
{
    stop.drained = drain();
    if (!stop.drained)
        take_back();
    return stop.drained;
}

void grace_stop_hurry(void)
{
    if (grace_now_ms() - atomic_load(&stop.first_signal_ms) < SECOND_SIGNAL_AFTER_MS ||
        grace_shim.plan->second_signal == GRACE_SECOND_IGNORE)
        return;
    atomic_store(&stop.hurry, 1);
    grace_stop_bell_ring();
}

GRACE_IN_CHILDREN int grace_stop_drains_by(void)
{
    bool led = stop.by_signal && atomic_load(&stop.state) == LED;
    return led || grace_announce_drains() ? stop.facts.signo : 0;
}

bool grace_stop_retry(const siginfo_t *info, const ucontext_t *context)
{
    return grace_launch_retry(&stop_launch, info, context) || grace_announce_retry(info, context) ||
           grace_drain_worker_retry(info, context);
}
