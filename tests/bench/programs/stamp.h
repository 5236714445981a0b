/* What measured programs and hooks write down, in a file that they share with the benchmark. */
#ifndef GRACE_TESTS_BENCH_STAMP_H
#define GRACE_TESTS_BENCH_STAMP_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Names the file, in the environment of whoever writes to it. */
#define STAMPS_VARIABLE "GRACE_BENCH_STAMPS"

struct stamps {
    uint64_t first_ns, last_ns, count; /* CLOCK_MONOTONIC */
};

static inline volatile struct stamps *stamps_map(const char *path)
{
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *map = mmap(NULL, sizeof(struct stamps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}

static inline void stamps_add(volatile struct stamps *stamps)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    stamps->last_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (stamps->count++ == 0)
        stamps->first_ns = stamps->last_ns;
}

#endif
