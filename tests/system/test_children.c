/*
 * Children of the target: one that it forks runs no hooks however it ends, and one that it executes
 * finds neither libgrace nor a trace of it. The target's own end runs them, once.
 */
#include "harness.h"

#include <string.h>

static const char *const endings[] = {"return",  "exit",    "_exit", "quick_exit",
                                      "stopped", "handles", "abort", "grandchild"};
static const char *const looks[] = {"look-system", "look-popen", "look-spawn", "look-vfork",
                                    "look-fork"};
#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

static void same_as_bare(const char *how)
{
    struct process *bare = start(BARE, program("family"), how);
    expect_status(wait_end(bare), EXITED(3));
    struct process *graced = start(GRACED, program("family"), how);
    expect_status(wait_end(graced), EXITED(3));
    expect_text(contents(graced->out), contents(bare->out));
}

START_TEST(a_forked_child_runs_no_hooks)
{
    config("%s", hooks_abc(_i % 2 == 0 ? hook_command : hook_plugin));
    same_as_bare(endings[_i / 2]);
    expect_order("C B A");
}
END_TEST

START_TEST(an_executed_child_finds_no_trace)
{
    config("%s", hooks_abc(hook_command));
    same_as_bare(looks[_i]);
    expect_order("C B A");
}
END_TEST

/* A shell script under libgrace: every command that it starts is a program without it. */
START_TEST(the_commands_of_a_shell_script_run_no_hooks)
{
    config("%s", hooks_abc(hook_command));
    const char *script = "/bin/true; (exit 5); /bin/false; x=$(echo y); kill -TERM $$";
    expect_status(run(BARE, "/bin/bash", "-c", script), KILLED(SIGTERM));
    expect_status(run(GRACED, "/bin/bash", "-c", script), KILLED(SIGTERM));
    expect_order("C B A");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("children");
    TCase *group = story_case(all, "children");
    tcase_add_loop_test(group, a_forked_child_runs_no_hooks, 0, 2 * COUNT(endings));
    tcase_add_loop_test(group, an_executed_child_finds_no_trace, 0, COUNT(looks));
    tcase_add_test(group, the_commands_of_a_shell_script_run_no_hooks);
    return all;
}
