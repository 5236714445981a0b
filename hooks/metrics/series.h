/* The numbers of a metrics file, in memory: read from its text, added to, and written as text. */
#ifndef GRACE_HOOKS_METRICS_SERIES_H
#define GRACE_HOOKS_METRICS_SERIES_H

#include <stdio.h>

#include "hooks/grace_hook.h"

struct grace_series; /* one number with its name and labels */

struct grace_series_set {
    struct grace_series *first; /* in the order in which they came */
    int short_of_memory;        /* what is in here is not all */
};

/* Take over the numbers in the text of a file, which is ended by a zero byte and is changed. Lines
 * that are none of libgrace's metrics are left out. Returns how many were taken. */
size_t grace_series_parse(struct grace_series_set *set, char *text);

/* Count one stop. */
void grace_series_count(struct grace_series_set *set, const struct grace_stop *stop);

/* Write all of them in Prometheus' text format 0.0.4. */
void grace_series_print(const struct grace_series_set *set, FILE *stream);

void grace_series_free(struct grace_series_set *set);

#endif
