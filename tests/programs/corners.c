/*
 * A target that uses the signal API in its corners, and writes down what it observes: the same
 * lines whoever else is in the process. Its first argument names the case.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

typedef void handler_type(int);

static char *const *arguments;
static int chosen_signal;

static void say(const char *format, ...)
{
    char words[512];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(words, sizeof words, format, list);
    va_end(list);
    if (write(1, words, (size_t)length) != length)
        _exit(99);
}

static void say_signal(const char *who, int signo)
{
    char words[] = "????????? 00\n";
    memcpy(words, who, strlen(who) < 9 ? strlen(who) : 9);
    words[10] = (char)('0' + signo / 10);
    words[11] = (char)('0' + signo % 10);
    if (syscall(SYS_write, 1, words, sizeof words - 1) < 0)
        _exit(99);
}

static void one(int signo)
{
    say_signal("one", signo);
}

static void two(int signo)
{
    say_signal("two", signo);
}

static const char *name_of(handler_type *handler)
{
    Dl_info where;
    if (handler == SIG_DFL || handler == SIG_IGN)
        return handler == SIG_DFL ? "default" : "ignored";
    if (handler == SIG_HOLD || handler == SIG_ERR)
        return handler == SIG_HOLD ? "hold" : "error";
    if (handler == one || handler == two)
        return handler == one ? "one" : "two";
    if (dladdr((void *)(uintptr_t)handler, &where) == 0 || where.dli_fname == NULL)
        return "nobody's";
    const char *slash = strrchr(where.dli_fname, '/');
    return slash == NULL ? where.dli_fname : slash + 1;
}

static unsigned long bits(const sigset_t *set)
{
    unsigned long mask = 0;
    for (int i = 1; i <= 64; i++)
        if (sigismember(set, i) == 1)
            mask |= 1ul << (i - 1);
    return mask;
}

static unsigned long blocked(void)
{
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    return bits(&now);
}

static void say_view(const char *when, int signo)
{
    struct sigaction now;
    int result = sigaction(signo, NULL, &now);
    say("%s %d: %d %s flags %x mask %lx\n", when, signo, result, name_of(now.sa_handler),
        (unsigned)now.sa_flags, bits(&now.sa_mask));
}

static void say_views(const char *when)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        say_view(when, signals[i]);
}

static void say_status(const char *who, pid_t pid)
{
    int status = -1;
    pid_t got = waitpid(pid, &status, 0);
    say("%s: %d status %x\n", who, got == pid, (unsigned)status);
}

static void set(int signo, handler_type *handler, int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;
    int result = sigaction(signo, &action, &old);
    say("set %d: %d was %s flags %x\n", signo, result, name_of(old.sa_handler),
        (unsigned)old.sa_flags);
}

_Noreturn static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* ---- children ------------------------------------------------------------------------------ */

static int show(void)
{
    say_views("after exec");
    return 5;
}

/* In a vfork child: these write through the parent's memory, if anything does. */
static void change_all(void)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    struct sigaction action = {.sa_handler = two, .sa_flags = SA_NODEFER, .sa_mask = interrupt};
    sigaction(SIGTERM, &action, NULL);
    signal(SIGINT, SIG_IGN);
    sigset(SIGHUP, SIG_DFL);
    sysv_signal(SIGQUIT, two);
    sigignore(SIGUSR1);
    siginterrupt(SIGTERM, 1);
}

static int in_vfork_child(void)
{
    set(SIGTERM, one, SA_RESTART);
    set(SIGINT, one, 0);
    set(SIGHUP, SIG_IGN, 0);
    char *const argv[] = {(char *)"/proc/self/exe", (char *)"show", NULL};
    for (int round = 0; round < 2; round++) {
        pid_t child = vfork();
        if (child == 0) {
            change_all();
            if (round == 1)
                _exit(6);
            execv(argv[0], argv);
            _exit(98);
        }
        say_status("vfork child", child);
        say_views("parent");
    }
    say("signal: was %s\n", name_of(signal(SIGQUIT, one))); /* restarts: no siginterrupt said */
    say_view("parent", SIGQUIT);
    raise(SIGTERM);
    raise(SIGINT);
    raise(SIGHUP);
    return 7;
}

