/*
 * grace run of programs that libgrace cannot be in: it says so, and leads their stop from outside,
 * with the outcome that the same program has when libgrace is in it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness_guardian.h"
#include "harness_story.h"

#define RUN(...) start(BARE, product("grace"), "run", __VA_ARGS__)

/* guardian_target, linked in a way that no preload gets into. */
enum kind { STATIC, STATIC_PIE, MUSL, KINDS };

static char *build(enum kind kind)
{
    char *path = here("outsider");
    const char *code = source("tests/programs/guardian_target.c");
    static const char *const flag[] = {"-static", "-static-pie", "-Dstrerrorname_np=strerror"};
    if (!exists(path))
        expect_status(run(BARE, kind == MUSL ? "musl-gcc" : "cc", "-w", "-D_GNU_SOURCE", flag[kind],
                          "-o", path, code),
                      EXITED(0));
    return path;
}

static char *three_phases(void)
{
    return text(
        "hooks = (%s, %s, %s);", hook_command("cleanup", "phase = \"cleanup\";"),
        hook_script("stop", "kill -0 $GRACE_PID && echo alive >> order; echo stop >> order", ""),
        hook_command("announce", "phase = \"announce\";"));
}

/* ---- which it is ------------------------------------------------------------------------------
 */

static const char *const says[] = {"it is linked statically", "static PIE", "another libc (musl"};

START_TEST(it_is_said_and_hooks_run_once)
{
    config("%s", three_phases());
    struct process *target = RUN("--", build((enum kind)_i), "say:ready", "wait");
    wait_ready(target);
    expect(strstr(contents(target->err), says[_i]) != NULL, "%s", contents(target->err));
    expect(strstr(contents(target->err), "supervised from outside") != NULL);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("announce alive stop cleanup");
}
END_TEST

START_TEST(go_without_cgo_is_supervised)
{
    write_file("main.go", "package main\nimport (\"fmt\"; \"time\")\n"
                          "func main() { fmt.Println(\"ready\"); time.Sleep(time.Hour) }\n");
    environment("CGO_ENABLED", "0");
    environment("GOCACHE", here("go-cache"));
    environment("GOFLAGS", "-mod=mod");
    expect_status(run(BARE, "go", "build", "-o", "gone", "main.go"), EXITED(0));
    config("%s", three_phases());
    struct process *target = RUN("./gone");
    wait_ready(target);
    expect(strstr(contents(target->err), "linked statically") != NULL, "%s", contents(target->err));
    /* Its runtime has a handler for every signal: the announcement comes first, the rest after. */
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("announce stop cleanup");
}
END_TEST

/* nobody's program, started by nobody: its set-user-ID bit means root. */
START_TEST(a_set_user_id_program_is_supervised)
{
    expect(chmod(story_directory(), 0777) == 0);
    static const char copy[] = "mkdir bin && cp \"$0\" \"$1\" bin && cp \"$2\" bin/outsider && "
                               "chmod 4755 bin/outsider";
    expect_status(run(BARE, "sh", "-c", copy, product("grace"), product("libgrace.so"),
                      program("guardian_target")),
                  EXITED(0));
    config("%s", three_phases());
    expect(chmod(here("grace.conf"), 0644) == 0);
    struct process *target = launch(&(struct launch){
        .argv = ARGV(here("bin/grace"), "run", here("bin/outsider"), "say:ready", "wait"),
        .user = "nobody"});
    wait_ready(target);
    expect(strstr(contents(target->err), "set-user-ID (0)") != NULL, "%s", contents(target->err));
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("announce alive stop cleanup");
    /* For root the bit changes nothing. */
    struct process *roots = RUN("-n", here("bin/outsider"));
    expect_status(wait_end(roots), EXITED(0));
    expect(strstr(contents(roots->err), "cannot be preloaded") == NULL, "%s", contents(roots->err));
}
END_TEST

/* ---- endings ----------------------------------------------------------------------------------
 */

static const struct {
    const char *words[2];
    int signo;
    int status;
    const char *order;
} endings[] = {
    {{"wait"}, SIGTERM, KILLED(SIGTERM), "announce alive stop cleanup"},
    {{"wait"}, SIGINT, KILLED(SIGINT), "announce alive stop cleanup"},
    {{"wait"}, SIGHUP, KILLED(SIGHUP), "announce alive stop cleanup"},
    {{"wait"}, SIGUSR1, KILLED(SIGUSR1), "announce stop cleanup"},
    {{"on-term:exit", "wait"}, SIGTERM, EXITED(7), "announce stop cleanup"},
    {{"exit:3"}, 0, EXITED(3), "announce stop cleanup"},
    {{"abort"}, 0, KILLED(SIGABRT), "announce stop cleanup"},
    {{"kill:9"}, 0, KILLED(SIGKILL), "announce stop cleanup"},
};
#define ENDINGS ((int)(sizeof endings / sizeof *endings))

START_TEST(however_it_ends_the_status_is_the_bare_one_and_hooks_run_once)
{
    const char *outsider = build(STATIC);
    const char *const *words = endings[_i].words;
    for (int graced = 0; graced < 2; graced++) {
        const char *argv[] = {product("grace"), "run",    outsider, "say:ready",
                              words[0],         words[1], NULL};
        if (graced)
            config("%s", three_phases());
        struct process *target = launch(&(struct launch){.argv = graced ? argv : argv + 2});
        if (endings[_i].signo != 0) {
            wait_ready(target);
            send_signal(target, endings[_i].signo);
        }
        expect_status(wait_end(target), endings[_i].status);
    }
    expect_order(endings[_i].order);
}
END_TEST

