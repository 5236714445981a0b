/* The table: text for people, or JSON, each row as soon as it is measured. */
#include "bench.h"

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *part = "";
static bool first = true; /* of JSON's rows */
static int stops;         /* rows of the other table so far */

/* ---- what both show ---------------------------------------------------------------------------
 */

static const char *why_missing(const struct row *row)
{
    if (row->figure->count > 0)
        return NULL;
    return row->figure->missing != NULL ? row->figure->missing : "not measured";
}

static bool has_floor(const struct row *row)
{
    return row->floor != NULL && row->floor->count > 0;
}

/* What the budget is about; NO_FIGURE: there is none, or no figure. */
static double judged(const struct row *row)
{
    if (row->budget.of == OF_FIGURE && row->figure->count > 0)
        return spread_of(row->figure).middle;
    if (row->budget.of == NO_BUDGET || row->figure->count == 0 || !has_floor(row))
        return NO_FIGURE;
    return row->budget.of == OF_RATIO ? ratio_of(row->figure, row->floor).middle
                                      : above(row->figure, row->floor);
}

static bool is_judged(const struct row *row)
{
    return row->budget.of != NO_BUDGET && row->figure->count > 0 &&
           (row->budget.of == OF_FIGURE || has_floor(row));
}

static bool is_held(const struct row *row)
{
    double value = judged(row);
    return value <= row->budget.most && (row->budget.least <= 0 || value >= row->budget.least);
}

static const char *budget_in_words(const struct row *row)
{
    const struct budget *budget = &row->budget;
    switch (budget->of) {
    case OF_FIGURE:
        return words("<= %g %s", budget->most, row->unit);
    case OF_RATIO:
        return budget->least > 0 ? words("ratio %g to %g", budget->least, budget->most)
                                 : words("ratio <= %g", budget->most);
    case OF_ABOVE:
        return words("<= %.0f %s above", budget->most, row->unit);
    default:
        return "";
    }
}

/* ---- text -------------------------------------------------------------------------------------
 */

static const char *number(double value, const char *unit)
{
    return words(value >= 100 || value <= -100 ? "%.0f %s"
                 : value >= 10                 ? "%.1f %s"
                                               : "%.2f %s",
                 value, unit);
}

static const char *ratio_in_words(double value)
{
    return words(value >= 100 ? "%.0f" : value >= 2 ? "%.1f" : "%.3f", value);
}

static const char *between(struct spread spread)
{
    return words("%s-%s", ratio_in_words(spread.low), ratio_in_words(spread.high));
}

static void print_line(const char *name, const struct series *figure, const struct series *floor,
                       const char *unit, const char *budget, const char *held)
{
    const char *middle = number(spread_of(figure).middle, unit), *below = "-", *more = "-";
    const char *ratio = "-", *spread = figure->count > 1 ? between(spread_of(figure)) : "-";
    if (floor != NULL && floor->count > 0) {
        struct spread both = ratio_of(figure, floor);
        below = number(spread_of(floor).middle, unit);
        more = number(above(figure, floor), unit);
        ratio = ratio_in_words(both.middle);
        spread = figure->count > 1 ? between(both) : "-";
    }
    printf("%-46s %12s %12s %12s %7s %13s  %-19s %s\n", name, middle, below, more, ratio, spread,
           budget, held);
}

static void print_row(const struct row *row)
{
    const char *missing = why_missing(row);
    if (missing != NULL)
        printf("%-46s %s\n", row->name, missing);
    else
        print_line(row->name, row->figure, row->floor, row->unit, budget_in_words(row),
                   !is_judged(row) ? ""
                   : is_held(row)  ? "yes"
                                   : "NO");
    for (size_t i = 0; row->peers != NULL && row->peers[i] != NULL; i++) {
        const struct series *peer = row->peers[i];
        if (peer->count == 0)
            printf("  %-44s %s\n", peer->name,
                   peer->missing != NULL ? peer->missing : "not measured");
        else
            print_line(words("  %s", peer->name), peer, row->floor, row->unit, "", "");
    }
    if (row->floor != NULL && !has_floor(row))
        printf("    no floor: %s\n",
               row->floor->missing != NULL ? row->floor->missing : "not measured");
    if (row->remark != NULL)
        printf("    %s\n", row->remark);
}

