/*
 * The plugin "metrics": counts the stop in a file for Prometheus.
 *
 *     { name = "count"; phase = "cleanup"; plugin = "metrics";
 *       options = { path = "/var/lib/node_exporter/legacyd.prom"; }; }
 *
 * It counts what has happened when it runs. The config key `metrics` counts at the very end, all
 * hooks included, and needs no hook.
 */
#include "hooks/grace_hook.h"

#include "metrics/textfile.h"

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    const char *path = grace_option_string(options, "path", NULL);
    if (path == NULL)
        return grace_error_set(error, "option \"path\" is missing; expected the metrics file, as "
                                      "\"/var/lib/node_exporter/legacyd.prom\"");
    if (path[0] != '/')
        return grace_error_set(error, "option \"path\" is \"%.200s\"; expected an absolute path",
                               path);
    *state = (void *)(uintptr_t)path;
    return 0;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    if (!GRACE_STOP_HAS(stop, connections_cut))
        return grace_error_set(error, "this libgrace is too old to tell what is to be counted");
    return grace_metrics_count(state, stop, error);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_EXTERNAL,
    0,
    "metrics",
    "counts the stop in a file for Prometheus",
    configure,
    run,
    NULL,
};
