/*
 * A folder of backups holds
 *
 *     000041-20261121T183002Z            whole ones: only these are for people
 *     000042-20261122T183006Z
 *     .000043-20261123T183003Z.partial   being made, or left by a run that was killed
 *     .000040-20261120T183004Z.removed   being removed, or …
 *
 * A rename is what makes one visible, and invisible again. The number decides which is newer: the
 * clock may go back.
 */
#include "backup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hooks/parts/lock_folder.h"

#define PARTIAL ".partial"
#define REMOVED ".removed"

/* ---- names --------------------------------------------------------------------------------- */

/* The number of a name NNNNNN-YYYYMMDDTHHMMSSZ with `ending` behind it; 0: it is something else. */
static unsigned long number_in(const char *name, const char *ending)
{
    size_t digits = strspn(name, "0123456789");
    if (digits < 6 || digits > 12)
        return 0;
    const char *at = name + digits;
    for (const char *expected = "-ddddddddTddddddZ"; *expected != '\0'; expected++, at++)
        if (*expected == 'd' ? !isdigit((unsigned char)*at) : *at != *expected)
            return 0;
    return strcmp(at, ending) == 0 ? strtoul(name, NULL, 10) : 0;
}

static int is_leftover(const char *name)
{
    return name[0] == '.' &&
           (number_in(name + 1, PARTIAL) != 0 || number_in(name + 1, REMOVED) != 0);
}

static void choose_name(struct grace_generation *generation, unsigned long number)
{
    char stamp[32];
    struct tm parts;
    time_t now = time(NULL);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    snprintf(generation->name, sizeof generation->name, "%06lu-%s", number, stamp);
    snprintf(generation->partial, sizeof generation->partial, ".%.50s" PARTIAL, generation->name);
}

/* ---- removing ------------------------------------------------------------------------------ */

/* A folder that may not be entered or changed is ours all the same. */
static DIR *open_to_empty(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(folder, name, 0700, 0) == 0)
        fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    fchmod(fd, 0700);
    DIR *stream = fdopendir(fd);
    if (stream == NULL)
        close(fd);
    return stream;
}

static int is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int empty_folder(int folder, const char *name)
{
    DIR *stream = open_to_empty(folder, name);
    int failed = stream == NULL ? errno : 0, removed;
    do { /* again, since a folder that shrinks may hide entries from who reads it */
        removed = 0;
        if (stream != NULL)
            rewinddir(stream);
        for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
            if (is_dots(entry->d_name))
                continue;
            if (grace_remove_tree(dirfd(stream), entry->d_name) == 0)
                removed++;
            else
                failed = errno;
        }
    } while (removed > 0 && failed == 0);
    if (stream != NULL)
        closedir(stream);
    errno = failed;
    return failed != 0 ? -1 : 0;
}

int grace_remove_tree(int folder, const char *name)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (empty_folder(folder, name) != 0)
        return -1;
    return unlinkat(folder, name, AT_REMOVEDIR);
}

/* ---- the folder of backups ----------------------------------------------------------------- */

/* One that can be seen. */
struct visible {
    unsigned long number;
    char name[64];
};

struct survey {
    struct visible *list;
    size_t count, room;
};

static int note(struct survey *survey, unsigned long number, const char *name)
{
    if (survey->count == survey->room) {
        size_t room = survey->room * 2 + 16;
        struct visible *list = realloc(survey->list, room * sizeof *list);
        if (list == NULL)
            return -1;
        survey->list = list;
        survey->room = room;
    }
    struct visible *one = &survey->list[survey->count++];
    one->number = number;
    snprintf(one->name, sizeof one->name, "%.63s", name);
    return 0;
}

static DIR *open_again(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (stream == NULL && copy >= 0)
        close(copy);
    return stream;
}

