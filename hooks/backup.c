/*
 * The plugin "backup": copies files and folders, whole or not at all.
 *
 *     { name = "backup"; phase = "cleanup"; timeout = "1m"; plugin = "backup";
 *       options = { from = ["/var/lib/legacyd"]; to = "/var/backups/legacyd"; keep = 5; }; }
 */
#include "hooks/grace_hook.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "backup/backup.h"

/* ---- options ------------------------------------------------------------------------------- */

static const char *name_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static int check_path(const char *option, const char *path, struct grace_error *error)
{
    const char *name = path[0] == '/' ? name_of(path) : "";
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return grace_error_set(error,
                               "option \"%s\" has \"%.200s\"; expected an absolute path that ends "
                               "with a name",
                               option, path);
    return 0;
}

static int check_from(const char *const *from, struct grace_error *error)
{
    if (from == NULL || from[0] == NULL)
        return grace_error_set(error,
                               "option \"from\" is missing; expected a file or folder, or a list "
                               "of them");
    for (size_t i = 0; from[i] != NULL; i++) {
        if (check_path("from", from[i], error) != 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(name_of(from[i]), name_of(from[k])) == 0)
                return grace_error_set(error,
                                       "option \"from\": %.150s and %.150s have the same name in "
                                       "a backup; use two hooks",
                                       from[k], from[i]);
    }
    return 0;
}

static int check_number(const char *name, int64_t number, int64_t least, int64_t most,
                        struct grace_error *error)
{
    if (number >= least && number <= most)
        return 0;
    return grace_error_set(error, "option \"%s\" is %lld; expected %lld to %lld", name,
                           (long long)number, (long long)least, (long long)most);
}

static int read_choices(const struct grace_options *options, struct grace_backup_options *backup,
                        struct grace_error *error)
{
    const char *compress = grace_option_string(options, "compress", "none");
    const char *changing = grace_option_string(options, "changing", "fail");
    int64_t level = grace_option_int(options, "level", 3);
    if (strcmp(compress, "none") != 0 && strcmp(compress, "zstd") != 0)
        return grace_error_set(
            error, "option \"compress\" is \"%.100s\"; expected \"none\" or \"zstd\"", compress);
    if (strcmp(changing, "fail") != 0 && strcmp(changing, "warn") != 0)
        return grace_error_set(
            error, "option \"changing\" is \"%.100s\"; expected \"fail\" or \"warn\"", changing);
    backup->warn = strcmp(changing, "warn") == 0;
    backup->level = strcmp(compress, "zstd") == 0 ? (int)level : 0;
    if (grace_option_given(options, "level") && backup->level == 0 && level != 0)
        return grace_error_set(error, "option \"level\" is for compress = \"zstd\"");
    return check_number("level", level, 1, 19, error);
}

static int read_options(const struct grace_options *options, struct grace_backup_options *backup,
                        struct grace_error *error)
{
    int64_t keep = grace_option_int(options, "keep", 5);
    int64_t tries = grace_option_int(options, "tries", 3);
    backup->from = grace_option_list(options, "from");
    backup->to = grace_option_string(options, "to", NULL);
    if (read_choices(options, backup, error) != 0 || check_from(backup->from, error) != 0)
        return -1;
    if (backup->to == NULL)
        return grace_error_set(error, "option \"to\" is missing; expected the folder of backups");
    backup->keep = (unsigned)keep;
    backup->tries = (unsigned)tries;
    if (check_path("to", backup->to, error) != 0)
        return -1;
    if (check_number("keep", keep, 1, 100000, error) != 0)
        return -1;
    return check_number("tries", tries, 1, 1000, error);
}

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct grace_backup_options *backup = calloc(1, sizeof *backup);
    if (backup == NULL)
        return grace_error_set(error, "out of memory");
    if (read_options(options, backup, error) != 0) {
        free(backup);
        return -1;
    }
    *state = backup;
    return 0;
}

/* ---- the work ------------------------------------------------------------------------------ */

static void tell(const struct grace_backup_options *options,
                 const struct grace_generation *generation,
                 const struct grace_backup_result *result, const struct grace_stop *stop)
{
    char line[1024];
    snprintf(line, sizeof line, "%s/%s: %llu files, %llu bytes", options->to, generation->name,
             (unsigned long long)result->files, (unsigned long long)result->bytes);
    grace_stop_log(stop, GRACE_HOOK_INFO, line);
    if (result->skipped > 0) {
        snprintf(line, sizeof line, "%u sockets, fifos or devices not copied, first %s",
                 result->skipped, result->first_skipped);
        grace_stop_log(stop, GRACE_HOOK_INFO, line);
    }
    if (result->unsettled) {
        snprintf(line, sizeof line, "%s changed while it was copied, %u times over",
                 result->first_unsettled, options->tries);
        grace_stop_log(stop, GRACE_HOOK_WARNING, line);
    }
}

static int make(const struct grace_backup_options *options, struct grace_generation *generation,
                const struct grace_stop *stop, struct grace_error *error)
{
    struct grace_backup_result result = {.files = 0};
    struct stat to;
    if (fstat(generation->to, &to) != 0)
        return grace_error_set(error, "cannot look at %s: %m", options->to);
    if (grace_backup_copy(options, generation->folder, &to, &result, error) != 0)
        return -1;
    if (result.unsettled && !options->warn)
        return grace_error_set(error,
                               "%.250s changed while it was copied, %u times over; stop what "
                               "writes to it first (phase = \"cleanup\"), or say changing = "
                               "\"warn\"",
                               result.first_unsettled, options->tries);
    if (grace_generation_publish(generation, options->to, error) != 0)
        return -1;
    tell(options, generation, &result, stop);
    return 0;
}

/* Each level of a tree keeps three of them open. */
static void want_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct grace_backup_options *options = state;
    struct grace_generation generation;
    struct grace_error old = {.size = sizeof old};
    want_descriptors();
    int result = grace_generation_begin(&generation, options->to, stop, error);
    if (result == 0)
        result = make(options, &generation, stop, error);
    if (result != 0)
        grace_generation_discard(&generation);
    /* The new one is safe: that an old one cannot be removed is no failure of the backup. */
    else if (grace_generation_prune(&generation, options->keep, &old) != 0)
        grace_stop_log(stop, GRACE_HOOK_WARNING, old.text);
    grace_generation_close(&generation);
    return result;
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_EXTERNAL,
    0,
    "backup",
    "copies files and folders, whole or not at all, and keeps the last ones",
    configure,
    run,
    release,
};
