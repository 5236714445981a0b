/* A database, whichever it is: opened, asked, closed. */
#ifndef GRACE_HOOKS_SQL_DATABASE_H
#define GRACE_HOOKS_SQL_DATABASE_H

#include "statement.h"

/* Strings that are not given are NULL. */
struct grace_sql_place {
    const char *url; /* postgresql://…, or a path for SQLite */
    const char *passfile, *password_file;
    int64_t patience_ms; /* for all that is done, from the opening on */
};

/* What a statement came to: "UPDATE 3". */
struct grace_sql_result {
    char text[80];
};

struct grace_sql_kind {
    /* What can be said of the place before anything happens. Returns 0, or -1 with the error set.
     */
    int (*check)(const struct grace_sql_place *place, struct grace_error *error);

    /* Returns the connection, or NULL with the error set. Notices go to `stop`'s log. */
    void *(*open)(const struct grace_sql_place *place, const struct grace_stop *stop,
                  struct grace_error *error);

    /* Run one filled statement to its end. Returns 0, or -1 with the error set. */
    int (*run)(void *database, const struct grace_sql_statement *statement,
               struct grace_sql_result *result, struct grace_error *error);
    void (*close)(void *database);
    const char *begin; /* how a transaction is begun that is sure to write */
};

extern const struct grace_sql_kind grace_sql_postgresql, grace_sql_sqlite;

#endif
