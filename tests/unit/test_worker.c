/*
 * Worker threads: what a hook may do to its own thread, and that nothing else comes of it. Also run
 * under ThreadSanitizer by `make sanitize`: this is where libgrace has threads that share data.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../suite.h"
#include "shim/shim.h"

#define LONG_MS 60000

struct work {
    int number;
    char text[32];
    const void *stack;
};

static int detail;

static enum grace_outcome work(grace_work *function, struct work *argument, uint32_t timeout_ms)
{
    detail = -1;
    return grace_worker_run(function, argument, sizeof *argument, timeout_ms, &detail);
}

static void setup(void)
{
    grace_shim.ledger = calloc(1, sizeof *grace_shim.ledger);
    ck_assert_ptr_nonnull(grace_shim.ledger);
    grace_shim.ledger->owner = (int32_t)getpid();
    atomic_store(&grace_shim.process, (int32_t)getpid());
}

/* ---- hooks that behave --------------------------------------------------------------------- */

static int count_up(void *argument)
{
    struct work *its = argument;
    its->number++;
    memcpy(its->text, "from the worker", 16);
    its->stack = __builtin_frame_address(0);
    return grace_worker_is_current() ? 0 : 7;
}

START_TEST(the_argument_goes_and_comes_back)
{
    struct work its = {.number = 41};
    ck_assert_int_eq(work(count_up, &its, LONG_MS), GRACE_OUTCOME_DONE);
    ck_assert_int_eq(its.number, 42);
    ck_assert_str_eq(its.text, "from the worker");
    ck_assert(!grace_worker_is_current());
}
END_TEST

START_TEST(one_thread_serves_while_hooks_behave)
{
    struct work its = {.number = 0};
    const void *first = NULL;
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(work(count_up, &its, LONG_MS), GRACE_OUTCOME_DONE);
        ck_assert(first == NULL || its.stack == first);
        first = its.stack;
    }
    ck_assert_int_eq(its.number, 1000);
}
END_TEST

static void *prepare(void *unused)
{
    grace_worker_prepare();
    return unused;
}

/* Whoever comes first, each of them once: the conductor has one that serves. */
START_TEST(a_worker_may_be_started_by_another_thread)
{
    struct work its = {.number = 0};
    pthread_t other;
    ck_assert_int_eq(pthread_create(&other, NULL, prepare, NULL), 0);
    if (_i > 0) /* it is ready, else perhaps under way */
        ck_assert_int_eq(pthread_join(other, NULL), 0);
    ck_assert_int_eq(work(count_up, &its, LONG_MS), GRACE_OUTCOME_DONE);
    const void *first = its.stack;
    if (_i == 0)
        ck_assert_int_eq(pthread_join(other, NULL), 0);
    grace_worker_prepare();
    ck_assert_int_eq(work(count_up, &its, LONG_MS), GRACE_OUTCOME_DONE);
    ck_assert_ptr_eq(its.stack, first);
    ck_assert_int_eq(its.number, 2);
}
END_TEST

static int count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    ck_assert_ptr_nonnull(tasks);
    while (readdir(tasks) != NULL)
        count++;
    closedir(tasks);
    return count;
}

START_TEST(a_worker_that_is_ready_is_the_one_that_serves)
{
    struct work its = {.number = 0};
    grace_worker_prepare();
    int before = count_threads();
    ck_assert_int_eq(work(count_up, &its, LONG_MS), GRACE_OUTCOME_DONE);
    ck_assert_int_eq(count_threads(), before);
}
END_TEST

static int refuse(void *argument)
{
    (void)argument;
    return -1;
}

START_TEST(a_failure_is_an_error)
{
    struct work its = {.number = 0};
    ck_assert_int_eq(work(refuse, &its, LONG_MS), GRACE_OUTCOME_ERROR);
}
END_TEST

/* ---- hooks that do not --------------------------------------------------------------------- */

static int hang(void *argument)
{
    for (;;)
        pause();
    return *(int *)argument;
}

static int fault(void *argument)
{
    struct work *its = argument;
    raise(its->number);
    return 0;
}

static int end_thread(void *argument)
{
    (void)argument;
    pthread_exit(NULL);
}

static int give_up(void *argument)
{
    (void)argument;
    grace_worker_give_up(GRACE_OUTCOME_ENDED, 3); /* what the wrappers of exit do */
}

