/*
 * Hooks that misbehave: each fails alone. The hooks behind it run, in order, the target ends by its
 * own status, and the whole takes as long as the timeouts allow, not as long as the hook would.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

struct misbehaviour {
    const char *name;
    const char *script;
};

static const struct misbehaviour commands[] = {
    {"hangs", "exec sleep 3600"},
    {"hangs and ignores TERM", "trap : TERM; while :; do sleep 0.05; done"},
    {"crashes", "kill -SEGV $$"},
    {"aborts", "kill -ABRT $$"},
    {"is killed", "kill -KILL $$"},
    {"kills its group", "kill -TERM 0"},
    {"exits with a status", "exit 9"},
    {"leaves a process behind", "sleep 3600 & exit 0"},
    {"leaves a process behind that holds no output", "sleep 3600 >/dev/null 2>&1 & exit 0"},
    {"prints a megabyte", "head -c 1048576 /dev/zero | tr '\\\\0' x"},
    {"prints a megabyte of lines", "yes a line of output | head -c 1048576"},
    {"closes its output", "exec >&- 2>&-; exit 0"},
    {"removes its directory", "mkdir gone; cd gone; rmdir ../gone; exit 1"},
};
#define COMMANDS ((int)(sizeof commands / sizeof commands[0]))

static const char *const plugins[] = {
    "hang",  "spin",         "bad-pointer", "bad-instruction", "stack", "abort",     "exit",
    "_exit", "pthread_exit", "fork",        "megabyte",        "error", "quick_exit"};
#define PLUGINS ((int)(sizeof plugins / sizeof plugins[0]))

static char *hook_misbehave(const char *name, const char *how, const char *more)
{
    return text(
        "{ name = \"%s\"; plugin = \"%s\"; options = { how = \"%s\"; file = \"%s\"; }; %s }", name,
        plugin("story_misbehave"), how, here("order"), more);
}

/*
 * A config with the bad hook between two good ones. Hooks run in reverse order: first, bad, last.
 * The bad one is given a second or two; the deadline is far away.
 */
static void config_with(const char *bad)
{
    config("deadline = \"10m\";\nhooks = (\n  %s,\n  %s,\n  %s\n);", hook_command("last", ""), bad,
           hook_command("first", ""));
}

/* Start a program, stop it, and expect that it dies by the signal, in less time than a hang. */
static struct process *stop_one(void)
{
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect(strstr(contents(worker->out), "buffered\n") != NULL);
    return worker;
}

START_TEST(a_command_fails_alone)
{
    config_with(hook_script("bad", commands[_i].script, "timeout = \"1s\";"));
    stop_one();
    expect_order_now("first last");
}
END_TEST

START_TEST(a_command_fails_alone_at_exit)
{
    config_with(hook_script("bad", commands[_i].script, "timeout = \"1s\";"));
    expect_status(run(GRACED, program("ender"), "exit"), EXITED(3));
    expect_order_now("first last");
}
END_TEST

START_TEST(a_plugin_fails_alone)
{
    config_with(hook_misbehave("bad", plugins[_i], "timeout = \"2s\";"));
    stop_one();
    expect_order_now(text("first %s last", plugins[_i]));
}
END_TEST

START_TEST(a_plugin_fails_alone_at_exit)
{
    config_with(hook_misbehave("bad", plugins[_i], "timeout = \"2s\";"));
    expect_status(run(GRACED, program("ender"), "exit"), EXITED(3));
    expect_order_now(text("first %s last", plugins[_i]));
}
END_TEST

START_TEST(a_plugin_that_throws_fails_alone)
{
    config_with(
        text("{ name = \"bad\"; plugin = \"%s\"; timeout = \"1s\"; }", plugin("story_throw")));
    if (_i == 0)
        stop_one();
    else
        expect_status(run(GRACED, program("ender"), "exit"), EXITED(3));
    expect_order("first last");
}
END_TEST

/* A hook that cannot work is left out, with a word on it; the others run. */
START_TEST(a_hook_that_does_not_exist_is_left_out)
{
    static const char *const bad[] = {
        "{ name = \"bad\"; command = [\"/no/such/program\"]; }",
        "{ name = \"bad\"; command = [\"no-such-program-anywhere\"]; }",
        "{ name = \"bad\"; command = [\"/etc\"]; }",
        "{ name = \"bad\"; plugin = \"no-such-plugin\"; }",
        "{ name = \"bad\"; plugin = \"/no/such/plugin.so\"; }",
        "{ name = \"bad\"; plugin = \"/etc/passwd\"; }",
    };
    config_with(bad[_i]);
    struct process *worker = stop_one();
    expect(strstr(contents(worker->err), "bad") != NULL);
    expect_order("first last");
}
END_TEST

/* Three hooks hang: the stop takes the sum of their timeouts, not the deadline and not for ever. */
START_TEST(hangs_add_up_to_their_timeouts)
{
    const char *hang = "exec sleep 3600", *second = "timeout = \"1s\";";
    config("deadline = \"10m\";\nhooks = (\n  %s,\n  %s,\n  %s,\n  %s\n);",
           hook_command("last", ""), hook_script("one", hang, second),
           hook_misbehave("two", "hang", second), hook_script("three", hang, second));
    int64_t begin = now_ms();
    stop_one();
    /* Each has most of its second: a command gets TERM before, so that KILL comes in time. */
    expect(now_ms() - begin >= 2000);
    expect_order_now("hang last");
}
END_TEST

/* What a hook that passed its timeout started goes with it. */
START_TEST(a_timeout_ends_the_whole_group)
{
    config("hooks = (%s);",
           hook_script("bad", "sleep 3600 & echo $! > child; wait", "timeout = \"1s\";"));
    stop_one();
    expect(atoi(contents("child")) > 0);
    wait_all_gone();
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("bad hooks");
    TCase *group = story_case(all, "commands");
    tcase_add_loop_test(group, a_command_fails_alone, 0, COMMANDS);
    tcase_add_loop_test(group, a_command_fails_alone_at_exit, 0, COMMANDS);
    group = story_case(all, "plugins");
    tcase_add_loop_test(group, a_plugin_fails_alone, 0, PLUGINS);
    tcase_add_loop_test(group, a_plugin_fails_alone_at_exit, 0, PLUGINS);
    tcase_add_loop_test(group, a_plugin_that_throws_fails_alone, 0, 2);
    group = story_case(all, "the whole");
    tcase_add_loop_test(group, a_hook_that_does_not_exist_is_left_out, 0, 6);
    tcase_add_test(group, hangs_add_up_to_their_timeouts);
    tcase_add_test(group, a_timeout_ends_the_whole_group);
    return all;
}
