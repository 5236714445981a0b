/*
 * From a hook of the plan to what runs: found, checked and loaded before anything happens, so that
 * a stop has no way left to fail but the hook's own. Used inside the target and beside it.
 */
#ifndef GRACE_HOOKS_HOOK_H
#define GRACE_HOOKS_HOOK_H

#include "command.h"
#include "config/plan.h"
#include "grace_hook.h"
#include "plugin.h"

enum grace_hook_kind {
    GRACE_HOOK_BROKEN,          /* cannot run: see the error */
    GRACE_HOOK_COMMAND,         /* `command`: the user's own */
    GRACE_HOOK_EXTERNAL_PLUGIN, /* `command`: grace run-hook, which loads the plugin in its own
                                   process */
    GRACE_HOOK_INSIDE           /* an in-process plugin: `plugin`, when it was asked to be loaded */
};

struct grace_loaded_hook {
    const struct grace_hook_plan *plan;
    enum grace_hook_kind kind;
    struct grace_command command;
    const char *arguments[6]; /* what command.argv points to for an external plugin */
    char *path;               /* the plugin's file; NULL for a command */
    bool serves;              /* an external plugin that also runs from the target's start */
    uint32_t flags;           /* of struct grace_hook, for a plugin */
    struct grace_plugin plugin;
    struct grace_error error; /* for GRACE_HOOK_BROKEN: what to tell the user */
};

/* Where things are, the same for every hook of a plan. */
struct grace_hook_places {
    const char *origin;     /* folder of libgrace.so or of the grace command, for plugins by name */
    const char *executable; /* the grace command, for external plugins; NULL: it was not found */
    char *const *environment; /* PATH for commands is taken from here */
    bool load; /* load and configure in-process plugins: inside the target, and to check */
};

/*
 * Get one hook ready. Returns 0, or -1 with kind GRACE_HOOK_BROKEN and the error set; the struct is
 * valid either way and ends with grace_hook_unload. It must not be moved afterwards (argv points
 * into it). A hook that is in-process by its plugin and has a `user` is broken. Allocates; not
 * async-signal-safe. The plan and the strings in `places` must stay valid.
 */
int grace_hook_load(struct grace_loaded_hook *hook, const struct grace_plan *plan,
                    const struct grace_hook_plan *hook_plan,
                    const struct grace_hook_places *places);

/* Free what grace_hook_load took. A plugin that was loaded is released but never unloaded: not for
 * use in the target. */
void grace_hook_unload(struct grace_loaded_hook *hook);

#endif
