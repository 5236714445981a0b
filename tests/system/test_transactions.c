/* Transactions on SQLite files: a stop falls between two of them, never inside one. */
#include <string.h>
#include <unistd.h>

#include "harness_transactions.h"

static char *lite(const char *sql)
{
    return shell(text("sqlite3 -cmd '.timeout 20000' data.db \"%s\"", sql));
}

static void make_table(void)
{
    lite("CREATE TABLE t (n INTEGER, w TEXT)");
}

START_TEST(no_transaction_of_an_unmodified_program_is_cut)
{
    const struct committer committers[] = {
        {"Python, sqlite3", ARGV("/usr/bin/python3", script("sqlite.py"), "data.db", "file")},
        {"PHP, PDO", ARGV("php", script("pdo.php"), text("sqlite:%s", here("data.db")), "file")},
        {"Perl, DBI", ARGV("perl", script("dbi.pl"), "dbi:SQLite:dbname=data.db", "file")},
        {"sqlite3 reading a script", ARGV("sqlite3", "data.db", ".read script.sql")},
    };
    make_table();
    shell(text("/usr/bin/python3 %s sqlite3 file >script.sql", script("script.py")));
    expect_none_cut(&committers[_i], lite);
}
END_TEST

static struct process *start_python(const char *code)
{
    write_file("program.py", "%s", code);
    struct process *process =
        start_committer(GRACED, ARGV("/usr/bin/python3", here("program.py"), "data.db", "file"));
    wait_ready(process);
    return process;
}

#define expect_logged_by(process, words)                                                           \
    expect(strstr(contents((process)->err), words) != NULL, "%s", contents((process)->err))

/* Ten threads and a pool of connections: each thread takes the next free one. */
START_TEST(no_transaction_of_a_pool_is_cut)
{
    make_table();
    config("drain = { timeout = \"30s\"; }; deadline = \"60s\";");
    struct process *worker =
        start_python("import queue, sqlite3, sys, threading\n"
                     "pool, lock, numbers = queue.Queue(), threading.Lock(), iter(range(10**9))\n"
                     "for _ in range(6):\n"
                     "    pool.put(sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None,\n"
                     "             check_same_thread=False))\n"
                     "file = open(sys.argv[2], 'a')\n"
                     "def work():\n"
                     "    while True:\n"
                     "        d = pool.get()\n"
                     "        with lock: n = next(numbers)\n"
                     "        d.execute('BEGIN IMMEDIATE')\n"
                     "        d.execute('INSERT INTO t VALUES (?, 1)', (n,))\n"
                     "        d.execute('INSERT INTO t VALUES (?, 2)', (n,))\n"
                     "        d.execute('COMMIT')\n"
                     "        with lock: file.write('%d\\n' % n); file.flush()\n"
                     "        pool.put(d)\n"
                     "for _ in range(10): threading.Thread(target=work).start()\n"
                     "print('ready', flush=True)\n");
    let_pass(100);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_logged_by(worker, "0 transactions cut");
    expect_text(lite("SELECT count(*) - 2 * count(DISTINCT n) FROM t"), "0\n");
    expect_text(lite("SELECT n FROM t GROUP BY n ORDER BY n"), shell("sort -n file"));
}
END_TEST

/* It makes no progress: the stop is over by the drain's end, and says so. */
START_TEST(a_transaction_that_cannot_end_is_cut_and_named)
{
    make_table();
    config("drain = { timeout = \"1s\"; }; deadline = \"30s\";");
    struct process *worker =
        start_python("import sqlite3, sys, threading, time\n"
                     "held, holds = threading.Lock(), threading.Event()\n"
                     "def hold():\n"
                     "    d = sqlite3.connect(':memory:')\n"
                     "    with held:\n"
                     "        holds.set()\n"
                     "        while True: d.execute('SELECT 1').fetchall(); time.sleep(0.001)\n"
                     "threading.Thread(target=hold).start()\n"
                     "holds.wait()\n"
                     "d = sqlite3.connect(sys.argv[1])\n"
                     "d.execute(\"INSERT INTO t VALUES (1, 'never')\")\n"
                     "print('ready', flush=True)\n"
                     "held.acquire()\n"
                     "d.commit()\n");
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_logged_by(worker, text("SQLite \"%s\": in a transaction for", here("data.db")));
    expect(strstr(contents(worker->err), "0 transactions cut") == NULL);
    expect_text(lite("SELECT count(*) FROM t"), "0\n");
}
END_TEST

