#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

/* What the first ABI must have: up to and including run(). */
#define SIZE_MIN (offsetof(struct grace_hook, run) + sizeof(void *))

static const char *const places[] = {
    "hooks", "grace/hooks", "../lib/" GRACE_MULTIARCH "/grace/hooks", "../lib/grace/hooks"};

int grace_plugin_find(const char *origin, const char *plugin, char *path, size_t size,
                      struct grace_error *error)
{
    if (strchr(plugin, '/') != NULL) {
        if ((size_t)snprintf(path, size, "%s", plugin) >= size)
            return grace_error_set(error, "plugin %.200s…: the path is too long", plugin);
        if (access(path, F_OK) != 0)
            return grace_error_set(error, "plugin %s not found", plugin);
        return 0;
    }
    char looked[384] = "";
    size_t length = 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if ((size_t)snprintf(path, size, "%s/%s/%s.so", origin, places[i], plugin) < size &&
            access(path, F_OK) == 0)
            return 0;
        length += (size_t)snprintf(looked + length, sizeof looked - length, "%s%s/%s",
                                   length > 0 ? ", " : "", origin, places[i]);
        if (length >= sizeof looked)
            length = sizeof looked - 1;
    }
    return grace_error_set(error, "plugin \"%s\" not found: no %s.so in %s", plugin, plugin,
                           looked);
}

int grace_plugin_check_numbers(const char *path, uint32_t abi, uint32_t size, uint32_t flags,
                               struct grace_error *error)
{
    if (abi != GRACE_HOOK_ABI)
        return grace_error_set(error, "%s is built for plugin ABI %u; this libgrace has %u", path,
                               abi, GRACE_HOOK_ABI);
    if (size < SIZE_MIN || size > 4096)
        return grace_error_set(error, "%s is no libgrace plugin: its size says %u bytes", path,
                               size);
    const uint32_t known = GRACE_HOOK_IN_PROCESS | GRACE_HOOK_SERVES | GRACE_HOOK_BEFORE_KILL;
    if ((flags & ~known) != 0 ||
        ((flags & GRACE_HOOK_IN_PROCESS) && flags != GRACE_HOOK_IN_PROCESS))
        return grace_error_set(error, "%s has flags that this libgrace does not know: 0x%x", path,
                               flags);
    return 0;
}

/* Returns 0 with *server set, NULL where the hook has none. */
static int find_server(void *handle, const char *path, uint32_t flags,
                       const struct grace_hook_server **server, struct grace_error *error)
{
    *server = NULL;
    if ((flags & GRACE_HOOK_SERVES) == 0)
        return 0;
    *server = dlsym(handle, "grace_hook_server");
    if (*server != NULL && (*server)->size >= sizeof **server && (*server)->serve != NULL)
        return 0;
    return grace_error_set(error,
                           "%s is no libgrace plugin: it says that it serves, and has no "
                           "grace_hook_server",
                           path);
}

static const struct grace_hook *open_hook(const char *path, const struct grace_hook_server **server,
                                          struct grace_error *error)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct grace_hook *hook = handle != NULL ? dlsym(handle, "grace_hook") : NULL;
    if (hook == NULL) {
        const char *why = dlerror();
        grace_error_set(error, "cannot load plugin %s: %s", path, why != NULL ? why : "no reason");
        return NULL;
    }
    if (grace_plugin_check_numbers(path, hook->abi, hook->size, hook->flags, error) != 0)
        return NULL;
    if (hook->run == NULL) {
        grace_error_set(error, "%s is no libgrace plugin: its run is NULL", path);
        return NULL;
    }
    return find_server(handle, path, hook->flags, server, error) == 0 ? hook : NULL;
}

int grace_plugin_load(struct grace_plugin *plugin, const char *path,
                      const struct grace_hook_plan *plan, struct grace_error *error)
{
    *plugin = (struct grace_plugin){.hook = NULL};
    error->size = sizeof *error;
    const struct grace_hook *hook = open_hook(path, &plugin->server, error);
    if (hook == NULL)
        return -1;
    plugin->hook = hook;
    if (grace_options_configure(hook, plan, &plugin->state, error) == 0)
        return 0;
    plugin->hook = NULL;
    return -1;
}

void grace_plugin_release(struct grace_plugin *plugin)
{
    const struct grace_hook *hook = plugin->hook;
    plugin->hook = NULL;
    /* A plugin built before release() was there says so by its size. */
    if (hook != NULL && hook->size >= offsetof(struct grace_hook, release) + sizeof(void *) &&
        hook->release != NULL)
        hook->release(plugin->state);
}
