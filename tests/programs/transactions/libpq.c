/* A loop of transactions of two rows each, whose beginning and end are also written to a plain
 * file: with prepared statements, in turn with PQexec and asynchronously. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static PGconn *c;

static void check(PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fprintf(stderr, "%s\n", PQerrorMessage(c));
        exit(1);
    }
    PQclear(result);
}

static void run(const char *sql, int number)
{
    if (number % 2 == 0) {
        check(PQexec(c, sql));
        return;
    }
    if (!PQsendQuery(c, sql))
        exit(1);
    for (PGresult *result; (result = PQgetResult(c)) != NULL;)
        check(result);
}

int main(int argc, char **argv)
{
    (void)argc;
    c = PQconnectdb(argv[1]);
    FILE *file = fopen(argv[2], "a");
    if (PQstatus(c) != CONNECTION_OK || file == NULL)
        return fprintf(stderr, "%s\n", PQerrorMessage(c)), 1;
    setvbuf(file, NULL, _IOLBF, BUFSIZ);
    PGresult *last = PQexec(c, "SELECT coalesce(max(n), 0) FROM t");
    int number = atoi(PQgetvalue(last, 0, 0));
    PQclear(last);
    check(PQprepare(c, "insert", "INSERT INTO t VALUES ($1, $2)", 0, NULL));
    puts("ready");
    fflush(stdout);
    for (;;) {
        char text[16];
        snprintf(text, sizeof text, "%d", ++number);
        run("BEGIN", number);
        check(PQexecPrepared(c, "insert", 2, (const char *const[]){text, "first"}, NULL, NULL, 0));
        fprintf(file, "begun %d\n", number);
        check(PQexecPrepared(c, "insert", 2, (const char *const[]){text, "second"}, NULL, NULL, 0));
        run("COMMIT", number);
        fprintf(file, "done %d\n", number);
    }
}
