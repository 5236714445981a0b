/* Starting, signalling and waiting for programs. */
#include "harness.h"
#include "harness_overseer.h"
#include "harness_story.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* ---- in the child, before exec --------------------------------------------------------------- */

/* A child does not go on after a failed set-up: its test would prove nothing. */
static void need(bool done, const char *what)
{
    if (done)
        return;
    dprintf(2, "harness: %s: %s\n", what, strerror(errno));
    _exit(125);
}

/* Signals as a shell would give them, whatever those of this test run are. */
static void reset_signals(int ignored)
{
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, signo == ignored ? SIG_IGN : SIG_DFL);
    /* libc's own, which it leaves alone; posix_spawn, and so make, has 32 ignored in what it
     * starts, and an emulator cannot change that. */
    static const uint64_t by_default[4];
    for (int signo = 32; signo < 34; signo++)
        syscall(SYS_rt_sigaction, signo, by_default, NULL, 8);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void open_as(int descriptor, const char *path, int flags)
{
    int opened = open(path, flags, 0666);
    need(opened >= 0, path);
    need(dup2(opened, descriptor) == descriptor, path);
    if (opened != descriptor)
        close(opened);
}

static void join_terminal(const char *terminal)
{
    need(setsid() >= 0, "setsid");
    open_as(0, terminal, O_RDWR);
    need(ioctl(0, TIOCSCTTY, 0) == 0, "controlling terminal");
}

static void become_user(const struct passwd *user)
{
    need(initgroups(user->pw_name, user->pw_gid) == 0, "initgroups");
    need(setresgid(user->pw_gid, user->pw_gid, user->pw_gid) == 0, "setresgid");
    need(setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == 0, "setresuid");
    setenv("HOME", story_directory(), 1);
}

static void set_preload(const char *library)
{
    if (story.has_config)
        setenv("GRACE_CONFIG", here("grace.conf"), 1);
    if (library != NULL)
        setenv("LD_PRELOAD", library, 1);
}

struct start_data {
    const struct launch *how;
    const struct process *process;
    const struct passwd *user;
    const char *terminal;
    const char *library;
};

static void give_listener(int listener)
{
    if (listener != 3)
        need(dup2(listener, 3) == 3, "dup2");
    need(fcntl(3, F_SETFD, 0) == 0, "fcntl");
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_PID", text("%d", (int)getpid()), 1);
}

static void become_program(const void *start_data)
{
    const struct start_data *data = start_data;
    const struct launch *how = data->how;
    reset_signals(how->ignored);
    struct rlimit core;
    getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = 0; /* a program that wants to may dump one */
    setrlimit(RLIMIT_CORE, &core);
    if (data->terminal != NULL) {
        join_terminal(data->terminal);
    } else {
        need(setpgid(0, 0) == 0, "setpgid");
        open_as(0, "/dev/null", O_RDONLY);
    }
    const int flags = O_WRONLY | O_CREAT | O_APPEND;
    open_as(1, how->discard ? "/dev/null" : here("%s", data->process->out), flags);
    open_as(2, how->discard ? "/dev/null" : here("%s", data->process->err), flags);
    if (data->user != NULL)
        become_user(data->user);
    need(how->directory == NULL || chdir(how->directory) == 0, "chdir");
    set_preload(data->library);
    if (how->listener > 0)
        give_listener(how->listener);
    close_range(how->listener > 0 ? 4 : 3, ~0u, 0);
    if (how->no_stderr)
        close(2);
    execvp(how->argv[0], (char *const *)(uintptr_t)how->argv);
    need(false, how->argv[0]);
    abort();
}

/* ---- starting -------------------------------------------------------------------------------- */

/* libgrace.so, with what belongs to it, where the user can read it. */
static const char *library_for(const struct launch *how)
{
    if (how->way == BARE)
        return NULL;
    if (strncmp(how->argv[0], story.build, strlen(story.build)) != 0 && getenv("PROCESSOR") != NULL)
        skip("there is no %s for %s", how->argv[0], getenv("PROCESSOR"));
    char *library = text("%s/libgrace.so", story.build);
    if (access(library, R_OK) != 0)
        story_fail(__FILE__, __LINE__, "no %s", library);
    if (how->user == NULL)
        return library;
    char *copied = here("libgrace/libgrace.so");
    if (access(copied, R_OK) != 0 &&
        system(text("mkdir -p '%s' && cp -r '%s' '%s/hooks' '%s/grace' '%s'", here("libgrace"),
                    library, story.build, story.build, here("libgrace"))) != 0)
        story_fail(__FILE__, __LINE__, "cannot copy %s", library);
    return copied;
}

static int open_terminal(char *name, size_t size)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0 ||
        ptsname_r(terminal, name, size) != 0)
        story_fail(__FILE__, __LINE__, "no pseudo-terminal: %s", strerror(errno));
    return terminal;
}

static struct process *new_process(const struct launch *how)
{
    if (story.process_count == STORY_PROCESSES)
        story_fail(__FILE__, __LINE__, "more than %d programs in one story", STORY_PROCESSES);
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL)
        abort();
    process->terminal = -1;
    process->title = text("%s", how->way == BARE ? "bare:" : "under libgrace:");
    for (const char *const *word = how->argv; *word != NULL; word++)
        process->title = text("%s %s", process->title, *word);
    process->out = text("%zu.out", story.process_count);
    process->err = text("%zu.err", story.process_count);
    story.processes[story.process_count++] = process;
    return process;
}

