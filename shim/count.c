/*
 * The config key `metrics` where no guardian counts: the command grace is run for it when the hooks
 * are through, beside the target as a hook's command is. Nothing of it happens in the target's
 * memory, so it is as safe in a signal handler as they are.
 */
#include "shim.h"

#include "guardian.h"
#include "hooks/command.h"
#include "hooks/log.h"
#include "hooks/room.h"
#include "hooks/story.h"
#include "raw.h"

#define COUNT_LIMIT_MS 2000

static const char *arguments[4];
static struct grace_command command;

void grace_count_prepare(void)
{
    struct grace_error error = {.size = sizeof error};
    if (grace_shim.plan->metrics == NULL)
        return;
    if (grace_shim.command == NULL) {
        grace_log(GRACE_LOG_WARNING, "metrics",
                  "the command grace is not found beside %s: stops are not counted",
                  grace_shim.library);
        return;
    }
    arguments[0] = grace_shim.command;
    arguments[1] = "count-stop";
    arguments[2] = grace_shim.plan->metrics;
    grace_command_prepare(&command, "metrics", arguments, NULL, grace_shim.environment, &error);
}

/* Whether no guardian sees to that. */
static bool is_ours(void)
{
    return command.argv != NULL && !grace_guardian_serves();
}

static int64_t remaining_ms(void *limit)
{
    return *(const uint32_t *)limit;
}

/* What the deadline leaves, but time to do it in any case. */
static uint32_t time_limit(const struct grace_stop_facts *facts)
{
    uint64_t end = facts->began_ms + grace_shim.plan->deadline_ms, now = grace_now_ms();
    uint64_t left = end > now ? end - now : 0;
    if (left > COUNT_LIMIT_MS)
        return COUNT_LIMIT_MS;
    return left < COUNT_LIMIT_MS / 10 ? COUNT_LIMIT_MS / 10 : (uint32_t)left;
}

void grace_count_stop(void)
{
    static struct grace_environment environment GRACE_ROOM(count);
    uint32_t no = 0;
    if (!is_ours() || !atomic_compare_exchange_strong(&grace_shim.ledger->counted, &no, 1))
        return;
    const struct grace_stop_facts *facts = grace_stop_facts();
    uint32_t limit_ms = time_limit(facts);
    struct grace_stop stop = {
        .size = sizeof stop,
        .program = grace_shim.program,
        .hook = "",
        .phase = "",
        .cause = grace_cause_name(facts->cause),
        .pid = grace_getpid(),
        .signo = facts->signo,
        .exit_status = facts->status,
        .sender_uid = -1,
        .attempt = 1,
        .context = &limit_ms,
        .remaining_ms = remaining_ms,
    };
    grace_story_add_final_counts(&stop, grace_shim.ledger, grace_shim.plan->hook_count);
    char *const *envp = grace_environment_fill(&environment, grace_shim.environment, &stop);
    struct grace_command_result result;
    grace_command_run_aside(&command, envp, limit_ms, &result);
    if (result.outcome == GRACE_OUTCOME_TIMEOUT)
        grace_log(GRACE_LOG_WARNING, "metrics", "the stop is not counted: no time");
}
