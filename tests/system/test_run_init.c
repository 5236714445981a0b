/*
 * grace run as an init: statuses, signals, zombies and groups, beside tini, dumb-init and
 * catatonit, each as PID 1 of a namespace; and with --init, where the outcome is a bare program's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "harness_guardian.h"
#include "harness_story.h"

enum { GRACE, TINI, DUMB_INIT, CATATONIT, INITS };

/* As PID 1 of a namespace of its own. */
static struct process *start_first(int init, const char *const *words)
{
    const char *argv[24] = {"unshare", "-pf", "--mount-proc", namespace_option()};
    size_t count = 4;
    if (init == GRACE) {
        argv[count++] = product("grace");
        argv[count++] = "run";
    } else {
        argv[count++] = init == TINI ? "tini" : init == DUMB_INIT ? "dumb-init" : "catatonit";
    }
    argv[count++] = "--";
    while (*words != NULL)
        argv[count++] = *words++;
    return launch(&(struct launch){.way = BARE, .argv = argv});
}
#define FIRST(init, ...) start_first(init, ARGV(__VA_ARGS__))
#define INIT(...)        start(BARE, product("grace"), "run", "--init", __VA_ARGS__)

/* The only child of a process, once there is one; 0 with `wait` false: none yet. */
static pid_t child_of(pid_t pid)
{
    for (int64_t since = now_ms();;) {
        int child = atoi(contents(text("/proc/%d/task/%d/children", pid, pid)));
        if (child > 0)
            return child;
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%d has no child", pid);
    }
}

static void send_to(pid_t pid, int signo)
{
    expect(kill(pid, signo) == 0);
}

/* ---- statuses ---------------------------------------------------------------------------------
 */

static const struct {
    const char *script;
    int bare, first; /* raw wait status; as PID 1 */
} endings[] = {
    {"exit 0", EXITED(0), EXITED(0)},
    {"exit 1", EXITED(1), EXITED(1)},
    {"exit 127", EXITED(127), EXITED(127)},
    {"exit 255", EXITED(255), EXITED(255)},
    {"kill -TERM $$", KILLED(SIGTERM), EXITED(128 + SIGTERM)},
    {"kill -INT $$", KILLED(SIGINT), EXITED(128 + SIGINT)},
    {"kill -HUP $$", KILLED(SIGHUP), EXITED(128 + SIGHUP)},
    {"kill -KILL $$", KILLED(SIGKILL), EXITED(128 + SIGKILL)},
    {"kill -SEGV $$", KILLED(SIGSEGV), EXITED(128 + SIGSEGV)},
    {"kill -ABRT $$", KILLED(SIGABRT), EXITED(128 + SIGABRT)},
    {"kill -PIPE $$", KILLED(SIGPIPE), EXITED(128 + SIGPIPE)},
    {"kill -USR1 $$", KILLED(SIGUSR1), EXITED(128 + SIGUSR1)},
    {"kill -40 $$", KILLED(40), EXITED(128 + 40)},
};
#define ENDINGS ((int)(sizeof endings / sizeof *endings))

START_TEST(the_status_is_that_of_other_inits_and_of_a_bare_program)
{
    const char *script = endings[_i].script;
    for (int init = GRACE; init < INITS; init++)
        expect_status(wait_end(FIRST(init, "sh", "-c", script)), endings[_i].first);
    expect_status(run(BARE, "sh", "-c", script), endings[_i].bare);
    expect_status(wait_end(INIT("sh", "-c", script)), endings[_i].bare);
}
END_TEST

START_TEST(what_cannot_be_started_is_said_and_is_no_end_of_the_program)
{
    config("%s", hooks_abc(hook_command));
    expect_status(wait_end(INIT("/nonexistent")), EXITED(127));
    expect_status(wait_end(INIT("/etc")), EXITED(126));
    expect_status(wait_end(FIRST(GRACE, "/nonexistent")), EXITED(127));
    /* Found wrong by the kernel only, when the ledger is there already. */
    expect_status(run(BARE, "sh", "-c", "cp /bin/true busy; chmod 755 busy"), EXITED(0));
    struct process *target =
        start(BARE, "sh", "-c", "exec 3>>busy; exec \"$0\" run --init ./busy", product("grace"));
    expect_status(wait_end(target), EXITED(126));
    expect(strstr(contents(target->err), "Text file busy") != NULL, "%s", contents(target->err));
    expect_order("");
}
END_TEST

/* ---- signals ----------------------------------------------------------------------------------
 */

