/*
 * Ends in the way that its argument names, after some exit handlers were registered. What the
 * handlers do is written with write(), so that it shows whether stdio is flushed or not.
 */
#include <err.h>
#include <error.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void say(const char *words)
{
    if (write(1, words, strlen(words)) < 0)
        _exit(99);
}

_Noreturn static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void say_atexit(void)
{
    say("atexit\n");
}

static void say_at_quick_exit(void)
{
    say("at_quick_exit\n");
}

__attribute__((destructor)) static void say_destructor(void)
{
    say("destructor\n");
}

/* ---- by a call ------------------------------------------------------------------------------- */

static int by_return_0(void)
{
    return 0;
}

static int by_return_3(void)
{
    return 3;
}

static int by_exit(void)
{
    exit(3);
}

static int by__exit(void)
{
    _exit(3);
}

static int by__Exit(void)
{
    _Exit(3);
}

static int by_quick_exit(void)
{
    quick_exit(3);
}

static int by_errx(void)
{
    errx(3, "an error");
}

static int by_error(void)
{
    error(3, 0, "an error");
    return 0;
}

static int by_large_status(void)
{
    exit(0x1234);
}

static int by_fflush_and__exit(void)
{
    fflush(stdout);
    _exit(3);
}

/* ---- by threads ------------------------------------------------------------------------------ */

static void *exit_3(void *barrier)
{
    if (barrier != NULL)
        pthread_barrier_wait(barrier);
    exit(3);
}

static void *join_main(void *main_thread)
{
    pthread_join(*(pthread_t *)main_thread, NULL);
    say("last thread\n");
    return NULL;
}

static int by_last_pthread_exit(void)
{
    static pthread_t main_thread;
    pthread_t other;
    main_thread = pthread_self();
    pthread_create(&other, NULL, join_main, &main_thread);
    pthread_exit(NULL);
}

static int by_exit_in_thread(void)
{
    pthread_t other;
    pthread_create(&other, NULL, exit_3, NULL);
    wait_for_ever();
}

static int handlers_run;

static void count_handler(void)
{
    handlers_run++;
}

/* Registered first, so it runs last. */
static void say_count(void)
{
    char words[32];
    snprintf(words, sizeof words, "%d handlers\n", handlers_run);
    say(words);
}

static int by_exit_in_8_threads(void)
{
    pthread_barrier_t barrier;
    atexit(say_count);
    for (int i = 0; i < 64; i++)
        atexit(count_handler);
    pthread_barrier_init(&barrier, NULL, 8);
    for (int i = 0; i < 7; i++) {
        pthread_t other;
        pthread_create(&other, NULL, exit_3, &barrier);
    }
    exit_3(&barrier);
    return 0;
}

/* ---- by exit within an ending ---------------------------------------------------------------- */

static void exit_4(void)
{
    exit(4);
}

static int by_exit_in_atexit(void)
{
    atexit(exit_4);
    exit(3);
}

static void _exit_4(void)
{
    _exit(4);
}

static int by__exit_in_atexit(void)
{
    atexit(_exit_4);
    exit(3);
}

static void exit_5(int signo)
{
    (void)signo;
    exit(5);
}

static void _exit_6(int signo)
{
    (void)signo;
    _exit(6);
}

static int by_exit_in_handler(void)
{
    signal(SIGTERM, exit_5);
    raise(SIGTERM);
    return 9;
}

static int by__exit_in_handler(void)
{
    signal(SIGUSR1, _exit_6);
    raise(SIGUSR1);
    return 9;
}

_Noreturn static void allocate_for_ever(void)
{
    static void *kept[64];
    for (unsigned i = 0;; i++) {
        free(kept[i % 64]);
        kept[i % 64] = malloc(3000 + i % 5000);
    }
}

/* The handler interrupts malloc, as likely as not while it holds its lock. */
static int by__exit_over_malloc(void)
{
    const struct itimerval soon = {.it_value.tv_usec = 3000 + getpid() % 1000};
    signal(SIGALRM, _exit_6);
    setitimer(ITIMER_REAL, &soon, NULL);
    allocate_for_ever();
}

