#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "database.h"

/* How many steps of SQLite's machine there are between two looks at the clock. */
#define STEPS_BETWEEN_LOOKS 10000

struct database {
    sqlite3 *sqlite;
    int64_t until_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int is_late(void *argument)
{
    const struct database *database = argument;
    return now_ms() >= database->until_ms;
}

static int fail(const struct database *database, struct grace_error *error)
{
    int code = sqlite3_errcode(database->sqlite);
    if (code == SQLITE_INTERRUPT)
        return grace_error_set(error, "it took too long");
    if (code == SQLITE_BUSY)
        return grace_error_set(error, "the database is in use by another process (%s)",
                               sqlite3_errmsg(database->sqlite));
    return grace_error_set(error, "%.300s", sqlite3_errmsg(database->sqlite));
}

static int check(const struct grace_sql_place *place, struct grace_error *error)
{
    if (place->url[0] != '/')
        return grace_error_set(error, "option \"url\": expected an absolute path, sqlite:/PATH");
    if (place->passfile != NULL || place->password_file != NULL)
        return grace_error_set(error, "options \"passfile\" and \"password_file\" are for "
                                      "postgresql://");
    return 0;
}

static void close_database(void *argument)
{
    struct database *database = argument;
    sqlite3_close(database->sqlite);
    free(database);
}

static void *open_database(const struct grace_sql_place *place, const struct grace_stop *stop,
                           struct grace_error *error)
{
    struct stat status;
    struct database *database = calloc(1, sizeof *database);
    (void)stop;
    if (database == NULL) {
        grace_error_set(error, "out of memory");
        return NULL;
    }
    database->until_ms = now_ms() + place->patience_ms;
    /* SQLite does not say why it cannot open a file; and one that is not there is not made. */
    if (stat(place->url, &status) != 0) {
        grace_error_set(error, "cannot open %.300s: %s", place->url, strerror(errno));
    } else if (sqlite3_open_v2(place->url, &database->sqlite, SQLITE_OPEN_READWRITE, NULL) !=
               SQLITE_OK) {
        grace_error_set(error, "cannot open %.300s: %s", place->url,
                        database->sqlite != NULL ? sqlite3_errmsg(database->sqlite) : "no memory");
    } else {
        sqlite3_busy_timeout(database->sqlite, (int)place->patience_ms);
        sqlite3_progress_handler(database->sqlite, STEPS_BETWEEN_LOOKS, is_late, database);
        return database;
    }
    close_database(database);
    return NULL;
}

static int bind(sqlite3_stmt *prepared, const struct grace_sql_statement *statement)
{
    int code = SQLITE_OK;
    for (int i = 0; i < statement->count && code == SQLITE_OK; i++) {
        const struct grace_sql_parameter *parameter = &statement->parameters[i];
        if (parameter->value == NULL)
            code = sqlite3_bind_null(prepared, i + 1);
        else if (parameter->is_number)
            code = sqlite3_bind_int64(prepared, i + 1, strtoll(parameter->value, NULL, 10));
        else
            code = sqlite3_bind_text(prepared, i + 1, parameter->value, -1, SQLITE_STATIC);
    }
    return code;
}

/* A checkpoint that did not come to its end says so in a row, and counts as done for SQLite. */
static bool is_unfinished_checkpoint(sqlite3_stmt *prepared)
{
    return sqlite3_column_count(prepared) == 3 &&
           strcmp(sqlite3_column_name(prepared, 0), "busy") == 0 &&
           strcmp(sqlite3_column_name(prepared, 2), "checkpointed") == 0 &&
           sqlite3_column_int(prepared, 0) != 0;
}

static int step_to_end(struct database *database, sqlite3_stmt *prepared,
                       struct grace_sql_result *result, struct grace_error *error)
{
    long rows = 0;
    int code;
    while ((code = sqlite3_step(prepared)) == SQLITE_ROW) {
        rows++;
        if (is_unfinished_checkpoint(prepared))
            return grace_error_set(error, "the checkpoint is not complete: another process reads "
                                          "or writes");
    }
    if (code != SQLITE_DONE)
        return fail(database, error);
    if (sqlite3_stmt_readonly(prepared) || sqlite3_column_count(prepared) > 0)
        snprintf(result->text, sizeof result->text, "%ld %s", rows, rows == 1 ? "row" : "rows");
    else
        snprintf(result->text, sizeof result->text, "%d changed",
                 sqlite3_changes(database->sqlite));
    return 0;
}

static int run(void *argument, const struct grace_sql_statement *statement,
               struct grace_sql_result *result, struct grace_error *error)
{
    struct database *database = argument;
    sqlite3_stmt *prepared = NULL;
    const char *rest = NULL;
    if (sqlite3_prepare_v2(database->sqlite, statement->text, -1, &prepared, &rest) != SQLITE_OK)
        return fail(database, error);
    int failed;
    if (prepared == NULL || rest[strspn(rest, " \t\r\n;")] != '\0')
        failed = grace_error_set(error, "it is not one statement");
    else if (bind(prepared, statement) != SQLITE_OK)
        failed = fail(database, error);
    else
        failed = step_to_end(database, prepared, result, error);
    sqlite3_finalize(prepared);
    return failed;
}

const struct grace_sql_kind grace_sql_sqlite = {
    .check = check,
    .open = open_database,
    .run = run,
    .close = close_database,
    .begin = "BEGIN IMMEDIATE",
};
