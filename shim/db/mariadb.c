/*
 * libmariadb. The server says with each answer whether a transaction is open, with autocommit off
 * too. Connections of MySQL's own library are not followed: it has no call that tells.
 *
 * One answer libmariadb does not look at: that of mysql_reset_connection, which rolls back. Until
 * the next statement it says that the transaction is open (3.3, libmariadb/mariadb_lib.c: what
 * db_command reads stays unread). Then that is put right in its handle.
 */
#include "db.h"

#include <string.h>

typedef void mysql;
typedef void statement;

enum {
    QUERY,
    REAL_QUERY,
    SEND_QUERY,
    QUERY_START,
    REAL_QUERY_START,
    STMT_EXECUTE,
    STMT_EXECUTE_START,
    STMT_DIRECT,
    INFO,
    COUNT
};

static struct grace_db_call calls[COUNT];

#define LIBRARY        grace_db_mariadb
#define REAL(of, call) ((__typeof__(of) *)calls[call].original)

/* ---- statements ---------------------------------------------------------------------------- */

/* How a MYSQL_STMT of libmariadb.so.3 begins: MA_MEM_ROOT and MYSQL. */
struct memory {
    void *free, *used, *before;
    size_t least, block;
    unsigned blocks, first_use;
    void (*on_error)(void);
};
struct statement_head {
    struct memory memory;
    mysql *connection;
};

static mysql *connection_of(const statement *prepared)
{
    return ((const struct statement_head *)prepared)->connection;
}

#define TO_ITS_END SIZE_MAX /* as mariadb_stmt_execute_direct has it */

static bool only_ends(const char *sql, size_t length)
{
    return sql != NULL && grace_db_only_ends(sql, length == TO_ITS_END ? strlen(sql) : length);
}

#define STATEMENT(name, call, connection, goes_on, parameters, ...)                                \
    static int name parameters                                                                     \
    {                                                                                              \
        return GRACE_DB_CALL(LIBRARY, connection, goes_on, REAL(name, call)(__VA_ARGS__));         \
    }

STATEMENT(query, QUERY, m, only_ends(sql, TO_ITS_END), (mysql * m, const char *sql), m, sql)
STATEMENT(real_query, REAL_QUERY, m, only_ends(sql, length),
          (mysql * m, const char *sql, unsigned long length), m, sql, length)
STATEMENT(send_query, SEND_QUERY, m, only_ends(sql, length),
          (mysql * m, const char *sql, unsigned long length), m, sql, length)
STATEMENT(query_start, QUERY_START, m, only_ends(sql, TO_ITS_END),
          (int *outcome, mysql *m, const char *sql), outcome, m, sql)
STATEMENT(real_query_start, REAL_QUERY_START, m, only_ends(sql, length),
          (int *outcome, mysql *m, const char *sql, unsigned long length), outcome, m, sql, length)
STATEMENT(stmt_execute, STMT_EXECUTE, connection_of(s), false, (statement * s), s)
STATEMENT(stmt_execute_start, STMT_EXECUTE_START, connection_of(s), false,
          (int *outcome, statement *s), outcome, s)
STATEMENT(stmt_direct, STMT_DIRECT, connection_of(s), only_ends(sql, length),
          (statement * s, const char *sql, size_t length), s, sql, length)

static struct grace_db_call calls[COUNT] = {
    [QUERY] = {"mysql_query", (void *)query, NULL},
    [REAL_QUERY] = {"mysql_real_query", (void *)real_query, NULL},
    [SEND_QUERY] = {"mysql_send_query", (void *)send_query, NULL},
    [QUERY_START] = {"mysql_query_start", (void *)query_start, NULL},
    [REAL_QUERY_START] = {"mysql_real_query_start", (void *)real_query_start, NULL},
    [STMT_EXECUTE] = {"mysql_stmt_execute", (void *)stmt_execute, NULL},
    [STMT_EXECUTE_START] = {"mysql_stmt_execute_start", (void *)stmt_execute_start, NULL},
    [STMT_DIRECT] = {"mariadb_stmt_execute_direct", (void *)stmt_direct, NULL},
    [INFO] = {"mariadb_get_infov", NULL, NULL},
};

/* ---- open and close ------------------------------------------------------------------------ */

/* The library's own calls come here, too: a reconnect connects a handle on the stack, closes what
 * the target's handle has, and copies the new one over it. That is the same connection. */
static bool is_libmariadbs(const void *code)
{
    return atomic_load(&LIBRARY.known) != 0 && grace_db_in_one_object(code, calls[INFO].original);
}

static void opened(mysql *m, const void *caller)
{
    if (m != NULL && atomic_load(&LIBRARY.known) != 0 && !is_libmariadbs(caller))
        grace_db_add(&LIBRARY, m);
}

static void closed(mysql *m, const void *caller)
{
    if (!is_libmariadbs(caller))
        grace_db_remove(m);
}

GRACE_DB_EXPORT mysql *mysql_real_connect(mysql *m, const char *host, const char *user,
                                          const char *password, const char *name, unsigned port,
                                          const char *socket, unsigned long flags);
GRACE_DB_EXPORT mysql *mysql_real_connect(mysql *m, const char *host, const char *user,
                                          const char *password, const char *name, unsigned port,
                                          const char *socket, unsigned long flags)
{
    __typeof__(mysql_real_connect) *real =
        grace_db_real(&LIBRARY, "mysql_real_connect", __builtin_return_address(0));
    mysql *connected =
        real == NULL ? NULL : real(m, host, user, password, name, port, socket, flags);
    opened(connected, __builtin_return_address(0));
    return connected;
}

