/* What a hook costs: 1,000 in-process ones that do nothing, and 1,000 times /bin/true. */
#include "bench.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>

#include "programs/stamp.h"

#define HOOKS         1000
#define RUNS          21
#define EXTERNAL_RUNS 5

/* ---- in-process ------------------------------------------------------------------------------ */

static double inside(const struct way *way)
{
    volatile struct stamps *stamps = shared_stamps();
    const char *const argv[] = {built("tests/bench/programs/poller"), NULL};
    pid_t pid = start_ready(way, argv);
    kill(pid, SIGTERM);
    await(pid);
    if (stamps->count != HOOKS)
        return NO_FIGURE;
    return (double)(stamps->last_ns - stamps->first_ns) / 1e3 / (HOOKS - 1);
}

static sem_t asked, done;

static void *worker(void *unused)
{
    for (int i = 0; i < HOOKS; i++) {
        sem_wait(&asked);
        sem_post(&done);
    }
    return unused;
}

/* One piece of work given to another thread and waited for. */
static double hand_off(void)
{
    pthread_t thread;
    sem_init(&asked, 0, 0);
    sem_init(&done, 0, 0);
    pthread_create(&thread, NULL, worker, NULL);
    double begin = now_us();
    for (int i = 0; i < HOOKS; i++) {
        sem_post(&asked);
        sem_wait(&done);
    }
    double end = now_us();
    pthread_join(thread, NULL);
    return (end - begin) / HOOKS;
}

static void in_process(void)
{
    char settings[512];
    snprintf(settings, sizeof settings, "plugin = \"%s\";",
             built("tests/bench/programs/hook_stamp.so"));
    const struct way graced = {.preload = built("libgrace.so"),
                               .config = write_config("thousand.conf", HOOKS, settings)};
    double figures[RUNS], floors[RUNS];
    for (int i = 0; i < RUNS; i++) {
        figures[i] = inside(&graced);
        floors[i] = hand_off();
    }
    struct row row = {.name = "in-process hook that does nothing (of 1,000)",
                      .unit = "us",
                      .ratio = NO_FIGURE,
                      .figure = median(figures, RUNS),
                      .floor = median(floors, RUNS),
                      .budget = "<= 10 us each",
                      .remark = "floor: work handed to a thread and waited for (two semaphores)"};
    row.within = row.figure != NO_FIGURE && row.figure <= 10;
    add_row(&row);
}

/* ---- external -------------------------------------------------------------------------------- */

static double stopping(const struct way *way)
{
    const char *const argv[] = {built("tests/bench/programs/poller"), NULL};
    pid_t pid = start_ready(way, argv);
    double begin = now_us();
    kill(pid, SIGTERM);
    await(pid);
    return (now_us() - begin) / HOOKS;
}

static double spawning(void)
{
    const struct way bare = {.preload = NULL};
    const char *const argv[] = {"/bin/true", NULL};
    double begin = now_us();
    for (int i = 0; i < HOOKS; i++)
        await(start(&bare, argv, -1));
    return (now_us() - begin) / HOOKS;
}

static void external(void)
{
    const struct way graced = {
        .preload = built("libgrace.so"),
        .config = write_config("external.conf", HOOKS, "command = [\"/bin/true\"];")};
    double figures[EXTERNAL_RUNS], floors[EXTERNAL_RUNS];
    for (int i = 0; i < EXTERNAL_RUNS; i++) {
        figures[i] = stopping(&graced);
        floors[i] = spawning();
    }
    struct row row = {.name = "external hook, /bin/true (of 1,000)",
                      .unit = "us",
                      .ratio = NO_FIGURE,
                      .figure = median(figures, EXTERNAL_RUNS),
                      .floor = median(floors, EXTERNAL_RUNS),
                      .budget = "ratio <= 1.3",
                      .remark = "floor: posix_spawn and waitpid"};
    row.within = row.figure <= 1.3 * row.floor;
    add_row(&row);
}

void bench_hooks(void)
{
    in_process();
    external();
}
