/*
 * A target that writes down what the signal API tells it and how a signal reaches it. One row of a
 * table per run; it is the same with and without libgrace, or libgrace has been noticed.
 *
 *     observer ENTRY DISPOSITION SIGNAL FLAGS MASK DELIVERY
 *
 *     ENTRY        sigaction __sigaction signal bsd_signal ssignal sysv_signal __sysv_signal sigset
 *                  sigignore siginterrupt sigvec
 *     DISPOSITION  handler default ignore error hold
 *     FLAGS        of sigaction and sigvec, hexadecimal; of siginterrupt, its argument
 *     MASK         empty usr2 full
 *     DELIVERY     main thread blocked   (blocked: sent to a thread that lets it in later)
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

typedef void handler_type(int);

int __sigaction(int signo, const struct sigaction *action, struct sigaction *old);
handler_type *bsd_signal(int signo, handler_type *handler);

/* What programs from before 2014 may still call. */
struct sigvec {
    handler_type *handler;
    int mask, flags;
};
int old_sigvec(int signo, const struct sigvec *vector, struct sigvec *old);
#ifdef __x86_64__
__asm__(".symver old_sigvec, sigvec@GLIBC_2.2.5");
#elif defined(__i386__)
__asm__(".symver old_sigvec, sigvec@GLIBC_2.0");
#else
__asm__(".symver old_sigvec, sigvec@GLIBC_2.17");
#endif

static int signo;
static int bell[2]; /* what the receiver reads from */
static pid_t main_thread;
static _Atomic int handled;
static _Atomic pid_t receiver;
static char alternate[65536];

/* ---- writing down -------------------------------------------------------------------------- */

static char lines[8192];
static _Atomic size_t used;

/* Also called in handlers; only what is printed with it has to be safe there. */
static void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t at = used;
    at += (size_t)vsnprintf(lines + at, sizeof lines - at, format, arguments);
    used = at;
    va_end(arguments);
}

static void publish(void)
{
    if (write(1, lines, used) < 0)
        _exit(100);
    used = 0;
}

static unsigned long bits(const sigset_t *set)
{
    unsigned long mask = 0;
    for (int i = 1; i <= 64; i++)
        if (sigismember(set, i) == 1)
            mask |= 1ul << (i - 1);
    return mask;
}

static const char *place(void)
{
    stack_t stack;
    sigaltstack(NULL, &stack);
    return stack.ss_flags & SS_ONSTACK ? "alternate stack" : "own stack";
}

static void on_signal(int number, siginfo_t *info, void *context);
static void on_plain(int number);
static void on_other(int number)
{
    (void)number;
}

static const char *name_of(handler_type *handler)
{
    return handler == SIG_DFL                                     ? "default"
           : handler == SIG_IGN                                   ? "ignore"
           : handler == SIG_ERR                                   ? "error"
           : handler == SIG_HOLD                                  ? "hold"
           : handler == on_other                                  ? "other"
           : handler == on_plain                                  ? "plain"
           : handler == (handler_type *)(void (*)(void))on_signal ? "siginfo"
                                                                  : "unknown";
}

static void note_view(const char *when)
{
    struct sigaction view;
    memset(&view, 0x55, sizeof view);
    errno = 77;
    int result = sigaction(signo, NULL, &view);
    note("%s: %d errno %d: %s flags %x mask %lx restorer %d\n", when, result, errno,
         name_of(view.sa_handler), (unsigned)view.sa_flags, bits(&view.sa_mask),
         view.sa_restorer != NULL);
}

/* ---- handlers ------------------------------------------------------------------------------ */

static void handle(int number, const siginfo_t *info)
{
    int before = errno;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    note("handler: signal %d on %s thread, %s, mask %lx, errno %d\n", number,
         syscall(SYS_gettid) == main_thread ? "main" : "other", place(), bits(&mask), before);
    if (info != NULL)
        note("siginfo: signo %d errno %d code %d pid %d uid %d\n", info->si_signo, info->si_errno,
             info->si_code, info->si_pid == getpid(), info->si_uid == getuid());
    note_view("inside");
    handled++;
    if (write(bell[1], "h", 1) != 1)
        _exit(101);
    errno = before;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    handle(number, context == NULL ? NULL : info);
}

static void on_plain(int number)
{
    handle(number, NULL);
}

/* ---- setting ------------------------------------------------------------------------------- */

static handler_type *chosen(const char *disposition, unsigned flags)
{
    if (strcmp(disposition, "default") == 0)
        return SIG_DFL;
    if (strcmp(disposition, "ignore") == 0)
        return SIG_IGN;
    if (strcmp(disposition, "error") == 0)
        return SIG_ERR;
    if (strcmp(disposition, "hold") == 0)
        return SIG_HOLD;
    return flags & SA_SIGINFO ? (handler_type *)(void (*)(void))on_signal : on_plain;
}

static void set_by_sigaction(const char *entry, handler_type *handler, unsigned flags,
                             const char *mask)
{
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    memset(&old, 0x55, sizeof old);
    action.sa_handler = handler;
    action.sa_flags = (int)flags;
    if (strcmp(mask, "usr2") == 0)
        sigaddset(&action.sa_mask, SIGUSR2);
    if (strcmp(mask, "full") == 0)
        sigfillset(&action.sa_mask);
    int result =
        entry[0] == '_' ? __sigaction(signo, &action, &old) : sigaction(signo, &action, &old);
    note("set: %d errno %d, was %s flags %x mask %lx\n", result, errno, name_of(old.sa_handler),
         (unsigned)old.sa_flags, bits(&old.sa_mask));
}

