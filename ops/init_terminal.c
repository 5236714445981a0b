#include "init_terminal.h"

#include <fcntl.h>
#include <signal.h>
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

/* A shell above us, in our session and not in our group, can. */
static bool somebody_can_resume_us(void)
{
    pid_t parent = getppid();
    return getpid() != 1 && parent > 0 && getsid(parent) == getsid(0) &&
           getpgid(parent) != getpgrp();
}

void grace_terminal_stopped(const struct grace_terminal *terminal, pid_t group, int signo)
{
    (void)terminal; /* the shell takes it as soon as it sees us stopped */
    if (somebody_can_resume_us())
        raise(SIGSTOP);
    else if (signo == SIGTSTP)
        kill(-group, SIGCONT);
}

void grace_terminal_resumed(const struct grace_terminal *terminal, pid_t group)
{
    if (terminal->fd >= 0 && tcgetpgrp(terminal->fd) == getpgrp())
        tcsetpgrp(terminal->fd, group);
    kill(-group, SIGCONT);
}

void grace_terminal_take_back(const struct grace_terminal *terminal, pid_t group)
{
    if (terminal->fd >= 0 && tcgetpgrp(terminal->fd) == group)
        tcsetpgrp(terminal->fd, getpgrp());
}
