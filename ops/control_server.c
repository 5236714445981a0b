#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/signals.h"
#include "hooks/kernel.h"
#include "hooks/log.h"
#include "hooks/text.h"

static struct {
    struct grace_keeper *keeper;
    int listener;
    char path[108]; /* of its socket */
    _Atomic uint32_t callers;
    _Atomic uint32_t closing;
} control = {.listener = -1};

/* How many are heard at a time. */
#define CALLERS_MOST 16

/* How often those who follow are told, and how long they may take to hear the last of it. */
#define FOLLOW_MS 100
#define LAST_MS   1000

/* ---- the answer ---------------------------------------------------------------------------- */

/* Names come from the config and the target: on one line, whatever is in them. */
static void say(FILE *answer, const char *key, const char *value)
{
    char buffer[4096];
    struct grace_text text;
    grace_text_start(&text, buffer, sizeof buffer);
    grace_text_add_printable(&text, value, strlen(value));
    fprintf(answer, "%s %s\n", key, buffer);
}

static const char *name_of(const char *const *names, size_t count, uint32_t value)
{
    return value < count ? names[value] : "?";
}

static const char *stage_name(void)
{
    static const char *const names[] = {"running", "handling", "ending", "stopping", "dismissed"};
    const struct grace_keeper *keeper = control.keeper;
    return keeper->gone ? "ended" : name_of(names, 5, atomic_load(&keeper->ledger->stage));
}

static const char *state_name(enum grace_hook_state state)
{
    static const char *const names[] = {"owed", "asked", "running", "done", "skipped"};
    return name_of(names, 5, state);
}

static const char *outcome_name(enum grace_hook_state state, uint32_t outcome)
{
    static const char *const names[] = {"done",        "status", "signal", "timeout",
                                        "not-started", "error",  "ended",  "skipped"};
    return state == GRACE_HOOK_DONE ? name_of(names, 8, outcome) : "-";
}

/* The first hook, in the order in which they run, that runs or is still to run. */
static const char *phase_now(void)
{
    const struct grace_keeper *keeper = control.keeper;
    uint32_t drain = atomic_load(&keeper->ledger->drain);
    if (drain == GRACE_DRAIN_HOLD || drain == GRACE_DRAIN_DRAINING)
        return grace_phase_name(GRACE_PHASE_DRAIN);
    for (size_t i = 0; i < keeper->plan->hook_count; i++) {
        size_t index = keeper->plan->order[i];
        if (grace_ledger_state(keeper->ledger, index) <= GRACE_HOOK_TAKEN)
            return grace_phase_name(keeper->plan->hooks[index].phase);
    }
    return "";
}

static int64_t left_until(uint64_t end_ms)
{
    uint64_t now = grace_kernel_now_ms();
    return end_ms > now ? (int64_t)(end_ms - now) : 0;
}

static void say_stop(FILE *answer)
{
    const struct grace_keeper *keeper = control.keeper;
    const struct grace_ledger *ledger = keeper->ledger;
    uint32_t stage = atomic_load(&ledger->stage), cause = atomic_load(&ledger->cause);
    int32_t signo = atomic_load(&ledger->signo);
    uint64_t began = atomic_load(&ledger->began_ms);
    bool stops = keeper->gone || stage != GRACE_STAGE_RUNNING;
    fprintf(answer, "stage %s\ntaken_back %u\n", stage_name(), atomic_load(&ledger->taken_back));
    if (!stops)
        return;
    fprintf(answer, "phase %s\n", phase_now());
    fprintf(answer, "cause %s\n",
            grace_cause_name(keeper->gone ? keeper->cause : (enum grace_cause)cause));
    if (signo > 0 && signo <= 64)
        fprintf(answer, "signal %d\n", signo);
    if (keeper->gone)
        fprintf(answer, "deadline_ms %lld\n", (long long)left_until(keeper->deadline_ms));
    else if (stage == GRACE_STAGE_LED && began != 0)
        fprintf(answer, "deadline_ms %lld\n",
                (long long)left_until(began + keeper->plan->deadline_ms));
}

static void say_drain(FILE *answer)
{
    static const char *const names[] = {"none", "hold", "draining", "over"};
    const struct grace_ledger *ledger = control.keeper->ledger;
    uint32_t drain = atomic_load(&ledger->drain);
    if (drain == GRACE_DRAIN_NONE)
        return;
    fprintf(answer,
            "drain %s\nlisteners %u\nbusy %u\nidle %u\nfinished %u\ncut %u\ntransactions %u\n",
            name_of(names, 4, drain), atomic_load(&ledger->drain_listeners),
            atomic_load(&ledger->drain_busy), atomic_load(&ledger->drain_idle),
            atomic_load(&ledger->drain_finished), atomic_load(&ledger->drain_cut),
            atomic_load(&ledger->drain_transactions));
    if (drain != GRACE_DRAIN_OVER)
        fprintf(answer, "drain_ms %lld\n",
                (long long)left_until(atomic_load(&ledger->drain_until_ms)));
}

