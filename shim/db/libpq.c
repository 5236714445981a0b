/*
 * libpq. It follows the state of the server's transaction itself. A pipeline, a COPY and a query
 * whose answer is still to be read are statements that run. In a failed transaction nothing can be
 * kept any more, so it is over; but its ROLLBACK goes through.
 */
#include "db.h"

#include <string.h>

typedef void conn;
typedef void result;
typedef unsigned int oid;
typedef const char *const *strings;

enum {
    EXEC,
    EXEC_PARAMS,
    PREPARE,
    EXEC_PREPARED,
    SEND_QUERY,
    SEND_QUERY_PARAMS,
    SEND_PREPARE,
    SEND_QUERY_PREPARED,
    FN,
    TRANSACTION_STATUS,
    DB,
    COUNT
};

static struct grace_db_call calls[COUNT];

#define LIBRARY        grace_db_libpq
#define REAL(of, call) ((__typeof__(of) *)calls[call].original)

/* ---- statements ---------------------------------------------------------------------------- */

static bool only_ends(const char *query)
{
    return query != NULL && grace_db_only_ends(query, strlen(query));
}

#define STATEMENT(type, name, call, goes_on, parameters, ...)                                      \
    static type name parameters                                                                    \
    {                                                                                              \
        return GRACE_DB_CALL(LIBRARY, c, goes_on, REAL(name, call)(__VA_ARGS__));                  \
    }

STATEMENT(result *, exec, EXEC, only_ends(query), (conn * c, const char *query), c, query)
STATEMENT(result *, exec_params, EXEC_PARAMS, only_ends(query),
          (conn * c, const char *query, int count, const oid *types, strings values,
           const int *lengths, const int *formats, int format),
          c, query, count, types, values, lengths, formats, format)
STATEMENT(result *, prepare, PREPARE, false,
          (conn * c, const char *name, const char *query, int count, const oid *types), c, name,
          query, count, types)
STATEMENT(result *, exec_prepared, EXEC_PREPARED, false,
          (conn * c, const char *name, int count, strings values, const int *lengths,
           const int *formats, int format),
          c, name, count, values, lengths, formats, format)
STATEMENT(int, send_query, SEND_QUERY, only_ends(query), (conn * c, const char *query), c, query)
STATEMENT(int, send_query_params, SEND_QUERY_PARAMS, only_ends(query),
          (conn * c, const char *query, int count, const oid *types, strings values,
           const int *lengths, const int *formats, int format),
          c, query, count, types, values, lengths, formats, format)
STATEMENT(int, send_prepare, SEND_PREPARE, false,
          (conn * c, const char *name, const char *query, int count, const oid *types), c, name,
          query, count, types)
STATEMENT(int, send_query_prepared, SEND_QUERY_PREPARED, false,
          (conn * c, const char *name, int count, strings values, const int *lengths,
           const int *formats, int format),
          c, name, count, values, lengths, formats, format)
STATEMENT(result *, fn, FN, false,
          (conn * c, int number, int *buffer, int *length, int is_int, const void *arguments,
           int count),
          c, number, buffer, length, is_int, arguments, count)

static struct grace_db_call calls[COUNT] = {
    [EXEC] = {"PQexec", (void *)exec, NULL},
    [EXEC_PARAMS] = {"PQexecParams", (void *)exec_params, NULL},
    [PREPARE] = {"PQprepare", (void *)prepare, NULL},
    [EXEC_PREPARED] = {"PQexecPrepared", (void *)exec_prepared, NULL},
    [SEND_QUERY] = {"PQsendQuery", (void *)send_query, NULL},
    [SEND_QUERY_PARAMS] = {"PQsendQueryParams", (void *)send_query_params, NULL},
    [SEND_PREPARE] = {"PQsendPrepare", (void *)send_prepare, NULL},
    [SEND_QUERY_PREPARED] = {"PQsendQueryPrepared", (void *)send_query_prepared, NULL},
    [FN] = {"PQfn", (void *)fn, NULL},
    [TRANSACTION_STATUS] = {"PQtransactionStatus", NULL, NULL},
    [DB] = {"PQdb", NULL, NULL},
};

/* ---- open and close ------------------------------------------------------------------------ */

static conn *opened(conn *c)
{
    if (c != NULL && atomic_load(&LIBRARY.known) != 0)
        grace_db_add(&LIBRARY, c);
    return c;
}

#define OPEN(name, parameters, arguments)                                                          \
    GRACE_DB_EXPORT conn *name parameters;                                                         \
    GRACE_DB_EXPORT conn *name parameters                                                          \
    {                                                                                              \
        __typeof__(name) *real = grace_db_real(&LIBRARY, #name, __builtin_return_address(0));      \
        return real != NULL ? opened(real arguments) : NULL;                                       \
    }

OPEN(PQconnectdb, (const char *info), (info))
OPEN(PQconnectStart, (const char *info), (info))
OPEN(PQconnectdbParams, (strings keys, strings values, int expand), (keys, values, expand))
OPEN(PQconnectStartParams, (strings keys, strings values, int expand), (keys, values, expand))
OPEN(PQsetdbLogin,
     (const char *host, const char *port, const char *options, const char *tty, const char *name,
      const char *login, const char *password),
     (host, port, options, tty, name, login, password))

GRACE_DB_EXPORT void PQfinish(conn *c);
GRACE_DB_EXPORT void PQfinish(conn *c)
{
    __typeof__(PQfinish) *real = grace_db_real(&LIBRARY, "PQfinish", __builtin_return_address(0));
    grace_db_remove(c);
    if (real != NULL)
        real(c);
}

/* ---- what is asked ------------------------------------------------------------------------- */

/* PGTransactionStatusType */
enum { PQTRANS_IDLE, PQTRANS_ACTIVE, PQTRANS_INTRANS, PQTRANS_INERROR };

typedef int status_of(conn *c);
typedef const char *name_of(conn *c);

static enum grace_db_state state(conn *c)
{
    switch (REAL(status_of, TRANSACTION_STATUS)(c)) {
    case PQTRANS_ACTIVE:
        return GRACE_DB_RUNNING;
    case PQTRANS_INTRANS:
        return GRACE_DB_IN_TRANSACTION;
    case PQTRANS_INERROR:
        return GRACE_DB_FAILED;
    default:
        return GRACE_DB_IDLE;
    }
}

static const char *database(conn *c)
{
    return calls[DB].original == NULL ? NULL : REAL(name_of, DB)(c);
}

static const char *const files[] = {"libpq.so.5", NULL};
static const char *const opens[] = {"PQconnectdb",
                                    "PQconnectStart",
                                    "PQconnectdbParams",
                                    "PQconnectStartParams",
                                    "PQsetdbLogin",
                                    "PQfinish",
                                    NULL};
static void *const wrappers[] = {(void *)PQconnectdb,       (void *)PQconnectStart,
                                 (void *)PQconnectdbParams, (void *)PQconnectStartParams,
                                 (void *)PQsetdbLogin,      (void *)PQfinish};

struct grace_db_library grace_db_libpq = {
    .name = "PostgreSQL",
    .files = files,
    .opens = opens,
    .wrappers = wrappers,
    .calls = calls,
    .count = COUNT,
    .needed = TRANSACTION_STATUS,
    .state = state,
    .database = database,
};
