#include "statement.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* GRACE_ and the name in capitals is the variable; all but the hostname. */
static const struct {
    const char *name;
    bool is_number;
} known[] = {
    {"cause", false},        {"signal", false},         {"exit_status", true},
    {"pid", true},           {"program", false},        {"hook", false},
    {"phase", false},        {"attempt", true},         {"remaining_ms", true},
    {"sender_pid", true},    {"sender_uid", true},      {"gone", true},
    {"duration_ms", true},   {"hooks_done", true},      {"hooks_failed", true},
    {"hooks_skipped", true}, {"connections_cut", true}, {"connections_finished", true},
    {"hostname", false},
};

static int refuse_name(const char *name, size_t length, struct grace_error *error)
{
    char names[400] = "";
    size_t at = 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0] && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s:%s", i > 0 ? ", " : "",
                               known[i].name);
    return grace_error_set(error, "there is no :%.*s; expected %s",
                           (int)(length < 40 ? length : 40), name, names);
}

/* The parameter's number, from 1; -1 with the error set. */
static int add_parameter(struct grace_sql_statement *statement, const char *name, size_t length,
                         struct grace_error *error)
{
    for (int i = 0; i < statement->count; i++) {
        const char *old = statement->parameters[i].name;
        if (strncmp(old, name, length) == 0 && old[length] == '\0')
            return i + 1;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(known[i].name, name, length) != 0 || known[i].name[length] != '\0')
            continue;
        statement->parameters[statement->count++] =
            (struct grace_sql_parameter){known[i].name, known[i].is_number, NULL};
        return statement->count;
    }
    return refuse_name(name, length, error);
}

/* ---- what is no place for a parameter -------------------------------------------------------- */

/* '…' with '' in it; where backslashes escape (PostgreSQL's E'…'), with those. */
static const char *skip_quoted(const char *at, bool backslashes)
{
    char quote = *at++;
    for (; *at != '\0'; at++) {
        bool escaped = backslashes && *at == '\\' && at[1] != '\0';
        if (escaped || (*at == quote && at[1] == quote))
            at++;
        else if (*at == quote)
            return at + 1;
    }
    return at;
}

/* PostgreSQL's comments have comments in them. */
static const char *skip_comment(const char *at, bool nested)
{
    int depth = 0;
    do {
        if (at[0] == '/' && at[1] == '*' && (depth == 0 || nested)) {
            depth++;
            at += 2;
        } else if (at[0] == '*' && at[1] == '/') {
            depth--;
            at += 2;
        } else {
            at++;
        }
    } while (depth > 0 && *at != '\0');
    return at;
}

/* $tag$ … $tag$; NULL where no such quote begins. */
static const char *skip_dollar_quoted(const char *at)
{
    size_t length = 1;
    while (isalnum((unsigned char)at[length]) || at[length] == '_')
        length++;
    if (at[length] != '$' || isdigit((unsigned char)at[1]))
        return NULL;
    length++;
    for (const char *end = at + length; *end != '\0'; end++) {
        if (strncmp(end, at, length) == 0)
            return end + length;
    }
    return at + strlen(at);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Behind what begins at `at` and holds no parameter: `at` itself where there is none of these. */
static const char *skip_opaque(const char *at, const char *source, enum grace_sql_dialect dialect)
{
    bool postgresql = dialect == GRACE_SQL_POSTGRESQL;
    bool escapes = postgresql && at > source && (at[-1] == 'E' || at[-1] == 'e') &&
                   (at - 1 == source || !is_word(at[-2]));
    if (*at == '\'' || *at == '"' || (*at == '`' && !postgresql))
        return skip_quoted(at, escapes && *at == '\'');
    if (at[0] == '-' && at[1] == '-')
        return at + strcspn(at, "\n");
    if (at[0] == '/' && at[1] == '*')
        return skip_comment(at, postgresql);
    if (*at == '$' && postgresql && (at == source || !is_word(at[-1]))) {
        const char *end = skip_dollar_quoted(at);
        return end != NULL ? end : at;
    }
    if (at[0] == ':' && (at[1] == ':' || at[1] == '='))
        return at + 2;
    return at;
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* Returns 0, or -1 with the error set. `to` has room for the longest that the text can become. */
static int rewrite(struct grace_sql_statement *statement, const char *source,
                   enum grace_sql_dialect dialect, char *to, struct grace_error *error)
{
    for (const char *at = source; *at != '\0';) {
        const char *end = skip_opaque(at, source, dialect);
        if (end > at) {
            to = mempcpy(to, at, (size_t)(end - at));
            at = end;
        } else if (*at == ':' && (isalpha((unsigned char)at[1]) || at[1] == '_')) {
            for (end = at + 1; is_word(*end);)
                end++;
            int number = add_parameter(statement, at + 1, (size_t)(end - at) - 1, error);
            if (number < 0)
                return -1;
            to += sprintf(to, "%c%d", dialect == GRACE_SQL_POSTGRESQL ? '$' : '?', number);
            at = end;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    return 0;
}

int grace_sql_parse(struct grace_sql_statement *statement, const char *source,
                    enum grace_sql_dialect dialect, struct grace_error *error)
{
    *statement = (struct grace_sql_statement){.text = NULL};
    if (source[strspn(source, " \t\r\n;")] == '\0')
        return grace_error_set(error, "it is empty");
    /* The shortest parameter, one letter behind a colon, becomes three bytes at most. */
    statement->text = malloc(strlen(source) * 2 + 1);
    if (statement->text == NULL)
        return grace_error_set(error, "out of memory");
    if (rewrite(statement, source, dialect, statement->text, error) == 0)
        return 0;
    free(statement->text);
    statement->text = NULL;
    return -1;
}

static const char *value_of(const char *name)
{
    static char host[256];
    char variable[64] = "GRACE_";
    if (strcmp(name, "hostname") == 0)
        return gethostname(host, sizeof host - 1) == 0 ? host : NULL;
    for (size_t i = 0; i < sizeof variable - 8 && name[i] != '\0'; i++)
        variable[6 + i] = (char)toupper((unsigned char)name[i]);
    const char *value = getenv(variable);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

void grace_sql_fill(struct grace_sql_statement *statement)
{
    for (int i = 0; i < statement->count; i++)
        statement->parameters[i].value = value_of(statement->parameters[i].name);
}
