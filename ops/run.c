/*
 * grace run: start a program under libgrace.
 *
 * Config and program are looked at first, and what is wrong is said before anything has started.
 * Then it becomes the program, with libgrace.so in LD_PRELOAD: the pid stays. As PID 1, with
 * --init, and for a program that libgrace.so cannot be in, it stays as the parent instead; see
 * init.c.
 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/plan.h"
#include "config_check.h"
#include "grace.h"
#include "init.h"
#include "program.h"

extern char **environ;

/* Ours, as env(1) and the shells have them. */
enum { CANNOT_EXECUTE = 126, NOT_FOUND = 127 };

struct run {
    const char *config; /* NULL: look for it */
    const char *termination_log;
    bool stay, group, only_check, verbose, database;
    char **words; /* the program and its arguments */

    struct grace_program program;
    const struct grace_plan *plan;
    struct grace_hook_note *notes;
    bool has_external; /* a hook that is not in-process */
    bool is_disabled;  /* GRACE_DISABLE=1 */
};

enum { DATABASE = 256 };

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "The config; it is an error if there is none", 0},
    {"init", 'i', NULL, 0, "Stay as the program's parent, as PID 1 always does", 0},
    {"group", 'g', NULL, 0, "Pass signals on to the program's whole process group (stays)", 0},
    {"termination-log", 't', "FILE", 0, "Write down why the program ended (stays)", 0},
    {"db", DATABASE, NULL, 0, "Load libgrace-db.so, too: transactions are finished", 0},
    {"check-only", 'n', NULL, 0, "Say what would be done, and start nothing", 0},
    {"verbose", 'v', NULL, 0, "Say what is done", 0},
    {NULL, 0, NULL, 0, NULL, 0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct run *run = state->input;
    switch (key) {
    case 'c':
        run->config = argument;
        return 0;
    case 'i':
        run->stay = true;
        return 0;
    case 'g':
        run->group = run->stay = true;
        return 0;
    case 't':
        run->termination_log = argument;
        run->stay = true;
        return 0;
    case 'n':
        run->only_check = run->verbose = true;
        return 0;
    case 'v':
        run->verbose = true;
        return 0;
    case DATABASE:
        run->database = true;
        return 0;
    case ARGP_KEY_ARGS:
        run->words = state->argv + state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no program is given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    options,
    parse_option,
    "[--] PROGRAM [ARGUMENT...]",
    "Start a program under libgrace.\v"
    "Becomes the program; as PID 1, with --init, or where libgrace cannot be in the program, stays "
    "as its parent, passes signals on, reaps, and runs its hooks. Exit status: the program's; 64 "
    "for wrong usage, 72 when libgrace.so is missing, 78 when something is wrong with the config, "
    "126 when the program cannot be executed, 127 when it is not found.",
    NULL,
    NULL,
    NULL};

/* ---- the config ----------------------------------------------------------------------------- */

static int complain_of_config(const struct run *run, struct grace_problems *problems)
{
    grace_problems_sort(problems);
    grace_config_print_problems(problems);
    fprintf(stderr, "grace run: %s is not started\n", run->program.base);
    return EX_CONFIG;
}

/* A state_dir that cannot be written would be noticed too late. */
static void check_state_dir(const struct grace_plan *plan, struct grace_problems *problems)
{
    if (plan->state_dir != NULL && access(plan->state_dir, W_OK | X_OK) != 0)
        grace_problem_add(problems, GRACE_DEFECT, plan->file, 0, "state_dir %s: %s",
                          plan->state_dir, strerror(errno));
}

static int read_config(struct run *run, struct grace_problems *problems)
{
    char path[PATH_MAX];
    const char *given = run->config != NULL ? run->config : getenv("GRACE_CONFIG");
    int found = grace_plan_find(given, run->program.base, path, sizeof path);
    if (found < 0)
        grace_problem_add(problems, GRACE_FATAL, "GRACE_CONFIG", 0, "the path is too long");
    else
        run->plan = found == 1 ? grace_plan_read(path, problems) : grace_plan_default();
    if (run->plan == NULL)
        return complain_of_config(run, problems);
    run->notes = calloc(run->plan->hook_count + 1, sizeof *run->notes);
    if (run->notes == NULL)
        return EX_OSERR;
    grace_config_check_hooks(run->plan, run->notes, problems);
    check_state_dir(run->plan, problems);
    if (problems->defects > 0)
        return complain_of_config(run, problems);
    for (size_t i = 0; i < run->plan->hook_count; i++)
        run->has_external |= !run->notes[i].inside;
    /* What a script without #! is named after is its shell: it would look for another config. */
    if (run->plan->file != NULL && (run->config != NULL || run->program.by_shell))
        setenv("GRACE_CONFIG", run->plan->file, 1);
    return EX_OK;
}

static int check_config(struct run *run)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    int result = read_config(run, &problems);
    grace_problems_free(&problems);
    return result;
}

