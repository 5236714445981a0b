/* Memory that is nobody else's, of a program that waits and of whatever was started beside it. */
#include "bench.h"

#include <signal.h>
#include <stdio.h>

#define ROUNDS 5
#define PEERS  8

static double private_of(pid_t pid)
{
    return sum_in(words("/proc/%d/smaps_rollup", (int)pid), "Private_");
}

/* A command's children, one level deep: the program that it started. */
static size_t children_of(pid_t pid, pid_t children[8])
{
    size_t count = 0;
    FILE *file = fopen(words("/proc/%d/task/%d/children", (int)pid, (int)pid), "re");
    while (file != NULL && count < 8 &&
           fscanf(file, "%d", &children[count]) == 1) /* NOLINT(cert-err34-c) */
        count++;
    if (file != NULL)
        fclose(file);
    return count;
}

static double private_of_guardian(pid_t owner)
{
    pid_t guardian = guardian_of(owner);
    pause_us(300000); /* it has settled */
    return guardian > 0 ? private_of(guardian) : NO_FIGURE;
}

static double once(struct series *series)
{
    const struct way *way = series->subject;
    const char *const argv[] = {built("tests/bench/programs/poller"), NULL};
    pid_t pid = start_ready(way, argv, true);
    if (pid < 0)
        return NO_FIGURE;
    pid_t children[8];
    size_t count = children_of(pid, children);
    double figure = private_of(pid), more = way->config != NULL ? private_of_guardian(pid) : 0;
    for (size_t i = 0; i < count; i++) {
        figure += private_of(children[i]);
        kill(children[i], SIGKILL);
    }
    kill(pid, SIGKILL);
    await(pid, NULL);
    await_quiet();
    return more == NO_FIGURE ? NO_FIGURE : figure + more;
}

void bench_memory(void)
{
    static struct way ways[4 + PEERS];
    static struct series series[4 + PEERS];
    const struct series *others[PEERS + 1] = {NULL};
    struct series *turns[4 + PEERS];
    ways[1].preload = built("tests/bench/programs/empty.so");
    ways[2].preload = built("libgrace.so");
    ways[3] =
        (struct way){.preload = built("libgrace.so"),
                     .config = write_config("killed.conf", "", 3,
                                            "command = [\"/bin/true\"]; causes = [\"exit\"];")};
    for (size_t i = 0; i < 4; i++)
        series[i] = (struct series){.name = "an empty preload", .once = once, .subject = &ways[i]};
    for (size_t i = 0; i < peer_count; i++) {
        ways[4 + i].before = peers[i].before;
        series[4 + i] = peer_series(&peers[i], once, &ways[4 + i]);
        others[i] = &series[4 + i];
    }
    for (size_t i = 0; i < 4 + peer_count; i++)
        turns[i] = &series[i];
    measure_in_turns(turns, 4 + peer_count, ROUNDS, 30);
    add_row(&(struct row){.name = "private memory: no config",
                          .unit = "KiB",
                          .figure = &series[2],
                          .floor = &series[0],
                          .peers = (const struct series *const[]){&series[1], NULL}});
    add_row(&(struct row){.name = "private memory: 3 hooks, with its guardian",
                          .unit = "KiB",
                          .figure = &series[3],
                          .floor = &series[0],
                          .peers = others});
}
