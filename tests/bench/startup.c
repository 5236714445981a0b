/* What a program needs to start and end: bare, under preloads, under `grace run` and other inits.
 */
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

#define RUNS 300

enum {
    BARE,
    EMPTY,
    NO_CONFIG,
    THREE_HOOKS,
    RUN,
    RUN_HOOKS,
    INIT,
    INIT_HOOKS,
    TINI,
    DUMB_INIT,
    CATATONIT,
    WAYS
};

static const char *const inits[][3] = {{"/usr/bin/tini", "--", NULL},
                                       {"/usr/bin/dumb-init", "--", NULL},
                                       {"/usr/bin/catatonit", "--", NULL}};

static void measure(const struct way ways[WAYS], const int there[WAYS], double medians[WAYS])
{
    static double times[WAYS][RUNS];
    const char *const argv[] = {built("tests/bench/programs/nothing"), NULL};
    for (int run = 0; run < RUNS; run++) {
        for (int i = 0; i < WAYS; i++) {
            if (!there[i])
                continue;
            double begin = now_us();
            await(start(&ways[i], argv, -1));
            times[i][run] = now_us() - begin;
        }
    }
    for (int i = 0; i < WAYS; i++)
        medians[i] = there[i] ? median(times[i], RUNS) : NO_FIGURE;
}

void bench_startup(void)
{
    /* These hooks are for signals: a program that starts and ends is not to run them. */
    const char *config = write_config(
        "three.conf", 3, "command = [\"/bin/true\"]; causes = [\"signal\", \"killed\"];");
    const char *library = built("libgrace.so");
    const char *const run[] = {built("grace"), "run", "--", NULL};
    const char *const stay[] = {built("grace"), "run", "--init", "--", NULL};
    struct way ways[WAYS] = {
        [BARE] = {.name = "bare"},
        [EMPTY] = {.name = "empty preload", .preload = built("tests/bench/programs/empty.so")},
        [NO_CONFIG] = {.name = "libgrace, no config", .preload = library},
        [THREE_HOOKS] = {.name = "libgrace, 3 hooks", .preload = library, .config = config},
        [RUN] = {.name = "grace run", .before = run},
        [RUN_HOOKS] = {.name = "grace run, 3 hooks", .before = run, .config = config},
        [INIT] = {.name = "grace run --init", .before = stay},
        [INIT_HOOKS] = {.name = "grace run --init, 3 hooks", .before = stay, .config = config},
        [TINI] = {.name = "tini", .before = inits[0]},
        [DUMB_INIT] = {.name = "dumb-init", .before = inits[1]},
        [CATATONIT] = {.name = "catatonit", .before = inits[2]},
    };
    int there[WAYS];
    double times[WAYS], least = NO_FIGURE;
    for (int i = 0; i < WAYS; i++)
        there[i] = ways[i].before == NULL || access(ways[i].before[0], X_OK) == 0;
    measure(ways, there, times);

    for (int i = TINI; i < WAYS; i++)
        if (there[i] && (least == NO_FIGURE || times[i] - times[BARE] < least))
            least = times[i] - times[BARE];
    for (int i = EMPTY; i < WAYS; i++) {
        static char names[WAYS][64], budgets[WAYS][64];
        snprintf(names[i], sizeof names[i], "start and end: %s", ways[i].name);
        struct row row = {.name = names[i],
                          .unit = "us",
                          .figure = times[i],
                          .floor = times[BARE],
                          .ratio = NO_FIGURE,
                          .within = -1};
        if (!there[i])
            row.remark = "not installed";
        if (i == NO_CONFIG) {
            double above = times[i] - times[EMPTY];
            snprintf(budgets[i], sizeof budgets[i], "%+.0f us, of 60", above);
            row.budget = budgets[i];
            row.remark = "budget: above the empty preload";
            row.within = above <= 60;
        }
        if (i == THREE_HOOKS && least != NO_FIGURE) {
            double above = times[i] - times[BARE];
            snprintf(budgets[i], sizeof budgets[i], "%+.0f us, of %.0f", above, least / 2);
            row.budget = budgets[i];
            row.remark = "budget: above bare, half of what the least of the inits adds";
            row.within = above <= least / 2;
        }
        add_row(&row);
    }
}
