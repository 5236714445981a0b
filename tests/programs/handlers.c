/*
 * A program with signal handlers of its own, that writes down what it observes: what sigaction
 * tells when it is asked, and what each handler is given. Its argument names the case; its output
 * must be the same whoever else is in the process.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void say(const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    if (write(1, words, (size_t)length) != length)
        _exit(99);
}

static void plain(int signo)
{
    say("plain %d\n", signo);
    caught = 1;
}

static void other(int signo)
{
    say("other %d\n", signo);
    caught = 1;
}

static void with_info(int signo, siginfo_t *info, void *context)
{
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    say("info %d: signo %d code %d from %s; context %s; USR1 %s, itself %s\n", signo,
        info->si_signo, info->si_code, info->si_pid == getppid() ? "parent" : "somebody",
        context != NULL ? "given" : "missing", sigismember(&blocked, SIGUSR1) ? "blocked" : "open",
        sigismember(&blocked, signo) ? "blocked" : "open");
    caught = 1;
}

static const char *name_of(const struct sigaction *action)
{
    if (action->sa_flags & SA_SIGINFO)
        return action->sa_sigaction == with_info ? "with_info" : "somebody else's";
    if (action->sa_handler == SIG_DFL)
        return "default";
    if (action->sa_handler == SIG_IGN)
        return "ignored";
    if (action->sa_handler == plain)
        return "plain";
    return action->sa_handler == other ? "other" : "somebody else's";
}

static void say_action(const char *when, const struct sigaction *action)
{
    say("%s: %s, flags %#x, mask %s\n", when, name_of(action), (unsigned)action->sa_flags,
        sigismember(&action->sa_mask, SIGUSR1) ? "USR1" : "empty");
}

static void query(int signo)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) != 0)
        say("query: errno %d\n", errno);
    else
        say_action("now", &now);
}

_Noreturn static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void wait_for_signal(void)
{
    say("ready\n");
    while (!caught)
        usleep(1000);
    caught = 0;
}

static void set(int signo, const struct sigaction *action)
{
    struct sigaction old;
    if (sigaction(signo, action, &old) != 0)
        say("set: errno %d\n", errno);
    else
        say_action("before", &old);
    query(signo);
}

static int use_signal(int signo)
{
    say("signal(): %s\n", signal(signo, plain) == SIG_DFL ? "was default" : "was not");
    query(signo);
    say("signal(): %s\n", signal(signo, other) == plain ? "was plain" : "was not");
    query(signo);
    wait_for_signal();
    query(signo);
    return 7;
}

static int use_sigaction(int signo)
{
    struct sigaction action = {.sa_sigaction = with_info, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaddset(&action.sa_mask, SIGUSR1);
    set(signo, &action);
    wait_for_signal();
    query(signo);
    return 7;
}

static int use_nodefer(int signo)
{
    struct sigaction action = {.sa_sigaction = with_info, .sa_flags = SA_SIGINFO | SA_NODEFER};
    set(signo, &action);
    wait_for_signal();
    return 7;
}

/* The second signal meets the default action. */
static int use_resethand(int signo)
{
    struct sigaction action = {.sa_handler = plain, .sa_flags = (int)SA_RESETHAND};
    set(signo, &action);
    wait_for_signal();
    query(signo);
    raise(signo);
    return 9;
}

static int go_back_to_default(int signo)
{
    struct sigaction action = {.sa_handler = plain};
    set(signo, &action);
    action.sa_handler = SIG_DFL;
    set(signo, &action);
    say("ready\n");
    wait_for_ever();
}

static int go_back_to_ignored(int signo)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    set(signo, &action);
    raise(signo);
    say("ignored it\n");
    action.sa_handler = plain;
    set(signo, &action);
    wait_for_signal();
    return 7;
}

static sigjmp_buf back;

static void jump(int signo)
{
    siglongjmp(back, signo);
}

static int use_siglongjmp(int signo)
{
    signal(signo, jump);
    int got = sigsetjmp(back, 1);
    if (got == 0) {
        say("ready\n");
        for (;;)
            pause();
    }
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    say("jumped with %d, %s\n", got, sigismember(&blocked, signo) ? "blocked" : "open");
    return 7;
}

static void alternate(int signo, siginfo_t *info, void *context)
{
    stack_t now;
    (void)info, (void)context;
    sigaltstack(NULL, &now);
    say("handler %d: %s\n", signo, now.ss_flags & SS_ONSTACK ? "on its own stack" : "elsewhere");
    caught = 1;
}

static int use_altstack(int signo)
{
    stack_t own = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_sigaction = alternate, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&own, NULL);
    sigaction(signo, &action, NULL);
    wait_for_signal();
    return 7;
}

static int make_errors(int signo)
{
    struct sigaction action = {.sa_handler = plain};
    (void)signo;
    set(0, &action);
    set(65, &action);
    set(SIGKILL, &action);
    query(SIGKILL);
    say("signal(): %s\n", signal(SIGSTOP, plain) == SIG_ERR ? strerror(errno) : "no error");
    return 7;
}

/* A program that goes on living: the handler only reloads. */
static int live_on(int signo)
{
    signal(signo, plain);
    wait_for_signal();
    signal(SIGUSR1, other);
    wait_for_signal();
    return 7;
}

static void exit_8(int signo)
{
    (void)signo;
    exit(8);
}

static int use_exit(int signo)
{
    printf("buffered\n");
    signal(signo, exit_8);
    wait_for_signal();
    return 9;
}

static const struct handler_case {
    const char *name;
    int (*play)(int signo);
} cases[] = {
    {"signal", use_signal},
    {"sigaction", use_sigaction},
    {"nodefer", use_nodefer},
    {"resethand", use_resethand},
    {"default-again", go_back_to_default},
    {"ignored-again", go_back_to_ignored},
    {"siglongjmp", use_siglongjmp},
    {"altstack", use_altstack},
    {"errors", make_errors},
    {"live-on", live_on},
    {"exit", use_exit},
};

int main(int argc, char **argv)
{
    int signo = argc == 3 ? atoi(argv[2]) : 0;
    for (size_t i = 0; argc == 3 && i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0)
            return cases[i].play(signo);
    }
    return 64;
}
