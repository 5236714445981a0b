/*
 * What children cost their parent: 10,000 of them, with and without libgrace, by turns. Every fork
 * copies what libgrace has mapped and written in the parent, and writes the child down; a vfork's
 * and posix_spawn's child does neither.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TURNS 11

enum { BARE, EMPTY, GRACED, WAYS };

static const struct children {
    const char *name, *way;
    int megabytes, count; /* of children in a turn */
} all[] = {
    {"fork, _exit, wait", "fork", 0, 1000},
    {"fork, _exit, wait: a service of 100 MB", "fork", 100, 50},
    {"fork, exec, wait", "fork-exec", 0, 200},
    {"vfork, exec, wait", "vfork-exec", 0, 200},
    {"posix_spawn, wait", "spawn", 0, 200},
};

static double one_turn(const struct way *way, const struct children *children)
{
    char count[16], megabytes[16], answer[64] = "";
    int ends[2];
    snprintf(count, sizeof count, "%d", children->count);
    snprintf(megabytes, sizeof megabytes, "%d", children->megabytes);
    const char *const argv[] = {
        built("tests/bench/programs/forker"),  children->way, count, megabytes,
        built("tests/bench/programs/nothing"), NULL};
    if (pipe(ends) != 0)
        abort();
    pid_t pid = start(way, argv, ends[1]);
    close(ends[1]);
    ssize_t length = read(ends[0], answer, sizeof answer - 1);
    close(ends[0]);
    return await(pid) == 0 && length > 0 ? strtod(answer, NULL) / 1e3 : NO_FIGURE;
}

static void measure(const struct way ways[WAYS], const struct children *children)
{
    static double times[WAYS][TURNS];
    static char remarks[sizeof all / sizeof all[0]][80];
    char *remark = remarks[children - all];
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < WAYS; i++)
            times[i][turn] = one_turn(&ways[i], children);
    struct row row = {.name = children->name,
                      .unit = "us",
                      .figure = median(times[GRACED], TURNS),
                      .floor = median(times[BARE], TURNS),
                      .ratio = NO_FIGURE,
                      .budget = "<= 1.02 x bare",
                      .remark = remark};
    snprintf(remark, sizeof remarks[0], "with an empty preload %.1f us",
             median(times[EMPTY], TURNS));
    row.within = row.figure <= 1.02 * row.floor;
    add_row(&row);
}

void bench_forks(void)
{
    /* These hooks are not to run at the parent's end. */
    const char *config = write_config(
        "three.conf", 3, "command = [\"/bin/true\"]; causes = [\"signal\", \"killed\"];");
    const struct way ways[WAYS] = {
        [BARE] = {.name = "bare"},
        [EMPTY] = {.name = "empty", .preload = built("tests/bench/programs/empty.so")},
        [GRACED] = {.name = "libgrace", .preload = built("libgrace.so"), .config = config},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        measure(ways, &all[i]);
}
