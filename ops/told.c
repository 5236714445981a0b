#include "told.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/signals.h"
#include "hooks/kernel.h"

static const char *text_variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

/* A number of the environment; `fallback` when it is empty, absent, or no number. */
static int64_t number_variable(const char *name, int64_t fallback)
{
    const char *value = text_variable(name);
    char *end;
    intmax_t number = strtoimax(value, &end, 10);
    return *value != '\0' && *end == '\0' ? (int64_t)number : fallback;
}

static int32_t small_variable(const char *name, int32_t fallback)
{
    int64_t number = number_variable(name, fallback);
    return number >= INT32_MIN && number <= INT32_MAX ? (int32_t)number : fallback;
}

static uint32_t count_variable(const char *name)
{
    int64_t number = number_variable(name, 0);
    return number > 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

static int64_t remaining_ms(void *context)
{
    const uint64_t *until = context;
    uint64_t now = grace_kernel_now_ms();
    return now < *until ? (int64_t)(*until - now) : 0;
}

/* The runner takes each line of our output into the log, under the hook's name. */
static void log_line(void *context, int level, const char *text)
{
    (void)context;
    const char *prefix = level == GRACE_HOOK_ERROR     ? "error: "
                         : level == GRACE_HOOK_WARNING ? "warning: "
                                                       : "";
    if (level <= GRACE_HOOK_INFO)
        fprintf(stderr, "%s%s\n", prefix, text);
}

struct grace_stop grace_told_stop(uint64_t *until)
{
    *until = grace_kernel_now_ms() + (uint64_t)number_variable("GRACE_REMAINING_MS", 5000);
    return (struct grace_stop){
        .size = sizeof(struct grace_stop),
        .program = text_variable("GRACE_PROGRAM"),
        .hook = text_variable("GRACE_HOOK"),
        .phase = text_variable("GRACE_PHASE"),
        .cause = text_variable("GRACE_CAUSE"),
        .pid = small_variable("GRACE_PID", 0),
        .signo = grace_signal_find(text_variable("GRACE_SIGNAL")),
        .exit_status = small_variable("GRACE_EXIT_STATUS", -1),
        .sender_pid = small_variable("GRACE_SENDER_PID", 0),
        .sender_uid = small_variable("GRACE_SENDER_UID", -1),
        .attempt = small_variable("GRACE_ATTEMPT", 1),
        .context = until,
        .remaining_ms = remaining_ms,
        .log = log_line,
        .core_dumped = strcmp(text_variable("EXIT_CODE"), "dumped") == 0,
        .gone = small_variable("GRACE_GONE", 0),
        .duration_ms = number_variable("GRACE_DURATION_MS", 0),
        .hooks_done = count_variable("GRACE_HOOKS_DONE"),
        .hooks_failed = count_variable("GRACE_HOOKS_FAILED"),
        .hooks_skipped = count_variable("GRACE_HOOKS_SKIPPED"),
        .connections_finished = count_variable("GRACE_CONNECTIONS_FINISHED"),
        .connections_cut = count_variable("GRACE_CONNECTIONS_CUT"),
    };
}
