/*
 * The drain's side: what libgrace.so asks (shim/database.h).
 *
 * Redirecting waits for the loader's locks, which a thread of the target may hold for as long as a
 * library's constructor takes. So a thread of our own waits for them, for as long as the gate is
 * closed, and looks for objects that are loaded meanwhile.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>

#include "db.h"
#include "shim/database.h"

#define WAIT_MOST_MS  1000
#define LOOK_AGAIN_MS 250

/* How long a handler of the target's has before threads go on. */
#define LET_GO_MS 250

#define CALLS 64 /* redirected ones, of all libraries */

enum { NO_THREAD, ON, OFF };

static struct {
    struct grace_redirection list[CALLS]; /* the thread's own, as the next one */
    struct grace_redirect redirect;
    int32_t process;
    _Atomic uint32_t wanted, is; /* futexes: what the thread is to do, and what it has done */
    _Atomic uint64_t let_go_ms;  /* when it is to end by itself; 0: not */
} phase;

struct grace_db_library *const grace_db_libraries[] = {&grace_db_sqlite, &grace_db_libpq,
                                                       &grace_db_mariadb, NULL};

/* ---- the thread ---------------------------------------------------------------------------- */

static void add_calls(const struct grace_db_library *library)
{
    for (size_t i = 0; i < library->count && phase.redirect.count < CALLS; i++) {
        const struct grace_db_call *call = &library->calls[i];
        if (call->replacement != NULL && call->original != NULL)
            phase.list[phase.redirect.count++] = (struct grace_redirection){
                call->name, call->replacement, call->original, .unbound = true};
    }
}

/* Libraries may become known at any time: the list is made again when there is one more. */
static void apply(void)
{
    size_t before = phase.redirect.count;
    phase.redirect.count = 0;
    phase.redirect.list = phase.list;
    for (size_t i = 0; grace_db_libraries[i] != NULL; i++)
        if (atomic_load_explicit(&grace_db_libraries[i]->known, memory_order_acquire) != 0)
            add_calls(grace_db_libraries[i]);
    if (phase.redirect.count != before)
        phase.redirect.looks = 0;
    if (phase.redirect.count > 0)
        grace_redirect(&phase.redirect);
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms)
{
    struct timespec time = {(time_t)(timeout_ms / 1000), (long)(timeout_ms % 1000) * 1000000};
    grace_kernel(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &time);
}

