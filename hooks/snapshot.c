/*
 * The plugin "snapshot": writes down what the program was doing, for whoever asks afterwards.
 *
 *     { name = "snapshot"; phase = "announce"; plugin = "snapshot";
 *       options = { to = "/var/log/legacyd"; }; }
 *
 * A target that hangs is seen before it is killed at the deadline: GRACE_HOOK_BEFORE_KILL.
 */
#include "hooks/grace_hook.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "snapshot/report.h"

/* What is kept of the hook's time when stacks are taken. */
#define RESERVE_MS 500

struct snapshot {
    const char *to;
    const char *environment; /* "names", "values", "none" */
    int64_t keep, log_lines, stacks_limit_ms;
    int stacks;
};

/* ---- options ------------------------------------------------------------------------------- */

static int check(const struct snapshot *snapshot, struct grace_error *error)
{
    if (snapshot->to == NULL)
        return grace_error_set(error, "option \"to\" is missing; expected a folder for reports");
    if (snapshot->to[0] != '/')
        return grace_error_set(error, "option \"to\" is \"%.200s\"; expected an absolute path",
                               snapshot->to);
    if (snapshot->keep < 1 || snapshot->keep > 100000)
        return grace_error_set(error, "option \"keep\" is %lld; expected 1 to 100000",
                               (long long)snapshot->keep);
    if (snapshot->log_lines < 0 || snapshot->log_lines > 100000)
        return grace_error_set(error, "option \"log_lines\" is %lld; expected 0 to 100000",
                               (long long)snapshot->log_lines);
    if (strcmp(snapshot->environment, "names") != 0 &&
        strcmp(snapshot->environment, "values") != 0 && strcmp(snapshot->environment, "none") != 0)
        return grace_error_set(error,
                               "option \"environment\" is \"%.100s\"; expected \"names\", "
                               "\"values\" or \"none\"",
                               snapshot->environment);
    return 0;
}

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return grace_error_set(error, "out of memory");
    *snapshot = (struct snapshot){
        .to = grace_option_string(options, "to", NULL),
        .environment = grace_option_string(options, "environment", "names"),
        .keep = grace_option_int(options, "keep", 10),
        .log_lines = grace_option_int(options, "log_lines", 50),
        .stacks = grace_option_bool(options, "stacks", 1),
        .stacks_limit_ms = grace_option_duration_ms(options, "stacks_limit", 2000),
    };
    if (check(snapshot, error) != 0) {
        free(snapshot);
        return -1;
    }
    *state = snapshot;
    return 0;
}

/* ---- the file ------------------------------------------------------------------------------ */

/* The program's name as the begin of a file's. */
static void file_stem(const char *program, char *stem, size_t size)
{
    size_t length = 0;
    for (; *program != '\0' && length + 1 < size; program++)
        stem[length++] =
            isalnum((unsigned char)*program) || strchr("._+", *program) != NULL ? *program : '_';
    stem[length] = '\0';
}

/* Whether a file's name is STEM-YYYYMMDDTHHMMSSZ-PID.txt, so that it is ours to remove. */
static int is_report(const char *name, const char *stem)
{
    size_t length = strlen(stem);
    if (strncmp(name, stem, length) != 0)
        return 0;
    name += length;
    for (const char *expected = "-ddddddddTddddddZ-d"; *expected != '\0'; expected++, name++)
        if (*expected == 'd' ? !isdigit((unsigned char)*name) : *name != *expected)
            return 0;
    name += strspn(name, "0123456789-");
    return strcmp(name, ".txt") == 0;
}

