/*
 * SQL statements with values of the stop in them: :cause.
 *
 * A value is never pasted into the text: each :name outside of quotes and comments becomes a
 * numbered parameter, and its value goes to the database beside the statement.
 */
#ifndef GRACE_HOOKS_SQL_STATEMENT_H
#define GRACE_HOOKS_SQL_STATEMENT_H

#include <stdbool.h>

#include "hooks/grace_hook.h"

enum grace_sql_dialect { GRACE_SQL_POSTGRESQL, GRACE_SQL_SQLITE };

#define GRACE_SQL_PARAMETERS 32

struct grace_sql_parameter {
    const char *name;
    bool is_number;
    const char *value; /* NULL: SQL's NULL. Set by grace_sql_fill. */
};

struct grace_sql_statement {
    char *text; /* with $1 or ?1 in it; to be freed */
    struct grace_sql_parameter parameters[GRACE_SQL_PARAMETERS];
    int count;
};

/* Take a statement of the config apart. Returns 0, or -1 with the error set: a :name that there is
 * not, or nothing in it. */
int grace_sql_parse(struct grace_sql_statement *statement, const char *source,
                    enum grace_sql_dialect dialect, struct grace_error *error);

/* Set the values, from the environment that every hook has of the stop. */
void grace_sql_fill(struct grace_sql_statement *statement);

#endif
