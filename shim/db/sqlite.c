/*
 * SQLite. A connection is in a transaction from BEGIN or the first SAVEPOINT on, until autocommit
 * is back. A statement that changes something outside of one is a transaction by itself: most are
 * over within one step; one that returns rows ends with its last step; a blob that is open for
 * writing, and a backup's destination, are in one until they are closed. One that only reads may be
 * left where it is.
 *
 * What is not told by autocommit is told by sqlite3_txn_state, which waits for the connection's
 * mutex. So that is tried first: whoever has it is inside a statement, for as long as that takes. A
 * connection that was opened without a mutex is not asked from another thread.
 */
#include "db.h"

enum {
    STEP,
    EXEC,
    GET_TABLE,
    BLOB_OPEN,
    BACKUP_INIT,
    DB_HANDLE,
    GET_AUTOCOMMIT,
    STMT_BUSY,
    STMT_READONLY,
    DB_FILENAME,
    DB_MUTEX,
    MUTEX_TRY,
    MUTEX_LEAVE,
    TXN_STATE,
    ERRCODE,
    COUNT
};

static int step(void *statement);
static int execute(void *db, const char *sql, void *callback, void *argument, char **error);
static int get_table(void *db, const char *sql, char ***result, int *rows, int *columns,
                     char **error);
static int blob_open(void *db, const char *database, const char *table, const char *column,
                     int64_t row, int flags, void **blob);
static void *backup_init(void *to, const char *to_name, void *from, const char *from_name);

static struct grace_db_call calls[COUNT] = {
    [STEP] = {"sqlite3_step", (void *)step, NULL},
    [EXEC] = {"sqlite3_exec", (void *)execute, NULL},
    [GET_TABLE] = {"sqlite3_get_table", (void *)get_table, NULL},
    [BLOB_OPEN] = {"sqlite3_blob_open", (void *)blob_open, NULL},
    [BACKUP_INIT] = {"sqlite3_backup_init", (void *)backup_init, NULL},
    [DB_HANDLE] = {"sqlite3_db_handle", NULL, NULL},
    [GET_AUTOCOMMIT] = {"sqlite3_get_autocommit", NULL, NULL},
    [STMT_BUSY] = {"sqlite3_stmt_busy", NULL, NULL},
    [STMT_READONLY] = {"sqlite3_stmt_readonly", NULL, NULL},
    [DB_FILENAME] = {"sqlite3_db_filename", NULL, NULL},
    [DB_MUTEX] = {"sqlite3_db_mutex", NULL, NULL},
    [MUTEX_TRY] = {"sqlite3_mutex_try", NULL, NULL},
    [MUTEX_LEAVE] = {"sqlite3_mutex_leave", NULL, NULL},
    [TXN_STATE] = {"sqlite3_txn_state", NULL, NULL},
    [ERRCODE] = {"sqlite3_errcode", NULL, NULL},
};

#define LIBRARY        grace_db_sqlite
#define REAL(of, call) ((__typeof__(of) *)calls[call].original)

/* ---- statements ---------------------------------------------------------------------------- */

typedef int about_handle(void *handle);
typedef void *handle_of(void *statement);

static bool is_half_written(void *statement)
{
    return REAL(about_handle, STMT_BUSY)(statement) != 0 &&
           REAL(about_handle, STMT_READONLY)(statement) == 0;
}

static int step(void *statement)
{
    if (statement == NULL)
        return REAL(step, STEP)(statement);
    return GRACE_DB_CALL(LIBRARY, REAL(handle_of, DB_HANDLE)(statement), is_half_written(statement),
                         REAL(step, STEP)(statement));
}

static int execute(void *db, const char *sql, void *callback, void *argument, char **error)
{
    return GRACE_DB_CALL(LIBRARY, db, false,
                         REAL(execute, EXEC)(db, sql, callback, argument, error));
}

static int get_table(void *db, const char *sql, char ***result, int *rows, int *columns,
                     char **error)
{
    return GRACE_DB_CALL(LIBRARY, db, false,
                         REAL(get_table, GET_TABLE)(db, sql, result, rows, columns, error));
}

static int blob_open(void *db, const char *database, const char *table, const char *column,
                     int64_t row, int flags, void **blob)
{
    return GRACE_DB_CALL(LIBRARY, db, false,
                         REAL(blob_open, BLOB_OPEN)(db, database, table, column, row, flags, blob));
}

