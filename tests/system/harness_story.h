/* What the parts of the harness share: the one story of this process. */
#ifndef GRACE_TESTS_HARNESS_STORY_H
#define GRACE_TESTS_HARNESS_STORY_H

#include <limits.h>

#include "harness.h"

#define STORY_PROCESSES 8192

struct story {
    pid_t pid; /* of the test's own process; 0: the story is over */
    char directory[PATH_MAX];
    char build[PATH_MAX];
    char sources[PATH_MAX]; /* where tests are started: the top of the sources */
    bool has_config;
    struct process *processes[STORY_PROCESSES];
    size_t process_count;
};

extern struct story story;

/* Look at something again in a moment; `since` is now_ms() of the first look. False: too late. */
bool look_again(int64_t since);

/* Take note of a child that ended, when it is one that the story started itself. */
void story_note_end(pid_t pid, int status);

/* Kill every descendant of this process and wait until all are gone. */
void story_kill_all(void);

#endif
