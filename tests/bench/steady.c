/*
 * What libgrace costs before any stop, in the calls that it touches, and in those that a second
 * thread or a larger process would slow down: with three hooks and the guardian, against without.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS  15
#define SECONDS 8

static const struct work {
    const char *name, *program, *way;
    int count;      /* of operations in a round */
    int counted;    /* of those whose instructions are counted */
    int megabytes;  /* that a parent of children has */
    bool judged;    /* by its instructions */
    double slowest; /* the budget as a ratio of times; 0: none */
} all[] = {
    {"malloc and free", "steady", "malloc", 2000000, 200000, 0, true, 0},
    {"putc", "steady", "putc", 5000000, 500000, 0, true, 0},
    {"poll with a limit", "steady", "poll", 200000, 20000, 0, false, 0},
    {"signal, a handler of its own", "steady", "signal", 100000, 10000, 0, false, 0},
    {"connect and accept", "steady", "accept", 20000, 2000, 0, false, 0},
    {"fork, _exit, wait", "forker", "fork", 500, 50, 0, false, 1.02},
    {"the same, a parent of 100 MB", "forker", "fork", 40, 0, 100, false, 1.02},
    {"fork, exec, wait", "forker", "fork-exec", 150, 20, 0, false, 1.02},
    {"vfork, exec, wait", "forker", "vfork-exec", 150, 20, 0, false, 1.02},
    {"posix_spawn, wait", "forker", "spawn", 150, 20, 0, false, 1.02},
};

enum { BARE, EMPTY, GRACED, WAYS };

struct subject {
    const struct work *work;
    struct way way;
};

static const char *const *command(const struct work *work, int count)
{
    const char **argv = calloc(6, sizeof *argv);
    if (argv == NULL)
        abort();
    argv[0] = built("tests/bench/programs/%s", work->program);
    argv[1] = work->way;
    argv[2] = words("%d", count);
    if (strcmp(work->program, "forker") == 0) {
        argv[3] = words("%d", work->megabytes);
        argv[4] = built("tests/bench/programs/nothing");
    }
    return argv;
}

static double once(struct series *series)
{
    const struct subject *subject = series->subject;
    char output[64];
    int status = output_of(&subject->way, command(subject->work, subject->work->count), output,
                           sizeof output);
    await_quiet();
    return status == 0 ? strtod(output, NULL) / 1e3 : NO_FIGURE;
}

static void measure_time(const struct work *work, const struct way ways[WAYS])
{
    static struct subject subjects[WAYS];
    static struct series series[WAYS];
    struct series *turns[WAYS];
    for (int i = 0; i < WAYS; i++) {
        subjects[i] = (struct subject){work, ways[i]};
        series[i] =
            (struct series){.name = "an empty preload", .once = once, .subject = &subjects[i]};
        turns[i] = &series[i];
    }
    measure_in_turns(turns, WAYS, ROUNDS, SECONDS);
    add_row(&(struct row){
        .name = work->name,
        .unit = "us",
        .figure = &series[GRACED],
        .floor = &series[BARE],
        .budget = {.of = work->slowest > 0 ? OF_RATIO : NO_BUDGET, .most = work->slowest},
        .peers = (const struct series *const[]){&series[EMPTY], NULL}});
}

/* No guardian: how long the program waits for it to come is not what is counted here. */
static void measure_instructions(const struct work *work, const struct way *graced)
{
    struct series figure = {.count = 0}, floor = {.count = 0};
    const char *const *none = command(work, 0), *const *many = command(work, work->counted);
    add_figure(&figure, instructions_each(graced, none, many, work->counted));
    add_figure(&floor, instructions_each(&bare, none, many, work->counted));
    add_row(&(struct row){
        .name = words("    instructions: %s", work->name),
        .unit = "",
        .figure = &figure,
        .floor = &floor,
        .budget = {.of = work->judged ? OF_RATIO : NO_BUDGET, .most = 1.001, .least = 0.999}});
}

void bench_steady(void)
{
    const struct way ways[WAYS] = {
        [EMPTY] = {.preload = built("tests/bench/programs/empty.so")},
        [GRACED] = {.preload = built("libgrace.so"), .config = three_hooks(true)},
    };
    const struct way alone = {.preload = built("libgrace.so"), .config = three_hooks(false)};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        measure_time(&all[i], ways);
        if (all[i].counted > 0)
            measure_instructions(&all[i], &alone);
    }
}
