/* From kill to the first hook, the target waiting in poll. */
#include "bench.h"

#include <signal.h>
#include <stdio.h>

#include "programs/stamp.h"

#define RUNS 100

static double once(const struct way *way, const char *const *argv)
{
    volatile struct stamps *stamps = shared_stamps();
    pid_t pid = start_ready(way, argv);
    double begin = now_us();
    kill(pid, SIGTERM);
    await(pid);
    return stamps->count > 0 ? (double)stamps->first_ns / 1e3 - begin : NO_FIGURE;
}

void bench_latency(void)
{
    char *hook = built("tests/bench/programs/hook_stamp.so"), settings[512];
    snprintf(settings, sizeof settings, "plugin = \"%s\";", hook);
    const struct way graced = {.preload = built("libgrace.so"),
                               .config = write_config("one.conf", 1, settings)};
    const struct way bare = {.preload = NULL};
    const char *const poller[] = {built("tests/bench/programs/poller"), NULL};
    const char *const handler[] = {built("tests/bench/programs/handler"), NULL};
    double figures[RUNS], floors[RUNS];
    for (int i = 0; i < RUNS; i++) {
        figures[i] = once(&graced, poller);
        floors[i] = once(&bare, handler);
    }
    struct row row = {.name = "kill to first in-process hook",
                      .unit = "us",
                      .ratio = NO_FIGURE,
                      .figure = median(figures, RUNS),
                      .floor = median(floors, RUNS),
                      .budget = "ratio <= 1.5",
                      .remark = "floor: a handler of the program's own that calls pthread_create"};
    row.within = row.figure <= 1.5 * row.floor;
    add_row(&row);
}
