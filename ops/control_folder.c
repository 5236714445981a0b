#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Ours, and nobody else's to write or to search. */
static bool is_private(const char *path, uid_t uid)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == uid &&
           (status.st_mode & 077) == 0;
}

static bool make(const char *path, uid_t uid)
{
    return (mkdir(path, 0700) == 0 || errno == EEXIST) && is_private(path, uid) &&
           access(path, W_OK) == 0;
}

/* Not by XDG_RUNTIME_DIR: it may be that of the user who became another one, and whoever asks has
 * to find the same place. */
static const char *const places[] = {"/run/user/%u/grace", "/tmp/grace-%u"};
#define PLACES (sizeof places / sizeof *places)

static void name_place(size_t place, uid_t uid, char *path, size_t size)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, size, places[place], (unsigned)uid);
#pragma GCC diagnostic pop
}

bool grace_control_own_folder(char *path, size_t size)
{
    uid_t uid = geteuid();
    snprintf(path, size, "/run/grace");
    if (uid == 0 && make(path, uid))
        return true;
    for (size_t i = 0; i < PLACES; i++) {
        name_place(i, uid, path, size);
        if (make(path, uid))
            return true;
    }
    return false;
}

struct tour {
    void (*visit)(const char *folder, void *context);
    void *context;
};

static void visit_user(const struct tour *tour, uid_t uid)
{
    char path[64];
    for (size_t i = 0; i < PLACES; i++) {
        name_place(i, uid, path, sizeof path);
        if (is_private(path, uid))
            tour->visit(path, tour->context);
    }
}

/* Every user who has such a folder in /run/user or /tmp. */
static void visit_users(const struct tour *tour, const char *parent, const char *prefix)
{
    DIR *folder = opendir(parent);
    char path[160], canonical[64];
    unsigned uid;
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        size_t length = strlen(prefix);
        if (strncmp(entry->d_name, prefix, length) != 0 ||
            sscanf(entry->d_name + length, "%u", &uid) != 1 || uid == 0)
            continue;
        snprintf(canonical, sizeof canonical, "%s%u", prefix, uid);
        if (strcmp(canonical, entry->d_name) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s%s", parent, canonical, *prefix == '\0' ? "/grace" : "");
        if (is_private(path, uid))
            tour->visit(path, tour->context);
    }
    if (folder != NULL)
        closedir(folder);
}

void grace_control_each_folder(void (*visit)(const char *folder, void *context), void *context)
{
    const struct tour tour = {visit, context};
    uid_t uid = geteuid();
    if (uid == 0 && is_private("/run/grace", uid))
        visit("/run/grace", context);
    visit_user(&tour, uid);
    if (uid != 0)
        return;
    visit_users(&tour, "/run/user", "");
    visit_users(&tour, "/tmp", "grace-");
}
