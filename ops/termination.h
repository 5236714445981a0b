/* The termination log: in a few lines why the target ended and what became of its hooks, for
 * Kubernetes' terminationMessagePath. */
#ifndef GRACE_OPS_TERMINATION_H
#define GRACE_OPS_TERMINATION_H

#include "config/plan.h"
#include "hooks/ledger.h"

/* Write it to `path`, which is emptied first; 4,096 bytes at most, as Kubernetes takes. `ledger`
 * may be NULL. Returns 0 or a negative errno. */
int grace_termination_write(const char *path, const char *program, int wait_status,
                            const struct grace_plan *plan, const struct grace_ledger *ledger);

#endif
