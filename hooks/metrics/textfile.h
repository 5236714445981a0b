/*
 * Counting stops in a file for Prometheus (node_exporter's textfile collector). The plugin
 * `metrics` and the config key `metrics` are two doors to this.
 */
#ifndef GRACE_HOOKS_METRICS_TEXTFILE_H
#define GRACE_HOOKS_METRICS_TEXTFILE_H

#include "hooks/grace_hook.h"

/*
 * Add one stop to the file at `path`, an absolute one; make it when it is not there. Programs that
 * share a file are told apart by a label. Whoever counts at the same moment waits (a lock on the
 * folder, within the time that the stop has left), and a reader finds either the old file or the
 * new one. Returns 0, or -1 with the error set: then the file is as it was. Not for signal
 * handlers.
 */
int grace_metrics_count(const char *path, const struct grace_stop *stop, struct grace_error *error);

#endif
