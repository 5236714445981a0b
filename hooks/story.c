#include "story.h"

#include "command.h"
#include "kernel.h"

/* Longer than any deadline may be: what the ledger says beyond it is nonsense. */
#define DURATION_MAX_MS (INT64_C(7) * 24 * 3600 * 1000)

static int64_t duration_ms(const struct grace_ledger *ledger)
{
    uint64_t began = atomic_load(&ledger->began_ms), now = grace_kernel_now_ms();
    if (began == 0 || began > now || now - began > DURATION_MAX_MS)
        return 0;
    return (int64_t)(now - began);
}

static void add(struct grace_stop *stop, const struct grace_ledger *ledger, size_t hook_count,
                bool final)
{
    stop->duration_ms = duration_ms(ledger);
    stop->hooks_done = stop->hooks_failed = stop->hooks_skipped = 0;
    for (size_t i = 0; i < hook_count; i++) {
        enum grace_hook_state state = grace_ledger_state(ledger, i);
        bool done = atomic_load(&ledger->hooks[i].outcome) == GRACE_OUTCOME_DONE;
        stop->hooks_done += state == GRACE_HOOK_DONE && done;
        stop->hooks_failed +=
            (state == GRACE_HOOK_DONE && !done) || (state == GRACE_HOOK_TAKEN && final);
        stop->hooks_skipped += state == GRACE_HOOK_SKIPPED;
    }
    stop->connections_finished = atomic_load(&ledger->drain_finished);
    stop->connections_cut = atomic_load(&ledger->drain_cut);
}

void grace_story_add_counts(struct grace_stop *stop, const struct grace_ledger *ledger,
                            size_t hook_count)
{
    add(stop, ledger, hook_count, false);
}

void grace_story_add_final_counts(struct grace_stop *stop, const struct grace_ledger *ledger,
                                  size_t hook_count)
{
    add(stop, ledger, hook_count, true);
}
