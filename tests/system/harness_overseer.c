#include "harness_overseer.h"
#include "harness.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Shared with the process that it is. */
struct overseer {
    pid_t pid;
    _Atomic pid_t child;
    _Atomic bool go;
    _Atomic int status;
    char heard[4096];
};

/* ---- the process ----------------------------------------------------------------------------- */

static struct overseer *self;
static volatile sig_atomic_t over, continued;

static void hear(const char *line)
{
    size_t length = strlen(self->heard);
    snprintf(self->heard + length, sizeof self->heard - length, "%s", line);
}

static const char *which(pid_t pid)
{
    return pid == self->child ? "the program" : "another child";
}

static const char *code_words(int code)
{
    static const char *const words[] = {
        [CLD_EXITED] = "exited",   [CLD_KILLED] = "killed",   [CLD_DUMPED] = "dumped",
        [CLD_TRAPPED] = "trapped", [CLD_STOPPED] = "stopped", [CLD_CONTINUED] = "continued"};
    return code >= CLD_EXITED && code <= CLD_CONTINUED ? words[code] : "of no child";
}

/* Only while it waits in sigsuspend. */
static void on_child(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    continued |= info->si_code == CLD_CONTINUED;
    hear(text("SIGCHLD: %s %s %d\n", which(info->si_pid), code_words(info->si_code),
              info->si_status));
}

static void on_end(int signo)
{
    (void)signo;
    over = 1;
}

/* That a child was continued is to be had a moment before its SIGCHLD. */
static void wait_for_any(void)
{
    int status, which_too = continued ? WCONTINUED : 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, __WALL | WNOHANG | WUNTRACED | which_too)) > 0) {
        hear(text("waited for %s: %s\n", which(pid), status_words(status)));
        if (pid == self->child && (WIFEXITED(status) || WIFSIGNALED(status)))
            atomic_store(&self->status, status);
    }
    if (over)
        hear(pid < 0 && errno == ECHILD ? "no child is left\n" : "a child is left\n");
}

_Noreturn static void oversee(void (*become)(const void *data), const void *data)
{
    sigset_t blocked, none;
    struct sigaction child = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    struct sigaction end = {.sa_handler = on_end};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    sigaction(SIGCHLD, &child, NULL);
    sigaction(SIGTERM, &end, NULL);
    pid_t pid = fork();
    if (pid == 0)
        become(data);
    atomic_store(&self->child, pid);
    while (!self->go)
        let_pass(1);
    while (!over) {
        sigsuspend(&none);
        wait_for_any();
    }
    _exit(0);
}

/* ---- for the story --------------------------------------------------------------------------- */

struct overseer *overseer_start(void (*become)(const void *data), const void *data)
{
    struct overseer *overseer =
        mmap(NULL, sizeof *overseer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    expect(overseer != MAP_FAILED);
    overseer->status = -1;
    self = overseer;
    pid_t pid = fork();
    if (pid == 0)
        oversee(become, data);
    expect(pid > 0);
    overseer->pid = pid;
    for (int64_t since = now_ms(); overseer->child == 0; let_pass(1))
        expect(now_ms() - since < STORY_LIMIT_MS);
    expect(overseer->child > 0);
    return overseer;
}

pid_t overseer_child(const struct overseer *overseer)
{
    return overseer->child;
}

void overseer_go(struct overseer *overseer)
{
    overseer->go = true;
}

int overseer_status(const struct overseer *overseer)
{
    return overseer->status;
}

void overseer_await(const struct overseer *overseer, const char *words)
{
    for (int64_t since = now_ms(); strstr(overseer->heard, words) == NULL; let_pass(1))
        expect(now_ms() - since < STORY_LIMIT_MS, "\"%s\" in\n%s", words, overseer->heard);
}

const char *overseer_end(struct overseer *overseer)
{
    int status;
    expect(kill(overseer->pid, SIGTERM) == 0);
    expect(waitpid(overseer->pid, &status, 0) == overseer->pid);
    expect_status(status, EXITED(0));
    const char *heard = text("%s", overseer->heard);
    munmap(overseer, sizeof *overseer);
    return heard;
}
