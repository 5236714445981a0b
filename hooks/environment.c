/* The environment of hook commands: what the target has, and the story of the stop. */
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "command.h"
#include "config/signals.h"
#include "text.h"

#define VALUE_MAX 1000

/* Pointers grow from the front of the storage, strings from its end. */
struct filling {
    char **pointers;
    size_t count;
    char *floor; /* where the strings begin by now */
};

/* Room for one more pointer, besides the NULL at the end, and for `bytes` of string. */
static bool fits(const struct filling *filling, size_t bytes)
{
    size_t left = (size_t)(filling->floor - (char *)filling->pointers);
    return (filling->count + 2) * sizeof(char *) + bytes <= left;
}

/* NAME=value, copied. */
static void add(struct filling *filling, const char *name, const char *value)
{
    size_t name_length = strlen(name), value_length = strnlen(value, VALUE_MAX);
    size_t size = name_length + 1 + value_length + 1;
    if (!fits(filling, size))
        return;
    filling->floor -= size;
    memcpy(filling->floor, name, name_length);
    filling->floor[name_length] = '=';
    memcpy(filling->floor + name_length + 1, value, value_length);
    filling->floor[size - 1] = '\0';
    filling->pointers[filling->count++] = filling->floor;
}

static void add_number(struct filling *filling, const char *name, int64_t number)
{
    char buffer[24];
    struct grace_text text;
    grace_text_start(&text, buffer, sizeof buffer);
    grace_text_add_signed(&text, number);
    add(filling, name, buffer);
}

static void add_number_if(struct filling *filling, const char *name, bool known, int64_t number)
{
    if (known)
        add_number(filling, name, number);
    else
        add(filling, name, "");
}

/*
 * systemd.exec(5), "Environment Variables Set or Propagated by the Service Manager". A death by
 * HUP, INT, TERM or PIPE is a success there.
 */
static void add_systemd(struct filling *filling, const struct grace_stop *stop)
{
    if (stop->exit_status >= 0) {
        add(filling, "SERVICE_RESULT", stop->exit_status == 0 ? "success" : "exit-code");
        add(filling, "EXIT_CODE", "exited");
        add_number(filling, "EXIT_STATUS", stop->exit_status);
        return;
    }
    if (stop->signo <= 0)
        return;
    char name[GRACE_SIGNAL_NAME_MAX];
    bool clean = stop->signo == SIGHUP || stop->signo == SIGINT || stop->signo == SIGTERM ||
                 stop->signo == SIGPIPE;
    if (stop->core_dumped)
        add(filling, "SERVICE_RESULT", "core-dump");
    else
        add(filling, "SERVICE_RESULT", clean ? "success" : "signal");
    add(filling, "EXIT_CODE", stop->core_dumped ? "dumped" : "killed");
    add(filling, "EXIT_STATUS", grace_signal_name(stop->signo, name));
}

static void add_stop(struct filling *filling, const struct grace_stop *stop)
{
    char name[GRACE_SIGNAL_NAME_MAX];
    add_number(filling, "GRACE_PID", stop->pid);
    add(filling, "GRACE_CAUSE", stop->cause);
    add(filling, "GRACE_SIGNAL", grace_signal_name(stop->signo, name));
    add_number_if(filling, "GRACE_EXIT_STATUS", stop->exit_status >= 0, stop->exit_status);
    add(filling, "GRACE_HOOK", stop->hook);
    add(filling, "GRACE_PHASE", stop->phase);
    add(filling, "GRACE_PROGRAM", stop->program);
    add_number(filling, "GRACE_ATTEMPT", stop->attempt);
    add_number(filling, "GRACE_REMAINING_MS", grace_stop_remaining_ms(stop));
    add_number_if(filling, "GRACE_SENDER_PID", stop->sender_pid > 0, stop->sender_pid);
    add_number_if(filling, "GRACE_SENDER_UID", stop->sender_uid >= 0, stop->sender_uid);
    add_number(filling, "GRACE_GONE", stop->gone);
    add_number(filling, "GRACE_DURATION_MS", stop->duration_ms);
    add_number(filling, "GRACE_HOOKS_DONE", stop->hooks_done);
    add_number(filling, "GRACE_HOOKS_FAILED", stop->hooks_failed);
    add_number(filling, "GRACE_HOOKS_SKIPPED", stop->hooks_skipped);
    add_number(filling, "GRACE_CONNECTIONS_FINISHED", stop->connections_finished);
    add_number(filling, "GRACE_CONNECTIONS_CUT", stop->connections_cut);
    add_systemd(filling, stop);
}

