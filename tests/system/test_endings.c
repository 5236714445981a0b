/*
 * However a program ends by itself: its parent sees the wait status that it would have seen without
 * libgrace, its own exit handlers run as without, and the hooks run once, in order.
 */
#include "harness.h"

#include <string.h>

/* In this order: each allows more than the one before. */
enum hooks {
    RUN,    /* all run, wherever they run */
    OUTSIDE /* an ending that is seen from outside only: nothing runs within the target */
};

enum output {
    SAME,    /* the target's output is the same as bare */
    FLUSHED, /* bare loses what was in stdio's buffer; under libgrace it is written */
    EITHER   /* an ending that does not flush */
};

static const struct ending_case {
    const char *ending;
    int status;
    enum hooks hooks;
    enum output output;
} cases[] = {
    {"return-0", EXITED(0), RUN, SAME},
    {"return-3", EXITED(3), RUN, SAME},
    {"exit", EXITED(3), RUN, SAME},
    {"large-status", EXITED(0x34), RUN, SAME},
    {"_exit", EXITED(3), RUN, EITHER},
    {"fflush-and-_exit", EXITED(3), RUN, SAME},
    {"_Exit", EXITED(3), RUN, EITHER},
    {"quick_exit", EXITED(3), RUN, EITHER},
    {"errx", EXITED(3), RUN, SAME},
    {"error", EXITED(3), RUN, SAME},
    {"last-pthread_exit", EXITED(0), RUN, SAME},
    {"exit-in-thread", EXITED(3), RUN, SAME},
    {"exit-in-atexit", EXITED(4), RUN, SAME},
    {"_exit-in-atexit", EXITED(4), RUN, EITHER},
    {"exit-in-handler", EXITED(5), RUN, SAME},
    {"_exit-in-handler", EXITED(6), RUN, EITHER},
    {"abort", KILLED(SIGABRT), OUTSIDE, SAME},
    {"bad-pointer", KILLED(SIGSEGV), OUTSIDE, SAME},
    {"division", KILLED(SIGFPE), OUTSIDE, SAME},
    {"bad-instruction", KILLED(SIGILL), OUTSIDE, SAME},
    {"raise-term", KILLED(SIGTERM), RUN, FLUSHED},
    {"raise-kill", KILLED(SIGKILL), OUTSIDE, SAME},
    {"raise-usr1", KILLED(SIGUSR1), OUTSIDE, SAME},
    {"kill-hup", KILLED(SIGHUP), RUN, FLUSHED},
    {"alarm", KILLED(SIGALRM), OUTSIDE, SAME},
    {"kill-in-thread", KILLED(SIGTERM), RUN, FLUSHED},
    {"broken-pipe", KILLED(SIGPIPE), OUTSIDE, SAME},
    {"handler-that-raises", KILLED(SIGTERM), RUN, FLUSHED},
};
#define CASES ((int)(sizeof cases / sizeof cases[0]))

static void expect_output(const struct ending_case *this_case, const struct process *bare,
                          const struct process *graced)
{
    const char *lost = contents(bare->out), *written = contents(graced->out);
    if (this_case->output == SAME)
        expect_text(written, lost);
    if (this_case->output != FLUSHED)
        return;
    expect(strstr(lost, "buffered\n") == NULL);
    expect(count_of(written, "buffered\n") == 1);
    expect(strlen(written) == strlen(lost) + strlen("buffered\n"));
}

static void compare_with_bare(const struct ending_case *this_case, const char *order)
{
    struct process *bare = start(BARE, program("ender"), this_case->ending);
    expect_status(wait_end(bare), this_case->status);
    struct process *graced = start(GRACED, program("ender"), this_case->ending);
    expect_status(wait_end(graced), this_case->status);
    expect_output(this_case, bare, graced);
    expect_order(order);
}

START_TEST(ends_as_bare_without_config)
{
    compare_with_bare(&cases[_i], "");
}
END_TEST

START_TEST(ends_as_bare_with_command_hooks)
{
    config("%s", hooks_abc(hook_command));
    compare_with_bare(&cases[_i], "C B A");
}
END_TEST

START_TEST(ends_as_bare_with_in_process_hooks)
{
    config("%s", hooks_abc(hook_plugin));
    compare_with_bare(&cases[_i], cases[_i].hooks == RUN ? "C B A" : "");
}
END_TEST

/* All eight call exit() at once: one ending, with all 64 handlers. Bare glibc crashes here. */
static void exit_in_8_threads(const char *hooks, unsigned times)
{
    config("%s", hooks);
    for (unsigned i = 0; i < times; i++) {
        write_file("order", "%s", "");
        struct process *target = start(GRACED, program("ender"), "exit-in-8-threads");
        expect_status(wait_end(target), EXITED(3));
        expect(strstr(contents(target->out), "64 handlers\n") != NULL);
        expect(count_of(contents(target->out), "handlers\n") == 1);
        expect_order("C B A");
    }
}

START_TEST(exit_in_8_threads_runs_each_handler_and_command_hook_once)
{
    exit_in_8_threads(hooks_abc(hook_command), 50);
}
END_TEST

START_TEST(exit_in_8_threads_runs_each_handler_and_in_process_hook_once)
{
    exit_in_8_threads(hooks_abc(hook_plugin), 50);
}
END_TEST

/* What is safe without libgrace stays safe with it: never a deadlock on malloc's lock. */
START_TEST(_exit_in_a_handler_over_malloc_never_hangs)
{
    for (int i = 0; i < 30; i++) {
        config("%s", hooks_abc(i % 2 == 0 ? hook_command : hook_plugin));
        write_file("order", "%s", "");
        expect_status(run(GRACED, program("ender"), "_exit-over-malloc"), EXITED(6));
        /* Hooks within the target are left out where the interrupted thread may hold a lock. */
        wait_all_gone();
        if (i % 2 == 0 || contents("order")[0] != '\0')
            expect_order("C B A");
    }
}
END_TEST

START_TEST(_exit_in_a_handler_over_exit_never_hangs)
{
    static char *(*const writers[])(const char *, const char *) = {NULL, hook_command, hook_plugin};
    for (int i = 0; i < 90; i++) {
        config("%s", writers[i % 3] == NULL ? "" : hooks_abc(writers[i % 3]));
        write_file("order", "%s", "");
        expect_status(run(GRACED, program("ender"), "_exit-over-exit"), EXITED(6));
        wait_all_gone();
        if (writers[i % 3] == hook_command || contents("order")[0] != '\0')
            expect_order("C B A");
    }
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("endings");
    TCase *group = story_case(all, "ends as bare");
    tcase_add_loop_test(group, ends_as_bare_without_config, 0, CASES);
    tcase_add_loop_test(group, ends_as_bare_with_command_hooks, 0, CASES);
    tcase_add_loop_test(group, ends_as_bare_with_in_process_hooks, 0, CASES);
    group = story_case(all, "many threads and handlers");
    tcase_add_test(group, exit_in_8_threads_runs_each_handler_and_command_hook_once);
    tcase_add_test(group, exit_in_8_threads_runs_each_handler_and_in_process_hook_once);
    tcase_add_test(group, _exit_in_a_handler_over_malloc_never_hangs);
    tcase_add_test(group, _exit_in_a_handler_over_exit_never_hangs);
    return all;
}
