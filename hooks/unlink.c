/*
 * The plugin "unlink": removes pid files and sockets that the program left behind, and never those
 * of its next instance.
 *
 *     { name = "pidfile"; phase = "cleanup"; plugin = "unlink";
 *       options = { path = ["/run/legacyd.pid", "/run/legacyd.sock"]; }; }
 */
#include "hooks/grace_hook.h"

#include <string.h>

#include "unlink/leftover.h"

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    const char *const *paths = grace_option_list(options, "path");
    if (paths == NULL || paths[0] == NULL)
        return grace_error_set(error, "option \"path\" is missing; expected a pid file or socket, "
                                      "or a list of them");
    for (size_t i = 0; paths[i] != NULL; i++)
        if (paths[i][0] != '/' || paths[i][strlen(paths[i]) - 1] == '/')
            return grace_error_set(
                error, "option \"path\" has \"%.200s\"; expected an absolute path of a file",
                paths[i]);
    *state = (void *)(uintptr_t)paths;
    return 0;
}

static enum grace_verdict unlink_one(const char *path, const struct grace_stop *stop,
                                     struct grace_error *why)
{
    struct grace_leftover leftover;
    enum grace_verdict verdict = grace_leftover_look(&leftover, path, stop);
    if (verdict == GRACE_VERDICT_OURS)
        verdict = grace_leftover_remove(&leftover, stop);
    *why = leftover.why;
    grace_leftover_close(&leftover);
    return verdict;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    struct grace_error why = {.size = sizeof why};
    int failed = 0;
    for (const char *const *path = state; *path != NULL; path++) {
        enum grace_verdict verdict = unlink_one(*path, stop, &why);
        if (verdict == GRACE_VERDICT_KEEP)
            grace_stop_log(stop, GRACE_HOOK_INFO, why.text);
        if (verdict != GRACE_VERDICT_UNCLEAR)
            continue;
        if (failed++ == 0)
            *error = why;
        else
            grace_stop_log(stop, GRACE_HOOK_WARNING, why.text);
    }
    return failed > 0 ? -1 : 0;
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_EXTERNAL,
    0,
    "unlink",
    "removes pid files and sockets that are still the target's",
    configure,
    run,
    NULL,
};
