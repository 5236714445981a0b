/* An external plugin: prints what it knows of the stop; fails, hangs, or ends as its option says.
 */
#include <grace_hook.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *mode;

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    (void)state;
    (void)error;
    mode = grace_option_string(options, "mode", "print");
    return 0;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    (void)state;
    char line[512];
    if (strcmp(mode, "fail") == 0)
        return grace_error_set(error, "failed as asked");
    if (strcmp(mode, "exit") == 0)
        exit(9);
    snprintf(line, sizeof line,
             "%s %s %s %s pid=%d signo=%d status=%d sender=%d/%d attempt=%d core=%d "
             "time=%d",
             stop->program, stop->hook, stop->phase, stop->cause, stop->pid, stop->signo,
             stop->exit_status, stop->sender_pid, stop->sender_uid, stop->attempt,
             stop->core_dumped, grace_stop_remaining_ms(stop) > 0);
    grace_stop_log(stop, GRACE_HOOK_WARNING, line);
    grace_stop_log(stop, GRACE_HOOK_DEBUG, "too much detail");
    return 0;
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI, sizeof grace_hook, GRACE_HOOK_EXTERNAL, 0,
    "external",     "prints the stop", configure,           run,
    NULL,
};