/* As posix_spawn and many a launcher do it: default everything, then exec. */
static int reset_in_vfork_child(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, one);
    char *const argv[] = {(char *)"/proc/self/exe", (char *)"show", NULL};
    pid_t child = vfork();
    if (child == 0) {
        for (int signo = 1; signo < 32; signo++)
            signal(signo, SIG_DFL);
        execv(argv[0], argv);
        _exit(98);
    }
    say_status("vfork child", child);
    say_views("parent");
    raise(SIGTERM);
    raise(SIGINT);
    return 7;
}

static int in_forked_child(void)
{
    int signo = chosen_signal, ready[2];
    char byte;
    set(signo, one, 0);
    if (pipe(ready) != 0)
        return 97;
    pid_t child = fork();
    if (child == 0) {
        set(signo, two, SA_RESETHAND);
        sigset_t only, before;
        sigemptyset(&only);
        sigaddset(&only, signo);
        sigprocmask(SIG_BLOCK, &only, &before);
        if (write(ready[1], "r", 1) != 1)
            _exit(96);
        sigsuspend(&before);
        say_view("child", signo);
        sigprocmask(SIG_SETMASK, &before, NULL);
        raise(signo);
        _exit(95);
    }
    if (read(ready[0], &byte, 1) != 1)
        return 94;
    kill(child, signo);
    say_status("child", child);
    say_view("parent", signo);
    raise(signo);
    return 7;
}

/* Way 0: resets and raises; 1: resets by signal(), is killed from outside; 2: had it by default. */
static int dies_in_forked_child(void)
{
    int signo = chosen_signal;
    for (int way = 0; way < 3; way++) {
        set(signo, way == 2 ? SIG_DFL : one, 0);
        pid_t child = fork();
        if (child == 0) {
            if (way == 0)
                set(signo, SIG_DFL, 0);
            if (way == 1)
                signal(signo, SIG_DFL);
            if (way == 0)
                raise(signo);
            for (;;)
                kill(getpid(), signo);
        }
        say_status("child", child);
    }
    set(signo, one, 0);
    raise(signo);
    return 7;
}

/* ---- many threads -------------------------------------------------------------------------- */

#define SETTERS 4
#define ROUNDS  20000
static _Atomic int calls[SETTERS], wrong, running;

#define SETTER_HANDLER(n)                                                                          \
    static void setter_handler_##n(int signo, siginfo_t *info, void *context)                      \
    {                                                                                              \
        calls[n]++;                                                                                \
        if (signo != chosen_signal)                                                                \
            wrong++;                                                                               \
        if ((n) % 2 != 0 && (info->si_signo != signo || context == NULL))                          \
            wrong++;                                                                               \
    }
SETTER_HANDLER(0)
SETTER_HANDLER(1)
SETTER_HANDLER(2)
SETTER_HANDLER(3)

typedef void info_handler(int, siginfo_t *, void *);
static info_handler *const setter_handlers[SETTERS] = {setter_handler_0, setter_handler_1,
                                                       setter_handler_2, setter_handler_3};

static int setter_of(const struct sigaction *action)
{
    for (int i = 0; i < SETTERS; i++)
        if (action->sa_sigaction == setter_handlers[i])
            return i;
    return -1;
}

static struct sigaction setter_action(int setter)
{
    struct sigaction action = {.sa_sigaction = setter_handlers[setter],
                               .sa_flags = (setter % 2 ? SA_SIGINFO : 0) | SA_RESTART};
    sigaddset(&action.sa_mask, SIGUSR1 + setter);
    return action;
}

/* All of an answer belongs together: handler, flags, mask. */
static void check_old(const struct sigaction *old)
{
    int setter = setter_of(old);
    if (setter < 0) {
        wrong++;
        return;
    }
    struct sigaction whole = setter_action(setter);
    if (((unsigned)old->sa_flags & ~0x04000000u) != (unsigned)whole.sa_flags ||
        bits(&old->sa_mask) != bits(&whole.sa_mask))
        wrong++;
}

