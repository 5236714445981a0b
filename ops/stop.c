/*
 * grace stop: stop a program and show how it does.
 *
 * The signal is the caller's own: what may be stopped is what kill(1) could stop. The guardian only
 * passes wishes on to the conductor and tells how far the stop is; without one the program is
 * stopped and waited for all the same.
 */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/duration.h"
#include "config/signals.h"
#include "control.h"
#include "ended.h"
#include "grace.h"
#include "hooks/kernel.h"
#include "progress.h"
#include "status_print.h"

#define LOOK_MS          100
#define STATUS_PATIENCE  1000
#define EXIT_INTERRUPTED 130

struct request {
    const char *wish; /* for the guardian; NULL: none */
    bool abort, quiet;
    int signo;
    uint32_t timeout_ms; /* 0: as long as it takes */
    int pids[64];
    size_t count;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signo)
{
    (void)signo;
    interrupted = 1;
}

/* ---- options ------------------------------------------------------------------------------- */

enum { NO_DRAIN = 256, FORCE, ABORT };

static const struct argp_option options[] = {
    {"no-drain", NO_DRAIN, NULL, 0, "Do not wait for requests in flight; all hooks still run", 0},
    {"force", FORCE, NULL, 0,
     "Cut to the end, as a second stop signal does: no more in-process hooks", 0},
    {"abort", ABORT, NULL, 0, "Take a stop back that is still in announce or drain", 0},
    {"signal", 's', "NAME", 0, "Send this signal (default: TERM)", 0},
    {"timeout", 't', "TIME", 0, "Wait this long at most, then leave it to itself (\"30s\")", 0},
    {"quiet", 'q', NULL, 0, "Say nothing", 0},
    {NULL, 0, NULL, 0, NULL, 0}};

