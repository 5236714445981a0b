/*
 * Copying a tree that others may be writing to.
 *
 * The tree is walked again and again. The first walk copies everything and writes down what each
 * file was (inode, size, times) just before its bytes were read. A later one copies again what is
 * no longer that. When a walk finds nothing to copy, every file was, at the moment between the walk
 * before and this one, what its copy is: the whole is a picture of that moment.
 *
 * Nothing is opened by a path that somebody could bend: each entry is opened in its folder's
 * descriptor and never through a symbolic link.
 */
#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* Times of files tick with the kernel's jiffies: a file that was written to this recently may be
 * written to again without its times telling. */
#define TICK_MS 20

/* One entry of the copy. */
struct node {
    struct node *parent, **children; /* children sorted by name */
    struct node *next;               /* all of them, to be freed */
    size_t child_count;
    struct stat about; /* of the original, when it was read */
    int copied;        /* `about` holds, and the copy is there unless it is a special file */
    int owner_kept;
    unsigned seen; /* by the walk of this number */
    char name[];   /* of the original */
};

struct copying {
    const struct grace_backup_options *options;
    int into;
    struct stat to; /* the folder of backups: not part of what is copied */
    struct node *all;
    struct node **linked; /* those with several names; a hash table by inode */
    size_t linked_count, linked_room;
    unsigned walk, changes;
    struct grace_backup_result *result;
    struct grace_error *error;
    char path[PATH_MAX]; /* where we are, for messages */
};

static int cannot(const struct copying *copying, const char *what)
{
    return grace_error_set(copying->error, "cannot %s %s: %m", what, copying->path);
}

/* ---- nodes --------------------------------------------------------------------------------- */

static struct node *node_new(struct copying *copying, struct node *parent, const char *name)
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

static void free_all(struct copying *copying)
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
static const char *copy_name(const struct copying *copying, const struct node *node,
                             char buffer[NAME_MAX + 8])
{
    if (copying->options->level == 0 || !S_ISREG(node->about.st_mode))
        return node->name;
    snprintf(buffer, NAME_MAX + 8, "%s.zst", node->name);
    return buffer;
}

