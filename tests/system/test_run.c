/*
 * grace run: what is started, and what is refused before anything is. Where a bare program can be
 * started the same way, env(1) does it, and the outcome has to be the same.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define RUN(...) start(BARE, product("grace"), "run", __VA_ARGS__)

/* ---- programs of every kind ------------------------------------------------------------------ */

static void make_programs(void)
{
    write_file("script", "#!/bin/sh\necho \"script $1\"; exit 5\n");
    write_file("by-env", "#!/usr/bin/env -S sh -e\necho \"by-env $1\"; exit 6\n");
    write_file("twice", "#!./script\n");
    write_file("text", "echo \"text $1\"; exit 7\n");
    write_file("empty", "%s", "");
    write_file("garbage", "%s", "\001\002");
    expect_status(run(BARE, "sh", "-c", "printf 'MZ\\0\\0\\n' > binary; printf '\\177ELF' > cut"),
                  EXITED(0));
    write_file("no-interpreter", "#!/nonexistent/interpreter\n");
    write_file("nothing-after", "#!\n");
    write_file("dos", "#!/bin/sh\r\nexit 0\r\n");
    write_file("not-executable", "#!/bin/sh\nexit 0\n");
    static const char *const names[] = {"script", "by-env",         "twice",         "text",
                                        "empty",  "garbage",        "binary",        "cut",
                                        "dos",    "no-interpreter", "nothing-after", NULL};
    for (const char *const *name = names; *name != NULL; name++)
        expect(chmod(here("%s", *name), 0755) == 0);
    expect(mkdir(here("folder"), 0755) == 0);
}

static const struct {
    const char *path;
    int status;         /* of grace run */
    bool as_env;        /* env(1) ends alike */
    const char *says;   /* on stderr */
    const char *output; /* on stdout */
} programs[] = {
    {"/bin/sh", EXITED(0), true, "", ""},
    {"true", EXITED(0), true, "", ""},
    {"./script", EXITED(5), true, "", "script word\n"},
    {"./by-env", EXITED(6), true, "", "by-env word\n"},
    {"./twice", EXITED(5), true, "", "script ./twice\n"},
    {"./text", EXITED(7), true, "", "text word\n"},
    {"./empty", EXITED(0), true, "", ""},
    {"./binary", EXITED(126), false, "neither a program nor a script", ""},
    {"./cut", EXITED(126), false, "damaged", ""},
    {"./no-interpreter", EXITED(127), true, "its interpreter /nonexistent/interpreter", ""},
    {"./nothing-after", EXITED(126), false, "names no interpreter", ""},
    {"./dos", EXITED(127), true, "carriage return", ""},
    {"./not-executable", EXITED(126), true, "Permission denied (not executable)", ""},
    {"./missing", EXITED(127), true, "./missing: No such file", ""},
    {"no-such-program", EXITED(127), true, "no-such-program: not found in PATH", ""},
    {"./folder", EXITED(126), true, "./folder: is a directory", ""},
    {"/etc/passwd/x", EXITED(126), true, "Not a directory", ""},
    {"", EXITED(127), true, "not found", ""},
};
#define PROGRAMS ((int)(sizeof programs / sizeof *programs))

START_TEST(every_kind_of_program_runs_or_is_refused_as_by_env)
{
    make_programs();
    const char *path = programs[_i].path;
    struct process *target = RUN("--", path, "word");
    int status = wait_end(target);
    if (strcmp(path, "/bin/sh") == 0)
        status = wait_end(target = RUN(path, "-c", "exit 0"));
    expect_status(status, programs[_i].status);
    expect_text(contents(target->out), programs[_i].output);
    expect(strstr(contents(target->err), programs[_i].says) != NULL, "%s", contents(target->err));
    if (programs[_i].as_env && strcmp(path, "/bin/sh") != 0)
        expect_status(run(BARE, "env", "--", path, "word"), programs[_i].status);
}
END_TEST

/* ---- becoming the program -------------------------------------------------------------------- */

START_TEST(the_program_has_the_pid_and_libgrace_and_its_hooks_run_once)
{
    config("%s", hooks_abc(hook_command));
    struct process *target =
        RUN("sh", "-c", "echo $$; echo ready; read forever < /dev/zero & wait");
    wait_ready(target);
    expect(atoi(contents(target->out)) == target->pid);
    expect(strstr(contents(text("/proc/%d/maps", target->pid)), "libgrace.so") != NULL);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    kill_all_but_guardian();
    expect_order("C B A");
}
END_TEST

START_TEST(it_sees_the_environment_of_a_bare_start)
{
    config("%s", hooks_abc(hook_command));
    struct process *bare = start(BARE, "env");
    expect_status(wait_end(bare), EXITED(0));
    struct process *target = RUN("env");
    expect_status(wait_end(target), EXITED(0));
    expect_text(contents(target->out), contents(bare->out));
}
END_TEST

START_TEST(a_preload_that_is_there_stays_before_ours)
{
    environment("LD_PRELOAD", "libmemusage.so");
    struct process *target = RUN("sh", "-c", "tr '\\0' '\\n' < /proc/$$/environ");
    wait_end(target);
    environment("LD_PRELOAD", NULL);
    /* libgrace has ended the variable before its own name, in place. */
    expect(strstr(contents(target->out),
                  text("LD_PRELOAD=libmemusage.so\n%s", product("libgrace.so"))) != NULL,
           "%s", contents(target->out));
}
END_TEST

