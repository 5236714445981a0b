/*
 * A target that sends a signal to itself, in every way that there is, and looks whether its handler
 * has run when the call returns.
 *
 *     sender main SIGNO      the only thread
 *     sender thread SIGNO    the only thread that does not block the signal
 */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int chosen;
static volatile sig_atomic_t calls, code, value;
static sigset_t only;

static void say(const char *format, ...)
{
    char words[256];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(words, sizeof words, format, list);
    va_end(list);
    if (write(1, words, (size_t)length) != length)
        _exit(99);
}

static void handle(int signo, siginfo_t *info, void *context)
{
    calls += signo == chosen && context != NULL;
    code = info->si_code;
    value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
}

/* Sends it while it is blocked, and lets it in. */
static int unblock(void)
{
    pthread_sigmask(SIG_BLOCK, &only, NULL);
    int result = kill(getpid(), chosen);
    say("blocked: %d calls\n", (int)calls);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    return result;
}

static int release(void)
{
    sighold(chosen);
    int result = raise(chosen);
    sigrelse(chosen);
    return result;
}

static void raise_it(int signo)
{
    if (signo == SIGUSR1)
        raise(chosen); /* blocked here: comes as this handler returns */
}

static int nested(void)
{
    struct sigaction action = {.sa_handler = raise_it, .sa_mask = only};
    sigaction(SIGUSR1, &action, NULL);
    return raise(SIGUSR1);
}

/* The kernel lets both in at once, and calls the second one's handler first. */
static int together(void)
{
    sigset_t both = only;
    sigaddset(&both, SIGUSR1);
    signal(SIGUSR1, raise_it);
    pthread_sigmask(SIG_BLOCK, &both, NULL);
    raise(SIGUSR1);
    int result = raise(chosen);
    pthread_sigmask(SIG_UNBLOCK, &both, NULL);
    return result;
}

static int send(const char *way)
{
    union sigval sent = {.sival_int = 42};
#define IS(name) (strcmp(way, name) == 0)
    if (IS("raise"))
        return raise(chosen);
    if (IS("kill"))
        return kill(getpid(), chosen);
    if (IS("kill-0"))
        return kill(0, chosen);
    if (IS("kill-group"))
        return kill(-getpgrp(), chosen);
    if (IS("killpg"))
        return killpg(0, chosen);
    if (IS("sigqueue"))
        return sigqueue(getpid(), chosen, sent);
    if (IS("pthread_kill"))
        return pthread_kill(pthread_self(), chosen);
    if (IS("pthread_sigqueue"))
        return pthread_sigqueue(pthread_self(), chosen, sent);
    if (IS("tgkill"))
        return tgkill(getpid(), gettid(), chosen);
    if (IS("syscall"))
        return (int)syscall(SYS_kill, getpid(), chosen);
    if (IS("unblock"))
        return unblock();
    if (IS("release"))
        return release();
    if (IS("nested"))
        return nested();
    return IS("together") ? together() : -1;
}

static void *send_all(void *unused)
{
    static const char *const ways[] = {
        "raise",    "kill",         "kill-0",           "kill-group", "killpg",
        "sigqueue", "pthread_kill", "pthread_sigqueue", "tgkill",     "syscall",
        "unblock",  "release",      "nested",           "together",
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int result = send(ways[i]);
        int seen = calls; /* at once: what comes later is too late */
        say("%s: %d, %d calls, code %d value %d\n", ways[i], result, seen, (int)code, (int)value);
    }
    return unused;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART};
    pthread_t thread;
    if (argc != 3 || setpgid(0, 0) != 0)
        return 64;
    chosen = atoi(argv[2]);
    sigemptyset(&only);
    sigaddset(&only, chosen);
    sigaction(chosen, &action, NULL);
    if (strcmp(argv[1], "main") == 0) {
        send_all(NULL);
        return 7;
    }
    pthread_create(&thread, NULL, send_all, NULL);
    pthread_sigmask(SIG_BLOCK, &only, NULL);
    pthread_join(thread, NULL);
    return 7;
}
