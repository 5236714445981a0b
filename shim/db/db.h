/*
 * libgrace-db.so: the target's database connections, so that a stop falls between two transactions.
 *
 *   libraries (sqlite.c, libpq.c, mariadb.c)   the calls of each: open and close, which are wrapped
 *                                              at all times, and those that run statements, which
 *                                              are redirected from the start of a drain on
 *   connections.c                              those that are open
 *   gate.c                                     what a call that runs a statement passes
 *   threads.c                                  who is still at work
 *   phase.c                                    the drain's side: begin, look, undo
 */
#ifndef GRACE_SHIM_DB_H
#define GRACE_SHIM_DB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hooks/kernel.h"
#include "shim/redirect.h"

#define GRACE_DB_EXPORT __attribute__((visibility("default")))

/* ---- libraries ----------------------------------------------------------------------------- */

enum grace_db_state {
    GRACE_DB_IDLE,
    GRACE_DB_FAILED,   /* in a transaction of which nothing can be kept any more */
    GRACE_DB_OCCUPIED, /* a thread is inside the library with it, outside of a transaction: what
                          another begins on it is something new */
    GRACE_DB_RUNNING,  /* a statement runs, or its answer has not been read */
    GRACE_DB_IN_TRANSACTION
};

/*
 * One database library. `calls` are the functions that are looked up in it, by name: first
 * `redirected` ones, which run statements, each with its replacement; then what is asked of it.
 * They are filled when the first connection is opened, before `known`, and stay.
 */
struct grace_db_call {
    const char *name;
    void *replacement; /* NULL: it is only asked */
    void *original;    /* NULL: the library has none */
};
struct grace_db_library {
    const char *name;
    const char *const *files; /* what it may be called, ended by NULL */
    const char *const *opens; /* the calls that are wrapped, ended by NULL … */
    void *const *wrappers;    /* … and by what */
    struct grace_db_call *calls;
    size_t count;
    size_t needed; /* the call that tells the state: without it nothing of the library is used */
    _Atomic uint32_t known;

    /* For a handle that is open; while another thread uses it, too. */
    enum grace_db_state (*state)(void *handle);
    const char *(*database)(void *handle); /* its name; may be NULL */

    /* Whether a handle that a statement came with, but which is not kept, may be: it will be closed
     * by a call that is wrapped. NULL: always. */
    bool (*is_open)(void *handle);
};

extern struct grace_db_library grace_db_sqlite, grace_db_libpq, grace_db_mariadb;

/* Each of them, ended by NULL. */
extern struct grace_db_library *const grace_db_libraries[];

/*
 * The function that a wrapper stands before: as its caller would have found it without us. `caller`
 * is an address in the caller. NULL: nobody has it. Also makes the library known. Takes the
 * loader's locks; for calls that are rare.
 */
void *grace_db_real(struct grace_db_library *library, const char *name, const void *caller);

/* Whether two addresses are in the same loaded object. */
bool grace_db_in_one_object(const void *one, const void *other);

/* Have the calls that open connections reach their wrappers in objects which the loader bound past
 * us (RTLD_DEEPBIND). `module` is such a one, as dlopen returned it. */
void grace_db_reach(void *module);

/* ---- connections --------------------------------------------------------------------------- */

struct grace_db_connection {
    _Atomic(void *) handle; /* NULL: this place is free */
    struct grace_db_library *library;
    _Atomic uint32_t looked_at; /* 1: the drain looks; it is not closed meanwhile */
    _Atomic int32_t process;    /* that opened or last used it */
    _Atomic int32_t owner;      /* the thread that opened it, or was last seen using it */
    _Atomic uint32_t used;      /* it was seen in use since the drain began */
    _Atomic uint32_t vacant;    /* nobody was inside it at some moment since the drain began: from
                                   then on `running` tells all */
    _Atomic uint32_t running;   /* calls that are in the library, since the drain began */
    uint64_t busy_since_ms;     /* the drain's own; 0: it was not busy when it looked */
};

/* Async-signal-safe but for memory that add asks the kernel for; no lock. */
void grace_db_add(struct grace_db_library *library, void *handle);
void grace_db_remove(void *handle);
struct grace_db_connection *grace_db_find(void *handle);

/* The next one that is open, of this process; NULL first, NULL last. */
struct grace_db_connection *grace_db_next(struct grace_db_connection *connection);

/* What a connection is about, unless it is closed just now (then: idle). */
enum grace_db_state grace_db_state_of(struct grace_db_connection *connection);

/* ---- the gate ------------------------------------------------------------------------------ */

/* Before and after a call that runs a statement. The first waits where something new would begin.
 * `goes_on`: this call does not begin anything. */
struct grace_db_connection *grace_db_enter(struct grace_db_library *library, void *handle,
                                           bool goes_on);
void grace_db_leave(struct grace_db_connection *connection);

/* Whether a statement can only end what was begun before. NULL: no. `length` in bytes: it need not
 * be ended by a zero byte. */
bool grace_db_only_ends(const char *statement, size_t length);

/* A statement call's replacement, in one line. */
#define GRACE_DB_CALL(library, handle, goes_on, call)                                              \
    __extension__({                                                                                \
        struct grace_db_connection *connection_ = grace_db_enter(&(library), (handle), (goes_on)); \
        __typeof__(call) result_ = (call);                                                         \
        grace_db_leave(connection_);                                                               \
        result_;                                                                                   \
    })

/* Close the gate, and open it again: who waits goes on. */
void grace_db_gate_close(void);
void grace_db_gate_open(void);

/* Whether a thread waits at the gate, and since when it was last let through it; 0: not seen. */
bool grace_db_is_parked(int32_t thread);
bool grace_db_was_seen(int32_t thread);

/* ---- threads ------------------------------------------------------------------------------- */

/* Threads that are neither parked nor have been asleep for a while; but for the caller and one
 * that helps it. */
unsigned grace_db_threads_at_work(int32_t helper, unsigned *parked);
void grace_db_threads_forget(void);

/* The thread that redirects is no thread of the target's. */
extern _Atomic int32_t grace_db_own_thread;

#endif
