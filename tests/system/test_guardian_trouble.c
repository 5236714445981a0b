/*
 * When the guardian is not there, cannot come, or dies: each has an outcome that is defined and
 * logged. The conductor then runs external hooks from within the target; what only a guardian could
 * do is left undone. And a config that changes under a running target.
 */
#include "harness_guardian.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *two_hooks(void)
{
    return text("hooks = (%s, %s);\n", hook_command("K", "phase = \"cleanup\";"),
                hook_command("A", ""));
}

static struct process *started(struct process *target)
{
    wait_ready(target);
    return target;
}

static struct process *start_target(void)
{
    return started(start(GRACED, program("guardian_target"), "say:ready", "wait"));
}

/* ---- whether there is one ------------------------------------------------------------------ */

START_TEST(off_there_is_none)
{
    config("guardian = \"off\";\n%s", two_hooks());
    struct process *target = start_target();
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("A K");
    write_file("order", "%s", "");
    target = start_target();
    expect(guardian_of(target) == 0);
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    expect_order("");
}
END_TEST

START_TEST(auto_there_is_none_for_hooks_inside)
{
    config("hooks = (%s);", hook_plugin("A", ""));
    struct process *target = start_target();
    /* Whatever was started is gone once all but the target is; it would have stayed. */
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("A");
    expect(guardian_of(target) == 0);
}
END_TEST

START_TEST(on_there_is_one_even_for_nothing)
{
    config("guardian = \"on\";\n%s", _i == 0 ? "" : text("hooks = (%s);", hook_plugin("A", "")));
    struct process *target = start_target();
    wait_guardian(target);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order(_i == 0 ? "" : "A");
}
END_TEST

/* ---- a grace command that cannot be had ---------------------------------------------------- */

/* libgrace.so in a folder of its own, with or without what is to be the grace command. */
static const char *library_beside(const char *command, const char *mode)
{
    expect(system(text("mkdir -p alone && cp '%s' alone/ && { [ -z '%s' ] || cp '%s' alone/grace; "
                       "}; [ -z '%s' ] || chmod %s alone/grace",
                       product("libgrace.so"), command, command, mode, mode)) == 0);
    return here("alone/libgrace.so");
}

static void runs_hooks_within(const char *library, const char *log)
{
    config("%s", two_hooks());
    const char *words[] = {program("guardian_target"), "say:ready", "wait", NULL};
    struct process *target = started(start_under(library, words));
    int64_t begin = now_ms();
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect(now_ms() - begin < 1500, "%d ms: it waited for a guardian that never comes",
           (int)(now_ms() - begin));
    expect(strstr(contents(target->err), log) != NULL);
    expect_order("A K");
}

START_TEST(without_the_grace_command)
{
    runs_hooks_within(library_beside("", ""), "grace is not found");
}
END_TEST

START_TEST(with_a_grace_command_that_is_not_executable)
{
    runs_hooks_within(library_beside(product("grace"), "644"), "grace is not found");
}
END_TEST

START_TEST(with_a_grace_command_that_is_no_program)
{
    runs_hooks_within(library_beside("/etc/passwd", "755"), "guardian");
}
END_TEST

/* No process more can be had at all: neither a guardian nor a hook, but the ending is the same. */
START_TEST(with_no_process_to_be_had)
{
    struct process *target;
    if (geteuid() != 0)
        skip("only root can become a user with a limit of its own");
    not_emulated("starts threads of its own");
    config("%s", two_hooks());
    const char *library = library_beside(product("grace"), "755");
    target = start(BARE, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                   "prlimit", "--nproc=0", "env", text("LD_PRELOAD=%s", library),
                   text("GRACE_CONFIG=%s", here("grace.conf")), program("guardian_target"),
                   "say:ready", "wait");
    started(target);
    expect(strstr(contents(target->err), "guardian cannot be started") != NULL);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect(count_of(contents(target->err), "failed") >= 2);
    expect_order("");
}
END_TEST

/* ---- the guardian's own death -------------------------------------------------------------- */

START_TEST(killed_before_the_stop)
{
    config("%s", two_hooks());
    struct process *target = start_target();
    kill_and_wait(wait_guardian(target));
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect(strstr(contents(target->err), "the guardian is gone") != NULL);
    expect_order("A K");
}
END_TEST