START_TEST(deliver_and_end_hold_from_outside)
{
    config("deliver = { TERM = \"QUIT\"; }; end = 9; %s", three_phases());
    struct process *target = RUN(build(STATIC), "say:ready", "wait");
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), EXITED(9));
    expect_order("announce alive stop cleanup");
    expect(strstr(contents(target->err), "ended: SIGQUIT") != NULL, "%s", contents(target->err));
}
END_TEST

START_TEST(the_deadline_is_kept_when_it_is_deaf)
{
    config("deadline = \"3s\"; enforce = true; %s", three_phases());
    struct process *target = RUN(build(STATIC), "on-term:spin", "say:ready", "wait");
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGKILL));
    expect_order("announce stop cleanup");
}
END_TEST

START_TEST(a_second_signal_cuts_the_announcement_short)
{
    config("hooks = (%s, %s);", hook_command("stop", ""),
           hook_script("announce",
                       "echo announce >> order; : > began; while [ ! -e go ]; do sleep 0.02; done",
                       "phase = \"announce\"; timeout = \"60s\";"));
    struct process *target = RUN(build(STATIC), "say:ready", "wait");
    wait_ready(target);
    send_signal(target, SIGTERM);
    wait_exists("began");
    send_signal(target, SIGINT);
    /* It ends by the first one, which was kept back, while the hook is still running. */
    for (int64_t since = now_ms();
         *contents(text("/proc/%d/task/%d/children", target->pid, target->pid)) != '\0';)
        if (count_of(contents(text("/proc/%d/task/%d/children", target->pid, target->pid)), " ") <
            2)
            break;
        else
            expect(look_again(since));
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("announce stop");
}
END_TEST

START_TEST(killed_with_its_parent_its_hooks_run_once)
{
    config("%s", hooks_abc(hook_command));
    struct process *target = RUN(build(STATIC), "say:ready", "wait");
    wait_ready(target);
    guardian_below(target->pid);
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    kill_all_but_guardian();
    expect_order("C B A");
}
END_TEST

/* Not preloaded it cannot be seen forking: its pid file says who it is now. */
START_TEST(a_daemon_is_followed_by_its_pid_file)
{
    write_file("daemon.c",
               "#include <stdio.h>\n#include <unistd.h>\n"
               "int main(void) { if (fork()) _exit(0); setsid(); if (fork()) _exit(0);\n"
               "FILE *file = fopen(\"pid.new\", \"w\"); fprintf(file, \"%%d\\n\", getpid());\n"
               "fclose(file); rename(\"pid.new\", \"pid\"); for (;;) pause(); }\n");
    expect_status(run(BARE, "cc", "-static", "-o", "daemon", "daemon.c"), EXITED(0));
    config("pidfile = \"%s\"; metrics = \"%s\"; %s", here("pid"), here("stops.prom"),
           three_phases());
    struct process *target = RUN("-t", here("log"), "./daemon");
    wait_contains(target->err, "hands over to");
    expect(!has_ended(target));
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("announce alive stop cleanup");
    expect(!WIFEXITED(target->status) && kill(pid_in("pid"), 0) != 0);
    expect_text(contents("log"),
                "daemon was killed by SIGTERM; hooks: 3 done, 0 failed, 0 not run\n");
    expect(strstr(contents("stops.prom"), "daemon") != NULL, "%s", contents("stops.prom"));
}
END_TEST

START_TEST(without_a_config_it_runs_as_it_is)
{
    struct process *target = RUN(build(STATIC), "exit:4");
    expect_status(wait_end(target), EXITED(4));
    expect(strstr(contents(target->err), "it runs without libgrace") != NULL, "%s",
           contents(target->err));
}
END_TEST

START_TEST(what_it_starts_may_be_meant)
{
    config("programs = [\"true\"]; %s", three_phases());
    struct process *target = RUN(build(STATIC), "exit:4");
    expect_status(wait_end(target), EXITED(4));
    expect_text(contents(target->err), "");
    expect_order("");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("run-outside");
    TCase *group = story_case(all, "kinds");
    tcase_add_loop_test(group, it_is_said_and_hooks_run_once, 0, KINDS);
    tcase_add_test(group, go_without_cgo_is_supervised);
    tcase_add_test(group, a_set_user_id_program_is_supervised);
    group = story_case(all, "endings");
    tcase_add_loop_test(group, however_it_ends_the_status_is_the_bare_one_and_hooks_run_once, 0,
                        ENDINGS);
    tcase_add_test(group, deliver_and_end_hold_from_outside);
    tcase_add_test(group, the_deadline_is_kept_when_it_is_deaf);
    tcase_add_test(group, a_second_signal_cuts_the_announcement_short);
    tcase_add_test(group, killed_with_its_parent_its_hooks_run_once);
    tcase_add_test(group, a_daemon_is_followed_by_its_pid_file);
    tcase_add_test(group, without_a_config_it_runs_as_it_is);
    tcase_add_test(group, what_it_starts_may_be_meant);
    return all;
}
