/* libgrace.so itself: its size without debug information, and what it needs besides libc. */
#include "bench.h"

#include <string.h>
#include <sys/stat.h>

static double stripped_size(const char *library)
{
    struct stat status;
    const char *copy = scratch("stripped.so");
    const char *const argv[] = {"strip", "-o", copy, library, NULL};
    if (await(start(&bare, argv, -1), NULL) != 0 || stat(copy, &status) != 0)
        return NO_FIGURE;
    return (double)status.st_size / 1024;
}

/* Of readelf's lines those that name a library other than libc. */
static double needed_besides_libc(const char *library)
{
    static char output[65536];
    const char *const argv[] = {"readelf", "-d", library, NULL};
    double count = 0;
    if (output_of(&bare, argv, output, sizeof output) != 0)
        return NO_FIGURE;
    for (const char *at = output; (at = strstr(at, "(NEEDED)")) != NULL; at++)
        count += strncmp(at + strcspn(at, "["), "[libc.so.6]", 11) != 0;
    return count;
}

void bench_size(void)
{
    static struct series size, needed;
    add_figure(&size, stripped_size(built("libgrace.so")));
    add_figure(&needed, needed_besides_libc(built("libgrace.so")));
    add_row(&(struct row){.name = "libgrace.so, stripped",
                          .unit = "KiB",
                          .figure = &size,
                          .remark =
                              "signals, endings and waits, the drain and its answers, running "
                              "hooks, libconfig, the config's checks",
                          .budget = {.of = OF_FIGURE, .most = 150}});
    add_row(&(struct row){.name = "libgrace.so: libraries it needs besides libc",
                          .unit = "",
                          .figure = &needed,
                          .budget = {.of = OF_FIGURE}});
}
