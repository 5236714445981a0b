/*
 * The gate: what a call that runs a statement passes during a drain.
 *
 * A call on a connection inside a transaction goes on undisturbed. One on an idle connection would
 * begin something new: its thread waits here, until the end of the process or until the stop is
 * taken back. So the number of transactions under way falls, and a thread that waits here has done
 * all that belonged to its last one, what it wrote elsewhere included.
 *
 * A thread may hold a transaction on one connection and need another one to finish it. Whose a
 * transaction is, is known once its connection has been used since the drain began; before that it
 * is taken to be the opener's, and a thread that has waited for a moment while some transaction has
 * not been heard of is let through: it may be its own.
 */
#include "db.h"

#include <ctype.h>
#include <errno.h>
#include <linux/futex.h>
#include <string.h>

#define LOOK_EVERY_MS     50
#define UNHEARD_OF_FOR_MS 250

/* How many threads can be told apart; more than that wait as well, but are not known to. */
#define THREADS 4096

static struct {
    _Atomic uint32_t closed; /* futex */
    _Atomic int32_t process; /* whose it is: a child that is forked meanwhile has none */
    _Atomic int32_t parked[THREADS];
    _Atomic int32_t seen[THREADS]; /* has passed since the gate was closed; by a hash of its id */
} gate;

/* ---- who waits ----------------------------------------------------------------------------- */

static _Atomic int32_t *park(int32_t thread)
{
    for (size_t i = 0; i < THREADS; i++) {
        int32_t nobody = 0;
        if (atomic_load_explicit(&gate.parked[i], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&gate.parked[i], &nobody, thread))
            return &gate.parked[i];
    }
    return NULL;
}

bool grace_db_is_parked(int32_t thread)
{
    for (size_t i = 0; i < THREADS; i++)
        if (atomic_load(&gate.parked[i]) == thread)
            return true;
    return false;
}

bool grace_db_was_seen(int32_t thread)
{
    return atomic_load(&gate.seen[(uint32_t)thread % THREADS]) == thread;
}

/* ---- who may pass -------------------------------------------------------------------------- */

/* Whether this thread has a transaction on some connection, as far as is known. */
static bool has_begun(int32_t thread, uint64_t waited_ms)
{
    struct grace_db_connection *one = NULL;
    while ((one = grace_db_next(one)) != NULL) {
        bool is_heard_of = atomic_load(&one->used) != 0;
        bool may_be_its =
            atomic_load(&one->owner) == thread || (!is_heard_of && waited_ms >= UNHEARD_OF_FOR_MS);
        if (may_be_its && grace_db_state_of(one) >= GRACE_DB_RUNNING)
            return true;
    }
    return false;
}

static bool may_pass(struct grace_db_library *library, void *handle,
                     struct grace_db_connection *connection, int32_t thread, uint64_t waited_ms)
{
    enum grace_db_state state = library->state(handle);
    if (state < GRACE_DB_OCCUPIED && connection != NULL)
        atomic_store(&connection->vacant, 1);
    return atomic_load(&gate.closed) == 0 || state >= GRACE_DB_RUNNING ||
           has_begun(thread, waited_ms);
}

static void wait_to_pass(struct grace_db_library *library, void *handle,
                         struct grace_db_connection *connection, int32_t thread)
{
    if (may_pass(library, handle, connection, thread, 0))
        return;
    uint64_t began = grace_kernel_now_ms();
    _Atomic int32_t *place = NULL;
    struct timespec moment = {.tv_nsec = LOOK_EVERY_MS * 1000000};
    for (;;) {
        if (place == NULL)
            place = park(thread);
        grace_kernel(SYS_futex, &gate.closed, FUTEX_WAIT_PRIVATE, 1, &moment);
        /* Out of the list before it goes on: whoever is in it does not move. */
        if (place != NULL)
            atomic_store(place, 0);
        place = NULL;
        if (may_pass(library, handle, connection, thread, grace_kernel_now_ms() - began))
            return;
    }
}

/* ---- the calls ----------------------------------------------------------------------------- */

static struct grace_db_connection *known(struct grace_db_library *library, void *handle)
{
    struct grace_db_connection *connection = grace_db_find(handle);
    if (connection == NULL && (library->is_open == NULL || library->is_open(handle))) {
        grace_db_add(library, handle); /* it was opened past us */
        connection = grace_db_find(handle);
    }
    int32_t process = grace_getpid();
    if (connection != NULL && atomic_load(&connection->process) != process) {
        atomic_store(&connection->running, 0); /* the parent's calls */
        atomic_store(&connection->process, process);
    }
    return connection;
}

struct grace_db_connection *grace_db_enter(struct grace_db_library *library, void *handle,
                                           bool goes_on)
{
    if (handle == NULL || atomic_load_explicit(&gate.closed, memory_order_acquire) == 0 ||
        atomic_load(&gate.process) != grace_getpid())
        return NULL;
    int saved = errno;
    int32_t thread = (int32_t)grace_kernel(SYS_gettid);
    struct grace_db_connection *connection = known(library, handle);
    if (!goes_on)
        wait_to_pass(library, handle, connection, thread);
    if (connection != NULL) {
        atomic_store(&connection->owner, thread);
        atomic_store(&connection->used, 1);
        atomic_fetch_add(&connection->running, 1);
    }
    atomic_store(&gate.seen[(uint32_t)thread % THREADS], thread);
    errno = saved;
    return connection;
}

void grace_db_leave(struct grace_db_connection *connection)
{
    if (connection != NULL)
        atomic_fetch_sub(&connection->running, 1);
}

void grace_db_gate_close(void)
{
    int32_t process = grace_getpid();
    bool is_forked =
        atomic_load(&gate.process) != process; /* its parent's threads wait elsewhere */
    for (size_t i = 0; i < THREADS; i++) {
        atomic_store(&gate.seen[i], 0);
        if (is_forked)
            atomic_store(&gate.parked[i], 0);
    }
    struct grace_db_connection *one = NULL;
    while ((one = grace_db_next(one)) != NULL) {
        atomic_store(&one->used, 0);
        atomic_store(&one->vacant, 0);
        one->busy_since_ms = 0;
    }
    atomic_store(&gate.process, process);
    atomic_store(&gate.closed, 1);
}

void grace_db_gate_open(void)
{
    atomic_store(&gate.closed, 0);
    grace_kernel(SYS_futex, &gate.closed, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

/* ---- statements that end -------------------------------------------------------------------- */

static bool begins_with(const char *text, size_t length, const char *words)
{
    size_t own = strlen(words);
    return length >= own && strncasecmp(text, words, own) == 0 &&
           (length == own || !isalnum((unsigned char)text[own]));
}

/* COMMIT PREPARED, XA COMMIT and their kin come on a connection that is idle, but a transaction in
 * two phases is not over before them. */
bool grace_db_only_ends(const char *statement, size_t length)
{
    static const char *const ends[] = {"COMMIT", "ROLLBACK",   "END",       "ABORT",
                                       "XA END", "XA PREPARE", "XA COMMIT", "XA ROLLBACK"};
    if (statement == NULL)
        return false;
    for (; length > 0 && isspace((unsigned char)*statement); length--)
        statement++;
    const char *another = memchr(statement, ';', length);
    if (another != NULL && another + 1 != statement + length)
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (begins_with(statement, length, ends[i]))
            return true;
    return false;
}
