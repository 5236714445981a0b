/*
 * What bounds a stop, and how it ends when the config says so: a second signal, the deadline, the
 * setting `end`. Hooks that hang stand for work that takes too long.
 */
#include "harness.h"

#include <string.h>

/* A hook that says that it began, and then waits until the file "go" appears. */
static char *hook_that_waits(const char *name, const char *more)
{
    return hook_script(name,
                       text("echo %s >> order; : > began; while [ ! -e go ]; do sleep 0.02; done; "
                            "echo %s-done >> order",
                            name, name),
                       more);
}

static struct process *start_worker(void)
{
    struct process *worker = start(GRACED, program("worker"), "pause", "atexit");
    wait_ready(worker);
    return worker;
}

/* Signals again and again, as an impatient person would, until the program is gone. */
static int insist(struct process *process, int signo)
{
    for (int64_t since = now_ms(); !has_ended(process);) {
        send_signal(process, signo);
        let_pass(100);
        if (now_ms() - since > STORY_LIMIT_MS)
            break;
    }
    return wait_end(process);
}

START_TEST(a_second_signal_cuts_to_the_end)
{
    config("deadline = \"1h\";\nhooks = (%s, %s);", hook_command("A", ""),
           hook_that_waits("B", "timeout = \"30m\";"));
    struct process *worker = start_worker();
    send_signal(worker, SIGTERM);
    wait_exists("began");
    expect_status(insist(worker, SIGTERM), KILLED(SIGTERM));
    /* The hook that was under way is cut, what comes behind it is left out. */
    expect(strstr(contents("order"), "B-done") == NULL);
    expect(strstr(contents("order"), "A") == NULL);
}
END_TEST

START_TEST(another_second_signal_ends_by_the_first)
{
    config("deadline = \"1h\";\nhooks = (%s);", hook_that_waits("B", "timeout = \"30m\";"));
    struct process *worker = start_worker();
    send_signal(worker, SIGTERM);
    wait_exists("began");
    int status = insist(worker, SIGINT);
    expect(status == KILLED(SIGTERM) || status == KILLED(SIGINT), "%s", status_words(status));
}
END_TEST

START_TEST(a_second_signal_is_ignored_when_the_config_says_so)
{
    config("second_signal = \"ignore\";\nhooks = (%s, %s);", hook_command("A", ""),
           hook_that_waits("B", "timeout = \"1m\";"));
    struct process *worker = start_worker();
    send_signal(worker, SIGTERM);
    wait_exists("began");
    for (int i = 0; i < 4; i++) {
        let_pass(300); /* longer, in all, than what counts as the same signal */
        send_signal(worker, i % 2 == 0 ? SIGTERM : SIGINT);
    }
    expect(!has_ended(worker));
    write_file("go", "%s", "");
    expect_status(wait_end(worker), KILLED(SIGTERM));
    expect_order("B B-done A");
}
END_TEST

/* ^C reaches the whole foreground group, and then the supervisor forwards it: one wish to stop. */
START_TEST(two_signals_within_a_moment_are_one)
{
    config("hooks = (%s, %s);", hook_command("A", ""), hook_that_waits("B", "timeout = \"1m\";"));
    struct process *worker = start_worker();
    send_signal(worker, SIGTERM);
    send_signal(worker, SIGTERM);
    send_signal(worker, SIGINT);
    write_file("go", "%s", "");
    int status = wait_end(worker);
    expect(status == KILLED(SIGTERM) || status == KILLED(SIGINT), "%s", status_words(status));
    expect_order("B B-done A");
}
END_TEST

START_TEST(the_deadline_ends_a_stop_whose_command_hangs)
{
    config("deadline = \"1s\";\nhooks = (%s, %s);", hook_command("A", ""),
           hook_that_waits("B", "timeout = \"30m\";"));
    struct process *worker = start_worker();
    int64_t begin = now_ms();
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect(now_ms() - begin >= 500);
    expect(strstr(contents("order"), "B-done") == NULL);
}
END_TEST

START_TEST(the_deadline_ends_a_stop_whose_plugin_hangs)
{
    config("deadline = \"3s\";\nhooks = ({ name = \"B\"; plugin = \"%s\"; timeout = \"30m\"; "
           "options = { how = \"hang\"; file = \"%s\"; }; });",
           plugin("story_misbehave"), here("order"));
    struct process *worker = start_worker();
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_order("hang");
}
END_TEST

START_TEST(end_exit_runs_the_exit_handlers)
{
    config("end = \"exit\";\n%s", hooks_abc(_i == 0 ? hook_command : hook_plugin));
    struct process *worker = start_worker();
    expect_status(stop_with(worker, SIGTERM), EXITED(128 + SIGTERM));
    expect_text(contents(worker->out), "ready\natexit\nbuffered\n");
    expect_order("C B A");
}
END_TEST

START_TEST(end_exit_reaches_a_program_that_never_waits)
{
    static const char *const works[] = {"spin", "malloc", "printf", "write"};
    config("end = \"exit\";\n%s", hooks_abc(hook_command));
    struct process *worker = start(GRACED, program("worker"), works[_i], "atexit");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGINT), EXITED(128 + SIGINT));
    expect(strstr(contents(worker->out), "atexit\n") != NULL);
    expect_order("C B A");
}
END_TEST

START_TEST(end_can_be_a_number)
{
    static const int numbers[] = {0, 7, 255};
    config("end = %d;\n%s", numbers[_i], hooks_abc(hook_command));
    struct process *worker = start_worker();
    expect_status(stop_with(worker, SIGTERM), EXITED(numbers[_i]));
    expect_text(contents(worker->out), "ready\nbuffered\n");
    expect_order("C B A");
}
END_TEST

/* `end` is about signals: a program that ends by itself knows what it wants to say. */
START_TEST(end_leaves_an_exit_alone)
{
    config("end = 7;\n%s", hooks_abc(hook_command));
    expect_status(run(GRACED, program("ender"), "exit"), EXITED(3));
    expect_order("C B A");
}
END_TEST

START_TEST(disabled_it_does_nothing)
{
    config("%s", hooks_abc(hook_command));
    environment("GRACE_DISABLE", "1");
    struct process *worker = start_worker();
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(worker->out), "ready\n");
    expect_text(contents(worker->err), "");
    expect_order("");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("limits");
    TCase *group = story_case(all, "second signal");
    tcase_add_test(group, a_second_signal_cuts_to_the_end);
    tcase_add_test(group, another_second_signal_ends_by_the_first);
    tcase_add_test(group, a_second_signal_is_ignored_when_the_config_says_so);
    tcase_add_test(group, two_signals_within_a_moment_are_one);
    group = story_case(all, "deadline");
    tcase_add_test(group, the_deadline_ends_a_stop_whose_command_hangs);
    tcase_add_test(group, the_deadline_ends_a_stop_whose_plugin_hangs);
    group = story_case(all, "end");
    tcase_add_loop_test(group, end_exit_runs_the_exit_handlers, 0, 2);
    tcase_add_loop_test(group, end_exit_reaches_a_program_that_never_waits, 0, 4);
    tcase_add_loop_test(group, end_can_be_a_number, 0, 3);
    tcase_add_test(group, end_leaves_an_exit_alone);
    tcase_add_test(group, disabled_it_does_nothing);
    return all;
}
