/*
 * Many targets, each ended twice over, in two ways at random moments, with hooks of every kind in
 * every phase. Each external hook runs exactly once, each in-process hook at most once, none out of
 * order.
 *
 * CHAOS_RUNS=1000 for a longer run, CHAOS_SEED=… to see one again: each run has a seed of its own,
 * which a failure names.
 */
#include "harness_guardian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PER_STORY = 40, AT_ONCE = 4 };

static unsigned first_seed, run_count;

/* ---- the hooks ------------------------------------------------------------------------------- */

/* In the order in which they run. In the cleanup phase what is inside the target comes before it
 * ends, and the rest after that. */
static const struct chaos_hook {
    const char *name, *phase;
    char kind; /* 'c'ommand, 'p'lugin outside, 'i'nside */
} hooks[] = {
    {"A1", "announce", 'c'}, {"A2", "announce", 'i'}, {"A3", "announce", 'p'}, {"D1", "drain", 'p'},
    {"S1", "stop", 'i'},     {"S2", "stop", 'c'},     {"S3", "stop", 'p'},     {"S4", "stop", 'i'},
    {"K1", "cleanup", 'i'},  {"K2", "cleanup", 'c'},  {"K3", "cleanup", 'p'},
};
#define HOOKS (sizeof hooks / sizeof hooks[0])

static char *hook_text(const struct chaos_hook *hook, const char *file, bool slow)
{
    const char *nap = slow && strcmp(hook->name, "S2") == 0 ? "sleep 0.7; " : "";
    if (hook->kind == 'c')
        return text("{ name = \"%s\"; phase = \"%s\"; command = [\"/bin/sh\", \"-c\", \"echo %s >> "
                    "'%s'; %s\"]; }",
                    hook->name, hook->phase, hook->name, file, nap);
    return text("{ name = \"%s\"; phase = \"%s\"; plugin = \"%s\"; "
                "options = { file = \"%s\"; line = \"%s\"; }; }",
                hook->name, hook->phase,
                plugin(hook->kind == 'i' ? "story_append" : "chaos_append"), file, hook->name);
}

/* A config of its own for each: those that start at the same time read it when they get there. */
static void write_config(const char *name, const char *file, bool slow)
{
    const char *list = "";
    for (size_t i = HOOKS; i-- > 0;)
        list = text("%s  %s%s\n", list, hook_text(&hooks[i], file, slow), i > 0 ? "," : "");
    write_file(name, "hooks = (\n%s);\n", list);
    environment("GRACE_CONFIG", name);
}

/* ---- one run --------------------------------------------------------------------------------- */

struct chaos {
    unsigned seed;
    const char *file;
    struct process *target;
};

static const char *pick(unsigned *seed, const char *const *list, size_t count)
{
    return list[(size_t)rand_r(seed) % count];
}
#define PICK(seed, list) pick((seed), (list), sizeof(list) / sizeof(list)[0])

static struct chaos begin_run(unsigned seed)
{
    static const char *const endings[] = {
        "TERM",   "TERM",  "TERM",       "INT",        "HUP",   "QUIT",        "KILL",
        "KILL",   "SEGV",  "USR1",       "BUS",        "exit",  "exit",        "_exit",
        "return", "abort", "quick_exit", "exit_group", "abort", "bad-pointer", "memory",
    };
    static const char *const works[] = {"poll", "poll", "malloc", "printf"};
    static const char *const handlers[] = {"none", "none", "none", "none",    "none", "none",
                                           "exit", "exit", "exit", "nothing", "_exit"};
    struct chaos chaos = {.seed = seed, .file = here("ran.%u", seed)};
    unsigned next = seed * 2654435761u + 1;
    bool slow = rand_r(&next) % 16 == 0; /* so that a second signal is not the same one */
    int first = rand_r(&next) % 15000;
    int second = first + (slow ? 450000 + rand_r(&next) % 400000 : rand_r(&next) % 40000);
    write_config(here("%u.conf", seed), chaos.file, slow);
    chaos.target =
        start(GRACED, program("chaos_target"), PICK(&next, works), PICK(&next, handlers),
              text("%d", first), PICK(&next, endings), text("%d", second), PICK(&next, endings));
    return chaos;
}

static int index_of(const char *name, size_t length)
{
    for (size_t i = 0; i < HOOKS; i++)
        if (strlen(hooks[i].name) == length && strncmp(hooks[i].name, name, length) == 0)
            return (int)i;
    return -1;
}

static void end_run(const struct chaos *chaos)
{
    unsigned times[HOOKS] = {0};
    const char *ran = contents(chaos->file);
    const char *about = text("CHAOS_SEED=%u (%s, %s) ran: %s", chaos->seed, chaos->target->title,
                             status_words(chaos->target->status), ran);
    int last = -1;
    for (const char *line = ran; *line != '\0'; line += strcspn(line, "\n") + 1) {
        int hook = index_of(line, strcspn(line, "\n"));
        expect(hook >= 0, "%s", about);
        expect(hook > last, "out of order: %s", about);
        times[last = hook]++;
    }
    for (size_t i = 0; i < HOOKS; i++)
        expect(hooks[i].kind == 'i' ? times[i] <= 1 : times[i] == 1, "%s: %s", hooks[i].name,
               about);
}

START_TEST(each_hook_once_and_in_order)
{
    unsigned done = (unsigned)_i * PER_STORY;
    for (unsigned i = 0; i < PER_STORY && done + i < run_count; i += AT_ONCE) {
        struct chaos runs[AT_ONCE];
        unsigned count = 0;
        for (; count < AT_ONCE && i + count < PER_STORY && done + i + count < run_count; count++) {
            runs[count] = begin_run(first_seed + done + i + count);
        }
        for (unsigned k = 0; k < count; k++)
            wait_end(runs[k].target);
        wait_all_gone();
        for (unsigned k = 0; k < count; k++)
            end_run(&runs[k]);
    }
}
END_TEST

static unsigned number_in(const char *variable, unsigned otherwise)
{
    const char *value = getenv(variable);
    return value != NULL ? (unsigned)strtoul(value, NULL, 10) : otherwise;
}

Suite *suite(void)
{
    Suite *all = suite_create("chaos");
    first_seed = number_in("CHAOS_SEED", (unsigned)time(NULL));
    run_count = number_in("CHAOS_RUNS", getenv("CHAOS_SEED") != NULL ? 1 : 200);
    printf("chaos: %u runs, CHAOS_SEED=%u and on\n", run_count, first_seed);
    TCase *group = story_case(all, "random endings");
    tcase_add_loop_test(group, each_hook_once_and_in_order, 0,
                        (int)((run_count + PER_STORY - 1) / PER_STORY));
    return all;
}