static bool has_name(const char *variable, const char *name)
{
    size_t length = strlen(name);
    return strncmp(variable, name, length) == 0 && variable[length] == '=';
}

/* Set for each stop anew: whatever the target inherited under these names tells of another one. */
static bool tells_of_a_stop(const char *variable)
{
    static const char *const names[] = {
        "GRACE_PID",
        "GRACE_CAUSE",
        "GRACE_SIGNAL",
        "GRACE_EXIT_STATUS",
        "GRACE_HOOK",
        "GRACE_PHASE",
        "GRACE_PROGRAM",
        "GRACE_ATTEMPT",
        "GRACE_REMAINING_MS",
        "GRACE_SENDER_PID",
        "GRACE_SENDER_UID",
        "SERVICE_RESULT",
        "EXIT_CODE",
        "EXIT_STATUS",
        "GRACE_GONE",
        "GRACE_DURATION_MS",
        "GRACE_HOOKS_DONE",
        "GRACE_HOOKS_FAILED",
        "GRACE_HOOKS_SKIPPED",
        "GRACE_CONNECTIONS_FINISHED",
        "GRACE_CONNECTIONS_CUT",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (has_name(variable, names[i]))
            return true;
    }
    return false;
}

/* libgrace.so, libgrace-db.so, with or without a folder before or a version behind it. */
static bool names_libgrace(const char *entry, size_t length)
{
    for (size_t i = length; i > 0; i--) {
        if (entry[i - 1] == '/') {
            entry += i;
            length -= i;
            break;
        }
    }
    static const char *const files[] = {"libgrace.so", "libgrace-db.so"};
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen(files[i]);
        if (length >= size && memcmp(entry, files[i], size) == 0 &&
            (length == size || entry[size] == '.'))
            return true;
    }
    return false;
}

/* LD_PRELOAD without us: other preloads stay; nothing is left of it when there is no other. */
static void add_preload(struct filling *filling, const char *variable)
{
    size_t size = strlen(variable) + 1;
    if (!fits(filling, size))
        return;
    char *copy = filling->floor - size;
    size_t name_length = strlen("LD_PRELOAD="), length = name_length;
    memcpy(copy, variable, name_length);
    for (const char *at = variable + name_length; *at != '\0';) {
        at += strspn(at, " :");
        size_t entry = strcspn(at, " :");
        if (entry > 0 && !names_libgrace(at, entry)) {
            if (length > name_length)
                copy[length++] = ':';
            memcpy(copy + length, at, entry);
            length += entry;
        }
        at += entry;
    }
    copy[length] = '\0';
    if (length == name_length)
        return;
    filling->floor = copy;
    filling->pointers[filling->count++] = copy;
}

char *const *grace_environment_fill(struct grace_environment *environment, char *const *base,
                                    const struct grace_stop *stop)
{
    struct filling filling = {
        .pointers = (char **)(void *)environment->storage,
        .floor = environment->storage + sizeof environment->storage,
    };
    add_stop(&filling, stop);
    for (; base != NULL && *base != NULL; base++) {
        if (tells_of_a_stop(*base))
            continue;
        if (has_name(*base, "LD_PRELOAD"))
            add_preload(&filling, *base);
        else if (fits(&filling, 0))
            filling.pointers[filling.count++] = *base;
    }
    filling.pointers[filling.count] = NULL;
    return filling.pointers;
}
