/* Requests in flight when a server is stopped under load: bare, and under libgrace. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../loss/loss.h"

#define KILLS   5
#define SECONDS 12 /* for one row: slow stops are seen less often */

static struct loss_place place;

/* One stop. `stopped` is added to. */
static bool stop_once(const struct loss_row *row, bool graced, struct stopped *sum,
                      struct series *times)
{
    static struct loss loss;
    if (!loss_measure(row, graced, &place, &loss)) {
        sum->failed = words("%.*s", (int)strcspn(loss.line, "\n"), loss.line);
        return false;
    }
    *(graced ? &sum->lost : &sum->lost_bare) += loss.lost + loss.wrong;
    sum->raced += graced ? loss.raced : 0;
    sum->after += graced ? loss.after : 0;
    add_figure(times, loss.stop_ms);
    return true;
}

static void stop_often(const struct loss_row *row)
{
    struct stopped sum = {.name = row->name, .why = row->why};
    struct series without = {.count = 0}, with = {.count = 0};
    double limit = now_us() + SECONDS * 1e6;
    while (sum.failed == NULL && sum.kills < KILLS && (sum.kills == 0 || now_us() < limit))
        if (stop_once(row, false, &sum, &without) && stop_once(row, true, &sum, &with))
            sum.kills++;
    sum.stop_bare_ms = spread_of(&without).middle;
    sum.stop_ms = spread_of(&with).middle;
    add_stopped(&sum);
}

void bench_drain(void)
{
    place = (struct loss_place){.build = bench.build, .directory = scratch("drain")};
    mkdir(place.directory, 0700);
    if (!loss_prepare(&place))
        fprintf(stderr, "bench: cannot write in %s\n", place.directory);
    for (size_t i = 0; i < loss_row_count; i++)
        stop_often(&loss_rows[i]);
}
