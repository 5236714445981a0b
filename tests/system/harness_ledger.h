/*
 * For stories about what is owed: a state_dir, the ledgers in it, owners that die with their
 * guardian, and `grace recover`. All of it in the story's directory: state/, and configs by name.
 */
#ifndef GRACE_TESTS_HARNESS_LEDGER_H
#define GRACE_TESTS_HARNESS_LEDGER_H

#include "harness.h"
#include "hooks/ledger.h"

/* Write a config with that state_dir and further settings; programs that are started from now on
 * have it, and so has recover(). Returns its path. */
char *configure(const char *name, const char *more);
#define CONFIGURE(...) configure("t.conf", text(__VA_ARGS__))

/* The setting `hooks` with A, B and C in three phases: they run as A B C. */
char *hooks_in_phases(void);

/* The names in a folder that end so, with a space between; "" when there is none. */
char *listing(const char *folder, const char *ending);

/* The whole path of the only ledger; NULL when there is none. */
char *ledger_file(void);

#define expect_nothing_left() expect_text(listing(here("state"), ""), "")

#define MOST_HOOKS 16

struct on_disk {
    struct grace_ledger_record record;
    struct grace_ledger head;
    struct grace_ledger_hook hooks[MOST_HOOKS];
};

/* False when it is not there, or not whole. */
bool read_ledger(const char *path, struct on_disk *ledger);

struct owner {
    struct process *process;
    pid_t guardian; /* 0: none */
    char *ledger;
};

/* The owner that a process is, once its ledger is there, and its guardian if it has one. */
struct owner owner_of(struct process *process, bool guarded);

/* A program that waits. */
struct owner start_owner(bool guarded);

/* Together: the guardian learns nothing of the owner's end. Then nothing of the story is alive. */
void kill_both(const struct owner *owner);

/* Start, kill both; nothing has run, and the ledger is there. */
struct owner start_and_kill_both(bool guarded);

/* `grace recover` of the config that was configured last, to its end. */
struct process *recover(int expected_status);
#define UNSETTLED EXITED(75) /* EX_TEMPFAIL */

#define expect_says(process, words)                                                                \
    expect(strstr(contents((process)->err), (words)) != NULL, "\"%s\" is not in\n%s", (words),     \
           contents((process)->err))

#endif
