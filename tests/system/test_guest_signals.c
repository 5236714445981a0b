/*
 * A guest that nobody notices: what a program observes of the signal API is what it observes
 * without libgrace, line by line and wait status by wait status. One row, one run of
 * tests/programs/observer.c for each way; a table of rows for each entry of the API.
 */
#include "harness.h"

#include <signal.h>
#include <string.h>

static const char *const entries[] = {"sigaction",    "__sigaction",   "signal", "bsd_signal",
                                      "ssignal",      "sysv_signal",   "sigset", "sigignore",
                                      "siginterrupt", "__sysv_signal", "sigvec"};
#define ENTRIES ((int)(sizeof entries / sizeof *entries))

static const char *const dispositions[] = {"handler", "default", "ignore", "error", "hold"};
#define DISPOSITIONS ((int)(sizeof dispositions / sizeof *dispositions))

/* TERM and QUIT are chain signals, INT and HUP stop signals, USR1 none of libgrace's business. */
static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1};
#define SIGNALS ((int)(sizeof signals / sizeof *signals))

static const unsigned flag_sets[] = {
    0,
    SA_SIGINFO,
    SA_RESTART,
    SA_NODEFER,
    SA_ONSTACK,
    (unsigned)SA_RESETHAND,
    SA_SIGINFO | SA_RESTART,
    SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
    (unsigned)SA_RESETHAND | SA_NODEFER | SA_SIGINFO,
    SA_NOCLDSTOP | SA_NOCLDWAIT,
    0x00000800 | SA_SIGINFO, /* SA_EXPOSE_TAGBITS */
    0x00000400 | 0x00100000, /* SA_UNSUPPORTED and one that no kernel knows */
};
#define FLAG_SETS ((int)(sizeof flag_sets / sizeof *flag_sets))

static const char *const masks[] = {"empty", "usr2", "full"};
static const char *const deliveries[] = {"main", "thread", "blocked"};

/* What the hooks are for: nothing, the end only, or an announcement before the handler as well. */
static const char *const configs[] = {NULL, "stop", "announce"};
#define CONFIGS 3

/* One run bare, one under each config. */
static void row(const char *entry, const char *disposition, int signo, unsigned flags,
                const char *mask, const char *delivery)
{
    const char *const *argv = ARGV(program("observer"), entry, disposition, text("%d", signo),
                                   text("%x", flags), mask, delivery);
    struct process *bare = launch(&(struct launch){.way = BARE, .argv = argv}), *graced[CONFIGS];
    for (int i = 0; i < CONFIGS; i++) {
        environment("GRACE_CONFIG", configs[i] != NULL ? here("%s.conf", configs[i]) : NULL);
        graced[i] = launch(&(struct launch){.way = GRACED, .argv = argv});
    }
    environment("GRACE_CONFIG", NULL);
    int expected = wait_end(bare);
    const char *view = contents(bare->out);
    for (int i = 0; i < CONFIGS; i++) {
        int status = wait_end(graced[i]);
        const char *graced_view = contents(graced[i]->out);
        if (status != expected || strcmp(view, graced_view) != 0)
            story_fail(__FILE__, __LINE__,
                       "%s %s signal %d flags %x mask %s to %s\nbare, %s:\n%s\n%s %s, %s:\n%s",
                       entry, disposition, signo, flags, mask, delivery, status_words(expected),
                       view, "under libgrace, hook:", configs[i] != NULL ? configs[i] : "none",
                       status_words(status), graced_view);
        mark_point();
    }
}

static bool takes_flags(const char *entry)
{
    return strstr(entry, "sigaction") != NULL;
}

/* Flags and masks only mean something for a handler; the rest has one row per delivery. */
static void rows_of(const char *entry, int signo, const char *disposition, bool all)
{
    bool has_handler = strcmp(disposition, "handler") == 0;
    int flag_count = takes_flags(entry) && has_handler             ? FLAG_SETS
                     : strcmp(entry, "siginterrupt") == 0          ? 2
                     : strcmp(entry, "sigvec") == 0 && has_handler ? 8
                                                                   : 1;
    int mask_count = takes_flags(entry) && has_handler && all ? 3 : 1;
    for (int f = 0; f < flag_count; f++)
        for (int m = 0; m < mask_count; m++)
            for (int d = 0; d < 3; d++)
                row(entry, disposition, signo, takes_flags(entry) ? flag_sets[f] : (unsigned)f,
                    masks[m], deliveries[d]);
}

START_TEST(observes_the_same)
{
    int what = _i;
    const char *entry = entries[what % ENTRIES];
    what /= ENTRIES;
    int signo = signals[what % SIGNALS];
    const char *disposition = dispositions[what / SIGNALS];
    for (int i = 1; i < CONFIGS; i++)
        write_file(text("%s.conf", configs[i]), "hooks = (%s);",
                   hook_plugin("A", text("phase = \"%s\";", configs[i])));
    rows_of(entry, signo, disposition, signo == SIGTERM && strcmp(entry, "sigaction") == 0);
    /* The configs were read. */
    expect(strcmp(disposition, "handler") != 0 || count_of(contents("order"), "A\n") > 0);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest signals");
    TCase *group = story_case(all, "matrix");
    tcase_add_loop_test(group, observes_the_same, 0, ENTRIES * SIGNALS * DISPOSITIONS);
    return all;
}
