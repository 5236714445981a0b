/*
 * While libgrace leads the stop of a program without a handler, the program goes on working: no
 * call that it waits in comes back early, or with an EINTR that it would never have seen. A handler
 * of its own interrupts as ever.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long the calls wait, and when the signal comes. */
#define LIMIT_MS 3000
#define AFTER_MS 2500

struct limited {
    const char *call;
    long result;
    int error;
    bool anew; /* the limit is the socket's: it starts anew */
};

static const struct limited limited[] = {
    {"poll", 0, 0, false},
    {"ppoll", 0, 0, false},
    {"select", 0, 0, false},
    {"pselect", 0, 0, false},
    {"epoll_wait", 0, 0, false},
    {"epoll_pwait", 0, 0, false},
    {"epoll_pwait2", 0, 0, false},
    {"nanosleep", 0, 0, false},
    {"thrd_sleep", 0, 0, false},
    {"clock_nanosleep", 0, 0, false},
    {"clock_nanosleep-until", 0, 0, false},
    {"sleep", 0, 0, false},
    {"usleep", 0, 0, false},
    {"sigtimedwait", -1, EAGAIN, false},
    {"semtimedop", -1, EAGAIN, false},
    {"sem_timedwait", -1, ETIMEDOUT, false},
    {"sem_clockwait", -1, ETIMEDOUT, false},
    {"mq_timedreceive", -1, ETIMEDOUT, false},
    {"mq_timedsend", -1, ETIMEDOUT, false},
    {"aio_suspend", -1, EAGAIN, false},
    {"recv", -1, EAGAIN, true},
    {"recvfrom", -1, EAGAIN, true},
    {"recvmsg", -1, EAGAIN, true},
    {"recvmmsg", -1, EAGAIN, true},
    {"read", -1, EAGAIN, true},
    {"readv", -1, EAGAIN, true},
    {"accept", -1, EAGAIN, true},
    {"accept4", -1, EAGAIN, true},
    {"connect", -1, EAGAIN, true},
    {"send", -1, EAGAIN, true},
    {"sendto", -1, EAGAIN, true},
    {"sendmsg", -1, EAGAIN, true},
    {"sendmmsg", -1, EAGAIN, true},
    {"write", -1, EAGAIN, true},
    {"writev", -1, EAGAIN, true},
};
#define LIMITED ((int)(sizeof limited / sizeof *limited))

/* signal(7), "Interruption of system calls and library functions by signal handlers": both lists.
 */
static const char *const unlimited[] = {
    "poll",     "ppoll",      "select",   "pselect",    "epoll_wait", "epoll_pwait",
    "pause",    "sigsuspend", "sigpause", "msgrcv",     "msgsnd",     "epoll_pwait2",
    "semop",    "semtimedop", "sem_wait", "mq_receive", "mq_send",    "sigwaitinfo",
    "recv",     "recvfrom",   "recvmsg",  "recvmmsg",   "read",       "readv",
    "accept",   "accept4",    "connect",  "send",       "sendto",     "sendmsg",
    "sendmmsg", "write",      "writev",   "pipe-read",  "pipe-write", "splice",
    "tee",      "vmsplice",   "sendfile", "wait",       "wait3",      "wait4",
    "waitpid",  "waitid",     "flock",    "fcntl",      "fcntl-ofd",  "lockf",
    "inotify",  "eventfd",    "terminal", "fifo-read",  "fifo-write", "aio_suspend",
};
#define UNLIMITED ((int)(sizeof unlimited / sizeof *unlimited))

/* All of them at once. The hook holds the stop up until the call has come back by itself. */
START_TEST(time_limits_hold)
{
    struct process *waiters[LIMITED];
    config("deadline = \"60s\"; drain = { when = \"never\"; };\nhooks = (%s);",
           hook_script("A", "until test -e done.$GRACE_PID; do sleep 0.05; done",
                       "timeout = \"50s\"; phase = \"announce\";"));
    int64_t began = now_ms();
    for (int i = 0; i < LIMITED; i++)
        waiters[i] = start(GRACED, program("waiter"), limited[i].call, text("%d", LIMIT_MS));
    for (int i = 0; i < LIMITED; i++)
        wait_ready(waiters[i]);
    let_pass(AFTER_MS); /* of the time limits */
    for (int i = 0; i < LIMITED; i++)
        send_signal(waiters[i], SIGTERM);
    int64_t sent = now_ms();
    for (int i = 0; i < LIMITED; i++) {
        const struct limited *call = &limited[i];
        expect_status(wait_end(waiters[i]), KILLED(SIGTERM));
        long result = 99, ms = 0;
        int error = 0;
        sscanf(contents(text("done.%d", (int)waiters[i]->pid)), "%ld %d %ld", &result, &error, &ms);
        expect(result == call->result && (call->error == 0 || error == call->error),
               "%s: %ld, errno %d", call->call, result, error);
        expect(ms >= LIMIT_MS, "%s came back after %ld ms", call->call, ms);
        expect(call->anew || ms < sent - began + LIMIT_MS, "%s came back after %ld ms", call->call,
               ms);
    }
}
END_TEST

