/* In the middle of what SQLite can be in the middle of. The database is data.db, with table t. */
#include "moments.h"

#include <sqlite3.h>
#include <sys/mman.h>

static sqlite3 *db, *other;
static sqlite3_stmt *statement;
static sqlite3_blob *blob;
static sqlite3_backup *backup;

#define check(good) check_at(__LINE__, (good), sqlite3_errmsg(db))
#define run(sql)    check(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)

static void open_it(void)
{
    check(sqlite3_open("data.db", &db) == SQLITE_OK);
    sqlite3_busy_timeout(db, 20000);
}

static void prepare(sqlite3 *of, const char *sql)
{
    check(sqlite3_prepare_v2(of, sql, -1, &statement, NULL) == SQLITE_OK);
}

static void begin_new(void)
{
    run("INSERT INTO t VALUES (99, 'new')");
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void begin_immediate(void)
{
    check(sqlite3_open_v2("data.db", &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    run("BEGIN IMMEDIATE");
}

static void begin_deferred(void)
{
    static const unsigned short name[] = {'d', 'a', 't', 'a', '.', 'd', 'b', 0};
    check(sqlite3_open16(name, &db) == SQLITE_OK);
    run("BEGIN");
}

static void commit(void)
{
    run("INSERT INTO t VALUES (1, 'x')");
    run("COMMIT");
}

static void begin_savepoint(void)
{
    open_it();
    run("SAVEPOINT a; INSERT INTO t VALUES (0, 'gone'); SAVEPOINT b");
    run("ROLLBACK TO a; INSERT INTO t VALUES (1, 'x')");
}

static void release(void)
{
    run("RELEASE a");
}

static void begin_log(void)
{
    open_it();
    run("PRAGMA journal_mode = WAL");
    run("BEGIN");
    prepare(db, "INSERT INTO t VALUES (1, 'x')");
    check(sqlite3_step(statement) == SQLITE_DONE);
    sqlite3_finalize(statement);
    prepare(db, "COMMIT");
}

static void begin_attached(void)
{
    open_it();
    run("ATTACH 'other.db' AS other");
    run("BEGIN; CREATE TABLE other.t (n INTEGER); INSERT INTO other.t VALUES (1);"
        "INSERT INTO t VALUES (1, 'x')");
    prepare(db, "COMMIT");
}

static void step_to_end(void)
{
    while (sqlite3_step(statement) == SQLITE_ROW)
        ;
    check(sqlite3_finalize(statement) == SQLITE_OK);
}

/* ---- outside of BEGIN ------------------------------------------------------------------------ */

static void begin_returning(void)
{
    open_it();
    prepare(db, "INSERT INTO t VALUES (1, 'x') RETURNING n");
    check(sqlite3_step(statement) == SQLITE_ROW);
}

/* A function of SQL that waits until it may go on. */
static void wait_in_it(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    puts("ready");
    fflush(stdout);
    wait_file("go");
    sqlite3_result_text(context, "x", 1, SQLITE_STATIC);
}

/* One step for as long as it takes. */
static void begin_nothing(void)
{
    open_it();
    check(sqlite3_create_function(db, "wait", 0, SQLITE_UTF8, NULL, wait_in_it, NULL, NULL) ==
          SQLITE_OK);
    run("INSERT INTO t VALUES (1, wait())");
}

static void finish_nothing(void)
{
}

static void begin_blob(void)
{
    open_it();
    run("INSERT INTO t VALUES (1, 'aaaa')");
    check(sqlite3_blob_open(db, "main", "t", "w", 1, 1, &blob) == SQLITE_OK);
    check(sqlite3_blob_write(blob, "bb", 2, 0) == SQLITE_OK);
}

static void finish_blob(void)
{
    check(sqlite3_blob_write(blob, "cc", 2, 2) == SQLITE_OK);
    check(sqlite3_blob_close(blob) == SQLITE_OK);
}

static void begin_backup(void)
{
    open_it();
    run("INSERT INTO t VALUES (1, 'x')");
    check(sqlite3_open("copy.db", &other) == SQLITE_OK);
    backup = sqlite3_backup_init(other, "main", db, "main");
    check(backup != NULL && sqlite3_backup_step(backup, 1) == SQLITE_OK);
}

static void finish_backup(void)
{
    check(sqlite3_backup_step(backup, -1) == SQLITE_DONE);
    check(sqlite3_backup_finish(backup) == SQLITE_OK);
}

/* ---- handles that are gone ------------------------------------------------------------------- */

/* Each block on pages of its own, which are gone when it is: who looks at it then dies of it. */
static void *take_pages(int size)
{
    size_t *pages =
        mmap(NULL, (size_t)size + 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    *pages = (size_t)size;
    return pages + 2;
}

static int size_of_pages(void *block)
{
    return block == NULL ? 0 : (int)((size_t *)block)[-2];
}

static void give_pages(void *block)
{
    if (block != NULL)
        munmap((size_t *)block - 2, ((size_t *)block)[-2] + 16);
}

static void *change_pages(void *block, int size)
{
    void *more = take_pages(size);
    int had = size_of_pages(block);
    if (more != NULL)
        memcpy(more, block, (size_t)(had < size ? had : size));
    give_pages(block);
    return more;
}

static int same_size(int size)
{
    return size;
}

static int no_setup(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}

static void no_end(void *unused)
{
    (void)unused;
}

/* Closed, but for a statement that is left of it. */
static void begin_zombie(void)
{
    static const sqlite3_mem_methods pages = {take_pages, give_pages, change_pages, size_of_pages,
                                              same_size,  no_setup,   no_end,       NULL};
    check(sqlite3_config(SQLITE_CONFIG_MALLOC, &pages) == SQLITE_OK);
    check(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK);
    open_it();
    run("BEGIN; INSERT INTO t VALUES (1, 'x')");
    check(sqlite3_open(":memory:", &other) == SQLITE_OK);
    prepare(other, "SELECT 1");
    check(sqlite3_close(other) == SQLITE_BUSY);
    check(sqlite3_close_v2(other) == SQLITE_OK);
}

static void finish_zombie(void)
{
    step_to_end();
    leave_file("gone");
    wait_file("go_on");
    run("COMMIT");
}

/* ---- nothing to finish ----------------------------------------------------------------------- */

static void begin_cursor(void)
{
    open_it();
    run("INSERT INTO t VALUES (1, 'x'), (2, 'x')");
    prepare(db, "SELECT n FROM t");
    check(sqlite3_step(statement) == SQLITE_ROW);
}

static void begin_blob_to_read(void)
{
    open_it();
    run("INSERT INTO t VALUES (1, 'aaaa')");
    check(sqlite3_blob_open(db, "main", "t", "w", 1, 0, &blob) == SQLITE_OK);
}

/* It waits at the gate with the connection's own mutex. */
static void begin_held(void)
{
    open_it();
    puts("ready");
    fflush(stdout);
    sqlite3_mutex_enter(sqlite3_db_mutex(db));
    for (;;)
        run("SELECT 1");
}

int main(int argc, char **argv)
{
    static const struct moment moments[] = {
        {"BEGIN IMMEDIATE", begin_immediate, commit},
        {"a deferred BEGIN", begin_deferred, commit},
        {"a savepoint", begin_savepoint, release},
        {"a write-ahead log", begin_log, step_to_end},
        {"an attached file", begin_attached, step_to_end},
        {"INSERT RETURNING", begin_returning, step_to_end},
        {"one long statement", begin_nothing, finish_nothing},
        {"a blob", begin_blob, finish_blob},
        {"a backup", begin_backup, finish_backup},
        {"a closed connection's statement", begin_zombie, finish_zombie},
        {"an open cursor", begin_cursor, NULL},
        {"a blob for reading", begin_blob_to_read, NULL},
        {"a held mutex", begin_held, NULL},
    };
    return live(moments, sizeof moments / sizeof *moments, argc > 1 ? argv[1] : "", begin_new);
}
