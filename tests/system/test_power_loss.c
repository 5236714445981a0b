/*
 * Power loss: of a world that stops at a random moment, only what is in state_dir remains. Each
 * hook must have begun at most once when `grace recover` is through, and exactly once; one whose
 * beginning was noted but did not come to pass is the price, and the ledger must say so.
 *
 * The world is stopped by SIGSTOP to all that a story started, so that what was done and what the
 * copy says belong to one moment. Then the originals are killed, and the copy takes the folder's
 * place. GRACE_SEED repeats a run.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness_ledger.h"
#include "harness_story.h"

enum { HOOKS = 6, ROUNDS = 40, LONGEST_US = 60000 };

/* Each says that it begins, works for some milliseconds, and says that it is done. */
static char *slow_hooks(void)
{
    char *hooks = text("%s", "");
    for (int i = 0; i < HOOKS; i++)
        hooks =
            text("%s%s  %s", hooks, i == 0 ? "" : ",\n",
                 hook_script(text("H%d", i),
                             text("echo H%d >> begun; sleep 0.00%d; echo H%d >> order", i, i, i),
                             i % 3 == 2 ? "phase = \"cleanup\";" : ""));
    return text("hooks = (\n%s\n);\n", hooks);
}

/* ---- stopping the world ---------------------------------------------------------------------- */

struct process_line {
    int parent;
    char state;
};

static struct process_line look_up(int pid)
{
    struct process_line line = {.parent = 0};
    const char *behind_name = strrchr(contents(text("/proc/%d/stat", pid)), ')');
    if (behind_name == NULL || sscanf(behind_name, ") %c %d", &line.state, &line.parent) != 2)
        line.parent = 0;
    return line;
}

static bool is_ours(int pid)
{
    while (pid > 1 && pid != getpid())
        pid = look_up(pid).parent;
    return pid == getpid();
}

/* Whether it stands still: stopped, dead, or waiting in vfork for a child that is stopped. */
static bool stands_still(int pid)
{
    char state = look_up(pid).state;
    if (state != 'D')
        return strchr("TtZX", state) != NULL;
    const char *children = contents(text("/proc/%d/task/%d/children", pid, pid));
    return *children != '\0' && look_up(atoi(children)).state == 'T';
}

/* Send SIGSTOP to all that run; returns how many did. */
static unsigned stop_those_that_run(void)
{
    unsigned running = 0;
    DIR *proc = opendir("/proc");
    expect(proc != NULL);
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        int pid = atoi(entry->d_name);
        if (pid <= 0 || pid == getpid() || !is_ours(pid) || stands_still(pid))
            continue;
        running++;
        kill(pid, SIGSTOP);
    }
    closedir(proc);
    return running;
}

/* Twice in a row nothing ran: nobody is left who could start another. */
static void stop_the_world(void)
{
    int still = 0;
    for (int64_t since = now_ms(); still < 2;) {
        still = stop_those_that_run() == 0 ? still + 1 : 0;
        expect(now_ms() - since < STORY_LIMIT_MS, "something does not stop");
    }
}

/* ---- one world ------------------------------------------------------------------------------- */

static unsigned random_below(unsigned limit)
{
    return (unsigned)random() % limit;
}

static void pass_us(unsigned us)
{
    const struct timespec time = {.tv_nsec = (long)us * 1000};
    nanosleep(&time, NULL);
}

static bool noted_as_begun(const struct on_disk *copy, int hook)
{
    return atomic_load(&copy->hooks[hook].state) == GRACE_HOOK_TAKEN;
}

struct tally {
    unsigned before, within, after, lost;
};

static void expect_once(const struct on_disk *copy, unsigned seed, int round, struct tally *tally)
{
    for (int i = 0; i < HOOKS; i++) {
        char *name = text("H%d\n", i);
        unsigned begun = count_of(contents("begun"), name);
        unsigned done = count_of(contents("order"), name);
        expect(begun <= 1 && done <= begun, "H%d began %u times: seed %u, round %d", i, begun, seed,
               round);
        expect(done == 1 || noted_as_begun(copy, i), "H%d is lost: seed %u, round %d", i, seed,
               round);
        tally->lost += done == 0;
    }
}

static void end_a_world(unsigned seed, int round, struct tally *tally)
{
    struct on_disk copy = {.head = {.hook_count = 0}};
    write_file("order", "%s", "");
    write_file("begun", "%s", "");
    struct owner owner = start_owner(true);
    send_signal(owner.process, random_below(2) ? SIGTERM : SIGKILL);
    pass_us(random_below(LONGEST_US));
    stop_the_world();
    expect(system(text("cp -a '%s' '%s'", here("state"), here("copy"))) == 0);
    unsigned already = count_of(contents("order"), "H");
    story_kill_all();
    expect(system(text("rm -r '%s' && mv '%s' '%s'", here("state"), here("copy"), here("state"))) ==
           0);
    char *left = ledger_file();
    expect(left == NULL || read_ledger(left, &copy));
    tally->before += already == 0;
    tally->within += already > 0 && already < HOOKS;
    tally->after += already == HOOKS;
    recover(EXITED(0));
    wait_all_gone();
    expect_once(&copy, seed, round, tally);
    expect_nothing_left();
}

START_TEST(after_a_power_loss_each_hook_began_once)
{
    const char *given = getenv("GRACE_SEED");
    unsigned seed =
        given != NULL ? (unsigned)atoi(given) : (unsigned)(now_ms() ^ (getpid() << 8)) % 1000000;
    struct tally tally = {.before = 0};
    srandom(seed);
    CONFIGURE("%s", slow_hooks());
    for (int round = 0; round < ROUNDS; round++)
        end_a_world(seed, round, &tally);
    printf("power loss: %d times (seed %u), %u before the hooks, %u among them, %u after; "
           "%u hooks cut in the middle\n",
           ROUNDS, seed, tally.before, tally.within, tally.after, tally.lost);
    fflush(stdout);
    expect(tally.within > 0, "no moment was among the hooks");
}
END_TEST

Suite *suite(void)
{
    Suite *suite = suite_create("power_loss");
    tcase_add_test(story_case(suite, "copies"), after_a_power_loss_each_hook_began_once);
    return suite;
}
