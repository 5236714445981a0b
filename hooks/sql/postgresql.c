#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "database.h"
#include "hooks/parts/secret.h"

/* What is kept of the time for the server to tell that a statement took too long. */
#define TELL_MS 100

struct database {
    PGconn *connection;
    int64_t until_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t left_ms(const struct database *database)
{
    int64_t left = database->until_ms - now_ms();
    return left > 0 ? left : 0;
}

/* libpq's messages have many lines, and one behind them that is empty: one line, single blanks. */
static void flatten(char *text, size_t size, const char *message)
{
    size_t length = 0;
    for (; *message != '\0' && length < size - 1; message++) {
        char c = *message;
        if (c == '\n' || c == '\t')
            c = ' ';
        if (c != ' ' || (length > 0 && text[length - 1] != ' '))
            text[length++] = c;
    }
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
}

static int fail(const struct database *database, const char *what, struct grace_error *error)
{
    char text[400];
    flatten(text, sizeof text, PQerrorMessage(database->connection));
    return grace_error_set(error, "%s%s", what, text[0] != '\0' ? text : "no reason is given");
}

/* ---- options -------------------------------------------------------------------------------- */

/* Some of libpq's messages end with the whole URL, a password in it and all. */
static void hide_url(char *text)
{
    char *url = strstr(text, "postgres");
    if (url == NULL)
        return;
    while (url > text && strchr("\": ", url[-1]) != NULL)
        url--;
    *url = '\0';
}

static int check(const struct grace_sql_place *place, struct grace_error *error)
{
    char *wrong = NULL, text[300];
    PQconninfoOption *options = PQconninfoParse(place->url, &wrong);
    if (options == NULL) {
        flatten(text, sizeof text, wrong != NULL ? wrong : "out of memory");
        PQfreemem(wrong);
        hide_url(text);
        return grace_error_set(error, "option \"url\": %s", text);
    }
    bool has_password = false;
    for (const PQconninfoOption *at = options; at->keyword != NULL; at++)
        has_password =
            has_password || (at->val != NULL && (strcmp(at->keyword, "password") == 0 ||
                                                 strcmp(at->keyword, "sslpassword") == 0));
    PQconninfoFree(options);
    return has_password
               ? grace_error_set(error,
                                 "option \"url\" has a password in it; expected it in a file "
                                 "that `password_file` or `passfile` names")
               : 0;
}

/* ---- connecting ----------------------------------------------------------------------------- */

static void tell_notice(void *argument, const char *message)
{
    const struct grace_stop *stop = argument;
    char text[400];
    flatten(text, sizeof text, message);
    grace_stop_log(stop, GRACE_HOOK_INFO, text);
}

/* True when the socket is ready in time. */
static bool wait_for(const struct database *database, short events)
{
    struct pollfd entry = {.fd = PQsocket(database->connection), .events = events};
    return poll(&entry, 1, (int)left_ms(database)) > 0;
}

static int connect_in_time(const struct database *database, struct grace_error *error)
{
    PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;
    while (PQstatus(database->connection) != CONNECTION_BAD) {
        if (!wait_for(database, wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return grace_error_set(
                error, "the server %s does not answer in time",
                PQhost(database->connection) != NULL ? PQhost(database->connection) : "");
        wanted = PQconnectPoll(database->connection);
        if (wanted == PGRES_POLLING_OK)
            return 0;
        if (wanted == PGRES_POLLING_FAILED)
            break;
    }
    return fail(database, "", error);
}

/* The server itself stops what takes too long: closing the connection would leave it running. */
static int bound_statements(struct database *database, struct grace_error *error)
{
    char text[64];
    struct grace_sql_result unused;
    int64_t left = left_ms(database) - TELL_MS;
    snprintf(text, sizeof text, "SET statement_timeout = %lld", (long long)(left > 0 ? left : 1));
    struct grace_sql_statement set = {.text = text};
    return grace_sql_postgresql.run(database, &set, &unused, error);
}

static void close_database(void *argument)
{
    struct database *database = argument;
    PQfinish(database->connection);
    free(database);
}

static void *open_database(const struct grace_sql_place *place, const struct grace_stop *stop,
                           struct grace_error *error)
{
    char *password = NULL;
    struct database *database = calloc(1, sizeof *database);
    if (database == NULL) {
        grace_error_set(error, "out of memory");
        return NULL;
    }
    if (place->password_file != NULL &&
        (password = grace_secret_read("password_file", place->password_file, error)) == NULL) {
        free(database);
        return NULL;
    }
    database->until_ms = now_ms() + place->patience_ms;
    const char *const names[] = {"dbname", "fallback_application_name", "passfile", "password",
                                 NULL};
    const char *const values[] = {place->url, "libgrace", place->passfile, password, NULL};
    database->connection = PQconnectStartParams(names, values, 1);
    grace_secret_free(password);
    if (database->connection == NULL) {
        grace_error_set(error, "out of memory");
    } else {
        PQsetNoticeProcessor(database->connection, tell_notice, (void *)(uintptr_t)stop);
        if (connect_in_time(database, error) == 0 && bound_statements(database, error) == 0)
            return database;
    }
    close_database(database);
    return NULL;
}

/* ---- statements ----------------------------------------------------------------------------- */

/* The next result, to be freed; NULL: no more, or none in time (*late is set). */
static PGresult *next_result(const struct database *database, bool *late)
{
    int unsent;
    while ((unsent = PQflush(database->connection)) == 1 || PQisBusy(database->connection)) {
        if (!wait_for(database, unsent == 1 ? POLLIN | POLLOUT : POLLIN)) {
            *late = true;
            return NULL;
        }
        if (PQconsumeInput(database->connection) == 0)
            break; /* PQgetResult says what is wrong */
    }
    return PQgetResult(database->connection);
}

/* "ERROR 42P01: relation "x" does not exist (detail)" */
static void tell_error(const PGresult *answer, struct grace_error *error)
{
    char text[300], detail[150];
    const char *state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY);
    const char *more = PQresultErrorField(answer, PG_DIAG_MESSAGE_DETAIL);
    flatten(text, sizeof text, primary != NULL ? primary : PQresultErrorMessage(answer));
    flatten(detail, sizeof detail, more != NULL ? more : "");
    grace_error_set(error, "%s: %s%s%s%s", state != NULL ? state : "the server", text,
                    detail[0] != '\0' ? " (" : "", detail, detail[0] != '\0' ? ")" : "");
}

static int judge(const PGresult *answer, struct grace_sql_result *result, struct grace_error *error)
{
    switch (PQresultStatus(answer)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
        snprintf(result->text, sizeof result->text, "%s",
                 PQcmdStatus((PGresult *)(uintptr_t)answer));
        return 0;
    case PGRES_EMPTY_QUERY:
        return grace_error_set(error, "it is empty");
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        return grace_error_set(error, "COPY from or to the client is not for a hook");
    default:
        tell_error(answer, error);
        return -1;
    }
}

static int run(void *argument, const struct grace_sql_statement *statement,
               struct grace_sql_result *result, struct grace_error *error)
{
    struct database *database = argument;
    const char *values[GRACE_SQL_PARAMETERS];
    bool late = false;
    int failed = -1;
    for (int i = 0; i < statement->count; i++)
        values[i] = statement->parameters[i].value;
    if (PQsendQueryParams(database->connection, statement->text, statement->count, NULL, values,
                          NULL, NULL, 0) != 1)
        return fail(database, "", error);
    grace_error_set(error, "the server gave no answer");
    for (PGresult *answer; (answer = next_result(database, &late)) != NULL;) {
        failed = judge(answer, result, error);
        bool copying = PQresultStatus(answer) == PGRES_COPY_IN ||
                       PQresultStatus(answer) == PGRES_COPY_OUT ||
                       PQresultStatus(answer) == PGRES_COPY_BOTH;
        PQclear(answer);
        if (copying)
            return -1;
    }
    return late ? grace_error_set(error, "the server did not answer in time") : failed;
}

const struct grace_sql_kind grace_sql_postgresql = {
    .check = check,
    .open = open_database,
    .run = run,
    .close = close_database,
    .begin = "BEGIN",
};
