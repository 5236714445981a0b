/* What the wait of a drain costs, by the number of idle connections. */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../loss/loss.h"

#define ROUNDS  3
#define SECONDS 70   /* for each number of connections */
#define OTHERS  200L /* descriptors of server and load besides the connections */

static struct loss_place place;

/* What a process may have open: as root even more than this one may. */
static long files_allowed(long wanted)
{
    struct rlimit before, limit;
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    if (limit.rlim_max < (rlim_t)wanted)
        limit.rlim_max = (rlim_t)wanted;
    bool raised = setrlimit(RLIMIT_NOFILE, &limit) == 0;
    setrlimit(RLIMIT_NOFILE, &before);
    if (!raised)
        return (long)before.rlim_max;
    return wanted > (long)before.rlim_cur ? wanted : (long)before.rlim_cur;
}

struct subject {
    long connections, files;
    struct series *lost, *ending;
};

/* One is busy for seven seconds of the drain, in which the idle ones are as `drain` says. */
static bool drain_once(struct series *series, const char *drain, struct loss *loss)
{
    const struct subject *subject = series->subject;
    const struct loss_row row = {
        .command = {"@BUILD/tests/programs/server", "--mode", "epoll", "ipv4:@PORT"},
        .target = "ipv4:@PORT",
        .load = {"--idle", words("%ld", subject->connections), "--long", "1", "--long-path",
                 "/delay=7000", "--files", words("%ld", subject->files), "--spread", "0"},
        .drain = drain};
    if (loss_measure(&row, true, &place, loss) && loss->last_answer_ms > 1000)
        return true;
    series->missing = words("%.*s", 80, loss->line);
    return false;
}

/* Idle ones go early, as a rule; here they stay for eight seconds (the limit shrinks over half of
 * the timeout), so that it is they who are waited with. */
static double once(struct series *series)
{
    const struct subject *subject = series->subject;
    static struct loss stay, go;
    if (!drain_once(series, "idle = \"1h\"; timeout = \"16s\";", &stay) ||
        !drain_once(series, NULL, &go))
        return NO_FIGURE;
    add_figure(subject->lost, stay.lost + stay.wrong + go.lost + go.wrong);
    add_figure(subject->ending, go.ending_ms);
    return 100 * stay.cpu_later_ms / (stay.last_answer_ms - 1000);
}

static void wait_with(long wanted)
{
    struct series cpu = {.once = once}, lost = {.count = 0}, ending = {.count = 0};
    long files = files_allowed(wanted + OTHERS);
    long connections = wanted < files - OTHERS ? wanted : files - OTHERS;
    const struct subject subject = {connections, files, &lost, &ending};
    cpu.subject = &subject;
    measure_in_turns((struct series *[]){&cpu}, 1, ROUNDS, SECONDS);
    add_row(&(struct row){
        .name = words("drain with %ld idle connections: CPU of a core", connections),
        .unit = "%",
        .figure = &cpu,
        .budget = {.of = wanted == 10000 ? OF_FIGURE : NO_BUDGET, .most = 5},
        .remark = connections < wanted
                      ? words("not %ld: a process may have %ld descriptors here", wanted, files)
                      : NULL});
    add_row(&(struct row){
        .name = "    lost", .unit = "", .figure = &lost, .budget = {.of = OF_FIGURE}});
    add_row(&(struct row){
        .name = "    from the last answer to the end", .unit = "ms", .figure = &ending});
}

void bench_drain_cost(void)
{
    static const long counts[] = {10, 1000, 10000, 30000};
    place = (struct loss_place){.build = bench.build, .directory = scratch("drain-cost")};
    mkdir(place.directory, 0700);
    if (!loss_prepare(&place))
        fprintf(stderr, "bench: cannot write in %s\n", place.directory);
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        wait_with(counts[i]);
}
