/* The benchmark's main function and its table. Usage: bench [--json] BUILD. */
#include "bench.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench bench;

static struct row rows[64];
static size_t row_count;

void add_row(const struct row *row)
{
    if (row_count == sizeof rows / sizeof rows[0])
        return;
    struct row *copy = &rows[row_count++];
    *copy = *row;
    if (copy->ratio == NO_FIGURE && copy->figure != NO_FIGURE && copy->floor > 0)
        copy->ratio = copy->figure / copy->floor;
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

static void print_table(void)
{
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

static void print_json(void)
{
    printf("[\n");
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
    if (json)
        print_json();
    else
        print_table();
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

int main(int argc, char **argv)
{
    bool json = argc > 2 && strcmp(argv[1], "--json") == 0;
    if (argc != (json ? 3 : 2)) {
        fprintf(stderr, "usage: bench [--json] BUILD\n");
        return 64;
    }
    bench.build = realpath(argv[argc - 1], NULL);
    strcpy(bench.directory, "/tmp/grace-bench-XXXXXX");
    if (bench.build == NULL || mkdtemp(bench.directory) == NULL) {
        perror("bench");
        return 0;
    }
    bench_startup();
    bench_latency();
    bench_hooks();
    bench_instructions();
    bench_size();
    bench_guardian();
    print_rows(json);
    remove_scratch();
    return 0;
}
