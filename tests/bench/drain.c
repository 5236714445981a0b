/* Requests in flight when a server is stopped under load: bare, and under libgrace. */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../loss/loss.h"

#define KILLS 5

/* A directory below the benchmark's own: what the servers write is gone with it. */
static struct loss_place made;

static const struct loss_place *place(void)
{
    if (made.build == NULL) {
        made = (struct loss_place){.build = bench.build, .directory = scratch("drain")};
        mkdir(made.directory, 0700);
        if (!loss_prepare(&made))
            fprintf(stderr, "bench: cannot write in %s\n", made.directory);
    }
    return &made;
}

static void remove_place(void)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch("drain"));
    if (system(command) != 0) /* NOLINT(cert-env33-c) */
        fprintf(stderr, "bench: %s stays\n", scratch("drain"));
    made.build = NULL;
}

/* Whether all stops took place. `lost` and its like are added to. */
static bool stop_often(const struct loss_row *row, bool graced, struct stopped *sum)
{
    double stops[KILLS];
    static struct loss loss;
    for (int i = 0; i < KILLS; i++) {
        if (!loss_measure(row, graced, place(), &loss)) {
            loss.line[strcspn(loss.line, "\n")] = '\0';
            sum->failed = strdup(loss.line);
            return false;
        }
        stops[i] = loss.stop_ms;
        *(graced ? &sum->lost : &sum->lost_bare) += loss.lost + loss.wrong;
        sum->raced += graced ? loss.raced : 0;
        sum->after += graced ? loss.after : 0;
    }
    *(graced ? &sum->stop_ms : &sum->stop_bare_ms) = median(stops, KILLS);
    return true;
}

void bench_drain(void)
{
    for (size_t i = 0; i < loss_row_count; i++) {
        const struct loss_row *row = &loss_rows[i];
        struct stopped stopped = {.name = row->name, .kills = KILLS, .why = row->why};
        (void)(stop_often(row, false, &stopped) && stop_often(row, true, &stopped));
        add_stopped(&stopped);
    }
    remove_place();
}

/* ---- the cost of waiting -----------------------------------------------------------------------
 */

/* What a process here may have open, but for some of its own. */
static long most_connections(void)
{
    return sysconf(_SC_OPEN_MAX) - 200;
}

static const char *words(const char *format, long number)
{
    char *text;
    if (asprintf(&text, format, number) < 0)
        abort();
    return text;
}

/* One connection is busy for three seconds while all others are idle: the stop waits for it. */
static void wait_with(long wanted)
{
    long count = wanted < most_connections() ? wanted : most_connections();
    const struct loss_row row = {
        .command = {"@BUILD/tests/programs/server", "--mode", "epoll", "ipv4:@PORT"},
        .target = "ipv4:@PORT",
        .load = {"--idle", words("%ld", count), "--long", "1", "--files",
                 words("%ld", sysconf(_SC_OPEN_MAX)), "--spread", "0"}};
    static struct loss loss;
    bool measured = loss_measure(&row, true, place(), &loss);
    const char *remark =
        count < wanted ? words("no more: RLIMIT_NOFILE is %ld here", sysconf(_SC_OPEN_MAX)) : NULL;
    struct row cpu = {.name = words("drain, %ld idle connections: CPU of a core", count),
                      .unit = "%",
                      .figure = NO_FIGURE,
                      .floor = NO_FIGURE,
                      .ratio = NO_FIGURE,
                      .budget = "< 5 %, 0 lost",
                      .within = -1,
                      .remark = measured ? remark : words("no figures: %ld connections", count)};
    struct row ending = {.name = "    from the last answer to the end",
                         .unit = "ms",
                         .figure = NO_FIGURE,
                         .floor = NO_FIGURE,
                         .ratio = NO_FIGURE,
                         .within = -1};
    if (measured && loss.last_answer_ms > 1000) {
        cpu.figure = 100 * loss.cpu_later_ms / (loss.last_answer_ms - 1000);
        cpu.within = cpu.figure < 5 && loss.lost + loss.wrong <= 0;
        ending.figure = loss.ending_ms;
    }
    add_row(&cpu);
    add_row(&ending);
}

void bench_drain_cost(void)
{
    static const long counts[] = {10, 1000, 10000, 30000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        wait_with(counts[i]);
    remove_place();
}
