/*
 * stdio's own way out, fflush(NULL) and exit(), waits for the lock of every FILE: a thread that
 * sits in fgets() or in a printf to a full pipe holds one, and the stop would hang behind it. Here
 * each FILE's lock is only tried.
 *
 * To walk libc's list of streams the list's own lock is needed, and libc has no way of trying that
 * one. Usually it is held for the moment that fopen or fclose needs, but a thread that hangs inside
 * fflush(NULL) holds it for as long. So stdout and stderr, which are found without the list, come
 * first; for all others this waits until somebody abandons the thread that it runs on.
 */
#include "flush_stdio.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>

#include "kernel.h"

/* Streams taken at once, and how often: memory streams hold output for ever. */
#define TAKEN_MAX  256
#define PASSES_MAX 64

/* A thread that writes all the time holds its stream's lock most of the time, for moments: it is
 * tried this often in a row, and again after a pause. */
#define TRIES          2000
#define AGAIN_AFTER_US 500

/* Streams that are remembered as done: those that others fill again are not waited for again. */
#define DONE_MAX 512

/* glibc, exported since 2.2; weak, so that another libc leaves us with the standard streams only.
 */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void *_IO_iter_begin(void) __attribute__((weak));
extern void *_IO_iter_end(void) __attribute__((weak));
extern void *_IO_iter_next(void *) __attribute__((weak));
extern FILE *_IO_iter_file(void *) __attribute__((weak));

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

/* With the FILE's lock held. True when it holds nothing any more. */
static bool flush_locked(FILE *file, uint64_t deadline_ms, struct grace_flushed *result)
{
    if (__fpending(file) == 0)
        return true;
    int fd = fileno_unlocked(file); /* -1: memory or cookie streams */
    if (fd >= 0 && !takes_output(fd, deadline_ms)) {
        result->stuck++;
        return false;
    }
    if (fflush_unlocked(file) != 0) {
        result->failed++;
        return false;
    }
    result->flushed++;
    return true;
}

/* Streams that hold output, their locks taken by us. */
struct taken {
    FILE *files[TAKEN_MAX];
    unsigned count;
    const struct done *done;
};

/* Streams that have been written once in this call. */
struct done {
    const FILE *files[DONE_MAX];
    unsigned count;
};

static bool is_done(const struct done *done, const FILE *file)
{
    for (unsigned i = 0; i < done->count; i++)
        if (done->files[i] == file)
            return true;
    return false;
}

static void take(FILE *file, struct taken *taken, struct grace_flushed *result)
{
    /* Read without its lock, which is enough to pass over the many that hold nothing. */
    if (__fpending(file) == 0 || is_done(taken->done, file))
        return;
    for (unsigned try = 0; try < TRIES; try++)
        if (ftrylockfile(file) == 0) {
            taken->files[taken->count++] = file;
            return;
        }
    result->skipped++;
}

/* Whether libc has a list of all streams that can be walked. */
static bool has_list(void)
{
    return _IO_list_lock != NULL && _IO_list_unlock != NULL && _IO_iter_begin != NULL &&
           _IO_iter_next != NULL && _IO_iter_file != NULL && _IO_iter_end != NULL;
}

/*
 * The list's lock is held while streams are taken, so that none is freed before we have its own
 * lock; not while they are written: a thread that is stuck there must not hold up the target's
 * exit(). A stream whose lock we hold cannot be closed.
 */
static void take_listed(struct taken *taken, struct grace_flushed *result)
{
    _IO_list_lock();
    for (void *at = _IO_iter_begin(); at != _IO_iter_end() && taken->count < TAKEN_MAX;
         at = _IO_iter_next(at))
        take(_IO_iter_file(at), taken, result);
    _IO_list_unlock();
}

static void take_standard(struct taken *taken, struct grace_flushed *result)
{
    take(stdout, taken, result);
    take(stderr, taken, result);
}

/* One pass: what it could not write is counted anew, since the next one meets it again. */
static unsigned flush_pass(void (*take_some)(struct taken *, struct grace_flushed *),
                           uint64_t deadline_ms, struct done *done, struct grace_flushed *result)
{
    struct taken taken = {.count = 0, .done = done};
    result->skipped = result->stuck = result->failed = 0;
    take_some(&taken, result);
    for (unsigned i = 0; i < taken.count; i++) {
        bool written = flush_locked(taken.files[i], deadline_ms, result);
        funlockfile(taken.files[i]);
        if (written && done->count < DONE_MAX)
            done->files[done->count++] = taken.files[i];
    }
    return taken.count;
}

/* All streams, as far as their locks can be had now. */
static void flush_listed(uint64_t deadline_ms, struct done *done, struct grace_flushed *result)
{
    for (unsigned pass = 0; has_list() && pass < PASSES_MAX; pass++) {
        unsigned before = result->flushed;
        /* Again only if there may be more: the array was full, and all in it is done with. */
        if (flush_pass(take_listed, deadline_ms, done, result) < TAKEN_MAX ||
            result->flushed - before < TAKEN_MAX)
            return;
    }
}

static void flush_all(uint64_t until_ms, uint64_t deadline_ms, struct grace_flushed *result)
{
    const struct timespec pause = {0, AGAIN_AFTER_US * 1000};
    struct done done;
    done.count = 0;
    flush_pass(take_standard, deadline_ms, &done, result);
    flush_listed(deadline_ms, &done, result);
    while (result->skipped > 0 && has_list() && grace_kernel_now_ms() < until_ms) {
        grace_kernel(SYS_nanosleep, &pause, NULL);
        flush_listed(deadline_ms, &done, result);
    }
}

void grace_flush_stdio(uint32_t busy_ms, uint32_t patience_ms, struct grace_flushed *result)
{
    int saved = errno;
    *result = (struct grace_flushed){.flushed = 0};
    /* A reader that is gone must not end the process here: take back the SIGPIPE that we caused. */
    const uint64_t pipe_bit = UINT64_C(1) << (SIGPIPE - 1);
    uint64_t mask = 0, before = 0, after = 0;
    grace_kernel(SYS_rt_sigprocmask, SIG_BLOCK, &pipe_bit, &mask, sizeof mask);
    grace_kernel(SYS_rt_sigpending, &before, sizeof before);
    uint64_t now = grace_kernel_now_ms();
    flush_all(now + busy_ms, now + patience_ms, result);
    grace_kernel(SYS_rt_sigpending, &after, sizeof after);
    struct timespec none = {0, 0};
    if (!(before & pipe_bit) && (after & pipe_bit))
        grace_kernel(SYS_rt_sigtimedwait, &pipe_bit, NULL, &none, sizeof pipe_bit);
    grace_kernel_set_mask(mask);
    errno = saved;
}
