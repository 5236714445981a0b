/* The known name that a person may have meant. */
#ifndef GRACE_CONFIG_SUGGEST_H
#define GRACE_CONFIG_SUGGEST_H

#include <stddef.h>

/* How many letters must be added, removed, changed or swapped with their neighbour to get from one
 * to the other, in any case; a large number when a name is longer than 31 bytes. */
unsigned grace_name_distance(const char *a, const char *b);

/* Whether `distance` is near enough for a name of this length to be taken for a typing error. */
int grace_name_is_near(unsigned distance, const char *name);

#endif
