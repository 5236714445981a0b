/*
 * grace check: is this config right, and what would a stop do?
 *
 * Every problem goes to stderr, the plan to stdout. Beyond the config itself it looks at what the
 * hooks need on this machine: programs, users, plugins and their options.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/duration.h"
#include "config/plan.h"
#include "config_check.h"
#include "grace.h"
#include "plan_print.h"
#include "platform.h"

struct check {
    const char *config; /* NULL: look for it */
    const char *program;
    const struct grace_platform *platform; /* NULL: none was named */
    uint32_t limit_ms;                     /* 0: its default */
    bool json;
};

enum { LIMIT = 256 };

static const struct argp_option options[] = {
    {"program", 'p', "NAME", 0, "Look for the config of this program (default: the common one)", 0},
    {"for", 'f', "PLATFORM", 0, "Warn when kubernetes, systemd or docker would kill too early", 0},
    {"limit", LIMIT, "DURATION", 0, "With --for: how long it waits (default: its own default)", 0},
    {"json", 'j', NULL, 0, "Print the plan and all problems as one JSON object", 0},
    {NULL, 0, NULL, 0, NULL, 0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct check *check = state->input;
    switch (key) {
    case 'p': {
        const char *slash = strrchr(argument, '/');
        check->program = slash != NULL ? slash + 1 : argument;
        return 0;
    }
    case 'f':
        check->platform = grace_platform_find(argument);
        if (check->platform == NULL)
            argp_error(state, "unknown platform \"%s\"; expected kubernetes, systemd or docker",
                       argument);
        return 0;
    case LIMIT:
        if (grace_duration_parse(argument, &check->limit_ms) != 0 || check->limit_ms == 0)
            argp_error(state, "--limit %s: expected a duration such as \"60s\"", argument);
        return 0;
    case 'j':
        check->json = true;
        return 0;
    case ARGP_KEY_END:
        if (check->limit_ms != 0 && check->platform == NULL)
            argp_error(state, "--limit needs --for");
        return 0;
    case ARGP_KEY_ARG:
        if (check->config != NULL)
            argp_error(state, "more than one config");
        check->config = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    options,
    parse_option,
    "[CONFIG]",
    "Check a config and show what a stop would do, in the order in which it would.\v"
    "Without CONFIG it is looked for as the target does: $GRACE_CONFIG, then "
    "/etc/grace/NAME.conf (with --program), then /etc/grace/grace.conf. CONFIG may be - for "
    "standard input. Exit status: 0 when it can be used (there may be warnings), 64 for wrong "
    "usage, 78 when something is wrong.",
    NULL,
    NULL,
    NULL};

/* ---- reading -------------------------------------------------------------------------------- */

static struct grace_plan *read_stdin(struct grace_problems *problems)
{
    /* One byte more than a config may have, so that the parser sees that it is too large. */
    size_t size = 1024 * 1024 + 1;
    char *text = malloc(size);
    size_t length = text != NULL ? fread(text, 1, size, stdin) : 0;
    struct grace_plan *plan = NULL;
    if (text == NULL || ferror(stdin))
        grace_problem_add(problems, GRACE_FATAL, "<stdin>", 0, "cannot read it: %s",
                          strerror(errno));
    else
        plan = grace_plan_parse(text, length, "<stdin>", problems);
    free(text);
    return plan;
}

static struct grace_plan *read_plan(const struct check *check, struct grace_problems *problems)
{
    char path[4096];

    if (check->config != NULL && strcmp(check->config, "-") == 0)
        return read_stdin(problems);
    if (check->config != NULL)
        return grace_plan_read(check->config, problems);
    int found = grace_plan_find(getenv("GRACE_CONFIG"), check->program, path, sizeof path);
    if (found == 1)
        return grace_plan_read(path, problems);
    if (found < 0)
        grace_problem_add(problems, GRACE_FATAL, "GRACE_CONFIG", 0, "the path is too long");
    else if (check->program[0] != '\0')
        grace_problem_add(problems, GRACE_FATAL, "/etc/grace/grace.conf", 0,
                          "there is no config: neither $GRACE_CONFIG, nor /etc/grace/%s.conf, nor "
                          "this file",
                          check->program);
    else
        grace_problem_add(problems, GRACE_FATAL, "/etc/grace/grace.conf", 0,
                          "there is no config: neither $GRACE_CONFIG nor this file; expected one, "
                          "or CONFIG as an argument");
    return NULL;
}

/* ---- printing ------------------------------------------------------------------------------- */

int grace_check_main(int argc, char **argv)
{
    struct check check = {.program = ""};
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_hook_note *notes = NULL;

    argp_parse(&parser, argc, argv, 0, NULL, &check);
    struct grace_plan *plan = read_plan(&check, &problems);
    if (plan != NULL) {
        notes = calloc(plan->hook_count + 1, sizeof *notes);
        if (notes == NULL) {
            fputs("grace check: memory is short\n", stderr);
            return EX_OSERR;
        }
        grace_config_check_hooks(plan, notes, &problems);
        grace_plan_review(plan, &problems);
        if (check.platform != NULL && check.limit_ms == 0)
            check.limit_ms = check.platform->limit_ms;
        if (check.platform != NULL)
            grace_platform_review(check.platform, check.limit_ms, plan, &problems);
    }
    grace_problems_sort(&problems);
    if (check.json) {
        grace_plan_print_json(plan, notes, check.platform, check.limit_ms, &problems, stdout);
    } else {
        grace_config_print_problems(&problems);
        if (plan != NULL)
            grace_plan_print(plan, notes, grace_may_colour(stdout), stdout);
        if (plan != NULL && check.platform != NULL)
            grace_plan_print_platform(plan, check.platform, check.limit_ms, stdout);
    }
    int status = problems.fatal + problems.defects > 0 ? EX_CONFIG : EX_OK;
    if (fflush(stdout) != 0 || ferror(stdout))
        status = EX_IOERR;
    free(notes);
    grace_plan_free(plan);
    grace_problems_free(&problems);
    return status;
}
