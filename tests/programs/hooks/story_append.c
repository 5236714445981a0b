/* An in-process hook for stories: appends one line to a file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <grace_hook.h>

struct append {
    const char *file;
    char line[128];
};

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct append *append = calloc(1, sizeof *append);
    if (append == NULL)
        return grace_error_set(error, "no memory");
    append->file = grace_option_string(options, "file", NULL);
    snprintf(append->line, sizeof append->line, "%s\n", grace_option_string(options, "line", ""));
    *state = append;
    return append->file != NULL ? 0 : grace_error_set(error, "option \"file\" is missing");
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct append *append = state;
    (void)stop;
    int file = open(append->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0)
        return grace_error_set(error, "cannot open %s", append->file);
    ssize_t length = (ssize_t)strlen(append->line);
    ssize_t written = write(file, append->line, (size_t)length);
    close(file);
    return written == length ? 0 : grace_error_set(error, "cannot write %s", append->file);
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_IN_PROCESS,
    0,
    "append",
    "appends a line",
    configure,
    run,
    release,
};