/* The path of its copy in the folder `into`; 0 when it is too long. */
static int copy_path(const struct copying *copying, const struct node *node, char path[PATH_MAX])
{
    char buffer[NAME_MAX + 8];
    size_t at = PATH_MAX - 1;
    path[at] = '\0';
    for (; node->parent != NULL; node = node->parent) {
        const char *name = copy_name(copying, node, buffer);
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

static int same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* Whether a file is what it was. */
static int same(const struct stat *a, const struct stat *b)
{
    return same_inode(a, b) && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           a->st_gid == b->st_gid && a->st_size == b->st_size &&
           same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

static int is_special(const struct stat *about)
{
    return !S_ISREG(about->st_mode) && !S_ISDIR(about->st_mode) && !S_ISLNK(about->st_mode);
}

static void note_skipped(struct copying *copying)
{
    struct grace_backup_result *result = copying->result;
    if (result->skipped++ == 0)
        snprintf(result->first_skipped, sizeof result->first_skipped, "%.255s", copying->path);
}

static void note_change(struct copying *copying)
{
    if (copying->changes++ == 0)
        snprintf(copying->result->first_unsettled, sizeof copying->result->first_unsettled,
                 "%.255s", copying->path);
}

/* An entry is not what it was a moment ago: the next walk sees what has become of it. */
static int gone(struct copying *copying)
{
    note_change(copying);
    return 0;
}

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

/* ---- one file ------------------------------------------------------------------------------ */

/* The other name of a file that was copied under it already. */
static struct node *find_linked(const struct copying *copying, const struct stat *about)
{
    for (size_t i = 0; copying->linked_room > 0 && i < copying->linked_room; i++) {
        struct node *node = copying->linked[(about->st_ino + i) & (copying->linked_room - 1)];
        if (node == NULL)
            return NULL;
        if (node->copied && same(&node->about, about))
            return node;
    }
    return NULL;
}

static void put_linked(struct node **table, size_t room, struct node *node)
{
    size_t at = node->about.st_ino & (room - 1);
    while (table[at] != NULL)
        at = (at + 1) & (room - 1);
    table[at] = node;
}

/* Without memory a hard link becomes a file of its own. */
static void note_linked(struct copying *copying, struct node *node)
{
    if (copying->linked_count * 2 >= copying->linked_room) {
        size_t room = copying->linked_room > 0 ? copying->linked_room * 2 : 64;
        struct node **table = calloc(room, sizeof(struct node *));
        if (table == NULL)
            return;
        for (size_t i = 0; i < copying->linked_room; i++)
            if (copying->linked[i] != NULL)
                put_linked(table, room, copying->linked[i]);
        free(copying->linked);
        copying->linked = table;
        copying->linked_room = room;
    }
    put_linked(copying->linked, copying->linked_room, node);
    copying->linked_count++;
}

/* True when the copy is one more name of a file that is copied already. */
static int link_to_other(struct copying *copying, int folder, struct node *node)
{
    char path[PATH_MAX], name[NAME_MAX + 8];
    struct node *other = find_linked(copying, &node->about);
    if (other == NULL || other == node || !copy_path(copying, other, path) ||
        linkat(copying->into, path, folder, copy_name(copying, node, name), 0) != 0)
        return 0;
    node->owner_kept = other->owner_kept;
    return 1;
}

/* A file that was written to in this very moment: let the clock go on, so that the next write to it
 * shows in its times. */
static int wait_for_tick(int file, struct stat *about)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = ((int64_t)now.tv_sec - about->st_ctim.tv_sec) * 1000 +
                  (now.tv_nsec - about->st_ctim.tv_nsec) / 1000000;
    if (age < 0 || age >= TICK_MS)
        return 0;
    poll(NULL, 0, TICK_MS - (int)age);
    return fstat(file, about);
}

static int fill_file(struct copying *copying, int from, int to, struct node *node)
{
    node->owner_kept = grace_traits_copy(from, to, &node->about);
    return copying->options->level > 0
               ? grace_content_compress(from, to, copying->options->level, copying->path,
                                        copying->error)
               : grace_content_copy(from, to, node->about.st_size, copying->path, copying->error);
}

static int copy_opened(struct copying *copying, int from, int folder, struct node *node)
{
    char name[NAME_MAX + 8];
    if (fstat(from, &node->about) != 0 || wait_for_tick(from, &node->about) != 0)
        return cannot(copying, "look at");
    if (!S_ISREG(node->about.st_mode))
        return gone(copying);
    if (node->about.st_nlink > 1 && link_to_other(copying, folder, node)) {
        node->copied = 1;
        return 0;
    }
    int to = openat(folder, copy_name(copying, node, name),
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return cannot(copying, "write the copy of");
    int result = fill_file(copying, from, to, node);
    if (close(to) != 0 && result == 0)
        result = cannot(copying, "write the copy of");
    node->copied = 1;
    if (node->about.st_nlink > 1)
        note_linked(copying, node);
    return result;
}

static int copy_file(struct copying *copying, int source, const char *name, int folder,
                     struct node *node)
{
    int from = openat(source, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
        return gone(copying);
    if (from < 0)
        return cannot(copying, "open");
    int result = copy_opened(copying, from, folder, node);
    close(from);
    return result;
}

static int copy_link(struct copying *copying, int source, const char *name, int folder,
                     struct node *node)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(source, name, target, sizeof target - 1);
    if (length < 0 && (errno == ENOENT || errno == EINVAL))
        return gone(copying);
    if (length < 0)
        return cannot(copying, "read");
    target[length] = '\0';
    if (symlinkat(target, folder, node->name) != 0)
        return cannot(copying, "write the copy of");
    (void)!fchownat(folder, node->name, node->about.st_uid, node->about.st_gid,
                    AT_SYMLINK_NOFOLLOW);
    node->copied = 1;
    return 0;
}

/* ---- one folder ---------------------------------------------------------------------------- */

static int walk_entry(struct copying *copying, int source, const char *name, int folder,
                      struct node *node);

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
        return cannot(copying, "read folder");
    }
    int result = 0;
    errno = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(stream)) != NULL; errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = names_add(names, entry->d_name);
    if (errno != 0 || result != 0)
        result = cannot(copying, "read folder");
    closedir(stream);
    qsort(names->list, names->count, sizeof *names->list, compare_names);
    return result;
}

