/*
 * Children of a target, one after the other: bare, under a preload that does nothing, and under
 * libgrace without a config and with three hooks and the guardian. What a fork costs grows with the
 * mappings and pages of its parent, and libgrace adds some: so parents of several sizes.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS       120
#define FAULT_ROUNDS 3
#define SECONDS      24

/* The budget, as a ratio of times. */
#define MOST 1.02

static const struct family {
    const char *name, *way;
    int count;     /* of children in a round */
    int megabytes; /* that the parent has touched; -1: it is a shell */
    const char *remark;
    bool pinned; /* parent and child on one processor */
} families[] = {
    {"fork, _exit, wait", "fork", 200, 0,
     "of a parent of 100 KiB: each mapping of it is 1 % there, each page fault 2 to 3 %; where a "
     "child lasts\n    until its parent sleeps on a processor of its own, the parent has to be "
     "woken",
     false},
    {"the same, on one processor", "fork", 200, 0, "that is what libgrace adds to a fork itself",
     true},
    {"the same, a parent of 20 MB", "fork", 60, 20, NULL, false},
    {"the same, a parent of 100 MB", "fork", 20, 100, NULL, false},
    {"a subshell of sh", "i=0; while [ $i -lt %d ]; do (:); i=$((i + 1)); done", 200, -1, NULL,
     false},
    {"fork, exec, wait", "fork-exec", 50, 0, NULL, false},
    {"vfork, exec, wait", "vfork-exec", 50, 0, NULL, false},
    {"posix_spawn, wait", "spawn", 50, 0, NULL, false},
};

enum { BARE, EMPTY, PLAIN, GRACED, WAYS };

struct subject {
    const struct family *family;
    struct way way;
};

static bool is_shell(const struct family *family)
{
    return family->megabytes < 0;
}

/* What a shell needs for so many children, its own start and end included. */
static double shell_us(const struct subject *subject, int count)
{
    const char *const argv[] = {"/bin/sh", "-c", words(subject->family->way, count), NULL};
    double begin = now_us();
    int status = await(start(&subject->way, argv, -1), NULL);
    double time = now_us() - begin;
    await_quiet();
    return status == 0 ? time : NO_FIGURE;
}

static double once_shell(const struct subject *subject)
{
    int count = subject->family->count;
    double none = shell_us(subject, 0), all = shell_us(subject, count);
    return none == NO_FIGURE || all == NO_FIGURE ? NO_FIGURE : (all - none) / count;
}

static const char *const *forker(const struct family *family, int count)
{
    const char **argv = calloc(7, sizeof *argv);
    if (argv == NULL)
        abort();
    argv[0] = built("tests/bench/programs/forker");
    argv[1] = family->way;
    argv[2] = words("%d", count);
    argv[3] = words("%d", family->megabytes);
    argv[4] = built("tests/bench/programs/nothing");
    if (family->pinned)
        argv[5] = "pinned";
    return argv;
}

static double once(struct series *series)
{
    const struct subject *subject = series->subject;
    const struct family *family = subject->family;
    if (is_shell(family))
        return once_shell(subject);
    char output[64];
    int status = output_of(&subject->way, forker(family, family->count), output, sizeof output);
    await_quiet();
    return status == 0 ? strtod(output, NULL) / 1e3 : NO_FIGURE;
}

/* ---- page faults, parent's and child's: they do not depend on who else is at work -------------
 */

static double faults(const struct subject *subject, int count)
{
    struct rusage usage;
    int status = await(start(&subject->way, forker(subject->family, count), -1), &usage);
    await_quiet();
    return status == 0 ? (double)usage.ru_minflt : NO_FIGURE;
}

static double faults_once(struct series *series)
{
    const struct subject *subject = series->subject;
    int count = subject->family->count;
    double none = faults(subject, 0), all = faults(subject, count);
    return none == NO_FIGURE || all == NO_FIGURE ? NO_FIGURE : (all - none) / count;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static void measure(const struct family *family, const struct way ways[WAYS], bool time)
{
    static const char *const names[WAYS] = {[EMPTY] = "an empty preload", [PLAIN] = "no config"};
    static struct subject subjects[WAYS];
    static struct series series[WAYS];
    struct series *turns[WAYS];
    for (int i = 0; i < WAYS; i++) {
        subjects[i] = (struct subject){family, ways[i]};
        series[i] = (struct series){
            .name = names[i], .once = time ? once : faults_once, .subject = &subjects[i]};
        turns[i] = &series[i];
    }
    measure_in_turns(turns, WAYS, time ? ROUNDS : FAULT_ROUNDS, SECONDS);
    add_row(
        &(struct row){.name = time ? family->name : words("    page faults: %s", family->name),
                      .unit = time ? "us" : "",
                      .figure = &series[GRACED],
                      .floor = &series[BARE],
                      .budget = {.of = time ? OF_RATIO : NO_BUDGET, .most = MOST},
                      .peers = (const struct series *const[]){&series[EMPTY], &series[PLAIN], NULL},
                      .remark = time ? family->remark : NULL});
}

void bench_forks(void)
{
    const struct way ways[WAYS] = {
        [EMPTY] = {.preload = built("tests/bench/programs/empty.so")},
        [PLAIN] = {.preload = built("libgrace.so")},
        [GRACED] = {.preload = built("libgrace.so"), .config = three_hooks(true)},
    };
    for (size_t i = 0; i < COUNT_OF(families); i++)
        measure(&families[i], ways, true);
    measure(&families[0], ways, false);
}