static void *keep_setting(void *argument)
{
    int setter = (int)(intptr_t)argument;
    struct sigaction action = setter_action(setter), old;
    for (int i = 0; i < ROUNDS; i++) {
        if (sigaction(chosen_signal, &action, &old) != 0)
            wrong++;
        check_old(&old);
    }
    running--;
    return NULL;
}

static int set_by_many_threads(void)
{
    pthread_t threads[SETTERS];
    struct sigaction action = setter_action(0), now;
    sigaction(chosen_signal, &action, NULL);
    running = SETTERS;
    for (int i = 0; i < SETTERS; i++)
        pthread_create(&threads[i], NULL, keep_setting, (void *)(intptr_t)i);
    int sent = 0;
    do {
        kill(getpid(), chosen_signal);
        sched_yield();
        sent++;
    } while (running > 0);
    for (int i = 0; i < SETTERS; i++)
        pthread_join(threads[i], NULL);
    while (calls[0] + calls[1] + calls[2] + calls[3] == 0) /* it may have to be announced */
        sched_yield();
    sigaction(chosen_signal, NULL, &now);
    check_old(&now);
    int last = setter_of(&now), before = last < 0 ? 0 : calls[last];
    if (last >= 0)
        raise(chosen_signal);
    if (last < 0 || calls[last] == before)
        wrong++;
    say("wrong %d, sent some %d, called some %d\n", wrong, sent > 0,
        calls[0] + calls[1] + calls[2] + calls[3] > 0);
    return 7;
}

/* ---- what was set before anybody could see it ------------------------------------------------ */

static int as_found(void)
{
    say_views("found");
    say("ready\n");
    wait_for_ever();
}

/* ---- alternate stacks ------------------------------------------------------------------------ */

static volatile sig_atomic_t on_alternate, was_called;

static void note_stack(int signo)
{
    stack_t now;
    syscall(SYS_sigaltstack, NULL, &now);
    on_alternate = (now.ss_flags & SS_ONSTACK) != 0;
    was_called = signo;
}

/* A stack with nothing readable on either side of it. */
static bool use_stack(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (size + page - 1) / page * page;
    char *memory = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory + page, room, PROT_READ | PROT_WRITE);
    stack_t stack = {.ss_sp = memory + page, .ss_size = size & ~(size_t)15};
    int result = sigaltstack(&stack, NULL);
    say("sigaltstack: %d errno %d\n", result, result == 0 ? 0 : errno);
    return result == 0;
}

static size_t frame_size;

static void measure_frame(int signo)
{
    stack_t now;
    (void)signo;
    syscall(SYS_sigaltstack, NULL, &now);
    frame_size = (size_t)((char *)now.ss_sp + now.ss_size - (char *)__builtin_frame_address(0));
}

/* What the kernel puts on the stack for a handler: less than _SC_MINSIGSTKSZ where the processor
 * has registers that the program does not use. */
static size_t signal_frame(void)
{
    static char large[65536];
    stack_t stack = {.ss_sp = large, .ss_size = sizeof large}, before;
    struct sigaction action = {.sa_handler = measure_frame, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, &before);
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    signal(SIGUSR2, SIG_DFL);
    sigaltstack(&before, NULL);
    return frame_size;
}

/* The kernel refuses a smaller one (its MINSIGSTKSZ, of which libc's header makes a call), though
 * the frames of a processor without AVX-512 take less. */
static size_t at_least_allowed(size_t size)
{
    enum { KERNELS_MINIMUM = 2048 };
    return size < KERNELS_MINIMUM ? KERNELS_MINIMUM : size;
}

/* "tight": room for one handler that does little; "two": for another one within that. */
static size_t stack_size(void)
{
    const char *name = arguments[3] == NULL ? "minimal" : arguments[3];
    if (strcmp(name, "minimal") == 0)
        return at_least_allowed((size_t)sysconf(_SC_MINSIGSTKSZ));
    if (strcmp(name, "usual") == 0)
        return (size_t)sysconf(_SC_SIGSTKSZ);
    if (strcmp(name, "tight") == 0)
        return at_least_allowed(signal_frame() + 192);
    if (strcmp(name, "two") == 0)
        return 2 * signal_frame() + 512;
    return (size_t)atol(name);
}

