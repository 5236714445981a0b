/*
 * The plugin "sql": statements for PostgreSQL or SQLite at the end of a program.
 *
 *     { name = "offline"; plugin = "sql";
 *       options = { url = "postgresql://db.example.org/fleet";
 *                   statements = ["UPDATE nodes SET state = 'offline', why = :cause
 *                                  WHERE name = :hostname"]; }; }
 *
 * External: libpq and SQLite never enter the target.
 */
#include "grace_hook.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "parts/expand.h"
#include "parts/patience.h"
#include "parts/secret.h"
#include "sql/database.h"

struct sql {
    const char *url; /* for SQLite the path */
    const char *passfile, *password_file;
    const char *const *statements;
    bool transaction;
    enum grace_sql_dialect dialect;
    const struct grace_sql_kind *kind;
};

/* ---- options -------------------------------------------------------------------------------- */

static int read_url(struct sql *sql, const char *url, struct grace_error *error)
{
    sql->url = "";
    sql->dialect = GRACE_SQL_POSTGRESQL;
    sql->kind = &grace_sql_postgresql;
    if (url == NULL)
        return grace_error_set(error, "option \"url\" is missing; expected postgresql://… or "
                                      "sqlite:/PATH");
    sql->url = url;
    if (strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0)
        return grace_expand_check("url", url, error);
    if (strncmp(url, "sqlite:", 7) != 0)
        return grace_error_set(error, "option \"url\" is of another kind; expected postgresql://… "
                                      "or sqlite:/PATH");
    sql->dialect = GRACE_SQL_SQLITE;
    sql->kind = &grace_sql_sqlite;
    sql->url = url + 7;
    while (sql->url[0] == '/' && sql->url[1] == '/')
        sql->url++;
    return grace_expand_check("url", url, error);
}

static int name_statement(size_t number, const char *why, struct grace_error *error)
{
    char text[460];
    snprintf(text, sizeof text, "%.459s", why);
    return grace_error_set(error, "statement %zu: %s", number, text);
}

static int check_statements(const struct sql *sql, struct grace_error *error)
{
    struct grace_sql_statement statement;
    size_t number = 0;
    for (const char *const *at = sql->statements; at != NULL && *at != NULL; at++) {
        number++;
        if (grace_sql_parse(&statement, *at, sql->dialect, error) != 0)
            return name_statement(number, error->text, error);
        free(statement.text);
    }
    return number > 0 ? 0 : grace_error_set(error, "option \"statements\" is missing or empty");
}

static int check_place(const struct sql *sql, struct grace_error *error)
{
    struct grace_sql_place place = {sql->url, sql->passfile, sql->password_file, 0};
    if (sql->passfile != NULL && grace_secret_check("passfile", sql->passfile, error) != 0)
        return -1;
    if (sql->password_file != NULL &&
        grace_secret_check("password_file", sql->password_file, error) != 0)
        return -1;
    /* With values in it, it is no URL yet. */
    return strstr(sql->url, "${") != NULL ? 0 : sql->kind->check(&place, error);
}

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct sql *sql = calloc(1, sizeof *sql);
    if (sql == NULL)
        return grace_error_set(error, "out of memory");
    const char *url = grace_option_string(options, "url", NULL);
    sql->passfile = grace_option_string(options, "passfile", NULL);
    sql->password_file = grace_option_string(options, "password_file", NULL);
    sql->statements = grace_option_list(options, "statements");
    sql->transaction = grace_option_bool(options, "transaction", 0);
    if (read_url(sql, url, error) == 0 && check_statements(sql, error) == 0 &&
        check_place(sql, error) == 0) {
        *state = sql;
        return 0;
    }
    free(sql);
    return -1;
}

/* ---- the work ------------------------------------------------------------------------------- */

static int run_text(const struct sql *sql, void *database, const char *source,
                    struct grace_sql_result *result, struct grace_error *error)
{
    struct grace_sql_statement statement;
    result->text[0] = '\0';
    if (grace_sql_parse(&statement, source, sql->dialect, error) != 0)
        return -1;
    grace_sql_fill(&statement);
    int failed = sql->kind->run(database, &statement, result, error);
    free(statement.text);
    return failed;
}

static int run_one(const struct sql *sql, void *database, size_t number,
                   const struct grace_stop *stop, struct grace_error *error)
{
    char line[160];
    struct grace_sql_result result;
    if (run_text(sql, database, sql->statements[number - 1], &result, error) != 0)
        return name_statement(number, error->text, error);
    snprintf(line, sizeof line, "statement %zu: %s", number, result.text);
    grace_stop_log(stop, GRACE_HOOK_INFO, line);
    return 0;
}

/* All or nothing. */
static int run_as_one(const struct sql *sql, void *database, const struct grace_stop *stop,
                      struct grace_error *error)
{
    struct grace_sql_result result;
    struct grace_error unused = {.size = sizeof unused};
    int failed = run_text(sql, database, sql->kind->begin, &result, error);
    for (size_t i = 0; failed == 0 && sql->statements[i] != NULL; i++)
        failed = run_one(sql, database, i + 1, stop, error);
    if (failed == 0)
        failed = run_text(sql, database, "COMMIT", &result, error);
    if (failed == 0)
        return 0;
    run_text(sql, database, "ROLLBACK", &result, &unused);
    char why[440];
    snprintf(why, sizeof why, "%.439s", error->text);
    return grace_error_set(error, "%s; nothing of it is kept", why);
}

/* One that fails does not keep the others from being run. */
static int run_each(const struct sql *sql, void *database, const struct grace_stop *stop,
                    struct grace_error *error)
{
    size_t failed = 0, count = 0;
    char first[420] = "";
    for (; sql->statements[count] != NULL; count++) {
        struct grace_error now = {.size = sizeof now};
        if (run_one(sql, database, count + 1, stop, &now) == 0)
            continue;
        if (failed++ == 0)
            snprintf(first, sizeof first, "%.419s", now.text);
        else
            grace_stop_log(stop, GRACE_HOOK_ERROR, now.text);
    }
    if (failed == 0)
        return 0;
    if (count == 1)
        return grace_error_set(error, "%s", first);
    return grace_error_set(error, "%s (%zu of %zu failed)", first, failed, count);
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct sql *sql = state;
    enum grace_escape escape =
        sql->dialect == GRACE_SQL_POSTGRESQL ? GRACE_ESCAPE_URL : GRACE_ESCAPE_NONE;
    char *url = grace_expand("url", sql->url, escape, error);
    if (url == NULL)
        return -1;
    struct grace_sql_place place = {url, sql->passfile, sql->password_file,
                                    grace_patience_ms(stop)};
    void *database =
        sql->kind->check(&place, error) == 0 ? sql->kind->open(&place, stop, error) : NULL;
    int failed = -1;
    if (database != NULL) {
        failed = sql->transaction ? run_as_one(sql, database, stop, error)
                                  : run_each(sql, database, stop, error);
        sql->kind->close(database);
    }
    free(url);
    return failed;
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_EXTERNAL,
    0,
    "sql",
    "runs statements in PostgreSQL or SQLite",
    configure,
    run,
    release,
};
