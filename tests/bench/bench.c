/* The benchmark's main function and its tables. Usage: bench [--json] [--only PART] BUILD. */
#include "bench.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench bench;

static struct row rows[64];
static size_t row_count;
static struct stopped stops[64];
static size_t stop_count;

void add_row(const struct row *row)
{
    if (row_count == sizeof rows / sizeof rows[0])
        return;
    struct row *copy = &rows[row_count++];
    *copy = *row;
    if (copy->ratio == NO_FIGURE && copy->figure != NO_FIGURE && copy->floor > 0)
        copy->ratio = copy->figure / copy->floor;
}

void add_stopped(const struct stopped *stopped)
{
    if (stop_count < sizeof stops / sizeof stops[0])
        stops[stop_count++] = *stopped;
}

static const char *number(char buffer[32], double value, const char *unit)
{
    if (value == NO_FIGURE)
        return "-";
    snprintf(buffer, 32, value >= 100 ? "%.0f %s" : "%.1f %s", value, unit);
    return buffer;
}

static const char *verdict(int within)
{
    return within < 0 ? "" : within ? "  yes" : "  NO";
}

static void print_stops(void)
{
    if (stop_count == 0)
        return;
    printf("%-42s %9s %9s %6s %9s %11s %11s\n", "requests at kill -TERM under load", "lost bare",
           "libgrace", "raced", "finished", "stop, bare", "stop");
    for (size_t i = 0; i < stop_count; i++) {
        const struct stopped *row = &stops[i];
        char bare[32], graced[32];
        if (row->failed != NULL) {
            printf("%-42s %s\n", row->name, row->failed);
            continue;
        }
        printf("%-42s %9.0f %9.0f %6.0f %9.0f %11s %11s\n", row->name, row->lost_bare, row->lost,
               row->raced, row->after, number(bare, row->stop_bare_ms, "ms"),
               number(graced, row->stop_ms, "ms"));
        if (row->why != NULL)
            printf("    %s\n", row->why);
    }
    printf("    Each: %d kills at random moments. raced: sent while the server closed the kept "
           "connection.\n    finished: answered after the signal. stop: median, until the last "
           "process is gone.\n",
           stops[0].kills);
}

static void print_table(void)
{
    if (row_count == 0)
        return;
    printf("%-46s %12s %12s %7s  %-28s %s\n", "what", "figure", "floor", "ratio", "budget",
           "held?");
    for (size_t i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        char figure[32], floor[32], ratio[32] = "-";
        if (row->ratio != NO_FIGURE)
            snprintf(ratio, sizeof ratio, row->ratio < 2 ? "%.3f" : "%.1f", row->ratio);
        printf("%-46s %12s %12s %7s  %-28s%s\n", row->name, number(figure, row->figure, row->unit),
               number(floor, row->floor, row->unit), ratio, row->budget != NULL ? row->budget : "",
               verdict(row->within));
        if (row->remark != NULL)
            printf("    %s\n", row->remark);
    }
}

static void print_string(const char *name, const char *value)
{
    printf("\"%s\":", name);
    if (value == NULL)
        printf("null");
    else
        printf("\"%s\"", value); /* ours: no quotes in it */
}

static void print_number(const char *name, double value)
{
    if (value == NO_FIGURE)
        printf(",\"%s\":null", name);
    else
        printf(",\"%s\":%.4f", name, value);
}

static void print_stop_json(const struct stopped *row)
{
    char name[80];
    snprintf(name, sizeof name, "drain: %s", row->name);
    printf("{");
    print_string("what", name);
    print_number("kills", row->kills);
    print_number("lost_bare", row->lost_bare);
    print_number("lost", row->lost);
    print_number("raced", row->raced);
    print_number("finished", row->after);
    print_number("stop_bare_ms", row->stop_bare_ms);
    print_number("stop_ms", row->stop_ms);
    printf(",");
    print_string("why", row->why);
    printf(",");
    print_string("failed", row->failed);
    printf("}");
}

static void print_json(void)
{
    printf("[\n");
    for (size_t i = 0; i < stop_count; i++) {
        print_stop_json(&stops[i]);
        printf("%s\n", i + 1 < stop_count || row_count > 0 ? "," : "");
    }
    for (size_t i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        printf("{");
        print_string("what", row->name);
        printf(",");
        print_string("unit", row->unit);
        print_number("figure", row->figure);
        print_number("floor", row->floor);
        print_number("ratio", row->ratio);
        printf(",");
        print_string("budget", row->budget);
        printf(",\"within\":%s,", row->within < 0 ? "null" : row->within ? "true" : "false");
        print_string("remark", row->remark);
        printf("}%s\n", i + 1 < row_count ? "," : "");
    }
    printf("]\n");
}

void print_rows(int json)
{
    if (json) {
        print_json();
        return;
    }
    print_table();
    if (row_count > 0 && stop_count > 0)
        printf("\n");
    print_stops();
}

static void remove_scratch(void)
{
    static const char *const names[] = {"stamps",        "three.conf",    "one.conf",
                                        "thousand.conf", "external.conf", "stripped.so",
                                        "guardian.conf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(scratch("%s", names[i]));
    rmdir(bench.directory);
}

static const struct part {
    const char *name;
    void (*measure)(void);
} parts[] = {
    {"startup", bench_startup},
    {"latency", bench_latency},
    {"hooks", bench_hooks},
    {"instructions", bench_instructions},
    {"size", bench_size},
    {"guardian", bench_guardian},
    {"forks", bench_forks},
    {"drain", bench_drain},
    {"drain-cost", bench_drain_cost},
};

static void measure(const char *only)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (only == NULL || strncmp(parts[i].name, only, strlen(only)) == 0)
            parts[i].measure();
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, 'j'}, {"only", required_argument, NULL, 'o'}, {0}};
    bool json = false;
    const char *only = NULL;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'j')
            json = true;
        else if (option == 'o')
            only = optarg;
        else
            return 64;
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "usage: bench [--json] [--only PART] BUILD\n");
        return 64;
    }
    bench.build = realpath(argv[optind], NULL);
    strcpy(bench.directory, "/tmp/grace-bench-XXXXXX");
    if (bench.build == NULL || mkdtemp(bench.directory) == NULL) {
        perror("bench");
        return 0;
    }
    measure(only);
    print_rows(json);
    remove_scratch();
    return 0;
}
