/*
 * Daemons without a guardian: the one that leaves hands over by itself, names the new owner in the
 * ledger's file, and nobody runs a hook while the daemon lives.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness_ledger.h"
#include "harness_story.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

static const char *const ways[] = {"daemon-0-0",   "daemon-1-1",  "fork-setsid",
                                   "setsid-twice", "_exit",       "closes-everything",
                                   "pool",         "pool-of-many"};

static struct process *become_daemon(const char *how)
{
    unlink(here("pid"));
    expect_status(run(GRACED, program("daemonizer"), how, here("pid")), EXITED(0));
    return adopt(pid_in("pid"));
}

START_TEST(a_daemon_without_a_guardian_runs_its_hooks_once)
{
    config("guardian = \"off\";\nhooks = (%s, %s, %s);", hook_command("A", "phase = \"announce\";"),
           hook_plugin("B", ""), hook_command("C", "phase = \"cleanup\";"));
    struct process *process = become_daemon(ways[_i]);
    expect_order_now("");
    expect(guardian_pid() == 0);
    expect_status(stop_with(process, SIGTERM), KILLED(SIGTERM));
    expect_order("A B C");
}
END_TEST

static void expect_recorded(const struct process *process)
{
    struct on_disk ledger;
    expect(read_ledger(ledger_file(), &ledger));
    expect(ledger.record.pid == process->pid, "the record names %d", ledger.record.pid);
    const char *stat = strrchr(contents(text("/proc/%d/stat", process->pid)), ')');
    for (int field = 2; field < 22; field++)
        stat = strchr(stat + 1, ' ');
    expect(strtoull(stat, NULL, 10) == ledger.record.start_time);
}

static struct process *durable_daemon(const char *how)
{
    CONFIGURE("guardian = \"off\";\n%s", hooks_in_phases());
    struct process *process = become_daemon(how);
    expect_recorded(process);
    expect_text(contents(recover(EXITED(0))->out), "nothing is owed\n");
    expect_order_now("");
    return process;
}

START_TEST(the_record_names_the_daemon)
{
    struct process *process = durable_daemon(ways[_i]);
    expect_status(stop_with(process, SIGTERM), KILLED(SIGTERM));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(what_a_killed_daemon_owes_is_recovered)
{
    struct process *process = durable_daemon(ways[_i]);
    expect_status(stop_with(process, SIGKILL), KILLED(SIGKILL));
    wait_all_gone();
    expect_order_now("");
    recover(EXITED(0));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

/* Executing itself anew, twice, it finds its ledger again by the record. */
START_TEST(a_daemon_that_executes_itself_owes_its_hooks_once)
{
    struct process *process = durable_daemon(ways[_i]);
    for (int i = 0; i < 2; i++) {
        unlink(here("pid"));
        send_signal(process, SIGHUP);
        expect(pid_in("pid") == process->pid);
        expect_recorded(process);
        recover(EXITED(0));
        expect_order_now("");
    }
    send_signal(process, SIGKILL);
    wait_end(process);
    wait_all_gone();
    recover(EXITED(0));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

/* Another instance that is started while the daemon lives runs none of its hooks. */
START_TEST(the_next_start_leaves_a_living_daemon_alone)
{
    struct process *process = durable_daemon("daemon-0-0");
    expect_status(run(GRACED, "/bin/true"), EXITED(0));
    expect_order_now("A B C"); /* that one's own */
    expect_status(stop_with(process, SIGTERM), KILLED(SIGTERM));
    expect_order("A B C A B C");
    expect_nothing_left();
}
END_TEST

/* ---- daemon() that cannot fork --------------------------------------------------------------- */

/* An elder child lives, which would have been the next. */
START_TEST(a_daemon_that_fails_stays_the_owner)
{
    config("guardian = \"%s\";\nlog = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s);",
           _i == 0 ? "auto" : "off", here("log"),
           hook_script("A", "echo A:$GRACE_PID >>order", "phase = \"announce\";"),
           hook_plugin("B", ""));
    struct process *process =
        launch(&(struct launch){.way = GRACED,
                                .argv = ARGV(program("daemonizer"), "daemon-fails", here("pid")),
                                .user = geteuid() == 0 ? "nobody" : NULL});
    expect_status(wait_end(process), EXITED(7));
    wait_contains("order", "B");
    expect_text(contents("order"), text("A:%d\nB\n", process->pid));
    kill_all_but_guardian();
    wait_all_gone();
    expect(count_of(contents("order"), "\n") == 2, "%s", contents("order"));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("owner: alone");
    TCase *group = story_case(all, "alone");
    tcase_add_loop_test(group, a_daemon_without_a_guardian_runs_its_hooks_once, 0, COUNT(ways));
    tcase_add_loop_test(group, the_record_names_the_daemon, 0, COUNT(ways));
    tcase_add_loop_test(group, what_a_killed_daemon_owes_is_recovered, 0, COUNT(ways));
    tcase_add_loop_test(group, a_daemon_that_executes_itself_owes_its_hooks_once, 0, 5);
    tcase_add_test(group, the_next_start_leaves_a_living_daemon_alone);
    tcase_add_loop_test(group, a_daemon_that_fails_stays_the_owner, 0, 2);
    return all;
}
