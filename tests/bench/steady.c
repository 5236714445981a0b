/*
 * What libgrace costs before any stop, in the calls that it touches, and in those that a second
 * thread would slow down: with three hooks and the guardian, against without.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS  15
#define SECONDS 8

static const struct work {
    const char *name, *way;
    int count;   /* of operations in a round */
    int counted; /* of those whose instructions are counted */
    bool judged; /* by its instructions */
} all[] = {
    {"malloc and free", "malloc", 2000000, 200000, true},
    {"putc", "putc", 5000000, 500000, true},
    {"poll with a limit", "poll", 200000, 20000, false},
    {"signal, a handler of its own", "signal", 100000, 10000, false},
    {"connect and accept", "accept", 20000, 2000, false},
};

enum { BARE, EMPTY, GRACED, WAYS };

struct subject {
    const struct work *work;
    struct way way;
};

static const char *const *command(const struct work *work, int count)
{
    const char **argv = calloc(4, sizeof *argv);
    if (argv == NULL)
        abort();
    argv[0] = built("tests/bench/programs/steady");
    argv[1] = work->way;
    argv[2] = words("%d", count);
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
    add_row(&(struct row){.name = work->name,
                          .unit = "us",
                          .figure = &series[GRACED],
                          .floor = &series[BARE],
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
        measure_instructions(&all[i], &alone);
    }
}
