#include "init_terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void grace_terminal_open(struct grace_terminal *terminal)
{
    terminal->fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    terminal->foreground = terminal->fd >= 0 && tcgetpgrp(terminal->fd) == getpgrp();
}

void grace_terminal_enter(const struct grace_terminal *terminal)
{
    setpgid(0, 0);
    if (terminal->foreground)
        tcsetpgrp(terminal->fd, getpid());
}

static pid_t parent_of(pid_t pid)
{
    char path[32], text[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *end = strrchr(text, ')');
    return end != NULL && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* A shell above us, in our session and not in our group, can; there may be a script in between,
 * which is of our group. */
static bool somebody_can_resume_us(void)
{
    pid_t ancestor = getpid() != 1 ? getppid() : 0;
    while (ancestor > 1 && getpgid(ancestor) == getpgrp())
        ancestor = parent_of(ancestor);
    return ancestor > 0 && getsid(ancestor) == getsid(0) && getpgid(ancestor) != getpgrp();
}

void grace_terminal_tell_group(int signo)
{
    const struct timespec now = {0, 0};
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signo);
    kill(0, signo);
    sigtimedwait(&only, NULL, &now); /* our own */
}

/* A SIGCONT that comes in between takes the pending stop away, as it should: a SIGSTOP afterwards
 * would take the SIGCONT away, and nobody would send another. */
static void stop_with_group(void)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGTSTP);
    signal(SIGTSTP, SIG_DFL);
    kill(0, SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    sigprocmask(SIG_BLOCK, &only, NULL);
}

void grace_terminal_stopped(const struct grace_terminal *terminal, pid_t group, int signo)
{
    if (!somebody_can_resume_us()) {
        if (signo == SIGTSTP)
            kill(-group, SIGCONT);
        return;
    }
    if (signo == SIGTSTP && terminal->fd >= 0 && tcgetpgrp(terminal->fd) == group)
        stop_with_group();
    else
        raise(SIGSTOP);
    /* The shell has taken the terminal as soon as it saw us stopped. */
}

void grace_terminal_resumed(const struct grace_terminal *terminal, pid_t group)
{
    if (terminal->fd >= 0 && tcgetpgrp(terminal->fd) == getpgrp())
        tcsetpgrp(terminal->fd, group);
    kill(-group, SIGCONT);
}

bool grace_terminal_take_back(const struct grace_terminal *terminal, pid_t group)
{
    if (terminal->fd < 0 || tcgetpgrp(terminal->fd) != group)
        return false;
    tcsetpgrp(terminal->fd, getpgrp());
    return true;
}
