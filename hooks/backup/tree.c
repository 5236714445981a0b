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
#include "tree.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the end: what is finished gets its mode and times, and reaches the disk ----------------- */

static int seal(struct copying *copying, int folder, struct node *node);

static int seal_file(struct copying *copying, int folder, struct node *node)
{
    char name[NAME_MAX + 8];
    int file = openat(folder, grace_node_copy_name(copying, node, name),
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return grace_copying_cannot(copying, "open the copy of");
    int result = 0;
    for (size_t i = 0; result == 0 && i < node->child_count; i++) {
        size_t length = grace_step_down(copying, node->children[i]->name);
        result = seal(copying, file, node->children[i]);
        copying->path[length] = '\0';
    }
    if (result == 0 && grace_traits_seal(file, &node->about, node->owner_kept) != 0)
        result = grace_copying_cannot(copying, "finish the copy of");
    close(file);
    return result;
}

static int seal(struct copying *copying, int folder, struct node *node)
{
    if (!node->copied || grace_is_special(&node->about))
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
        return grace_copying_cannot(copying, "find");
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return grace_error_set(copying->error, "%s is neither a file nor a folder", copying->path);
    if (grace_same_inode(&about, &copying->to))
        return grace_error_set(copying->error, "%s is the folder of backups itself", copying->path);
    return 0;
}

/* What the config names may be a symbolic link, or below one: that is the user's to say. */
static int walk_source(struct copying *copying, const char *from, struct node *node)
{
    char real[PATH_MAX];
    snprintf(copying->path, sizeof copying->path, "%s", from);
    if (realpath(from, real) == NULL)
        return grace_copying_cannot(copying, "find");
    char *slash = strrchr(real, '/');
    char *name = slash + 1;
    int above = open(slash == real ? "/" : (*slash = '\0', real),
                     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (above < 0)
        return grace_copying_cannot(copying, "open the folder of");
    if (check_source(copying, above, name) != 0) {
        close(above);
        return -1;
    }
    int result = grace_walk_entry(copying, above, name, copying->into, node);
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
    for (size_t i = 0; sources[i] != NULL; i++) {
        snprintf(copying->path, sizeof copying->path, "%s", copying->options->from[i]);
        if (!sources[i]->copied)
            return grace_error_set(copying->error, "%s does not hold still", copying->path);
        if (seal(copying, copying->into, sources[i]) != 0)
            return -1;
    }
    return 0;
}

static int copy_sources(struct copying *copying, struct node *root, struct node **sources)
{
    const struct grace_backup_options *options = copying->options;
    for (size_t i = 0; options->from[i] != NULL; i++) {
        sources[i] = grace_node_new(copying, root, last_name(options->from[i]));
        if (sources[i] == NULL)
            return -1;
    }
    if (copy_until_still(copying, sources) != 0)
        return -1;
    return copying->result->unsettled && !options->warn ? 0 : seal_sources(copying, sources);
}

int grace_backup_copy(const struct grace_backup_options *options, int into, const struct stat *to,
                      struct grace_backup_result *result, struct grace_error *error)
{
    struct copying copying = {
        .options = options, .into = into, .to = *to, .result = result, .error = error};
    struct node root = {.parent = NULL};
    size_t count = 0;
    while (options->from[count] != NULL)
        count++;
    struct node **sources = calloc(count + 1, sizeof(struct node *));
    if (sources == NULL)
        return grace_error_set(error, "out of memory");
    int failed = copy_sources(&copying, &root, sources);
    grace_copying_free(&copying);
    free(sources);
    return failed;
}
