/*
 * A program that looks after its stop signals itself gets each of them, with all that was sent
 * along, once the announce hooks have run, and not before: by a handler, by sigwait and its kin, by
 * signalfd.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *const ways[] = {"sigwait",        "sigwaitinfo",    "sigtimedwait",   "signalfd",
                                   "signalfd-epoll", "signalfd-moved", "signalfd-thread"};
#define WAYS ((int)(sizeof ways / sizeof *ways))

static char *with_announcement(const char *more)
{
    return text("%shooks = (%s, %s);", more, hook_command("A", "phase = \"announce\";"),
                hook_plugin("B", "phase = \"announce\";"));
}

static void send_value(struct process *process, int signo, int value)
{
    ck_assert_int_eq(sigqueue(process->pid, signo, (union sigval){.sival_int = value}), 0);
}

/* What it wrote behind "ready". */
static const char *view_of(const struct process *process)
{
    const char *out = contents(process->out);
    return strncmp(out, "ready\n", 6) == 0 ? out + 6 : out;
}

START_TEST(a_signal_is_taken_after_the_announcement)
{
    const char *way = ways[_i];
    config("%s", with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), way);
    wait_ready(taker);
    expect_status(stop_with(taker, SIGTERM), EXITED(7));
    expect_text(view_of(taker), text("%s %d %d 0 announced\n", way, SIGTERM, SI_USER));
    expect_order("B A");
}
END_TEST

START_TEST(a_value_comes_along)
{
    const char *way = ways[_i];
    if (strcmp(way, "sigwait") == 0)
        return; /* it tells the number only */
    config("%s", with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), way);
    wait_ready(taker);
    send_value(taker, SIGQUIT, 42);
    wait_contains(taker->out, " 42 announced");
    send_value(taker, SIGTERM, 99);
    expect_status(wait_end(taker), EXITED(7));
    expect_text(view_of(taker), text("%s %d %d 42 announced\n%s %d %d 99 announced\n", way, SIGQUIT,
                                     SI_QUEUE, way, SIGTERM, SI_QUEUE));
}
END_TEST

START_TEST(bare_takes_it_the_same)
{
    const char *way = ways[_i];
    struct process *taker = start(BARE, program("taker"), way);
    wait_ready(taker);
    expect_status(stop_with(taker, SIGTERM), EXITED(7));
    expect_text(view_of(taker), text("%s %d %d 0 not announced\n", way, SIGTERM, SI_USER));
}
END_TEST

START_TEST(a_child_reads_its_own_signal_from_the_descriptor)
{
    config("%s", with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), "signalfd-child");
    wait_contains(taker->out, "child: 7\n");
    expect(strstr(view_of(taker), "signalfd-child 15 0 0 not announced") != NULL);
    expect_status(stop_with(taker, SIGTERM), EXITED(7));
    expect(strstr(view_of(taker), "signalfd-child 15 0 0 announced") != NULL);
    expect_order("B A");
}
END_TEST

START_TEST(a_signal_that_it_raises_reaches_its_descriptor)
{
    config("%s", with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), "signalfd-raise");
    expect_status(wait_end(taker), EXITED(7));
    expect_text(view_of(taker), text("signalfd-raise %d %d 0 announced\n", SIGTERM, SI_TKILL));
}
END_TEST

/* Two different ones during the announcement: the second must not replace the first. */
START_TEST(two_signals_together_both_reach_their_handler)
{
    const char *way = _i == 0 ? "handler" : "handler-thread";
    config("%s", with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), way);
    wait_ready(taker);
    send_value(taker, SIGTERM, 42);
    send_signal(taker, SIGQUIT);
    expect_status(wait_end(taker), EXITED(7));
    expect(strstr(view_of(taker), text("%s %d %d 42 announced\n", way, SIGTERM, SI_QUEUE)) != NULL);
    expect(strstr(view_of(taker), text("%s %d %d 0 announced\n", way, SIGQUIT, SI_USER)) != NULL);
    expect(count_of(view_of(taker), "\n") == 2);
    expect_order("B A");
}
END_TEST

/* Nobody can see such a signal from within; the program's end is what is left to run hooks at. */
START_TEST(a_signal_that_is_blocked_for_ever_stays_so)
{
    config("%s", with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), "blocked");
    wait_ready(taker);
    send_signal(taker, SIGTERM);
    expect_status(stop_with(taker, SIGUSR1), EXITED(7));
    expect_text(view_of(taker), text("blocked %d 0 0 not announced\n", SIGUSR1));
}
END_TEST

/* POSIX: delivered before the call returns. The announcement follows at the end. */
START_TEST(what_it_sends_to_itself_has_been_handled_when_the_call_returns)
{
    static const int signals[] = {SIGTERM, SIGQUIT, SIGINT};
    const char *where = _i / 3 == 0 ? "main" : "thread";
    const char *signo = text("%d", signals[_i % 3]);
    config("%s", with_announcement(""));
    struct process *bare = start(BARE, program("sender"), where, signo);
    struct process *graced = start(GRACED, program("sender"), where, signo);
    expect_status(wait_end(bare), EXITED(7));
    expect_status(wait_end(graced), EXITED(7));
    expect(strstr(contents(bare->out), "together: 0, 15 calls") != NULL, "%s", contents(bare->out));
    expect_text(contents(graced->out), contents(bare->out));
    expect_order("B A");
}
END_TEST

