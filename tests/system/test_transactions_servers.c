/* Transactions on a real PostgreSQL and a real MariaDB: a stop falls between two of them. */
#include <glob.h>
#include <string.h>
#include <unistd.h>

#include "harness_transactions.h"

static void wait_answers(const struct process *server, const char *question)
{
    for (int64_t since = now_ms();; let_pass(20)) {
        struct process *asked = start(BARE, "/bin/sh", "-c", question);
        if (wait_end(asked) == EXITED(0))
            return;
        expect(now_ms() - since < STORY_LIMIT_MS, "%s", contents(server->err));
    }
}

static void end_server(struct process *server)
{
    stop_with(server, SIGTERM);
    wait_all_gone();
}

/* ---- PostgreSQL ------------------------------------------------------------------------------ */

static int port;

static char *postgres_program(const char *name)
{
    glob_t found;
    expect(glob(text("/usr/lib/postgresql/*/bin/%s", name), 0, NULL, &found) == 0);
    char *path = text("%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return path;
}

static char *psql_options(void)
{
    return text("-X -q -h %s -p %d -U owner postgres", story_directory(), port);
}

static char *postgres(const char *sql)
{
    return shell(text("psql -A -t %s -c \"%s\"", psql_options(), sql));
}

static struct process *serve_postgres(void)
{
    const char *user = geteuid() == 0 ? "postgres" : NULL;
    struct launch make = {.way = BARE,
                          .argv = ARGV(postgres_program("initdb"), "-N", "-A", "trust", "-U",
                                       "owner", "-D", here("data")),
                          .user = user};
    expect_status(wait_end(launch(&make)), EXITED(0));
    port = free_port();
    struct launch how = {.way = BARE,
                         .argv = ARGV(postgres_program("postgres"), "-D", here("data"), "-p",
                                      text("%d", port), "-h", "", "-k", story_directory(), "-F",
                                      "-c", "max_prepared_transactions=5"),
                         .user = user};
    struct process *server = launch(&how);
    wait_answers(server, text("psql %s -c 'SELECT 1' 2>&1", psql_options()));
    postgres("CREATE TABLE t (n INTEGER, w TEXT)");
    return server;
}

/* A client each, and a test for each: Check counts the time of one in microseconds, up to 35
 * minutes, and many kills of all of them take longer on a busy machine. */
#define POSTGRES_CLIENTS 5
#define MARIADB_CLIENTS  2

START_TEST(none_is_cut_on_postgres)
{
    struct process *server = serve_postgres();
    const char *dsn = text("host=%s port=%d user=owner dbname=postgres", story_directory(), port);
    const char *perl_dsn = text("dbi:Pg:host=%s;port=%d;dbname=postgres", story_directory(), port);
    const char *php_dsn = text("pgsql:host=%s;port=%d;dbname=postgres", story_directory(), port);
    const struct committer committers[POSTGRES_CLIENTS] = {
        {"C, libpq", ARGV(program("transactions/libpq"), dsn, "file")},
        {"Python, psycopg2", ARGV("/usr/bin/python3", script("psycopg.py"), dsn, "file")},
        {"PHP, PDO", ARGV("php", script("pdo.php"), php_dsn, "file", "owner")},
        {"Perl, DBI", ARGV("perl", script("dbi.pl"), perl_dsn, "file", "owner")},
        {"psql reading a script",
         ARGV(postgres_program("psql"), "-X", "-q", "-h", story_directory(), "-p", text("%d", port),
              "-f", "script.sql", "-U", "owner", "postgres")},
    };
    shell(text("/usr/bin/python3 %s psql file >script.sql", script("script.py")));
    expect_none_cut(&committers[_i], postgres);
    end_server(server);
}
END_TEST

/* Between the two phases there is no transaction on the connection. */
START_TEST(two_phases_are_finished)
{
    struct process *server = serve_postgres();
    config("drain = { timeout = \"30s\"; }; deadline = \"60s\"; hooks = (%s);",
           hook_command("A", "phase = \"cleanup\";"));
    write_file("phases.py",
               "import os, psycopg2, time\n"
               "d = psycopg2.connect('host=%s port=%d user=owner dbname=postgres')\n"
               "d.autocommit = True\n"
               "c = d.cursor()\n"
               "c.execute('BEGIN')\n"
               "c.execute(\"INSERT INTO t VALUES (1, 'x')\")\n"
               "print('ready', flush=True)\n"
               "while not os.path.exists('go'): time.sleep(0.01)\n"
               "c.execute(\"PREPARE TRANSACTION 'one'\")\n"
               "c.execute(\"COMMIT PREPARED 'one'\")\n"
               "open('file', 'w').write('done')\n"
               "c.execute(\"INSERT INTO t VALUES (2, 'x')\")\n",
               story_directory(), port);
    struct process *worker = start_committer(GRACED, ARGV("/usr/bin/python3", here("phases.py")));
    wait_ready(worker);
    send_signal(worker, SIGTERM);
    wait_transactions(worker, 1);
    write_file("go", "%s", "");
    expect_status(wait_end(worker), KILLED(SIGTERM));
    expect_text(postgres("SELECT n FROM t"), "1\n");
    expect_text(postgres("SELECT count(*) FROM pg_prepared_xacts"), "0\n");
    expect_text(contents("file"), "done");
    end_server(server);
}
END_TEST

/* Stop the program once for each moment of it; the table has row 1 when it is over. */
static void expect_moments(const char *name, const char *where, const char *const *moments,
                           query_function *query)
{
    for (; *moments != NULL; moments++) {
        query("DELETE FROM t");
        expect_finished(stop_in_the_middle(ARGV(program(name), *moments, where)));
        expect_text(text("%s: %s", *moments, query("SELECT n FROM t")), text("%s: 1\n", *moments));
    }
}

START_TEST(what_libpq_is_in_the_middle_of_is_finished)
{
    struct process *server = serve_postgres();
    const char *dsn = text("host=%s port=%d user=owner dbname=postgres", story_directory(), port);
    expect_moments("transactions/libpq_moments", dsn,
                   ARGV("COPY in", "COPY out", "a pipeline", "one long statement",
                        "an asynchronous connect", "a reset", "a savepoint", "two threads"),
                   postgres);
    expect_nothing_to_finish(
        ARGV(program("transactions/libpq_moments"), "a failed transaction", dsn));
    expect_nothing_to_finish(
        ARGV(program("transactions/libpq_moments"), "an idle connection", dsn));
    end_server(server);
}
END_TEST

/* ---- MariaDB --------------------------------------------------------------------------------- */

static char *client(void)
{
    return text("mariadb --no-defaults -S %s -N", here("socket"));
}

static char *mariadb(const char *sql)
{
    return shell(text("%s d -e \"%s\"", client(), sql));
}

static struct process *serve_mariadb(void)
{
    const char *user = geteuid() == 0 ? "--user=root" : "--skip-external-locking";
    shell(text("mariadb-install-db --no-defaults --datadir=%s --skip-test-db "
               "--auth-root-authentication-method=normal %s >install.log 2>&1",
               here("data"), user));
    struct process *server =
        start(BARE, "/usr/sbin/mariadbd", "--no-defaults", text("--datadir=%s", here("data")),
              text("--socket=%s", here("socket")), "--skip-networking", "--skip-grant-tables", user,
              "--innodb-flush-log-at-trx-commit=0");
    wait_answers(server, text("%s -e 'SELECT 1' 2>&1", client()));
    shell(text("%s -e 'CREATE DATABASE d; CREATE TABLE d.t (n INTEGER, w TEXT) ENGINE=InnoDB'",
               client()));
    return server;
}

START_TEST(none_is_cut_on_mariadb)
{
    struct process *server = serve_mariadb();
    const char *dsn = text("dbi:MariaDB:database=d;mariadb_socket=%s", here("socket"));
    const struct committer committers[MARIADB_CLIENTS] = {
        {"C, libmariadb", ARGV(program("transactions/mariadb"), here("socket"), "file")},
        {"Perl, DBI", ARGV("perl", script("dbi.pl"), dsn, "file", "root")},
    };
    expect_none_cut(&committers[_i], mariadb);
    end_server(server);
}
END_TEST

START_TEST(what_libmariadb_is_in_the_middle_of_is_finished)
{
    struct process *server = serve_mariadb();
    const char *name = program("transactions/mariadb_moments"), *where = here("socket");
    expect_moments("transactions/mariadb_moments", where,
                   ARGV("two phases", "no autocommit", "several statements",
                        "a statement that no zero byte ends", "an asynchronous connect",
                        "a reconnect", "another user", "a reset"),
                   mariadb);
    expect_nothing_to_finish(ARGV(name, "an idle connection", where));
    expect_nothing_to_finish(ARGV(name, "a changed user", where));
    expect_nothing_to_finish(ARGV(name, "a transaction that was reset", where));
    expect_nothing_to_finish(ARGV(name, "one that was reset asynchronously", where));
    end_server(server);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("transactions, servers");
    TCase *group = transaction_case(all, "servers");
    tcase_add_loop_test(group, none_is_cut_on_postgres, 0, POSTGRES_CLIENTS);
    tcase_add_test(group, two_phases_are_finished);
    tcase_add_loop_test(group, none_is_cut_on_mariadb, 0, MARIADB_CLIENTS);
    tcase_add_test(group, what_libpq_is_in_the_middle_of_is_finished);
    tcase_add_test(group, what_libmariadb_is_in_the_middle_of_is_finished);
    return all;
}