static void say_hooks(FILE *answer)
{
    const struct grace_keeper *keeper = control.keeper;
    for (size_t i = 0; i < keeper->plan->hook_count; i++) {
        size_t index = keeper->plan->order[i];
        const struct grace_hook_plan *hook = &keeper->plan->hooks[index];
        const struct grace_ledger_hook *entry = &keeper->ledger->hooks[index];
        enum grace_hook_state state = grace_ledger_state(keeper->ledger, index);
        char line[64];
        snprintf(line, sizeof line, "hook %s %s %s %u", state_name(state),
                 outcome_name(state, atomic_load(&entry->outcome)), grace_phase_name(hook->phase),
                 atomic_load(&entry->attempts));
        say(answer, line, hook->name);
    }
}

static void tell_status(FILE *answer)
{
    const struct grace_keeper *keeper = control.keeper;
    say(answer, "program", keeper->program);
    fprintf(answer, "pid %d\nguardian %d\n", keeper->pid, (int)getpid());
    say(answer, "config", keeper->plan->name != NULL ? keeper->plan->name : "");
    say_stop(answer);
    say_drain(answer);
    say_hooks(answer);
}

/* ---- wishes -------------------------------------------------------------------------------- */

static void grant(FILE *answer, const char *name)
{
    static const struct {
        const char *name;
        uint32_t wish;
    } wishes[] = {{"no-drain", GRACE_WISH_NO_DRAIN},
                  {"force", GRACE_WISH_FORCE},
                  {"abort", GRACE_WISH_ABORT}};
    struct grace_ledger *ledger = control.keeper->ledger;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        if (strcmp(wishes[i].name, name) != 0)
            continue;
        atomic_fetch_or(&ledger->wishes, wishes[i].wish);
        grace_ledger_ring(&ledger->answered);
        fputs("ok\n", answer);
        return;
    }
    fputs("error unknown wish\n", answer);
}

/* ---- callers ------------------------------------------------------------------------------- */

static bool may_ask(int fd)
{
    struct ucred caller;
    socklen_t size = sizeof caller;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &size) == 0 &&
           (caller.uid == 0 || caller.uid == geteuid());
}

static void rest(int milliseconds)
{
    poll(NULL, 0, milliseconds);
}

static void follow(FILE *answer)
{
    bool last;
    do {
        last = atomic_load(&control.closing) != 0;
        tell_status(answer);
        fputs("end\n", answer);
        if (fflush(answer) != 0)
            return; /* it is gone, or does not read */
        if (!last)
            rest(FOLLOW_MS);
    } while (!last);
}

static void reply(FILE *answer, char *line)
{
    line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, "status") == 0)
        tell_status(answer);
    else if (strcmp(line, "follow") == 0)
        follow(answer);
    else if (strncmp(line, "wish ", 5) == 0)
        grant(answer, line + 5);
    else
        fputs("error unknown request\n", answer);
}

static void *attend(void *argument)
{
    char line[GRACE_CONTROL_LINE];
    int fd = (int)(intptr_t)argument;
    struct timeval patience = {.tv_sec = GRACE_CONTROL_PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ssize_t length = may_ask(fd) ? recv(fd, line, sizeof line - 1, 0) : -1;
    FILE *answer = length > 0 ? fdopen(fd, "w") : NULL;
    if (answer != NULL) {
        line[length] = '\0';
        reply(answer, line);
        fclose(answer);
    } else {
        close(fd);
    }
    atomic_fetch_sub(&control.callers, 1);
    return NULL;
}

static bool start_thread(void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int result = pthread_create(&thread, &attributes, function, argument);
    pthread_attr_destroy(&attributes);
    return result == 0;
}

/* Who calls too often at a time is turned away. */
static void receive(int fd)
{
    bool too_many = atomic_fetch_add(&control.callers, 1) >= CALLERS_MOST;
    if (!too_many && start_thread(attend, (void *)(intptr_t)fd))
        return;
    atomic_fetch_sub(&control.callers, 1);
    close(fd);
}

static void *serve(void *unused)
{
    for (;;) {
        int fd = accept4(control.listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            receive(fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            rest(FOLLOW_MS);
        else if (errno != EINTR && errno != ECONNABORTED)
            return unused;
    }
}

/* It has its name only once it listens: a caller takes a socket that refuses for that of a guardian
 * that was killed, and removes it. */
static int listen_at(const char *folder, char *path, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, size, "%s/%d", folder, (int)getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "%s/.%d", folder, (int)getpid());
    unlink(address.sun_path); /* of a process that had our number and was killed */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        listen(fd, 8) == 0 && rename(address.sun_path, path) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool grace_control_serve(struct grace_keeper *keeper)
{
    char folder[64];
    control.keeper = keeper;
    control.listener = grace_control_own_folder(folder, sizeof folder)
                           ? listen_at(folder, control.path, sizeof control.path)
                           : -1;
    bool started = control.listener >= 0 && start_thread(serve, NULL);
    if (!started)
        grace_log(GRACE_LOG_DEBUG, "control", "grace status and grace stop cannot ask here: %s",
                  strerror(errno));
    return started;
}

void grace_control_close(void)
{
    if (control.listener < 0)
        return;
    unlink(control.path);
    atomic_store(&control.closing, 1);
    for (int waited = 0; waited < LAST_MS && atomic_load(&control.callers) != 0; waited += 5)
        rest(5);
}
