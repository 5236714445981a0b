/*
 * Daemons: the owner that leaves a forked child behind, and status 0, hands ownership to it. No
 * hook runs then; each runs once at the daemon's real end, whatever that is. And what looks similar
 * and is the end: another status, a signal, a stop under way, a child that is another program by
 * now.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

static const char *const ways[] = {
    "daemon-0-0",
    "daemon-1-1",
    "fork-setsid",
    "return",
    "setsid-twice",
    "ready-pipe",
    "_exit",
    "raw-exit",
    "second-child",
    "last-of-many",
    "again",
    "closes-everything",
    "pool",
    "pool-of-many",
    "pool-of-grandchild",
    "parents-pid-file",
};

static const struct ending {
    const char *term;
    int signo, status;
    const char *cause;
    bool inside; /* in-process hooks run */
} endings[] = {
    {"default", SIGTERM, KILLED(SIGTERM), "signal", true},
    {"own", SIGTERM, EXITED(5), "signal", true},
    {"default", SIGUSR1, EXITED(4), "exit", true},
    {"default", SIGUSR2, EXITED(4), "_exit", true},
    {"default", SIGKILL, KILLED(SIGKILL), "killed", false},
    {"default", SIGSEGV, KILLED(SIGSEGV), "crash", false},
};

/* External before and after, one within the target between. */
static void three_hooks(const char *more)
{
    config("%s\nlog = { to = \"file\"; path = \"%s\"; };\nhooks = (%s,\n%s,\n%s);\n", more,
           here("log"),
           hook_script("A", "echo A:$GRACE_PID:$GRACE_CAUSE >>order", "phase = \"announce\";"),
           hook_plugin("B", ""),
           hook_script("C", "echo C:$GRACE_PID:$GRACE_CAUSE >>order", "phase = \"cleanup\";"));
}

static char *order_of(const struct process *owner, const char *cause, bool inside)
{
    return text("A:%d:%s %sC:%d:%s", owner->pid, cause, inside ? "B " : "", owner->pid, cause);
}

/* Started, and its parent gone with status 0. */
static struct process *become_daemon(enum way way, const char *how, const char *term)
{
    unlink("pid");
    write_file("pid.go", "%s", "");
    struct process *launcher = start(way, program("daemonizer"), how, "pid", term);
    if (strcmp(how, "again") == 0) { /* stays in the foreground */
        pid_in("pid");
        return launcher;
    }
    expect_status(wait_end(launcher), EXITED(0));
    struct process *process = adopt(pid_in("pid"));
    if (way == GRACED) {
        wait_contains("log", text("hands over to %d: forked, no exec, alive\n", process->pid));
        expect(count_of(contents("log"), text("hands over to %d:", process->pid)) == 1, "%s",
               contents("log"));
    }
    return process;
}

static void end_daemon(struct process *process, const struct ending *ending)
{
    expect_order_now("");
    wait_guardian_pid();
    expect_status(stop_with(process, ending->signo), ending->status);
    expect_order(order_of(process, ending->cause, ending->inside));
}

START_TEST(hooks_run_once_at_the_daemons_end)
{
    const char *how = ways[_i / COUNT(endings)];
    const struct ending *ending = &endings[_i % COUNT(endings)];
    if (strcmp(ending->cause, "crash") == 0 && !endings_are_kept())
        skip("nobody tells how a process ended (PIDFD_GET_INFO)");
    three_hooks("");
    struct process *bare = become_daemon(BARE, how, ending->term);
    const char *expected = picture();
    expect_status(stop_with(bare, ending->signo), ending->status);
    wait_all_gone();
    struct process *graced = become_daemon(GRACED, how, ending->term);
    expect_picture(expected);
    end_daemon(graced, ending);
}
END_TEST

/* Its parent executes nothing and waits for its word: the guardian is the same before and after. */
START_TEST(the_guardian_follows)
{
    three_hooks("");
    struct process *launcher =
        start(GRACED, program("daemonizer"), "ready-pipe", "pid", endings[_i].term);
    pid_t guardian = wait_guardian_pid();
    write_file("pid.go", "%s", "");
    expect_status(wait_end(launcher), EXITED(0));
    struct process *process = adopt(pid_in("pid"));
    expect(guardian_pid() == guardian);
    end_daemon(process, &endings[_i]);
}
END_TEST

/* It executes itself anew, twice: still the owner, the same guardian, no hook run in between. */
START_TEST(a_daemon_that_executes_itself_stays_the_owner)
{
    static const char *const executing[] = {"again", "setsid-twice", "daemon-0-0",
                                            "executes-itself"};
    three_hooks("");
    struct process *process = become_daemon(GRACED, executing[_i / 3], "default");
    pid_t guardian = wait_guardian_pid();
    for (int i = 0; i < 2; i++) {
        unlink("pid");
        send_signal(process, SIGHUP);
        expect(pid_in("pid") == process->pid);
        expect(guardian_pid() == guardian);
    }
    end_daemon(process, &endings[2 * (_i % 3)]);
}
END_TEST

/* ---- the parent's end is the end ------------------------------------------------------------- */

static const struct {
    const char *way, *cause;
    int status;
    bool inside;
} last_ends[] = {
    {"parent-exits-1", "exit", EXITED(1), true},
    {"parent-dies", "killed", KILLED(SIGKILL), false},
    {"parent-is-stopped", "signal", KILLED(SIGTERM), true},
    {"parent-handles-stop", "signal", EXITED(0), true},
    {"vforked-program", "return", EXITED(0), true},
    {"spawned-program", "return", EXITED(0), true},
    {"executed-program", "return", EXITED(0), true},
    {"nobody", "return", EXITED(0), true},
};

