/* The guardian: what it holds, how often it wakes while nothing happens, and how soon it acts. */
#include "bench.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "programs/stamp.h"

#define ROUNDS    50
#define SECONDS   30
#define SETTLE_US 300000
#define MINUTE_US 60e6

static double switches(pid_t pid)
{
    double sum = 0;
    DIR *tasks = opendir(words("/proc/%d/task", (int)pid));
    if (tasks == NULL)
        return NO_FIGURE;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        if (entry->d_name[0] != '.')
            sum += sum_in(words("/proc/%d/task/%s/status", (int)pid, entry->d_name),
                          "voluntary_ctxt_switches");
    closedir(tasks);
    return sum;
}

/* ---- kill -9 to the first hook ----------------------------------------------------------------
 */

/* `subject`: the way. Without libgrace the benchmark itself runs the command at the end. */
static double once(struct series *series)
{
    const struct way *way = series->subject;
    const char *const poller[] = {built("tests/bench/programs/poller"), NULL};
    const char *const stamp[] = {built("tests/bench/programs/stamp"), NULL};
    volatile struct stamps *stamps = shared_stamps();
    pid_t pid = start_ready(way, poller, true);
    if (pid < 0 || (way->preload != NULL && guardian_of(pid) == 0))
        return NO_FIGURE;
    pause_us(2000); /* all are at their posts */
    double killed = now_us();
    kill(pid, SIGKILL);
    await(pid, NULL);
    if (way->preload == NULL)
        await(start(&bare, stamp, -1), NULL);
    while (stamps->count == 0 && now_us() < killed + 5e6)
        usleep(50);
    return stamps->count > 0 ? (double)stamps->first_ns / 1e3 - killed : NO_FIGURE;
}

static void add_latency(const struct way *graced)
{
    static struct series figure, floor;
    figure = (struct series){.once = once, .subject = graced};
    floor = (struct series){.once = once, .subject = &bare};
    measure_in_turns((struct series *[]){&figure, &floor}, 2, ROUNDS, SECONDS);
    add_row(
        &(struct row){.name = "kill -9 to first external hook",
                      .unit = "us",
                      .figure = &figure,
                      .floor = &floor,
                      .remark = "floor: the parent waits for the program and spawns the command"});
}

/* ---- at rest ----------------------------------------------------------------------------------
 */

void bench_guardian(void)
{
    static struct series memory, wakes;
    const char *hook = words("command = [\"%s\"];", built("tests/bench/programs/stamp"));
    const struct way graced = {.preload = built("libgrace.so"),
                               .config = write_config("killed.conf", "", 1, hook)};
    const char *const poller[] = {built("tests/bench/programs/poller"), NULL};
    pid_t pid = start_ready(&graced, poller, true), guardian = pid > 0 ? guardian_of(pid) : 0;
    if (guardian == 0)
        memory.missing = wakes.missing = "no guardian came";
    pause_us(SETTLE_US);
    double since = now_us(), before = switches(guardian);
    add_figure(&memory, guardian > 0
                            ? sum_in(words("/proc/%d/smaps_rollup", (int)guardian), "Private_")
                            : NO_FIGURE);
    add_row(&(struct row){.name = "guardian: private memory",
                          .unit = "KiB",
                          .figure = &memory,
                          .budget = {.of = OF_FIGURE, .most = 1536}});

    add_latency(&graced); /* others die meanwhile: nothing to this guardian */
    pause_us(since + MINUTE_US - now_us());
    add_figure(&wakes, guardian > 0 ? switches(guardian) - before : NO_FIGURE);
    add_row(&(struct row){.name = "guardian: wake-ups in a minute of nothing",
                          .unit = "",
                          .figure = &wakes,
                          .budget = {.of = OF_FIGURE},
                          .remark = "whoever asks it (grace ps) wakes it, too"});
    if (pid > 0)
        kill(pid, SIGKILL);
    await(pid, NULL);
}
