/*
 * The servers that must lose no request, and how one stop of one of them is measured: shared by the
 * benchmark that prints the table and the test that holds it.
 */
#ifndef GRACE_TESTS_LOSS_H
#define GRACE_TESTS_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loss_row {
    const char *name;

    /* In all words: @PORT a free port; @BUILD where things are built; @DIR a directory with the
     * files that loss_prepare wrote. Ended by NULL. */
    const char *command[12];
    const char *second[12]; /* another instance that runs all the time; NULL: none */
    const char *target;     /* as load wants it */
    const char *load[20];   /* clients, and what else load needs to know */
    const char *drain;      /* the config's group `drain`; NULL: the defaults */
    bool root;              /* only root can start it */
    const char *why;        /* where 0 cannot be reached with libgrace: why; NULL: it can */
};
extern const struct loss_row loss_rows[];
extern const size_t loss_row_count;

/* Where what is needed is. */
struct loss_place {
    const char *build;
    const char *directory; /* to write in */
};

/* What load reports, by its own names: see tests/programs/load/load.h. */
struct loss {
    double sent, whole, lost, refused, raced, closed, left, wrong, after;
    double p50_us, p99_us, last_answer_ms, stop_ms, ending_ms, cpu_ms, cpu_later_ms, status;
    char line[1024]; /* all of the report, or what load complained of */
};

/* Write the servers' files. Returns false when that failed. */
bool loss_prepare(const struct loss_place *place);

/* A port of 127.0.0.1 that nobody uses. */
int loss_free_port(void);

/*
 * One life and one stop. What the server wrote is added to the directory's file "server.log", what
 * libgrace did to "grace.log".
 * Returns false when there was none: `line` says why.
 */
bool loss_measure(const struct loss_row *row, bool graced, const struct loss_place *place,
                  struct loss *loss);

#endif
