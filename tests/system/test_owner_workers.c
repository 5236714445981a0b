/*
 * Servers with workers: a worker's end runs no hook, whatever it is; the master's end runs each
 * once. And the master sees of its workers what it would have seen.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

static void three_hooks(void)
{
    config("log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s, %s);", here("log"),
           hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""),
           hook_command("C", "phase = \"cleanup\";"));
}

static const struct {
    const char *end;
    int signo, status;
    const char *order;
} ends[] = {
    {"exits", SIGTERM, EXITED(0), "A B C"},       {"fails", SIGTERM, EXITED(1), "A B C"},
    {"kills", SIGTERM, EXITED(0), "A B C"},       {"dies", SIGTERM, KILLED(SIGTERM), "A B C"},
    {"exits", SIGKILL, KILLED(SIGKILL), "A C"},   {"exits", SIGSEGV, KILLED(SIGSEGV), "A C"},
    {"exits", SIGQUIT, KILLED(SIGQUIT), "A B C"},
};

static char *play(enum way way, int row)
{
    struct process *master = start(way, program("owner_prefork"), ends[row].end);
    wait_ready(master);
    expect_order_now("");
    const char *tree = steady_picture();
    expect_status(stop_with(master, ends[row].signo), ends[row].status);
    const char *seen = text("%s%s", contents(master->out), tree);
    if (ends[row].signo != SIGTERM)
        kill_all_but_guardian(); /* nobody else ends the workers */
    wait_all_gone();
    return text("%s", seen);
}

START_TEST(only_the_masters_end_runs_hooks)
{
    three_hooks();
    const char *bare = play(BARE, _i);
    expect_text(play(GRACED, _i), bare);
    expect_order(ends[_i].order);
}
END_TEST

/* A worker that is stopped or killed from outside runs none; nor does one that outlives the master:
 * a stop was under way. */
START_TEST(workers_that_are_stopped_or_left_run_none)
{
    three_hooks();
    struct process *master = start(GRACED, program("owner_prefork"), "leaves");
    wait_ready(master);
    pid_t first = 0, second = 0;
    expect(sscanf(contents(text("/proc/%d/task/%d/children", master->pid, master->pid)), "%d %d",
                  &first, &second) == 2);
    kill(first, _i == 0 ? SIGTERM : SIGSEGV);
    expect_status(stop_with(master, SIGTERM), EXITED(0));
    wait_contains("order", "C");
    expect_status(stop_with(adopt(second), SIGTERM), KILLED(SIGTERM));
    expect_order("A B C");
}
END_TEST

/* ---- Python's pool of processes -------------------------------------------------------------- */

/* The handler leaves by _exit: with a worker killed, the end of a pool waits now and then for a
 * lock that nobody gives back, bare too. And no signal.pause(): a signal that comes right before it
 * would have it wait for another one. */

static const char pool[] = "import multiprocessing as m, os, signal, sys, time\n"
                           "def work(n):\n"
                           "    if n == 7: os.kill(os.getpid(), int(sys.argv[2]))\n"
                           "    return n * n\n"
                           "def stop(*_): os._exit(5)\n"
                           "if __name__ == '__main__':\n"
                           "    m.set_start_method(sys.argv[1])\n"
                           "    if sys.argv[3] == 'handler': signal.signal(signal.SIGTERM, stop)\n"
                           "    with m.Pool(4) as p:\n"
                           "        print(sum(p.map(work, [1, 2, 3] * 20)), flush=True)\n"
                           "        print(sum(p.map(work, range(100, 200), 1)), flush=True)\n"
                           "        lost = p.map_async(work, [7])\n"
                           "        print(p.map(work, [1, 2, 3]), flush=True)\n"
                           "        if sys.argv[3] == 'ends': sys.exit(3)\n"
                           "        print('ready', flush=True)\n"
                           "        while True: time.sleep(0.05)\n";

static char *play_pool(enum way way, const char *method, const char *killer, const char *end)
{
    write_file("pool.py", "%s", pool);
    struct process *master = start(way, "/usr/bin/python3", here("pool.py"), method, killer, end);
    int status;
    if (strcmp(end, "ends") == 0) {
        status = wait_end(master);
    } else {
        wait_ready(master);
        expect_order_now("");
        status = stop_with(master, SIGTERM);
    }
    kill_all_but_guardian(); /* where Python, killed, leaves its workers behind */
    wait_all_gone();
    return text("%s%s", contents(master->out), status_words(status));
}

START_TEST(a_pool_of_python_processes)
{
    static const struct {
        const char *method, *killer, *end;
    } rows[] = {{"fork", "9", "handler"},       {"fork", "15", "ends"},
                {"fork", "11", "default"},      {"spawn", "9", "handler"},
                {"forkserver", "9", "handler"}, {"forkserver", "15", "ends"}};
    three_hooks();
    const char *bare = play_pool(BARE, rows[_i].method, rows[_i].killer, rows[_i].end);
    expect_text(play_pool(GRACED, rows[_i].method, rows[_i].killer, rows[_i].end), bare);
    expect_order("A B C");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("owner: workers");
    TCase *group = story_case(all, "workers");
    tcase_add_loop_test(group, only_the_masters_end_runs_hooks, 0, COUNT(ends));
    tcase_add_loop_test(group, workers_that_are_stopped_or_left_run_none, 0, 2);
    tcase_add_loop_test(group, a_pool_of_python_processes, 0, 6);
    return all;
}
