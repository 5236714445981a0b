/* What a stop has come to so far, out of the ledger: for hooks, and for the metrics. */
#ifndef GRACE_HOOKS_STORY_H
#define GRACE_HOOKS_STORY_H

#include <stddef.h>

#include "grace_hook.h"
#include "ledger.h"

/*
 * Fill in the members of `stop` that tell how long it takes already, how its hooks went and what
 * became of connections. `hook_count` is what the ledger's memory holds; no word of the ledger is
 * trusted. A hook that is running counts as nothing. Async-signal-safe.
 */
void grace_story_add_counts(struct grace_stop *stop, const struct grace_ledger *ledger,
                            size_t hook_count);

/* The same when nothing runs any more: a hook that began and did not come to its end has failed. */
void grace_story_add_final_counts(struct grace_stop *stop, const struct grace_ledger *ledger,
                                  size_t hook_count);

#endif
