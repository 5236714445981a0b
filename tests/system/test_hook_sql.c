/* The plugin "sql" against a real PostgreSQL and real SQLite files. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness_hooks.h"

/* ---- SQLite ---------------------------------------------------------------------------------- */

static char *lite(const char *sql)
{
    return shell(text("sqlite3 data.db \"%s\"", sql));
}

static char *lite_options(const char *more)
{
    return text("url = \"sqlite:%s\"; %s", here("data.db"), more);
}

static struct process *stop_with_sql(const char *options, int signo)
{
    config("hooks = (%s);", hook_shipped("sql", options, ""));
    struct process *worker = stop_worker(signo);
    wait_all_gone();
    return worker;
}

#define expect_done(worker) expect_logged(worker, "hook \"sql\" (stop) done")

START_TEST(a_node_is_marked_offline_however_its_program_ends)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    static const char *const told[] = {"offline|signal|TERM|", "offline|killed|KILL|"};
    lite("CREATE TABLE nodes (name TEXT, state TEXT, why TEXT, signal TEXT, status INTEGER, "
         "pid INTEGER, host TEXT); INSERT INTO nodes (name, state) VALUES ('web1', 'online'), "
         "('web2', 'online')");
    struct process *worker = stop_with_sql(
        lite_options("statements = [\"UPDATE nodes SET state = 'offline', why = :cause, "
                     "signal = :signal, status = :exit_status, pid = :pid, host = :hostname "
                     "WHERE name = 'web1' -- :nothing\"];"),
        signals[_i]);
    expect_text(lite("SELECT state, why, signal, status FROM nodes WHERE name = 'web1'"),
                text("%s\n", told[_i]));
    expect_text(lite("SELECT pid, typeof(pid) FROM nodes WHERE name = 'web1'"),
                text("%d|integer\n", worker->pid));
    expect_text(lite("SELECT host FROM nodes WHERE name = 'web1'"), shell("hostname"));
    expect_text(lite("SELECT state FROM nodes WHERE name = 'web2'"), "online\n");
    if (signals[_i] == SIGTERM)
        expect_logged(worker, "statement 1: 1 changed");
}
END_TEST

