#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "grace.h"
#include "status_print.h"

void grace_progress_start(struct grace_progress *progress, bool quiet)
{
    *progress = (struct grace_progress){.quiet = quiet, .live = grace_is_terminal(stdout)};
}

void grace_progress_clear(struct grace_progress *progress)
{
    if (progress->pending)
        fputs("\r\033[K", stdout);
    progress->pending = false;
    fflush(stdout);
}

/* ---- what happened --------------------------------------------------------------------------- */

static const char *outcome_words(const struct grace_control_hook *hook)
{
    if (strcmp(hook->state, "skipped") == 0)
        return "not run";
    if (!grace_control_has_failed(hook))
        return "done";
    if (strcmp(hook->outcome, "timeout") == 0)
        return "FAILED: not done in its time";
    if (strcmp(hook->outcome, "not-started") == 0)
        return "FAILED: could not be started";
    return "FAILED: see the log";
}

static void tell_hook(struct grace_progress *progress, const struct grace_control_status *status,
                      size_t index)
{
    const struct grace_control_hook *hook = &status->hooks[index];
    bool was_over = progress->known && index < progress->seen.hook_count &&
                    grace_control_is_over(&progress->seen.hooks[index]);
    bool before = !progress->known && strcmp(status->stage, "running") == 0; /* in a stop before */
    if (!grace_control_is_over(hook) || was_over || before)
        return;
    grace_progress_clear(progress);
    printf("%s: %-8s %s: %s\n", status->program, hook->phase, hook->name, outcome_words(hook));
}

static void tell_stage(struct grace_progress *progress, const struct grace_control_status *status)
{
    char stage[64], was[64] = "";
    grace_status_stage(status, stage, sizeof stage);
    if (progress->known)
        grace_status_stage(&progress->seen, was, sizeof was);
    if (strcmp(stage, was) == 0 || strcmp(stage, "running") == 0)
        return;
    grace_progress_clear(progress);
    printf("%s (pid %d): %s\n", status->program, status->pid, stage);
}

static void tell_drain(struct grace_progress *progress, const struct grace_control_status *status)
{
    char drain[160];
    if (progress->known && strcmp(progress->seen.drain, status->drain) == 0)
        return;
    grace_status_drain(status, drain, sizeof drain);
    if (drain[0] == '\0')
        return;
    grace_progress_clear(progress);
    printf("%s: drain    %s: %s\n", status->program, status->drain, drain);
}

/* ---- what goes on -------------------------------------------------------------------------- */

static size_t columns(void)
{
    struct winsize window;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 3 ? window.ws_col : 80;
}

static const char *running_hook(const struct grace_control_status *status)
{
    for (size_t i = 0; i < status->hook_count; i++)
        if (strcmp(status->hooks[i].state, "running") == 0)
            return status->hooks[i].name;
    return NULL;
}

static void show_now(struct grace_progress *progress, const struct grace_control_status *status)
{
    char line[512], drain[160], left[48] = "";
    const char *hook = running_hook(status);
    grace_status_drain(status, drain, sizeof drain);
    if (status->deadline_ms >= 0)
        snprintf(left, sizeof left, " (%lld.%llds to the deadline)",
                 (long long)(status->deadline_ms / 1000),
                 (long long)(status->deadline_ms % 1000 / 100));
    if (hook != NULL)
        snprintf(line, sizeof line, "%s: %s: running%s", status->phase, hook, left);
    else if (strcmp(status->drain, "hold") == 0 || strcmp(status->drain, "draining") == 0)
        snprintf(line, sizeof line, "drain: %s", drain);
    else
        snprintf(line, sizeof line, "waiting for the program to end%s", left);
    /* Room is left for the "^C" of somebody who has seen enough. */
    printf("\r\033[K%.*s", (int)(columns() - 3), line);
    progress->pending = true;
    fflush(stdout);
}

void grace_progress_tell(struct grace_progress *progress, struct grace_control_status *status)
{
    if (!progress->quiet) {
        if (!progress->known)
            tell_stage(progress, status);
        for (size_t i = 0; i < status->hook_count; i++)
            tell_hook(progress, status, i);
        tell_drain(progress, status);
        if (progress->known)
            tell_stage(progress, status);
        if (progress->live && strcmp(status->stage, "running") != 0)
            show_now(progress, status);
        fflush(stdout);
    }
    free(progress->seen.hooks);
    progress->seen = *status;
    progress->known = true;
}

void grace_progress_end(struct grace_progress *progress)
{
    grace_progress_clear(progress);
    free(progress->seen.hooks);
    progress->seen.hooks = NULL;
}
