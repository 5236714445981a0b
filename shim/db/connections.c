/*
 * The connections that are open.
 *
 * A list of blocks that only grows; a place in it is free while its handle is NULL. There is no
 * lock, so a fork at any moment leaves a child a list that works. A child has its parent's
 * connections in its list, but they are not its own until it uses one.
 */
#include "db.h"

#include <sched.h>
#include <sys/mman.h>

#define BLOCK 64

/* How often a close lets the drain go first, before it goes on regardless: whoever looked may be a
 * thread that a fork left behind. */
#define LOOK_PATIENCE 10000

struct block {
    struct grace_db_connection places[BLOCK];
    _Atomic(struct block *) next;
};

static struct block first;

static struct block *block_after(struct block *block, bool make)
{
    struct block *next = atomic_load_explicit(&block->next, memory_order_acquire);
    if (next != NULL || !make)
        return next;
    long memory = grace_kernel(GRACE_SYS_mmap, NULL, sizeof *next, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (grace_kernel_failed(memory))
        return NULL;
    struct block *made = (struct block *)memory, *other = NULL;
    if (atomic_compare_exchange_strong(&block->next, &other, made))
        return made;
    grace_kernel(SYS_munmap, made, sizeof *made);
    return other;
}

/* A handle that is being written into its place: no library has one at this address. */
#define COMING ((void *)1)

static bool take(struct grace_db_connection *place, struct grace_db_library *library, void *handle)
{
    void *nobody = NULL;
    if (!atomic_compare_exchange_strong(&place->handle, &nobody, COMING))
        return false;
    place->library = library;
    place->busy_since_ms = 0;
    atomic_store(&place->process, grace_getpid());
    atomic_store(&place->owner, (int32_t)grace_kernel(SYS_gettid));
    atomic_store(&place->used, 0);
    atomic_store(&place->vacant, 0);
    atomic_store(&place->running, 0);
    atomic_store_explicit(&place->handle, handle, memory_order_release);
    return true;
}

struct grace_db_connection *grace_db_find(void *handle)
{
    for (struct block *block = &first; block != NULL; block = block_after(block, false))
        for (size_t i = 0; i < BLOCK; i++)
            if (atomic_load_explicit(&block->places[i].handle, memory_order_acquire) == handle)
                return &block->places[i];
    return NULL;
}

void grace_db_add(struct grace_db_library *library, void *handle)
{
    if (handle == NULL || grace_db_find(handle) != NULL)
        return;
    for (struct block *block = &first; block != NULL; block = block_after(block, true))
        for (size_t i = 0; i < BLOCK; i++)
            if (atomic_load_explicit(&block->places[i].handle, memory_order_relaxed) == NULL &&
                take(&block->places[i], library, handle))
                return;
}

void grace_db_remove(void *handle)
{
    struct grace_db_connection *connection = handle == NULL ? NULL : grace_db_find(handle);
    if (connection == NULL)
        return;
    atomic_store(&connection->handle, NULL);
    for (unsigned i = 0; atomic_load(&connection->looked_at) != 0 && i < LOOK_PATIENCE; i++)
        sched_yield();
}

static bool is_open(struct grace_db_connection *place, int32_t process)
{
    void *handle = atomic_load_explicit(&place->handle, memory_order_acquire);
    return handle != NULL && handle != COMING && atomic_load(&place->process) == process;
}

struct grace_db_connection *grace_db_next(struct grace_db_connection *connection)
{
    int32_t process = grace_getpid();
    for (struct block *block = &first; block != NULL; block = block_after(block, false)) {
        size_t i = 0;
        if (connection != NULL) {
            if (connection < block->places || connection >= block->places + BLOCK)
                continue;
            i = (size_t)(connection - block->places) + 1;
            connection = NULL;
        }
        for (; i < BLOCK; i++)
            if (is_open(&block->places[i], process))
                return &block->places[i];
    }
    return NULL;
}

enum grace_db_state grace_db_state_of(struct grace_db_connection *connection)
{
    enum grace_db_state state = GRACE_DB_IDLE;
    atomic_fetch_add(&connection->looked_at, 1); /* before the handle is read: see remove */
    void *handle = atomic_load(&connection->handle);
    if (handle != NULL && handle != COMING)
        state = connection->library->state(handle);
    atomic_fetch_sub(&connection->looked_at, 1);
    if (state == GRACE_DB_OCCUPIED && atomic_load(&connection->vacant) != 0)
        state = GRACE_DB_IDLE; /* by a thread that holds it while it waits at the gate */
    if (state < GRACE_DB_RUNNING && atomic_load(&connection->running) != 0)
        state = GRACE_DB_RUNNING;
    return state;
}
