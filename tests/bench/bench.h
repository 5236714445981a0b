/*
 * make bench: figures of libgrace beside their floors and budgets, all from one run.
 *
 * A floor is the least that anybody could do for the same: the program alone, a bare handler, a
 * bare posix_spawn. Figure and floor are measured in turns, so that both see the same machine, and
 * the median of each is shown. Nothing here fails: a benchmark is read, not passed.
 */
#ifndef GRACE_TESTS_BENCH_H
#define GRACE_TESTS_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where things are: built by make, and a directory for this run only. */
struct bench {
    const char *build;
    char directory[64];
};
extern struct bench bench;

/* A path, in memory that nobody frees. */
char *built(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *scratch(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- measuring ------------------------------------------------------------------------------ */

double now_us(void);
double median(double *values, size_t count); /* sorts them */

/* How a program is started: bare, or with LD_PRELOAD and GRACE_CONFIG in its environment. */
struct way {
    const char *name;
    const char *preload;       /* NULL: none */
    const char *config;        /* NULL: none */
    const char *const *before; /* a command that starts it, ended by NULL; NULL: none */
};

/* Start it; its output and errors go to `out`, -1: away. Returns the pid. */
pid_t start(const struct way *way, const char *const *argv, int out);

/* Until it has ended. Returns the raw wait status. */
int await(pid_t pid);

/* Start a program that writes one byte when it is ready, and wait until it sleeps after that. */
pid_t start_ready(const struct way *way, const char *const *argv);

/* A config with `count` hooks with the given settings, "%d" in them being the number. */
const char *write_config(const char *name, int count, const char *hook_format);

/* What the plugin and the programs write down: see programs/stamp.h. */
volatile struct stamps *shared_stamps(void);

/* ---- the table ------------------------------------------------------------------------------ */

#define NO_FIGURE (-1.0)

struct row {
    const char *name;
    const char *unit;
    double figure, floor; /* NO_FIGURE: there is none */
    double ratio;         /* NO_FIGURE: figure / floor */
    const char *budget;   /* in words; NULL: none */
    int within;           /* 1 yes, 0 no, -1: not judged */
    const char *remark;   /* what the figure and floor are; or why there is none */
};

void add_row(const struct row *row);
void print_rows(int json);

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

/* ---- what is measured, a file each ----------------------------------------------------------- */

void bench_startup(void);
void bench_latency(void);
void bench_hooks(void);
void bench_instructions(void);
void bench_size(void);
void bench_guardian(void);
void bench_forks(void);
void bench_drain(void);
void bench_drain_cost(void);

#endif
