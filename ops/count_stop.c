#include "count_stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "hooks/kernel.h"
#include "hooks/log.h"
#include "hooks/metrics/textfile.h"
#include "hooks/story.h"
#include "told.h"

/* The longest that others who count at this moment are waited for. */
#define PATIENCE_MS 2000

static int64_t patience(void *unused)
{
    (void)unused;
    return PATIENCE_MS;
}

void grace_keeper_count(const struct grace_keeper *keeper)
{
    struct grace_error error = {.size = sizeof error};
    uint32_t no = 0;
    if (keeper->plan->metrics == NULL ||
        !atomic_compare_exchange_strong(&keeper->ledger->counted, &no, 1))
        return;
    struct grace_stop stop = grace_keeper_describe(keeper);
    stop.remaining_ms = patience;
    grace_story_add_final_counts(&stop, keeper->ledger, keeper->plan->hook_count);
    if (stop.duration_ms == 0 && keeper->began_ms != 0)
        stop.duration_ms = (int64_t)(grace_kernel_now_ms() - keeper->began_ms);
    if (grace_metrics_count(keeper->plan->metrics, &stop, &error) != 0)
        grace_log(GRACE_LOG_WARNING, "metrics", "the stop is not counted: %s", error.text);
}

int grace_count_stop_main(int argc, char **argv)
{
    uint64_t until;
    struct grace_error error = {.size = sizeof error};
    if (argc != 2) {
        fprintf(stderr, "usage: grace count-stop FILE\n");
        return EX_USAGE;
    }
    struct grace_stop stop = grace_told_stop(&until);
    if (grace_metrics_count(argv[1], &stop, &error) == 0)
        return EX_OK;
    fprintf(stderr, "the stop is not counted: %s\n", error.text);
    return EX_CANTCREAT;
}