/* A value is bound: it cannot become SQL, whatever it holds. */
START_TEST(values_are_no_part_of_the_statement)
{
    lite("CREATE TABLE ends (program TEXT)");
    shell(text("cp %s \"./x'); DROP TABLE ends; --\"", program("worker")));
    config("hooks = (%s);",
           hook_shipped("sql",
                        lite_options("statements = \"INSERT INTO ends VALUES (:program), "
                                     "(':program'), (\\\":program\\\"), (/* :x */ 'a''b:c')\";"),
                        ""));
    struct process *worker = start(GRACED, here("x'); DROP TABLE ends; --"), "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_done(worker);
    expect_text(lite("SELECT * FROM ends"),
                "x'); DROP TABLE ends; --\n:program\n:program\na'b:c\n");
}
END_TEST

static const struct {
    const char *transaction;
    const char *left, *said;
} failures[] = {
    {"", "1 3", "statement 2: no such table: nowhere (1 of 3 failed)"},
    {"transaction = false;", "1 3", "statement 2: no such table: nowhere (1 of 3 failed)"},
    {"transaction = true;", "", "statement 2: no such table: nowhere; nothing of it is kept"},
};

START_TEST(a_failed_statement_is_told_and_a_transaction_is_all_or_nothing)
{
    lite("CREATE TABLE t (n INTEGER)");
    struct process *worker = stop_with_sql(
        lite_options(text("%s statements = [\"INSERT INTO t VALUES (1)\", \"INSERT INTO nowhere "
                          "VALUES (2)\", \"INSERT INTO t VALUES (3)\"];",
                          failures[_i].transaction)),
        SIGTERM);
    expect_logged(worker, failures[_i].said);
    expect_logged(worker, "1 failed");
    expect_text(lite("SELECT group_concat(n, ' ') FROM t"), text("%s\n", failures[_i].left));
}
END_TEST

START_TEST(a_transaction_is_kept_when_all_went_well)
{
    lite("CREATE TABLE t (n INTEGER)");
    struct process *worker = stop_with_sql(
        lite_options("transaction = true; statements = [\"INSERT INTO t VALUES (1)\", \"INSERT "
                     "INTO t VALUES (2)\"];"),
        SIGTERM);
    expect_done(worker);
    expect_text(lite("SELECT sum(n) FROM t"), "3\n");
}
END_TEST

/* A program that dies leaves its WAL behind; the hook writes it into the database. */
static struct process *start_writer(const char *config_text)
{
    config("%s", config_text);
    struct process *writer =
        start(GRACED, "/usr/bin/python3", "-c",
              "import sqlite3, time\n"
              "d = sqlite3.connect('data.db', isolation_level=None)\n"
              "d.execute('PRAGMA journal_mode = WAL'); d.execute('PRAGMA wal_autocheckpoint = 0')\n"
              "d.execute('CREATE TABLE t (n INTEGER)')\n"
              "for n in range(500): d.execute('INSERT INTO t VALUES (?)', (n,))\n"
              "print('ready', flush=True)\nwhile True: time.sleep(1000)");
    wait_ready(writer);
    return writer;
}

START_TEST(the_wal_is_checkpointed)
{
    struct stat status;
    struct process *writer = start_writer(
        text("hooks = (%s);",
             hook_shipped("sql", lite_options("statements = \"PRAGMA wal_checkpoint(TRUNCATE)\";"),
                          "phase = \"cleanup\";")));
    expect(stat(here("data.db-wal"), &status) == 0 && status.st_size > 4096);
    expect_status(stop_with(writer, SIGKILL), KILLED(SIGKILL));
    wait_all_gone();
    expect(stat(here("data.db-wal"), &status) != 0 || status.st_size == 0);
    shell("rm -f data.db-wal data.db-shm");
    expect_text(lite("SELECT count(*) FROM t"), "500\n");
}
END_TEST

START_TEST(a_checkpoint_that_is_not_complete_is_a_failure)
{
    struct process *writer = start_writer(
        text("hooks = (%s);",
             hook_shipped("sql", lite_options("statements = \"PRAGMA wal_checkpoint(TRUNCATE)\";"),
                          "phase = \"cleanup\"; timeout = \"3s\";")));
    struct process *reader =
        start(BARE, "/usr/bin/python3", "-c",
              "import sqlite3, time\n"
              "d = sqlite3.connect('data.db', isolation_level=None)\n"
              "d.execute('BEGIN'); d.execute('SELECT count(*) FROM t').fetchall()\n"
              "print('ready', flush=True)\nwhile True: time.sleep(1000)");
    wait_ready(reader);
    expect_status(stop_with(writer, SIGTERM), KILLED(SIGTERM));
    /* The guardian is still at it; the reader stays until it has given up. */
    wait_contains(writer->err, "statement 1: the checkpoint is not complete");
    send_signal(reader, SIGKILL);
    wait_end(reader);
    wait_all_gone();
}
END_TEST

START_TEST(what_keeps_sqlite_from_it_is_told)
{
    struct process *worker = stop_with_sql(lite_options("statements = \"SELECT 1\";"), SIGTERM);
    expect_logged(worker, text("cannot open %s: No such file or directory", here("data.db")));
    expect(!exists("data.db"));
    write_file("data.db", "this is no database, but a text of more than a few bytes\n");
    expect_logged(stop_with_sql(lite_options("statements = \"SELECT * FROM t\";"), SIGTERM),
                  "file is not a database");
    expect_logged(stop_with_sql(lite_options("statements = \"SELECT 1; SELECT 2\";"), SIGTERM),
                  "statement 1: it is not one statement");
}
END_TEST

START_TEST(a_database_in_use_is_told_of_in_time)
{
    lite("CREATE TABLE t (n INTEGER)");
    struct process *holder =
        start(BARE, "/usr/bin/python3", "-c",
              "import sqlite3, time\n"
              "d = sqlite3.connect('data.db', isolation_level=None); d.execute('BEGIN IMMEDIATE')\n"
              "print('ready', flush=True)\nwhile True: time.sleep(1000)");
    wait_ready(holder);
    config("hooks = (%s);",
           hook_shipped("sql", lite_options("statements = \"INSERT INTO t VALUES (1)\";"),
                        "timeout = \"3s\";"));
    struct process *worker = stop_worker(SIGTERM);
    send_signal(holder, SIGKILL);
    wait_end(holder);
    expect_logged(worker, "statement 1: the database is in use by another process");
}
END_TEST

/* ---- PostgreSQL ------------------------------------------------------------------------------ */

static int port;

static const char *postgres_folder(void)
{
    glob_t found;
    expect(glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0);
    const char *path = found.gl_pathv[found.gl_pathc - 1];
    return text("%.*s", (int)(strrchr(path, '/') - path), path);
}

/* Of its own for the story; user "owner" has the password, which the socket does not ask for. */
static struct process *serve(void)
{
    const char *folder = postgres_folder();
    const char *user = geteuid() == 0 ? "postgres" : NULL;
    port = free_port();
    write_file("password", "s3cret-s3cret\n");
    struct launch how = {.way = BARE,
                         .argv = ARGV(text("%s/initdb", folder), "-N", "-U", "owner", "-D",
                                      here("data"), "--auth-local=trust",
                                      "--auth-host=scram-sha-256", "--pwfile", here("password")),
                         .user = user};
    expect_status(wait_end(launch(&how)), EXITED(0));
    how.argv = ARGV(text("%s/postgres", folder), "-D", here("data"), "-p", text("%d", port), "-h",
                    "127.0.0.1", "-k", story_directory(), "-F", "-c", "autovacuum=off");
    struct process *server = launch(&how);
    wait_contains(server->err, "ready to accept connections");
    return server;
}

static char *psql(const char *sql)
{
    return shell(text("psql -X -A -t -q -h %s -p %d -U owner -d postgres -c \"%s\"",
                      story_directory(), port, sql));
}

/* Over the socket, as user owner. */
static char *pg_options(const char *more)
{
    return text("url = \"postgresql://owner@/postgres?host=%s&port=%d\"; %s", story_directory(),
                port, more);
}

static void end_server(struct process *server)
{
    send_signal(server, SIGINT);
    wait_end(server);
    wait_all_gone();
}

/* Not until all is gone: the server stays. */
static struct process *stop_beside(const char *options, const char *more)
{
    config("hooks = (%s);", hook_shipped("sql", options, more));
    return stop_worker(SIGTERM);
}

#define expect_said(worker, words)                                                                 \
    expect(strstr(contents((worker)->err), words) != NULL, "%s", contents((worker)->err))

START_TEST(postgres_marks_the_node_offline_with_bound_values)
{
    struct process *server = serve();
    psql("CREATE TABLE nodes (name text, state text, why text, status int, pid int, at "
         "timestamptz)");
    psql("INSERT INTO nodes VALUES ('web1', 'online'), ('web2', 'online')");
    struct process *worker = stop_beside(
        pg_options(
            "statements = [\"UPDATE nodes SET state = 'offline', why = :cause || ':x' || "
            "E'\\\\':y' || $$:z$$, status = :exit_status, pid = :pid, at = now()::timestamptz "
            "WHERE name = 'web1' /* :a /* :b */ :c */\", \"SELECT pg_notify('ends', "
            ":program)\"];"),
        "");
    expect_said(worker, "statement 1: UPDATE 1");
    expect_said(worker, "statement 2: SELECT 1");
    expect_said(worker, "hook \"sql\" (stop) done");
    expect_text(psql("SELECT state, why, status IS NULL, pid, at IS NULL FROM nodes ORDER BY name"),
                text("offline|signal:x':y:z|t|%d|f\nonline||t||t\n", worker->pid));
    end_server(server);
}
END_TEST

/* A session that a dead program left behind (its machine is gone, say) holds a lock: the hook ends
 * that session, after kill -9, too. */
START_TEST(postgres_advisory_locks_are_released)
{
    struct process *server = serve();
    environment("PGAPPNAME", "legacyd");
    struct process *session =
        start(BARE, "/usr/bin/psql", "-XAtq", "-h", story_directory(), "-p", text("%d", port), "-U",
              "owner", "-d", "postgres", "-c", "SELECT 'ready' FROM pg_advisory_lock(42)", "-c",
              "SELECT pg_sleep(1000)");
    environment("PGAPPNAME", NULL);
    wait_ready(session);
    expect_text(psql("SELECT pg_try_advisory_lock(42)"), "f\n");
    config("hooks = (%s);",
           hook_shipped("sql",
                        pg_options("statements = [\"SELECT pg_terminate_backend(pid) FROM "
                                   "pg_stat_activity WHERE application_name = 'legacyd'\"];"),
                        "phase = \"cleanup\";"));
    stop_worker(SIGKILL);
    expect(wait_end(session) != EXITED(0));
    expect(strstr(contents(session->err), "terminating connection") != NULL);
    expect_text(psql("SELECT pg_try_advisory_lock(42)"), "t\n");
    end_server(server);
}
END_TEST

START_TEST(postgres_failures_are_told_and_transactions_undone)
{
    struct process *server = serve();
    psql("CREATE TABLE t (n int UNIQUE)");
    const char *statements = "statements = [\"INSERT INTO t VALUES (1)\", \"INSERT INTO t VALUES "
                             "(1)\", \"INSERT INTO t VALUES (2)\"];";
    struct process *worker =
        stop_beside(pg_options(text("transaction = true; %s", statements)), "");
    expect_said(worker, "statement 2: 23505: duplicate key value violates unique constraint "
                        "\"t_n_key\" (Key (n)=(1) already exists.); nothing of it is kept");
    expect_text(psql("SELECT count(*) FROM t"), "0\n");
    worker = stop_beside(pg_options(statements), "");
    expect_said(worker, "(1 of 3 failed)");
    expect_text(psql("SELECT sum(n) FROM t"), "3\n");
    worker = stop_beside(pg_options("statements = \"SELECT 1; SELECT 2\";"), "");
    expect_said(worker, "42601: cannot insert multiple commands into a prepared statement");
    worker = stop_beside(pg_options("statements = \"COPY t TO STDOUT\";"), "");
    expect_said(worker, "COPY from or to the client is not for a hook");
    worker =
        stop_beside(pg_options("statements = [\"DO $$BEGIN RAISE NOTICE 'hello'; END$$\"];"), "");
    expect_said(worker, "hook \"sql\": NOTICE: hello");
    worker =
        stop_beside(pg_options("statements = \"SELECT pg_sleep(1000)\";"), "timeout = \"3s\";");
    expect_said(worker, "statement 1: 57014: canceling statement due to statement timeout");
    send_signal(server, SIGSTOP);
    worker = stop_beside(pg_options("statements = \"SELECT 1\";"), "timeout = \"1s\";");
    expect_said(worker, "does not answer in time");
    send_signal(server, SIGCONT);
    end_server(server);
    worker = stop_beside(pg_options("statements = \"SELECT 1\";"), "");
    expect_logged(worker, "No such file or directory Is the server running locally");
}
END_TEST

START_TEST(postgres_passwords_come_from_files)
{
    struct process *server = serve();
    const char *url = text("url = \"postgresql://owner@127.0.0.1:%d/postgres\"; "
                           "statements = \"SELECT 1\";",
                           port);
    const char *right = secret_file("right", "s3cret-s3cret", 0600);
    const char *wrong = secret_file("wrong", "guess-guess", 0600);
    const char *passfile =
        secret_file("pgpass", text("127.0.0.1:%d:*:owner:s3cret-s3cret", port), 0600);
    const struct {
        const char *options, *said;
    } rows[] = {
        {text("password_file = \"%s\";", right), "hook \"sql\" (stop) done"},
        {text("passfile = \"%s\";", passfile), "hook \"sql\" (stop) done"},
        {text("password_file = \"%s\";", wrong),
         "FATAL: password authentication failed for user \"owner\""},
        {"passfile = \"/dev/null\";", "passfile: /dev/null is no regular file"},
        {"", "fe_sendauth: no password supplied"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct process *worker = stop_beside(text("%s %s", url, rows[i].options), "");
        expect_said(worker, rows[i].said);
        expect(strstr(contents(worker->err), "s3cret") == NULL &&
               strstr(contents(worker->err), "guess") == NULL);
    }
    end_server(server);
}
END_TEST

/* ---- options --------------------------------------------------------------------------------- */

#define LITE "url = \"sqlite:/x\"; "
#define PG   "url = \"postgresql://x/y\"; "

START_TEST(wrong_options_are_refused)
{
    secret_file("open", "x", 0644);
    const char *rows[][2] = {
        {"statements = \"SELECT 1\";", "\"url\" is missing; expected postgresql://"},
        {"url = \"mysql://x\";", "\"url\" is of another kind; expected postgresql://"},
        {"url = \"sqlite:x\"; statements = \"SELECT 1\";",
         "expected an absolute path, sqlite:/PATH"},
        {"url = \"postgresql://joe:pass@x/y\"; statements = \"SELECT 1\";",
         "\"url\" has a password in it; expected it in a file"},
        {"url = \"postgresql://x/y?nonsense=1\"; statements = \"SELECT 1\";",
         "invalid URI query parameter: \"nonsense\""},
        {LITE, "\"statements\" is missing or empty"},
        {LITE "statements = 3;",
         "option \"statements\" (line 2) is a whole number; expected a list"},
        {LITE "statements = [\"SELECT 1\", \" ; \"];", "statement 2: it is empty"},
        {LITE "statements = [\"SELECT :cuase\"];",
         "statement 1: there is no :cuase; expected :cause"},
        {PG "statements = [\"SELECT 'a' :b\"];", "there is no :b; expected"},
        {LITE "statements = \"SELECT 1\"; transaction = \"yes\";",
         "option \"transaction\" (line 2) is a string; expected true or false"},
        {LITE "statements = \"SELECT 1\"; passfile = \"/etc/hostname\";", "open to others"},
        {text(PG "statements = \"SELECT 1\"; password_file = \"%s\";", here("open")),
         "open to others (mode 0644)"},
        {PG "statements = \"SELECT 1\"; passfile = \"x\";", "is \"x\"; expected an absolute path"},
        {PG "statement = \"SELECT 1\";", "\"statements\" is missing"},
        {PG "statements = \"SELECT 1\"; user = \"x\";", "unknown option \"user\" (line 2)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refused("sql", rows[i][0], rows[i][1]);
    expect_refused_silently(
        "sql", "url = \"postgresql://joe:s3cret@[x/y\"; statements = \"SELECT 1\";", "s3cret");
    expect_refused_silently("sql", "url = \"pg://joe:s3cret@x/y\"; statements = \"SELECT 1\";",
                            "s3cret");
    expect_taken("sql", "url = \"sqlite:///x\"; statements = [\"SELECT :cause, '::x', a::b\"];");
    expect_taken("sql",
                 "url = \"postgres://u@${DB_HOST}/y?sslmode=verify-full\"; transaction = "
                 "true; statements = [\"SELECT a[1:2], $tag$ :x $$ :y $tag$, :pid::int, $1x\"];");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hook sql");
    TCase *group = story_case(all, "sql");
    tcase_add_loop_test(group, a_node_is_marked_offline_however_its_program_ends, 0, 2);
    tcase_add_test(group, values_are_no_part_of_the_statement);
    tcase_add_loop_test(group, a_failed_statement_is_told_and_a_transaction_is_all_or_nothing, 0,
                        sizeof failures / sizeof failures[0]);
    tcase_add_test(group, a_transaction_is_kept_when_all_went_well);
    tcase_add_test(group, the_wal_is_checkpointed);
    tcase_add_test(group, a_checkpoint_that_is_not_complete_is_a_failure);
    tcase_add_test(group, what_keeps_sqlite_from_it_is_told);
    tcase_add_test(group, a_database_in_use_is_told_of_in_time);
    tcase_add_test(group, postgres_marks_the_node_offline_with_bound_values);
    tcase_add_test(group, postgres_advisory_locks_are_released);
    tcase_add_test(group, postgres_failures_are_told_and_transactions_undone);
    tcase_add_test(group, postgres_passwords_come_from_files);
    tcase_add_test(group, wrong_options_are_refused);
    return all;
}