/* The children that a folder is to have now: those it had, and new ones, in the order of names. */
static int merge_children(struct copying *copying, struct node *node, const struct names *names)
{
    struct node **merged = calloc(node->child_count + names->count + 1, sizeof(struct node *));
    if (merged == NULL)
        return grace_error_set(copying->error, "out of memory");
    size_t count = 0, old = 0;
    for (size_t i = 0; i < names->count; i++) {
        while (old < node->child_count && strcmp(node->children[old]->name, names->list[i]) < 0)
            merged[count++] = node->children[old++];
        if (old < node->child_count && strcmp(node->children[old]->name, names->list[i]) == 0)
            merged[count] = node->children[old++];
        else
            merged[count] = node_new(copying, node, names->list[i]);
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
    note_change(copying);
    forget(node);
    if (!is_special(&node->about) && grace_remove_tree(folder, copy_name(copying, node, name)) != 0)
        return cannot(copying, "remove the copy of");
    return 0;
}

/* One step down in `path`, which is for messages; undone by cutting it at the length returned. */
static size_t step_down(struct copying *copying, const char *name)
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
        size_t length = step_down(copying, child->name);
        if (result == 0)
            result = child->seen == copying->walk
                         ? walk_entry(copying, source, child->name, folder, child)
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
        return cannot(copying, "look at");
    if (same_inode(&now, &copying->to))
        return 0; /* the folder of backups itself */
    if (is_made_up(source)) {
        if (copying->walk == 1)
            note_skipped(copying);
        return 0;
    }
    int changed = !node->copied || !same(&node->about, &now);
    if (changed)
        note_change(copying);
    if (!node->copied && mkdirat(parent, node->name, 0700) != 0)
        return cannot(copying, "write the copy of");
    node->about = now;
    int folder = openat(parent, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return cannot(copying, "open the copy of");
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
        return gone(copying);
    if (folder < 0)
        return cannot(copying, "open");
    int result = walk_opened_folder(copying, folder, parent, node);
    close(folder);
    return result;
}

/* ---- one entry ----------------------------------------------------------------------------- */

static int copy_entry(struct copying *copying, int source, const char *name, int folder,
                      struct node *node)
{
    note_change(copying);
    if (S_ISREG(node->about.st_mode))
        return copy_file(copying, source, name, folder, node);
    if (S_ISLNK(node->about.st_mode))
        return copy_link(copying, source, name, folder, node);
    note_skipped(copying);
    node->copied = 1;
    return 0;
}

/* Bring the copy of one entry up to date. `name` is the original's in `source`. */
static int walk_entry(struct copying *copying, int source, const char *name, int folder,
                      struct node *node)
{
    struct stat now;
    if (fstatat(source, name, &now, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return cannot(copying, "look at");
        note_change(copying);
        return drop_copy(copying, folder, node);
    }
    int folder_still =
        S_ISDIR(now.st_mode) && S_ISDIR(node->about.st_mode) && same_inode(&now, &node->about);
    int unchanged = same(&node->about, &now) || (is_special(&now) && is_special(&node->about));
    if (node->copied && !folder_still && !unchanged && drop_copy(copying, folder, node) != 0)
        return -1;
    if (S_ISDIR(now.st_mode))
        return walk_folder(copying, source, name, folder, node);
    if (node->copied)
        return 0;
    node->about = now;
    return copy_entry(copying, source, name, folder, node);
}

/* ---- the end: what is finished gets its mode and times, and reaches the disk ----------------- */

static int seal(struct copying *copying, int folder, struct node *node);

static int seal_file(struct copying *copying, int folder, struct node *node)
{
    char name[NAME_MAX + 8];
    int file = openat(folder, copy_name(copying, node, name),
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return cannot(copying, "open the copy of");
    int result = 0;
    for (size_t i = 0; result == 0 && i < node->child_count; i++) {
        size_t length = step_down(copying, node->children[i]->name);
        result = seal(copying, file, node->children[i]);
        copying->path[length] = '\0';
    }
    if (result == 0 && grace_traits_seal(file, &node->about, node->owner_kept) != 0)
        result = cannot(copying, "finish the copy of");
    close(file);
    return result;
}

static int seal(struct copying *copying, int folder, struct node *node)
{
    if (!node->copied || is_special(&node->about))
        return 0;
    if (S_ISLNK(node->about.st_mode)) {
        const struct timespec times[] = {node->about.st_atim, node->about.st_mtim};
        utimensat(folder, node->name, times, AT_SYMLINK_NOFOLLOW);
        return 0;
    }
    if (S_ISREG(node->about.st_mode)) {
        copying->result->files++;
        copying->result->bytes += (uint64_t)node->about.st_size;
    }
    return seal_file(copying, folder, node);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int check_source(const struct copying *copying, int above, const char *name)
{
    struct stat about;
    if (fstatat(above, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return cannot(copying, "find");
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return grace_error_set(copying->error, "%s is neither a file nor a folder", copying->path);
    if (same_inode(&about, &copying->to))
        return grace_error_set(copying->error, "%s is the folder of backups itself", copying->path);
    return 0;
}

/* What the config names may be a symbolic link, or below one: that is the user's to say. */
static int walk_source(struct copying *copying, const char *from, struct node *node)
{
    char real[PATH_MAX];
    snprintf(copying->path, sizeof copying->path, "%s", from);
    if (realpath(from, real) == NULL)
        return cannot(copying, "find");
    char *slash = strrchr(real, '/');
    char *name = slash + 1;
    int above = open(slash == real ? "/" : (*slash = '\0', real),
                     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (above < 0)
        return cannot(copying, "open the folder of");
    if (check_source(copying, above, name) != 0) {
        close(above);
        return -1;
    }
    int result = walk_entry(copying, above, name, copying->into, node);
    close(above);
    return result;
}

static int walk_sources(struct copying *copying, struct node *const *sources)
{
    int result = 0;
    copying->walk++;
    copying->changes = 0;
    for (size_t i = 0; result == 0 && copying->options->from[i] != NULL; i++)
        result = walk_source(copying, copying->options->from[i], sources[i]);
    return result;
}

/* Until a walk right behind another one finds nothing, or the tries are used up. */
static int copy_until_still(struct copying *copying, struct node *const *sources)
{
    for (unsigned try = 0; try < copying->options->tries; try++) {
        if (try > 0) /* whoever is at it may come to an end */
            poll(NULL, 0, 10 << (try < 4 ? try : 4));
        if (walk_sources(copying, sources) != 0 || walk_sources(copying, sources) != 0)
            return -1;
        if (copying->changes == 0)
            return 0;
    }
    copying->result->unsettled = 1;
    return 0;
}

static int seal_sources(struct copying *copying, struct node *const *sources)
{
    for (size_t i = 0; copying->options->from[i] != NULL; i++) {
        snprintf(copying->path, sizeof copying->path, "%s", copying->options->from[i]);
        if (!sources[i]->copied)
            return grace_error_set(copying->error, "%s does not hold still", copying->path);
        if (seal(copying, copying->into, sources[i]) != 0)
            return -1;
    }
    return 0;
}

int grace_backup_copy(const struct grace_backup_options *options, int into, const struct stat *to,
                      struct grace_backup_result *result, struct grace_error *error)
{
    struct copying copying = {
        .options = options, .into = into, .to = *to, .result = result, .error = error};
    size_t count = 0;
    while (options->from[count] != NULL)
        count++;
    struct node root = {.parent = NULL}, **sources = calloc(count + 1, sizeof(struct node *));
    int failed = sources == NULL ? grace_error_set(error, "out of memory") : 0;
    for (size_t i = 0; failed == 0 && i < count; i++) {
        sources[i] = node_new(&copying, &root, last_name(options->from[i]));
        failed = sources[i] == NULL ? -1 : 0;
    }
    if (failed == 0)
        failed = copy_until_still(&copying, sources);
    if (failed == 0 && (!result->unsettled || options->warn))
        failed = seal_sources(&copying, sources);
    free_all(&copying);
    free(sources);
    return failed;
}
