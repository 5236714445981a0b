/*
 * A stop signal that the program has no handler for: whatever the program is at, it is interrupted
 * in bounded time, the hooks run, what it had printed is written, and it dies by that very signal.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
#define SIGNALS ((int)(sizeof signals / sizeof signals[0]))

static const char *const works[] = {"spin",  "malloc",    "printf",      "write",
                                    "poll",  "select",    "read",        "pause",
                                    "sleep", "condition", "hold-stdout", "hold-stdout-in-thread"};
#define WORKS ((int)(sizeof works / sizeof works[0]))

static int stop_worker(enum way way, const char *work, int signo, struct process **worker)
{
    *worker = start(way, program("worker"), work);
    wait_ready(*worker);
    return stop_with(*worker, signo);
}

START_TEST(bare_loses_what_was_buffered)
{
    struct process *worker;
    expect_status(stop_worker(BARE, "pause", signals[_i], &worker), KILLED(signals[_i]));
    expect_text(contents(worker->out), "ready\n");
}
END_TEST

static void every_signal(int signo)
{
    struct process *worker;
    expect_status(stop_worker(GRACED, "pause", signo, &worker), KILLED(signo));
    expect_text(contents(worker->out), "ready\nbuffered\n");
}

/* The stacks of libgrace's threads have room for it, too. */
START_TEST(with_much_thread_local_storage)
{
    config("%s", hooks_abc(hook_plugin));
    struct process *target = start(GRACED, program("storage"));
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("C B A");
}
END_TEST

START_TEST(every_signal_without_config)
{
    every_signal(signals[_i]);
}
END_TEST

START_TEST(every_signal_with_command_hooks)
{
    config("%s", hooks_abc(hook_command));
    every_signal(signals[_i]);
    expect_order("C B A");
}
END_TEST

START_TEST(every_signal_with_in_process_hooks)
{
    config("%s", hooks_abc(hook_plugin));
    every_signal(signals[_i]);
    expect_order("C B A");
}
END_TEST

static void at_any_work(const char *work)
{
    struct process *worker;
    expect_status(stop_worker(GRACED, work, SIGTERM, &worker), KILLED(SIGTERM));
    /* Not from a stream that somebody else holds: that would wait for ever. */
    if (strncmp(work, "hold-stdout", strlen("hold-stdout")) != 0)
        expect_text(contents(worker->out), "ready\nbuffered\n");
}

START_TEST(at_any_work_with_command_hooks)
{
    config("%s", hooks_abc(hook_command));
    at_any_work(works[_i]);
    expect_order("C B A");
}
END_TEST

START_TEST(at_any_work_with_in_process_hooks)
{
    config("%s", hooks_abc(hook_plugin));
    at_any_work(works[_i]);
    expect_order("C B A");
}
END_TEST

START_TEST(with_64_threads)
{
    config("%s", hooks_abc(_i == 0 ? hook_command : hook_plugin));
    struct process *worker = start(GRACED, program("worker"), "poll", "many-threads");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(worker->out), "ready\nbuffered\n");
    expect_order("C B A");
}
END_TEST

START_TEST(at_the_terminal_by_ctrl_c)
{
    config("%s", hooks_abc(hook_command));
    struct process *worker = launch(&(struct launch){
        .way = GRACED, .argv = ARGV(program("worker"), "pause"), .terminal = true});
    wait_ready(worker);
    type_interrupt(worker);
    expect_status(wait_end(worker), KILLED(SIGINT));
    expect_order("C B A");
}
END_TEST

/* What nohup does: the program inherits HUP as ignored, and HUP stays ignored. */
START_TEST(a_signal_inherited_as_ignored_stays_ignored)
{
    config("%s", hooks_abc(hook_command));
    struct process *worker = launch(&(struct launch){
        .way = GRACED, .argv = ARGV(program("worker"), "pause"), .ignored = SIGHUP});
    wait_ready(worker);
    const char *status = contents(text("/proc/%d/status", worker->pid));
    const char *ignored = strstr(status, "SigIgn:\t");
    if (!emulated()) /* an emulator handles all that is fatal, and ignores by itself */
        expect(ignored != NULL && strtoull(ignored + 8, NULL, 16) & 1u << (SIGHUP - 1));
    send_signal(worker, SIGHUP);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_order("C B A");
}
END_TEST

START_TEST(a_signal_that_the_program_ignores_is_ignored)
{
    config("%s", hooks_abc(hook_command));
    struct process *worker = start(GRACED, program("worker"), "pause", "ignore-term");
    wait_ready(worker);
    send_signal(worker, SIGTERM);
    expect_status(stop_with(worker, SIGINT), KILLED(SIGINT));
    expect_order("C B A");
}
END_TEST

START_TEST(a_signal_that_the_config_does_not_name_ends_it_as_bare)
{
    config("signals = [\"TERM\"];\n%s", hooks_abc(hook_command));
    struct process *worker;
    expect_status(stop_worker(GRACED, "pause", SIGINT, &worker), KILLED(SIGINT));
    expect_text(contents(worker->out), "ready\n");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("signals");
    TCase *group = story_case(all, "every signal");
    tcase_add_test(group, with_much_thread_local_storage);
    tcase_add_loop_test(group, bare_loses_what_was_buffered, 0, SIGNALS);
    tcase_add_loop_test(group, every_signal_without_config, 0, SIGNALS);
    tcase_add_loop_test(group, every_signal_with_command_hooks, 0, SIGNALS);
    tcase_add_loop_test(group, every_signal_with_in_process_hooks, 0, SIGNALS);
    group = story_case(all, "at any work");
    tcase_add_loop_test(group, at_any_work_with_command_hooks, 0, WORKS);
    tcase_add_loop_test(group, at_any_work_with_in_process_hooks, 0, WORKS);
    tcase_add_loop_test(group, with_64_threads, 0, 2);
    group = story_case(all, "dispositions");
    tcase_add_test(group, at_the_terminal_by_ctrl_c);
    tcase_add_test(group, a_signal_inherited_as_ignored_stays_ignored);
    tcase_add_test(group, a_signal_that_the_program_ignores_is_ignored);
    tcase_add_test(group, a_signal_that_the_config_does_not_name_ends_it_as_bare);
    return all;
}
