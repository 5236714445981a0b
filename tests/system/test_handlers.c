/*
 * Programs with handlers of their own: what sigaction tells them and what their handlers are given
 * is, line by line, what they see without libgrace. The hooks run all the same.
 */
#include "harness.h"

#include <string.h>

struct handler_case {
    const char *name;
    int status; /* for the signal SIGTERM; with KILLED, for whichever it is */
};

static const struct handler_case cases[] = {
    {"signal", EXITED(7)},     {"sigaction", EXITED(7)},      {"nodefer", EXITED(7)},
    {"resethand", KILLED(-1)}, {"default-again", KILLED(-1)}, {"ignored-again", EXITED(7)},
    {"siglongjmp", EXITED(7)}, {"altstack", EXITED(7)},       {"exit", EXITED(8)},
};
#define CASES ((int)(sizeof cases / sizeof cases[0]))

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1};
#define SIGNALS ((int)(sizeof signals / sizeof signals[0]))

/* Start it, and send the signal once it waits. Returns what it wrote. */
static char *play(enum way way, const char *name, int signo, int *status)
{
    struct process *target = start(way, program("handlers"), name, text("%d", signo));
    wait_ready(target);
    wait_asleep(target); /* a handler that calls exit within libc runs no hook inside */
    *status = stop_with(target, signo);
    return contents(target->out);
}

static void same_as_bare(const struct handler_case *this_case, int signo)
{
    int bare_status, graced_status;
    const char *bare = play(BARE, this_case->name, signo, &bare_status);
    expect_status(bare_status, this_case->status == KILLED(-1) ? KILLED(signo) : this_case->status);
    const char *graced = play(GRACED, this_case->name, signo, &graced_status);
    expect_text(graced, bare);
    expect_status(graced_status, bare_status);
}

START_TEST(observes_what_it_would_without_config)
{
    same_as_bare(&cases[_i / SIGNALS], signals[_i % SIGNALS]);
}
END_TEST

START_TEST(observes_what_it_would_with_hooks)
{
    int signo = signals[_i % SIGNALS];
    config("hooks = (%s, %s, %s);", hook_command("A", "phase = \"announce\";"),
           hook_command("B", ""), hook_plugin("C", ""));
    same_as_bare(&cases[_i / SIGNALS], signo);
    /* USR1 is none of libgrace's business: a death by it is seen from outside only. */
    bool from_outside = signo == SIGUSR1 && cases[_i / SIGNALS].status == KILLED(-1);
    expect_order(from_outside ? "A B" : "A C B");
}
END_TEST

START_TEST(errors_are_the_kernels)
{
    struct process *bare = start(BARE, program("handlers"), "errors", "15");
    expect_status(wait_end(bare), EXITED(7));
    struct process *graced = start(GRACED, program("handlers"), "errors", "15");
    expect_status(wait_end(graced), EXITED(7));
    expect_text(contents(graced->out), contents(bare->out));
}
END_TEST

/* A signal that the target handles may mean something else to it: then it goes on living. */
START_TEST(a_target_that_lives_on_is_left_alone)
{
    config("deadline = \"1s\";\n%s", hooks_abc(hook_command));
    struct process *target = start(GRACED, program("handlers"), "live-on", text("%d", signals[_i]));
    wait_ready(target);
    send_signal(target, signals[_i]);
    wait_contains(target->out, text("plain %d\nready\n", signals[_i]));
    let_pass(1500); /* past the deadline, which does not hold for it */
    expect(!has_ended(target));
    expect_status(stop_with(target, SIGUSR1), EXITED(7));
    expect_order("C B A");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("handlers");
    TCase *group = story_case(all, "handlers");
    tcase_add_loop_test(group, observes_what_it_would_without_config, 0, CASES * SIGNALS);
    tcase_add_loop_test(group, observes_what_it_would_with_hooks, 0, CASES * SIGNALS);
    tcase_add_test(group, errors_are_the_kernels);
    tcase_add_loop_test(group, a_target_that_lives_on_is_left_alone, 0, 4);
    return all;
}
