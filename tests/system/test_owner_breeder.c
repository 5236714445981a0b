/*
 * After 10,000 children the target and its guardian are as they were: not a byte more of memory for
 * each, no descriptor, no mapping, no place taken in the ledger. And the ledger still works: a
 * child that is left behind becomes the owner. FORKS says how many; by default it is 10,000 by
 * fork, and a twentieth of that in each other way.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness_ledger.h"

static const char *const ways[] = {
    "fork", "exit", "double", "kill", "exec", "vfork", "spawn", "threads-fork", "threads-vfork",
};

static unsigned entries_in(const char *folder)
{
    unsigned count = 0;
    DIR *directory = opendir(folder);
    expect(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

struct footprint {
    pid_t pid;
    long resident_kib;
    char *counts; /* in words */
};

static struct footprint footprint_of(pid_t pid)
{
    struct footprint is = {.pid = pid};
    const char *rollup = strstr(contents(text("/proc/%d/smaps_rollup", pid)), "\nRss:");
    expect(rollup != NULL && sscanf(rollup, " Rss: %ld", &is.resident_kib) == 1);
    is.counts = text("descriptors %u, threads %u, mappings %u",
                     entries_in(text("/proc/%d/fd", pid)), entries_in(text("/proc/%d/task", pid)),
                     count_of(contents(text("/proc/%d/maps", pid)), "\n"));
    return is;
}

/* As it stays for a while: the guardian may still be at its start. */
static struct footprint steady_footprint_of(pid_t pid)
{
    struct footprint last = footprint_of(pid);
    int same = 0;
    for (int64_t since = now_ms(); same < 20; let_pass(5)) {
        struct footprint now = footprint_of(pid);
        bool is_same =
            now.resident_kib == last.resident_kib && strcmp(now.counts, last.counts) == 0;
        same = is_same ? same + 1 : 0;
        last = now;
        expect(now_ms() - since < STORY_LIMIT_MS, "pid %d: %s", pid, now.counts);
    }
    return last;
}

/* Less than a byte for each child, a page being the least that can be seen. */
static void expect_no_leak(const struct footprint *before, long children)
{
    struct footprint after = footprint_of(before->pid);
    long grown = (after.resident_kib - before->resident_kib) * 1024;
    expect_text(after.counts, before->counts);
    expect(grown < children || grown <= sysconf(_SC_PAGESIZE), "pid %d: %ld bytes more after %ld",
           before->pid, grown, children);
}

/* What stands in it when no fork is under way, without what counts forks. */
static struct grace_ledger settled_ledger(const char *path)
{
    struct on_disk ledger;
    expect(read_ledger(path, &ledger));
    expect(atomic_load(&ledger.head.forks) == atomic_load(&ledger.head.forked));
    atomic_store(&ledger.head.forks, 0);
    atomic_store(&ledger.head.forked, 0);
    memset((void *)ledger.head.written, 0, sizeof ledger.head.written);
    memset((void *)ledger.head.lineage, 0, sizeof ledger.head.lineage);
    return ledger.head;
}

static long children_by(const char *way)
{
    const char *wanted = getenv("FORKS");
    return wanted != NULL ? atol(wanted) : strcmp(way, "fork") == 0 ? 10000 : 500;
}

/* Children that are killed strike nobody out: their places are taken when no other is left. */
static bool leaves_places(const char *way)
{
    return strcmp(way, "kill") == 0;
}

START_TEST(many_children_leave_nothing_behind)
{
    long children = children_by(ways[_i]);
    CONFIGURE("%s", hooks_in_phases());
    struct process *target =
        start(GRACED, program("breeder"), ways[_i], text("%ld", children), here("pid"));
    struct owner owner = owner_of(target, true);
    wait_contains(target->out, "before\n");
    wait_asleep(target);
    struct grace_ledger ledger_before = settled_ledger(owner.ledger);
    struct footprint before = steady_footprint_of(target->pid);
    struct footprint guardian = steady_footprint_of(owner.guardian);
    send_signal(target, SIGUSR1);
    wait_contains(target->out, "after\n");
    wait_asleep(target);
    struct grace_ledger ledger_after = settled_ledger(owner.ledger);
    expect_no_leak(&before, children);
    expect_no_leak(&guardian, children);
    const void *was = &ledger_before, *is = &ledger_after; /* byte by byte: nothing has moved */
    expect(leaves_places(ways[_i]) || memcmp(is, was, sizeof ledger_after) == 0);
    expect_order_now("");
    send_signal(target, SIGUSR1);
    expect_status(wait_end(target), EXITED(0));
    struct process *successor = adopt(pid_in("pid"));
    expect_order_now("");
    expect_status(stop_with(successor, SIGTERM), KILLED(SIGTERM));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("owner: breeder");
    TCase *group = story_case(all, "many children");
    tcase_add_loop_test(group, many_children_leave_nothing_behind, 0, sizeof ways / sizeof ways[0]);
    return all;
}