START_TEST(libgrace_is_not_named_twice)
{
    environment("LD_PRELOAD", product("libgrace.so"));
    struct process *target = RUN("sh", "-c", "tr '\\0' '\\n' < /proc/$$/environ");
    wait_end(target);
    environment("LD_PRELOAD", NULL);
    expect(count_of(contents(target->out), "libgrace.so") == 1, "%s", contents(target->out));
}
END_TEST

START_TEST(descriptors_mask_and_ignored_signals_reach_the_program)
{
    static const char look[] = "ls -l /proc/self/fd | sed 's/.* \\([0-9]* -> \\)/\\1/' | "
                               "grep -v /proc/ | grep -v 'pipe:' | grep '^[3-9]'; grep -E "
                               "'^Sig(Blk|Ign)' /proc/self/status; echo ${LISTEN_PID:-none}";
    static const char *const modes[] = {"--verbose", "--init"};
    struct process *bare = launch(&(struct launch){
        .argv = ARGV("sh", "-c", "exec 7</etc/passwd; sh -c \"$0\"", look), .ignored = SIGHUP});
    wait_end(bare);
    for (int i = 0; i < 2; i++) {
        struct process *target = launch(&(struct launch){
            .argv = ARGV("sh", "-c", "exec 7</etc/passwd; exec \"$0\" run \"$1\" sh -c \"$2\"",
                         product("grace"), modes[i], look),
            .ignored = SIGHUP});
        wait_end(target);
        expect_text(contents(target->out), contents(bare->out));
    }
}
END_TEST

/* ---- configs ------------------------------------------------------------------------------------
 */

START_TEST(a_wrong_config_starts_nothing)
{
    static const struct {
        const char *config, *says;
    } wrong[] = {
        {"deadlin = \"3s\";", "deadlin"},
        {"hooks = ( { name = \"a\"; command = [\"/nonexistent/a\"]; } );", "/nonexistent/a"},
        {"hooks = ( { name = \"a\"; plugin = \"no-such-plugin\"; } );", "no-such-plugin"},
        {"state_dir = \"/nonexistent/state\";", "state_dir /nonexistent/state"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file("wrong.conf", "%s", wrong[i].config);
        struct process *target = RUN("-c", here("wrong.conf"), "--", "touch", here("started"));
        expect_status(wait_end(target), EXITED(78));
        expect(strstr(contents(target->err), wrong[i].says) != NULL, "%s", contents(target->err));
        expect(strstr(contents(target->err), "touch is not started") != NULL);
        expect(!exists("started"));
    }
    struct process *target = RUN("-c", here("missing.conf"), "touch", here("started"));
    expect_status(wait_end(target), EXITED(78));
    expect(!exists("started"));
}
END_TEST

START_TEST(check_only_starts_nothing)
{
    config("%s", hooks_abc(hook_command));
    struct process *target = RUN("-n", "--", "touch", here("started"));
    expect_status(wait_end(target), EXITED(0));
    expect(strstr(contents(target->err), "becomes it") != NULL, "%s", contents(target->err));
    expect(!exists("started"));
}
END_TEST

START_TEST(wrong_usage_is_64)
{
    expect_status(run(BARE, product("grace"), "run"), EXITED(64));
    expect_status(run(BARE, product("grace"), "run", "--bogus", "true"), EXITED(64));
    expect_status(run(BARE, product("grace"), "run", "--help"), EXITED(0));
    /* Options of the program are the program's. */
    struct process *target = RUN("echo", "--init", "-n");
    expect_status(wait_end(target), EXITED(0));
    expect_text(contents(target->out), "--init -n\n");
}
END_TEST

START_TEST(a_copy_without_its_library_is_72)
{
    expect_status(run(BARE, "cp", product("grace"), here("grace")), EXITED(0));
    struct process *target = start(BARE, here("grace"), "run", "true");
    expect_status(wait_end(target), EXITED(72));
    expect(strstr(contents(target->err), "libgrace.so is not found") != NULL);
}
END_TEST

START_TEST(grace_disable_turns_it_off)
{
    config("%s", hooks_abc(hook_command));
    environment("GRACE_DISABLE", "1");
    expect_status(run(BARE, product("grace"), "run", "true"), EXITED(0));
    expect_status(run(BARE, product("grace"), "run", "--init", "false"), EXITED(1));
    environment("GRACE_DISABLE", NULL);
    expect_order("");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("run");
    TCase *group = story_case(all, "run");
    tcase_add_loop_test(group, every_kind_of_program_runs_or_is_refused_as_by_env, 0, PROGRAMS);
    tcase_add_test(group, the_program_has_the_pid_and_libgrace_and_its_hooks_run_once);
    tcase_add_test(group, it_sees_the_environment_of_a_bare_start);
    tcase_add_test(group, a_preload_that_is_there_stays_before_ours);
    tcase_add_test(group, libgrace_is_not_named_twice);
    tcase_add_test(group, descriptors_mask_and_ignored_signals_reach_the_program);
    tcase_add_test(group, a_wrong_config_starts_nothing);
    tcase_add_test(group, check_only_starts_nothing);
    tcase_add_test(group, wrong_usage_is_64);
    tcase_add_test(group, a_copy_without_its_library_is_72);
    tcase_add_test(group, grace_disable_turns_it_off);
    return all;
}
