/*
 * What is owed outlives everything: the owner, its guardian and the machine. With `state_dir` the
 * ledger is a file; `grace recover`, or the next start, runs what it says is owed, once.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness_ledger.h"
#include "harness_story.h"

/* ---- exactly once ---------------------------------------------------------------------------- */

START_TEST(what_target_and_guardian_owed_when_both_were_killed_runs_once)
{
    bool guarded = _i == 0;
    CONFIGURE("guardian = \"%s\";\n%s", guarded ? "auto" : "off", hooks_in_phases());
    start_and_kill_both(guarded);
    struct process *first = recover(EXITED(0));
    expect_order("A B C");
    expect(strstr(contents(first->out), "3 done, 0 failed, 0 not run") != NULL, "%s",
           contents(first->out));
    expect_nothing_left();
    struct process *second = recover(EXITED(0));
    expect_order("A B C");
    expect_text(contents(second->out), "nothing is owed\n");
}
END_TEST

START_TEST(hooks_are_told_that_the_program_was_killed)
{
    CONFIGURE("hooks = ( %s );",
              hook_script("A", "echo $GRACE_CAUSE $GRACE_PROGRAM $GRACE_PID > story", ""));
    struct owner owner = start_and_kill_both(true);
    recover(EXITED(0));
    expect_text(contents("story"), text("killed sleep %d\n", owner.process->pid));
}
END_TEST

START_TEST(the_next_start_runs_what_is_owed_before_main)
{
    CONFIGURE("hooks = ( %s );", hook_script("A", "echo A >> order; echo saved > effect", ""));
    start_and_kill_both(true);
    struct process *next = start(GRACED, "/bin/cat", here("effect"));
    expect_status(wait_end(next), EXITED(0));
    expect_text(contents(next->out), "saved\n");
    expect_order("A A"); /* and its own */
    expect_nothing_left();
}
END_TEST

START_TEST(a_start_under_another_config_leaves_it_alone)
{
    char *first = CONFIGURE("%s", hooks_in_phases());
    struct owner owner = start_and_kill_both(true);
    configure("other.conf", text("hooks = ( %s );", hook_command("X", "")));
    expect_status(run(GRACED, "/bin/true"), EXITED(0));
    expect_order("X");
    recover(EXITED(0));
    expect_order("X");
    expect(exists(owner.ledger));
    environment("GRACE_CONFIG", first);
    recover(EXITED(0));
    expect_order("X A B C");
}
END_TEST

START_TEST(without_an_argument_the_config_of_the_environment_is_looked_at)
{
    CONFIGURE("%s", hooks_in_phases());
    start_and_kill_both(true);
    expect_status(run(BARE, product("grace"), "recover"), EXITED(0));
    expect_order("A B C");
}
END_TEST

/* As in a systemd unit: Environment= is for ExecStopPost= too. Neither grace nor a hook is a
 * program that owes these hooks. */
START_TEST(grace_recover_under_libgrace_runs_them_once)
{
    not_emulated("is the program that the kernel knows (/proc/PID/exe)");
    CONFIGURE("guardian = \"%s\";\n%s", _i == 0 ? "auto" : "off", hooks_in_phases());
    struct owner owner = start_and_kill_both(_i == 0);
    struct process *grace = start(GRACED, product("grace"), "recover", getenv("GRACE_CONFIG"));
    expect_status(wait_end(grace), EXITED(0));
    expect_order("A B C");
    expect_text(contents(grace->out),
                text("sleep (pid %d): 3 done, 0 failed, 0 not run\n", owner.process->pid));
    expect_nothing_left();
}
END_TEST