/* … or exit itself. */
static int by__exit_over_exit(void)
{
    const struct itimerval soon = {.it_value.tv_usec = 1 + getpid() % 300};
    signal(SIGALRM, _exit_6);
    setitimer(ITIMER_REAL, &soon, NULL);
    exit(6);
}

/* ---- by a signal ----------------------------------------------------------------------------- */

static int by_abort(void)
{
    abort();
}

static int by_bad_pointer(void)
{
    *(volatile int *)16 = 1;
    return 9;
}

static int by_division(void)
{
#if defined(__aarch64__) /* where that is 0 */
    raise(SIGFPE);
#endif
    volatile int one = 1, zero = 0;
    return one / zero;
}

static int by_bad_instruction(void)
{
#if defined(__aarch64__) /* where a trap is a breakpoint's signal */
    __asm__ volatile("udf #0");
#endif
    __builtin_trap();
}

static int raise_and_wait(int signo)
{
    raise(signo);
    return 9;
}

static int by_raise_term(void)
{
    return raise_and_wait(SIGTERM);
}

static int by_raise_kill(void)
{
    return raise_and_wait(SIGKILL);
}

static int by_raise_usr1(void)
{
    return raise_and_wait(SIGUSR1);
}

static int by_kill_hup(void)
{
    kill(getpid(), SIGHUP);
    return 9;
}

static int by_alarm(void)
{
    const struct itimerval soon = {.it_value.tv_usec = 1000};
    setitimer(ITIMER_REAL, &soon, NULL);
    wait_for_ever();
}

static void *kill_process(void *signo)
{
    kill(getpid(), *(int *)signo);
    return NULL;
}

static int by_kill_in_thread(void)
{
    static int signo = SIGTERM;
    pthread_t other;
    pthread_create(&other, NULL, kill_process, &signo);
    wait_for_ever();
}

static int by_broken_pipe(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        return 99;
    close(ends[0]);
    return (int)write(ends[1], "x", 1);
}

/* A program that cleans up in a handler and then dies by the signal, as the manuals say. */
static void clean_up_and_raise(int signo)
{
    say("own clean-up\n");
    signal(signo, SIG_DFL);
    raise(signo);
}

static int by_handler_that_raises(void)
{
    signal(SIGTERM, clean_up_and_raise);
    raise(SIGTERM);
    return 9;
}

static const struct ending {
    const char *name;
    int (*end)(void);
} endings[] = {
    {"return-0", by_return_0},
    {"return-3", by_return_3},
    {"exit", by_exit},
    {"large-status", by_large_status},
    {"_exit", by__exit},
    {"fflush-and-_exit", by_fflush_and__exit},
    {"_Exit", by__Exit},
    {"quick_exit", by_quick_exit},
    {"errx", by_errx},
    {"error", by_error},
    {"last-pthread_exit", by_last_pthread_exit},
    {"exit-in-thread", by_exit_in_thread},
    {"exit-in-8-threads", by_exit_in_8_threads},
    {"exit-in-atexit", by_exit_in_atexit},
    {"_exit-in-atexit", by__exit_in_atexit},
    {"exit-in-handler", by_exit_in_handler},
    {"_exit-in-handler", by__exit_in_handler},
    {"_exit-over-malloc", by__exit_over_malloc},
    {"_exit-over-exit", by__exit_over_exit},
    {"abort", by_abort},
    {"bad-pointer", by_bad_pointer},
    {"division", by_division},
    {"bad-instruction", by_bad_instruction},
    {"raise-term", by_raise_term},
    {"raise-kill", by_raise_kill},
    {"raise-usr1", by_raise_usr1},
    {"kill-hup", by_kill_hup},
    {"alarm", by_alarm},
    {"kill-in-thread", by_kill_in_thread},
    {"broken-pipe", by_broken_pipe},
    {"handler-that-raises", by_handler_that_raises},
};

int main(int argc, char **argv)
{
    const char *wanted = argc == 2 ? argv[1] : "";
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        if (strcmp(endings[i].name, wanted) != 0)
            continue;
        atexit(say_atexit);
        at_quick_exit(say_at_quick_exit);
        printf("buffered\n");
        return endings[i].end();
    }
    fprintf(stderr, "usage: ender ENDING\n");
    return 64;
}
