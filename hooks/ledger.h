/*
 * The ledger: what has happened to each hook, and why the owner is ending.
 *
 * It is the one place in which the target and what runs beside it meet, and what they share holds
 * numbers only: no path, no command, no pointer, no size that anyone would follow. Whoever reads it
 * must assume that the other side may write anything into it. Every word is moved by
 * compare-and-swap or a plain store, so a process that is killed between two instructions leaves a
 * state that the other one can go on from. Both sides may be built for different architectures: the
 * widths are fixed, and every offset is the same.
 *
 *     a hook's state
 *                        ┌──────────── give back ───────────┐
 *                        ▼           (guardian is gone)     │
 *                      OWED ─────────── ask ───────────▶ ASKED ─────────┐
 *                        │  (conductor)                     │           │ skip
 *                        │ claim                      claim │           ▼
 *                        ├──────────────▶ TAKEN ◀───────────┘        SKIPPED
 *                        │                  │ finish                    ▲
 *                        │                  ▼                           │
 *                        │                DONE (outcome, detail)        │
 *                        └──────────────────── skip ────────────────────┘
 *
 * There is one way into TAKEN from each of two states, and none out of it but DONE: so whoever
 * tries, and however often, a hook is taken once. That is "exactly once". A process that dies with
 * a hook TAKEN leaves it so: half of its work may be done, and it is not run again.
 *
 * The memory is a file: a memfd, or with `state_dir` one on disk, which survives the machine. Its
 * beginning is the record, which only the process that made it writes, before the target runs; the
 * target maps what follows.
 */
#ifndef GRACE_HOOKS_LEDGER_H
#define GRACE_HOOKS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRACE_LEDGER_MAGIC UINT32_C(0x47524c34) /* "GRL4" */

/* How far into the file the shared memory begins: the largest page that a kernel has here (aarch64
 * has 4, 16 or 64 KiB), since it is mapped from there. */
#define GRACE_LEDGER_RECORD (64 * 1024)

/* How many forked children are remembered at a time, and how many of each one's forebears. */
#define GRACE_LEDGER_CHILDREN 64
#define GRACE_LEDGER_LINEAGE  6

enum grace_hook_state {
    GRACE_HOOK_OWED,
    GRACE_HOOK_ASKED,
    GRACE_HOOK_TAKEN,
    GRACE_HOOK_DONE,
    GRACE_HOOK_SKIPPED
};

/* How far a stop has come, as far as others need to know. */
enum grace_stop_stage {
    GRACE_STAGE_RUNNING,  /* no stop */
    GRACE_STAGE_CHAINED,  /* the target handles a stop signal itself */
    GRACE_STAGE_CALLED,   /* the target ends by a call of its own */
    GRACE_STAGE_LED,      /* libgrace leads: it must be over by the deadline */
    GRACE_STAGE_DISMISSED /* the owner has become another program with hooks of its own */
};

/* How far the drain has come. */
enum grace_drain_state {
    GRACE_DRAIN_NONE,     /* not begun, or there was nothing to drain */
    GRACE_DRAIN_HOLD,     /* serving on, so that load balancers notice */
    GRACE_DRAIN_DRAINING, /* closing listeners, waiting for connections */
    GRACE_DRAIN_OVER
};

/* What somebody beside the target wants of a stop that is under way; a set in `wishes`. Whoever
 * adds one rings `answered`, too. */
#define GRACE_WISH_NO_DRAIN 1u /* end the drain now; its hooks and all others still run */
#define GRACE_WISH_FORCE    2u /* as a second stop signal: cut to the end */
#define GRACE_WISH_ABORT    4u /* take the stop back: heeded up to the end of the drain only */

struct grace_ledger_hook {
    _Atomic uint32_t state;   /* enum grace_hook_state */
    _Atomic uint32_t outcome; /* enum grace_outcome, once DONE */
    _Atomic int32_t detail;
    _Atomic uint32_t attempts;
};

