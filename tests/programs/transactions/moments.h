/*
 * A program that is in the middle of something when it is stopped: it begins it, says so, waits for
 * the file "go", finishes it, makes the file "done", and begins something new. Usage: … MOMENT
 * [WHERE].
 */
#ifndef GRACE_TESTS_MOMENTS_H
#define GRACE_TESTS_MOMENTS_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct moment {
    const char *name;
    void (*begin)(void);
    void (*finish)(void); /* NULL: there is nothing to finish, and the program waits for ever */
};

static inline void leave_file(const char *name)
{
    close(open(name, O_WRONLY | O_CREAT, 0666));
}

static inline void wait_file(const char *name)
{
    while (access(name, F_OK) != 0)
        usleep(2000);
}

static inline void check_at(int line, int good, const char *error)
{
    if (good)
        return;
    fprintf(stderr, "line %d: %s\n", line, error);
    exit(1);
}

static inline int live(const struct moment *moments, size_t count, const char *name,
                       void (*begin_new)(void))
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(moments[i].name, name) == 0) {
            moments[i].begin();
            puts("ready");
            fflush(stdout);
            while (moments[i].finish == NULL)
                pause();
            wait_file("go");
            moments[i].finish();
            leave_file("done");
            begin_new();
            leave_file("too_far");
            return 0;
        }
    fprintf(stderr, "no moment is called %s\n", name);
    return 64;
}

#endif