/* Look at all of them; with `clean` remove what killed runs left. */
static int look_around(int to, int clean, struct survey *survey)
{
    DIR *stream = open_again(to);
    int result = stream != NULL ? 0 : -1;
    for (struct dirent *entry; result == 0 && (entry = readdir(stream)) != NULL;) {
        unsigned long number = number_in(entry->d_name, "");
        if (number != 0)
            result = note(survey, number, entry->d_name);
        else if (clean && is_leftover(entry->d_name))
            result = grace_remove_tree(to, entry->d_name);
    }
    if (stream != NULL)
        closedir(stream);
    return result;
}

static int begin_locked(struct grace_generation *generation, const char *to,
                        struct grace_error *error)
{
    struct survey survey = {.list = NULL};
    unsigned long newest = 0;
    int result = look_around(generation->to, 1, &survey);
    for (size_t i = 0; i < survey.count; i++)
        newest = survey.list[i].number > newest ? survey.list[i].number : newest;
    free(survey.list);
    if (result != 0)
        return grace_error_set(error, "cannot clean up %s: %m", to);
    choose_name(generation, newest + 1);
    if (mkdirat(generation->to, generation->partial, 0700) != 0)
        return grace_error_set(error, "cannot write to %s: %m", to);
    generation->folder = openat(generation->to, generation->partial,
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (generation->folder < 0)
        return grace_error_set(error, "cannot open %s/%s: %m", to, generation->partial);
    return 0;
}

int grace_generation_begin(struct grace_generation *generation, const char *to,
                           const struct grace_stop *stop, struct grace_error *error)
{
    *generation = (struct grace_generation){.to = -1, .folder = -1};
    if (mkdir(to, 0700) != 0 && errno != EEXIST)
        return grace_error_set(error, "cannot make folder %s: %m", to);
    generation->to = grace_lock_folder(to, grace_stop_remaining_ms(stop), error);
    return generation->to < 0 ? -1 : begin_locked(generation, to, error);
}

int grace_generation_publish(struct grace_generation *generation, const char *to,
                             struct grace_error *error)
{
    if (fsync(generation->folder) != 0 ||
        renameat(generation->to, generation->partial, generation->to, generation->name) != 0)
        return grace_error_set(error, "cannot finish %s/%s: %m", to, generation->name);
    generation->partial[0] = '\0';
    if (fsync(generation->to) != 0)
        return grace_error_set(error, "cannot write to %s: %m", to);
    return 0;
}

static int remove_one(const struct grace_generation *generation, const char *name,
                      struct grace_error *error)
{
    char removed[96];
    snprintf(removed, sizeof removed, ".%s" REMOVED, name);
    if (renameat(generation->to, name, generation->to, removed) != 0 ||
        grace_remove_tree(generation->to, removed) != 0)
        return grace_error_set(error, "cannot remove the old backup %s: %m", name);
    return 0;
}

int grace_generation_prune(const struct grace_generation *generation, unsigned keep,
                           struct grace_error *error)
{
    struct survey survey = {.list = NULL};
    int result = look_around(generation->to, 0, &survey);
    if (result != 0)
        grace_error_set(error, "cannot look for old backups: %m");
    for (size_t left = survey.count; result == 0 && left > keep; left--) {
        size_t oldest = 0;
        for (size_t i = 0; i < survey.count; i++)
            if (survey.list[i].number < survey.list[oldest].number)
                oldest = i;
        survey.list[oldest].number = ULONG_MAX;
        result = remove_one(generation, survey.list[oldest].name, error);
    }
    free(survey.list);
    return result;
}

void grace_generation_discard(struct grace_generation *generation)
{
    if (generation->to >= 0 && generation->partial[0] != '\0')
        grace_remove_tree(generation->to, generation->partial);
    generation->partial[0] = '\0';
}

void grace_generation_close(struct grace_generation *generation)
{
    if (generation->folder >= 0)
        close(generation->folder);
    if (generation->to >= 0)
        close(generation->to);
}
