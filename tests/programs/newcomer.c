/*
 * A target that sets ever new handlers, a thousand of them.
 *
 *     newcomer often SIGNO     one after the other, each called; then ignored, one-shot, default
 *     newcomer last SIGNO      the last one stays, and tells whether the hook A had run
 *     newcomer threads SIGNO   by four threads at once, with the signal coming in between
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef void handler_type(int);

static int chosen;
static volatile int last_called;
static _Atomic int calls, wrong;

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

static void called(int number, int signo)
{
    last_called = signo == chosen ? number : -1;
    calls++;
    if (signo != chosen)
        wrong++;
}

/* clang-format off */
#define ONE(n)     static void handler_##n(int signo) { called(0x##n, signo); }
#define EACH(m, n) m(n##0) m(n##1) m(n##2) m(n##3) m(n##4) m(n##5) m(n##6) m(n##7) \
                   m(n##8) m(n##9) m(n##a) m(n##b) m(n##c) m(n##d) m(n##e) m(n##f)
#define ONES(n)    EACH(ONE, n)
#define NAME(n)    handler_##n,
#define EACH2(m, n) m(n##0) m(n##1) m(n##2) m(n##3) m(n##4) m(n##5) m(n##6) m(n##7) \
                    m(n##8) m(n##9) m(n##a) m(n##b) m(n##c) m(n##d) m(n##e) m(n##f)
#define NAMES(n)   EACH(NAME, n)
EACH2(ONES, 0) EACH2(ONES, 1) EACH2(ONES, 2) EACH2(ONES, 3)
static handler_type *const handlers[] = {
    EACH2(NAMES, 0) EACH2(NAMES, 1) EACH2(NAMES, 2) EACH2(NAMES, 3)
};
/* clang-format on */
#define HANDLERS ((int)(sizeof handlers / sizeof *handlers))

static int number_of(handler_type *handler)
{
    for (int i = 0; i < HANDLERS; i++)
        if (handlers[i] == handler)
            return i;
    return handler == SIG_DFL ? -1 : handler == SIG_IGN ? -2 : -3;
}

_Noreturn static void wait_for_ever(void)
{
    say("ready\n");
    for (;;)
        pause();
}

static void tell(const char *when)
{
    struct sigaction now;
    sigaction(chosen, NULL, &now);
    say("%s: %d flags %x\n", when, number_of(now.sa_handler), (unsigned)now.sa_flags);
}

static void set(handler_type *handler, int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;
    int result = sigaction(chosen, &action, &old);
    say("set: %d was %d flags %x\n", result, number_of(old.sa_handler),
        (unsigned)old.sa_flags & ~0x04000000u);
}

static void often(void)
{
    handler_type *before = SIG_DFL;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < HANDLERS; i++) {
            handler_type *old = signal(chosen, handlers[i]);
            last_called = -9;
            raise(chosen);
            if (old != before || last_called != i)
                say("handler %d: called %d, old was %d\n", i, last_called, number_of(old));
            before = handlers[i];
        }
    say("%d handlers\n", HANDLERS);
    set(SIG_IGN, 0);
    raise(chosen);
    set(handlers[5], (int)SA_RESETHAND);
    raise(chosen);
    tell("reset");
    for (int i = 0; i < HANDLERS; i++) { /* what it is set back to belongs to another one */
        struct sigaction action = {.sa_handler = handlers[i], .sa_flags = SA_RESTART}, old, again;
        sigaction(chosen, &action, &old);
        sigaction(chosen, &old, &again);
        if (number_of(old.sa_handler) != -1 || number_of(again.sa_handler) != i)
            say("was %d, then %d\n", number_of(old.sa_handler), number_of(again.sa_handler));
    }
    set(SIG_DFL, SA_RESTART);
    tell("now");
    wait_for_ever();
}

static void on_last(int signo)
{
    struct stat order;
    int announced = stat("order", &order) == 0 && order.st_size > 0;
    say("last %d: %s\n", signo, announced ? "announced" : "not announced");
    _exit(7);
}

static void last(void)
{
    for (int i = 0; i < HANDLERS; i++)
        signal(chosen, handlers[i]);
    signal(chosen, on_last);
    wait_for_ever();
}

/* ---- by many threads ----------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  8
static _Atomic int running = THREADS;

static void *keep_setting(void *argument)
{
    int first = (int)(intptr_t)argument;
    struct sigaction old;
    for (int i = 0; i < ROUNDS * HANDLERS; i++) {
        struct sigaction action = {.sa_handler = handlers[(first + i) % HANDLERS]};
        action.sa_flags = i % 2 == 0 ? SA_RESTART : 0;
        if (sigaction(chosen, &action, &old) != 0 || number_of(old.sa_handler) < 0)
            wrong++;
    }
    running--;
    return NULL;
}

static void threads(void)
{
    pthread_t thread[THREADS];
    signal(chosen, handlers[0]);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, keep_setting, (void *)(intptr_t)(i * HANDLERS / THREADS));
    do {
        raise(chosen);
        sched_yield();
    } while (running > 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    struct sigaction now;
    sigaction(chosen, NULL, &now);
    raise(chosen);
    if (last_called != number_of(now.sa_handler))
        wrong++;
    say("wrong %d, called some %d\n", wrong, calls > 0);
    signal(chosen, SIG_DFL);
    wait_for_ever();
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    chosen = atoi(argv[2]);
    if (strcmp(argv[1], "often") == 0)
        often();
    if (strcmp(argv[1], "last") == 0)
        last();
    if (strcmp(argv[1], "threads") == 0)
        threads();
    return 64;
}