/* Those that an init passes on: not what it cannot see, or uses itself for job control. */
static bool is_passed_on(int signo)
{
    static const int not [] = {SIGKILL, SIGSTOP, SIGCHLD, SIGTSTP,
                               SIGTTIN, SIGTTOU, SIGCONT, SIGUSR2, /* the test's end */
                               32,      33};
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
        if (not [i] == signo)
            return false;
    return true;
}

/* tini and catatonit leave signals of a fault alone, and dumb-init real-time signals. */
static bool is_passed_on_by(int init, int signo)
{
    static const int faults[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS};
    if (init == DUMB_INIT)
        return signo < 32;
    for (size_t i = 0; init != GRACE && i < sizeof faults / sizeof *faults; i++)
        if (faults[i] == signo)
            return false;
    return true;
}

START_TEST(every_signal_is_passed_on_once)
{
    struct process *target = FIRST(_i, program("signal_log"));
    wait_ready(target);
    pid_t init = child_of(target->pid);
    for (int signo = 1; signo <= 64; signo++) {
        if (!is_passed_on(signo) || !is_passed_on_by(_i, signo))
            continue;
        send_to(init, signo);
        wait_contains(target->out, text("target %d 0\n", signo));
    }
    send_to(init, SIGUSR2);
    expect_status(wait_end(target), EXITED(0));
    for (int signo = 1; signo <= 64; signo++)
        if (is_passed_on(signo) && is_passed_on_by(_i, signo))
            expect(count_of(contents(target->out), text("target %d 0\n", signo)) == 1, "%s",
                   contents(target->out));
}
END_TEST

START_TEST(a_queued_signal_keeps_its_value)
{
    struct process *target = INIT(program("signal_log"));
    wait_ready(target);
    for (int i = 1; i <= 5; i++)
        expect(sigqueue(target->pid, 40, (union sigval){.sival_int = i}) == 0);
    wait_contains(target->out, "target 40 1\ntarget 40 2\ntarget 40 3\ntarget 40 4\ntarget 40 5\n");
    expect_status(stop_with(target, SIGUSR2), EXITED(0));
}
END_TEST

START_TEST(a_signal_is_for_the_program_and_with_group_for_its_group)
{
    struct process *one = INIT(program("signal_log"), "group");
    wait_contains(one->out, "child ready\n");
    wait_contains(one->out, "target ready\n");
    send_signal(one, SIGUSR1);
    wait_contains(one->out, "target 10 0\n");
    struct process *all =
        start(BARE, product("grace"), "run", "--group", program("signal_log"), "group");
    wait_contains(all->out, "child ready\n");
    wait_contains(all->out, "target ready\n");
    send_signal(all, SIGUSR1);
    wait_contains(all->out, "child 10 0\n");
    wait_contains(all->out, "target 10 0\n");
    expect(strstr(contents(one->out), "child 10") == NULL);
    expect_status(stop_with(all, SIGUSR2), EXITED(0));
    expect_status(stop_with(one, SIGUSR2), EXITED(0));
}
END_TEST

START_TEST(a_signal_right_at_the_start_is_not_lost)
{
    for (int i = 0; i < 20; i++) {
        struct process *target = INIT("sleep", "3600");
        for (int64_t since = now_ms();
             strcmp(contents(text("/proc/%d/comm", target->pid)), "grace\n") != 0;)
            expect(look_again(since));
        /* Before grace blocks signals it is a program as any other, and dies. */
        expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
        wait_all_gone();
    }
}
END_TEST

START_TEST(an_ignored_hangup_stays_ignored)
{
    struct process *target = launch(&(struct launch){
        .argv = ARGV(product("grace"), "run", "--init", "sh", "-c", "echo ready; sleep 3600; :"),
        .ignored = SIGHUP});
    wait_ready(target);
    send_signal(target, SIGHUP);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    kill_all_but_guardian();
}
END_TEST

START_TEST(children_are_reaped_where_sigchld_was_ignored)
{
    struct process *target = launch(&(struct launch){
        .argv = ARGV(product("grace"), "run", "--init", "grep", "SigIgn", "/proc/self/status"),
        .ignored = SIGCHLD});
    expect_status(wait_end(target), EXITED(0));
    /* libc's posix_spawn, by which make starts this test, ignores the two that libc keeps for
     * itself. */
    const char *line = strstr(contents(target->out), "SigIgn:\t");
    uint64_t ignored = line == NULL ? 0 : strtoull(line + strlen("SigIgn:\t"), NULL, 16);
    expect((ignored & ~(UINT64_C(3) << 31)) == UINT64_C(1) << (SIGCHLD - 1), "%s",
           contents(target->out));
}
END_TEST

