/* Secrets: passwords, tokens and keys, which plugins read from files and show to nobody. */
#ifndef GRACE_HOOKS_PARTS_SECRET_H
#define GRACE_HOOKS_PARTS_SECRET_H

#include "hooks/grace_hook.h"

/*
 * Look at the file of a secret without reading it, for configure(): an absolute path, a regular
 * file, which others may neither read nor write and its group may not write. Returns 0, also where
 * it cannot be looked at (the hook may run as another user than who checks the config), or -1 with
 * the error set; `option` is named in it.
 */
int grace_secret_check(const char *option, const char *path, struct grace_error *error);

/*
 * Read it: its text without a line end behind it, 64 KiB at most. Returns NULL with the error set,
 * which never holds a byte of it. Give it to grace_secret_free, which overwrites it first.
 */
char *grace_secret_read(const char *option, const char *path, struct grace_error *error);
void grace_secret_free(char *secret);

#endif
