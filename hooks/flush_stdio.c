/*
 * stdio's own way out, fflush(NULL) and exit(), waits for the lock of every FILE: a thread that
 * sits in fgets() or in a printf to a full pipe holds one, and the stop would hang behind it. Here
 * every lock is tried: the list's by looking at it first, each FILE's by ftrylockfile. Between
 * looking at the list's lock and taking it another thread may take it; usually for the moment that
 * fopen or fclose needs.
 *
 * libc exports how to walk its list (for debuggers and old C++ libraries), but not the list's lock.
 */
#include "flush_stdio.h"

#include <errno.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/stat.h>

#include "kernel.h"

/* Streams taken at once, and how often: memory streams hold output for ever. */
#define TAKEN_MAX  256
#define PASSES_MAX 64

/* glibc, exported since 2.2; weak, so that another libc leaves us with the standard streams only.
 */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void *_IO_iter_begin(void) __attribute__((weak));
extern void *_IO_iter_end(void) __attribute__((weak));
extern void *_IO_iter_next(void *) __attribute__((weak));
extern FILE *_IO_iter_file(void *) __attribute__((weak));

/* _IO_lock_t, glibc sysdeps/nptl/stdio-lock.h. Recognised, not relied on: the search below checks
 * that it behaves like the lock. */
struct list_lock {
    int lock;
    int count;
    void *owner;
};

static const struct list_lock *list_lock; /* NULL: not found */

struct search {
    const struct list_lock *found;
    unsigned matches;
};

static void search_range(const char *begin, const char *end, struct search *search)
{
    begin = (const char *)(((uintptr_t)begin + 7) & ~(uintptr_t)7);
    for (; begin + sizeof(struct list_lock) <= end; begin += 8) {
        const struct list_lock *candidate = (const struct list_lock *)(const void *)begin;
        if (candidate->lock == 1 && candidate->owner == (void *)pthread_self()) {
            search->found = candidate;
            search->matches++;
        }
    }
}

/* The writable part of the object that holds libc's own stdout. */
static int search_object(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const char *begin = (const char *)object->dlpi_addr + part->p_vaddr;
        const char *end = begin + part->p_memsz;
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_W) || (const char *)stdout < begin ||
            (const char *)stdout >= end)
            continue;
        search_range(begin, end, argument);
        return 1;
    }
    return 0;
}

bool grace_flush_stdio_prepare(void)
{
    if (list_lock != NULL || _IO_list_lock == NULL || _IO_list_unlock == NULL)
        return list_lock != NULL;
    struct search search = {NULL, 0};
    _IO_list_lock();
    dl_iterate_phdr(search_object, &search);
    _IO_list_unlock();
    /* Ours while we held it, and no longer ours now: that is it, and nothing else. */
    if (search.matches == 1 &&
        __atomic_load_n(&search.found->owner, __ATOMIC_RELAXED) != (void *)pthread_self())
        list_lock = search.found;
    return list_lock != NULL;
}

/* Whether the descriptor takes output by the deadline. Files always do. */
static bool takes_output(int fd, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = grace_kernel_now_ms(), left = now < deadline_ms ? deadline_ms - now : 0;
        struct timespec time = {(time_t)(left / 1000), (long)(left % 1000) * 1000000};
        struct pollfd entry = {.fd = fd, .events = POLLOUT};
        long ready = grace_kernel(SYS_ppoll, &entry, 1, &time, NULL, 8);
        if (ready != -EINTR)
            return ready != 0;
    }
}

/* With the FILE's lock held. */
static void flush_locked(FILE *file, uint64_t deadline_ms, struct grace_flushed *result)
{
    if (__fpending(file) == 0)
        return;
    int fd = fileno_unlocked(file); /* -1: memory or cookie streams */
    if (fd >= 0 && !takes_output(fd, deadline_ms))
        result->stuck++;
    else if (fflush_unlocked(file) == 0)
        result->flushed++;
    else
        result->failed++;
}

/* Streams that hold output, their locks taken by us. */
struct taken {
    FILE *files[TAKEN_MAX];
    unsigned count;
};

static void take(FILE *file, struct taken *taken, struct grace_flushed *result)
{
    /* Read without its lock, which is enough to pass over the many that hold nothing. */
    if (__fpending(file) == 0)
        return;
    if (ftrylockfile(file) == 0)
        taken->files[taken->count++] = file;
    else
        result->skipped++;
}

static void take_listed(struct taken *taken, struct grace_flushed *result)
{
    _IO_list_lock();
    for (void *at = _IO_iter_begin(); at != _IO_iter_end() && taken->count < TAKEN_MAX;
         at = _IO_iter_next(at))
        take(_IO_iter_file(at), taken, result);
    _IO_list_unlock();
}

/* Whether the list of all streams can be walked now. */
static bool has_list(struct grace_flushed *result)
{
    if (_IO_list_lock == NULL || _IO_list_unlock == NULL || _IO_iter_begin == NULL ||
        _IO_iter_next == NULL || _IO_iter_file == NULL || _IO_iter_end == NULL)
        return false;
    result->list_busy =
        list_lock != NULL && __atomic_load_n(&list_lock->lock, __ATOMIC_ACQUIRE) != 0;
    return !result->list_busy;
}

/*
 * The list's lock is held while streams are taken, so that none is freed before we have its own
 * lock; not while they are written: a thread that is stuck there must not hold up the target's
 * exit(). A stream whose lock we hold cannot be closed.
 */
static unsigned flush_some(uint64_t deadline_ms, struct grace_flushed *result)
{
    struct taken taken = {.count = 0};
    result->skipped = 0;
    if (has_list(result)) {
        take_listed(&taken, result);
    } else {
        take(stdout, &taken, result);
        take(stderr, &taken, result);
    }
    for (unsigned i = 0; i < taken.count; i++) {
        flush_locked(taken.files[i], deadline_ms, result);
        funlockfile(taken.files[i]);
    }
    return taken.count;
}

static void flush_all(uint64_t deadline_ms, struct grace_flushed *result)
{
    for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
        unsigned before = result->flushed;
        /* Again only if there may be more: the array was full, and all in it is done with. */
        if (flush_some(deadline_ms, result) < TAKEN_MAX || result->flushed - before < TAKEN_MAX)
            return;
    }
}

void grace_flush_stdio(uint32_t patience_ms, struct grace_flushed *result)
{
    int saved = errno;
    *result = (struct grace_flushed){.flushed = 0};
    /* A reader that is gone must not end the process here: take back the SIGPIPE that we caused. */
    const uint64_t pipe_bit = UINT64_C(1) << (SIGPIPE - 1);
    uint64_t mask = 0, before = 0, after = 0;
    grace_kernel(SYS_rt_sigprocmask, SIG_BLOCK, &pipe_bit, &mask, sizeof mask);
    grace_kernel(SYS_rt_sigpending, &before, sizeof before);
    flush_all(grace_kernel_now_ms() + patience_ms, result);
    grace_kernel(SYS_rt_sigpending, &after, sizeof after);
    struct timespec none = {0, 0};
    if (!(before & pipe_bit) && (after & pipe_bit))
        grace_kernel(SYS_rt_sigtimedwait, &pipe_bit, NULL, &none, sizeof pipe_bit);
    grace_kernel_set_mask(mask);
    errno = saved;
}
