/* How hooks run: their order, retries, failures that matter, causes, and what a command is told. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static struct process *stop_by(int signo)
{
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, signo), KILLED(signo));
    return worker;
}

static struct process *stop_one(void)
{
    return stop_by(SIGTERM);
}

START_TEST(phases_run_in_order_and_each_in_reverse)
{
    char *(*one)(const char *, const char *) = _i == 1 ? hook_plugin : hook_command;
    char *(*other)(const char *, const char *) = _i == 0 ? hook_command : hook_plugin;
    config("hooks = (%s, %s, %s, %s, %s, %s, %s);", one("cleanup1", "phase = \"cleanup\";"),
           other("stop1", "phase = \"stop\";"), one("announce1", "phase = \"announce\";"),
           other("cleanup2", "phase = \"cleanup\";"), one("stop2", ""),
           other("announce2", "phase = \"announce\";"), one("drain1", "phase = \"drain\";"));
    stop_one();
    expect_order("announce2 announce1 drain1 stop2 stop1 cleanup2 cleanup1");
}
END_TEST

START_TEST(a_hook_that_fails_is_tried_again)
{
    /* Succeeds the third time. */
    const char *script = "echo try >> order; [ $(wc -l < order) -ge 3 ]";
    config("hooks = (%s, %s);", hook_command("last", ""),
           hook_script("again", script, "retries = 5;"));
    stop_one();
    expect_order("try try try last");
}
END_TEST

START_TEST(a_plugin_that_fails_is_tried_again)
{
    config("hooks = (%s, { name = \"again\"; plugin = \"%s\"; retries = 2; "
           "options = { how = \"error\"; file = \"%s\"; }; });",
           hook_command("last", ""), plugin("story_misbehave"), here("order"));
    stop_one();
    expect_order("error error error last");
}
END_TEST

START_TEST(on_failure_abort_skips_to_the_end)
{
    config(
        "hooks = (%s, %s, %s);", hook_command("never", ""),
        hook_script("fails", "echo fails >> order; exit 1", "retries = 1; on_failure = \"abort\";"),
        hook_command("before", "phase = \"announce\";"));
    stop_one();
    expect_order("before fails fails");
}
END_TEST

START_TEST(causes_choose_which_hooks_run)
{
    static const struct {
        const char *ending;
        const char *order;
        int status;
    } rows[] = {
        {"raise-term", "signal", KILLED(SIGTERM)}, {"exit", "exit", EXITED(3)},
        {"return-3", "return", EXITED(3)},         {"_exit", "_exit", EXITED(3)},
        {"quick_exit", "quick_exit", EXITED(3)},
    };
    config("hooks = (%s, %s, %s, %s, %s, %s);", hook_command("signal", "causes = [\"signal\"];"),
           hook_command("exit", "causes = [\"exit\"];"),
           hook_command("return", "causes = [\"return\"];"),
           hook_command("_exit", "causes = [\"_exit\"];"),
           hook_command("quick_exit", "causes = [\"quick_exit\"];"),
           hook_command("killed", "causes = [\"killed\"];"));
    expect_status(run(GRACED, program("ender"), rows[_i].ending), rows[_i].status);
    expect_order(rows[_i].order);
}
END_TEST

/* ---- what a command is told ------------------------------------------------------------------ */

static void expect_variable(const char *name, const char *value)
{
    wait_all_gone(); /* cleanup hooks run when the target is gone */
    const char *all = text("\n%s", contents("variables"));
    expect(strstr(all, text("\n%s=%s\n", name, value)) != NULL, "no %s=%s among%s", name, value,
           all);
}

static void config_variables(void)
{
    config("hooks = (%s);", hook_script("look", "env > variables", "phase = \"cleanup\";"));
}

START_TEST(a_command_is_told_of_a_signal)
{
    config_variables();
    environment("OF_THE_TARGET", "stays");
    struct process *worker = stop_one();
    expect_variable("GRACE_PID", text("%d", worker->pid));
    expect_variable("GRACE_CAUSE", "signal");
    expect_variable("GRACE_SIGNAL", "TERM");
    expect_variable("GRACE_HOOK", "look");
    expect_variable("GRACE_PHASE", "cleanup");
    expect_variable("GRACE_PROGRAM", "worker");
    expect_variable("SERVICE_RESULT", "success"); /* for TERM systemd says so */
    expect_variable("EXIT_CODE", "killed");
    expect_variable("EXIT_STATUS", "TERM");
    expect_variable("OF_THE_TARGET", "stays");
    expect(strstr(contents("variables"), "GRACE_REMAINING_MS=") != NULL);
    expect(strstr(contents("variables"), "LD_PRELOAD") == NULL);
}
END_TEST

START_TEST(a_command_is_told_of_an_unclean_signal)
{
    config_variables();
    stop_by(SIGQUIT);
    expect_variable("GRACE_SIGNAL", "QUIT");
    expect_variable("SERVICE_RESULT", "signal");
    expect_variable("EXIT_CODE", "killed");
    expect_variable("EXIT_STATUS", "QUIT");
}
END_TEST

START_TEST(a_command_is_told_of_an_exit)
{
    config_variables();
    expect_status(run(GRACED, program("ender"), "exit"), EXITED(3));
    expect_variable("GRACE_CAUSE", "exit");
    expect_variable("GRACE_EXIT_STATUS", "3");
    expect_variable("SERVICE_RESULT", "exit-code");
    expect_variable("EXIT_CODE", "exited");
    expect_variable("EXIT_STATUS", "3");
}
END_TEST

/* Default signals, nothing blocked, a group of its own, none of the target's descriptors. */
START_TEST(a_command_starts_clean)
{
    config("hooks = (%s);",
           hook_script("look",
                       "grep Sig /proc/self/status > signals; ls -l /proc/$$/fd > files; "
                       "ps -o pid=,pgid= -p $$ > group",
                       ""));
    struct process *worker = start(GRACED, program("worker"), "poll", "ignore-term");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGINT), KILLED(SIGINT));
    const char *signals = contents("signals");
    expect(strstr(signals, "SigBlk:\t0000000000000000") != NULL);
    expect(strstr(signals, "SigIgn:\t0000000000000000") != NULL);
    expect(strstr(contents("files"), " 0 -> /dev/null") != NULL);
    /* The target's own pipe, that it waits for, is not among them. */
    expect(count_of(contents("files"), "pipe:") <= 2);
    int pid = 0, pgid = 1;
    expect(sscanf(contents("group"), "%d %d", &pid, &pgid) == 2);
    expect(pid == pgid);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hooks");
    TCase *group = story_case(all, "order");
    tcase_add_loop_test(group, phases_run_in_order_and_each_in_reverse, 0, 3);
    tcase_add_test(group, a_hook_that_fails_is_tried_again);
    tcase_add_test(group, a_plugin_that_fails_is_tried_again);
    tcase_add_test(group, on_failure_abort_skips_to_the_end);
    tcase_add_loop_test(group, causes_choose_which_hooks_run, 0, 5);
    group = story_case(all, "commands");
    tcase_add_test(group, a_command_is_told_of_a_signal);
    tcase_add_test(group, a_command_is_told_of_an_unclean_signal);
    tcase_add_test(group, a_command_is_told_of_an_exit);
    tcase_add_test(group, a_command_starts_clean);
    return all;
}
