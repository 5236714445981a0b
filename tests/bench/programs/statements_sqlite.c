/* Statements on an SQLite database in memory, each a transaction by itself: statements_sqlite
 * COUNT. */
#include <sqlite3.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    sqlite3 *db;
    sqlite3_stmt *insert;
    long count = argc > 1 ? atol(argv[1]) : 0;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
        sqlite3_exec(db, "CREATE TABLE t (n INTEGER PRIMARY KEY)", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "REPLACE INTO t VALUES (1)", -1, &insert, NULL) != SQLITE_OK)
        return 1;
    for (long i = 0; i < count; i++)
        if (sqlite3_step(insert) != SQLITE_DONE || sqlite3_reset(insert) != SQLITE_OK)
            return 1;
    sqlite3_finalize(insert);
    return sqlite3_close(db) != SQLITE_OK;
}
