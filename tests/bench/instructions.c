/* Instructions of a program in user mode: counted by the processor where it can, else by valgrind.
 * They hardly depend on what else the machine does. */
#include "bench.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VALGRIND "/usr/bin/valgrind"

static long open_counter(void)
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
    return syscall(SYS_perf_event_open, &what, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static double by_processor(const struct way *way, const char *const *argv, int counter)
{
    uint64_t count = 0;
    await(start(way, argv, -1), NULL);
    ssize_t got = read(counter, &count, sizeof count);
    close(counter);
    return got == (ssize_t)sizeof count && count > 0 ? (double)count : NO_FIGURE;
}

/* valgrind starts env, and env the program, so that libgrace is loaded into the program alone. Not
 * counted: what it starts. */
static double by_valgrind(const struct way *way, const char *const *argv)
{
    static char output[65536];
    const char *line[16] = {
        VALGRIND,      "--tool=callgrind",     "--callgrind-out-file=/dev/null",
        "--log-fd=1",  "--trace-children=yes", "--trace-children-skip=*/grace,*/nothing",
        "/usr/bin/env"};
    size_t count = 7;
    if (way->preload != NULL)
        line[count++] = words("LD_PRELOAD=%s", way->preload);
    if (way->config != NULL)
        line[count++] = words("GRACE_CONFIG=%s", way->config);
    for (; *argv != NULL && count < COUNT_OF(line) - 1; argv++)
        line[count++] = *argv;
    if (output_of(&bare, line, output, sizeof output) != 0)
        return NO_FIGURE;
    /* The program's own process is the first that speaks: forked children count from its start on.
     */
    const char *own = words("%.*s", (int)strcspn(output, " "), output);
    for (const char *at = output; (at = strstr(at, own)) != NULL; at += strlen(own)) {
        const char *end = strchr(at, '\n'), *collected = strstr(at, "Collected : ");
        if (collected != NULL && (end == NULL || collected < end))
            return atof(collected + strlen("Collected : "));
    }
    return NO_FIGURE;
}

double instructions(const struct way *way, const char *const *argv)
{
    long counter = open_counter();
    if (counter >= 0)
        return by_processor(way, argv, (int)counter);
    return access(VALGRIND, X_OK) == 0 ? by_valgrind(way, argv) : NO_FIGURE;
}

const char *instructions_by(void)
{
    long counter = open_counter();
    if (counter >= 0)
        close((int)counter);
    return counter >= 0 ? "counted by the processor, with its children's"
           : access(VALGRIND, X_OK) == 0
               ? "counted by callgrind: its own, without its children's"
               : "not counted: the processor does not here, and valgrind is not installed";
}

double instructions_each(const struct way *way, const char *const *none, const char *const *many,
                         int count)
{
    double start_up = instructions(way, none), all = instructions(way, many);
    return start_up == NO_FIGURE || all == NO_FIGURE ? NO_FIGURE : (all - start_up) / count;
}