struct grace_ledger {
    uint32_t magic;
    uint32_t hook_count;
    uint64_t fingerprint;      /* grace_plan_fingerprint of the plan that the hooks are of */
    _Atomic int32_t owner;     /* pid of the process whose end triggers the hooks */
    _Atomic int32_t guardian;  /* pid; 0: not there yet; -1: it cannot serve */
    _Atomic uint32_t asked;    /* futex: the guardian should look */
    _Atomic uint32_t answered; /* futex: the conductor should look */
    _Atomic uint32_t stage;    /* enum grace_stop_stage */
    _Atomic uint32_t cause;    /* enum grace_cause */
    _Atomic int32_t signo;
    _Atomic int32_t status;
    _Atomic int32_t sender_pid;
    _Atomic int32_t sender_uid;
    _Atomic uint64_t guardian_born; /* see hooks/process.h; written before `guardian` */
    _Atomic uint32_t forked;        /* forks that have begun */
    _Atomic uint32_t forks;         /* children that have written themselves down */
    _Atomic int32_t next;           /* the child that is about to become the owner; 0: none */
    _Atomic int32_t watched;        /* the process that the guardian watches, after a hand-over */
    _Atomic uint32_t awaited;       /* who waits for `forks` now */
    _Atomic uint32_t depth; /* of the owner, below the process that began; see successor.h */
    _Atomic uint32_t order; /* of the fork that made the owner */
    _Atomic uint64_t children[GRACE_LEDGER_CHILDREN]; /* 0: free */
    _Atomic uint64_t written[GRACE_LEDGER_CHILDREN];  /* when: grace_process_clock */
    _Atomic uint32_t lineage[GRACE_LEDGER_CHILDREN][GRACE_LEDGER_LINEAGE];
    uint32_t durable;        /* 1: on disk, see grace_ledger_claim */
    _Atomic uint32_t wishes; /* futex: set of GRACE_WISH_…; cleared with each stop's end */
    _Atomic uint32_t drain;  /* enum grace_drain_state */
    _Atomic uint32_t drain_listeners;    /* closed to new connections */
    _Atomic uint32_t drain_busy;         /* accepted connections with something in flight … */
    _Atomic uint32_t drain_idle;         /* … and without */
    _Atomic uint32_t drain_finished;     /* connections that are gone since the drain began */
    _Atomic uint32_t drain_cut;          /* … and those that were in flight when it ended */
    _Atomic uint64_t drain_until_ms;     /* when hold or drain end at the latest: CLOCK_MONOTONIC */
    _Atomic uint64_t began_ms;           /* when the stop began: CLOCK_MONOTONIC; 0: not known */
    _Atomic uint32_t counted;            /* 1: the stop is in the metrics, or somebody is at it */
    _Atomic uint32_t taken_back;         /* how many stops were */
    _Atomic uint32_t drain_transactions; /* of databases, under way */
    uint32_t reserved;
    struct grace_ledger_hook hooks[];
};
_Static_assert(offsetof(struct grace_ledger, guardian_born) == 56 &&
                   offsetof(struct grace_ledger, children) == 96 &&
                   offsetof(struct grace_ledger, durable) == 2656 &&
                   offsetof(struct grace_ledger, drain_until_ms) == 2688 &&
                   offsetof(struct grace_ledger, hooks) == 2720 &&
                   sizeof(struct grace_ledger) == 2720 && sizeof(struct grace_ledger_hook) == 16,
               "the same everywhere");

/* Who owes what, in words; for `grace recover`. The strings end within their arrays. */
struct grace_ledger_record {
    uint32_t magic;
    int32_t pid;
    uint64_t start_time; /* of the process, in clock ticks since boot: /proc/PID/stat, field 22 */
    char boot_id[40];    /* /proc/sys/kernel/random/boot_id */
    char program[256];
    char config[4096 - 256 - 40 - 16];
};
_Static_assert(sizeof(struct grace_ledger_record) == 4096, "the same everywhere");