static void say_ready(void)
{
    say("ready\n");
}

static int handle_on_small_stack(void)
{
    struct sigaction action = {.sa_handler = note_stack, .sa_flags = SA_ONSTACK};
    sigaction(chosen_signal, &action, NULL);
    note_stack(0); /* the loader has found all that it calls */
    if (!use_stack(stack_size()))
        return 6;
    say_ready();
    while (!was_called)
        usleep(1000);
    say("called %d, on its stack %d\n", was_called, on_alternate);
    return 7;
}

static void linger(int signo)
{
    note_stack(signo);
    static const char ready[] = "ready\n";
    if (syscall(SYS_write, 1, ready, sizeof ready - 1) < 0)
        _exit(93);
    for (;;)
        syscall(SYS_ppoll, NULL, 0, NULL, NULL, 8);
}

static int default_within_handler(void)
{
    struct sigaction action = {.sa_handler = linger, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    note_stack(0);
    if (!use_stack(stack_size()))
        return 6;
    raise(SIGUSR1);
    return 9;
}

/* The stack is for some other signal's handler. */
static int default_beside(void)
{
    if (!use_stack(stack_size()))
        return 6;
    say("ready\n");
    wait_for_ever();
}

/* ---- masks, nesting, jumps ----------------------------------------------------------------- */

static int hold(void)
{
    int signo = chosen_signal;
    say("first: %s\n", name_of(sigset(signo, one)));
    say("hold: %s, blocked %lx\n", name_of(sigset(signo, SIG_HOLD)), blocked());
    say("again: %s, blocked %lx\n", name_of(sigset(signo, SIG_HOLD)), blocked());
    say_view("held", signo);
    kill(getpid(), signo);
    say("pending\n");
    say("let in: %s\n", name_of(sigset(signo, two)));
    say("blocked %lx\n", blocked());
    say("hold: %s\n", name_of(sigset(signo, SIG_HOLD)));
    kill(getpid(), signo);
    say("ignore: %s\n", name_of(sigset(signo, SIG_IGN)));
    sigrelse(signo);
    say("sighold %d, blocked %lx\n", sighold(signo), blocked());
    kill(getpid(), signo);
    say("default: %s\n", name_of(sigset(signo, SIG_DFL)));
    say_view("now", signo);
    return 7;
}

static void inner(int signo)
{
    say("inner %d: blocked %lx\n", signo, blocked());
}

static void outer(int signo)
{
    static volatile sig_atomic_t depth, entries;
    entries++;
    say("outer %d, depth %d: blocked %lx\n", signo, (int)++depth, blocked());
    raise(SIGINT);
    raise(SIGUSR2);
    raise(SIGHUP);
    if (entries < 3)
        raise(signo);
    say("outer %d, depth %d: done\n", signo, (int)depth--);
}

static int nest(int flags)
{
    struct sigaction action = {.sa_handler = outer, .sa_flags = flags};
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaddset(&action.sa_mask, SIGINT);
    sigaction(chosen_signal, &action, NULL);
    action.sa_handler = inner;
    action.sa_flags = 0;
    sigaction(SIGINT, &action, NULL);
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    raise(chosen_signal);
    say("blocked %lx\n", blocked());
    return 7;
}

static int nest_plain(void)
{
    return nest(0);
}

static int nest_deferless(void)
{
    return nest(SA_NODEFER);
}

static sigjmp_buf back;

static void jump(int signo)
{
    siglongjmp(back, signo);
}

static int jump_often(void)
{
    volatile int jumps = 0;
    signal(chosen_signal, jump);
    if (sigsetjmp(back, 1) != 0)
        jumps++;
    if (jumps < 1000)
        raise(chosen_signal);
    say("%d jumps, blocked %lx\n", (int)jumps, blocked());
    say("set: was other %d\n", signal(chosen_signal, SIG_DFL) == jump);
    say("ready\n");
    wait_for_ever();
}

/* ---- waits that nothing may end -------------------------------------------------------------- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, free_one = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;

static void *idle(void *unused)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;)
        pause();
    return unused;
}

static void *lock_and_idle(void *taken)
{
    pthread_mutex_lock(&held);
    pthread_rwlock_wrlock(&shared);
    sem_post(taken);
    return idle(NULL);
}

static pthread_t other_thread(void)
{
    pthread_t thread;
    sem_t taken;
    sem_init(&taken, 0, 0);
    pthread_create(&thread, NULL, lock_and_idle, &taken);
    while (sem_wait(&taken) != 0)
        continue;
    return thread;
}

/* It ends with its parent, from the moment on that it is there. */
static pid_t idle_child(void)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        _exit(91);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(chosen_signal, SIG_IGN);
        close(ready[1]);
        wait_for_ever();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 0)
        _exit(90);
    return child;
}

