/* In the middle of what a connection of libpq can be in the middle of. Usage: … MOMENT DSN. */
#include "moments.h"

#include <libpq-fe.h>
#include <pthread.h>

static PGconn *c;
static const char *dsn;

#define check(good) check_at(__LINE__, (good), PQerrorMessage(c))

static void expect_result(PGresult *result, ExecStatusType status)
{
    check(PQresultStatus(result) == status);
    PQclear(result);
}

static void run(const char *sql)
{
    expect_result(PQexec(c, sql), PGRES_COMMAND_OK);
}

static void connect_it(void)
{
    c = PQconnectdb(dsn);
    check(PQstatus(c) == CONNECTION_OK);
}

static void begin_new(void)
{
    run("INSERT INTO t VALUES (99, 'new')");
}

static void finish(void)
{
    run("INSERT INTO t VALUES (1, 'x')");
    run("COMMIT");
}

/* ---- COPY ------------------------------------------------------------------------------------ */

static void begin_copy_in(void)
{
    connect_it();
    expect_result(PQexec(c, "COPY t FROM STDIN"), PGRES_COPY_IN);
    check(PQputCopyData(c, "1\tx\n", 4) == 1);
}

static void read_to_end(void)
{
    for (PGresult *result; (result = PQgetResult(c)) != NULL;)
        expect_result(result, PGRES_COMMAND_OK);
}

static void finish_copy_in(void)
{
    check(PQputCopyEnd(c, NULL) == 1);
    read_to_end();
}

static void begin_copy_out(void)
{
    char *row;
    connect_it();
    run("INSERT INTO t VALUES (1, 'x')");
    expect_result(PQexec(c, "COPY (SELECT generate_series(1, 100000)) TO STDOUT"), PGRES_COPY_OUT);
    check(PQgetCopyData(c, &row, 0) > 0);
    PQfreemem(row);
}

static void finish_copy_out(void)
{
    char *row;
    while (PQgetCopyData(c, &row, 0) > 0)
        PQfreemem(row);
    read_to_end();
}

/* ---- statements whose answer is still to come ------------------------------------------------ */

static void send(const char *sql)
{
    check(PQsendQueryParams(c, sql, 0, NULL, NULL, NULL, NULL, 0) == 1);
}

static void begin_pipeline(void)
{
    connect_it();
    check(PQenterPipelineMode(c) == 1);
    send("INSERT INTO t VALUES (1, 'x')");
    check(PQflush(c) == 0);
}

static void finish_pipeline(void)
{
    send("INSERT INTO t VALUES (2, 'x')");
    send("DELETE FROM t WHERE n = 2");
    check(PQpipelineSync(c) == 1);
    for (unsigned synced = 0, results = 0; !synced;) {
        PGresult *result = PQgetResult(c);
        synced = result != NULL && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        check(result == NULL || synced || PQresultStatus(result) == PGRES_COMMAND_OK);
        check(++results < 100);
        PQclear(result);
    }
    check(PQexitPipelineMode(c) == 1);
}

/* The server waits for the file, within one statement. */
static void begin_long(void)
{
    char sql[1024], directory[512];
    check(getcwd(directory, sizeof directory) != NULL);
    connect_it();
    snprintf(sql, sizeof sql,
             "DO $$ BEGIN WHILE pg_stat_file('%s/go', true) IS NULL LOOP PERFORM pg_sleep(0.01); "
             "END LOOP; INSERT INTO t VALUES (1, 'x'); END $$",
             directory);
    puts("ready");
    fflush(stdout);
    run(sql);
}

static void finish_nothing(void)
{
}

/* ---- ways to connect ------------------------------------------------------------------------- */

static void poll_with(PostgresPollingStatusType (*poll_once)(PGconn *))
{
    PostgresPollingStatusType status;
    while ((status = poll_once(c)) != PGRES_POLLING_OK) {
        check(status != PGRES_POLLING_FAILED);
        usleep(1000);
    }
    check(PQstatus(c) == CONNECTION_OK);
}

static void begin_asynchronous(void)
{
    c = PQconnectStart(dsn);
    check(c != NULL && PQstatus(c) != CONNECTION_BAD);
    poll_with(PQconnectPoll);
    check(PQsetnonblocking(c, 1) == 0 && PQsendQuery(c, "BEGIN") == 1);
    read_to_end();
}

static void begin_reset(void)
{
    connect_it();
    run("BEGIN");
    PQreset(c);
    check(PQtransactionStatus(c) == PQTRANS_IDLE);
    run("BEGIN");
    check(PQresetStart(c) == 1);
    poll_with(PQresetPoll);
    run("BEGIN");
}

/* ---- within a transaction -------------------------------------------------------------------- */

static void begin_savepoint(void)
{
    connect_it();
    run("BEGIN");
    run("SAVEPOINT a");
    expect_result(PQexec(c, "SELECT 1 / 0"), PGRES_FATAL_ERROR);
    check(PQtransactionStatus(c) == PQTRANS_INERROR);
    run("ROLLBACK TO a");
}

static void *insert(void *unused)
{
    wait_file("go");
    run("INSERT INTO t VALUES (1, 'x')");
    return unused;
}

/* One thread begins and ends it, another one works in it. */
static pthread_t second;

static void begin_shared(void)
{
    connect_it();
    run("BEGIN");
    pthread_create(&second, NULL, insert, NULL);
}

static void finish_shared(void)
{
    pthread_join(second, NULL);
    run("COMMIT");
}

/* ---- nothing to finish ----------------------------------------------------------------------- */

static void begin_failed(void)
{
    connect_it();
    run("BEGIN");
    expect_result(PQexec(c, "SELECT 1 / 0"), PGRES_FATAL_ERROR);
}

static void begin_idle(void)
{
    connect_it();
    run("LISTEN somebody");
}

int main(int argc, char **argv)
{
    static const struct moment moments[] = {
        {"COPY in", begin_copy_in, finish_copy_in},
        {"COPY out", begin_copy_out, finish_copy_out},
        {"a pipeline", begin_pipeline, finish_pipeline},
        {"one long statement", begin_long, finish_nothing},
        {"an asynchronous connect", begin_asynchronous, finish},
        {"a reset", begin_reset, finish},
        {"a savepoint", begin_savepoint, finish},
        {"two threads", begin_shared, finish_shared},
        {"a failed transaction", begin_failed, NULL},
        {"an idle connection", begin_idle, NULL},
    };
    if (argc != 3)
        return 64;
    dsn = argv[2];
    return live(moments, sizeof moments / sizeof *moments, argv[1], begin_new);
}