START_TEST(a_live_owner_is_left_alone)
{
    CONFIGURE("guardian = \"off\";\n%s", hooks_in_phases());
    struct owner owner = start_owner(false);
    struct process *grace = recover(EXITED(0));
    expect_text(contents(grace->out), "nothing is owed\n");
    expect_text(contents("order"), "");
    expect(exists(owner.ledger));
    expect_status(stop_with(owner.process, SIGTERM), KILLED(SIGTERM));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(a_live_guardian_is_left_alone)
{
    CONFIGURE("%s", hooks_in_phases());
    struct owner owner = start_owner(true);
    kill(owner.guardian, SIGSTOP);
    kill(owner.process->pid, SIGKILL);
    wait_end(owner.process);
    recover(EXITED(0));
    expect_text(contents("order"), "");
    expect(exists(owner.ledger));
    kill(owner.guardian, SIGCONT);
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

/* Its parent does not wait for it: it has its pid and start time still. */
START_TEST(an_owner_that_nobody_waits_for_is_dead)
{
    CONFIGURE("%s", hooks_in_phases());
    struct owner owner = start_owner(true);
    kill(owner.guardian, SIGKILL);
    expect(waitpid(owner.guardian, NULL, 0) == owner.guardian);
    send_signal(owner.process, SIGKILL);
    siginfo_t ended;
    expect(waitid(P_PID, (id_t)owner.process->pid, &ended, WEXITED | WNOWAIT) == 0);
    recover(EXITED(0));
    expect_text(contents("order"), "A\nB\nC\n");
    wait_end(owner.process);
    expect_nothing_left();
}
END_TEST

START_TEST(a_daemon_is_the_owner_that_counts)
{
    CONFIGURE("%s", hooks_in_phases());
    expect_status(run(GRACED, program("daemonizer"), "daemon-0-0", here("pid")), EXITED(0));
    pid_t daemon = pid_in("pid");
    struct on_disk ledger;
    for (int64_t since = now_ms();;) {
        expect(read_ledger(ledger_file(), &ledger));
        if (ledger.record.pid == daemon)
            break;
        expect(look_again(since), "the record names pid %d, not %d", ledger.record.pid, daemon);
    }
    kill(atomic_load(&ledger.head.guardian), SIGKILL);
    expect(waitpid(atomic_load(&ledger.head.guardian), NULL, 0) > 0);
    recover(EXITED(0));
    expect_text(contents("order"), "");
    kill(daemon, SIGKILL);
    wait_all_gone();
    recover(EXITED(0));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

static void write_record(const char *path, const struct grace_ledger_record *record)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    expect(fd >= 0);
    expect(pwrite(fd, record, sizeof *record, 0) == (ssize_t)sizeof *record);
    close(fd);
}

START_TEST(another_process_with_the_same_pid_is_told_apart)
{
    bool another_boot = _i == 1;
    struct on_disk ledger;
    CONFIGURE("guardian = \"off\";\n%s", hooks_in_phases());
    struct owner owner = start_owner(false);
    recover(EXITED(0));
    expect_text(contents("order"), ""); /* as it is, the record names this process */
    expect(read_ledger(owner.ledger, &ledger));
    if (another_boot)
        ledger.record.boot_id[0] = ledger.record.boot_id[0] == '0' ? '1' : '0';
    else
        ledger.record.start_time--;
    write_record(owner.ledger, &ledger.record);
    recover(EXITED(0));
    expect_text(contents("order"), "A\nB\nC\n");
    expect(!has_ended(owner.process));
    expect_nothing_left();
}
END_TEST

START_TEST(a_hook_that_had_begun_is_not_run_again)
{
    CONFIGURE(
        "hooks = (\n  %s,\n  %s,\n  %s\n);", hook_command("C", ""),
        hook_script("B", text("echo B >> order; exec sleep %d", STORY_HANG_S), "timeout = \"1h\";"),
        hook_command("A", ""));
    struct owner owner = start_owner(true);
    send_signal(owner.process, SIGTERM);
    wait_contains("order", "B");
    /* The target first: without its guardian it would go on to C. The guardian waits for B. */
    kill(owner.process->pid, SIGKILL);
    kill(owner.guardian, SIGKILL);
    story_kill_all();
    expect_text(contents("order"), "A\nB\n");
    struct process *grace = recover(EXITED(0));
    expect_order("A B C");
    expect_says(grace, "hook \"B\" had begun");
    expect(strstr(contents(grace->out), "1 done, 0 failed, 0 not run, 1 begun before") != NULL,
           "%s", contents(grace->out));
    expect_nothing_left();
}
END_TEST

START_TEST(a_recovery_that_is_killed_is_taken_up_by_the_next)
{
    CONFIGURE(
        "hooks = (\n  %s,\n  %s,\n  %s\n);", hook_command("C", ""),
        hook_script("B", text("echo B >> order; exec sleep %d", STORY_HANG_S), "timeout = \"1h\";"),
        hook_command("A", ""));
    start_and_kill_both(true);
    start(BARE, product("grace"), "recover", getenv("GRACE_CONFIG"));
    wait_contains("order", "B");
    story_kill_all();
    recover(EXITED(0));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(two_recoveries_at_once_run_each_hook_once)
{
    CONFIGURE("hooks = (\n  %s,\n  %s\n);", hook_command("B", ""),
              hook_script("A", "echo A >> order; until [ -e go ]; do :; done", ""));
    start_and_kill_both(true);
    struct process *first = start(BARE, product("grace"), "recover", getenv("GRACE_CONFIG"));
    wait_contains("order", "A");
    struct process *second = recover(EXITED(0));
    expect_text(contents(second->out), "nothing is owed\n");
    write_file("go", "%s", "");
    expect_status(wait_end(first), EXITED(0));
    expect_order("A B");
    expect_nothing_left();
}
END_TEST

START_TEST(recoveries_that_race_run_each_hook_once)
{
    enum { RACERS = 6 };
    struct process *racers[RACERS];
    CONFIGURE("%s", hooks_in_phases());
    start_and_kill_both(true);
    for (int i = 0; i < RACERS; i++)
        racers[i] = start(BARE, product("grace"), "recover", getenv("GRACE_CONFIG"));
    for (int i = 0; i < RACERS; i++) {
        expect_status(wait_end(racers[i]), EXITED(0));
        expect_text(contents(racers[i]->err),
                    strstr(contents(racers[i]->out), "3 done") ? contents(racers[i]->err) : "");
    }
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

/* It has opened the file when another one settles and removes it. */
START_TEST(a_recovery_that_comes_second_finds_nothing)
{
    CONFIGURE("%s", hooks_in_phases());
    struct owner owner = start_and_kill_both(true);
    struct process *slow = start(BARE, "strace", "-qq", "-o", here("trace"), "-e", "trace=pread64",
                                 "-e", "inject=pread64:signal=SIGSTOP:when=1", "-P", owner.ledger,
                                 product("grace"), "recover", getenv("GRACE_CONFIG"));
    wait_contains("trace", "stopped by SIGSTOP");
    recover(EXITED(0));
    expect_text(contents("order"), "A\nB\nC\n");
    kill(atoi(contents(text("/proc/%d/task/%d/children", slow->pid, slow->pid))), SIGCONT);
    expect_status(wait_end(slow), EXITED(0));
    expect_text(contents(slow->out), "nothing is owed\n");
    expect_text(contents(slow->err), "");
    expect_order("A B C");
}
END_TEST

START_TEST(a_failed_hook_is_told_and_not_tried_for_ever)
{
    CONFIGURE("hooks = (\n  %s,\n  %s\n);", hook_command("B", ""),
              hook_script("A", "echo A >> order; exit 3", ""));
    start_and_kill_both(true);
    struct process *grace = recover(UNSETTLED);
    expect_order("A B");
    expect_says(grace, "hook \"A\"");
    expect_nothing_left();
}
END_TEST

START_TEST(hooks_for_other_causes_are_settled)
{
    CONFIGURE("hooks = (\n  %s,\n  %s,\n  %s\n);", hook_command("A", "causes = [\"signal\"];"),
              hook_command("B", "causes = [\"killed\"];"),
              hook_command("C", "causes = [\"exit\"];"));
    start_and_kill_both(true);
    recover(EXITED(0));
    expect_order("B");
    expect_nothing_left();
}
END_TEST

Suite *suite(void)
{
    Suite *suite = suite_create("recover");
    TCase *once = story_case(suite, "once");
    tcase_add_loop_test(once, what_target_and_guardian_owed_when_both_were_killed_runs_once, 0, 2);
    tcase_add_test(once, hooks_are_told_that_the_program_was_killed);
    tcase_add_test(once, a_hook_that_had_begun_is_not_run_again);
    tcase_add_test(once, a_recovery_that_is_killed_is_taken_up_by_the_next);
    tcase_add_test(once, two_recoveries_at_once_run_each_hook_once);
    tcase_add_test(once, recoveries_that_race_run_each_hook_once);
    tcase_add_test(once, a_recovery_that_comes_second_finds_nothing);
    tcase_add_test(once, a_failed_hook_is_told_and_not_tried_for_ever);
    tcase_add_test(once, hooks_for_other_causes_are_settled);

    TCase *whose = story_case(suite, "whose");
    tcase_add_test(whose, the_next_start_runs_what_is_owed_before_main);
    tcase_add_test(whose, a_start_under_another_config_leaves_it_alone);
    tcase_add_test(whose, without_an_argument_the_config_of_the_environment_is_looked_at);
    tcase_add_loop_test(whose, grace_recover_under_libgrace_runs_them_once, 0, 2);
    tcase_add_test(whose, a_live_owner_is_left_alone);
    tcase_add_test(whose, a_live_guardian_is_left_alone);
    tcase_add_test(whose, an_owner_that_nobody_waits_for_is_dead);
    tcase_add_test(whose, a_daemon_is_the_owner_that_counts);
    tcase_add_loop_test(whose, another_process_with_the_same_pid_is_told_apart, 0, 2);
    return suite;
}
