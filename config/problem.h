/*
 * Problems: what is wrong with a config, in words for the person who wrote it. Every problem says
 * where (file and line), what is wrong, and what was expected.
 */
#ifndef GRACE_CONFIG_PROBLEM_H
#define GRACE_CONFIG_PROBLEM_H

#include <stddef.h>

enum grace_severity {
    GRACE_WARNING, /* it works, but not as the user may think */
    GRACE_DEFECT,  /* one hook cannot work (its program is missing, its options are bad); the rest
                      does */
    GRACE_FATAL    /* the config cannot be used */
};

struct grace_problem {
    enum grace_severity severity;
    char *file;
    unsigned line; /* 0: the file as a whole */
    char *text;    /* "unknown key \"deadlin\"; expected one of: deadline, signals, …" */
};

/* A growing list. Start with GRACE_PROBLEMS_EMPTY, end with grace_problems_free. */
struct grace_problems {
    struct grace_problem *list;
    size_t count;
    size_t capacity;
    size_t fatal;   /* how many of them are GRACE_FATAL */
    size_t defects; /* … GRACE_DEFECT */
    size_t lost;    /* how many could not be kept: memory was short, or there were over 1,000 */
};

#define GRACE_PROBLEMS_EMPTY ((struct grace_problems){.list = NULL})

/* Add one; the text is made as printf does. Never fails: what cannot be kept is counted in lost. */
void grace_problem_add(struct grace_problems *problems, enum grace_severity severity,
                       const char *file, unsigned line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Write one as `file:line: error: text` (no newline), cut to size. Returns its length. */
size_t grace_problem_format(const struct grace_problem *problem, char *buffer, size_t size);

/* Sort by file and line, so that they read from top to bottom. */
void grace_problems_sort(struct grace_problems *problems);

void grace_problems_free(struct grace_problems *problems);

#endif
