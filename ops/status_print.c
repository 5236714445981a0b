#include "status_print.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/signals.h"
#include "json.h"

int grace_pid_parse(const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && pid > 0 && pid <= INT_MAX ? (int)pid : 0;
}

void grace_complain_unwatched(const char *subcommand, int pid)
{
    if (kill(pid, 0) != 0 && errno == ESRCH)
        fprintf(stderr, "grace %s: there is no process %d; grace ps lists those under libgrace\n",
                subcommand, pid);
    else if (kill(pid, 0) != 0)
        fprintf(stderr, "grace %s: process %d is another user's: only that user and root may ask\n",
                subcommand, pid);
    else
        fprintf(
            stderr,
            "grace %s: no guardian watches process %d: it is not the main process of a program "
            "under libgrace, or its config has no external hook; grace inspect %d tells which\n",
            subcommand, pid, pid);
}

/* ---- words --------------------------------------------------------------------------------- */

static void seconds(int64_t ms, char *buffer, size_t size)
{
    snprintf(buffer, size, "%lld.%llds", (long long)(ms / 1000), (long long)(ms % 1000 / 100));
}

void grace_status_stage(const struct grace_control_status *status, char *buffer, size_t size)
{
    char name[GRACE_SIGNAL_NAME_MAX];
    if (status->signo > 0)
        snprintf(buffer, size, "%s (SIG%s)", status->stage, grace_signal_name(status->signo, name));
    else if (status->cause[0] != '\0' && strcmp(status->stage, "running") != 0)
        snprintf(buffer, size, "%s (%s)", status->stage, status->cause);
    else
        snprintf(buffer, size, "%s", status->stage);
}

void grace_status_drain(const struct grace_control_status *status, char *buffer, size_t size)
{
    char left[64] = "", time[32], database[64] = "";
    buffer[0] = '\0';
    if (strcmp(status->drain, "none") == 0)
        return;
    seconds(status->drain_ms, time, sizeof time);
    if (status->drain_ms >= 0)
        snprintf(left, sizeof left, "; at most %s more", time);
    if (status->transactions > 0)
        snprintf(database, sizeof database, "; %u transaction%s", status->transactions,
                 status->transactions == 1 ? "" : "s");
    snprintf(buffer, size, "%s%u busy, %u idle, %u finished, %u cut; %u listener%s closed%s%s",
             strcmp(status->drain, "hold") == 0 ? "serving on; " : "", status->busy, status->idle,
             status->finished, status->cut, status->listeners, status->listeners == 1 ? "" : "s",
             database, left);
}

/* ---- one target ---------------------------------------------------------------------------- */

static int widest_name(const struct grace_control_status *status)
{
    size_t widest = 4;
    for (size_t i = 0; i < status->hook_count; i++)
        if (strlen(status->hooks[i].name) > widest)
            widest = strlen(status->hooks[i].name);
    return (int)widest;
}

void grace_status_print(const struct grace_control_status *status, FILE *to)
{
    char stage[64], drain[160], left[32];
    int width = widest_name(status);
    grace_status_stage(status, stage, sizeof stage);
    grace_status_drain(status, drain, sizeof drain);
    fprintf(to, "%s (pid %d): %s", status->program, status->pid, stage);
    if (status->phase[0] != '\0')
        fprintf(to, ", phase %s", status->phase);
    seconds(status->deadline_ms, left, sizeof left);
    if (status->deadline_ms >= 0)
        fprintf(to, ", %s to the deadline", left);
    fprintf(to, "\nguardian: pid %d; config: %s\n", status->guardian, status->config);
    if (drain[0] != '\0')
        fprintf(to, "connections: %s\n", drain);
    if (status->hook_count > 0)
        fprintf(to, "\n%-9s %-*s %-8s %s\n", "PHASE", width, "HOOK", "STATE", "OUTCOME");
    for (size_t i = 0; i < status->hook_count; i++) {
        const struct grace_control_hook *hook = &status->hooks[i];
        fprintf(to, "%-9s %-*s %-8s %s", hook->phase, width, hook->name,
                grace_control_has_failed(hook) ? "failed" : hook->state, hook->outcome);
        if (hook->attempts > 1)
            fprintf(to, " after %u tries", hook->attempts);
        fputc('\n', to);
    }
}

