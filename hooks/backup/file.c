#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Times of files tick with the kernel's jiffies: a file that was written to this recently may be
 * written to again without its times telling. */
#define TICK_MS 20

/* ---- one file ------------------------------------------------------------------------------ */

/* The other name of a file that was copied under it already. */
static struct node *find_linked(const struct copying *copying, const struct stat *about)
{
    for (size_t i = 0; copying->linked_room > 0 && i < copying->linked_room; i++) {
        struct node *node = copying->linked[(about->st_ino + i) & (copying->linked_room - 1)];
        if (node == NULL)
            return NULL;
        if (node->copied && grace_same_file(&node->about, about))
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
    if (other == NULL || other == node || !grace_node_copy_path(copying, other, path) ||
        linkat(copying->into, path, folder, grace_node_copy_name(copying, node, name), 0) != 0)
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
        return grace_copying_cannot(copying, "look at");
    if (!S_ISREG(node->about.st_mode))
        return grace_copying_gone(copying);
    if (node->about.st_nlink > 1 && link_to_other(copying, folder, node)) {
        node->copied = 1;
        return 0;
    }
    int to = openat(folder, grace_node_copy_name(copying, node, name),
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return grace_copying_cannot(copying, "write the copy of");
    int result = fill_file(copying, from, to, node);
    if (close(to) != 0 && result == 0)
        result = grace_copying_cannot(copying, "write the copy of");
    node->copied = 1;
    if (node->about.st_nlink > 1)
        note_linked(copying, node);
    return result;
}

int grace_copy_file(struct copying *copying, int source, const char *name, int folder,
                    struct node *node)
{
    int from = openat(source, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
        return grace_copying_gone(copying);
    if (from < 0)
        return grace_copying_cannot(copying, "open");
    int result = copy_opened(copying, from, folder, node);
    close(from);
    return result;
}

int grace_copy_link(struct copying *copying, int source, const char *name, int folder,
                    struct node *node)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(source, name, target, sizeof target - 1);
    if (length < 0 && (errno == ENOENT || errno == EINVAL))
        return grace_copying_gone(copying);
    if (length < 0)
        return grace_copying_cannot(copying, "read");
    target[length] = '\0';
    if (symlinkat(target, folder, node->name) != 0)
        return grace_copying_cannot(copying, "write the copy of");
    (void)!fchownat(folder, node->name, node->about.st_uid, node->about.st_gid,
                    AT_SYMLINK_NOFOLLOW);
    node->copied = 1;
    return 0;
}
