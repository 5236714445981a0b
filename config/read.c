/* A config file, or text in memory, becomes a plan. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input.h"
#include "libconfig_guard.h"
#include "reader.h"

struct reading {
    struct grace_reader reader;
    const char *name; /* of the file in messages; its path when there is a file */
    bool is_file;
};

static void visit(const config_setting_t *root, void *context)
{
    struct reading *reading = context;
    struct grace_reader *reader = &reading->reader;
    const char *slash = strrchr(reading->name, '/');

    reader->plan->name = grace_reader_copy(reader, reading->name);
    if (reading->is_file) /* the folder is absolute already */
        reader->plan->file =
            grace_reader_absolute(reader, slash != NULL ? slash + 1 : reading->name);
    else
        reader->plan->file = reader->plan->name;
    grace_read_root(reader, root);
}

/* The folder of a path as it stands: "." for a bare name. Cuts `path` in place. */
static const char *folder_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ".";
    slash[slash == path] = '\0'; /* "/x" is in "/" */
    return path;
}

/* Where relative paths in the config start, without the last slash: "" for the root. */
static bool absolute_folder(const char *folder, char *absolute, size_t size)
{
    char here[4096] = "";
    if (folder[0] != '/' && getcwd(here, sizeof here) == NULL)
        return false;
    while (strncmp(folder, "./", 2) == 0)
        folder += 2;
    int length = strcmp(folder, ".") == 0
                     ? snprintf(absolute, size, "%s", here)
                     : snprintf(absolute, size, "%s%s%s", here,
                                folder[0] == '/' || strcmp(here, "/") == 0 ? "" : "/", folder);
    if (length < 0 || (size_t)length >= size)
        return false;
    while (length > 0 && absolute[length - 1] == '/')
        absolute[--length] = '\0';
    return true;
}

static struct grace_plan *read_input(const struct grace_input *input, const char *name,
                                     bool is_file, struct grace_problems *problems)
{
    char folder_buffer[4096] = "", absolute[8192];
    const char *folder = ".";
    size_t fatal_before = problems->fatal;

    if (is_file && strlen(name) < sizeof folder_buffer)
        folder = folder_of(strcpy(folder_buffer, name));
    if (!absolute_folder(folder, absolute, sizeof absolute)) {
        grace_problem_add(problems, GRACE_FATAL, name, 0,
                          "its folder has no absolute path; expected one that exists");
        return NULL;
    }
    struct reading reading = {
        .reader = {.problems = problems, .folder = absolute}, .name = name, .is_file = is_file};
    struct grace_plan *plan = reading.reader.plan = grace_plan_new(&reading.reader.arena);
    if (plan == NULL) {
        grace_problem_add(problems, GRACE_FATAL, name, 0, "cannot be read: memory is short");
        return NULL;
    }
    grace_libconfig_parse(input, name, folder, problems, visit, &reading);
    if (problems->fatal > fatal_before) {
        grace_plan_free(plan);
        return NULL;
    }
    grace_plan_seal(plan);
    return plan;
}

struct grace_plan *grace_plan_read(const char *path, struct grace_problems *problems)
{
    int saved = errno;
    struct grace_arena memory = {.chunks = NULL};
    struct grace_input input;
    char reason[96];
    struct grace_plan *plan = NULL;

    if (grace_input_read(path, GRACE_CONFIG_SIZE_MAX, &memory, &input, reason, sizeof reason))
        plan = read_input(&input, path, true, problems);
    else
        grace_problem_add(problems, GRACE_FATAL, path, 0, "%s", reason);
    grace_arena_free(&memory);
    errno = saved;
    return plan;
}

struct grace_plan *grace_plan_parse(const char *text, size_t length, const char *name,
                                    struct grace_problems *problems)
{
    int saved = errno;
    struct grace_arena memory = {.chunks = NULL};
    struct grace_input input;
    char reason[96];
    struct grace_plan *plan = NULL;

    if (grace_input_copy(text, length, GRACE_CONFIG_SIZE_MAX, &memory, &input, reason,
                         sizeof reason))
        plan = read_input(&input, name, false, problems);
    else
        grace_problem_add(problems, GRACE_FATAL, name, 0, "%s", reason);
    grace_arena_free(&memory);
    errno = saved;
    return plan;
}
