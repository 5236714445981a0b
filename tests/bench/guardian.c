/* The guardian: what it holds, how often it wakes while nothing happens, and how soon it acts. */
#include "bench.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "programs/stamp.h"

#define RUNS      50
#define SETTLE_US 300000
#define IDLE_US   2000000

/* Its last argument is the pid of its owner. */
static int watches(const char *pid, pid_t owner)
{
    char path[300], words[8192] = "", expected[16];
    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t length = fread(words, 1, sizeof words - 1, file);
    fclose(file);
    size_t last = (size_t)snprintf(expected, sizeof expected, "%d", (int)owner) + 1;
    return strcmp(words, "grace-guardian") == 0 && length > last &&
           memcmp(words + length - last, expected, last) == 0;
}

static pid_t guardian_of(pid_t owner)
{
    pid_t found = 0;
    for (double limit = now_us() + 5e6; found == 0 && now_us() < limit;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;)
            if (watches(entry->d_name, owner))
                found = atoi(entry->d_name);
        if (proc != NULL)
            closedir(proc);
    }
    return found;
}

/* The sum of the numbers behind a name at the beginning of the lines of a file. */
static double sum_in(const char *path, const char *name)
{
    char line[512];
    double sum = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NO_FIGURE;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            sum += strtod(strchr(line, ':') + 1, NULL);
    fclose(file);
    return sum;
}

static double switches(pid_t pid)
{
    char path[300];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, entry->d_name);
        sum += sum_in(path, "voluntary_ctxt_switches");
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

static void pause_us(useconds_t time)
{
    for (double end = now_us() + time, now; (now = now_us()) < end;)
        usleep((useconds_t)(end - now));
}

static void measure_rest(const struct way *graced, const char *const *argv)
{
    char path[64];
    pid_t pid = start_ready(graced, argv), guardian = guardian_of(pid);
    pause_us(SETTLE_US);
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)guardian);
    struct row memory = {.name = "guardian: private memory",
                         .unit = "KiB",
                         .figure = guardian == 0 ? NO_FIGURE : sum_in(path, "Private_"),
                         .floor = NO_FIGURE,
                         .ratio = NO_FIGURE,
                         .budget = "<= 1.5 MiB"};
    memory.within = memory.figure != NO_FIGURE && memory.figure <= 1536;
    add_row(&memory);

    double before = switches(guardian);
    pause_us(IDLE_US);
    struct row waking = {.name = "guardian: wake-ups in 2 s of nothing",
                         .unit = "",
                         .figure = guardian == 0 ? NO_FIGURE : switches(guardian) - before,
                         .floor = NO_FIGURE,
                         .ratio = NO_FIGURE,
                         .budget = "0"};
    waking.within = waking.figure == 0;
    add_row(&waking);
    kill(pid, SIGKILL);
    await(pid);
}

/* Microseconds from kill -9 to the first line of a command; `run` starts it where nobody else
 * does. */
static double once(const struct way *way, const char *const *argv, const char *const *run)
{
    volatile struct stamps *stamps = shared_stamps();
    pid_t pid = start_ready(way, argv);
    if (run == NULL)
        guardian_of(pid);
    pause_us(2000); /* all are at their posts */
    double begin = now_us();
    kill(pid, SIGKILL);
    await(pid);
    if (run != NULL)
        await(start(&(struct way){.preload = NULL}, run, -1));
    while (stamps->count == 0 && now_us() < begin + 5e6)
        usleep(50);
    return stamps->count > 0 ? (double)stamps->first_ns / 1e3 - begin : NO_FIGURE;
}

void bench_guardian(void)
{
    char *command = built("tests/bench/programs/stamp"), settings[512];
    snprintf(settings, sizeof settings, "command = [\"%s\"];", command);
    const struct way graced = {.preload = built("libgrace.so"),
                               .config = write_config("guardian.conf", 1, settings)};
    const struct way bare = {.preload = NULL};
    const char *const poller[] = {built("tests/bench/programs/poller"), NULL};
    const char *const stamp[] = {command, NULL};
    measure_rest(&graced, poller);

    double figures[RUNS], floors[RUNS];
    for (int i = 0; i < RUNS; i++) {
        figures[i] = once(&graced, poller, NULL);
        floors[i] = once(&bare, poller, stamp);
    }
    struct row row = {.name = "kill -9 to first external hook",
                      .unit = "us",
                      .ratio = NO_FIGURE,
                      .figure = median(figures, RUNS),
                      .floor = median(floors, RUNS),
                      .within = -1,
                      .remark = "floor: the parent waits for the program and spawns the command"};
    add_row(&row);
}