/* ---- LD_PRELOAD ----------------------------------------------------------------------------- */

static bool find_library(const char *name, char *path, size_t size)
{
    char folder[PATH_MAX];
    if (grace_find_library(name, path, size))
        return true;
    grace_own_folder(folder, sizeof folder);
    fprintf(stderr, "grace run: %s is not found beside %s%s\n", name,
            folder[0] != '\0' ? folder : "the command grace",
            folder[0] != '\0' ? "" : " (is /proc mounted?)");
    return false;
}

static bool has_entry(const char *list, const char *base)
{
    size_t length = strlen(base);
    for (const char *at = list; (at = strstr(at, base)) != NULL; at += length)
        if ((at == list || strchr(":/ ", at[-1]) != NULL) &&
            (at[length] == '\0' || strchr(": ", at[length]) != NULL))
            return true;
    return false;
}

/* Behind what is there: a sanitizer's runtime must be the first. */
static bool add_preload(const char *path)
{
    const char *there = getenv("LD_PRELOAD"), *slash = strrchr(path, '/');
    if (strpbrk(path, ": ") != NULL) {
        fprintf(stderr, "grace run: %s: LD_PRELOAD takes no path with a space or colon in it\n",
                path);
        return false;
    }
    if (there == NULL || *there == '\0')
        return setenv("LD_PRELOAD", path, 1) == 0;
    if (has_entry(there, slash + 1))
        return true;
    size_t size = strlen(there) + strlen(path) + 2;
    char *both = malloc(size);
    if (both == NULL)
        return false;
    snprintf(both, size, "%s:%s", there, path);
    bool done = setenv("LD_PRELOAD", both, 1) == 0;
    free(both);
    return done;
}

static int set_preload(struct run *run)
{
    char library[PATH_MAX], database[PATH_MAX];
    if (!find_library("libgrace.so", library, sizeof library) || !add_preload(library))
        return EX_OSFILE;
    if (run->database &&
        (!find_library("libgrace-db.so", database, sizeof database) || !add_preload(database)))
        return EX_OSFILE;
    return EX_OK;
}

/* ---- what is to be done --------------------------------------------------------------------- */

/* Whether the hooks are for this program, and not for one that it starts; as the preload decides.
 */
static bool is_meant(const struct run *run)
{
    const char *const *name = run->plan->programs;
    char resolved[PATH_MAX] = "";
    if (name == NULL)
        return true;
    if (readlink(run->program.path, resolved, sizeof resolved - 1) < 0)
        resolved[0] = '\0';
    const char *last = run->program.step[run->program.steps - 1];
    const char *slash = strrchr(last, '/');
    for (; *name != NULL; name++)
        if (strcmp(*name, run->program.base) == 0 || strcmp(*name, run->program.path) == 0 ||
            strcmp(*name, last) == 0 || (slash != NULL && strcmp(*name, slash + 1) == 0))
            return true;
    return false;
}