static void do_wait(const char *call)
{
    char path[64], byte;
    int first = -1, second = -1;
    snprintf(path, sizeof path, "file.%d", (int)getpid());
    if (strcmp(call, "flock") == 0) {
        first = open(path, O_RDWR | O_CREAT, 0600);
        second = open(path, O_RDWR);
        flock(first, LOCK_EX);
    }
    if (strncmp(call, "fifo", 4) == 0 && mkfifo(path, 0600) != 0)
        _exit(92);
    if (strcmp(call, "fifo-read") == 0)
        first = open(path, O_RDWR);
    pthread_t thread =
        strcmp(call, "join") == 0 || strcmp(call, "mutex") == 0 || strcmp(call, "rwlock") == 0
            ? other_thread()
            : pthread_self();
    pid_t child = strcmp(call, "waitpid") == 0 ? idle_child() : 0;
    sem_init(&semaphore, 0, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_mutex_lock(&free_one);
    say("ready\n");
    errno = 0;
    long result = strcmp(call, "cond") == 0        ? pthread_cond_wait(&never, &free_one)
                  : strcmp(call, "sem") == 0       ? sem_wait(&semaphore)
                  : strcmp(call, "join") == 0      ? pthread_join(thread, NULL)
                  : strcmp(call, "mutex") == 0     ? pthread_mutex_lock(&held)
                  : strcmp(call, "rwlock") == 0    ? pthread_rwlock_rdlock(&shared)
                  : strcmp(call, "barrier") == 0   ? pthread_barrier_wait(&barrier)
                  : strcmp(call, "flock") == 0     ? flock(second, LOCK_EX)
                  : strcmp(call, "fifo-open") == 0 ? open(path, O_RDONLY)
                  : strcmp(call, "fifo-read") == 0 ? read(first, &byte, 1)
                                                   : waitpid(child, NULL, 0);
    say("%s came back: %ld errno %d\n", call, result, errno);
}

static void *wait_in_thread(void *unused)
{
    do_wait(arguments[3]);
    return unused;
}

static int wait_in_main(void)
{
    do_wait(arguments[3]);
    return 9;
}

static int wait_in_other(void)
{
    pthread_t thread;
    sigset_t all;
    pthread_create(&thread, NULL, wait_in_thread, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_join(thread, NULL);
    return 9;
}

static const struct {
    const char *name;
    int (*play)(void);
} cases[] = {
    {"show", show},
    {"vfork", in_vfork_child},
    {"vfork-reset", reset_in_vfork_child},
    {"fork-handler", in_forked_child},
    {"fork-default", dies_in_forked_child},
    {"threads", set_by_many_threads},
    {"as-found", as_found},
    {"small-stack", handle_on_small_stack},
    {"default-within", default_within_handler},
    {"default-beside", default_beside},
    {"hold", hold},
    {"nest", nest_plain},
    {"nest-nodefer", nest_deferless},
    {"jumps", jump_often},
    {"wait-main", wait_in_main},
    {"wait-thread", wait_in_other},
};

int main(int argc, char **argv)
{
    arguments = argv;
    chosen_signal = argc > 2 ? atoi(argv[2]) : 0;
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, argv[1]) == 0)
            return cases[i].play();
    return 64;
}