const char *namespace_option(void)
{
    if (geteuid() == 0)
        return "--fork";
    if (system("unshare --map-root-user true 2>/dev/null") != 0)
        skip("only root can make a namespace here");
    return "--map-root-user";
}

struct process *launch(const struct launch *how)
{
    struct process *process = new_process(how);
    struct start_data data = {.how = how, .process = process, .library = library_for(how)};
    if (how->user != NULL && geteuid() != 0)
        skip("only root can become another user");
    if (how->user != NULL && (data.user = getpwnam(how->user)) == NULL)
        story_fail(__FILE__, __LINE__, "no user %s", how->user);
    char terminal[64];
    if (how->terminal) {
        process->terminal = open_terminal(terminal, sizeof terminal);
        data.terminal = terminal;
    }
    fflush(NULL);
    if (how->overseen) {
        process->overseer = overseer_start(become_program, &data);
        process->pid = overseer_child(process->overseer);
    } else if ((process->pid = fork()) == 0) {
        become_program(&data);
    }
    if (process->pid < 0)
        story_fail(__FILE__, __LINE__, "fork: %s", strerror(errno));
    process->pidfd = pidfd_open(process->pid, 0);
    if (process->pidfd < 0)
        story_fail(__FILE__, __LINE__, "pidfd_open: %s", strerror(errno));
    if (how->overseen)
        overseer_go(process->overseer);
    return process;
}

void environment(const char *name, const char *value)
{
    if (value == NULL)
        unsetenv(name);
    else
        setenv(name, value, 1);
}

/* ---- signals and ends ------------------------------------------------------------------------ */

void send_signal(struct process *process, int signo)
{
    if (process->ended)
        story_fail(__FILE__, __LINE__, "%s ended before it got signal %d: %s", process->title,
                   signo, status_words(process->status));
    if (kill(process->pid, signo) != 0)
        story_fail(__FILE__, __LINE__, "kill: %s", strerror(errno));
}

void type_interrupt(struct process *process)
{
    if (write(process->terminal, "\003", 1) != 1)
        story_fail(__FILE__, __LINE__, "cannot type: %s", strerror(errno));
}

void story_note_end(pid_t pid, int status)
{
    for (size_t i = 0; i < story.process_count; i++) {
        struct process *process = story.processes[i];
        if (process->pid != pid || process->ended)
            continue;
        process->ended = true;
        process->status = status;
    }
}

/* The status of one that somebody else waits for. */
#define NOT_OURS (-1)

/* Wait at most so long for its end. */
static bool ends_within(struct process *process, int milliseconds)
{
    struct pollfd ends = {.fd = process->pidfd, .events = POLLIN};
    if (!process->ended && poll(&ends, 1, milliseconds) == 1) {
        int status = process->overseer != NULL ? overseer_status(process->overseer) : NOT_OURS;
        if (process->overseer == NULL && waitpid(process->pid, &status, 0) < 0 && errno != ECHILD)
            return false;
        if (process->overseer == NULL || status >= 0)
            story_note_end(process->pid, status);
    }
    return process->ended;
}

bool has_ended(struct process *process)
{
    return ends_within(process, 0);
}

int wait_end(struct process *process)
{
    for (int64_t since = now_ms(); !ends_within(process, STORY_LIMIT_MS);)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%s does not end", process->title);
    return process->status;
}

void wait_ready(struct process *process)
{
    for (int64_t since = now_ms(); strstr(contents(process->out), "ready\n") == NULL;) {
        if (has_ended(process) && strstr(contents(process->out), "ready\n") == NULL)
            story_fail(__FILE__, __LINE__, "%s ended before it was ready", process->title);
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%s is not ready", process->title);
    }
}

static bool task_sleeps(const char *path)
{
    char stat[256] = "";
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    stat[fread(stat, 1, sizeof stat - 1, file)] = '\0';
    fclose(file);
    const char *end = strrchr(stat, ')');
    return end != NULL && end[2] == 'S';
}

void wait_asleep(const struct process *process)
{
    bool asleep = false;
    for (int64_t since = now_ms(); !asleep;) {
        DIR *tasks = opendir(text("/proc/%d/task", (int)process->pid));
        expect(tasks != NULL);
        asleep = true;
        for (struct dirent *task; (task = readdir(tasks)) != NULL;)
            if (task->d_name[0] != '.' &&
                !task_sleeps(text("/proc/%d/task/%s/stat", (int)process->pid, task->d_name)))
                asleep = false;
        closedir(tasks);
        if (!asleep && !look_again(since))
            story_fail(__FILE__, __LINE__, "%s does not sleep", process->title);
    }
}

/* Each child of this process in a line of its own: /proc/PID/stat, and where it waits. */
static const char *children(void)
{
    const char *list = "";
    char pids[4096], *at = pids, *pid;
    snprintf(pids, sizeof pids, "%s", contents(text("/proc/self/task/%d/children", getpid())));
    while ((pid = strsep(&at, " \n")) != NULL)
        if (*pid != '\0')
            list = text("%s%s in %s\n", list, contents(text("/proc/%s/stat", pid)),
                        contents(text("/proc/%s/wchan", pid)));
    return list;
}

void wait_all_gone(void)
{
    for (int64_t since = now_ms();;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == ECHILD)
            return;
        if (pid > 0)
            story_note_end(pid, status);
        else if (!look_again(since))
            story_fail(__FILE__, __LINE__, "still alive, guardian %d and:\n%s", guardian_pid(),
                       children());
    }
}
