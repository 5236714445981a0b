/* Telling whether two readings of a config describe the same hooks. */
#ifndef GRACE_CONFIG_FINGERPRINT_H
#define GRACE_CONFIG_FINGERPRINT_H

#include "plan.h"

/* A number that two plans share when their hooks are the same, in the same order. Not for secrets.
 */
uint64_t grace_plan_fingerprint(const struct grace_plan *plan);

#endif
