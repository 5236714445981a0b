/*
 * Where a kernel, an emulator or a sandbox's filter starts no process that shares memory, all is as
 * elsewhere: a guardian that nobody notices, hooks that run once, and the reason of one that
 * cannot.
 */
#include "harness_guardian.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const refusals[] = {"beside", "vm", "untold"};
enum { REFUSALS = sizeof refusals / sizeof refusals[0] };

/* guardian_target with these words, where such clones are refused. */
static struct process *start_refused(const char *refusal, enum way way, const char *const *words)
{
    const char *argv[16] = {program("refuser"), refusal, "env"};
    size_t count = 3;
    if (way == GRACED) {
        argv[count++] = text("LD_PRELOAD=%s", product("libgrace.so"));
        argv[count++] = text("GRACE_CONFIG=%s", here("grace.conf"));
    }
    argv[count++] = program("guardian_target");
    while (*words != NULL)
        argv[count++] = *words++;
    return launch(&(struct launch){.way = BARE, .argv = argv});
}

static struct process *start_waiting(const char *refusal)
{
    struct process *target = start_refused(refusal, GRACED, ARGV("say:ready", "wait"));
    wait_ready(target);
    return target;
}

static const char *two_hooks(void)
{
    return text("hooks = (%s, %s);\n", hook_command("K", "phase = \"cleanup\";"),
                hook_command("A", ""));
}

START_TEST(the_guardian_runs_hooks_once)
{
    int signo = _i < REFUSALS ? SIGTERM : SIGKILL;
    config("%s", two_hooks());
    struct process *target = start_waiting(refusals[_i % REFUSALS]);
    wait_guardian(target);
    expect_status(stop_with(target, signo), KILLED(signo));
    expect_order("A K");
    expect(strstr(contents(target->err), "warning") == NULL);
}
END_TEST

static char *what_it_sees(const char *refusal, enum way way)
{
    struct process *target =
        start_refused(refusal, way, ARGV("count-children", "look", "look", "exit:0"));
    expect_status(wait_end(target), EXITED(0));
    return contents(target->out);
}

START_TEST(the_target_does_not_notice_the_guardian)
{
    config("%s", two_hooks());
    expect_text(what_it_sees(refusals[_i], GRACED), what_it_sees(refusals[_i], BARE));
    expect_order("A K");
}
END_TEST

START_TEST(without_a_guardian_hooks_run_in_the_target)
{
    config("guardian = \"off\";\n%s", two_hooks());
    struct process *target = start_waiting(refusals[_i]);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("A K");
}
END_TEST

/* Found when the target starts, and gone when it stops. */
START_TEST(a_command_that_is_gone_is_told_of)
{
    const char *guardian = _i < REFUSALS ? "on" : "off";
    write_file("hook", "#!/bin/sh\n");
    expect(chmod(here("hook"), 0755) == 0);
    config("guardian = \"%s\";\nhooks = ({ name = \"H\"; command = [\"%s\"]; });", guardian,
           here("hook"));
    struct process *target = start_waiting(refusals[_i % REFUSALS]);
    if (_i < REFUSALS)
        wait_guardian(target);
    expect(unlink(here("hook")) == 0);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect(strstr(contents(target->err), "No such file or directory") != NULL);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("refused clones");
    TCase *group = story_case(all, "refused clones");
    tcase_add_loop_test(group, the_guardian_runs_hooks_once, 0, 2 * REFUSALS);
    tcase_add_loop_test(group, the_target_does_not_notice_the_guardian, 0, REFUSALS);
    tcase_add_loop_test(group, without_a_guardian_hooks_run_in_the_target, 0, REFUSALS);
    tcase_add_loop_test(group, a_command_that_is_gone_is_told_of, 0, 2 * REFUSALS);
    return all;
}
