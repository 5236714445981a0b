/*
 * make bench: what libgrace costs, beside a floor, what others cost and the budget, all from one
 * run.
 *
 * A floor is the least that anybody could do for the same: the program alone, a bare handler, a
 * bare posix_spawn. Figure, floor and peers are measured in turns, one of each in a round, so that
 * all see the same machine; medians are compared, and the quartiles of the rounds' own ratios tell
 * how far they can be trusted. What the benchmark itself adds (its posix_spawn, its wait) is in
 * figure and floor alike. Nothing here fails: a benchmark is read, not passed; what cannot be
 * measured is a row that says why.
 */
#ifndef GRACE_TESTS_BENCH_H
#define GRACE_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct bench {
    const char *build;  /* where things are built */
    char directory[64]; /* for this run only */
    bool json;
};
extern struct bench bench;

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* printf into memory that nobody frees; the latter two: a path below build, or for this run. */
char *words(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *built(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *scratch(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- series: what one contender needs, round by round (series.c) ------------------------------
 */

#define NO_FIGURE   (-1.0)
#define ROUNDS_MOST 512

struct series {
    const char *name;
    double (*once)(
        struct series *); /* one figure; NO_FIGURE: there is none, and no round will have */
    const void *subject;  /* for `once` */
    const char *missing;  /* why there are no figures; NULL: there are, or will be */
    size_t count;
    double figures[ROUNDS_MOST]; /* those of several series at the same place are of one round */
};

/* One round after the other, in each all series once, forwards and backwards by turns. After
 * `seconds` no further round begins. */
void measure_in_turns(struct series *const *all, size_t count, int rounds, double seconds);

/* A figure that was had elsewhere. */
void add_figure(struct series *series, double figure);

struct spread {
    double low, middle, high; /* quartiles */
};
struct spread spread_of(const struct series *series);

/* middle: of the medians; low and high: quartiles of the rounds' own ratios. */
struct spread ratio_of(const struct series *figure, const struct series *floor);

/* The median of the rounds' own differences. */
double above(const struct series *figure, const struct series *floor);

/* ---- the table (table.c) ----------------------------------------------------------------------
 */

struct budget {
    enum { NO_BUDGET, OF_FIGURE, OF_RATIO, OF_ABOVE } of;
    double most, least; /* least: 0: none */
};

struct row {
    const char *name, *unit;
    const struct series *figure, *floor; /* floor: NULL: there is none */
    struct budget budget;
    const struct series *const *peers; /* ended by NULL; NULL: none */
    const char *remark; /* what the figure and floor are; NULL: they speak for themselves */
};

/* Printed at once. */
void add_row(const struct row *row);

/* A server that was stopped under load several times, bare and under libgrace: all of them added
 * up, but for the times, which are medians. */
struct stopped {
    const char *name;
    int kills;
    double lost_bare, lost, raced, after; /* requests; after: answered after the signal */
    double stop_bare_ms, stop_ms;         /* from the signal until the last process is gone */
    const char *why;                      /* why 0 cannot be reached; NULL: it can */
    const char *failed;                   /* why there are no figures; NULL: there are */
};
void add_stopped(const struct stopped *stopped);

void begin_table(void);
void begin_part(const char *name);
void end_table(void);

/* ---- processes (process.c) --------------------------------------------------------------------
 */

double now_us(void);
void pause_us(double time);

/* How a program is started: bare, or with LD_PRELOAD and GRACE_CONFIG in its environment, or by a
 * command. */
struct way {
    const char *preload;       /* NULL: none */
    const char *config;        /* NULL: none */
    const char *const *before; /* a command that starts it, ended by NULL; NULL: none */
    const char *user;          /* whom the program runs as; NULL: as the benchmark does */
};
extern const struct way bare;

/* Output and errors go to `out`, -1: away. Returns the pid, -1 when it cannot be started. */
pid_t start(const struct way *way, const char *const *argv, int out);
double started_us(void); /* when the last start began its posix_spawn */

/* Until it has ended. Returns the raw wait status; `usage`: with that of what it waited for; or
 * NULL. */
int await(pid_t pid, struct rusage *usage);

/* Until whatever is left of this benchmark's processes has ended: a guardian outlives its target,
 * and is not to run beside what is measured next. */
void await_quiet(void);

/* Start a program that writes one byte when it is ready. If it is to sleep after that, wait until
 * it does. Returns the pid, -1 when it did not get so far. */
pid_t start_ready(const struct way *way, const char *const *argv, bool sleeps);

/* What a program says, at most size - 1 bytes, and how it ended: its raw wait status, or -1. */
int output_of(const struct way *way, const char *const *argv, char *output, size_t size);

/* A config with `count` hooks with these settings, below others. */
const char *write_config(const char *name, const char *settings, int count, const char *hook);

/* Three commands that no return from main and no exit runs: what a start costs, and no stop. */
const char *three_hooks(bool guardian);

/* What the plugin and the programs write down: see programs/stamp.h. None written yet. */
volatile struct stamps *shared_stamps(void);

/* The sum of the numbers behind a name at the beginning of the lines of a file of /proc. */
double sum_in(const char *path, const char *name);

/* The guardian of this process, once it is there; 0: it does not come. */
pid_t guardian_of(pid_t owner);

/* ---- who else (peers.c) -----------------------------------------------------------------------
 */

/* A command that starts a program and stays until its end. */
struct peer {
    const char *name;
    const char *const before[4];
    bool is_init; /* what stands at the top of containers */
};
extern const struct peer peers[];
extern const size_t peer_count;

/* Its series: missing where it is not installed. */
struct series peer_series(const struct peer *peer, double (*once)(struct series *),
                          const void *subject);

/* ---- instructions (instructions.c) ------------------------------------------------------------
 */

/* Of a program in user mode from its first to its last, NO_FIGURE: nobody counts them here. */
double instructions(const struct way *way, const char *const *argv);
const char *instructions_by(void); /* who counts; why nobody does */

/* Of one of `count` operations: what `many`, a command line, needs more than `none`. */
double instructions_each(const struct way *way, const char *const *none, const char *const *many,
                         int count);

/* ---- what is measured, a file each ------------------------------------------------------------
 */

void bench_start(void);
void bench_steady(void);
void bench_forks(void);
void bench_statements(void);
void bench_services(void);
void bench_memory(void);
void bench_latency(void);
void bench_hooks(void);
void bench_drain(void);
void bench_drain_cost(void);
void bench_guardian(void);
void bench_size(void);

#endif