/* The one line that says that the program is not as others. */
static void say_outside(const struct run *run, bool supervised)
{
    size_t inside = 0;
    for (size_t i = 0; i < run->plan->hook_count; i++)
        inside += run->notes[i].inside;
    fprintf(stderr, "grace run: %s cannot be preloaded: %s; %s", run->program.base,
            run->program.obstacle,
            supervised ? "it is supervised from outside" : "it runs without libgrace");
    if (supervised && inside > 0)
        fprintf(stderr, ", and %zu in-process hook%s will not run", inside, inside == 1 ? "" : "s");
    fputc('\n', stderr);
}

static void say_what(const struct run *run, const struct grace_init_order *order, bool stays)
{
    if (!run->verbose)
        return;
    fprintf(stderr, "grace run: %s%s%s: config %s; %s%s\n", run->program.path,
            run->program.steps > 1 ? " by " : "",
            run->program.steps > 1 ? run->program.step[run->program.steps - 1] : "",
            run->plan->file != NULL ? run->plan->file : "(none)",
            stays ? "stays as its parent" : "becomes it",
            order->outside ? ", supervises it from outside" : "");
}

static char **words_for(const struct run *run)
{
    size_t count = 0;
    while (run->words[count] != NULL)
        count++;
    char **words = calloc(count + 2, sizeof *words);
    if (words == NULL || !run->program.by_shell)
        return words == NULL ? NULL : memcpy(words, run->words, count * sizeof *words);
    static char shell[] = "sh";
    words[0] = shell;
    words[1] = strdup(run->program.path);
    memcpy(words + 2, run->words + 1, (count - 1) * sizeof *words);
    return words;
}

static int become(const struct grace_init_order *order)
{
    execve(order->path, order->argv, environ);
    int error = errno;
    fprintf(stderr, "grace run: %s: %s\n", order->path, strerror(error));
    return error == ENOENT ? NOT_FOUND : CANNOT_EXECUTE;
}

static int start(struct run *run)
{
    bool can_preload = run->program.obstacle[0] == '\0';
    bool meant = !run->is_disabled && is_meant(run);
    bool wanted = run->has_external || run->plan->enforce || run->plan->metrics != NULL;
    struct grace_init_order order = {
        .path = run->program.by_shell ? "/bin/sh" : run->program.path,
        .program = run->program.base,
        .plan = run->plan,
        .notes = run->notes,
        .outside = !can_preload && meant && wanted && run->plan->file != NULL,
        .group = run->group,
        .termination_log = run->termination_log,
    };
    order.guarded = order.outside || (can_preload && meant && wanted && run->plan->file != NULL &&
                                      run->plan->guardian != GRACE_OFF);
    bool stays = run->stay || getpid() == 1 || order.outside;
    if (!can_preload && meant)
        say_outside(run, order.outside);
    int result = can_preload || !meant ? set_preload(run) : EX_OK;
    if (result != EX_OK)
        return result;
    say_what(run, &order, stays);
    if (run->only_check)
        return EX_OK;
    order.argv = words_for(run);
    order.environment = environ;
    if (order.argv == NULL)
        return EX_OSERR;
    result = stays ? grace_init(&order) : become(&order);
    free((void *)(uintptr_t)order.argv);
    return result;
}

int grace_run_main(int argc, char **argv)
{
    static struct run run;
    argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &run);
    const char *disable = getenv("GRACE_DISABLE");
    run.is_disabled = disable != NULL && strcmp(disable, "1") == 0;
    grace_program_examine(&run.program, run.words[0], false);
    if (run.program.error != 0) {
        fprintf(stderr, "grace run: %s\n", run.program.why);
        return run.program.error == ENOENT ? NOT_FOUND : CANNOT_EXECUTE;
    }
    int result = check_config(&run);
    return result != EX_OK ? result : start(&run);
}
