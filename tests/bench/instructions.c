/*
 * Instructions of a malloc and putc loop with libgrace against without, before any stop. Counted by
 * the processor where it can, else by valgrind; what the start costs is taken off by counting a
 * loop of nothing, too.
 */
#include "bench.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT "400000"

static double by_processor(const struct way *way, const char *const *argv)
{
    struct perf_event_attr what;
    memset(&what, 0, sizeof what);
    what.type = PERF_TYPE_HARDWARE;
    what.size = sizeof what;
    what.config = PERF_COUNT_HW_INSTRUCTIONS;
    what.exclude_kernel = 1;
    what.exclude_hv = 1;
    what.inherit = 1;
    what.disabled = 1;
    what.enable_on_exec = 1;
    long counter = syscall(SYS_perf_event_open, &what, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (counter < 0)
        return NO_FIGURE;
    uint64_t count = 0;
    await(start(way, argv, -1));
    ssize_t got = read((int)counter, &count, sizeof count);
    close((int)counter);
    return got == (ssize_t)sizeof count && count > 0 ? (double)count : NO_FIGURE;
}

/* valgrind starts env, and env the program: so libgrace is loaded into the program alone, whose
 * count comes last. */
static double by_valgrind(const struct way *way, const char *const *argv)
{
    char command[1024], line[512];
    double count = NO_FIGURE;
    snprintf(command, sizeof command,
             "valgrind --tool=callgrind --callgrind-out-file=/dev/null --trace-children=yes "
             "/usr/bin/env %s%s %s %s 2>&1",
             way->preload != NULL ? "LD_PRELOAD=" : "", way->preload != NULL ? way->preload : "",
             argv[0], argv[1]);
    FILE *output = popen(command, "r"); /* NOLINT(cert-env33-c) */
    while (output != NULL && fgets(line, sizeof line, output) != NULL) {
        const char *collected = strstr(line, "Collected : ");
        if (collected != NULL)
            count = atof(collected + 12);
    }
    if (output != NULL)
        pclose(output);
    return count;
}

typedef double counter(const struct way *, const char *const *);

static double loop_alone(counter *count, const struct way *way)
{
    const char *const none[] = {built("tests/bench/programs/loop"), "0", NULL};
    const char *const many[] = {built("tests/bench/programs/loop"), COUNT, NULL};
    double start_up = count(way, none), all = count(way, many);
    return start_up == NO_FIGURE || all == NO_FIGURE ? NO_FIGURE : all - start_up;
}

void bench_instructions(void)
{
    const struct way bare = {.preload = NULL}, graced = {.preload = built("libgrace.so")};
    struct row row = {.name = "instructions of a malloc and putc loop",
                      .unit = "M",
                      .ratio = NO_FIGURE,
                      .floor = NO_FIGURE,
                      .figure = NO_FIGURE,
                      .budget = "1.000 +- 0.001",
                      .within = -1,
                      .remark = "counted by the processor"};
    counter *count = by_processor;
    double figure = loop_alone(count, &graced);
    if (figure == NO_FIGURE && access("/usr/bin/valgrind", X_OK) == 0) {
        row.remark = "counted by valgrind";
        count = by_valgrind;
        figure = loop_alone(count, &graced);
    }
    double floor = figure == NO_FIGURE ? NO_FIGURE : loop_alone(count, &bare);
    if (figure == NO_FIGURE || floor == NO_FIGURE) {
        row.remark = "not counted: the processor does not, and valgrind is not installed";
    } else {
        row.figure = figure / 1e6;
        row.floor = floor / 1e6;
        row.within = figure / floor > 0.999 && figure / floor < 1.001;
    }
    add_row(&row);
}
