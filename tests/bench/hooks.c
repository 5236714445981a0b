/*
 * What N hooks cost, from kill to the end of the last, for each of them; and whether that grows
 * with their number. In-process: hooks that do nothing. External: /bin/true, beside a shell's trap.
 */
#include "bench.h"

#include <signal.h>
#include <stdlib.h>

#include "programs/stamp.h"

static const struct amount {
    int hooks, rounds, external_rounds;
} amounts[] = {{1, 40, 40}, {10, 40, 30}, {100, 40, 11}, {1000, 21, 5}, {10000, 9, 3}};

#define SECONDS 25 /* for each of them */

/* A target that is stopped, and who runs this many hooks then. */
struct subject {
    int hooks;
    struct way way;
    const char *argv[8];
};

static double inside(struct series *series)
{
    const struct subject *subject = series->subject;
    volatile struct stamps *stamps = shared_stamps();
    pid_t pid = start_ready(&subject->way, subject->argv, true);
    if (pid < 0)
        return NO_FIGURE;
    double killed = now_us();
    kill(pid, SIGTERM);
    await(pid, NULL);
    await_quiet();
    if (stamps->count != (uint64_t)subject->hooks) {
        series->missing =
            words("%lu of %d hooks ran", (unsigned long)stamps->count, subject->hooks);
        return NO_FIGURE;
    }
    return ((double)stamps->last_ns / 1e3 - killed) / subject->hooks;
}

static double outside(struct series *series)
{
    const struct subject *subject = series->subject;
    pid_t pid = start_ready(&subject->way, subject->argv, true);
    if (pid < 0)
        return NO_FIGURE;
    double killed = now_us();
    kill(pid, SIGTERM);
    await(pid, NULL);
    double figure = (now_us() - killed) / subject->hooks;
    await_quiet();
    return figure;
}

static double spawning(struct series *series)
{
    const struct subject *subject = series->subject;
    const char *const argv[] = {"/bin/true", NULL};
    double begin = now_us();
    for (int i = 0; i < subject->hooks; i++)
        await(start(&bare, argv, -1), NULL);
    return (now_us() - begin) / subject->hooks;
}

/* All hooks of a stop: what a further one costs, between two amounts. */
static double slope(const struct series *series, size_t from, size_t to)
{
    double less = spread_of(&series[from]).middle * amounts[from].hooks;
    double more = spread_of(&series[to]).middle * amounts[to].hooks;
    return (more - less) / (amounts[to].hooks - amounts[from].hooks);
}

static void add_growth(const char *name, const struct series *series)
{
    struct series early = {.count = 0}, late = {.count = 0};
    size_t last = COUNT_OF(amounts) - 1;
    if (series[1].count > 0 && series[last - 1].count > 0 && series[last].count > 0) {
        add_figure(&late, slope(series, last - 1, last));
        add_figure(&early, slope(series, 1, last - 1));
    }
    add_row(&(struct row){.name = name,
                          .unit = "us",
                          .figure = &late,
                          .floor = &early,
                          .remark = "a further one, between 1,000 and 10,000; floor: between 10 "
                                    "and 1,000; linear: ratio 1"});
}

static void in_process(void)
{
    static struct series figures[COUNT_OF(amounts)], floors[COUNT_OF(amounts)];
    char *plugin = words("plugin = \"%s\";", built("tests/bench/programs/hook_stamp.so"));
    for (size_t i = 0; i < COUNT_OF(amounts); i++) {
        int hooks = amounts[i].hooks;
        const struct subject graced = {hooks,
                                       {.preload = built("libgrace.so"),
                                        .config = write_config("many.conf", "", hooks, plugin)},
                                       {built("tests/bench/programs/poller")}};
        const struct subject handed = {
            hooks, {.preload = NULL}, {built("tests/bench/programs/handoff"), words("%d", hooks)}};
        figures[i] = (struct series){.once = inside, .subject = &graced};
        floors[i] = (struct series){.once = inside, .subject = &handed};
        measure_in_turns((struct series *[]){&figures[i], &floors[i]}, 2, amounts[i].rounds,
                         SECONDS);
        add_row(&(struct row){
            .name = words("in-process hooks, each of %d", hooks),
            .unit = "us",
            .figure = &figures[i],
            .floor = &floors[i],
            .budget = {.of = hooks == 1000 ? OF_FIGURE : NO_BUDGET, .most = 10},
            .remark = i == 0 ? "floor: a handler starts a thread, which hands work to a second one"
                             : NULL});
    }
    add_growth("in-process hooks: growth", figures);
}

static void external(void)
{
    static struct series figures[COUNT_OF(amounts)], floors[COUNT_OF(amounts)],
        traps[COUNT_OF(amounts)];
    const char *poller = built("tests/bench/programs/poller");
    const char *script =
        "trap 'kill $p; wait $p; i=0; while [ $i -lt $1 ]; do /bin/true; i=$((i + 1)); done' TERM; "
        "\"$0\" & p=$!; wait $p";
    for (size_t i = 0; i < COUNT_OF(amounts); i++) {
        int hooks = amounts[i].hooks;
        const struct subject graced = {
            hooks,
            {.preload = built("libgrace.so"),
             .config = write_config("many.conf", "", hooks, "command = [\"/bin/true\"];")},
            {poller}};
        const struct subject trap = {
            hooks, {.preload = NULL}, {"/bin/sh", "-c", script, poller, words("%d", hooks)}};
        figures[i] = (struct series){.once = outside, .subject = &graced};
        floors[i] = (struct series){.once = spawning, .subject = &graced};
        traps[i] = (struct series){.name = "a shell's trap", .once = outside, .subject = &trap};
        measure_in_turns((struct series *[]){&figures[i], &floors[i], &traps[i]}, 3,
                         amounts[i].external_rounds, SECONDS);
        add_row(
            &(struct row){.name = words("external hooks, each of %d", hooks),
                          .unit = "us",
                          .figure = &figures[i],
                          .floor = &floors[i],
                          .budget = {.of = hooks == 1000 ? OF_RATIO : NO_BUDGET, .most = 1.3},
                          .peers = (const struct series *const[]){&traps[i], NULL},
                          .remark = i == 0 ? "/bin/true. floor: posix_spawn and waitpid" : NULL});
    }
    add_growth("external hooks: growth", figures);
}

void bench_hooks(void)
{
    in_process();
    external();
}