/* More than once: one that comes before the call goes on does not interrupt it, as one that comes
 * before any call does not. */
START_TEST(without_a_time_limit_only_its_own_handler_interrupts)
{
    const char *call = unlimited[_i];
    config("deadline = \"60s\"; drain = { when = \"never\"; };\nhooks = (%s);",
           hook_script("A",
                       "until test -e done.$GRACE_PID; do kill -USR1 $GRACE_PID; sleep 0.01; done",
                       "timeout = \"50s\"; phase = \"stop\";"));
    struct process *waiter = start(GRACED, program("waiter"), call, "0");
    wait_ready(waiter);
    wait_asleep(waiter);
    expect_status(stop_with(waiter, SIGTERM), KILLED(SIGTERM));
    expect(strncmp(contents(text("done.%d", (int)waiter->pid)), text("-1 %d ", EINTR), 5) == 0,
           "%s: %s", call, contents(text("done.%d", (int)waiter->pid)));
}
END_TEST

/* What the test above must tell from: the stop's own signal ends no call before USR1 comes. */
START_TEST(the_stop_itself_interrupts_nothing)
{
    const char *call = unlimited[_i];
    config("deadline = \"60s\"; drain = { when = \"never\"; };\nhooks = (%s);",
           hook_script("A", "sleep 0.1; test ! -e done.$GRACE_PID && echo quiet > quiet", ""));
    struct process *waiter = start(GRACED, program("waiter"), call, "0");
    wait_ready(waiter);
    wait_asleep(waiter);
    expect_status(stop_with(waiter, SIGTERM), KILLED(SIGTERM));
    expect(exists("quiet"), "%s came back: %s", call, contents(text("done.%d", (int)waiter->pid)));
}
END_TEST

/* A signal that waits for its announcement: the call goes on until the handler has run, and fails
 * only then. All of them at once, in the main thread or in another one. */
START_TEST(a_handler_that_has_to_wait_interrupts_when_it_has_run)
{
    const char *where = _i == 0 ? "main" : "thread";
    struct process *waiters[UNLIMITED];
    config("deadline = \"60s\"; drain = { when = \"never\"; };\nhooks = (%s);",
           hook_script("A",
                       "sleep 0.1; test ! -e done.$GRACE_PID -a ! -e handled.$GRACE_PID &&"
                       " echo quiet > quiet.$GRACE_PID",
                       "timeout = \"50s\"; phase = \"announce\";"));
    for (int i = 0; i < UNLIMITED; i++)
        waiters[i] = start(GRACED, program("waiter"), unlimited[i], "0", where, "handler");
    for (int i = 0; i < UNLIMITED; i++) {
        wait_ready(waiters[i]);
        wait_asleep(waiters[i]);
        send_signal(waiters[i], SIGTERM);
    }
    for (int i = 0; i < UNLIMITED; i++) {
        char *done = text("done.%d", (int)waiters[i]->pid);
        int result = 99, error = 0, ms = 0, handled = 0;
        wait_exists(done);
        sscanf(contents(done), "%d %d %d %d", &result, &error, &ms, &handled);
        expect(result == -1 && error == EINTR && handled == 1, "%s in %s: %s", unlimited[i], where,
               contents(done));
        expect(exists(text("quiet.%d", (int)waiters[i]->pid)), "%s came back early in %s",
               unlimited[i], where);
        expect_status(stop_with(waiters[i], SIGKILL), KILLED(SIGKILL));
    }
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest waits");
    TCase *group = story_case(all, "waits");
    tcase_add_test(group, time_limits_hold);
    tcase_add_loop_test(group, without_a_time_limit_only_its_own_handler_interrupts, 0, UNLIMITED);
    tcase_add_loop_test(group, the_stop_itself_interrupts_nothing, 0, UNLIMITED);
    tcase_add_loop_test(group, a_handler_that_has_to_wait_interrupts_when_it_has_run, 0, 2);
    return all;
}
