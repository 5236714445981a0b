/* What `grace new-hook` writes, in words with places to fill: @NAME@, @INCLUDE@ and so on. */
#ifndef GRACE_OPS_NEW_HOOK_FILES_H
#define GRACE_OPS_NEW_HOOK_FILES_H

#include <stdbool.h>

struct grace_new_hook_file {
    const char *name; /* may have @NAME@ in it */
    bool executable;
    const char *text;
};

/* Ended by one without a name. */
extern const struct grace_new_hook_file grace_new_hook_files[];

#endif