static void *backup_init(void *to, const char *to_name, void *from, const char *from_name)
{
    return GRACE_DB_CALL(LIBRARY, to, false,
                         REAL(backup_init, BACKUP_INIT)(to, to_name, from, from_name));
}

/* ---- open and close ------------------------------------------------------------------------ */

#define ERROR  1  /* SQLITE_ERROR */
#define MISUSE 21 /* SQLITE_MISUSE */

/* Until its functions are known nothing is kept. */
static int opened(int result, void *const *db)
{
    if (result == 0 && atomic_load(&LIBRARY.known) != 0)
        grace_db_add(&LIBRARY, *db);
    return result;
}

#define OPEN(name, parameters, arguments)                                                          \
    GRACE_DB_EXPORT int name parameters;                                                           \
    GRACE_DB_EXPORT int name parameters                                                            \
    {                                                                                              \
        __typeof__(name) *real = grace_db_real(&LIBRARY, #name, __builtin_return_address(0));      \
        if (real != NULL)                                                                          \
            return opened(real arguments, db);                                                     \
        *db = NULL;                                                                                \
        return ERROR;                                                                              \
    }

OPEN(sqlite3_open, (const char *file, void **db), (file, db))
OPEN(sqlite3_open16, (const void *file, void **db), (file, db))
OPEN(sqlite3_open_v2, (const char *file, void **db, int flags, const char *vfs),
     (file, db, flags, vfs))

/* A close may be refused while statements are left: then it is a connection still. */
#define CLOSE(name)                                                                                \
    GRACE_DB_EXPORT int name(void *db);                                                            \
    GRACE_DB_EXPORT int name(void *db)                                                             \
    {                                                                                              \
        about_handle *real = grace_db_real(&LIBRARY, #name, __builtin_return_address(0));          \
        bool is_kept = db != NULL && grace_db_find(db) != NULL;                                    \
        grace_db_remove(db);                                                                       \
        int result = real != NULL ? real(db) : ERROR;                                              \
        if (result != 0 && is_kept)                                                                \
            grace_db_add(&LIBRARY, db);                                                            \
        return result;                                                                             \
    }

CLOSE(sqlite3_close)
CLOSE(sqlite3_close_v2)

/* ---- what is asked ------------------------------------------------------------------------- */

typedef int state_of(void *db, const char *database);
typedef void leave_mutex(void *mutex);

#define WRITES 2 /* SQLITE_TXN_WRITE */

static enum grace_db_state state(void *db)
{
    if (REAL(about_handle, GET_AUTOCOMMIT)(db) == 0)
        return GRACE_DB_IN_TRANSACTION;
    void *mutex = calls[TXN_STATE].original == NULL ? NULL : REAL(handle_of, DB_MUTEX)(db);
    if (mutex == NULL)
        return GRACE_DB_IDLE;
    if (REAL(about_handle, MUTEX_TRY)(mutex) != 0)
        return GRACE_DB_OCCUPIED;
    bool writes = REAL(state_of, TXN_STATE)(db, NULL) == WRITES;
    REAL(leave_mutex, MUTEX_LEAVE)(mutex);
    return writes ? GRACE_DB_IN_TRANSACTION : GRACE_DB_IDLE;
}

/* One that sqlite3_close_v2 left to its last statement goes with that, and nobody tells us. */
static bool is_open(void *db)
{
    return REAL(about_handle, ERRCODE)(db) != MISUSE;
}

typedef const char *filename_of(void *db, const char *database);

static const char *database(void *db)
{
    return calls[DB_FILENAME].original == NULL ? NULL : REAL(filename_of, DB_FILENAME)(db, "main");
}

static const char *const files[] = {"libsqlite3.so.0", NULL};
static const char *const opens[] = {"sqlite3_open",  "sqlite3_open_v2",  "sqlite3_open16",
                                    "sqlite3_close", "sqlite3_close_v2", NULL};
static void *const wrappers[] = {(void *)sqlite3_open, (void *)sqlite3_open_v2,
                                 (void *)sqlite3_open16, (void *)sqlite3_close,
                                 (void *)sqlite3_close_v2};

struct grace_db_library grace_db_sqlite = {
    .name = "SQLite",
    .files = files,
    .opens = opens,
    .wrappers = wrappers,
    .calls = calls,
    .count = COUNT,
    .needed = GET_AUTOCOMMIT,
    .state = state,
    .database = database,
    .is_open = is_open,
};