static const struct {
    grace_work *function;
    int number;
    uint32_t timeout_ms;
    enum grace_outcome outcome;
    int detail;
} misdeeds[] = {
    {hang, 0, 20, GRACE_OUTCOME_TIMEOUT, -1},
    {fault, SIGSEGV, LONG_MS, GRACE_OUTCOME_SIGNAL, SIGSEGV},
    {fault, SIGBUS, LONG_MS, GRACE_OUTCOME_SIGNAL, SIGBUS},
    {fault, SIGFPE, LONG_MS, GRACE_OUTCOME_SIGNAL, SIGFPE},
    {fault, SIGILL, LONG_MS, GRACE_OUTCOME_SIGNAL, SIGILL},
    {fault, SIGABRT, LONG_MS, GRACE_OUTCOME_SIGNAL, SIGABRT},
    {end_thread, 0, LONG_MS, GRACE_OUTCOME_ENDED, 0},
    {give_up, 0, LONG_MS, GRACE_OUTCOME_ENDED, 3},
};
#define MISDEEDS ((int)(sizeof misdeeds / sizeof *misdeeds))

START_TEST(a_misdeed_ends_that_hook_only)
{
    struct work its = {.number = misdeeds[_i].number}, next = {.number = 1};
    ck_assert_int_eq(work(misdeeds[_i].function, &its, misdeeds[_i].timeout_ms),
                     misdeeds[_i].outcome);
    ck_assert_int_eq(detail, misdeeds[_i].detail);
    ck_assert_int_eq(work(count_up, &next, LONG_MS), GRACE_OUTCOME_DONE);
    ck_assert_int_eq(next.number, 2);
}
END_TEST

/* The one that was abandoned goes on writing; the next hook's argument is another's. */
static int write_for_ever(void *argument)
{
    struct work *its = argument;
    for (;;)
        __atomic_add_fetch(&its->number, 1, __ATOMIC_RELAXED);
    return 0;
}

START_TEST(an_abandoned_hook_disturbs_nobody)
{
    struct work its = {.number = 0}, next = {.number = 1};
    ck_assert_int_eq(work(write_for_ever, &its, 20), GRACE_OUTCOME_TIMEOUT);
    ck_assert_int_eq(its.number, 0);
    ck_assert_int_eq(work(count_up, &next, LONG_MS), GRACE_OUTCOME_DONE);
    ck_assert_int_eq(next.number, 2);
}
END_TEST

/* ---- faults of others ---------------------------------------------------------------------- */

START_TEST(the_targets_own_fault_is_its_own)
{
    struct work its = {.number = 0};
    ck_assert_int_eq(work(count_up, &its, LONG_MS), GRACE_OUTCOME_DONE);
    raise(SIGSYS); /* the test expects this process to die of it; no sanitizer takes this one */
}
END_TEST

static volatile sig_atomic_t seen;

static void see(int signo)
{
    seen = signo;
}

START_TEST(the_targets_own_handler_is_called)
{
    struct work its = {.number = 0};
    signal(SIGFPE, see);
    ck_assert_int_eq(work(count_up, &its, LONG_MS), GRACE_OUTCOME_DONE);
    raise(SIGFPE);
    ck_assert_int_eq(seen, SIGFPE);
    grace_worker_stand_down();
    struct sigaction now;
    ck_assert_int_eq(sigaction(SIGFPE, NULL, &now), 0);
    ck_assert(now.sa_handler == see);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("worker");
    TCase *tests = tcase_create("worker");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, the_argument_goes_and_comes_back);
    tcase_add_test(tests, one_thread_serves_while_hooks_behave);
    tcase_add_loop_test(tests, a_worker_may_be_started_by_another_thread, 0, 2);
    tcase_add_test(tests, a_worker_that_is_ready_is_the_one_that_serves);
    tcase_add_test(tests, a_failure_is_an_error);
    tcase_add_loop_test(tests, a_misdeed_ends_that_hook_only, 0, MISDEEDS);
    tcase_add_test(tests, an_abandoned_hook_disturbs_nobody);
    tcase_add_test_raise_signal(tests, the_targets_own_fault_is_its_own, SIGSYS);
    tcase_add_test(tests, the_targets_own_handler_is_called);
    suite_add_tcase(all, tests);
    return all;
}