/* ---- zombies ----------------------------------------------------------------------------------
 */

/* Leaves orphans that end at once, waits until none of them is a zombie, and tells how often it
 * looked in vain. */
static const char orphans[] =
    "for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 1' & ) ; done; i=0; "
    "while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do i=$((i+1)); "
    "[ $i -lt 3000 ] || exit 9; sleep 0.01; done; exit 0";

START_TEST(orphans_are_reaped)
{
    expect_status(wait_end(FIRST(_i, "sh", "-c", orphans)), EXITED(0));
}
END_TEST

START_TEST(with_init_orphans_come_to_it)
{
    struct process *target =
        INIT("sh", "-c", "(sleep 3600 & echo $! > orphan) ; echo ready; read x < /dev/zero; wait");
    wait_ready(target);
    pid_t orphan = pid_in("orphan");
    for (int64_t since = now_ms();;) {
        char *status = contents(text("/proc/%d/status", orphan));
        char *parent = strstr(status, "PPid:");
        if (parent != NULL && atoi(parent + 5) == target->pid)
            break;
        expect(look_again(since), "%s", status);
    }
    kill_all_but_guardian();
}
END_TEST

/* ---- hooks ------------------------------------------------------------------------------------
 */

static char *slow_hooks(void)
{
    return text("hooks = (%s, %s, %s);",
                hook_script("cleanup", "sleep 0.5; echo cleanup >> order", "phase = \"cleanup\";"),
                hook_command("stop", ""), hook_command("announce", "phase = \"announce\";"));
}
#define SLOW_HOOKS "announce stop cleanup"

static const struct {
    const char *script;
    int signo; /* what PID 1 gets */
    int status;
} deaths[] = {
    {"exit 3", 0, EXITED(3)},
    {"kill -KILL $$", 0, EXITED(137)},
    {"kill -SEGV $$", 0, EXITED(139)},
    {"echo ready; exec sleep 3600", SIGTERM, EXITED(143)},
    {"echo ready; exec sleep 3600", SIGINT, EXITED(130)},
    {"trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done", SIGTERM, EXITED(4)},
};
#define DEATHS ((int)(sizeof deaths / sizeof *deaths))

START_TEST(as_pid_1_hooks_run_to_their_end_after_the_program)
{
    config("%s", slow_hooks());
    struct process *target = FIRST(GRACE, "sh", "-c", deaths[_i].script);
    if (deaths[_i].signo != 0) {
        wait_ready(target);
        send_to(child_of(target->pid), deaths[_i].signo);
    }
    expect_status(wait_end(target), deaths[_i].status);
    expect_order(SLOW_HOOKS);
    /* What happened after the program's end is in the log, though stderr is nobody else's now. */
    expect(strstr(contents(target->err), "hook \"cleanup\" (cleanup) done") != NULL, "%s",
           contents(target->err));
}
END_TEST

START_TEST(a_guardian_that_is_killed_is_replaced)
{
    config("%s", slow_hooks());
    struct process *target = INIT("sh", "-c", "echo ready; exec sleep 3600");
    wait_ready(target);
    for (int i = 0; i < 2; i++) {
        pid_t guardian = guardian_below(target->pid);
        send_to(guardian, SIGKILL);
        while (guardian_below(target->pid) == guardian)
            continue;
    }
    pid_t sleeper = 0;
    char *children = contents(text("/proc/%d/task/%d/children", target->pid, target->pid));
    for (char *word = strtok(children, " "); word != NULL; word = strtok(NULL, " "))
        if (strcmp(contents(text("/proc/%s/comm", word)), "sleep\n") == 0)
            sleeper = atoi(word);
    send_to(sleeper, SIGKILL);
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect_order(SLOW_HOOKS);
}
END_TEST

START_TEST(the_guardian_goes_on_when_grace_is_killed)
{
    config("%s", slow_hooks());
    struct process *target = INIT("sh", "-c", "echo $$ > target; echo ready; exec sleep 3600");
    wait_ready(target);
    guardian_below(target->pid);
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    send_to(pid_in("target"), SIGKILL);
    expect_order(SLOW_HOOKS);
}
END_TEST

