/*
 * However the owner ends, seen from its parent and from its hooks: every row of the table in
 * DESIGN.md section 4 with external hooks in all phases. The wait status is the one of a bare run,
 * each hook runs once, and the hooks are told the true story.
 */
#include "harness_guardian.h"

#include <string.h>
#include <unistd.h>

/* In the order in which they run. */
static const char *hooks_of_all_phases(void)
{
    return text("hooks = (\n  %s,\n  %s,\n  %s,\n  %s,\n  %s\n);\n",
                hook_that_tells("K", "phase = \"cleanup\";"), hook_that_tells("S2", ""),
                hook_that_tells("S1", ""), hook_that_tells("D", "phase = \"drain\";"),
                hook_that_tells("A", "phase = \"announce\";"));
}
#define ALL_PHASES "A D S1 S2 K"

static const struct ending_case {
    const char *words[3]; /* arguments of guardian_target */
    int signo;            /* what it gets once it waits; 0: it ends by itself */
    int status;
    const char *story; /* what the cleanup hook is told */
} cases[] = {
    {{"wait"}, SIGTERM, KILLED(SIGTERM), "signal TERM - success killed TERM"},
    {{"wait"}, SIGINT, KILLED(SIGINT), "signal INT - success killed INT"},
    {{"wait"}, SIGHUP, KILLED(SIGHUP), "signal HUP - success killed HUP"},
    {{"wait"}, SIGQUIT, KILLED(SIGQUIT), "signal QUIT - signal killed QUIT"},
    {{"on-term:exit", "wait"}, SIGTERM, EXITED(7), "signal TERM 7 exit-code exited 7"},
    {{"exit:42"}, 0, EXITED(42), "exit - 42 exit-code exited 42"},
    {{"exit:0"}, 0, EXITED(0), "exit - 0 success exited 0"},
    {{"return:42"}, 0, EXITED(42), "return - 42 exit-code exited 42"},
    {{"_exit:42"}, 0, EXITED(42), "_exit - 42 exit-code exited 42"},
    {{"quick_exit:42"}, 0, EXITED(42), "quick_exit - 42 exit-code exited 42"},
    {{"exit_group:42"}, 0, EXITED(42), "_exit - 42 exit-code exited 42"},
    {{"exit_group:0"}, 0, EXITED(0), "_exit - 0 success exited 0"},
    {{"abort"}, 0, KILLED(SIGABRT), "crash ABRT - signal killed ABRT"},
    {{"bad-pointer"}, 0, KILLED(SIGSEGV), "crash SEGV - signal killed SEGV"},
    {{"wait"}, SIGSEGV, KILLED(SIGSEGV), "crash SEGV - signal killed SEGV"},
    {{"wait"}, SIGBUS, KILLED(SIGBUS), "crash BUS - signal killed BUS"},
    {{"wait"}, SIGFPE, KILLED(SIGFPE), "crash FPE - signal killed FPE"},
    {{"wait"}, SIGILL, KILLED(SIGILL), "crash ILL - signal killed ILL"},
    {{"wait"}, SIGSYS, KILLED(SIGSYS), "crash SYS - signal killed SYS"},
    {{"wait"}, SIGTRAP, KILLED(SIGTRAP), "crash TRAP - signal killed TRAP"},
    {{"wait"}, SIGUSR1, KILLED(SIGUSR1), "crash USR1 - signal killed USR1"},
    {{"wait"}, SIGALRM, KILLED(SIGALRM), "crash ALRM - signal killed ALRM"},
    {{"wait"}, SIGPIPE, KILLED(SIGPIPE), "crash PIPE - success killed PIPE"},
    {{"wait"}, SIGIO, KILLED(SIGIO), "crash IO - signal killed IO"},
    {{"wait"}, 40, KILLED(40), NULL},
    {{"wait"}, SIGKILL, KILLED(SIGKILL), "killed KILL - signal killed KILL"},
    {{"kill:9"}, 0, KILLED(SIGKILL), "killed KILL - signal killed KILL"},
    {{"cpu-limit"}, 0, KILLED(SIGXCPU), "crash XCPU - signal killed XCPU"},
    {{"limit-memory:100", "allocate"}, 0, KILLED(SIGABRT), "crash ABRT - signal killed ABRT"},
};
#define CASES ((int)(sizeof cases / sizeof cases[0]))