static void ends_with_parent(const char *how, int status, const char *cause, bool inside)
{
    struct process *bare = start(BARE, program("daemonizer"), how, "pid");
    expect_status(wait_end(bare), status);
    kill(pid_in("pid"), SIGUSR1);
    wait_all_gone();
    unlink("pid");
    struct process *graced = start(GRACED, program("daemonizer"), how, "pid");
    expect_status(wait_end(graced), status);
    const char *order = order_of(graced, cause, inside);
    wait_contains("order", strrchr(order, ' ') + 1); /* before the child ends */
    kill(pid_in("pid"), SIGUSR1);
    expect_order(order);
    expect(count_of(contents("log"), "hands over") == 0);
}

START_TEST(an_end_that_is_no_hand_over)
{
    three_hooks("");
    ends_with_parent(last_ends[_i].way, last_ends[_i].status, last_ends[_i].cause,
                     last_ends[_i].inside);
}
END_TEST

START_TEST(daemonize_never_runs_them_at_the_parents_end)
{
    static const struct {
        const char *way, *cause;
        bool inside;
    } rows[] = {{"fork-setsid", "exit", true},
                {"return", "return", true},
                {"_exit", "_exit", true},
                {"daemon-0-0", "_exit", false}};
    three_hooks("daemonize = \"never\";");
    ends_with_parent(rows[_i].way, EXITED(0), rows[_i].cause, rows[_i].inside);
}
END_TEST

/* ---- which child ----------------------------------------------------------------------------- */

/* By the rule it is the one that was forked last: here a helper, and its end is the end. */
START_TEST(of_several_children_the_last_one_takes_over)
{
    three_hooks("");
    struct process *launcher = start(GRACED, program("daemonizer"), "helper-last", "pid");
    expect_status(wait_end(launcher), EXITED(0));
    struct process *first = adopt(pid_in("pid"));
    wait_contains("log", text("pid %d hands over to ", launcher->pid));
    expect(strstr(contents("log"), text("hands over to %d", first->pid)) == NULL);
    expect_status(stop_with(first, SIGTERM), KILLED(SIGTERM));
    wait_all_gone(); /* the helper ends with it, by _exit(0) */
    expect(count_of(contents("order"), "A:") == 1 && count_of(contents("order"), "B") == 1);
    expect(strstr(contents("order"), text(":%d:", first->pid)) == NULL);
}
END_TEST

/* A pid file names it for sure. */
START_TEST(the_pid_file_names_the_owner)
{
    three_hooks(text("pidfile = \"%s\";", here("pid")));
    unlink("pid");
    struct process *launcher =
        start(GRACED, program("daemonizer"), "helper-last", "pid", endings[_i].term);
    expect_status(wait_end(launcher), EXITED(0));
    struct process *first = adopt(pid_in("pid"));
    wait_contains("log", text("hands over to %d", first->pid));
    expect_order_now("");
    expect_status(stop_with(first, endings[_i].signo), endings[_i].status);
    expect_order(order_of(first, endings[_i].cause, endings[_i].inside));
}
END_TEST

/* … even where that is a program that libgrace is not in: then what runs beside it does the rest.
 */
START_TEST(the_pid_file_may_name_a_program_without_libgrace)
{
    static const int ends[] = {SIGTERM, SIGKILL, SIGUSR1};
    static const char *const causes[] = {"signal", "killed", "_exit"};
    three_hooks(text("pidfile = \"%s\";", here("pid")));
    struct process *launcher = start(GRACED, program("daemonizer"), "executed-program", "pid");
    expect_status(wait_end(launcher), EXITED(0));
    struct process *executed = adopt(pid_in("pid"));
    wait_contains("log", text("hands over to %d", executed->pid));
    expect_order_now("");
    stop_with(executed, ends[_i]);
    expect_order(order_of(executed, causes[_i], false));
}
END_TEST

/* ---- at any moment --------------------------------------------------------------------------- */

/* kill -9 to all of it while it becomes a daemon: never twice; once when it had become one. */
START_TEST(killed_at_any_moment_hooks_run_once)
{
    three_hooks("");
    unlink("pid");
    struct process *launcher = start(GRACED, program("daemonizer"), ways[_i % 5], "pid");
    wait_guardian_pid();
    for (struct timespec left = {.tv_nsec = _i / 5 * 100000L}; nanosleep(&left, &left) != 0;)
        ;
    kill_all_but_guardian();
    wait_end(launcher);
    wait_all_gone();
    unsigned first = count_of(contents("order"), "A:"), last = count_of(contents("order"), "C:");
    expect(first == last && first <= 1, "%s", contents("order"));
    if (exists("pid"))
        expect(first == 1, "%s", contents("log"));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("owner: daemons");
    TCase *group = story_case(all, "daemons");
    tcase_add_loop_test(group, hooks_run_once_at_the_daemons_end, 0, COUNT(ways) * COUNT(endings));
    tcase_add_loop_test(group, the_guardian_follows, 0, COUNT(endings));
    tcase_add_loop_test(group, a_daemon_that_executes_itself_stays_the_owner, 0, 4 * 3);
    tcase_add_loop_test(group, killed_at_any_moment_hooks_run_once, 0, 30);
    group = story_case(all, "ends");
    tcase_add_loop_test(group, an_end_that_is_no_hand_over, 0, COUNT(last_ends));
    tcase_add_loop_test(group, daemonize_never_runs_them_at_the_parents_end, 0, 4);
    group = story_case(all, "children");
    tcase_add_test(group, of_several_children_the_last_one_takes_over);
    tcase_add_loop_test(group, the_pid_file_names_the_owner, 0, COUNT(endings));
    tcase_add_loop_test(group, the_pid_file_may_name_a_program_without_libgrace, 0, 3);
    return all;
}
