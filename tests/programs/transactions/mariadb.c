/* A loop of transactions of two rows each, whose beginning and end are also written to a plain
 * file: in turn with BEGIN and COMMIT, and with autocommit off. The second row goes in by a
 * prepared statement. */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static MYSQL *m;

static void check(int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s\n", mysql_error(m));
    exit(1);
}

static int last_number(void)
{
    check(mysql_query(m, "SELECT coalesce(max(n), 0) FROM t"));
    MYSQL_RES *result = mysql_store_result(m);
    int number = atoi(mysql_fetch_row(result)[0]);
    mysql_free_result(result);
    check(mysql_query(m, "COMMIT"));
    return number;
}

int main(int argc, char **argv)
{
    (void)argc;
    int number;
    MYSQL_BIND bind;
    m = mysql_init(NULL);
    FILE *file = fopen(argv[2], "a");
    if (file == NULL || mysql_real_connect(m, NULL, "root", NULL, "d", 0, argv[1], 0) == NULL)
        return fprintf(stderr, "%s\n", mysql_error(m)), 1;
    setvbuf(file, NULL, _IOLBF, BUFSIZ);
    number = last_number();
    const char insert[] = "INSERT INTO t VALUES (?, 'second')";
    MYSQL_STMT *second = mysql_stmt_init(m);
    check(mysql_stmt_prepare(second, insert, sizeof insert - 1));
    memset(&bind, 0, sizeof bind);
    bind.buffer_type = MYSQL_TYPE_LONG;
    bind.buffer = &number;
    check(mysql_stmt_bind_param(second, &bind));
    puts("ready");
    fflush(stdout);
    for (;;) {
        char sql[80];
        int length = snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d, 'first')", ++number);
        if (number % 2 == 0)
            check(mysql_query(m, "BEGIN"));
        else
            check(mysql_autocommit(m, 0));
        check(mysql_real_query(m, sql, (unsigned long)length));
        fprintf(file, "begun %d\n", number);
        check(mysql_stmt_execute(second));
        if (number % 2 == 0)
            check(mysql_query(m, "COMMIT"));
        else
            check(mysql_commit(m));
        fprintf(file, "done %d\n", number);
        if (number % 2 != 0)
            check(mysql_autocommit(m, 1));
    }
}