/* However many handlers it had before. */
START_TEST(the_last_of_a_thousand_handlers_is_called_after_the_announcement)
{
    config("%s", with_announcement(""));
    struct process *target = start(GRACED, program("newcomer"), "last", text("%d", SIGTERM));
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), EXITED(7));
    expect_text(view_of(target), text("last %d: announced\n", SIGTERM));
    expect_order("B A");
}
END_TEST

/* ---- deliver ------------------------------------------------------------------------------- */

START_TEST(deliver_gives_the_handler_another_signal)
{
    config("deliver = { TERM = \"QUIT\"; };\n%s", _i == 0 ? "" : with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), "handler");
    wait_ready(taker);
    send_value(taker, SIGTERM, 42);
    wait_contains(taker->out, "\nhandler");
    expect_text(view_of(taker), text("handler %d %d 42 %s\n", SIGQUIT, SI_QUEUE,
                                     _i == 0 ? "not announced" : "announced"));
    kill(taker->pid, SIGKILL);
    wait_end(taker);
}
END_TEST

START_TEST(deliver_holds_for_sigwait)
{
    config("deliver = { TERM = \"QUIT\"; };\n%s", with_announcement(""));
    struct process *taker = start(GRACED, program("taker"), "sigwaitinfo");
    wait_ready(taker);
    expect_status(stop_with(taker, SIGTERM), EXITED(7));
    expect_text(view_of(taker), text("sigwaitinfo %d %d 0 announced\n", SIGQUIT, SI_USER));
}
END_TEST

START_TEST(deliver_may_exchange_two_signals)
{
    config("deliver = { TERM = \"QUIT\"; QUIT = \"TERM\"; };");
    struct process *taker = start(GRACED, program("taker"), "handler");
    wait_ready(taker);
    send_signal(taker, SIGTERM);
    wait_contains(taker->out, text("handler %d", SIGQUIT));
    send_signal(taker, SIGQUIT);
    expect_status(wait_end(taker), EXITED(7));
    expect_text(view_of(taker), text("handler %d 0 0 not announced\nhandler %d 0 0 not announced\n",
                                     SIGQUIT, SIGTERM));
}
END_TEST

/* nginx: TERM cuts requests off, QUIT lets them end. */
START_TEST(nginx_stops_gracefully_on_quit)
{
    int port = free_port();
    write_file("nginx.conf",
               "daemon off; master_process off; pid nginx.pid; error_log errors notice;\n"
               "events {} http { access_log off; server { listen 127.0.0.1:%d; } }",
               port);
    config("deliver = { TERM = \"QUIT\"; };");
    struct process *nginx = start(GRACED, "/usr/sbin/nginx", "-p", text("%s/", story_directory()),
                                  "-c", here("nginx.conf"));
    wait_port(nginx, port);
    /* It looks at what its handler noted after its wait only: what comes before waits for ever. */
    expect(http_get(port, "/", NULL) != 0);
    for (int64_t since = now_ms();
         strstr(contents(text("/proc/%d/stat", nginx->pid)), ") S ") == NULL;)
        expect(now_ms() - since < STORY_LIMIT_MS);
    expect_status(stop_with(nginx, SIGTERM), EXITED(0));
    expect(strstr(contents("errors"), "gracefully shutting down") != NULL ||
               strstr(contents("errors"), "SIGQUIT") != NULL,
           "%s", contents("errors"));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest announce");
    TCase *group = story_case(all, "announce");
    tcase_add_loop_test(group, bare_takes_it_the_same, 0, WAYS);
    tcase_add_loop_test(group, a_signal_is_taken_after_the_announcement, 0, WAYS);
    tcase_add_loop_test(group, a_value_comes_along, 0, WAYS);
    tcase_add_test(group, a_child_reads_its_own_signal_from_the_descriptor);
    tcase_add_test(group, a_signal_that_it_raises_reaches_its_descriptor);
    tcase_add_loop_test(group, two_signals_together_both_reach_their_handler, 0, 2);
    tcase_add_test(group, a_signal_that_is_blocked_for_ever_stays_so);
    tcase_add_loop_test(group, what_it_sends_to_itself_has_been_handled_when_the_call_returns, 0,
                        6);
    tcase_add_test(group, the_last_of_a_thousand_handlers_is_called_after_the_announcement);
    tcase_add_loop_test(group, deliver_gives_the_handler_another_signal, 0, 2);
    tcase_add_test(group, deliver_holds_for_sigwait);
    tcase_add_test(group, deliver_may_exchange_two_signals);
    tcase_add_test(group, nginx_stops_gracefully_on_quit);
    return all;
}
