/*
 * CPython's own tests of signals, threads, children and waiting, as Debian installs them: the same
 * result with libgrace, hooks in its config, as without. They were written by people who know
 * nothing of libgrace, and found what earlier preload libraries got wrong.
 *
 * A choice that takes about a minute.
 */
#include "harness.h"

#include <string.h>
#include <unistd.h>

static const char *const *const groups[] = {
    /* Its stress tests measure the machine. */
    ARGV("test_signal", "-i", "*Stress*", "-i", "*itimer*"),
    ARGV("test_subprocess"),
    ARGV("test_threading", "test_threadsignals", "test_eintr"),
    ARGV("test_faulthandler"),
    ARGV("test_os", "test_posix", "test_select", "test_epoll", "test_popen", "test_atexit",
         "test_sys", "test_time", "test_fork1", "test_wait4"),
    ARGV("test_asyncio", "-m", "test.test_asyncio.test_unix_events.*", "-m",
         "test.test_asyncio.test_subprocess.*"),
};
#define GROUPS ((int)(sizeof groups / sizeof *groups))

static struct process *start_group(enum way way, int group)
{
    const char *argv[32] = {"/usr/bin/python3", "-m", "test", "-v"};
    size_t count = 4;
    for (const char *const *word = groups[group]; *word != NULL; word++)
        argv[count++] = *word;
    return launch(&(struct launch){.way = way, .argv = argv});
}

/* How many tests ended each way. */
static char *tally(const struct process *process)
{
    const char *out = contents(process->out), *err = contents(process->err);
    static const char *const results[] = {"... ok\n", "... skipped", "... FAIL", "... ERROR"};
    char *line = text("%s", status_words(process->status));
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        line = text("%s; %s: %u", line, results[i],
                    count_of(out, results[i]) + count_of(err, results[i]));
    return line;
}

static bool is_same(struct process *bare, struct process *graced)
{
    int status = wait_end(bare);
    return wait_end(graced) == status && strcmp(tally(graced), tally(bare)) == 0;
}

/* All at once. Some measure time: what differs counts when it differs again, with nothing beside.
 */
START_TEST(result_is_the_same)
{
    struct process *bare[GROUPS], *graced[GROUPS];
    bool differs[GROUPS];
    if (access("/usr/lib/python3.11/test/test_signal.py", F_OK) != 0)
        skip("Debian's libpython3.11-testsuite is not installed");
    config("hooks = (%s, %s);", hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""));
    for (int i = 0; i < GROUPS; i++) {
        bare[i] = start_group(BARE, i);
        graced[i] = start_group(GRACED, i);
    }
    for (int i = 0; i < GROUPS; i++)
        differs[i] = !is_same(bare[i], graced[i]);
    for (int i = 0; i < GROUPS; i++) {
        if (!differs[i])
            continue;
        bare[i] = start_group(BARE, i);
        graced[i] = start_group(GRACED, i);
        expect(is_same(bare[i], graced[i]), "%s:\n%s\nbare:\n%s", groups[i][0], tally(graced[i]),
               tally(bare[i]));
    }
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest cpython");
    TCase *group = story_case(all, "cpython");
    tcase_add_test(group, result_is_the_same);
    return all;
}
