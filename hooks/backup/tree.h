/*
 * Copying a tree, within the plugin `backup`: what its files share. See tree.c for the idea.
 *
 *   tree.c     walking all sources until they hold still, and finishing the copy
 *   folder.c   one walk: entry by entry, what is new, changed or gone
 *   file.c     one file or symbolic link, and hard links
 *   node.c     what is known of each entry
 */
#ifndef GRACE_HOOKS_BACKUP_TREE_H
#define GRACE_HOOKS_BACKUP_TREE_H

#include "backup.h"

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

/* ---- node.c -------------------------------------------------------------------------------- */

/* Set the error to "cannot WHAT PATH: errno". Returns -1. */
int grace_copying_cannot(const struct copying *copying, const char *what);

/* The tree changed under the walk, or something is no file to be copied: here. */
void grace_copying_note_change(struct copying *copying);
void grace_copying_note_skipped(struct copying *copying);

/* An entry is not what it was a moment ago: the next walk sees what has become of it. Returns 0. */
int grace_copying_gone(struct copying *copying);

/* NULL with the error set: out of memory. All are freed together. */
struct node *grace_node_new(struct copying *copying, struct node *parent, const char *name);
void grace_copying_free(struct copying *copying);

/* The name of its copy, and the path of that in the folder `into` (0: it is too long). */
const char *grace_node_copy_name(const struct copying *copying, const struct node *node,
                                 char buffer[NAME_MAX + 8]);
int grace_node_copy_path(const struct copying *copying, const struct node *node,
                         char path[PATH_MAX]);

/* Whether a file is what it was; whether it is the same inode; a socket, fifo or device. */
int grace_same_file(const struct stat *a, const struct stat *b);
int grace_same_inode(const struct stat *a, const struct stat *b);
int grace_is_special(const struct stat *about);

/* ---- file.c, folder.c ------------------------------------------------------------------------ */

/* Copy one file or symbolic link; `name` is the original's in `source`, `folder` where the copy
 * goes. Returns 0, also when it is gone by now, or -1 with the error set. */
int grace_copy_file(struct copying *copying, int source, const char *name, int folder,
                    struct node *node);
int grace_copy_link(struct copying *copying, int source, const char *name, int folder,
                    struct node *node);

/* Bring the copy of one entry, and of all below it, up to date. */
int grace_walk_entry(struct copying *copying, int source, const char *name, int folder,
                     struct node *node);

/* One step down in `path`; undone by cutting it at the length returned. */
size_t grace_step_down(struct copying *copying, const char *name);

#endif
