#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What the kernel makes up on reading, in folders such as a chroot's /proc, is no data. */
static int is_made_up(int folder)
{
    struct statfs about;
    if (fstatfs(folder, &about) != 0)
        return 0;
    switch ((unsigned long)about.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
        return 1;
    default:
        return 0;
    }
}

struct names {
    char **list;
    size_t count, room;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
}

static int names_add(struct names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room * 2 + 32;
        char **list = realloc(names->list, room * sizeof *list);
        if (list == NULL)
            return -1;
        names->list = list;
        names->room = room;
    }
    names->list[names->count] = strdup(name);
    return names->list[names->count++] != NULL ? 0 : -1;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names in a folder, sorted. The descriptor stays open. */
static int read_names(struct copying *copying, int folder, struct names *names)
{
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = again >= 0 ? fdopendir(again) : NULL;
    if (stream == NULL) {
        if (again >= 0)
            close(again);
        return grace_copying_cannot(copying, "read folder");
    }
    int result = 0;
    errno = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(stream)) != NULL; errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = names_add(names, entry->d_name);
    if (errno != 0 || result != 0)
        result = grace_copying_cannot(copying, "read folder");
    closedir(stream);
    if (names->count > 1)
        qsort(names->list, names->count, sizeof *names->list, compare_names);
    return result;
}

/* The children that a folder is to have now: those it had, and new ones, in the order of names. */
static int merge_children(struct copying *copying, struct node *node, const struct names *names)
{
    struct node **merged = calloc(node->child_count + names->count + 1, sizeof(struct node *));
    if (merged == NULL) {
        grace_error_set(copying->error, "out of memory");
        return -1;
    }
    size_t count = 0, old = 0;
    for (size_t i = 0; i < names->count; i++) {
        while (old < node->child_count && strcmp(node->children[old]->name, names->list[i]) < 0)
            merged[count++] = node->children[old++];
        if (old < node->child_count && strcmp(node->children[old]->name, names->list[i]) == 0)
            merged[count] = node->children[old++];
        else
            merged[count] = grace_node_new(copying, node, names->list[i]);
        if (merged[count] == NULL) {
            free(merged);
            return -1;
        }
        merged[count++]->seen = copying->walk;
    }
    while (old < node->child_count)
        merged[count++] = node->children[old++];
    free(node->children);
    node->children = merged;
    node->child_count = count;
    return 0;
}

/* Nothing may be linked to what is no longer there. */
static void forget(struct node *node)
{
    node->copied = 0;
    for (size_t i = 0; i < node->child_count; i++)
        forget(node->children[i]);
    node->child_count = 0; /* they are freed with all others */
}

/* The copy of a node goes, and all below it. */
static int drop_copy(struct copying *copying, int folder, struct node *node)
{
    char name[NAME_MAX + 8];
    if (!node->copied)
        return 0;
    grace_copying_note_change(copying);
    forget(node);
    if (!grace_is_special(&node->about) &&
        grace_remove_tree(folder, grace_node_copy_name(copying, node, name)) != 0)
        return grace_copying_cannot(copying, "remove the copy of");
    return 0;
}

/* One step down in `path`, which is for messages; undone by cutting it at the length returned. */
size_t grace_step_down(struct copying *copying, const char *name)
{
    size_t length = strlen(copying->path);
    snprintf(copying->path + length, sizeof copying->path - length, "/%s", name);
    return length;
}

static int walk_children(struct copying *copying, int source, int folder, struct node *node)
{
    size_t kept = 0;
    int result = 0;
    for (size_t i = 0; i < node->child_count; i++) {
        struct node *child = node->children[i];
        size_t length = grace_step_down(copying, child->name);
        if (result == 0)
            result = child->seen == copying->walk
                         ? grace_walk_entry(copying, source, child->name, folder, child)
                         : drop_copy(copying, folder, child);
        copying->path[length] = '\0';
        if (child->seen == copying->walk)
            node->children[kept++] = child;
    }
    node->child_count = kept;
    return result;
}

static int walk_opened_folder(struct copying *copying, int source, int parent, struct node *node)
{
    struct stat now;
    if (fstat(source, &now) != 0)
        return grace_copying_cannot(copying, "look at");
    if (grace_same_inode(&now, &copying->to))
        return 0; /* the folder of backups itself */
    if (is_made_up(source)) {
        if (copying->walk == 1)
            grace_copying_note_skipped(copying);
        return 0;
    }
    int changed = !node->copied || !grace_same_file(&node->about, &now);
    if (changed)
        grace_copying_note_change(copying);
    if (!node->copied && mkdirat(parent, node->name, 0700) != 0)
        return grace_copying_cannot(copying, "write the copy of");
    node->about = now;
    int folder = openat(parent, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return grace_copying_cannot(copying, "open the copy of");
    if (changed)
        node->owner_kept = grace_traits_copy(source, folder, &now);
    node->copied = 1;
    struct names names = {.list = NULL};
    int result = read_names(copying, source, &names);
    if (result == 0)
        result = merge_children(copying, node, &names);
    if (result == 0)
        result = walk_children(copying, source, folder, node);
    names_free(&names);
    close(folder);
    return result;
}

static int walk_folder(struct copying *copying, int source, const char *name, int parent,
                       struct node *node)
{
    int folder = openat(source, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return grace_copying_gone(copying);
    if (folder < 0)
        return grace_copying_cannot(copying, "open");
    int result = walk_opened_folder(copying, folder, parent, node);
    close(folder);
    return result;
}

/* ---- one entry ----------------------------------------------------------------------------- */

static int copy_entry(struct copying *copying, int source, const char *name, int folder,
                      struct node *node)
{
    grace_copying_note_change(copying);
    if (S_ISREG(node->about.st_mode))
        return grace_copy_file(copying, source, name, folder, node);
    if (S_ISLNK(node->about.st_mode))
        return grace_copy_link(copying, source, name, folder, node);
    grace_copying_note_skipped(copying);
    node->copied = 1;
    return 0;
}

/* Bring the copy of one entry up to date. `name` is the original's in `source`. */
int grace_walk_entry(struct copying *copying, int source, const char *name, int folder,
                     struct node *node)
{
    struct stat now;
    if (fstatat(source, name, &now, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return grace_copying_cannot(copying, "look at");
        grace_copying_note_change(copying);
        return drop_copy(copying, folder, node);
    }
    int folder_still = S_ISDIR(now.st_mode) && S_ISDIR(node->about.st_mode) &&
                       grace_same_inode(&now, &node->about);
    int unchanged = grace_same_file(&node->about, &now) ||
                    (grace_is_special(&now) && grace_is_special(&node->about));
    if (node->copied && !folder_still && !unchanged && drop_copy(copying, folder, node) != 0)
        return -1;
    if (S_ISDIR(now.st_mode))
        return walk_folder(copying, source, name, folder, node);
    if (node->copied)
        return 0;
    node->about = now;
    return copy_entry(copying, source, name, folder, node);
}
