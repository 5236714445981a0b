/*
 * The parts of the plugin `backup`:
 *
 *   backup.c       the options, and one backup from begin to end
 *   generation.c   the folder of backups: their names, what becomes visible when, what goes
 *   tree.c         copying trees until they hold still
 *   content.c      the bytes of one file
 *   traits.c       owner, mode, times and extended attributes of one file
 *
 * All functions return 0, or -1 with the error set.
 */
#ifndef GRACE_HOOKS_BACKUP_BACKUP_H
#define GRACE_HOOKS_BACKUP_BACKUP_H

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>

#include "hooks/grace_hook.h"

/* What the config says. */
struct grace_backup_options {
    const char *const *from; /* absolute paths, ended by NULL */
    const char *to;
    unsigned keep;
    unsigned tries; /* how often what changes is copied */
    int warn;       /* what still changes then is a warning, not a failure */
    int level;      /* of zstd; 0: no compression */
};

/* ---- tree.c -------------------------------------------------------------------------------- */

struct grace_backup_result {
    uint64_t files, bytes;     /* copied, as they are now */
    unsigned skipped;          /* sockets, fifos, devices, pseudo file systems */
    char first_skipped[256];   /* one of them */
    int unsettled;             /* something changed to the last */
    char first_unsettled[256]; /* one of them */
};

/*
 * Copy all of `from` into the folder `into`, and have it on disk. The copy is that of one moment:
 * each file is looked at again after all were copied, and whatever has changed by then is copied
 * again, until a look finds nothing. `to` (the folder of backups itself) is left out.
 */
int grace_backup_copy(const struct grace_backup_options *options, int into, const struct stat *to,
                      struct grace_backup_result *result, struct grace_error *error);

/* ---- content.c ----------------------------------------------------------------------------- */

/* Copy the first `size` bytes of a file into a new one: by reference where the file system can,
 * within the kernel where that can, holes as holes. `path` is for the message. */
int grace_content_copy(int from, int to, off_t size, const char *path, struct grace_error *error);

/* The same through zstd. */
int grace_content_compress(int from, int to, int level, const char *path,
                           struct grace_error *error);

/* ---- traits.c ------------------------------------------------------------------------------ */

/* Owner and extended attributes, as far as the user may set them; `from` may be -1 for a symbolic
 * link. Returns 1 when the owner is as it was, else 0: then set-user-ID bits must not be kept. */
int grace_traits_copy(int from, int to, const struct stat *about);

/* Mode and time of modification, for a file that is finished; on disk afterwards. */
int grace_traits_seal(int file, const struct stat *about, int owner_kept);

/* ---- generation.c -------------------------------------------------------------------------- */

struct grace_generation {
    int to;           /* the folder of backups, locked */
    int folder;       /* the one that is being made */
    char partial[64]; /* its name while it is made */
    char name[64];    /* … and when it is whole */
};

/* Take the folder of backups (made when it is not there), clear away what killed runs left in it,
 * and begin a new one. grace_generation_close follows in any case. */
int grace_generation_begin(struct grace_generation *generation, const char *to,
                           const struct grace_stop *stop, struct grace_error *error);

/* The new one is whole and on disk: from now on it is visible. */
int grace_generation_publish(struct grace_generation *generation, const char *to,
                             struct grace_error *error);

/* Remove the oldest ones above `keep`. */
int grace_generation_prune(const struct grace_generation *generation, unsigned keep,
                           struct grace_error *error);

/* Remove what was begun and not published. */
void grace_generation_discard(struct grace_generation *generation);

void grace_generation_close(struct grace_generation *generation);

/* Remove a file, or a folder with all in it. Returns 0 or -1 with errno set. */
int grace_remove_tree(int folder, const char *name);

#endif
