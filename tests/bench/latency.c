/*
 * From kill to the first hook. In-process: for targets that wait, compute, are inside malloc or
 * printf, have many threads. External: beside a shell's trap, and systemd's ExecStopPost.
 */
#include "bench.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "programs/stamp.h"

#define ROUNDS  60
#define SECONDS 15

/* A target, and how long it takes after kill until somebody has stamped. */
struct stopping {
    struct way way;
    const char *argv[8];
    bool sleeps;             /* it waits; else it is stopped at some moment of its work */
    const char *const *then; /* what the benchmark runs when the target has ended; NULL: nothing */
};

static double from_kill(volatile struct stamps *stamps, double killed)
{
    while (stamps->count == 0 && now_us() < killed + 5e6)
        usleep(50);
    return stamps->count > 0 ? (double)stamps->first_ns / 1e3 - killed : NO_FIGURE;
}

static double once(struct series *series)
{
    const struct stopping *stopping = series->subject;
    volatile struct stamps *stamps = shared_stamps();
    pid_t pid = start_ready(&stopping->way, stopping->argv, stopping->sleeps);
    if (pid < 0)
        return NO_FIGURE;
    if (!stopping->sleeps)
        pause_us(drand48() * 3000);
    double killed = now_us();
    kill(pid, SIGTERM);
    if (await(pid, NULL) >= 0 && stopping->then != NULL)
        await(start(&bare, stopping->then, -1), NULL);
    double figure = from_kill(stamps, killed);
    await_quiet();
    return figure;
}

/* ---- in-process -------------------------------------------------------------------------------
 */

static void in_process(const char *work, const char *name, const char *floor_is, const char *own,
                       bool sleeps, struct budget budget)
{
    const char *target = built("tests/bench/programs/target");
    char *hook = words("plugin = \"%s\";", built("tests/bench/programs/hook_stamp.so"));
    const struct stopping figure = {
        .way = {.preload = built("libgrace.so"), .config = write_config("one.conf", "", 1, hook)},
        .argv = {target, work},
        .sleeps = sleeps};
    const struct stopping floor = {.argv = {target, work, own}, .sleeps = sleeps};
    struct series series[] = {{.once = once, .subject = &figure},
                              {.once = once, .subject = &floor}};
    measure_in_turns((struct series *[]){&series[0], &series[1]}, 2, ROUNDS, SECONDS);
    add_row(&(struct row){.name = name,
                          .unit = "us",
                          .figure = &series[0],
                          .floor = &series[1],
                          .budget = budget,
                          .remark = floor_is});
}

/* ---- external ---------------------------------------------------------------------------------
 */

/* systemd starts the program, and runs the command when it has ended. */
static double once_systemd(struct series *series)
{
    const char *unit = words("grace-bench-%d.service", (int)getpid());
    const char *const run[] = {
        "systemd-run",
        "--quiet",
        "--collect",
        words("--unit=%s", unit),
        "--property=Type=exec",
        words("--property=Environment=%s=%s", STAMPS_VARIABLE, scratch("stamps")),
        words("--property=ExecStopPost=%s", built("tests/bench/programs/stamp")),
        built("tests/bench/programs/poller"),
        NULL};
    const char *const ask[] = {"systemctl", "show", "--property=MainPID", "--value", unit, NULL};
    const char *const end[] = {"systemctl", "stop", unit, NULL};
    volatile struct stamps *stamps = shared_stamps();
    char output[64] = "";
    if (await(start(&bare, run, -1), NULL) != 0 ||
        output_of(&bare, ask, output, sizeof output) != 0 || atoi(output) <= 1) {
        series->missing = "systemd-run failed";
        return NO_FIGURE;
    }
    double killed = now_us();
    kill(atoi(output), SIGTERM);
    double figure = from_kill(stamps, killed);
    await(start(&bare, end, -1), NULL); /* the next one has its name */
    return figure;
}

static void external(void)
{
    const char *poller = built("tests/bench/programs/poller"),
               *stamp = built("tests/bench/programs/stamp");
    const char *const command[] = {stamp, NULL};
    const struct stopping figure = {
        .way = {.preload = built("libgrace.so"),
                .config = write_config("command.conf", "", 1, words("command = [\"%s\"];", stamp))},
        .argv = {poller},
        .sleeps = true};
    const struct stopping floor = {.argv = {poller}, .sleeps = true, .then = command};
    const struct stopping trap = {
        .argv = {"/bin/sh", "-c", "trap 'kill $p; wait $p; \"$1\"' TERM; \"$0\" & p=$!; wait $p",
                 poller, stamp},
        .sleeps = true};
    bool systemd = access("/run/systemd/system", F_OK) == 0;
    struct series series[] = {{.once = once, .subject = &figure},
                              {.once = once, .subject = &floor},
                              {.name = "a shell with a trap", .once = once, .subject = &trap},
                              {.name = "systemd-run, ExecStopPost",
                               .once = once_systemd,
                               .missing = systemd ? NULL : "systemd does not run here"}};
    measure_in_turns((struct series *[]){&series[0], &series[1], &series[2], &series[3]}, 4, ROUNDS,
                     SECONDS);
    add_row(&(struct row){.name = "kill to first external hook",
                          .unit = "us",
                          .figure = &series[0],
                          .floor = &series[1],
                          .peers = (const struct series *const[]){&series[2], &series[3], NULL},
                          .remark = "floor: its parent waits for it and spawns the command"});
}

void bench_latency(void)
{
    static const char handler[] = "floor: a handler of its own that calls pthread_create";
    static const char waiting[] =
        "floor: a thread of its own that waits in sigwait from the start on";
    static const char in_poll[] =
        "floor: a handler of its own that calls pthread_create; above it, the largest first: the "
        "look for something to drain, the sender's name and the first log line, a second thread, "
        "pages never touched before";
    struct budget poll = {.of = OF_RATIO, .most = 1.5}, none = {.of = NO_BUDGET};
    in_process("poll", "kill to in-process hook: in poll", in_poll, "handler", true, poll);
    in_process("cpu", "kill to in-process hook: computes", handler, "handler", false, none);
    in_process("malloc", "kill to in-process hook: in malloc", waiting, "sigwait", false, none);
    in_process("printf", "kill to in-process hook: in printf", waiting, "sigwait", false, none);
    in_process("threads", "kill to in-process hook: 64 threads", handler, "handler", true, none);
    external();
}