/* The second connection's part is needed to finish the first one's. */
START_TEST(a_thread_with_two_connections_finishes_both)
{
    make_table();
    config("drain = { timeout = \"30s\"; }; deadline = \"60s\"; hooks = (%s);",
           hook_command("A", "phase = \"cleanup\";"));
    struct process *worker = start_python("import os, sqlite3, sys, time\n"
                                          "a = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                                          "b = sqlite3.connect('other.db', isolation_level=None)\n"
                                          "b.execute('CREATE TABLE t (n INTEGER)')\n"
                                          "a.execute('BEGIN')\n"
                                          "a.execute(\"INSERT INTO t VALUES (1, 'a')\")\n"
                                          "print('ready', flush=True)\n"
                                          "while not os.path.exists('go'): time.sleep(0.01)\n"
                                          "b.execute('BEGIN')\n"
                                          "b.execute('INSERT INTO t VALUES (1)')\n"
                                          "b.execute('COMMIT')\n"
                                          "a.execute('COMMIT')\n"
                                          "open(sys.argv[2], 'w').write('both\\n')\n"
                                          "a.execute('BEGIN')\n"
                                          "open('too_far', 'w')\n");
    send_signal(worker, SIGTERM);
    wait_transactions(worker, 1);
    write_file("go", "%s", "");
    expect_status(wait_end(worker), KILLED(SIGTERM));
    expect_text(lite("SELECT count(*) FROM t"), "1\n");
    expect_text(shell("sqlite3 other.db 'SELECT count(*) FROM t'"), "1\n");
    expect_text(contents("file"), "both\n");
    expect(!exists("too_far"));
}
END_TEST

/* It may outlive the drain, and nobody would let it go. */
START_TEST(a_child_that_is_forked_meanwhile_is_not_held)
{
    make_table();
    config("drain = { timeout = \"30m\"; }; deadline = \"60m\"; hooks = (%s);",
           hook_command("A", "phase = \"cleanup\";"));
    struct process *worker = start_python("import os, sqlite3, sys, time\n"
                                          "a = sqlite3.connect(sys.argv[1])\n"
                                          "a.execute(\"INSERT INTO t VALUES (1, 'open')\")\n"
                                          "print('ready', flush=True)\n"
                                          "while not os.path.exists('go'): time.sleep(0.01)\n"
                                          "if os.fork() == 0:\n"
                                          "    d = sqlite3.connect('child.db')\n"
                                          "    d.execute('CREATE TABLE t (n INTEGER)')\n"
                                          "    open('child', 'w').write('done')\n"
                                          "    os._exit(0)\n"
                                          "while not os.path.exists('child'): time.sleep(0.01)\n"
                                          "a.commit()\n"
                                          "a.execute(\"INSERT INTO t VALUES (2, 'new')\")\n");
    send_signal(worker, SIGTERM);
    wait_transactions(worker, 1);
    write_file("go", "%s", "");
    expect_status(wait_end(worker), KILLED(SIGTERM));
    expect_text(contents("child"), "done");
    expect_text(lite("SELECT n FROM t"), "1\n");
}
END_TEST

/* It is not the program's main process: it has no hooks, but connections of its own. */
START_TEST(a_forked_worker_finishes_its_own_transactions)
{
    make_table();
    config("drain = { timeout = \"30m\"; }; deadline = \"60m\";");
    struct process *parent =
        start_python("import os, sqlite3, sys, time\n"
                     "worker = os.fork()\n"
                     "if worker != 0:\n"
                     "    open('pid', 'w').write('%d' % worker)\n"
                     "    open('status', 'w').write('%d' % os.waitpid(worker, 0)[1])\n"
                     "    sys.exit(0)\n"
                     "d = sqlite3.connect(sys.argv[1])\n"
                     "d.execute(\"INSERT INTO t VALUES (0, 'first')\")\n"
                     "print('ready', flush=True)\n"
                     "while not os.path.exists('go'): time.sleep(0.01)\n"
                     "for n in range(10**9):\n"
                     "    d.execute(\"INSERT INTO t VALUES (?, 'second')\", (n,))\n"
                     "    d.commit()\n"
                     "    with open(sys.argv[2], 'a') as f: f.write('%d\\n' % n)\n"
                     "    d.execute(\"INSERT INTO t VALUES (?, 'first')\", (n + 1,))\n");
    kill(pid_in("pid"), SIGTERM);
    wait_contains(parent->err, "draining");
    write_file("go", "%s", "");
    expect_status(wait_end(parent), EXITED(0));
    expect_text(contents("status"), text("%d", KILLED(SIGTERM)));
    expect_logged_by(parent, "0 transactions cut");
    expect_text(lite("SELECT count(*) - 2 * count(DISTINCT n) FROM t"), "0\n");
    expect_text(lite("SELECT DISTINCT n FROM t ORDER BY n"), contents("file"));
    expect(strlen(contents("file")) > 0);
}
END_TEST

/* What is read may be left where it is; what has no database is stopped as ever. */
START_TEST(a_program_that_only_reads_or_has_no_database_stops_at_once)
{
    static const char *const loops[] = {
        "d = sqlite3.connect(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True: d.execute('SELECT * FROM t').fetchall()\n",
        "print('ready', flush=True)\n"
        "while True: time.sleep(1000)\n",
    };
    make_table();
    config("drain = { timeout = \"30m\"; }; deadline = \"60m\";");
    struct process *worker = start_python(text("import sqlite3, sys, time\n%s", loops[_i]));
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect((strstr(contents(worker->err), "drain") != NULL) == (_i == 0), "%s",
           contents(worker->err));
}
END_TEST

