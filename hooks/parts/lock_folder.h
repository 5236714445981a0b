/* One writer at a time in a folder, for plugins that replace what is in it. */
#ifndef GRACE_HOOKS_PARTS_LOCK_FOLDER_H
#define GRACE_HOOKS_PARTS_LOCK_FOLDER_H

#include <stdint.h>

#include "hooks/grace_hook.h"

/*
 * Open a folder and take its lock (flock(2), exclusive), waiting `patience_ms` at most. The lock
 * leaves no file behind and ends with the process, however that ends. Returns the descriptor,
 * close-on-exec, which the caller closes; or -1 with the error set.
 */
int grace_lock_folder(const char *path, int64_t patience_ms, struct grace_error *error);

#endif