static void put_number(FILE *to, const char *key, int64_t number, bool known)
{
    if (known)
        fprintf(to, ",\"%s\":%lld", key, (long long)number);
    else
        fprintf(to, ",\"%s\":null", key);
}

static void put_text(FILE *to, const char *key, const char *text)
{
    fprintf(to, ",\"%s\":", key);
    grace_json_put(*text != '\0' ? text : NULL, to);
}

static void put_hook(FILE *to, const struct grace_control_hook *hook)
{
    fputs("{\"name\":", to);
    grace_json_put(hook->name, to);
    put_text(to, "phase", hook->phase);
    put_text(to, "state", hook->state);
    put_text(to, "outcome", strcmp(hook->outcome, "-") == 0 ? "" : hook->outcome);
    put_number(to, "attempts", hook->attempts, true);
    fputc('}', to);
}

static void put_object(const struct grace_control_status *status, FILE *to)
{
    char name[GRACE_SIGNAL_NAME_MAX], signal_name[GRACE_SIGNAL_NAME_MAX + 4] = "";
    bool drains = strcmp(status->drain, "none") != 0;
    if (status->signo > 0)
        snprintf(signal_name, sizeof signal_name, "SIG%s", grace_signal_name(status->signo, name));
    fputs("{\"program\":", to);
    grace_json_put(status->program, to);
    put_number(to, "pid", status->pid, true);
    put_number(to, "guardian", status->guardian, true);
    put_text(to, "config", status->config);
    put_text(to, "stage", status->stage);
    put_text(to, "phase", status->phase);
    put_text(to, "cause", status->cause);
    put_text(to, "signal", signal_name);
    put_number(to, "deadline_ms", status->deadline_ms, status->deadline_ms >= 0);
    fputs(",\"drain\":{\"state\":", to);
    grace_json_put(status->drain, to);
    put_number(to, "listeners_closed", status->listeners, drains);
    put_number(to, "busy", status->busy, drains);
    put_number(to, "idle", status->idle, drains);
    put_number(to, "finished", status->finished, drains);
    put_number(to, "cut", status->cut, drains);
    put_number(to, "transactions", status->transactions, drains);
    put_number(to, "left_ms", status->drain_ms, status->drain_ms >= 0);
    fputs("},\"hooks\":[", to);
    for (size_t i = 0; i < status->hook_count; i++) {
        if (i > 0)
            fputc(',', to);
        put_hook(to, &status->hooks[i]);
    }
    fputs("]}", to);
}

void grace_status_json(const struct grace_control_status *status, FILE *to)
{
    put_object(status, to);
    fputc('\n', to);
}

/* ---- all of them --------------------------------------------------------------------------- */

static size_t hooks_left(const struct grace_control_status *status)
{
    size_t left = 0;
    for (size_t i = 0; i < status->hook_count; i++)
        left += !grace_control_is_over(&status->hooks[i]);
    return left;
}

void grace_status_list_table(const struct grace_control_status *list, size_t count, FILE *to)
{
    if (count == 0) {
        fputs("no program with a guardian\n", to);
        return;
    }
    fprintf(to, "%7s %-16s %-20s %-9s %5s  %s\n", "PID", "PROGRAM", "STATE", "PHASE", "HOOKS",
            "CONFIG");
    for (size_t i = 0; i < count; i++) {
        char stage[64];
        grace_status_stage(&list[i], stage, sizeof stage);
        fprintf(to, "%7d %-16s %-20s %-9s %2zu/%-2zu  %s\n", list[i].pid, list[i].program, stage,
                list[i].phase[0] != '\0' ? list[i].phase : "-", hooks_left(&list[i]),
                list[i].hook_count, list[i].config);
    }
}

void grace_status_list_json(const struct grace_control_status *list, size_t count, FILE *to)
{
    fputc('[', to);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputs(",\n", to);
        put_object(&list[i], to);
    }
    fputs("]\n", to);
}
