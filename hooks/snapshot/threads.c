#include "report.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS_MAX 2000

/* Calls in which threads wait. */
static const struct {
    long number;
    const char *name;
} calls[] = {
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect6"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_futex, "futex"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
#ifdef SYS_accept
    {SYS_accept, "accept"},
#endif
    {SYS_accept4, "accept4"},
    {SYS_connect, "connect"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendto, "sendto"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_rt_sigsuspend, "rt_sigsuspend"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_flock, "flock"},
    {SYS_fcntl, "fcntl"},
    {SYS_openat, "openat"},
    {SYS_io_getevents, "io_getevents"},
    {SYS_msgrcv, "msgrcv"},
#ifdef SYS_semtimedop
    {SYS_semtimedop, "semtimedop"},
#endif
    {SYS_restart_syscall, "restart_syscall"},
#ifdef SYS_socketcall
    {SYS_socketcall, "a call on a socket"},
    {SYS_ipc, "a call on a queue or semaphore"},
    {SYS__newselect, "select"},
    {SYS_futex_time64, "futex"},
    {SYS_ppoll_time64, "ppoll"},
    {SYS_pselect6_time64, "pselect6"},
    {SYS_clock_nanosleep_time64, "clock_nanosleep"},
    {SYS_rt_sigtimedwait_time64, "rt_sigtimedwait"},
    {SYS_fcntl64, "fcntl"},
#endif
#ifdef SYS_poll
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_pause, "pause"},
    {SYS_open, "open"},
#endif
};

static const char *call_name(const char *line)
{
    char *end;
    long number = strtol(line, &end, 10);
    if (end == line)
        return line[0] != '\0' ? line : "not known"; /* "running" */
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i].number == number)
            return calls[i].name;
    return line;
}

/* State, and user and system time in clock ticks: fields 3, 14 and 15 of stat. */
static void read_stat(const struct grace_report *report, const char *thread, char *state,
                      unsigned long times[2])
{
    char name[64], line[1024];
    snprintf(name, sizeof name, "task/%.20s/stat", thread);
    grace_report_read(report, name, line, sizeof line);
    char *at = strrchr(line, ')');
    *state = '?';
    times[0] = times[1] = 0;
    if (at != NULL)
        sscanf(at, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", state, &times[0],
               &times[1]);
}

static void show_thread(struct grace_report *report, const char *thread)
{
    char name[64], comm[64], wchan[128], call[256], state;
    unsigned long times[2];
    long per_second = sysconf(_SC_CLK_TCK);
    snprintf(name, sizeof name, "task/%.20s/comm", thread);
    grace_report_read(report, name, comm, sizeof comm);
    snprintf(name, sizeof name, "task/%.20s/wchan", thread);
    grace_report_read(report, name, wchan, sizeof wchan);
    snprintf(name, sizeof name, "task/%.20s/syscall", thread);
    grace_report_read(report, name, call, sizeof call);
    read_stat(report, thread, &state, times);
    grace_report_line(report, "%s \"%s\" %c in %s, wchan %s, user %.2fs system %.2fs", thread, comm,
                      state, call_name(call), wchan[0] != '\0' && wchan[0] != '0' ? wchan : "none",
                      (double)times[0] / (double)per_second, (double)times[1] / (double)per_second);
    if (call[0] >= '0' && call[0] <= '9')
        grace_report_line(report, "  syscall %s", call);
    snprintf(name, sizeof name, "task/%.20s/stack", thread);
    grace_report_file(report, name, "  ", NULL);
}

void grace_report_threads(struct grace_report *report)
{
    char path[64];
    unsigned count = 0;
    grace_report_section(report, "threads");
    snprintf(path, sizeof path, "/proc/%d/task", report->pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) {
        grace_report_line(report, "(%m)");
        return;
    }
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        if (entry->d_name[0] != '.' && count++ < THREADS_MAX)
            show_thread(report, entry->d_name);
    closedir(tasks);
    if (count > THREADS_MAX)
        grace_report_line(report, "… and %u more", count - THREADS_MAX);
}
