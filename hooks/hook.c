#include "hook.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int broken(struct grace_loaded_hook *hook)
{
    hook->kind = GRACE_HOOK_BROKEN;
    return -1;
}

static int load_command(struct grace_loaded_hook *hook, const struct grace_hook_places *places)
{
    const struct grace_hook_plan *plan = hook->plan;
    if (grace_command_prepare(&hook->command, plan->name, plan->command, plan->user,
                              places->environment, &hook->error) != 0)
        return broken(hook);
    hook->kind = GRACE_HOOK_COMMAND;
    return 0;
}

/* An external plugin runs as a command of ours: `grace run-hook CONFIG HOOK FILE`. */
static int load_external(struct grace_loaded_hook *hook, const struct grace_plan *plan,
                         const struct grace_hook_places *places)
{
    if (places->executable == NULL || plan->file == NULL) {
        grace_error_set(
            &hook->error,
            "plugin %s runs outside the program, by the command grace, which is not found",
            hook->plan->plugin);
        return broken(hook);
    }
    hook->arguments[0] = places->executable;
    hook->arguments[1] = "run-hook";
    hook->arguments[2] = plan->file;
    hook->arguments[3] = hook->plan->name;
    hook->arguments[4] = hook->path;
    hook->arguments[5] = NULL;
    if (grace_command_prepare(&hook->command, hook->plan->name, hook->arguments, hook->plan->user,
                              places->environment, &hook->error) != 0)
        return broken(hook);
    hook->kind = GRACE_HOOK_EXTERNAL_PLUGIN;
    return 0;
}

static int load_inside(struct grace_loaded_hook *hook, const struct grace_hook_places *places)
{
    if (hook->plan->user != NULL) {
        grace_error_set(
            &hook->error,
            "plugin %s runs inside the program: it cannot run as user %s; leave `user` out",
            hook->plan->plugin, hook->plan->user);
        return broken(hook);
    }
    if (places->load && grace_plugin_load(&hook->plugin, hook->path, hook->plan, &hook->error) != 0)
        return broken(hook);
    hook->kind = GRACE_HOOK_INSIDE;
    return 0;
}

int grace_hook_load(struct grace_loaded_hook *hook, const struct grace_plan *plan,
                    const struct grace_hook_plan *hook_plan, const struct grace_hook_places *places)
{
    *hook = (struct grace_loaded_hook){.plan = hook_plan, .error = {.size = sizeof hook->error}};
    if (hook_plan->command != NULL)
        return load_command(hook, places);

    char path[PATH_MAX];
    uint32_t flags;
    if (grace_plugin_find(places->origin, hook_plan->plugin, path, sizeof path, &hook->error) !=
            0 ||
        grace_plugin_peek(path, &flags, &hook->error) != 0)
        return broken(hook);
    hook->flags = flags;
    hook->path = strdup(path);
    if (hook->path == NULL) {
        grace_error_set(&hook->error, "out of memory");
        return broken(hook);
    }
    hook->serves = (flags & GRACE_HOOK_SERVES) != 0;
    return flags & GRACE_HOOK_IN_PROCESS ? load_inside(hook, places)
                                         : load_external(hook, plan, places);
}

void grace_hook_unload(struct grace_loaded_hook *hook)
{
    grace_command_release(&hook->command);
    grace_plugin_release(&hook->plugin);
    free(hook->path);
    hook->path = NULL;
    hook->kind = GRACE_HOOK_BROKEN;
}