START_TEST(a_container_that_is_killed_owes_nothing_after_recover)
{
    config("state_dir = \"%s\"; %s", story_directory(), hooks_abc(hook_command));
    struct process *target = FIRST(GRACE, "sh", "-c", "echo ready; exec sleep 3600");
    wait_ready(target);
    guardian_below(child_of(target->pid));
    send_to(child_of(target->pid), SIGKILL); /* the kernel kills all in it */
    wait_end(target);
    wait_all_gone();
    expect_status(run(BARE, product("grace"), "recover", here("grace.conf")), EXITED(0));
    expect_order("C B A");
    /* And by the next start. */
    write_file("order", "%s", "");
    target = FIRST(GRACE, "sh", "-c", "echo ready; exec sleep 3600");
    wait_ready(target);
    guardian_below(child_of(target->pid));
    send_to(child_of(target->pid), SIGKILL);
    wait_end(target);
    wait_all_gone();
    expect_status(wait_end(INIT("sh", "-c", "cp order before")), EXITED(0));
    expect_text(contents("before"), "C\nB\nA\n");
    expect_order("C B A C B A");
}
END_TEST

static const char *const daemons[] = {"daemon-0-0", "setsid-twice", "raw-exit", "_exit"};
#define DAEMONS ((int)(sizeof daemons / sizeof *daemons))

/* An init that leaves with the parent takes the daemon along. We stay, pass signals on to it, and
 * end as it does. */
START_TEST(a_daemon_is_stayed_for)
{
    config("%s", slow_hooks());
    struct process *target = FIRST(GRACE, program("daemonizer"), daemons[_i], here("pid"), "own");
    wait_contains("pid", "\n");
    wait_contains(target->err, "hands over to");
    expect(!has_ended(target));
    expect_text(contents("order"), "");
    send_to(child_of(target->pid), SIGTERM);
    expect_status(wait_end(target), EXITED(5));
    expect_order(SLOW_HOOKS);
}
END_TEST

START_TEST(a_program_that_is_started_by_a_script_is_waited_for)
{
    config("programs = [\"sleep\"]; %s", slow_hooks());
    struct process *target =
        FIRST(GRACE, "sh", "-c", "sleep 3600 & echo ready; while [ ! -e go ]; do :; done; exit 6");
    wait_ready(target);
    /* It dies with the script, as everything dies with PID 1; its hooks run before that. */
    guardian_below(child_of(target->pid));
    write_file("go", "%s", "");
    expect_status(wait_end(target), EXITED(6));
    expect_order(SLOW_HOOKS);
}
END_TEST

START_TEST(the_termination_log_tells_why_and_what_became_of_the_hooks)
{
    config("hooks = (%s, %s);", hook_command("good", ""), hook_script("bad", "exit 3", ""));
    struct process *target =
        start(BARE, product("grace"), "run", "-t", here("log"), "sh", "-c", "kill -KILL $$");
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect_text(contents("log"), "sh was killed by SIGKILL; hooks: 1 done, 1 failed, 0 not run\n"
                                 "hook \"bad\" (stop) failed\n");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("run-init");
    TCase *group = story_case(all, "statuses");
    tcase_add_loop_test(group, the_status_is_that_of_other_inits_and_of_a_bare_program, 0, ENDINGS);
    tcase_add_test(group, what_cannot_be_started_is_said_and_is_no_end_of_the_program);
    group = story_case(all, "signals");
    tcase_add_loop_test(group, every_signal_is_passed_on_once, GRACE, INITS);
    tcase_add_test(group, a_queued_signal_keeps_its_value);
    tcase_add_test(group, a_signal_is_for_the_program_and_with_group_for_its_group);
    tcase_add_test(group, a_signal_right_at_the_start_is_not_lost);
    tcase_add_test(group, an_ignored_hangup_stays_ignored);
    tcase_add_test(group, children_are_reaped_where_sigchld_was_ignored);
    group = story_case(all, "zombies");
    tcase_add_loop_test(group, orphans_are_reaped, GRACE, INITS);
    tcase_add_test(group, with_init_orphans_come_to_it);
    group = story_case(all, "hooks");
    tcase_add_loop_test(group, as_pid_1_hooks_run_to_their_end_after_the_program, 0, DEATHS);
    tcase_add_test(group, a_guardian_that_is_killed_is_replaced);
    tcase_add_test(group, the_guardian_goes_on_when_grace_is_killed);
    tcase_add_test(group, a_container_that_is_killed_owes_nothing_after_recover);
    tcase_add_loop_test(group, a_daemon_is_stayed_for, 0, DAEMONS);
    tcase_add_test(group, a_program_that_is_started_by_a_script_is_waited_for);
    tcase_add_test(group, the_termination_log_tells_why_and_what_became_of_the_hooks);
    return all;
}
