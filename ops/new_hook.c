/*
 * grace new-hook NAME: a folder with a plugin that builds, and a test that runs it.
 *
 * It overwrites nothing: the folder must not be there yet.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "grace.h"
#include "new_hook_files.h"

struct new_hook {
    const char *name;
    bool in_process;
};

static const struct argp_option options[] = {
    {"in-process", 'i', NULL, 0, "One that needs the program's memory (default: external)", 0},
    {NULL, 0, NULL, 0, NULL, 0}};

/* It becomes a file's name and stands in C, make and sh. */
static bool is_name(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return *name != '\0' && *name != '-' && strlen(name) <= 64 &&
           strspn(name, letters) == strlen(name);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct new_hook *hook = state->input;
    switch (key) {
    case 'i':
        hook->in_process = true;
        return 0;
    case ARGP_KEY_ARG:
        if (hook->name != NULL)
            argp_error(state, "more than one name");
        if (!is_name(argument))
            argp_error(state, "%s: a name has letters, digits, - and _, and 64 of them at most",
                       argument);
        hook->name = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no name is given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    options,
    parse_option,
    "NAME",
    "Write a folder NAME with a plugin in C that builds (make), and a test that runs it (make "
    "check).\vOverwrites nothing. Exit status: 0 when it is there, 64 for wrong usage, 73 when it "
    "cannot be written, or is there already.",
    NULL,
    NULL,
    NULL};

/* ---- places to fill -------------------------------------------------------------------------- */

struct place {
    const char *name, *value;
};

static void put(const char *text, const struct place *places, FILE *to)
{
    while (*text != '\0') {
        const struct place *place = places;
        while (place->name != NULL && strncmp(text, place->name, strlen(place->name)) != 0)
            place++;
        if (place->name == NULL) {
            fputc(*text++, to);
            continue;
        }
        fputs(place->value, to);
        text += strlen(place->name);
    }
}

/* In include/ beside bin/ when installed, in hooks/ of the sources in a build. */
static const char *find_header(const char *folder, char *buffer, size_t size)
{
    static const char *const places[] = {"/../include", "/../hooks"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char candidate[PATH_MAX + 64], *whole;
        snprintf(candidate, sizeof candidate, "%s%s/grace_hook.h", folder, places[i]);
        if ((whole = realpath(candidate, NULL)) == NULL)
            continue;
        *strrchr(whole, '/') = '\0';
        snprintf(buffer, size, "%s", whole);
        free(whole);
        return buffer;
    }
    return "/usr/include";
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_file(int folder, const struct grace_new_hook_file *file,
                      const struct place *places)
{
    char name[128] = "";
    FILE *words = fmemopen(name, sizeof name, "w");
    if (words == NULL)
        return -1;
    put(file->name, places, words);
    fclose(words);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                    file->executable ? 0777 : 0666);
    FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (to == NULL)
        return -1;
    put(file->text, places, to);
    return fclose(to);
}

static int write_all(const struct new_hook *hook, const struct place *places)
{
    int folder =
        mkdir(hook->name, 0777) == 0 ? open(hook->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int result = folder < 0 ? -1 : 0;
    for (size_t i = 0; result == 0 && grace_new_hook_files[i].name != NULL; i++)
        result = write_file(folder, &grace_new_hook_files[i], places);
    if (result != 0)
        fprintf(stderr, "grace new-hook: %s: %s\n", hook->name,
                errno == EEXIST ? "is there already; nothing is overwritten" : strerror(errno));
    if (folder >= 0)
        close(folder);
    return result;
}

int grace_new_hook_main(int argc, char **argv)
{
    char folder[PATH_MAX], header[PATH_MAX], command[PATH_MAX + 16];
    struct new_hook hook = {.name = NULL};
    argp_parse(&parser, argc, argv, 0, NULL, &hook);
    grace_own_folder(folder, sizeof folder);
    snprintf(command, sizeof command, "%s/grace", folder);
    const struct place places[] = {
        {"@NAME@", hook.name},
        {"@FLAGS@", hook.in_process ? "GRACE_HOOK_IN_PROCESS" : "GRACE_HOOK_EXTERNAL"},
        {"@WHERE@", hook.in_process
                        ? "It runs in the program, on a thread of its own; not after a kill -9."
                        : "It runs in a process of its own, once, however the program ends."},
        {"@END@", hook.in_process ? "kill -TERM $$; sleep 60" : "kill -KILL $$"},
        {"@CAUSE@", hook.in_process ? "signal" : "killed"},
        {"@GRACE@", command},
        {"@INCLUDE@", find_header(folder, header, sizeof header)},
        {NULL, NULL},
    };
    if (write_all(&hook, places) != 0)
        return EX_CANTCREAT;
    printf("%s/ is there: put your work into %s/%s.c, then make and make check in it\n", hook.name,
           hook.name, hook.name);
    return fflush(stdout) != 0 ? EX_IOERR : EX_OK;
}
