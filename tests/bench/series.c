/* Figures by rounds, and what is made of them. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

static void measure_once(struct series *series)
{
    if (series->missing != NULL || series->count == ROUNDS_MOST)
        return;
    double figure = series->once(series);
    if (figure != NO_FIGURE)
        series->figures[series->count++] = figure;
    else if (series->missing == NULL)
        series->missing = words("no figure in round %zu", series->count + 1);
}

void measure_in_turns(struct series *const *all, size_t count, int rounds, double seconds)
{
    double end = now_us() + seconds * 1e6;
    for (int round = 0; round < rounds && (round == 0 || now_us() < end); round++)
        for (size_t i = 0; i < count; i++)
            measure_once(all[round % 2 == 0 ? i : count - 1 - i]);
}

void add_figure(struct series *series, double figure)
{
    if (figure == NO_FIGURE && series->missing == NULL)
        series->missing = "not measured";
    else if (figure != NO_FIGURE && series->count < ROUNDS_MOST)
        series->figures[series->count++] = figure;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Between the two that are next to it. */
static double at(const double *sorted, size_t count, double part)
{
    double place = part * (double)(count - 1);
    size_t below = (size_t)place;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

static struct spread quartiles(double *values, size_t count)
{
    if (count == 0)
        return (struct spread){NO_FIGURE, NO_FIGURE, NO_FIGURE};
    qsort(values, count, sizeof *values, by_value);
    return (struct spread){at(values, count, 0.25), at(values, count, 0.5),
                           at(values, count, 0.75)};
}

struct spread spread_of(const struct series *series)
{
    double values[ROUNDS_MOST];
    memcpy(values, series->figures, series->count * sizeof *values);
    return quartiles(values, series->count);
}

/* The rounds that both have: ratios, or differences. */
static struct spread paired(const struct series *figure, const struct series *floor, bool ratios)
{
    double values[ROUNDS_MOST];
    size_t count = figure->count < floor->count ? figure->count : floor->count, used = 0;
    for (size_t i = 0; i < count; i++)
        if (!ratios)
            values[used++] = figure->figures[i] - floor->figures[i];
        else if (floor->figures[i] > 0)
            values[used++] = figure->figures[i] / floor->figures[i];
    return quartiles(values, used);
}

struct spread ratio_of(const struct series *figure, const struct series *floor)
{
    struct spread ratio = paired(figure, floor, true);
    double below = spread_of(floor).middle;
    if (figure->count > 0 && below > 0)
        ratio.middle = spread_of(figure).middle / below;
    return ratio;
}

double above(const struct series *figure, const struct series *floor)
{
    return paired(figure, floor, false).middle;
}
