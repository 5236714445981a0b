#include "signals.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct name {
    const char *name;
    int signo;
};

/* Names beside those that libc gives. */
static const struct name aliases[] = {{"IOT", SIGABRT}, {"CLD", SIGCHLD}, {"IO", SIGIO}};

/* "+3" behind RTMIN, "-1" behind RTMAX, or nothing; -1 for anything else. */
static int distance(const char *text, char sign)
{
    if (*text == '\0')
        return 0;
    size_t digits = strspn(text + 1, "0123456789");
    if (*text != sign || digits == 0 || digits > 2 || text[1 + digits] != '\0')
        return -1;
    return atoi(text + 1);
}

static int find_realtime(const char *name)
{
    int steps = -1, signo = 0;
    if (strncasecmp(name, "RTMIN", 5) == 0) {
        steps = distance(name + 5, '+');
        signo = SIGRTMIN + steps;
    } else if (strncasecmp(name, "RTMAX", 5) == 0) {
        steps = distance(name + 5, '-');
        signo = SIGRTMAX - steps;
    }
    return steps >= 0 && signo >= SIGRTMIN && signo <= SIGRTMAX ? signo : 0;
}

int grace_signal_find(const char *name)
{
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int signo = 1; signo < SIGRTMIN; signo++) {
        const char *known = sigabbrev_np(signo);
        if (known != NULL && strcasecmp(known, name) == 0)
            return signo;
    }
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcasecmp(aliases[i].name, name) == 0)
            return aliases[i].signo;
    return find_realtime(name);
}

const char *grace_signal_show(int signo, char *buffer, size_t size)
{
    const char *known = sigabbrev_np(signo);
    if (known != NULL)
        snprintf(buffer, size, "%s", known);
    else if (signo == SIGRTMIN)
        snprintf(buffer, size, "RTMIN");
    else
        snprintf(buffer, size, "RTMIN+%d", signo - SIGRTMIN);
    return buffer;
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