/* The stop is taken back: who was parked goes on. */
START_TEST(a_parked_thread_goes_on_when_the_stop_is_taken_back)
{
    make_table();
    config("drain = { timeout = \"30m\"; }; deadline = \"60m\"; hooks = (%s);",
           hook_command("A", "phase = \"cleanup\";"));
    struct process *worker = start_python(
        "import os, sqlite3, sys, threading, time\n"
        "a = sqlite3.connect(sys.argv[1], check_same_thread=False)\n"
        "a.execute(\"INSERT INTO t VALUES (1, 'open')\")\n"
        "b = sqlite3.connect(':memory:', check_same_thread=False)\n"
        "def count():\n"
        "    n = 0\n"
        "    while True:\n"
        "        b.execute('SELECT 1').fetchall(); n += 1\n"
        "        open('n.new', 'w').write('%d.' % n); os.rename('n.new', 'n')\n"
        "def keep():\n"
        "    for _ in range(10**6): a.execute('SELECT 1').fetchall(); time.sleep(0.05)\n"
        "threading.Thread(target=count).start()\n"
        "threading.Thread(target=keep).start()\n"
        "print('ready', flush=True)\n");
    send_signal(worker, SIGTERM);
    wait_contains(worker->err, "draining");
    shell(text("%s stop --abort %d", product("grace"), worker->pid));
    wait_contains(worker->err, "taken back");
    char *before = contents("n");
    for (int64_t since = now_ms(); strcmp(contents("n"), before) == 0; let_pass(5))
        expect(now_ms() - since < STORY_LIMIT_MS);
    send_signal(worker, SIGKILL);
    wait_end(worker);
}
END_TEST

START_TEST(what_sqlite_is_in_the_middle_of_is_finished)
{
    static const char *const moments[] = {
        "BEGIN IMMEDIATE",  "a deferred BEGIN", "a savepoint",        "a write-ahead log",
        "an attached file", "INSERT RETURNING", "one long statement",
    };
    make_table();
    expect_finished(stop_in_the_middle(ARGV(program("transactions/sqlite_moments"), moments[_i])));
    expect_text(lite("SELECT * FROM t"), "1|x\n");
}
END_TEST

START_TEST(a_blob_is_written_to_its_end)
{
    make_table();
    expect_finished(stop_in_the_middle(ARGV(program("transactions/sqlite_moments"), "a blob")));
    expect_text(lite("SELECT w FROM t"), "bbcc\n");
}
END_TEST

START_TEST(a_backup_is_finished)
{
    make_table();
    expect_finished(stop_in_the_middle(ARGV(program("transactions/sqlite_moments"), "a backup")));
    expect_text(shell("sqlite3 copy.db 'SELECT * FROM t'"), "1|x\n");
}
END_TEST

/* Its memory is given back to the kernel while the drain looks. */
START_TEST(a_handle_that_goes_with_its_last_statement_is_left_alone)
{
    make_table();
    struct process *worker = stop_in_the_middle(
        ARGV(program("transactions/sqlite_moments"), "a closed connection's statement"));
    write_file("go", "%s", "");
    wait_exists("gone");
    let_pass(200);
    write_file("go_on", "%s", "");
    expect_finished(worker);
    expect_text(lite("SELECT * FROM t"), "1|x\n");
}
END_TEST

START_TEST(what_only_reads_or_waits_is_in_the_middle_of_nothing)
{
    static const char *const moments[] = {"an open cursor", "a blob for reading", "a held mutex"};
    make_table();
    expect_nothing_to_finish(ARGV(program("transactions/sqlite_moments"), moments[_i]));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("transactions");
    TCase *group = transaction_case(all, "sqlite");
    tcase_add_loop_test(group, no_transaction_of_an_unmodified_program_is_cut, 0, 4);
    tcase_add_test(group, no_transaction_of_a_pool_is_cut);
    tcase_add_loop_test(group, what_sqlite_is_in_the_middle_of_is_finished, 0, 7);
    tcase_add_test(group, a_blob_is_written_to_its_end);
    tcase_add_test(group, a_backup_is_finished);
    tcase_add_test(group, a_handle_that_goes_with_its_last_statement_is_left_alone);
    tcase_add_loop_test(group, what_only_reads_or_waits_is_in_the_middle_of_nothing, 0, 3);
    tcase_add_test(group, a_transaction_that_cannot_end_is_cut_and_named);
    tcase_add_test(group, a_thread_with_two_connections_finishes_both);
    tcase_add_test(group, a_child_that_is_forked_meanwhile_is_not_held);
    tcase_add_test(group, a_forked_worker_finishes_its_own_transactions);
    tcase_add_loop_test(group, a_program_that_only_reads_or_has_no_database_stops_at_once, 0, 2);
    tcase_add_test(group, a_parked_thread_goes_on_when_the_stop_is_taken_back);
    return all;
}
