/* libgrace.so itself: its size without debug information, and what it needs. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static double stripped_size(const char *library)
{
    struct stat status;
    const char *copy = scratch("stripped.so");
    const char *const argv[] = {"strip", "-o", copy, library, NULL};
    const struct way bare = {.preload = NULL};
    if (await(start(&bare, argv, -1)) != 0 || stat(copy, &status) != 0)
        return NO_FIGURE;
    return (double)status.st_size / 1024;
}

/* "libc.so.6, libm.so.6" from readelf's lines. */
static size_t needed(const char *library, char *names, size_t size)
{
    char command[512], line[512];
    size_t count = 0;
    snprintf(command, sizeof command, "readelf -d '%s'", library);
    FILE *output = popen(command, "r"); /* NOLINT(cert-env33-c) */
    names[0] = '\0';
    while (output != NULL && fgets(line, sizeof line, output) != NULL) {
        char *begin = strchr(line, '['), *end = strchr(line, ']');
        if (strstr(line, "(NEEDED)") == NULL || begin == NULL || end == NULL)
            continue;
        *end = '\0';
        size_t used = strlen(names);
        snprintf(names + used, size - used, "%s%s", count > 0 ? ", " : "", begin + 1);
        count++;
    }
    if (output != NULL)
        pclose(output);
    return count;
}

void bench_size(void)
{
    static char names[256], remark[300];
    const char *library = built("libgrace.so");
    size_t count = needed(library, names, sizeof names);
    struct row row = {.name = "libgrace.so, stripped",
                      .unit = "KiB",
                      .floor = NO_FIGURE,
                      .ratio = NO_FIGURE,
                      .figure = stripped_size(library),
                      .budget = "<= 150 KiB, libc only",
                      .remark = remark};
    snprintf(remark, sizeof remark, "needs: %s", names);
    row.within = row.figure != NO_FIGURE && row.figure <= 150 && count == 1 &&
                 strcmp(names, "libc.so.6") == 0;
    add_row(&row);
}