/*
 * Make a ledger of `hook_count` hooks, all owed, for the calling process, and map it. In
 * `state_dir` the file is on disk when this returns (its name is written to `path`); with NULL it
 * is memory only. *fd is the file, close-on-exec. Returns NULL with errno set. Not
 * async-signal-safe.
 */
struct grace_ledger *grace_ledger_create(size_t hook_count, uint64_t fingerprint,
                                         const char *program, const char *config,
                                         const char *state_dir, char *path, size_t path_size,
                                         int *fd);

/* The same in memory that only the calling process and its forks share, for want of a guardian. */
struct grace_ledger *grace_ledger_create_anonymous(size_t hook_count, uint64_t fingerprint);

/* Map the ledger in a file that somebody else made. NULL with errno set: EINVAL when it is none, or
 * its size is not that of its hooks. */
struct grace_ledger *grace_ledger_attach(int fd);

/* For a ledger that grace_ledger_attach returned, and no other: how many hooks its memory holds,
 * whatever it says by now; and the end of it. */
size_t grace_ledger_room(const struct grace_ledger *ledger);
void grace_ledger_detach(struct grace_ledger *ledger);

/* The name of a ledger's file ends so; anything else in a state_dir is not looked at. */
#define GRACE_LEDGER_SUFFIX ".owed"
bool grace_ledger_has_name(const char *name);

/* Whether a state_dir holds any ledger. */
bool grace_ledger_any_in(const char *state_dir);

/*
 * The ledger in state_dir that the calling process made itself, before an exec: mapped, its name in
 * `path`, *fd its file, close-on-exec. One that it made for another config or plan goes: it has
 * become a program with hooks of its own. NULL when there is none to go on with.
 */
struct grace_ledger *grace_ledger_take_back(const char *state_dir, const char *config,
                                            uint64_t fingerprint, char *path, size_t path_size,
                                            int *fd);

/* Read and check the record. Returns 0 or a negative errno. */
int grace_ledger_read_record(int fd, struct grace_ledger_record *record);

/* Whether a process has this ledger mapped: then it is the owner's child, or the owner. */
bool grace_ledger_is_mapped_by(int fd, int pid);

/* Whether the process that the record names is still that process. */
bool grace_ledger_owner_lives(const struct grace_ledger_record *record);

/* From here on everything is async-signal-safe. */

/* Ownership has passed: write the new owner into the record. Returns 0 or a negative errno. */
int grace_ledger_rename_owner(int fd, int pid);

/* The same in the file of that name, if its record names `leaving`: for want of a guardian. */
int grace_ledger_rename_owner_at(const char *path, int leaving, int pid);

/* Take a hook to run it: true for exactly one caller. A durable ledger is on disk before this
 * returns, so that a hook which began is never begun again. */
bool grace_ledger_claim(struct grace_ledger *ledger, size_t hook);

/* Leave a hook to the guardian, and take that back. False when the hook was not owed (asked). */
bool grace_ledger_ask(struct grace_ledger *ledger, size_t hook);
bool grace_ledger_give_back(struct grace_ledger *ledger, size_t hook);

/* Write off a hook that nobody took. False when somebody did. */
bool grace_ledger_skip(struct grace_ledger *ledger, size_t hook);

/* The hook that the caller took is over. */
void grace_ledger_finish(struct grace_ledger *ledger, size_t hook, unsigned outcome, int detail,
                         uint32_t attempts);

/* Anything above the last state reads as SKIPPED. */
enum grace_hook_state grace_ledger_state(const struct grace_ledger *ledger, size_t hook);

/* Whether the hook still waits for somebody to take it: OWED or ASKED. */
bool grace_ledger_owes(const struct grace_ledger *ledger, size_t hook);

/* Tell the other side to look: bump the word and wake whoever waits on it. */
void grace_ledger_ring(_Atomic uint32_t *word);

/* Wait until the word is no longer `seen`; timeout_ms negative: for ever. May return early. */
void grace_ledger_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms);

#endif
