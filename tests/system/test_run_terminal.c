/* grace run --init in a terminal: what a shell's job control does to a bare program it does to one
 * that has grace above it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "harness_story.h"

static void type(struct process *shell, const char *keys)
{
    expect(write(shell->terminal, keys, strlen(keys)) == (ssize_t)strlen(keys));
}

/* Until the shell reads again: what is typed while it takes the terminal back may be lost. */
static void until_it_reads(struct process *shell)
{
    for (int64_t since = now_ms(); strstr(contents(shell->out), "reads\n") == NULL;) {
        type(shell, "echo reads\n");
        expect(look_again(since));
    }
}

/* Until who reads the terminal is stopped, too: a read that is under way takes one more key. */
static void wait_stopped(const char *pid_file)
{
    const char *stat = text("/proc/%d/stat", (int)pid_in(pid_file)), *end;
    for (int64_t since = now_ms(); (end = strrchr(contents(stat), ')')) == NULL || end[2] != 'T';)
        expect(look_again(since), "%s", contents(stat));
}

static struct process *shell_in_terminal(void)
{
    environment("PS1", "");
    return launch(
        &(struct launch){.argv = ARGV("bash", "--norc", "--noediting", "-i"), .terminal = true});
}

/* The words that start a program: bare, and below grace. */
static const char *command(int graced, const char *program)
{
    return graced ? text("%s run --init %s", product("grace"), program) : program;
}

START_TEST(an_interrupt_reaches_the_program)
{
    config("%s", hooks_abc(hook_command));
    struct process *target = launch(&(struct launch){
        .argv = ARGV(product("grace"), "run", "--init", "sh", "-c", "echo ready; exec sleep 3600"),
        .terminal = true});
    wait_ready(target);
    type_interrupt(target);
    expect_status(wait_end(target), KILLED(SIGINT));
    expect_order("C B A");
}
END_TEST

/* Reading, ^Z, fg, reading again: the shell says so, the terminal is the program's again. */
START_TEST(suspending_and_resuming_work_as_for_a_bare_program)
{
    struct process *shell = shell_in_terminal();
    write_file(
        "reader", "%s",
        "echo $$ >pid; echo started; read one; echo \"one $one\"; read two; echo \"two $two\"");
    type(shell, text("%s\n", command(_i, "sh reader")));
    wait_contains(shell->out, "started\n");
    type(shell, "1\n");
    wait_contains(shell->out, "one 1\n");
    type(shell, "\032"); /* ^Z */
    wait_contains(shell->err, "Stopped");
    wait_stopped("pid");
    until_it_reads(shell);
    type(shell, "jobs -s > stopped; echo noted\n");
    wait_contains(shell->out, "noted\n");
    expect(strstr(contents("stopped"), "sh reader") != NULL, "%s", contents("stopped"));
    type(shell, "fg\n2\n");
    wait_contains(shell->out, "two 2\n");
    type(shell, "echo status $?; exit 0\n");
    wait_contains(shell->out, "status 0\n");
    expect_status(wait_end(shell), EXITED(0));
}
END_TEST

START_TEST(a_job_in_the_background_stops_when_it_reads_and_goes_on_in_the_foreground)
{
    struct process *shell = shell_in_terminal();
    write_file("reader", "%s", "echo $$ >pid; echo started; read one; echo \"one $one\"");
    type(shell, text("%s &\n", command(_i, "sh reader")));
    wait_contains(shell->out, "started\n");
    type(shell, "until jobs -s | grep -q reader; do :; done; echo noted\n");
    wait_contains(shell->out, "noted\n");
    type(shell, "fg\n1\n");
    wait_contains(shell->out, "one 1\n");
    type(shell, "exit 0\n");
    expect_status(wait_end(shell), EXITED(0));
}
END_TEST

START_TEST(a_stop_signal_of_job_control_stops_both_and_cont_resumes_both)
{
    struct process *shell = shell_in_terminal();
    type(shell, text("%s &\n", command(_i, "sleep 3600")));
    type(shell, "echo $! > job; echo noted\n");
    wait_contains(shell->out, "noted\n");
    type(shell, "kill -TSTP $(cat job); until jobs -s | grep -q sleep; do :; done; echo halted\n");
    wait_contains(shell->out, "halted\n");
    type(shell, "kill -CONT $(cat job); until jobs -r | grep -q sleep; do :; done; echo running\n");
    wait_contains(shell->out, "running\n");
    type(shell, "kill -TERM $(cat job); wait $(cat job); echo status $?; exit 0\n");
    wait_contains(shell->out, "status 143\n");
    expect_status(wait_end(shell), EXITED(0));
}
END_TEST

/* With a script between it and the shell, which the terminal stops and resumes with it. */
START_TEST(a_script_around_it_is_suspended_and_resumed_with_it)
{
    struct process *shell = shell_in_terminal();
    write_file("reader", "%s", "echo $$ >pid; echo started; read one; echo \"one $one\"");
    write_file("around", "%s\necho around\n", command(_i, "sh reader"));
    type(shell, "sh around\n");
    wait_contains(shell->out, "started\n");
    type(shell, "\032"); /* ^Z */
    wait_contains(shell->err, "Stopped");
    wait_stopped("pid");
    until_it_reads(shell);
    type(shell, "fg\n1\n");
    wait_contains(shell->out, "one 1\naround\n");
    type(shell, "exit 0\n");
    expect_status(wait_end(shell), EXITED(0));
}
END_TEST

START_TEST(an_interrupt_ends_the_script_around_it)
{
    struct process *shell = shell_in_terminal();
    write_file("around", "%s\necho survived\n",
               command(_i, "sh -c 'echo started; exec sleep 3600'"));
    type(shell, "bash around\n");
    wait_contains(shell->out, "started\n");
    type(shell, "\003"); /* ^C */
    until_it_reads(shell);
    type(shell, "exit 0\n");
    expect_status(wait_end(shell), EXITED(0));
    expect(strstr(contents(shell->out), "survived") == NULL);
}
END_TEST

/* Nobody could make it go on: as a bare program that leads its session, it does not stop. */
START_TEST(where_nobody_resumes_nothing_stops)
{
    struct process *target = launch(&(struct launch){
        .argv = ARGV(product("grace"), "run", "--init", "sh", "-c",
                     "echo started; read one; echo \"one $one\"; read two; echo \"two $two\""),
        .terminal = true});
    wait_contains(target->out, "started\n");
    type(target, "1\n");
    wait_contains(target->out, "one 1\n");
    type(target, "\032");
    type(target, "2\n");
    wait_contains(target->out, "two 2\n");
    expect_status(wait_end(target), EXITED(0));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("run-terminal");
    TCase *group = story_case(all, "terminal");
    tcase_add_test(group, an_interrupt_reaches_the_program);
    tcase_add_loop_test(group, suspending_and_resuming_work_as_for_a_bare_program, 0, 2);
    tcase_add_loop_test(
        group, a_job_in_the_background_stops_when_it_reads_and_goes_on_in_the_foreground, 0, 2);
    tcase_add_loop_test(group, a_stop_signal_of_job_control_stops_both_and_cont_resumes_both, 0, 2);
    tcase_add_loop_test(group, a_script_around_it_is_suspended_and_resumed_with_it, 0, 2);
    tcase_add_loop_test(group, an_interrupt_ends_the_script_around_it, 0, 2);
    tcase_add_test(group, where_nobody_resumes_nothing_stops);
    return all;
}
