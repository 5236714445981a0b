/* An external hook for stories: appends one line to a file. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <grace_hook.h>

static const char *file, *line;

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    *state = NULL;
    file = grace_option_string(options, "file", NULL);
    line = grace_option_string(options, "line", "");
    return file != NULL ? 0 : grace_error_set(error, "option \"file\" is missing");
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    (void)state;
    (void)stop;
    int descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor < 0 || dprintf(descriptor, "%s\n", line) < 0)
        return grace_error_set(error, "cannot write %s", file);
    close(descriptor);
    return 0;
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_EXTERNAL,
    0,
    "append outside",
    "appends a line to a file",
    configure,
    run,
    NULL,
};
