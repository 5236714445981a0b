#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int grace_copying_cannot(const struct copying *copying, const char *what)
{
    return grace_error_set(copying->error, "cannot %s %s: %m", what, copying->path);
}

/* ---- nodes --------------------------------------------------------------------------------- */

struct node *grace_node_new(struct copying *copying, struct node *parent, const char *name)
{
    size_t size = strlen(name) + 1;
    struct node *node = calloc(1, sizeof *node + size);
    if (node == NULL) {
        grace_error_set(copying->error, "out of memory");
        return NULL;
    }
    memcpy(node->name, name, size);
    node->parent = parent;
    node->next = copying->all;
    copying->all = node;
    return node;
}

void grace_copying_free(struct copying *copying)
{
    while (copying->all != NULL) {
        struct node *next = copying->all->next;
        free(copying->all->children);
        free(copying->all);
        copying->all = next;
    }
    free(copying->linked);
}

/* The name of its copy. */
const char *grace_node_copy_name(const struct copying *copying, const struct node *node,
                                 char buffer[NAME_MAX + 8])
{
    if (copying->options->level == 0 || !S_ISREG(node->about.st_mode))
        return node->name;
    snprintf(buffer, NAME_MAX + 8, "%s.zst", node->name);
    return buffer;
}

/* The path of its copy in the folder `into`; 0 when it is too long. */
int grace_node_copy_path(const struct copying *copying, const struct node *node,
                         char path[PATH_MAX])
{
    char buffer[NAME_MAX + 8];
    size_t at = PATH_MAX - 1;
    path[at] = '\0';
    for (; node->parent != NULL; node = node->parent) {
        const char *name = grace_node_copy_name(copying, node, buffer);
        size_t length = strlen(name);
        if (at < length + 1)
            return 0;
        at -= length;
        memcpy(path + at, name, length);
        path[--at] = '/';
    }
    memmove(path, path + at + 1, PATH_MAX - at - 1);
    return 1;
}

/* ---- what an original is ------------------------------------------------------------------- */

static int same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

int grace_same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* Whether a file is what it was. */
int grace_same_file(const struct stat *a, const struct stat *b)
{
    return grace_same_inode(a, b) && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           a->st_gid == b->st_gid && a->st_size == b->st_size &&
           same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

int grace_is_special(const struct stat *about)
{
    return !S_ISREG(about->st_mode) && !S_ISDIR(about->st_mode) && !S_ISLNK(about->st_mode);
}

void grace_copying_note_skipped(struct copying *copying)
{
    struct grace_backup_result *result = copying->result;
    if (result->skipped++ == 0)
        snprintf(result->first_skipped, sizeof result->first_skipped, "%.255s", copying->path);
}

void grace_copying_note_change(struct copying *copying)
{
    if (copying->changes++ == 0)
        snprintf(copying->result->first_unsettled, sizeof copying->result->first_unsettled,
                 "%.255s", copying->path);
}

/* An entry is not what it was a moment ago: the next walk sees what has become of it. */
int grace_copying_gone(struct copying *copying)
{
    grace_copying_note_change(copying);
    return 0;
}