static int end_it(enum way way, const struct ending_case *how)
{
    const char *argv[5] = {program("guardian_target")};
    for (int i = 0; i < 3 && how->words[i] != NULL; i++)
        argv[i + 1] = how->words[i];
    if (how->signo != 0) {
        argv[3] = argv[2] != NULL ? argv[2] : argv[1];
        argv[1] = argv[2] != NULL ? argv[1] : "say:";
        argv[2] = "say:ready";
    }
    struct process *target = launch(&(struct launch){.way = way, .argv = argv});
    if (how->signo == 0)
        return wait_end(target);
    wait_contains(target->out, "ready\n");
    if (way == GRACED)
        wait_guardian(target);
    return stop_with(target, how->signo);
}

/* Where the kernel keeps no ending, and the target did not say so itself, it is known only when its
 * parent is late to reap it. */
static bool is_told(const char *expected)
{
    const char *told = contents("story");
    return strstr(told, text("K %s\n", expected)) != NULL ||
           (!endings_are_kept() && strstr(told, "K killed - - - - -\n") != NULL);
}

START_TEST(however_it_ends_its_hooks_run_once_and_know_why)
{
    const struct ending_case *how = &cases[_i];
    if (strcmp(how->words[0], "limit-memory:100") == 0)
        not_emulated("keeps no limit on memory (RLIMIT_AS)");
    expect_status(end_it(BARE, how), how->status);
    config("%s", hooks_of_all_phases());
    expect_status(end_it(GRACED, how), how->status);
    expect_order(ALL_PHASES);
    if (how->story != NULL)
        expect(is_told(how->story), "%s", contents("story"));
}
END_TEST

/* Killed before its guardian has even begun: what is owed is owed. */
START_TEST(a_target_that_dies_as_soon_as_it_starts_has_its_hooks_run)
{
    static const char *const deaths[] = {"kill:9", "abort", "exit_group:3"};
    config("%s", hooks_of_all_phases());
    for (int i = 0; i < 12; i++) {
        write_file("order", "%s", "");
        run(GRACED, program("guardian_target"), deaths[i % 3]);
        expect_order(ALL_PHASES);
    }
}
END_TEST

/* ---- cores --------------------------------------------------------------------------------- */

static bool is_dumped(const struct process *target)
{
    return exists("core") || exists(text("core.%d", target->pid));
}

START_TEST(a_core_is_dumped_as_without_libgrace)
{
    not_emulated("writes cores of its own");
    if (strcmp(contents("/proc/sys/kernel/core_pattern"), "core\n") != 0)
        skip("cores do not go to a file \"core\" on this machine");
    struct process *bare = start(BARE, program("guardian_target"), "core", "bad-pointer");
    int expected = wait_end(bare);
    if (!WCOREDUMP(expected) || !is_dumped(bare))
        skip("no cores are written here");
    unlink(here("core"));
    unlink(here("core.%d", bare->pid));
    config("%s", hooks_of_all_phases());
    struct process *graced = start(GRACED, program("guardian_target"), "core", "bad-pointer");
    expect_status(wait_end(graced), expected);
    expect(is_dumped(graced));
    expect_order(ALL_PHASES);
    expect(is_told("crash SEGV - core-dump dumped SEGV"), "%s", contents("story"));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guardian");
    TCase *group = story_case(all, "endings");
    tcase_add_loop_test(group, however_it_ends_its_hooks_run_once_and_know_why, 0, CASES);
    tcase_add_test(group, a_target_that_dies_as_soon_as_it_starts_has_its_hooks_run);
    tcase_add_test(group, a_core_is_dumped_as_without_libgrace);
    return all;
}
