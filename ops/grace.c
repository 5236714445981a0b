/*
 * grace: the command beside the target. It knows nothing but the names of its subcommands.
 */
#include "grace.h"

#include <argp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "count_stop.h"
#include "guardian.h"
#include "run_hook.h"

struct subcommand {
    const char *name;
    const char *summary; /* NULL: not for people, and not shown */
    int (*main)(int argc, char **argv);
};

static const struct subcommand subcommands[] = {
    {"run", "start a program under libgrace", grace_run_main},
    {"check", "check a config and show what a stop would do", grace_check_main},
    {"inspect", "say whether libgrace works for a program or process", grace_inspect_main},
    {"ps", "list the programs that are watched, and what they are at", grace_ps_main},
    {"status", "show how far a program's stop has come", grace_status_main},
    {"stop", "stop programs, and show how they do", grace_stop_main},
    {"recover", "run what programs that are gone still owe", grace_recover_main},
    {"new-hook", "write a plugin that builds, with a test", grace_new_hook_main},
    {"run-hook", NULL, grace_run_hook_main},
    {"count-stop", NULL, grace_count_stop_main},
};
#define SUBCOMMANDS (sizeof subcommands / sizeof subcommands[0])

/* ---- what subcommands share ----------------------------------------------------------------- */

const char *grace_own_folder(char *buffer, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", buffer, size);
    if (length <= 0 || (size_t)length >= size)
        length = 0;
    while (length > 0 && buffer[--length] != '/')
        continue;
    buffer[length] = '\0';
    return buffer;
}

bool grace_find_library(const char *name, char *path, size_t size)
{
    static const char *const places[] = {"", "/../lib/" GRACE_MULTIARCH, "/../lib", "/../lib64"};
    char folder[PATH_MAX], candidate[PATH_MAX + 128];
    grace_own_folder(folder, sizeof folder);
    for (size_t i = 0; folder[0] != '\0' && i < sizeof places / sizeof *places; i++) {
        snprintf(candidate, sizeof candidate, "%s%s/%s", folder, places[i], name);
        char *whole = realpath(candidate, NULL);
        bool fits = whole != NULL && access(whole, R_OK) == 0 && strlen(whole) < size;
        if (fits)
            memcpy(path, whole, strlen(whole) + 1);
        free(whole);
        if (fits)
            return true;
    }
    return false;
}

bool grace_is_terminal(FILE *stream)
{
    const char *terminal = getenv("TERM");
    return isatty(fileno(stream)) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

bool grace_may_colour(FILE *stream)
{
    const char *no = getenv("NO_COLOR");
    return grace_is_terminal(stream) && (no == NULL || *no == '\0');
}

/* ---- main ----------------------------------------------------------------------------------- */

static void print_help(FILE *stream)
{
    fprintf(stream, "Usage: grace COMMAND [OPTION...]\n"
                    "Graceful shutdown for programs that cannot be changed.\n\n");
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        if (subcommands[i].summary != NULL)
            fprintf(stream, "  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
    fprintf(stream, "\n  --help     this text; after a COMMAND, its options\n"
                    "  --version  the version, and what this build is\n");
}

/* The name is for argp, which shows argv[0] in what it prints. */
static int run(const struct subcommand *subcommand, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof name, "grace %s", subcommand->name);
    argv[0] = name;
    return subcommand->main(argc, argv);
}

int main(int argc, char **argv)
{
    argp_program_version = "grace (libgrace) " GRACE_VERSION;

    if (strcmp(argv[0], GRACE_GUARDIAN_NAME) == 0)
        return grace_guardian_main(argc, argv);

    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-?") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return EX_OK;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        grace_print_version();
        return fflush(stdout) != 0 ? EX_IOERR : EX_OK;
    }
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        if (strcmp(subcommands[i].name, name) == 0)
            return run(&subcommands[i], argc - 1, argv + 1);

    if (*name == '\0')
        print_help(stderr);
    else
        fprintf(stderr, "grace: unknown command \"%s\"; grace --help lists them\n", name);
    return EX_USAGE;
}
