/* In the middle of what a connection of libmariadb can be in the middle of. Usage: … MOMENT SOCKET.
 */
#include "moments.h"

#include <mysql.h>
#include <poll.h>
#include <sys/mman.h>

static MYSQL *m;
static const char *path;

#define check(good) check_at(__LINE__, (good), mysql_error(m))
#define run(sql)    check(mysql_query(m, sql) == 0)

static void connect_with(unsigned long flags)
{
    m = mysql_init(NULL);
    check(mysql_real_connect(m, NULL, "root", NULL, "d", 0, path, flags) != NULL);
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

/* ---- transactions ---------------------------------------------------------------------------- */

static void begin_in_two_phases(void)
{
    connect_with(0);
    run("XA START 'one'");
    run("INSERT INTO t VALUES (1, 'x')");
}

static void finish_in_two_phases(void)
{
    run("XA END 'one'");
    run("XA PREPARE 'one'");
    run("XA COMMIT 'one'");
}

static void begin_implicitly(void)
{
    connect_with(0);
    run("SET autocommit = 0");
    run("INSERT INTO t VALUES (2, 'x')");
    run("DELETE FROM t WHERE n = 2");
}

static void begin_several(void)
{
    connect_with(CLIENT_MULTI_STATEMENTS);
    run("DELETE FROM t; INSERT INTO t VALUES (1, 'x')");
}

static void finish_several(void)
{
    while (mysql_next_result(m) == 0)
        ;
}

/* The statement ends where what may be read ends. */
static void finish_at_the_edge(void)
{
    const char sql[] = "COMMIT";
    size_t page = (size_t)sysconf(_SC_PAGESIZE), length = sizeof sql - 1;
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(pages != MAP_FAILED && mprotect(pages + page, page, PROT_NONE) == 0);
    memcpy(pages + page - length, sql, length);
    run("INSERT INTO t VALUES (1, 'x')");
    check(mysql_real_query(m, pages + page - length, length) == 0);
}

static void begin(void)
{
    connect_with(0);
    run("START TRANSACTION");
}

/* ---- ways to connect ------------------------------------------------------------------------- */

static int wait_for(int status)
{
    struct pollfd fd = {.fd = mysql_get_socket(m)};
    fd.events = (short)(((status & MYSQL_WAIT_READ) != 0 ? POLLIN : 0) |
                        ((status & MYSQL_WAIT_WRITE) != 0 ? POLLOUT : 0));
    check(poll(&fd, 1, -1) >= 0);
    return ((fd.revents & POLLIN) != 0 ? MYSQL_WAIT_READ : 0) |
           ((fd.revents & POLLOUT) != 0 ? MYSQL_WAIT_WRITE : 0);
}

static void begin_asynchronous(void)
{
    MYSQL *connected;
    int error;
    m = mysql_init(NULL);
    mysql_options(m, MYSQL_OPT_NONBLOCK, NULL);
    int status = mysql_real_connect_start(&connected, m, NULL, "root", NULL, "d", 0, path, 0);
    while (status != 0)
        status = mysql_real_connect_cont(&connected, m, wait_for(status));
    check(connected == m);
    status = mysql_query_start(&error, m, "BEGIN");
    while (status != 0)
        status = mysql_query_cont(&error, m, wait_for(status));
    check(error == 0);
}

/* The server ends the first connection. */
static void begin_again(void)
{
    char kill_it[64];
    my_bool yes = 1;
    m = mysql_init(NULL);
    mysql_options(m, MYSQL_OPT_RECONNECT, &yes);
    check(mysql_real_connect(m, NULL, "root", NULL, "d", 0, path, 0) != NULL);
    unsigned long first = mysql_thread_id(m);
    snprintf(kill_it, sizeof kill_it, "KILL %lu", first);
    mysql_query(m, kill_it);
    while (mysql_ping(m) != 0 || mysql_thread_id(m) == first)
        usleep(1000);
    run("BEGIN");
}

static void begin_as_another(void)
{
    connect_with(0);
    run("BEGIN");
    check(mysql_change_user(m, "root", NULL, "d") == 0);
    run("BEGIN");
}

static int reset_later(void)
{
    int error;
    int status = mysql_reset_connection_start(&error, m);
    while (status != 0)
        status = mysql_reset_connection_cont(&error, m, wait_for(status));
    return error;
}

static void begin_reset(void)
{
    connect_with(0);
    run("BEGIN");
    check(mysql_reset_connection(m) == 0);
    run("BEGIN");
}

/* ---- nothing to finish ----------------------------------------------------------------------- */

static void begin_idle(void)
{
    connect_with(0);
    run("SET autocommit = 0");
}

static void begin_changed(void)
{
    connect_with(0);
    run("BEGIN");
    run("INSERT INTO t VALUES (1, 'x')");
    check(mysql_change_user(m, "root", NULL, "d") == 0);
}

static void begin_and_reset(void)
{
    connect_with(0);
    run("BEGIN");
    run("INSERT INTO t VALUES (1, 'x')");
    check(mysql_reset_connection(m) == 0);
}

static void begin_and_reset_later(void)
{
    m = mysql_init(NULL);
    mysql_options(m, MYSQL_OPT_NONBLOCK, NULL);
    check(mysql_real_connect(m, NULL, "root", NULL, "d", 0, path, 0) != NULL);
    run("BEGIN");
    check(reset_later() == 0);
}

int main(int argc, char **argv)
{
    static const struct moment moments[] = {
        {"two phases", begin_in_two_phases, finish_in_two_phases},
        {"no autocommit", begin_implicitly, finish},
        {"several statements", begin_several, finish_several},
        {"a statement that no zero byte ends", begin, finish_at_the_edge},
        {"an asynchronous connect", begin_asynchronous, finish},
        {"a reconnect", begin_again, finish},
        {"another user", begin_as_another, finish},
        {"a reset", begin_reset, finish},
        {"an idle connection", begin_idle, NULL},
        {"a changed user", begin_changed, NULL},
        {"a transaction that was reset", begin_and_reset, NULL},
        {"one that was reset asynchronously", begin_and_reset_later, NULL},
    };
    if (argc != 3)
        return 64;
    path = argv[2];
    return live(moments, sizeof moments / sizeof *moments, argv[1], begin_new);
}
