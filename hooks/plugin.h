/* Plugins: finding one, learning what it is without loading it, loading it. */
#ifndef GRACE_HOOKS_PLUGIN_H
#define GRACE_HOOKS_PLUGIN_H

#include <stddef.h>

#include "config/plan.h"
#include "grace_hook.h"

/*
 * The file of a plugin: a name with a slash is a path; any other is NAME.so in $ORIGIN/hooks or
 * $ORIGIN/grace/hooks, where $ORIGIN is the folder `origin` (of libgrace.so), or for the command
 * also ../lib/<multiarch>/grace/hooks beside its own. Returns 0, or -1 with the error set (it
 * names every place that was looked at).
 */
int grace_plugin_find(const char *origin, const char *plugin, char *path, size_t size,
                      struct grace_error *error);

/*
 * Read abi, size and flags of a plugin's `grace_hook` from the file, without loading it: none of
 * its code runs and none of its libraries enters this process. The file is not trusted. Returns 0
 * with *flags set, or -1 with the error set (not ELF, other architecture, no grace_hook, …).
 */
int grace_plugin_peek(const char *path, uint32_t *flags, struct grace_error *error);

/* What both peek and load check of the numbers that struct grace_hook begins with. */
int grace_plugin_check_numbers(const char *path, uint32_t abi, uint32_t size, uint32_t flags,
                               struct grace_error *error);

/* A plugin that is loaded and configured. */
struct grace_plugin {
    const struct grace_hook *hook;
    const struct grace_hook_server *server; /* NULL: its flags say that there is none */
    void *state;
};

/*
 * Load a plugin (RTLD_NOW | RTLD_LOCAL) and have it read its options. The error names the option
 * that is unknown or has the wrong type. Returns 0, or -1 with the error set. Not
 * async-signal-safe.
 */
int grace_plugin_load(struct grace_plugin *plugin, const char *path,
                      const struct grace_hook_plan *plan, struct grace_error *error);

/* Hand its state back to the plugin. Nothing for one that was never loaded. It stays mapped. */
void grace_plugin_release(struct grace_plugin *plugin);

#endif
