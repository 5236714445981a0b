#include "report.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static void show_link(struct grace_report *report, const char *name)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/%s", report->pid, name);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) {
        grace_report_line(report, "%s: (%m)", name);
        return;
    }
    target[length] = '\0';
    grace_report_line(report, "%s: %s", name, target);
}

/* One argument; a secret in it is not shown. Returns whether the next one is a secret. */
static int show_argument(struct grace_report *report, char *argument, int hidden)
{
    char *value = strchr(argument, '=');
    if (hidden) {
        grace_report_line(report, "  (hidden)");
        return 0;
    }
    if (value != NULL) {
        *value = '\0';
        int secret = grace_report_is_secret(argument) || grace_report_holds_secret(value + 1);
        *value = '=';
        if (secret)
            snprintf(value + 1, sizeof "(hidden)", "(hidden)"); /* copies have room for it */
    }
    grace_report_hide_in_urls(argument);
    grace_report_line(report, "  %s", argument);
    return value == NULL && argument[0] == '-' && grace_report_is_secret(argument);
}

static void show_arguments(struct grace_report *report)
{
    static char text[64 * 1024];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", report->pid);
    FILE *file = fopen(path, "re");
    size_t length = file != NULL ? fread(text, 1, sizeof text - 8, file) : 0;
    if (file != NULL)
        fclose(file);
    text[length] = '\0';
    grace_report_line(report, "arguments:");
    int hidden = 0;
    for (char *at = text, *next; at < text + length; at = next) {
        next = at + strlen(at) + 1;
        char copy[4096];
        snprintf(copy, sizeof copy - sizeof "(hidden)", "%.4000s", at);
        hidden = show_argument(report, copy, hidden);
    }
}

void grace_report_process(struct grace_report *report)
{
    static const char *const fields[] = {
        "Name", "State",  "PPid",   "TracerPid", "Uid",    "Gid",    "FDSize",  "NSpid",  "Threads",
        "SigQ", "SigPnd", "ShdPnd", "SigBlk",    "SigIgn", "SigCgt", "Seccomp", "CapEff", NULL};
    grace_report_section(report, "process");
    show_link(report, "exe");
    show_link(report, "cwd");
    show_link(report, "root");
    show_arguments(report);
    grace_report_file(report, "status", "", fields);
}

void grace_report_memory(struct grace_report *report)
{
    static const char *const fields[] = {"Vm", "Rss", "Huge", NULL};
    grace_report_section(report, "memory");
    grace_report_file(report, "status", "", fields);
    grace_report_line(report, "smaps_rollup:");
    grace_report_file(report, "smaps_rollup", "  ", NULL);
    grace_report_line(report, "of the machine:");
    static const char *const machine[] = {"MemTotal", "MemAvailable", "SwapTotal", "SwapFree",
                                          NULL};
    grace_report_file(report, "/proc/meminfo", "  ", machine);
    grace_report_file(report, "/proc/pressure/memory", "  pressure: ", NULL);
    grace_report_line(report, "oom_score_adj:");
    grace_report_file(report, "oom_score_adj", "  ", NULL);
}

void grace_report_limits(struct grace_report *report)
{
    grace_report_section(report, "limits");
    grace_report_file(report, "limits", "", NULL);
}

/* ---- cgroup -------------------------------------------------------------------------------- */

void grace_report_cgroup(struct grace_report *report)
{
    static const char *const files[] = {"memory.current",  "memory.max", "memory.events",
                                        "memory.pressure", "cpu.max",    "cpu.stat",
                                        "pids.current",    "pids.max"};
    char line[PATH_MAX], path[PATH_MAX + 64];
    grace_report_section(report, "cgroup");
    grace_report_file(report, "cgroup", "", NULL);
    grace_report_read(report, "cgroup", line, sizeof line);
    if (strncmp(line, "0::/", 4) != 0)
        return; /* of version 1, or none */
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", line + 3, files[i]);
        if (access(path, R_OK) != 0)
            continue;
        grace_report_line(report, "%s:", files[i]);
        grace_report_file(report, path, "  ", NULL);
    }
}
