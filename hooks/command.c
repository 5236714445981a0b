/* Getting a command ready: all that allocates or asks libc's databases, before anything happens. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Most groups of one user that are looked at; the kernel's own limit. */
#define GROUPS_MAX 65536

static const char *find_variable(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    }
    return NULL;
}

/* Whether the path can be executed; otherwise why not, as a positive errno. A file that only
 * `user` may execute is taken: who runs it is known at the stop only. */
static int executable_error(const char *path, const char *user)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    if (!S_ISREG(status.st_mode))
        return EACCES;
    if (user != NULL)
        return (status.st_mode & 0111) != 0 ? 0 : EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

/* Search `path` as execvp does: what exists but cannot be executed is passed over, and told if
 * nothing else is found. Returns an allocated path, or NULL with *error set. */
static char *search_path(const char *name, const char *path, const char *user, int *error)
{
    *error = ENOENT;
    for (;;) {
        size_t length = strcspn(path, ":");
        char *candidate;
        /* An empty entry is the working directory. */
        if (asprintf(&candidate, "%.*s%s%s", (int)length, path, length > 0 ? "/" : "./", name) <
            0) {
            *error = ENOMEM;
            return NULL;
        }
        int failed = executable_error(candidate, user);
        if (failed == 0)
            return candidate;
        free(candidate);
        if (failed != ENOENT && failed != ENOTDIR)
            *error = failed;
        if (path[length] == '\0')
            return NULL;
        path += length + 1;
    }
}

static int find_executable(struct grace_command *command, const char *user,
                           char *const *environment, struct grace_error *error)
{
    const char *name = command->argv[0];
    char *path = NULL;
    if (name == NULL || name[0] == '\0') {
        command->error = ENOENT;
        return grace_error_set(error, "the command is empty");
    }
    if (strchr(name, '/') != NULL) {
        command->error = executable_error(name, user);
        if (command->error != 0)
            return grace_error_set(error, "cannot run %s: %s", name, strerror(command->error));
        path = strdup(name);
        command->error = path == NULL ? ENOMEM : 0;
    } else {
        const char *search = find_variable(environment, "PATH");
        if (search == NULL)
            search = USUAL_PATH;
        path = search_path(name, search, user, &command->error);
        if (path == NULL && command->error == ENOENT)
            return grace_error_set(error, "cannot run %s: not found in %s", name, search);
    }
    if (path == NULL)
        return grace_error_set(error, "cannot run %s: %s", name, strerror(command->error));
    command->path = path;
    command->error = 0;
    return 0;
}

static int find_groups(struct grace_command *command, const char *user)
{
    for (int room = 32; room <= GROUPS_MAX; room *= 2) {
        gid_t *groups = reallocarray(command->groups, (size_t)room, sizeof *groups);
        if (groups == NULL)
            return -ENOMEM;
        command->groups = groups;
        int count = room;
        if (getgrouplist(user, command->gid, groups, &count) >= 0) {
            command->group_count = (size_t)count;
            return 0;
        }
    }
    return -E2BIG;
}

/* Who may not become another user: said now, rather than at the stop. */
static int check_rights(const struct grace_command *command, const char *user,
                        struct grace_error *error)
{
    if (geteuid() == 0 || (getuid() == command->uid && geteuid() == command->uid))
        return 0;
    return grace_error_set(error, "cannot run as user %s: only root may switch to another user",
                           user);
}

static int find_user(struct grace_command *command, const char *user, struct grace_error *error)
{
    size_t size = 4096;
    char *buffer = NULL;
    struct passwd entry, *found = NULL;
    int failed;
    do {
        char *larger = realloc(buffer, size *= 2);
        if (larger == NULL) {
            free(buffer);
            return grace_error_set(error, "cannot look up user %s: out of memory", user);
        }
        buffer = larger;
        failed = getpwnam_r(user, &entry, buffer, size, &found);
    } while (failed == ERANGE && size < 1024 * 1024);
    if (found == NULL) {
        free(buffer);
        if (failed != 0)
            return grace_error_set(error, "cannot look up user %s: %s", user, strerror(failed));
        return grace_error_set(error, "unknown user %s", user);
    }
    command->uid = found->pw_uid;
    command->gid = found->pw_gid;
    free(buffer);
    if (find_groups(command, user) != 0)
        return grace_error_set(error, "cannot read the groups of user %s", user);
    command->switch_user = true;
    return check_rights(command, user, error);
}

int grace_command_prepare(struct grace_command *command, const char *hook, const char *const *argv,
                          const char *user, char *const *environment, struct grace_error *error)
{
    *command = (struct grace_command){.hook = hook, .argv = argv};
    if (find_executable(command, user, environment, error) != 0)
        return -1;
    if (user == NULL || find_user(command, user, error) == 0)
        return 0;
    /* It must not run as somebody else than asked for. */
    free((void *)(uintptr_t)command->path);
    command->path = NULL;
    command->error = EPERM;
    return -1;
}

void grace_command_release(struct grace_command *command)
{
    free((void *)(uintptr_t)command->path);
    free(command->groups);
    command->path = NULL;
    command->error = ENOENT;
    command->groups = NULL;
    command->group_count = 0;
}
