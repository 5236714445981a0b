/*
 * Programs that commit one transaction after another, killed at random moments: bare, until one is
 * cut, and under libgrace with libgrace-db.so, where none may be. TRANSACTION_KILLS says how often
 * under libgrace (and then as often bare, with the count printed); 6 by default.
 *
 * Each program writes "begun N" to a file within transaction N, which adds two rows, and "done N"
 * behind it.
 */
#ifndef GRACE_TESTS_HARNESS_TRANSACTIONS_H
#define GRACE_TESTS_HARNESS_TRANSACTIONS_H

#include "harness_hooks.h"

/* One statement, by a client of the database's own; what it prints. */
typedef char *query_function(const char *sql);

struct committer {
    const char *name;
    const char *const *argv;
};

/* A program as a child of the story, under `grace run --db` or bare. */
struct process *start_committer(enum way way, const char *const *argv);

/* The whole of it. The table t (n, w) is there, and the file is named "file". */
void expect_none_cut(const struct committer *committer, query_function *query);

/* Start a program of tests/programs/transactions/moments.h, and stop it once it is in the middle:
 * until the drain waits for that, as `grace status` says. */
struct process *stop_in_the_middle(const char *const *argv);

/* Let it go on: it finishes what it is in the middle of, and nothing else begins. */
void expect_finished(struct process *process);

/* It is in the middle of nothing that a stop would wait for. */
void expect_nothing_to_finish(const char *const *argv);

/* Until a drain waits for this many transactions. */
void wait_transactions(const struct process *process, unsigned count);

/* A group of tests, with time for as many kills as are wanted. */
TCase *transaction_case(Suite *suite, const char *name);

/* The path of a program of tests/programs/transactions that is interpreted. */
#define script(name) source("tests/programs/transactions/" name)

#endif
