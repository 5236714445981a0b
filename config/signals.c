#include "signals.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

/* Not libc's sigabbrev_np: glibc 2.32 and later only. */
static const char names[][8] = {
    [SIGHUP] = "HUP",   [SIGINT] = "INT",       [SIGQUIT] = "QUIT", [SIGILL] = "ILL",
    [SIGTRAP] = "TRAP", [SIGABRT] = "ABRT",     [SIGBUS] = "BUS",   [SIGFPE] = "FPE",
    [SIGKILL] = "KILL", [SIGUSR1] = "USR1",     [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",
    [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM",     [SIGTERM] = "TERM", [SIGSTKFLT] = "STKFLT",
    [SIGCHLD] = "CHLD", [SIGCONT] = "CONT",     [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP",
    [SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU",     [SIGURG] = "URG",   [SIGXCPU] = "XCPU",
    [SIGXFSZ] = "XFSZ", [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH",
    [SIGIO] = "IO",     [SIGPWR] = "PWR",       [SIGSYS] = "SYS",
};
#define NAMES (int)(sizeof names / sizeof names[0])

/* Other names that people know them by. */
static const struct {
    const char *name;
    int signo;
} aliases[] = {{"IOT", SIGABRT}, {"CLD", SIGCHLD}, {"POLL", SIGPOLL}};

/* The first and last real-time signal that programs may use. libc's SIGRTMIN is a call; the kernel
 * begins at 32 and libc keeps two for itself. */
enum { REALTIME_MIN = 34, REALTIME_MAX = 64 };

/* Append a number of at most two digits. */
static void add_number(char *end, unsigned number)
{
    if (number > 9)
        *end++ = (char)('0' + number / 10 % 10);
    *end++ = (char)('0' + number % 10);
    *end = '\0';
}

const char *grace_signal_name(int signo, char buffer[GRACE_SIGNAL_NAME_MAX])
{
    buffer[0] = '\0';
    if (signo <= 0 || signo > REALTIME_MAX)
        return buffer;
    if (signo < NAMES && names[signo][0] != '\0') {
        strcpy(buffer, names[signo]);
    } else if (signo >= REALTIME_MIN) {
        strcpy(buffer, "RTMIN+");
        add_number(buffer + strlen(buffer), (unsigned)(signo - REALTIME_MIN));
    } else {
        add_number(buffer, (unsigned)signo);
    }
    return buffer;
}

/* "+3" behind RTMIN, "-1" behind RTMAX, or nothing; -1 for anything else. */
static int distance(const char *text, char sign)
{
    if (*text == '\0')
        return 0;
    if (*text++ != sign)
        return -1;
    int digits = (int)strspn(text, "0123456789"), steps = 0;
    if (digits == 0 || digits > 2 || text[digits] != '\0')
        return -1;
    for (; *text != '\0'; text++)
        steps = steps * 10 + (*text - '0');
    return steps;
}

static int find_realtime(const char *name)
{
    int steps = -1, signo = 0;
    if (strncasecmp(name, "RTMIN", 5) == 0) {
        steps = distance(name + 5, '+');
        signo = REALTIME_MIN + steps;
    } else if (strncasecmp(name, "RTMAX", 5) == 0) {
        steps = distance(name + 5, '-');
        signo = REALTIME_MAX - steps;
    }
    return steps >= 0 && signo >= REALTIME_MIN && signo <= REALTIME_MAX ? signo : 0;
}

int grace_signal_find(const char *name)
{
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int signo = 1; signo < NAMES; signo++)
        if (names[signo][0] != '\0' && strcasecmp(names[signo], name) == 0)
            return signo;
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcasecmp(aliases[i].name, name) == 0)
            return aliases[i].signo;
    return find_realtime(name);
}

const char *grace_signal_no_delivery(int signo)
{
    switch (signo) {
    case SIGKILL:
    case SIGSTOP:
        return "no program can handle it";
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
        return "it means that an instruction failed, and runtimes use it themselves";
    case SIGABRT:
        return "abort() uses it, and cannot be kept from ending the process";
    default:
        return NULL;
    }
}

const char *grace_signal_no_stop(int signo)
{
    switch (signo) {
    case SIGCHLD:
        return "it comes whenever a child ends";
    case SIGCONT:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return "it belongs to the job control of shells";
    case SIGURG:
        return "by default it does nothing, and runtimes send it to themselves";
    default:
        return grace_signal_no_delivery(signo);
    }
}