/* Counted from here on: before it is connected it is in no transaction. */
GRACE_DB_EXPORT int mysql_real_connect_start(mysql **outcome, mysql *m, const char *host,
                                             const char *user, const char *password,
                                             const char *name, unsigned port, const char *socket,
                                             unsigned long flags);
GRACE_DB_EXPORT int mysql_real_connect_start(mysql **outcome, mysql *m, const char *host,
                                             const char *user, const char *password,
                                             const char *name, unsigned port, const char *socket,
                                             unsigned long flags)
{
    __typeof__(mysql_real_connect_start) *real =
        grace_db_real(&LIBRARY, "mysql_real_connect_start", __builtin_return_address(0));
    *outcome = NULL;
    if (real == NULL)
        return 0;
    opened(m, __builtin_return_address(0));
    return real(outcome, m, host, user, password, name, port, socket, flags);
}

GRACE_DB_EXPORT mysql *mariadb_connect(mysql *m, const char *info);
GRACE_DB_EXPORT mysql *mariadb_connect(mysql *m, const char *info)
{
    __typeof__(mariadb_connect) *real =
        grace_db_real(&LIBRARY, "mariadb_connect", __builtin_return_address(0));
    mysql *connected = real == NULL ? NULL : real(m, info);
    opened(connected, __builtin_return_address(0));
    return connected;
}

GRACE_DB_EXPORT void mysql_close(mysql *m);
GRACE_DB_EXPORT void mysql_close(mysql *m)
{
    __typeof__(mysql_close) *real =
        grace_db_real(&LIBRARY, "mysql_close", __builtin_return_address(0));
    closed(m, __builtin_return_address(0));
    if (real != NULL)
        real(m);
}

GRACE_DB_EXPORT int mysql_close_start(mysql *m);
GRACE_DB_EXPORT int mysql_close_start(mysql *m)
{
    __typeof__(mysql_close_start) *real =
        grace_db_real(&LIBRARY, "mysql_close_start", __builtin_return_address(0));
    closed(m, __builtin_return_address(0));
    return real != NULL ? real(m) : 0;
}

/* ---- what is asked ------------------------------------------------------------------------- */

/* enum mariadb_value; SERVER_STATUS_IN_TRANS and SERVER_MORE_RESULTS_EXIST of its answer. */
enum { SCHEMA = 15, SERVER_STATUS = 30 };
#define IN_TRANSACTION 1u
#define MORE_RESULTS   8u

typedef int info_of(mysql *m, int what, void *answer, ...);

static unsigned server_status(mysql *m)
{
    unsigned status = 0;
    REAL(info_of, INFO)(m, SERVER_STATUS, &status);
    return status;
}

static enum grace_db_state state(mysql *m)
{
    unsigned status = server_status(m);
    if ((status & IN_TRANSACTION) != 0)
        return GRACE_DB_IN_TRANSACTION;
    return (status & MORE_RESULTS) != 0 ? GRACE_DB_RUNNING : GRACE_DB_IDLE;
}

/* ---- after a reset ------------------------------------------------------------------------- */

/* How a MYSQL of libmariadb.so.3 begins: NET, and what stands before server_status. */
struct connection_head {
    struct {
        void *buffers[5];
        int socket;
        unsigned long lengths[6];
        unsigned numbers[5];
        int flags;
        void *return_status;
        char bytes[6];
        void *unused;
        unsigned last_error;
        char errors[3], message[512], state[6];
        void *extension;
    } net;
    void *unused, *strings[8], *charset, *fields;
    struct memory memory;
    unsigned long long rows[3];
    unsigned long thread, length;
    unsigned port;
    unsigned long flags, capabilities;
    unsigned protocol, fields_count, server_status;
};

/* Only where the library's own word for it follows. */
static void forget_transaction(mysql *m)
{
    unsigned *field = &((struct connection_head *)m)->server_status, status = server_status(m);
    if ((status & IN_TRANSACTION) == 0 || *field != status)
        return;
    *field = status & ~IN_TRANSACTION;
    if (server_status(m) != *field)
        *field = status;
}

/* The library's own calls come here, too: mysql_reset_connection_start. */
GRACE_DB_EXPORT int mysql_reset_connection(mysql *m);
GRACE_DB_EXPORT int mysql_reset_connection(mysql *m)
{
    __typeof__(mysql_reset_connection) *real =
        grace_db_real(&LIBRARY, "mysql_reset_connection", __builtin_return_address(0));
    int result = real == NULL ? 1 : real(m);
    if (result == 0 && m != NULL && is_libmariadbs((void *)real))
        forget_transaction(m);
    return result;
}

/* ---- the library --------------------------------------------------------------------------- */

static const char *database(mysql *m)
{
    const char *name = NULL;
    REAL(info_of, INFO)(m, SCHEMA, &name);
    return name;
}

static const char *const files[] = {"libmariadb.so.3", NULL};
static const char *const opens[] = {"mysql_real_connect",
                                    "mysql_real_connect_start",
                                    "mariadb_connect",
                                    "mysql_close",
                                    "mysql_close_start",
                                    "mysql_reset_connection",
                                    NULL};
static void *const wrappers[] = {(void *)mysql_real_connect, (void *)mysql_real_connect_start,
                                 (void *)mariadb_connect,    (void *)mysql_close,
                                 (void *)mysql_close_start,  (void *)mysql_reset_connection};

struct grace_db_library grace_db_mariadb = {
    .name = "MariaDB",
    .files = files,
    .opens = opens,
    .wrappers = wrappers,
    .calls = calls,
    .count = COUNT,
    .needed = INFO,
    .state = state,
    .database = database,
};