static void set_by_sigvec(handler_type *handler, unsigned flags)
{
    struct sigvec vector = {handler, 1 << (SIGUSR2 - 1), (int)flags}, old;
    memset(&old, 0x55, sizeof old);
    int result = old_sigvec(signo, &vector, &old);
    note("set: %d errno %d, was %s flags %x mask %x\n", result, errno, name_of(old.handler),
         (unsigned)old.flags, (unsigned)old.mask);
    result = old_sigvec(signo, NULL, &old);
    note("set: %d, is %s flags %x mask %x\n", result, name_of(old.handler), (unsigned)old.flags,
         (unsigned)old.mask);
    old_sigvec(signo, &vector, NULL);
}

static void set(const char *entry, handler_type *handler, unsigned flags, const char *mask)
{
    static const struct {
        const char *name;
        handler_type *(*call)(int, handler_type *);
    } calls[] = {
        {"signal", signal},           {"bsd_signal", bsd_signal},       {"ssignal", ssignal},
        {"sysv_signal", sysv_signal}, {"__sysv_signal", __sysv_signal}, {"sigset", sigset},
    };
    errno = 66;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(entry, calls[i].name) == 0) {
            handler_type *old = calls[i].call(signo, handler);
            note("set: was %s errno %d\n", name_of(old), errno);
        }
    if (strcmp(entry, "sigaction") == 0 || strcmp(entry, "__sigaction") == 0)
        set_by_sigaction(entry, handler, flags, mask);
    if (strcmp(entry, "sigvec") == 0)
        set_by_sigvec(handler, flags);
    if (strcmp(entry, "sigignore") == 0) {
        int result = sigignore(signo);
        note("set: %d errno %d\n", result, errno);
    }
    if (strcmp(entry, "siginterrupt") == 0) {
        note("set: was %s\n", name_of(signal(signo, handler)));
        note_view("before");
        int result = siginterrupt(signo, (int)flags);
        note("siginterrupt: %d errno %d, set again: was %s\n", result, errno,
             name_of(signal(signo, handler)));
    }
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    note("blocked: %lx\n", bits(&blocked));
}

/* ---- delivery ------------------------------------------------------------------------------ */

static void receive(void)
{
    char byte = '-';
    receiver = (pid_t)syscall(SYS_gettid);
    errno = 55;
    ssize_t result = read(bell[0], &byte, 1);
    note("read: %zd errno %d byte %c\n", result, result < 0 ? errno : 0, byte);
}

static void wait_asleep(void)
{
    char path[64], stat[512];
    for (;;) {
        if (receiver != 0) {
            snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)receiver);
            FILE *file = fopen(path, "r");
            size_t length = file == NULL ? 0 : fread(stat, 1, sizeof stat - 1, file);
            if (file != NULL)
                fclose(file);
            stat[length] = '\0';
            char *state = strrchr(stat, ')');
            if (state != NULL && state[2] == 'S')
                return;
        }
        sched_yield();
    }
}

static void *send_to_process(void *unused)
{
    wait_asleep();
    struct sigaction now;
    sigaction(signo, NULL, &now);
    kill(getpid(), signo);
    if (now.sa_handler == SIG_IGN && write(bell[1], "s", 1) != 1)
        _exit(102);
    return unused;
}

static void *receive_in_thread(void *let_in)
{
    sigset_t only, pending;
    sigemptyset(&only);
    sigaddset(&only, signo);
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    if (let_in == NULL) { /* blocked: wait until it is pending, then let it in */
        pthread_kill(pthread_self(), signo);
        sigpending(&pending);
        note("pending: %lx\n", bits(&pending));
        struct sigaction now;
        sigaction(signo, NULL, &now);
        if (now.sa_handler == SIG_IGN && write(bell[1], "s", 1) != 1)
            _exit(103);
        pthread_sigmask(SIG_UNBLOCK, &only, NULL);
        receive();
        return NULL;
    }
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    receive();
    return NULL;
}

static void deliver(const char *delivery)
{
    sigset_t only, before;
    pthread_t thread, sender;
    sigemptyset(&only);
    sigaddset(&only, signo);
    bool main_receives = strcmp(delivery, "main") == 0;
    bool blocked = strcmp(delivery, "blocked") == 0;
    pthread_sigmask(SIG_BLOCK, &only, &before);
    if (!main_receives)
        pthread_create(&thread, NULL, receive_in_thread, blocked ? NULL : &only);
    if (!blocked)
        pthread_create(&sender, NULL, send_to_process, NULL);
    if (main_receives) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        receive();
    } else {
        pthread_join(thread, NULL);
    }
    if (!blocked)
        pthread_join(sender, NULL);
    struct sigaction now;
    while (sigaction(signo, NULL, &now) == 0 && now.sa_handler != SIG_IGN && handled == 0)
        sched_yield(); /* EINTR may come before a handler that has to wait for an announcement */
}

int main(int argc, char **argv)
{
    if (argc != 7 || pipe(bell) != 0)
        return 99;
    signo = atoi(argv[3]);
    main_thread = (pid_t)syscall(SYS_gettid);
    unsigned flags = (unsigned)strtoul(argv[4], NULL, 16);
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    if (strcmp(argv[6], "main") == 0)
        sigaltstack(&stack, NULL);
    note_view("at start");
    handler_type *handler = chosen(argv[2], strcmp(argv[1], "sigvec") == 0 ? 0 : flags);
    set(argv[1], handler, flags, argv[5]);
    note_view("after");
    set("sigaction", on_other, SA_NODEFER, "usr2");
    set(argv[1], handler, flags, argv[5]);
    note_view("again");
    publish();
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == on_other)
        return 8; /* it was not to be set */
    deliver(argv[6]);
    note_view("at end");
    publish();
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_DFL && handled > 0)
        kill(getpid(), signo);
    return 7;
}
