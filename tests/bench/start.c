/*
 * What a program needs to start, to the first instruction of its main and to its end as its parent
 * sees it: bare, under preloads, under `grace run`, under inits and a shell. A guardian still ends
 * after that: it is waited for before the next start, and does not count.
 */
#include "bench.h"

#include "programs/stamp.h"

#define ROUNDS  300
#define SECONDS 40
#define PEERS   8

enum { BARE, EMPTY, NO_CONFIG, NO_GUARDIAN, GUARDIAN, RUN, INIT, OURS };
enum { MAIN, END, CPU, FAULTS, KINDS };

static struct way ways[OURS + PEERS];
static struct series all[KINDS][OURS + PEERS];

static double in_us(const struct timeval *time)
{
    return (double)time->tv_sec * 1e6 + (double)time->tv_usec;
}

/* One start is a round of all kinds; `subject` is the way. */
static double once(struct series *series)
{
    const char *const argv[] = {built("tests/bench/programs/first"), NULL};
    volatile struct stamps *stamps = shared_stamps();
    struct rusage usage = {.ru_minflt = 0};
    size_t i = (size_t)(series - all[END]);
    int status = await(start(series->subject, argv, -1), &usage);
    double end = now_us() - started_us();
    await_quiet();
    if (status != 0 || stamps->first_ns == 0)
        return NO_FIGURE;
    add_figure(&all[MAIN][i], (double)stamps->first_ns / 1e3 - started_us());
    add_figure(&all[CPU][i], in_us(&usage.ru_utime) + in_us(&usage.ru_stime));
    add_figure(&all[FAULTS][i], (double)usage.ru_minflt);
    return end;
}

static void prepare(void)
{
    const char *library = built("libgrace.so"), *config = three_hooks(true);
    static const char *run[4], *init[5];
    run[0] = init[0] = built("grace");
    run[1] = init[1] = "run";
    init[2] = "--init";
    run[2] = init[3] = "--";
    ways[EMPTY].preload = built("tests/bench/programs/empty.so");
    ways[NO_CONFIG].preload = library;
    ways[NO_GUARDIAN] = (struct way){.preload = library, .config = three_hooks(false)};
    ways[GUARDIAN] = (struct way){.preload = library, .config = config};
    ways[RUN] = (struct way){.before = run, .config = config};
    ways[INIT] = (struct way){.before = init, .config = config};
    for (size_t i = 0; i < OURS; i++)
        all[END][i] = (struct series){.name = "", .once = once, .subject = &ways[i]};
    for (size_t i = 0; i < peer_count; i++) {
        ways[OURS + i].before = peers[i].before;
        all[END][OURS + i] = peer_series(&peers[i], once, &ways[OURS + i]);
    }
    for (size_t i = 0; i < OURS + peer_count; i++)
        for (int kind = 0; kind < KINDS; kind++)
            if (kind != END)
                all[kind][i] =
                    (struct series){.name = all[END][i].name, .missing = all[END][i].missing};
}

static const struct series *least_init(const struct series *of)
{
    const struct series *least = NULL;
    for (size_t i = 0; i < peer_count; i++) {
        const struct series *peer = &of[OURS + i];
        if (peers[i].is_init && peer->count > 0 &&
            (least == NULL || above(peer, &of[BARE]) < above(least, &of[BARE])))
            least = peer;
    }
    return least;
}

static void report_guardian(const struct series *of, const char *name, const char *unit,
                            bool judged)
{
    static const struct series *shown[PEERS + 1];
    for (size_t i = 0; i < peer_count; i++)
        shown[i] = &of[OURS + i];
    const struct series *least = judged ? least_init(of) : NULL;
    struct row row = {
        .name = name, .unit = unit, .figure = &of[GUARDIAN], .floor = &of[BARE], .peers = shown};
    if (least != NULL) {
        row.budget = (struct budget){.of = OF_ABOVE, .most = above(least, &of[BARE]) / 2};
        row.remark = words("budget: half of what %s adds", least->name);
    }
    add_row(&row);
}

static void report(const struct series *of, const char *what, const char *unit, bool judged)
{
    struct budget budget = {.of = judged ? OF_ABOVE : NO_BUDGET, .most = 60};
    const struct {
        int figure, floor;
        const char *way, *remark;
    } rows[] = {
        {EMPTY, BARE, "empty preload", NULL},
        {NO_CONFIG, EMPTY, "libgrace, no config",
         "floor: an empty preload; above it: libc's functions that libgrace calls are looked "
         "up by the loader, pages are touched, signals taken"},
        {NO_GUARDIAN, EMPTY, "config, no guardian",
         "floor: an empty preload; above it: the config is parsed, a ledger made"},
        {RUN, BARE, "grace run, 3 hooks", NULL},
        {INIT, BARE, "grace run --init, 3 hooks", NULL}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        add_row(&(struct row){
            .name = words("%s: %s", what, rows[i].way),
            .unit = unit,
            .figure = &of[rows[i].figure],
            .floor = &of[rows[i].floor],
            .budget = rows[i].figure == NO_CONFIG ? budget : (struct budget){.of = NO_BUDGET},
            .remark = rows[i].remark});
    report_guardian(of, words("%s: 3 hooks, guardian", what), unit, judged);
}

/* `subject` is the way. */
static double count_once(struct series *series)
{
    const char *const argv[] = {built("tests/bench/programs/first"), NULL};
    shared_stamps();
    double count = instructions(series->subject, argv);
    await_quiet();
    return count == NO_FIGURE ? count : count / 1e3;
}

static void count_instructions(void)
{
    static struct series counts[GUARDIAN + 1];
    struct series *turns[GUARDIAN + 1];
    for (size_t i = 0; i <= GUARDIAN; i++) {
        counts[i] = (struct series){.once = count_once, .subject = &ways[i]};
        turns[i] = &counts[i];
    }
    measure_in_turns(turns, GUARDIAN + 1, 3, 20);
    add_row(&(struct row){.name = "instructions: libgrace, no config",
                          .unit = "k",
                          .figure = &counts[NO_CONFIG],
                          .floor = &counts[EMPTY],
                          .remark = words("floor: an empty preload; %s", instructions_by())});
    add_row(&(struct row){.name = "instructions: 3 hooks, guardian",
                          .unit = "k",
                          .figure = &counts[GUARDIAN],
                          .floor = &counts[BARE]});
}

void bench_start(void)
{
    struct series *contenders[OURS + PEERS];
    prepare();
    for (size_t i = 0; i < OURS + peer_count; i++)
        contenders[i] = &all[END][i];
    measure_in_turns(contenders, OURS + peer_count, ROUNDS, SECONDS);
    report(all[MAIN], "to main", "us", false);
    report(all[END], "to the end", "us", true);
    report(all[CPU], "CPU time", "us", false);
    report(all[FAULTS], "page faults", "", false);
    count_instructions();
}
