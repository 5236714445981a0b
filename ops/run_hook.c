/*
 * grace run-hook CONFIG HOOK FILE: one external plugin, in this process.
 *
 * Not for people: the runner starts it as it starts any hook's command, in its own process group,
 * with a timeout, the story of the stop in the environment, and what it writes going into the log.
 * So a plugin's crash, leak, thread or exit() ends this process and nothing else.
 *
 * Exit status: 0 done, 1 the hook failed (one line on stderr says why), 78 it cannot be loaded.
 */
#include "run_hook.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config/plan.h"
#include "config/problem.h"
#include "config/signals.h"
#include "hooks/kernel.h"
#include "hooks/plugin.h"

static const char *text_variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

/* A number of the environment; `fallback` when it is empty, absent, or no number. */
static int64_t number_variable(const char *name, int64_t fallback)
{
    const char *value = text_variable(name);
    char *end;
    intmax_t number = strtoimax(value, &end, 10);
    return *value != '\0' && *end == '\0' ? (int64_t)number : fallback;
}

static int32_t small_variable(const char *name, int32_t fallback)
{
    int64_t number = number_variable(name, fallback);
    return number >= INT32_MIN && number <= INT32_MAX ? (int32_t)number : fallback;
}

static int64_t remaining_ms(void *context)
{
    const uint64_t *until = context;
    uint64_t now = grace_kernel_now_ms();
    return now < *until ? (int64_t)(*until - now) : 0;
}

/* The runner takes each line of our output into the log, under the hook's name. */
static void log_line(void *context, int level, const char *text)
{
    (void)context;
    const char *prefix = level == GRACE_HOOK_ERROR     ? "error: "
                         : level == GRACE_HOOK_WARNING ? "warning: "
                                                       : "";
    if (level <= GRACE_HOOK_INFO)
        fprintf(stderr, "%s%s\n", prefix, text);
}

static struct grace_stop read_stop(uint64_t *until)
{
    *until = grace_kernel_now_ms() + (uint64_t)number_variable("GRACE_REMAINING_MS", 5000);
    return (struct grace_stop){
        .size = sizeof(struct grace_stop),
        .program = text_variable("GRACE_PROGRAM"),
        .hook = text_variable("GRACE_HOOK"),
        .phase = text_variable("GRACE_PHASE"),
        .cause = text_variable("GRACE_CAUSE"),
        .pid = small_variable("GRACE_PID", 0),
        .signo = grace_signal_find(text_variable("GRACE_SIGNAL")),
        .exit_status = small_variable("GRACE_EXIT_STATUS", -1),
        .sender_pid = small_variable("GRACE_SENDER_PID", 0),
        .sender_uid = small_variable("GRACE_SENDER_UID", -1),
        .attempt = small_variable("GRACE_ATTEMPT", 1),
        .context = until,
        .remaining_ms = remaining_ms,
        .log = log_line,
        .core_dumped = strcmp(text_variable("EXIT_CODE"), "dumped") == 0,
    };
}

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

static int run_plugin(const struct grace_hook_plan *hook, const char *file)
{
    struct grace_error error = {.size = sizeof error};
    struct grace_plugin plugin;
    if (grace_plugin_load(&plugin, file, hook, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return EX_CONFIG;
    }
    uint64_t until;
    struct grace_stop stop = read_stop(&until);
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
    if (argc != 4) {
        fprintf(stderr, "usage: grace run-hook CONFIG HOOK FILE\n");
        return EX_USAGE;
    }
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
    else
        result = run_plugin(hook, argv[3]);
    /* The plugin may keep the plan's strings: it ends with the process. */
    return result;
}
