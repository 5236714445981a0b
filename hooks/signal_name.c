#include "signal_name.h"

#include <signal.h>
#include <string.h>

#include "text.h"

/* Not libc's sigabbrev_np: glibc 2.32 and later only. */
static const char *const names[] = {
    [SIGHUP] = "HUP",   [SIGINT] = "INT",       [SIGQUIT] = "QUIT", [SIGILL] = "ILL",
    [SIGTRAP] = "TRAP", [SIGABRT] = "ABRT",     [SIGBUS] = "BUS",   [SIGFPE] = "FPE",
    [SIGKILL] = "KILL", [SIGUSR1] = "USR1",     [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",
    [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM",     [SIGTERM] = "TERM", [SIGSTKFLT] = "STKFLT",
    [SIGCHLD] = "CHLD", [SIGCONT] = "CONT",     [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP",
    [SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU",     [SIGURG] = "URG",   [SIGXCPU] = "XCPU",
    [SIGXFSZ] = "XFSZ", [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH",
    [SIGIO] = "IO",     [SIGPWR] = "PWR",       [SIGSYS] = "SYS",
};

/* The first and last real-time signal that programs may use. libc's SIGRTMIN is a call; the kernel
 * begins at 32 and libc keeps two for itself. */
enum { REALTIME_MIN = 34, REALTIME_MAX = 64 };

const char *grace_signal_name(int signo, char buffer[GRACE_SIGNAL_NAME_MAX])
{
    struct grace_text text;
    grace_text_start(&text, buffer, GRACE_SIGNAL_NAME_MAX);
    if (signo > 0 && (size_t)signo < sizeof names / sizeof names[0] && names[signo] != NULL)
        grace_text_add(&text, names[signo]);
    else if (signo >= REALTIME_MIN && signo <= REALTIME_MAX)
        grace_text_format(&text, "RTMIN+%d", signo - REALTIME_MIN);
    else if (signo != 0)
        grace_text_add_signed(&text, signo);
    return buffer;
}

int grace_signal_number(const char *name)
{
    char candidate[GRACE_SIGNAL_NAME_MAX];
    for (int signo = 1; signo <= REALTIME_MAX; signo++) {
        if (strcmp(grace_signal_name(signo, candidate), name) == 0)
            return signo;
    }
    return 0;
}
