/*
 * grace run-hook CONFIG HOOK FILE: one external plugin, in this process. With --serve, and
 * PROGRAM PID behind them, what it does before the stop: see serve_hook.h.
 *
 * Not for people: the runner starts it as it starts any hook's command, in its own process group,
 * with a timeout, the story of the stop in the environment, and what it writes going into the log.
 * So a plugin's crash, leak, thread or exit() ends this process and nothing else.
 *
 * Exit status: 0 done, 1 the hook failed (one line on stderr says why), 78 it cannot be loaded.
 */
#include "run_hook.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config/plan.h"
#include "config/problem.h"
#include "hooks/plugin.h"
#include "serve_hook.h"
#include "told.h"

static void print_problems(struct grace_problems *problems)
{
    char line[1024];
    for (size_t i = 0; i < problems->count; i++) {
        if (problems->list[i].severity != GRACE_FATAL)
            continue;
        grace_problem_format(&problems->list[i], line, sizeof line);
        fprintf(stderr, "%s\n", line);
    }
}

static const struct grace_hook_plan *find_hook(const struct grace_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->hook_count; i++) {
        if (strcmp(plan->hooks[i].name, name) == 0)
            return &plan->hooks[i];
    }
    return NULL;
}

static int run_plugin(const struct grace_plan *plan, const struct grace_hook_plan *hook,
                      const char *file)
{
    struct grace_error error = {.size = sizeof error};
    struct grace_plugin plugin;
    if (grace_plugin_load(&plugin, file, hook, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return EX_CONFIG;
    }
    uint64_t until;
    struct grace_stop stop = grace_told_stop(&until);
    stop.log_file = plan->log.path;
    error.text[0] = '\0';
    int failed = plugin.hook->run(plugin.state, &stop, &error) != 0;
    if (failed)
        fprintf(stderr, "%s\n",
                error.text[0] != '\0' ? error.text : "the plugin failed and does not say why");
    grace_plugin_release(&plugin);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int grace_run_hook_main(int argc, char **argv)
{
    bool serve = argc == 7 && strcmp(argv[1], "--serve") == 0;
    if (argc != 4 && !serve) {
        fprintf(stderr, "usage: grace run-hook CONFIG HOOK FILE\n"
                        "       grace run-hook --serve CONFIG HOOK FILE PROGRAM PID\n");
        return EX_USAGE;
    }
    argv += serve;
    /* A server that hangs up is an error for the plugin to tell, not its end. */
    signal(SIGPIPE, SIG_IGN);
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_read(argv[1], &problems);
    if (plan == NULL)
        print_problems(&problems);
    grace_problems_free(&problems);
    if (plan == NULL)
        return EX_CONFIG;

    const struct grace_hook_plan *hook = find_hook(plan, argv[2]);
    int result = EX_CONFIG;
    if (hook == NULL || hook->plugin == NULL)
        fprintf(stderr, "%s has no hook \"%s\" with a plugin\n", argv[1], argv[2]);
    else if (serve)
        result = grace_serve_hook(plan, hook, argv[3], argv[4], atoi(argv[5]));
    else
        result = run_plugin(plan, hook, argv[3]);
    /* The plugin may keep the plan's strings: it ends with the process. */
    return result;
}