static void print_stopped(const struct stopped *row)
{
    if (stops++ == 0)
        printf("%-42s %5s %9s %9s %6s %9s %10s %10s\n", "requests at kill -TERM under load",
               "kills", "lost bare", "libgrace", "raced", "finished", "stop, bare", "stop");
    if (row->failed != NULL)
        printf("%-42s %s\n", row->name, row->failed);
    else
        printf("%-42s %5d %9.0f %9.0f %6.0f %9.0f %10s %10s\n", row->name, row->kills,
               row->lost_bare, row->lost, row->raced, row->after, number(row->stop_bare_ms, "ms"),
               number(row->stop_ms, "ms"));
    if (row->why != NULL)
        printf("    %s\n", row->why);
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

static void print_string(const char *name, const char *value)
{
    printf("\"%s\":", name);
    if (value == NULL) {
        printf("null");
        return;
    }
    putchar('"');
    for (; *value != '\0'; value++)
        if (*value == '"' || *value == '\\')
            printf("\\%c", *value);
        else if ((unsigned char)*value < 0x20)
            printf("\\u%04x", (unsigned)*value);
        else
            putchar(*value);
    putchar('"');
}

static void print_spread(const char *name, struct spread spread)
{
    printf(",\"%s\":{\"median\":%.4f,\"low\":%.4f,\"high\":%.4f}", name, spread.middle, spread.low,
           spread.high);
}

static void print_series(const struct series *figure, const struct series *floor)
{
    printf(",\"rounds\":%zu", figure->count);
    if (figure->count == 0)
        return;
    print_spread("figure", spread_of(figure));
    if (floor == NULL || floor->count == 0)
        return;
    print_spread("ratio", ratio_of(figure, floor));
    printf(",\"above\":%.4f", above(figure, floor));
}

static void print_json(const struct row *row)
{
    print_string("what", row->name);
    putchar(',');
    print_string("unit", row->unit);
    print_series(row->figure, row->floor);
    if (has_floor(row))
        print_spread("floor", spread_of(row->floor));
    putchar(',');
    print_string("budget", row->budget.of != NO_BUDGET ? budget_in_words(row) : NULL);
    printf(",\"held\":%s,", !is_judged(row) ? "null" : is_held(row) ? "true" : "false");
    print_string("missing", why_missing(row));
    printf(",\"peers\":[");
    for (size_t i = 0; row->peers != NULL && row->peers[i] != NULL; i++) {
        printf("%s{", i > 0 ? "," : "");
        print_string("name", row->peers[i]->name);
        print_series(row->peers[i], row->floor);
        putchar(',');
        print_string("missing", row->peers[i]->count == 0 ? row->peers[i]->missing : NULL);
        putchar('}');
    }
    printf("],");
    print_string("remark", row->remark);
}

static void print_stopped_json(const struct stopped *row)
{
    print_string("what", row->name);
    printf(",\"kills\":%d,\"lost_bare\":%.0f,\"lost\":%.0f,\"raced\":%.0f,\"finished\":%.0f,"
           "\"stop_bare_ms\":%.3f,\"stop_ms\":%.3f,",
           row->kills, row->lost_bare, row->lost, row->raced, row->after, row->stop_bare_ms,
           row->stop_ms);
    print_string("why", row->why);
    putchar(',');
    print_string("missing", row->failed);
}

static void begin_object(void)
{
    printf("%s\n{", first ? "" : ",");
    first = false;
    print_string("part", part);
    putchar(',');
}

static void end_object(void)
{
    putchar('}');
    fflush(stdout);
}

/* ---- all of it --------------------------------------------------------------------------------
 */

void add_row(const struct row *row)
{
    if (bench.json) {
        begin_object();
        print_json(row);
        end_object();
    } else {
        print_row(row);
        fflush(stdout);
    }
}

void add_stopped(const struct stopped *stopped)
{
    if (bench.json) {
        begin_object();
        print_stopped_json(stopped);
        end_object();
    } else {
        print_stopped(stopped);
        fflush(stdout);
    }
}

void begin_table(void)
{
    struct utsname system;
    double load = 0;
    uname(&system);
    getloadavg(&load, 1);
    if (bench.json) {
        printf("{\"libgrace\":\"%s\",", GRACE_VERSION);
        print_string("kernel", system.release);
        putchar(',');
        print_string("machine", system.machine);
        printf(",\"glibc\":\"%s\",\"cores\":%ld,\"load\":%.2f,\"rows\":[", gnu_get_libc_version(),
               sysconf(_SC_NPROCESSORS_ONLN), load);
        return;
    }
    printf("libgrace %s, Linux %s %s, glibc %s, %ld cores, load %.1f before this began\n\n",
           GRACE_VERSION, system.release, system.machine, gnu_get_libc_version(),
           sysconf(_SC_NPROCESSORS_ONLN), load);
    printf("%-46s %12s %12s %12s %7s %13s  %-19s %s\n", "what", "figure", "floor", "above", "ratio",
           "quartiles", "budget", "held?");
}

void begin_part(const char *name)
{
    part = name;
    if (!bench.json)
        printf("\n-- %s\n", name);
    fflush(stdout);
}

void end_table(void)
{
    if (bench.json)
        printf("\n]}\n");
    else
        printf("\nfigure, floor: medians of rounds taken in turns. above: of the rounds' "
               "differences. quartiles: "
               "of the rounds' ratios,\nwithout a floor of the figures. Below a row: what others "
               "need for the "
               "same, against the same floor.\n");
    if (!bench.json && stops > 0)
        printf("raced: sent while the server closed the kept connection. finished: answered after "
               "the signal. "
               "stop: median, until the\nlast process is gone.\n");
}
