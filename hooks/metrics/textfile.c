#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooks/parts/lock_folder.h"
#include "series.h"

/* Above this it is no file of ours. */
#define FILE_MAX_BYTES (1024 * 1024)

/* A file, and how to speak of it. */
struct place {
    const char *path;
    char folder[PATH_MAX];
    const char *name;
    int folder_fd;
    mode_t mode; /* that the new file gets */
};

static int split(struct place *place, const char *path, struct grace_error *error)
{
    const char *slash = strrchr(path, '/');
    *place = (struct place){.path = path, .mode = 0644};
    if (slash == NULL || slash[1] == '\0' || strlen(slash + 1) > NAME_MAX - 8 ||
        (size_t)(slash - path) >= sizeof place->folder) {
        grace_error_set(error, "%.200s cannot be a file", path);
        return -1;
    }
    memcpy(place->folder, path, (size_t)(slash - path));
    if (slash == path)
        place->folder[0] = '/';
    place->name = slash + 1;
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static char *read_whole(int fd, size_t size)
{
    char *text = malloc(size + 1);
    size_t length = 0;
    while (text != NULL && length < size) {
        ssize_t got = read(fd, text + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(text);
            return NULL;
        }
        if (got == 0)
            break;
        length += (size_t)got;
    }
    if (text != NULL)
        text[length] = '\0';
    return text;
}

static int parse_open(const struct place *place, int fd, const struct stat *about,
                      struct grace_series_set *set, struct grace_error *error)
{
    if (!S_ISREG(about->st_mode) || about->st_size > FILE_MAX_BYTES)
        return grace_error_set(error, "%s is no file of libgrace's metrics; left as it is",
                               place->path);
    char *text = read_whole(fd, (size_t)about->st_size);
    if (text == NULL)
        return grace_error_set(error, "cannot read %s: %m", place->path);
    size_t taken = grace_series_parse(set, text);
    free(text);
    /* Whatever the user named by mistake is not written over. */
    if (taken == 0 && about->st_size > 0)
        return grace_error_set(error, "%s is no file of libgrace's metrics; left as it is",
                               place->path);
    return 0;
}

/* Take over what is in the file that is there. */
static int read_old(struct place *place, struct grace_series_set *set, struct grace_error *error)
{
    struct stat about;
    int fd = openat(place->folder_fd, place->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return grace_error_set(error, "cannot read %s: %s", place->path,
                               errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    int result = fstat(fd, &about) == 0 ? parse_open(place, fd, &about, set, error)
                                        : grace_error_set(error, "cannot read %s: %m", place->path);
    place->mode = about.st_mode & 0777;
    close(fd);
    return result;
}

/* ---- writing ------------------------------------------------------------------------------- */

static int print_to(int fd, const struct grace_series_set *set)
{
    FILE *stream = fdopen(fd, "w");
    if (stream == NULL) {
        close(fd);
        return -1;
    }
    grace_series_print(set, stream);
    int failed = fflush(stream) != 0 || ferror(stream) || fsync(fd) != 0;
    int saved = errno;
    failed |= fclose(stream) != 0;
    errno = failed && saved != 0 ? saved : errno;
    return failed ? -1 : 0;
}

/* The name beside it is always the same, and only whoever holds the lock uses it: what a process
 * left that was killed here is written over. */
static int write_new(const struct place *place, const struct grace_series_set *set,
                     struct grace_error *error)
{
    char beside[NAME_MAX + 1];
    snprintf(beside, sizeof beside, ".%s.new", place->name);
    unlinkat(place->folder_fd, beside, 0);
    int fd = openat(place->folder_fd, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    if (fd < 0)
        return grace_error_set(error, "cannot write to %s: %m", place->folder);
    fchmod(fd, place->mode); /* whatever the umask: who reads it is another user */
    if (print_to(fd, set) != 0 ||
        renameat(place->folder_fd, beside, place->folder_fd, place->name) != 0) {
        grace_error_set(error, "cannot write %s: %m", place->path);
        unlinkat(place->folder_fd, beside, 0);
        return -1;
    }
    fsync(place->folder_fd);
    return 0;
}

static int count_locked(struct place *place, const struct grace_stop *stop,
                        struct grace_error *error)
{
    struct grace_series_set set = {.first = NULL};
    int result = read_old(place, &set, error);
    if (result == 0)
        grace_series_count(&set, stop);
    if (result == 0 && set.short_of_memory)
        result = grace_error_set(error, "out of memory");
    if (result == 0)
        result = write_new(place, &set, error);
    grace_series_free(&set);
    return result;
}

int grace_metrics_count(const char *path, const struct grace_stop *stop, struct grace_error *error)
{
    struct place place;
    if (split(&place, path, error) != 0)
        return -1;
    place.folder_fd = grace_lock_folder(place.folder, grace_stop_remaining_ms(stop), error);
    if (place.folder_fd < 0)
        return -1;
    int result = count_locked(&place, stop, error);
    close(place.folder_fd);
    return result;
}
