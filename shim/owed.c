/*
 * Who will see to it that the external hooks run: the ledger that says which are owed, the guardian
 * that runs them beside the target, and before that whatever an earlier owner left undone.
 */
#include "shim.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "config/fingerprint.h"
#include "guardian.h"
#include "hooks/command.h"
#include "hooks/log.h"
#include "hooks/room.h"
#include "raw.h"

static char ledger_path[PATH_MAX] GRACE_ROOM(ledger); /* with state_dir */

static bool has_external_hook(void)
{
    for (size_t i = 0; i < grace_shim.plan->hook_count; i++)
        if (grace_shim.hooks[i].kind != GRACE_HOOK_INSIDE)
            return true;
    return false;
}

/* Whether there is anything for a guardian to do, and it may be there. */
static bool wants_guardian(void)
{
    if (grace_shim.plan->guardian == GRACE_OFF || grace_shim.plan->file == NULL)
        return false;
    if (grace_shim.plan->guardian == GRACE_AUTO && !has_external_hook() &&
        !grace_shim.plan->enforce && grace_shim.plan->metrics == NULL)
        return false;
    /* In a container everything dies with PID 1, and what it starts it would have to reap. */
    if (grace_getpid() == 1) {
        grace_log(GRACE_LOG_WARNING, "guardian",
                  "as PID 1 there is no guardian: hooks do not run after kill -9");
        return false;
    }
    if (grace_shim.command != NULL)
        return true;
    grace_log(GRACE_LOG_WARNING, "guardian",
              "the command grace is not found beside %s: hooks do not run after kill -9 or a crash",
              grace_shim.library);
    return false;
}

/* What a hook does before the stop, nobody does without a guardian. */
static void warn_of_servers(void)
{
    for (size_t i = 0; i < grace_shim.plan->hook_count; i++) {
        const struct grace_loaded_hook *hook = &grace_shim.hooks[i];
        if (hook->kind == GRACE_HOOK_EXTERNAL_PLUGIN && hook->serves)
            grace_log(GRACE_LOG_WARNING, "guardian",
                      "hook \"%s\" serves nobody before the stop: there is no guardian",
                      hook->plan->name);
    }
}

static bool make_ledger_in_memory(uint64_t fingerprint, bool for_guardian, int *fd)
{
    if (!for_guardian) {
        grace_shim.ledger = grace_ledger_create_anonymous(grace_shim.plan->hook_count, fingerprint);
        return grace_shim.ledger != NULL;
    }
    grace_shim.ledger =
        grace_ledger_create(grace_shim.plan->hook_count, fingerprint, grace_shim.program,
                            grace_shim.plan->file, NULL, NULL, 0, fd);
    return grace_shim.ledger != NULL;
}

/* On disk, if the config says so: the one that this process had before an exec, or a new one. */
static bool make_ledger_on_disk(uint64_t fingerprint, int *fd)
{
    const struct grace_plan *plan = grace_shim.plan;
    if (plan->state_dir == NULL || !has_external_hook()) /* no other can run without the target */
        return false;
    grace_shim.ledger = grace_ledger_take_back(plan->state_dir, plan->file, fingerprint,
                                               ledger_path, sizeof ledger_path, fd);
    if (grace_shim.ledger == NULL)
        grace_shim.ledger =
            grace_ledger_create(plan->hook_count, fingerprint, grace_shim.program, plan->file,
                                plan->state_dir, ledger_path, sizeof ledger_path, fd);
    if (grace_shim.ledger == NULL) {
        grace_log(GRACE_LOG_WARNING, "ledger",
                  "cannot write to state_dir %s: %s. What is owed does not survive a power loss.",
                  plan->state_dir, strerrordesc_np(errno));
        return false;
    }
    grace_shim.ledger_path = ledger_path;
    return true;
}

/* What earlier owners of the same program and config still owe is done before this one begins. */
static void recover(void)
{
    const char *const argv[] = {grace_shim.command, "recover", "--quiet", grace_shim.plan->file,
                                NULL};
    struct grace_error error = {.size = sizeof error};
    struct grace_command command;
    struct grace_command_result result;
    if (grace_shim.plan->state_dir == NULL || grace_shim.command == NULL ||
        !grace_ledger_any_in(grace_shim.plan->state_dir))
        return;
    if (grace_command_prepare(&command, "recover", argv, NULL, grace_shim.environment, &error) == 0)
        grace_command_run_aside(&command, grace_shim.environment, grace_shim.plan->deadline_ms,
                                &result);
    grace_command_release(&command);
}

bool grace_owed_prepare(int left_by)
{
    uint64_t fingerprint = grace_plan_fingerprint(grace_shim.plan);
    enum grace_guardian_found found =
        left_by == 0 ? GRACE_GUARDIAN_GONE
                     : grace_guardian_find(left_by, fingerprint, &grace_shim.ledger);
    if (found == GRACE_GUARDIAN_FOUND)
        return true;
    int fd = -1;
    bool on_disk = false;
    /* A guardian out of reach has the ledger of this process: a second one on disk would have each
     * hook owed twice. */
    if (found == GRACE_GUARDIAN_GONE) {
        recover();
        on_disk = make_ledger_on_disk(fingerprint, &fd);
    }
    bool guarded = found != GRACE_GUARDIAN_OUT_OF_REACH && wants_guardian();
    if (!guarded && found != GRACE_GUARDIAN_OUT_OF_REACH)
        warn_of_servers();
    if (!on_disk && !make_ledger_in_memory(fingerprint, guarded, &fd))
        return false;
    if (found == GRACE_GUARDIAN_OUT_OF_REACH)
        grace_guardian_is_out_of_reach();
    else if (guarded && !grace_guardian_start(grace_shim.command, fd))
        grace_log(GRACE_LOG_WARNING, "guardian",
                  "the guardian cannot be started: hooks do not run after kill -9 or a crash");
    if (fd >= 0)
        close(fd);
    return true;
}
