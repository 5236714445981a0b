/*
 * Between a look at a file and its removal a new instance may put its own there. unlink() removes
 * whatever has the name by then, so the name is taken first: a rename is one step, and what it took
 * can be looked at in peace. If that is not the file that was judged, it is put back.
 *
 * That is enough for who replaces a pid file. Who opens the old one and writes into it could open
 * it before the rename and write after it was judged again. A lease (fcntl(2)) excludes that: it is
 * granted only while nobody else has the file open, and holds up whoever opens it; if somebody
 * waits for it when the name is ours, the name is put back and he gets his file.
 */
#include "leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Somebody may have found the file just before its name was taken, and be on the way to opening it:
 * within this time he has come to the lease. */
#define ON_THE_WAY_MS 20

/* How long somebody who has the file open is waited for, and how often is looked. */
#define PATIENCE_MS   500
#define LOOK_EVERY_MS 10

static enum grace_verdict unclear(struct grace_leftover *leftover, const char *what)
{
    grace_error_set(&leftover->why, "cannot %s %s: %m", what, leftover->path);
    return GRACE_VERDICT_UNCLEAR;
}

static int open_folder(struct grace_leftover *leftover)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(leftover->path, '/');
    leftover->name = slash + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - leftover->path + 1), leftover->path);
    leftover->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return leftover->folder;
}

static enum grace_verdict judge(struct grace_leftover *leftover, const struct grace_stop *stop)
{
    if (S_ISREG(leftover->about.st_mode))
        return grace_pidfile_judge(leftover, stop);
    if (S_ISSOCK(leftover->about.st_mode))
        return grace_socket_judge(leftover, stop);
    grace_error_set(&leftover->why, "%s is %s, neither a pid file nor a socket; left alone",
                    leftover->path,
                    S_ISLNK(leftover->about.st_mode)   ? "a symbolic link"
                    : S_ISDIR(leftover->about.st_mode) ? "a folder"
                                                       : "something else");
    return GRACE_VERDICT_UNCLEAR;
}

enum grace_verdict grace_leftover_look(struct grace_leftover *leftover, const char *path,
                                       const struct grace_stop *stop)
{
    *leftover = (struct grace_leftover){.path = path, .folder = -1, .fd = -1};
    leftover->why.size = sizeof leftover->why;
    if (open_folder(leftover) < 0)
        return errno == ENOENT ? GRACE_VERDICT_ABSENT : unclear(leftover, "open the folder of");
    if (fstatat(leftover->folder, leftover->name, &leftover->about, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? GRACE_VERDICT_ABSENT : unclear(leftover, "look at");
    int flags = S_ISREG(leftover->about.st_mode) ? O_RDONLY | O_NONBLOCK : O_PATH;
    leftover->fd = openat(leftover->folder, leftover->name, flags | O_NOFOLLOW | O_CLOEXEC);
    if (leftover->fd < 0)
        return errno == ENOENT ? GRACE_VERDICT_ABSENT : unclear(leftover, "open");
    if (fstat(leftover->fd, &leftover->about) != 0)
        return unclear(leftover, "look at");
    return judge(leftover, stop);
}

void grace_leftover_close(struct grace_leftover *leftover)
{
    if (leftover->fd >= 0)
        close(leftover->fd);
    if (leftover->folder >= 0)
        close(leftover->folder);
}

/* ---- removing ------------------------------------------------------------------------------ */

/* Have the file for ourselves. False where that cannot be had: somebody keeps it open, the file
 * system has no leases, or the file is another user's. */
static int take_lease(const struct grace_leftover *leftover, const struct grace_stop *stop)
{
    if (!S_ISREG(leftover->about.st_mode))
        return 0;
    signal(SIGIO, SIG_IGN); /* what tells that somebody waits for it */
    /* A target that is still there may have it open itself, for good. */
    int64_t patience = stop->gone ? PATIENCE_MS : 0;
    for (int64_t waited = 0;; waited += LOOK_EVERY_MS) {
        if (fcntl(leftover->fd, F_SETLEASE, F_WRLCK) == 0)
            return 1;
        if (errno != EAGAIN || waited >= patience)
            return 0;
        poll(NULL, 0, LOOK_EVERY_MS);
    }
}

static int rename_within(const struct grace_leftover *leftover, const char *from, const char *to)
{
    int result = renameat2(leftover->folder, from, leftover->folder, to, RENAME_NOREPLACE);
    if (result != 0 && errno == EINVAL) /* a file system that does not know the flag */
        result = renameat(leftover->folder, from, leftover->folder, to);
    return result;
}

/* Whether what was taken is what was judged, and still the target's. */
static enum grace_verdict judge_again(struct grace_leftover *leftover, const char *taken,
                                      int leased, const struct grace_stop *stop)
{
    struct stat about;
    if (leased)
        poll(NULL, 0, ON_THE_WAY_MS);
    if (fstatat(leftover->folder, taken, &about, AT_SYMLINK_NOFOLLOW) != 0 ||
        about.st_ino != leftover->about.st_ino || about.st_dev != leftover->about.st_dev ||
        (leased && fcntl(leftover->fd, F_GETLEASE) != F_WRLCK)) {
        grace_error_set(&leftover->why, "%s kept: a new one has just been made", leftover->path);
        return GRACE_VERDICT_KEEP;
    }
    return judge(leftover, stop);
}

static enum grace_verdict remove_taken(struct grace_leftover *leftover, const char *taken,
                                       int leased, const struct grace_stop *stop)
{
    enum grace_verdict verdict = judge_again(leftover, taken, leased, stop);
    if (verdict == GRACE_VERDICT_OURS) {
        if (unlinkat(leftover->folder, taken, 0) != 0)
            verdict = unclear(leftover, "remove");
    } else if (rename_within(leftover, taken, leftover->name) != 0 && errno == EEXIST) {
        /* Yet another one has the name now: what we took would have been replaced by it. */
        unlinkat(leftover->folder, taken, 0);
    }
    return verdict;
}

enum grace_verdict grace_leftover_remove(struct grace_leftover *leftover,
                                         const struct grace_stop *stop)
{
    char taken[NAME_MAX + 1];
    if (snprintf(taken, sizeof taken, ".%.200s.%d.gone", leftover->name, (int)getpid()) < 0)
        return unclear(leftover, "remove");
    int leased = take_lease(leftover, stop);
    /* Who had it open may have written by now. */
    enum grace_verdict verdict = judge(leftover, stop);
    if (verdict != GRACE_VERDICT_OURS)
        return verdict;
    if (rename_within(leftover, leftover->name, taken) != 0)
        return errno == ENOENT ? GRACE_VERDICT_ABSENT : unclear(leftover, "remove");
    return remove_taken(leftover, taken, leased, stop);
}