START_TEST(killed_before_an_exit)
{
    config("%s", two_hooks());
    struct process *target =
        started(start(GRACED, program("guardian_target"), "on-term:exit", "say:ready", "wait"));
    kill_and_wait(wait_guardian(target));
    expect_status(stop_with(target, SIGTERM), EXITED(7));
    expect_order("A K");
}
END_TEST

/* The hook that it ran is not run again: half of its work may be done. The others are. */
START_TEST(killed_while_a_hook_runs)
{
    config("hooks = (%s, %s, %s, %s);", hook_command("K", "phase = \"cleanup\";"),
           hook_command("A", ""), hook_that_waits("B", "timeout = \"1m\";"), hook_command("C", ""));
    struct process *target = start_target();
    pid_t guardian = wait_guardian(target);
    send_signal(target, SIGTERM);
    wait_exists("began");
    kill_and_wait(guardian);
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect(strstr(contents(target->err), "the guardian died while it ran") != NULL);
    write_file("go", "%s", "");
    expect_order("C B A K B-done");
}
END_TEST

START_TEST(killed_between_two_hooks)
{
    config("deadline = \"1h\";\nhooks = (%s, %s, %s, %s);",
           hook_command("K", "phase = \"cleanup\";"), hook_command("A", ""),
           text("{ name = \"B\"; plugin = \"%s\"; timeout = \"2s\"; "
                "options = { how = \"hang\"; file = \"%s\"; }; }",
                plugin("story_misbehave"), here("order")),
           hook_command("C", ""));
    struct process *target = start_target();
    pid_t guardian = wait_guardian(target);
    send_signal(target, SIGTERM);
    wait_contains("order", "hang\n");
    kill_and_wait(guardian);
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("C hang A K");
}
END_TEST

/* ---- a config that changes ----------------------------------------------------------------- */

START_TEST(the_config_that_counts_is_the_one_at_the_start)
{
    config("%s", two_hooks());
    struct process *target = start_target();
    wait_guardian(target);
    if (_i % 2 == 0)
        unlink(here("grace.conf"));
    else
        config("hooks = (%s);", hook_command("OTHER", ""));
    int signo = _i < 2 ? SIGTERM : SIGKILL;
    expect_status(stop_with(target, signo), KILLED(signo));
    expect_order("A K");
}
END_TEST

/* ---- a plugin that cannot be loaded -------------------------------------------------------- */

/* Inside the target it fails to load; nobody else can run it, or waits for that. */
START_TEST(a_plugin_inside_that_cannot_be_configured_fails_at_once)
{
    config("hooks = (%s, { name = \"B\"; plugin = \"%s\"; timeout = \"30s\"; %s }, %s);",
           hook_command("A", ""), plugin("story_append"), _i == 0 ? "" : "phase = \"cleanup\";",
           hook_command("C", ""));
    struct process *target = start_target();
    wait_guardian(target);
    int64_t begin = now_ms();
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect(now_ms() - begin < 1500, "%d ms", (int)(now_ms() - begin));
    expect_order("C A");
    expect(count_of(contents(target->err), "hook \"B\"") == 2, "at the start, and at the stop");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guardian in trouble");
    TCase *group = story_case(all, "none");
    tcase_add_test(group, off_there_is_none);
    tcase_add_test(group, auto_there_is_none_for_hooks_inside);
    tcase_add_loop_test(group, on_there_is_one_even_for_nothing, 0, 2);
    tcase_add_test(group, without_the_grace_command);
    tcase_add_test(group, with_a_grace_command_that_is_not_executable);
    tcase_add_test(group, with_a_grace_command_that_is_no_program);
    tcase_add_test(group, with_no_process_to_be_had);
    group = story_case(all, "killed");
    tcase_add_test(group, killed_before_the_stop);
    tcase_add_test(group, killed_before_an_exit);
    tcase_add_test(group, killed_while_a_hook_runs);
    tcase_add_test(group, killed_between_two_hooks);
    group = story_case(all, "config");
    tcase_add_loop_test(group, the_config_that_counts_is_the_one_at_the_start, 0, 4);
    tcase_add_loop_test(group, a_plugin_inside_that_cannot_be_configured_fails_at_once, 0, 2);
    return all;
}
