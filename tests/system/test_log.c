/*
 * The log of a stop: who asked for it, what each hook did, how it ended; to each place that a
 * config may name, in both formats, and never into a file of the target's. Nothing is said before a
 * stop.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JSON "level = \"info\"; format = \"json\";"

static struct process *stop_one(const char *setting)
{
    config("log = { %s };\n%s", setting, hooks_abc(hook_command));
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    expect_text(contents(worker->err), ""); /* nothing on a start without trouble */
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    return worker;
}

/* The lines of a JSON log, each as "event hook result", read by a parser that is not ours. */
static char *events_of(const char *file)
{
    struct process *python =
        start(BARE, "/usr/bin/python3", "-c",
              "import json, sys\n"
              "for line in open(sys.argv[1], encoding='utf-8'):\n"
              "    fact = json.loads(line)\n"
              "    for key in 'time', 'level', 'program', 'pid', 'message': fact[key]\n"
              "    print(' '.join(str(fact[key]) for key in ('event', 'hook', 'result', 'cause',"
              " 'signal', 'sender_pid', 'sender_uid') if key in fact))\n",
              file);
    expect_status(wait_end(python), EXITED(0));
    return contents(python->out);
}

static void expect_events(const char *file)
{
    expect_text(
        events_of(file),
        text("stop-begin signal %d %d %d\nhook C done\nhook B done\nhook A done\nstop-end\n",
             SIGTERM, getpid(), geteuid()));
}

/* Every line is one of libgrace's about this process, and there is one for each event. */
static void expect_text_lines(const char *lines, const struct process *worker)
{
    const char *start_of_line = text("libgrace: worker[%d]: ", worker->pid);
    expect(count_of(lines, start_of_line) == count_of(lines, "\n"), "%s", lines);
    expect(count_of(lines, "\n") == 5, "%s", lines);
    expect(strstr(lines, "TERM") != NULL);
    expect(strstr(lines, text("%d", getpid())) != NULL);
}

START_TEST(to_stderr_as_text)
{
    struct process *worker = stop_one("to = \"stderr\";");
    expect_text_lines(contents(worker->err), worker);
}
END_TEST

START_TEST(to_stderr_as_json)
{
    struct process *worker = stop_one("to = \"stderr\"; " JSON);
    expect_events(worker->err);
}
END_TEST

START_TEST(to_a_file)
{
    struct process *worker =
        stop_one(text("to = \"file\"; path = \"%s\"; " JSON, here("grace.log")));
    expect_text(contents(worker->err), "");
    expect_events("grace.log");
}
END_TEST

START_TEST(to_a_file_that_cannot_be_opened_falls_back_to_stderr)
{
    struct process *worker = stop_one("to = \"file\"; path = \"/no/such/folder/grace.log\"; " JSON);
    expect_events(worker->err);
}
END_TEST

START_TEST(at_level_error_a_good_stop_is_silent)
{
    struct process *worker = stop_one("level = \"error\";");
    expect_text(contents(worker->err), "");
}
END_TEST

START_TEST(a_start_and_a_plain_end_without_hooks_are_silent)
{
    struct process *target = start(GRACED, program("ender"), "exit");
    expect_status(wait_end(target), EXITED(3));
    expect_text(contents(target->err), "");
}
END_TEST

START_TEST(what_a_hook_prints_is_in_the_log_under_its_name)
{
    config("hooks = (%s);", hook_script("speaker", "echo some words; echo others >&2; exit 7", ""));
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    const char *said = contents(target->err);
    expect(strstr(said, "some words\n") != NULL && strstr(said, "others\n") != NULL);
    expect(count_of(said, "speaker") >= 3);
    expect(strstr(said, "warning: ") != NULL); /* it failed */
    expect_text(contents(target->out), "ready\nbuffered\n");
}
END_TEST

/* ---- targets that make it hard --------------------------------------------------------------- */

START_TEST(never_into_a_file_that_took_the_number_of_stderr)
{
    config("%s", hooks_abc(hook_command));
    struct process *worker = start(GRACED, program("worker"), "poll", "take-descriptors");
    wait_contains("database", "ready\n");
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_text(contents("database"), "ready\nbuffered\n");
    expect_text_lines(contents(worker->err), worker);
    expect_order("C B A");
}
END_TEST

START_TEST(a_target_without_stderr_is_stopped_all_the_same)
{
    config("%s", hooks_abc(hook_command));
    struct process *worker = launch(&(struct launch){
        .way = GRACED, .argv = ARGV(program("worker"), "poll"), .no_stderr = true});
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(worker->out), "ready\nbuffered\n");
    expect_order("C B A");
}
END_TEST

/* stderr is a pipe that is full and that nobody reads: lines are lost, the stop is not. */
START_TEST(a_full_pipe_does_not_hold_the_stop)
{
    config("%s", hooks_abc(hook_command));
    expect(mkfifo("full", 0600) == 0);
    int reader = open("full", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    static char bytes[4096];
    while (write(reader, bytes, sizeof bytes) > 0)
        ;
    struct process *worker =
        start(BARE, "/bin/sh", "-c",
              text("exec 2>full; LD_PRELOAD='%s' GRACE_CONFIG='%s' exec '%s' poll",
                   product("libgrace.so"), here("grace.conf"), program("worker")));
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(worker->out), "ready\nbuffered\n");
    close(reader);
    expect_order("C B A");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("log");
    TCase *group = story_case(all, "where");
    tcase_add_test(group, to_stderr_as_text);
    tcase_add_test(group, to_stderr_as_json);
    tcase_add_test(group, to_a_file);
    tcase_add_test(group, to_a_file_that_cannot_be_opened_falls_back_to_stderr);
    group = story_case(all, "what");
    tcase_add_test(group, at_level_error_a_good_stop_is_silent);
    tcase_add_test(group, a_start_and_a_plain_end_without_hooks_are_silent);
    tcase_add_test(group, what_a_hook_prints_is_in_the_log_under_its_name);
    group = story_case(all, "hard targets");
    tcase_add_test(group, never_into_a_file_that_took_the_number_of_stderr);
    tcase_add_test(group, a_target_without_stderr_is_stopped_all_the_same);
    tcase_add_test(group, a_full_pipe_does_not_hold_the_stop);
    return all;
}