static error_t add_pid(struct request *request, const char *text, const struct argp_state *state)
{
    int pid = grace_pid_parse(text);
    if (pid == 0)
        argp_error(state, "\"%s\" is not a process id", text);
    else if (request->count == sizeof request->pids / sizeof *request->pids)
        argp_error(state, "too many processes");
    else
        request->pids[request->count++] = pid;
    return 0;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct request *request = state->input;
    switch (key) {
    case NO_DRAIN:
        request->wish = "no-drain";
        return 0;
    case FORCE:
        request->wish = "force";
        return 0;
    case ABORT:
        request->abort = true;
        return 0;
    case 's':
        request->signo = grace_signal_find(argument);
        if (request->signo <= 0)
            argp_error(state, "\"%s\" is not the name of a signal", argument);
        return 0;
    case 't':
        if (grace_duration_parse(argument, &request->timeout_ms) != 0 || request->timeout_ms == 0)
            argp_error(state,
                       "\"%s\" is not a time; expected a number with a unit, such as \"30s\"",
                       argument);
        return 0;
    case 'q':
        request->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        return add_pid(request, argument, state);
    case ARGP_KEY_END:
        if (request->count == 0)
            argp_error(state, "which process? grace ps lists them");
        if (request->abort && request->wish != NULL)
            argp_error(state, "--abort goes with neither --force nor --no-drain");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    options,
    parse_option,
    "PID...",
    "Stop programs, show how they do, and return when they have ended.\v"
    "A stop that is under way is joined, not begun anew. ^C leaves the stop to itself: "
    "grace status PID shows how far it is. Exit status: the program's own (128 + N when signal N "
    "killed it; of the last one that was not 0), 64 for wrong usage, 69 when there is no such "
    "process or a wish cannot be passed on, 75 when it has not ended in --timeout or could not be "
    "taken back, 77 without permission, 130 after ^C.",
    NULL,
    NULL,
    NULL};

/* ---- one program --------------------------------------------------------------------------- */

struct stopping {
    int pid, pidfd;
    FILE *news; /* from its guardian; NULL: there is none, or it has finished */
    bool back;  /* the stop was taken back */
    struct grace_progress progress;
    uint64_t began_ms;
};

static int complain(int pid, const char *what, int error)
{
    fprintf(stderr, "grace stop: process %d %s: %s\n", pid, what, strerror(error));
    return error == EPERM ? EX_NOPERM : EX_UNAVAILABLE;
}

/* Read what its guardian says; false when that has finished. */
static bool hear(struct stopping *stopping)
{
    struct grace_control_status status;
    if (grace_control_next(stopping->news, &status)) {
        stopping->back =
            stopping->progress.known && status.taken_back != stopping->progress.seen.taken_back;
        grace_progress_tell(&stopping->progress, &status);
        return true;
    }
    fclose(stopping->news);
    stopping->news = NULL;
    return false;
}

/* Whether its stop is under way already: another signal would be a second one. */
static bool is_stopping(struct stopping *stopping)
{
    return stopping->news != NULL && hear(stopping) &&
           strcmp(stopping->progress.seen.stage, "running") != 0;
}

/* Returns an exit status, EX_OK when it is on its way. */
static int begin(const struct request *request, int pid, struct stopping *stopping)
{
    *stopping = (struct stopping){.pid = pid, .began_ms = grace_kernel_now_ms()};
    stopping->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (stopping->pidfd < 0)
        return complain(pid, "cannot be stopped", errno);
    grace_progress_start(&stopping->progress, request->quiet);
    stopping->news = grace_control_follow(pid);
    if (request->wish != NULL && grace_control_wish(pid, request->wish) != 0) {
        fprintf(
            stderr,
            "grace stop: process %d has no guardian that could be told \"%s\"; stop it without\n",
            pid, request->wish);
        return EX_UNAVAILABLE;
    }
    if (is_stopping(stopping))
        return EX_OK;
    if (syscall(SYS_pidfd_send_signal, stopping->pidfd, request->signo, NULL, 0) != 0)
        return complain(pid, "cannot be sent the signal", errno);
    return EX_OK;
}

/* Wait for the end of the program and of its guardian's work. EX_OK, or why not. */
static int wait_for(const struct request *request, struct stopping *stopping)
{
    bool ended = false;
    while (!ended || stopping->news != NULL) {
        struct pollfd events[] = {
            {.fd = ended ? -1 : stopping->pidfd, .events = POLLIN},
            {.fd = stopping->news != NULL ? fileno(stopping->news) : -1, .events = POLLIN}};
        uint64_t waited = grace_kernel_now_ms() - stopping->began_ms;
        if (interrupted)
            return EXIT_INTERRUPTED;
        if (stopping->back)
            return EX_TEMPFAIL;
        if (request->timeout_ms != 0 && waited >= request->timeout_ms)
            return EX_TEMPFAIL;
        if (poll(events, 2, LOOK_MS) < 0)
            continue;
        if (events[1].revents != 0)
            hear(stopping);
        ended = ended || events[0].revents != 0;
    }
    return EX_OK;
}

static void name(const struct stopping *stopping, char *buffer, size_t size)
{
    if (stopping->progress.known)
        snprintf(buffer, size, "%s (pid %d)", stopping->progress.seen.program, stopping->pid);
    else
        snprintf(buffer, size, "process %d", stopping->pid);
}

static void tell_hooks(const struct grace_control_status *status)
{
    unsigned done = 0, failed = 0, rest = 0;
    for (size_t i = 0; i < status->hook_count; i++) {
        const struct grace_control_hook *hook = &status->hooks[i];
        bool ran = strcmp(hook->state, "done") == 0, bad = grace_control_has_failed(hook);
        done += ran && !bad;
        failed += bad;
        rest += !ran;
    }
    printf("; hooks: %u done, %u failed, %u not run", done, failed, rest);
}

/* Tell how it ended, and return that as an exit status. */
static int tell_end(const struct request *request, const struct stopping *stopping)
{
    int status = 0, code = 0;
    char who[300], signal_name[GRACE_SIGNAL_NAME_MAX], how[64] = "ended";
    uint64_t took = grace_kernel_now_ms() - stopping->began_ms;
    bool known = grace_ended_status(stopping->pidfd, stopping->pid, STATUS_PATIENCE, &status);
    if (known && WIFSIGNALED(status)) {
        code = 128 + WTERMSIG(status);
        snprintf(how, sizeof how, "killed by SIG%s",
                 grace_signal_name(WTERMSIG(status), signal_name));
    } else if (known) {
        code = WEXITSTATUS(status);
        snprintf(how, sizeof how, "exited with status %d", code);
    }
    if (request->quiet)
        return code;
    name(stopping, who, sizeof who);
    printf("%s: %s after %llu.%llus", who, how, (unsigned long long)(took / 1000),
           (unsigned long long)(took % 1000 / 100));
    if (stopping->progress.known && stopping->progress.seen.hook_count > 0)
        tell_hooks(&stopping->progress.seen);
    putchar('\n');
    fflush(stdout);
    return code;
}

static int finish(const struct request *request, struct stopping *stopping)
{
    char who[300];
    int result = wait_for(request, stopping);
    grace_progress_clear(&stopping->progress);
    name(stopping, who, sizeof who);
    if (result == EX_OK)
        result = tell_end(request, stopping);
    else if (stopping->back)
        fprintf(stderr, "grace stop: %s goes on: its stop was taken back\n", who);
    else if (result == EX_TEMPFAIL)
        fprintf(stderr, "grace stop: %s has not ended yet; it is left to itself\n", who);
    else
        fprintf(stderr, "grace stop: %s goes on stopping; see grace status %d\n", who,
                stopping->pid);
    return result;
}

static int stop_all(const struct request *request)
{
    static struct stopping all[sizeof request->pids / sizeof *request->pids];
    int begun[sizeof all / sizeof *all], result = EX_OK;
    for (size_t i = 0; i < request->count; i++)
        begun[i] = begin(request, request->pids[i], &all[i]);
    for (size_t i = 0; i < request->count; i++) {
        int one = begun[i] == EX_OK ? finish(request, &all[i]) : begun[i];
        if (one != EX_OK)
            result = one;
        grace_progress_end(&all[i].progress);
    }
    return result;
}

/* ---- taking one back ----------------------------------------------------------------------- */

/* Whether the stop has gone too far to be taken back. */
static bool is_beyond(const struct grace_control_status *status)
{
    return strcmp(status->drain, "over") == 0 || strcmp(status->stage, "ended") == 0 ||
           strcmp(status->stage, "ending") == 0;
}

static int refuse_abort(int pid, const char *why)
{
    fprintf(stderr, "grace stop: the stop of process %d cannot be taken back: %s\n", pid, why);
    return EX_TEMPFAIL;
}

static int take_back(const struct request *request, int pid)
{
    struct grace_control_status status;
    FILE *news = grace_control_follow(pid);
    if (news == NULL) {
        grace_complain_unwatched("stop", pid);
        return EX_UNAVAILABLE;
    }
    bool asked = false, running = false, beyond = false;
    while (!interrupted && !running && !beyond && grace_control_next(news, &status)) {
        running = strcmp(status.stage, "running") == 0;
        beyond = is_beyond(&status);
        free(status.hooks);
        if (running && !asked) {
            fclose(news);
            fprintf(stderr, "grace stop: process %d is not stopping: nothing to take back\n", pid);
            return EX_OK;
        }
        if (!asked && !beyond && grace_control_wish(pid, "abort") != 0)
            beyond = true;
        asked = true;
    }
    fclose(news);
    if (interrupted)
        return EXIT_INTERRUPTED;
    if (!running)
        return refuse_abort(pid, "what comes after the drain has begun");
    if (!request->quiet)
        printf("process %d goes on; hooks of the phase announce that have run, have run\n", pid);
    return EX_OK;
}

static int take_all_back(const struct request *request)
{
    int result = EX_OK;
    for (size_t i = 0; i < request->count; i++) {
        int one = take_back(request, request->pids[i]);
        if (one != EX_OK)
            result = one;
    }
    return result;
}

int grace_stop_main(int argc, char **argv)
{
    struct request request = {.signo = SIGTERM};
    struct sigaction on_interrupt = {.sa_handler = interrupt};
    if (argp_parse(&parser, argc, argv, 0, NULL, &request) != 0)
        return EX_USAGE;
    sigaction(SIGINT, &on_interrupt, NULL);
    signal(SIGPIPE, SIG_IGN);
    return request.abort ? take_all_back(&request) : stop_all(&request);
}
