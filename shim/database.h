/*
 * Where libgrace.so and libgrace-db.so meet: the drain asks, what watches the target's database
 * connections answers. libgrace-db.so exports one object of this type by the name grace_database;
 * libgrace.so refers to it weakly, so that the loader finds it, or nothing, when both are loaded:
 * nothing is looked up at a stop.
 */
#ifndef GRACE_SHIM_DATABASE_H
#define GRACE_SHIM_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#define GRACE_DATABASE_VERSION 1

struct grace_database_count {
    unsigned transactions; /* connections in a transaction, or with a statement that runs */
    unsigned at_work;      /* threads that may still be between a transaction and what belongs to
                              it: see db/threads.c */
    unsigned parked;       /* threads that wait where they would have begun something new */
};

/* One transaction that is about to be cut. Strings live for the call. */
struct grace_database_cut {
    const char *library;  /* "SQLite", "PostgreSQL", "MariaDB" */
    const char *database; /* its file or name; "" when it cannot be told */
    const char *state;    /* "in a transaction", "running a statement" */
    uint64_t for_ms;      /* how long it has been seen so, since the drain began at most */
};

struct grace_database {
    uint32_t version;

    /* Whether this process has a connection. Async-signal-safe. */
    bool (*has_work)(void);

    /* From now on nothing new begins on an idle connection. Returns whether it is so; false when
     * that is not known within a second (it may begin yet). Normal context; starts a thread. */
    bool (*begin)(void);

    /* How far it is; to be asked again and again. `helper` is a thread that is not the target's, as
     * the caller; 0: there is none. Normal context, one thread. */
    void (*look)(int32_t helper, struct grace_database_count *count);

    /* Tell of each transaction that is under way. Normal context. */
    void (*each_cut)(void (*tell)(const struct grace_database_cut *cut));

    /* Take it back: threads that are parked go on. Takes a second at most. Normal context. */
    void (*undo)(void);

    /* The same in a moment, for a target whose own handler comes next: it shall run while nothing
     * has begun, but may need the thread that is parked. Returns at once. */
    void (*let_go)(void);
};

extern const struct grace_database grace_database __attribute__((weak, visibility("default")));

#endif
