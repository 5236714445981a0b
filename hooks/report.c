#include "report.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "config/signals.h"
#include "kernel.h"
#include "log.h"

/* Durations for people: "12ms", "3.4s". */
static void add_duration(struct grace_log_line *line, uint64_t microseconds)
{
    uint64_t ms = microseconds / 1000;
    if (ms < 1000)
        grace_log_say(line, "%llums", (unsigned long long)ms);
    else
        grace_log_say(line, "%llu.%llus", (unsigned long long)(ms / 1000),
                      (unsigned long long)(ms % 1000 / 100));
}

static void add_signal(struct grace_log_line *line, int signo)
{
    char name[GRACE_SIGNAL_NAME_MAX];
    grace_signal_name(signo, name);
    bool has_name = name[0] < '0' || name[0] > '9';
    grace_log_say(line, has_name ? "SIG%s" : "signal %s", name);
}

/* The command name of a process, as ps shows it. */
static void add_command(struct grace_log_line *line, int pid)
{
    char path[32], name[32];
    struct grace_text text;
    grace_text_start(&text, path, sizeof path);
    grace_text_format(&text, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t length = read(fd, name, sizeof name - 1);
    close(fd);
    if (length <= 0)
        return;
    if (name[length - 1] == '\n')
        length--;
    name[length] = '\0';
    grace_log_say(line, " (%s)", name);
    grace_log_field(line, "sender_command", name);
}

static void add_cause(struct grace_log_line *line, const struct grace_report_begin *begin)
{
    switch (begin->cause) {
    case GRACE_CAUSE_SIGNAL:
        add_signal(line, begin->signo);
        break;
    case GRACE_CAUSE_CRASH:
    case GRACE_CAUSE_KILLED:
        grace_log_say(line, begin->signo != 0 ? "%s by " : "%s", grace_cause_name(begin->cause));
        if (begin->signo != 0)
            add_signal(line, begin->signo);
        break;
    case GRACE_CAUSE_RETURN:
        grace_log_say(line, "main returned");
        break;
    default:
        grace_log_say(line, "%s", grace_cause_name(begin->cause));
    }
    if (begin->cause != GRACE_CAUSE_SIGNAL && begin->status >= 0)
        grace_log_say(line, " with status %d", begin->status);
}

void grace_report_begin(const struct grace_report_begin *begin)
{
    struct grace_log_line line;
    if (!grace_log_wants(GRACE_LOG_INFO))
        return;
    grace_log_begin(&line, GRACE_LOG_INFO, "stop-begin");
    grace_log_say(&line, begin->ended ? "ended: " : "stopping: ");
    add_cause(&line, begin);
    grace_log_field(&line, "cause", grace_cause_name(begin->cause));
    if (begin->signo != 0)
        grace_log_number(&line, "signal", begin->signo);
    if (begin->status >= 0)
        grace_log_number(&line, "status", begin->status);
    if (begin->sender_pid > 0) {
        grace_log_number(&line, "sender_pid", begin->sender_pid);
        grace_log_number(&line, "sender_uid", begin->sender_uid);
        if (begin->sender_pid == grace_getpid()) {
            grace_log_say(&line, " from itself");
        } else {
            grace_log_say(&line, " from pid %d", begin->sender_pid);
            add_command(&line, begin->sender_pid);
            grace_log_say(&line, ", uid %d", begin->sender_uid);
        }
    } else if (begin->sender_uid >= 0) {
        grace_log_say(&line, " from outside its pid namespace, uid %d", begin->sender_uid);
    } else if (begin->cause == GRACE_CAUSE_SIGNAL && !begin->ended) {
        grace_log_say(&line, " from the kernel or a terminal");
    }
    if (begin->hooks == 0)
        grace_log_say(&line, "; no hooks");
    else
        grace_log_say(&line, begin->hooks == 1 ? "; %zu hook to run" : "; %zu hooks to run",
                      begin->hooks);
    grace_log_number(&line, "hooks", (int64_t)begin->hooks);
    grace_log_end(&line);
}

static const char *outcome_name(enum grace_outcome outcome)
{
    switch (outcome) {
    case GRACE_OUTCOME_DONE:
        return "done";
    case GRACE_OUTCOME_STATUS:
        return "exit-status";
    case GRACE_OUTCOME_SIGNAL:
        return "signal";
    case GRACE_OUTCOME_TIMEOUT:
        return "timeout";
    case GRACE_OUTCOME_NOT_STARTED:
        return "not-started";
    case GRACE_OUTCOME_ERROR:
        return "error";
    case GRACE_OUTCOME_ENDED:
        return "ended";
    case GRACE_OUTCOME_SKIPPED:
        return "skipped";
    }
    return "unknown";
}

static void add_failure(struct grace_log_line *line, enum grace_outcome outcome, int detail,
                        const char *error)
{
    switch (outcome) {
    case GRACE_OUTCOME_STATUS:
        grace_log_say(line, "failed: exit status %d", detail);
        break;
    case GRACE_OUTCOME_SIGNAL:
        grace_log_say(line, "failed: ended by ");
        add_signal(line, detail);
        break;
    case GRACE_OUTCOME_TIMEOUT:
        grace_log_say(line, "failed: not done in time, given up");
        break;
    case GRACE_OUTCOME_NOT_STARTED:
        grace_log_say(line, "failed: cannot be started: %s",
                      error != NULL && error[0] != '\0' ? error : strerrordesc_np(detail));
        break;
    case GRACE_OUTCOME_ENDED:
        grace_log_say(line, "failed: it ended its thread or process (status %d)", detail);
        break;
    default:
        grace_log_say(line, "failed: %s",
                      error != NULL && error[0] != '\0' ? error : "no reason given");
    }
}

void grace_report_hook(const struct grace_hook_plan *hook, enum grace_outcome outcome, int detail,
                       uint64_t duration_us, uint32_t attempts, const char *error)
{
    struct grace_log_line line;
    bool done = outcome == GRACE_OUTCOME_DONE;
    enum grace_log_level level = done ? GRACE_LOG_INFO : GRACE_LOG_WARNING;
    if (!grace_log_wants(level))
        return;
    grace_log_begin(&line, level, "hook");
    grace_log_say(&line, "hook \"%s\" (%s) ", hook->name, grace_phase_name(hook->phase));
    if (done)
        grace_log_say(&line, "done");
    else
        add_failure(&line, outcome, detail, error);
    grace_log_say(&line, done ? " in " : " after ");
    add_duration(&line, duration_us);
    if (attempts > 1)
        grace_log_say(&line, ", %u tries", (unsigned)attempts);
    grace_log_field(&line, "hook", hook->name);
    grace_log_field(&line, "phase", grace_phase_name(hook->phase));
    grace_log_field(&line, "result", outcome_name(outcome));
    if (!done)
        grace_log_number(&line, "detail", detail);
    grace_log_number(&line, "duration_us", (int64_t)duration_us);
    grace_log_number(&line, "attempts", attempts);
    grace_log_end(&line);
}

void grace_report_skipped(const struct grace_hook_plan *hook, const char *why)
{
    struct grace_log_line line;
    grace_log_begin(&line, GRACE_LOG_WARNING, "hook");
    grace_log_say(&line, "hook \"%s\" (%s) not run: %s", hook->name, grace_phase_name(hook->phase),
                  why);
    grace_log_field(&line, "hook", hook->name);
    grace_log_field(&line, "phase", grace_phase_name(hook->phase));
    grace_log_field(&line, "result", outcome_name(GRACE_OUTCOME_SKIPPED));
    grace_log_field(&line, "reason", why);
    grace_log_end(&line);
}

void grace_report_end(const struct grace_report_end *end)
{
    struct grace_log_line line;
    grace_log_begin(&line, GRACE_LOG_INFO, "stop-end");
    grace_log_say(&line, "stopped after ");
    add_duration(&line, end->duration_us);
    grace_log_say(&line, ": %u done, %u failed, %u not run; %s", end->done, end->failed,
                  end->skipped, end->then);
    grace_log_number(&line, "duration_us", (int64_t)end->duration_us);
    grace_log_number(&line, "done", end->done);
    grace_log_number(&line, "failed", end->failed);
    grace_log_number(&line, "skipped", end->skipped);
    grace_log_end(&line);
}
