/* Instructions of database statements with libgrace-db.so beside libgrace.so against without,
 * before any stop. */
#include "bench.h"

#define COUNT 10000

static void measure(const char *name, const char *program)
{
    const char *const none[] = {built("tests/bench/programs/%s", program), "0", NULL};
    const char *const many[] = {none[0], words("%d", COUNT), NULL};
    const struct way with = {.preload = built("libgrace.so:%s", built("libgrace-db.so"))};
    const struct way without = {.preload = built("libgrace.so")};
    struct series figure = {.count = 0}, floor = {.count = 0};
    add_figure(&figure, instructions_each(&with, none, many, COUNT));
    add_figure(&floor, instructions_each(&without, none, many, COUNT));
    add_row(&(struct row){
        .name = words("instructions of a statement, %s", name),
        .unit = "",
        .figure = &figure,
        .floor = &floor,
        .budget = {.of = OF_RATIO, .most = 1.001, .least = 0.999},
        .remark = words("with libgrace-db.so; floor: libgrace.so alone; %s", instructions_by())});
}

void bench_statements(void)
{
    measure("SQLite", "statements_sqlite");
    measure("libpq", "statements_libpq");
}
