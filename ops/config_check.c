/* What a config needs on this machine, and how its problems are shown: what `grace check` and
 * `grace run` share. */
#include "config_check.h"

#include <stdio.h>

#include "grace.h"
#include "hooks/hook.h"

extern char **environ;

/* ---- what hooks need ------------------------------------------------------------------------ */

static const char *kind_name(enum grace_hook_kind kind)
{
    switch (kind) {
    case GRACE_HOOK_COMMAND:
        return "command";
    case GRACE_HOOK_EXTERNAL_PLUGIN:
        return "external";
    case GRACE_HOOK_INSIDE:
        return "in-process";
    default:
        return "?";
    }
}

/* An external plugin is not loaded by grace_hook_load, which must keep it out of targets: here is
 * no target, and its options are to be looked at too. */
static int configure_external(struct grace_loaded_hook *hook)
{
    struct grace_plugin plugin = {.hook = NULL};
    if (grace_plugin_load(&plugin, hook->path, hook->plan, &hook->error) != 0)
        return -1;
    grace_plugin_release(&plugin);
    return 0;
}

static void check_hook(const struct grace_plan *plan, const struct grace_hook_plan *hook_plan,
                       const struct grace_hook_places *places, struct grace_hook_note *note,
                       struct grace_problems *problems)
{
    struct grace_loaded_hook hook;
    int result = grace_hook_load(&hook, plan, hook_plan, places);
    note->kind = kind_name(hook.kind);
    note->inside = hook.kind == GRACE_HOOK_INSIDE;
    if (result == 0 && hook.kind == GRACE_HOOK_EXTERNAL_PLUGIN)
        result = configure_external(&hook);
    if (result != 0)
        grace_problem_add(problems, GRACE_DEFECT, hook_plan->file, hook_plan->line,
                          "hook \"%s\": %s", hook_plan->name, hook.error.text);
    if (result == 0 && hook.serves && plan->guardian == GRACE_OFF)
        grace_problem_add(problems, GRACE_WARNING, hook_plan->file, hook_plan->line,
                          "hook \"%s\": plugin %s serves from the start on, which needs the "
                          "guardian, and that is \"off\"",
                          hook_plan->name, hook_plan->plugin);
    grace_hook_unload(&hook);
}

void grace_config_check_hooks(const struct grace_plan *plan, struct grace_hook_note *notes,
                              struct grace_problems *problems)
{
    char folder[4096];
    const struct grace_hook_places places = {.origin = grace_own_folder(folder, sizeof folder),
                                             .executable = "/proc/self/exe",
                                             .environment = environ,
                                             .load = true};
    for (size_t i = 0; i < plan->hook_count; i++)
        check_hook(plan, &plan->hooks[i], &places, &notes[i], problems);
}

/* ---- showing them --------------------------------------------------------------------------- */

void grace_config_print_problems(const struct grace_problems *problems)
{
    bool colour = grace_may_colour(stderr);
    char line[8192];
    for (size_t i = 0; i < problems->count; i++) {
        bool warning = problems->list[i].severity == GRACE_WARNING;
        grace_problem_format(&problems->list[i], line, sizeof line);
        fprintf(stderr, "%s%s%s\n",
                !colour   ? ""
                : warning ? "\033[33m"
                          : "\033[31m",
                line, colour ? "\033[0m" : "");
    }
    if (problems->lost > 0)
        fprintf(stderr, "and %zu more problems\n", problems->lost);
}
