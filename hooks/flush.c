/*
 * The plugin "flush": what the program still holds in stdio's buffers is written, and with `sync =
 * true` its files reach the disk.
 *
 *     { name = "flush"; plugin = "flush"; options = { sync = true; }; }
 */
#include "grace_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "flush_stdio.h"
#include "kernel.h"

/* What is kept of the hook's time for what comes after a pipe that takes nothing. */
#define RESERVE_MS 200

struct flush {
    int sync;
};

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct flush *flush = calloc(1, sizeof *flush);
    if (flush == NULL)
        return grace_error_set(error, "out of memory");
    flush->sync = grace_option_bool(options, "sync", 0);
    *state = flush;
    return 0;
}

struct synced {
    unsigned failed;
    int error;
};

/* fsync a regular file that the program has open for writing. No libc: another thread may hold its
 * locks. */
static void sync_one(int fd, void *argument)
{
    struct synced *synced = argument;
    struct stat status;
    long flags = grace_kernel(SYS_fcntl, fd, F_GETFL);
    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY ||
        fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    long result = grace_kernel(SYS_fsync, fd);
    /* EBADF: closed meanwhile. EINVAL: a file that has no disk below it. */
    if (result < 0 && result != -EBADF && result != -EINVAL) {
        synced->failed++;
        synced->error = (int)-result;
    }
}

static int judge(const struct grace_flushed *flushed, const struct synced *synced,
                 struct grace_error *error)
{
    if (flushed->skipped + flushed->stuck + flushed->failed > 0)
        return grace_error_set(error,
                               "%u streams flushed, %u not: %u in use by another thread, %u whose "
                               "reader does not read, %u that cannot be written",
                               flushed->flushed,
                               flushed->skipped + flushed->stuck + flushed->failed,
                               flushed->skipped, flushed->stuck, flushed->failed);
    if (synced->failed > 0)
        return grace_error_set(error, "cannot sync %u files: %s", synced->failed,
                               strerrordesc_np(synced->error));
    return 0;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct flush *flush = state;
    struct grace_flushed flushed;
    struct synced synced = {0, 0};
    int64_t remaining = grace_stop_remaining_ms(stop);
    uint32_t patience =
        remaining > 2 * RESERVE_MS ? (uint32_t)(remaining - RESERVE_MS) : (uint32_t)(remaining / 2);
    /* A stream may be in use all the time, on a busy machine, or for long, with a slow disk. */
    grace_flush_stdio(patience / 2, patience, &flushed);
    if (flush->sync)
        grace_kernel_each_descriptor(sync_one, &synced);
    return judge(&flushed, &synced, error);
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_IN_PROCESS,
    0,
    "flush",
    "writes out what stdio holds; with sync = true, files reach the disk",
    configure,
    run,
    release,
};