static int open_report(int folder, const char *stem, const struct grace_stop *stop, char *name,
                       size_t size)
{
    char stamp[32];
    struct tm parts;
    time_t now = time(NULL);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    for (int again = 0; again < 100; again++) {
        snprintf(name, size, again == 0 ? "%s-%s-%d.txt" : "%s-%s-%d-%d.txt", stem, stamp,
                 (int)stop->pid, again);
        int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* The oldest are those whose names come first: all of them begin with the time. */
static void remove_old(int folder, const char *stem, int64_t keep)
{
    struct dirent **entries;
    int count = scandirat(folder, ".", &entries, NULL, alphasort);
    int64_t reports = 0;
    for (int i = 0; i < count; i++)
        reports += is_report(entries[i]->d_name, stem);
    for (int i = 0; i < count; i++) {
        if (reports > keep && is_report(entries[i]->d_name, stem)) {
            unlinkat(folder, entries[i]->d_name, 0);
            reports--;
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

/* ---- sections ------------------------------------------------------------------------------ */

static void show_stop(struct grace_report *report)
{
    const struct grace_stop *stop = report->stop;
    char stamp[64], comm[64], name[64];
    struct tm parts;
    time_t now = time(NULL);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    grace_report_section(report, "stop");
    grace_report_line(report, "program: %s", stop->program);
    grace_report_line(report, "pid: %d%s", (int)stop->pid,
                      stop->gone ? " (it has ended: what only a living process shows is missing)"
                                 : "");
    grace_report_line(report, "time: %s, %lld ms after the stop began", stamp,
                      (long long)stop->duration_ms);
    grace_report_line(report, "cause: %s", stop->cause);
    if (stop->signo > 0) {
        const char *abbreviation = sigabbrev_np(stop->signo);
        grace_report_line(report, "signal: %s (%d)", abbreviation != NULL ? abbreviation : "?",
                          (int)stop->signo);
    }
    if (stop->exit_status >= 0)
        grace_report_line(report, "exit status: %d", (int)stop->exit_status);
    if (stop->sender_pid > 0) {
        snprintf(name, sizeof name, "/proc/%d/comm", (int)stop->sender_pid);
        grace_report_read(report, name, comm, sizeof comm);
        grace_report_line(report, "sender: pid %d (%s), uid %d", (int)stop->sender_pid,
                          comm[0] != '\0' ? comm : "gone", (int)stop->sender_uid);
    }
    grace_report_line(report, "core dump: %s", stop->core_dumped ? "yes" : "no");
    grace_report_line(report, "hook: %s, phase %s, try %d", stop->hook, stop->phase,
                      (int)stop->attempt);
    grace_report_line(report, "hooks so far: %u done, %u failed, %u not run", stop->hooks_done,
                      stop->hooks_failed, stop->hooks_skipped);
    grace_report_line(report, "connections so far: %u finished, %u cut", stop->connections_finished,
                      stop->connections_cut);
}

static void show_variable(struct grace_report *report, char *variable, int values)
{
    char *value = strchr(variable, '=');
    if (value == NULL)
        return;
    *value++ = '\0';
    if (!values) {
        grace_report_line(report, "%s", variable);
    } else if (grace_report_is_secret(variable) || grace_report_holds_secret(value)) {
        grace_report_line(report, "%s=(hidden)", variable);
    } else {
        grace_report_hide_in_urls(value);
        grace_report_line(report, "%s=%s", variable, value);
    }
}

/* As at its start: what it has set since then only it knows. */
static void show_environment(struct grace_report *report, const char *how)
{
    static char text[256 * 1024];
    char path[64];
    if (strcmp(how, "none") == 0)
        return;
    grace_report_section(report, strcmp(how, "names") == 0 ? "environment at its start (names)"
                                                           : "environment at its start");
    snprintf(path, sizeof path, "/proc/%d/environ", report->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        grace_report_line(report, "(%m)");
        return;
    }
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    for (char *at = text, *next; at < text + length; at = next) {
        next = at + strlen(at) + 1;
        show_variable(report, at, strcmp(how, "values") == 0);
    }
}

/* The last lines of libgrace's log, as far as its last 256 KiB hold them. */
static void show_log(struct grace_report *report, int64_t lines)
{
    static char text[256 * 1024];
    const char *path = GRACE_STOP_HAS(report->stop, log_file) ? report->stop->log_file : NULL;
    if (path == NULL || lines == 0)
        return;
    grace_report_section(report, "last lines of libgrace's log");
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        grace_report_line(report, "(%s: %m)", path);
    } else {
        off_t begin =
            about.st_size > (off_t)sizeof text - 1 ? about.st_size - (off_t)sizeof text + 1 : 0;
        ssize_t length = pread(fd, text, sizeof text - 1, begin);
        text[length > 0 ? length : 0] = '\0';
        char *at = text + (length > 0 ? length : 0);
        for (int64_t left = lines; at > text; at--)
            if (at[-1] == '\n' && at[0] != '\0' && --left == 0)
                break;
        fputs(at, report->out);
    }
    if (fd >= 0)
        close(fd);
}

static void show_all(struct grace_report *report, const struct snapshot *snapshot)
{
    const struct grace_stop *stop = report->stop;
    fprintf(report->out, "libgrace snapshot of %s[%d]\n", stop->program, (int)stop->pid);
    show_stop(report);
    /* The number of a process that is gone may be another one's. */
    if (!stop->gone) {
        grace_report_process(report);
        grace_report_threads(report);
        grace_report_files(report);
        grace_report_memory(report);
        grace_report_limits(report);
        grace_report_cgroup(report);
        show_environment(report, snapshot->environment);
    }
    show_log(report, snapshot->log_lines);
    if (!stop->gone && snapshot->stacks) {
        int64_t left = grace_stop_remaining_ms(stop) - RESERVE_MS;
        grace_report_stacks(report,
                            left < snapshot->stacks_limit_ms ? left : snapshot->stacks_limit_ms);
    }
    grace_report_section(report, "end");
}

/* ---- the work ------------------------------------------------------------------------------ */

static int write_report(const struct snapshot *snapshot, int folder, const char *stem,
                        const struct grace_stop *stop, struct grace_error *error)
{
    char name[NAME_MAX + 1], line[PATH_MAX + NAME_MAX + 32];
    int fd = open_report(folder, stem, stop, name, sizeof name);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out == NULL)
        return grace_error_set(error, "cannot write to %s: %m", snapshot->to);
    struct grace_report report = {out, stop->pid, stop};
    show_all(&report, snapshot);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed)
        return grace_error_set(error, "cannot write %s/%s: %m", snapshot->to, name);
    snprintf(line, sizeof line, "%s/%s", snapshot->to, name);
    grace_stop_log(stop, GRACE_HOOK_INFO, line);
    return 0;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct snapshot *snapshot = state;
    char stem[128];
    if (!GRACE_STOP_HAS(stop, connections_cut))
        return grace_error_set(error, "this libgrace is too old to tell what is to be shown");
    if (mkdir(snapshot->to, 0700) != 0 && errno != EEXIST)
        return grace_error_set(error, "cannot make folder %s: %m", snapshot->to);
    int folder = open(snapshot->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return grace_error_set(error, "cannot open folder %s: %m", snapshot->to);
    file_stem(stop->program, stem, sizeof stem);
    int result = write_report(snapshot, folder, stem, stop, error);
    if (result == 0)
        remove_old(folder, stem, snapshot->keep);
    close(folder);
    return result;
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_EXTERNAL | GRACE_HOOK_BEFORE_KILL,
    0,
    "snapshot",
    "writes down what the program was doing",
    configure,
    run,
    release,
};
