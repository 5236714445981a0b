/*
 * grace ps: the programs that a guardian watches. grace status PID: one of them, hook by hook.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "control.h"
#include "grace.h"
#include "status_print.h"

struct request {
    bool json;
    int pid;
};

static const struct argp_option options[] = {{"json", 'j', NULL, 0, "Print it as JSON", 0},
                                             {NULL, 0, NULL, 0, NULL, 0}};

/* ---- ps ------------------------------------------------------------------------------------ */

static error_t parse_ps(int key, char *argument, struct argp_state *state)
{
    struct request *request = state->input;
    (void)argument;
    if (key != 'j')
        return ARGP_ERR_UNKNOWN;
    request->json = true;
    return 0;
}

static const struct argp ps_parser = {
    options,
    parse_ps,
    "",
    "List the programs under libgrace that have a guardian, and what they are at.\v"
    "Root sees those of all users, others their own. A program whose config has no external hook "
    "has no guardian unless it says guardian = \"on\"; grace inspect PID tells of any program. "
    "Exit status: 0, or 64 for wrong usage.",
    NULL,
    NULL,
    NULL};

int grace_ps_main(int argc, char **argv)
{
    struct request request = {.json = false};
    struct grace_control_status *list;
    if (argp_parse(&ps_parser, argc, argv, 0, NULL, &request) != 0)
        return EX_USAGE;
    size_t count = grace_control_ask_all(&list);
    if (request.json)
        grace_status_list_json(list, count, stdout);
    else
        grace_status_list_table(list, count, stdout);
    grace_control_free(list, count);
    return EX_OK;
}

/* ---- status -------------------------------------------------------------------------------- */

static error_t parse_status(int key, char *argument, struct argp_state *state)
{
    struct request *request = state->input;
    if (key == ARGP_KEY_ARG && request->pid == 0) {
        request->pid = grace_pid_parse(argument);
        if (request->pid == 0)
            argp_error(state, "\"%s\" is not a process id", argument);
        return 0;
    }
    if (key == ARGP_KEY_END && request->pid == 0)
        argp_error(state, "which process? grace ps lists them");
    return key == ARGP_KEY_END ? 0 : parse_ps(key, argument, state);
}

static const struct argp status_parser = {
    options,
    parse_status,
    "PID",
    "Show how far the stop of a program under libgrace has come: hooks, connections, time left.\v"
    "Exit status: 0, 64 for wrong usage, 69 when no guardian watches PID or it cannot be asked.",
    NULL,
    NULL,
    NULL};

int grace_status_main(int argc, char **argv)
{
    struct request request = {.json = false};
    struct grace_control_status status;
    if (argp_parse(&status_parser, argc, argv, 0, NULL, &request) != 0)
        return EX_USAGE;
    if (grace_control_ask(request.pid, &status) != 0) {
        grace_complain_unwatched("status", request.pid);
        return EX_UNAVAILABLE;
    }
    if (request.json)
        grace_status_json(&status, stdout);
    else
        grace_status_print(&status, stdout);
    free(status.hooks);
    return EX_OK;
}
