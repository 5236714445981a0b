/*
 * A target that changes its user late. libc has every thread take part in that and waits for each:
 * one of libgrace's that did not would hold the target up for ever, as squid at its exit.
 */
#include "harness.h"

static void three_hooks(const char *middle)
{
    config("hooks = (%s, %s, %s);", hook_command("A", "phase = \"announce\";"), middle,
           hook_command("C", "phase = \"cleanup\";"));
}

static char *misbehave(const char *how)
{
    return text("{ name = \"bad\"; plugin = \"%s\"; timeout = \"2s\";"
                " options = { how = \"%s\"; file = \"%s\"; }; }",
                plugin("story_misbehave"), how, here("order"));
}

START_TEST(at_exit_after_the_hooks)
{
    three_hooks(hook_plugin("B", ""));
    expect_status(run(GRACED, program("changes_user"), "exit"), EXITED(4));
    expect_order("A B C");
}
END_TEST

/* Their threads are still there, and never run again. */
START_TEST(at_exit_after_hooks_that_failed)
{
    static const char *const ways[] = {"hang", "spin", "bad-pointer", "abort", "pthread_exit"};
    three_hooks(misbehave(ways[_i]));
    expect_status(run(GRACED, program("changes_user"), "exit"), EXITED(4));
    expect_order(text("A %s C", ways[_i]));
}
END_TEST

START_TEST(in_its_own_handler_after_the_announcement)
{
    three_hooks(hook_plugin("B", _i == 0 ? "phase = \"announce\";" : ""));
    struct process *process = start(GRACED, program("changes_user"), "handler");
    wait_ready(process);
    expect_status(stop_with(process, SIGTERM), EXITED(5));
}
END_TEST

START_TEST(all_the_while)
{
    three_hooks(hook_plugin("B", ""));
    struct process *process = start(GRACED, program("changes_user"), "thread");
    wait_ready(process);
    expect_status(stop_with(process, SIGTERM), KILLED(SIGTERM));
    expect_order("A B C");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("user changes");
    TCase *group = story_case(all, "user");
    tcase_add_test(group, at_exit_after_the_hooks);
    tcase_add_loop_test(group, at_exit_after_hooks_that_failed, 0, 5);
    tcase_add_loop_test(group, in_its_own_handler_after_the_announcement, 0, 2);
    tcase_add_test(group, all_the_while);
    return all;
}