static void futex_wake(_Atomic uint32_t *word)
{
    grace_kernel(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

static bool is_to_let_go(void)
{
    uint64_t at = atomic_load(&phase.let_go_ms);
    return at != 0 && grace_kernel_now_ms() >= at;
}

static void *redirect(void *unused)
{
    atomic_store(&grace_db_own_thread, (int32_t)grace_kernel(SYS_gettid));
    for (;;) {
        uint32_t wanted = atomic_load(&phase.wanted);
        if (wanted == ON)
            apply();
        else
            grace_redirect_undo(&phase.redirect);
        atomic_store(&phase.is, wanted);
        futex_wake(&phase.is);
        if (wanted == OFF && atomic_compare_exchange_strong(&phase.wanted, &wanted, NO_THREAD))
            return unused;
        if (wanted == ON)
            futex_wait(&phase.wanted, wanted, LOOK_AGAIN_MS);
        if (is_to_let_go() && atomic_compare_exchange_strong(&phase.wanted, &wanted, OFF))
            grace_db_gate_open();
    }
}

static bool start_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    uint64_t mask;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    /* It inherits the mask: no signal of the target's runs on it, but for libc's own two. */
    grace_kernel_block_signals(&mask);
    grace_kernel_set_mask(~(UINT64_C(3) << 31));
    int result = pthread_create(&thread, &attributes, redirect, NULL);
    if (result == EINVAL) { /* the program's thread-local storage alone is larger */
        pthread_attr_setstacksize(&attributes, 8 * 1024 * 1024);
        result = pthread_create(&thread, &attributes, redirect, NULL);
    }
    grace_kernel_set_mask(mask);
    pthread_attr_destroy(&attributes);
    return result == 0;
}

static bool wait_until(uint32_t wanted)
{
    uint64_t end = grace_kernel_now_ms() + WAIT_MOST_MS;
    for (uint32_t is; (is = atomic_load(&phase.is)) != wanted;) {
        uint64_t now = grace_kernel_now_ms();
        if (now >= end)
            return false;
        futex_wait(&phase.is, is, (int64_t)(end - now));
    }
    return true;
}

/* ---- what libgrace.so asks ----------------------------------------------------------------- */

static bool has_work(void)
{
    return grace_db_next(NULL) != NULL;
}

static bool begin(void)
{
    int32_t process = grace_getpid();
    if (phase.process != process) { /* a forked child has its parent's thread no longer */
        phase.process = process;
        atomic_store(&phase.wanted, NO_THREAD);
        atomic_store(&phase.is, NO_THREAD);
    }
    atomic_store(&phase.let_go_ms, 0);
    grace_db_threads_forget();
    grace_db_gate_close();
    if (atomic_exchange(&phase.wanted, ON) == NO_THREAD && !start_thread()) {
        atomic_store(&phase.wanted, NO_THREAD);
        return false;
    }
    futex_wake(&phase.wanted);
    return wait_until(ON);
}

static void undo(void)
{
    uint32_t on = ON;
    grace_db_gate_open();
    if (phase.process != grace_getpid() || !atomic_compare_exchange_strong(&phase.wanted, &on, OFF))
        return;
    futex_wake(&phase.wanted);
    wait_until(OFF);
}

static void let_go(void)
{
    atomic_store(&phase.let_go_ms, grace_kernel_now_ms() + LET_GO_MS);
}

/* Threads first: one that is parked then has begun nothing since. */
static void look(int32_t helper, struct grace_database_count *count)
{
    memset(count, 0, sizeof *count);
    count->at_work = grace_db_threads_at_work(helper, &count->parked);
    if (atomic_load(&phase.wanted) == ON && atomic_load(&phase.is) != ON)
        count->at_work++; /* whose calls do not come to the gate yet */
    uint64_t now = grace_kernel_now_ms();
    struct grace_db_connection *one = NULL;
    while ((one = grace_db_next(one)) != NULL) {
        bool is_busy = grace_db_state_of(one) >= GRACE_DB_OCCUPIED;
        count->transactions += is_busy;
        if (!is_busy)
            one->busy_since_ms = 0;
        else if (one->busy_since_ms == 0)
            one->busy_since_ms = now;
    }
}

/* The library's name for it may go when the connection is closed: copied while it cannot be. */
static void name_of(struct grace_db_connection *connection, char *name, size_t size)
{
    name[0] = '\0';
    atomic_fetch_add(&connection->looked_at, 1);
    void *handle = atomic_load(&connection->handle);
    const char *known = handle > (void *)1 ? connection->library->database(handle) : NULL;
    for (size_t i = 0; known != NULL && i + 1 < size && (name[i] = known[i]) != '\0'; i++)
        name[i + 1] = '\0';
    atomic_fetch_sub(&connection->looked_at, 1);
}

static void each_cut(void (*tell)(const struct grace_database_cut *cut))
{
    char name[512];
    uint64_t now = grace_kernel_now_ms();
    struct grace_db_connection *one = NULL;
    while ((one = grace_db_next(one)) != NULL) {
        enum grace_db_state state = grace_db_state_of(one);
        if (state < GRACE_DB_OCCUPIED || one->busy_since_ms == 0)
            continue; /* one that has begun since the last look is only passing */
        name_of(one, name, sizeof name);
        tell(&(struct grace_database_cut){
            .library = one->library->name,
            .database = name,
            .state = state < GRACE_DB_IN_TRANSACTION ? "running a statement" : "in a transaction",
            .for_ms = one->busy_since_ms == 0 ? 0 : now - one->busy_since_ms,
        });
    }
}

GRACE_DB_EXPORT const struct grace_database grace_database = {
    .version = GRACE_DATABASE_VERSION,
    .has_work = has_work,
    .begin = begin,
    .look = look,
    .each_cut = each_cut,
    .undo = undo,
    .let_go = let_go,
};
