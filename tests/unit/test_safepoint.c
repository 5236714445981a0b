/*
 * The safe point: contexts of real signals, at places that are known for sure. A thread that waits
 * in a call is interrupted there; a fault interrupts at the instruction that touches a page which
 * nobody may touch, in libc's code or in code that belongs to no object. (This program is guarded
 * as a whole, since libgrace is linked into it.)
 */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../suite.h"
#include "shim/arch.h"
#include "shim/raw.h"
#include "shim/shim.h"

#define LIMIT_S 60

/* What the last handler that judged found. */
static _Atomic int judged;
static _Atomic bool at, here, in_handler_below;

static void judge(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)info;
    at = grace_safepoint_at(context);
    here = grace_safepoint_here();
    in_handler_below = grace_frame_below(context) != NULL;
    judged++;
}

static void install(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    ck_assert_int_eq(sigaction(signo, &action, NULL), 0);
}

static void setup(void)
{
    grace_shim.stack_end = (const char *)getauxval(AT_EXECFN);
    grace_safepoint_setup();
}

/* ---- places -------------------------------------------------------------------------------- */

static void set_ip(ucontext_t *context, uintptr_t ip)
{
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)ip;
#elif defined(__i386__)
    context->uc_mcontext.gregs[REG_EIP] = (greg_t)ip;
#else
    context->uc_mcontext.pc = ip;
#endif
}

static bool is_safe_at(uintptr_t ip)
{
    ucontext_t context;
    getcontext(&context);
    set_ip(&context, ip);
    return grace_safepoint_at(&context);
}

static uintptr_t function(const char *name)
{
    uintptr_t address = (uintptr_t)dlsym(RTLD_DEFAULT, name);
    ck_assert_msg(address != 0, "no %s", name);
    return address;
}

/* Code of an object that nobody else is linked with. */
static uintptr_t foreign_function(void)
{
    const char *build = getenv("GRACE_BUILD");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tests/objects/caller_eager.so",
             build != NULL ? build : "build");
    void *object = dlopen(path, RTLD_NOW);
    ck_assert_msg(object != NULL, "%s", dlerror());
    return (uintptr_t)dlsym(object, "call_directly");
}

START_TEST(code_that_takes_none_of_libcs_locks_is_safe)
{
    ck_assert(is_safe_at(foreign_function()));
    ck_assert(is_safe_at(4096));
}
END_TEST

static const char *const libc_functions[] = {"malloc",   "free", "strlen",      "pthread_create",
                                             "vfprintf", "fork", "getaddrinfo", "_dl_mcount"};

START_TEST(code_of_libc_and_its_loader_is_not)
{
    ck_assert(!is_safe_at(function(libc_functions[_i])));
}
END_TEST

START_TEST(our_own_code_is_not)
{
    ck_assert(!is_safe_at((uintptr_t)&grace_safepoint_at));
}
END_TEST

START_TEST(the_kernels_code_is_not)
{
    uintptr_t page = getauxval(AT_SYSINFO_EHDR);
    if (page == 0)
        skip("no code of the kernel's in this process (AT_SYSINFO_EHDR)");
    ck_assert(!is_safe_at(page + sizeof(ElfW(Ehdr))));
}
END_TEST

START_TEST(before_a_call_is_repeated_it_is_libcs_code_that_makes_it)
{
    ck_assert(grace_safepoint_is_libc(function("getaddrinfo")));
    ck_assert(!grace_safepoint_is_libc(function("_dl_mcount")));
    ck_assert(!grace_safepoint_is_libc(foreign_function()));
}
END_TEST

/* ---- waits --------------------------------------------------------------------------------- */

static int quiet[2];
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, free_one = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static pthread_t main_thread;
static char byte;

static void in_read(void)
{
    (void)!read(quiet[0], &byte, 1);
}

static void in_recv(void)
{
    recv(quiet[0], &byte, 1, 0);
}

static void in_poll(void)
{
    struct pollfd wanted = {.fd = quiet[0], .events = POLLIN};
    poll(&wanted, 1, -1);
}

static void in_select(void)
{
    fd_set wanted;
    FD_ZERO(&wanted);
    FD_SET(quiet[0], &wanted);
    select(quiet[0] + 1, &wanted, NULL, NULL, NULL);
}

static void in_sleep(void)
{
    nanosleep(&(struct timespec){.tv_sec = 10 * LIMIT_S}, NULL);
}

static void in_pause(void)
{
    pause();
}

static void in_sigsuspend(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
}

static void in_wait(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    waitpid(child, NULL, 0);
    kill(child, SIGKILL);
}

static void in_condition(void)
{
    pthread_mutex_lock(&free_one);
    pthread_cond_wait(&condition, &free_one);
}

static void in_semaphore(void)
{
    sem_wait(&semaphore);
}

static void in_join(void)
{
    pthread_join(main_thread, NULL);
}

static void at_barrier(void)
{
    pthread_barrier_wait(&barrier);
}

static void in_own_futex(void)
{
    static uint32_t word;
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

/* As malloc and stdio wait for theirs. */
static void for_a_lock(void)
{
    pthread_mutex_lock(&held);
}

static const struct {
    const char *name;
    void (*wait)(void);
    bool is_safe;
} waits[] = {
    {"read", in_read, true},
    {"recv", in_recv, true},
    {"poll", in_poll, true},
    {"select", in_select, true},
    {"sleep", in_sleep, true},
    {"pause", in_pause, true},
    {"sigsuspend", in_sigsuspend, true},
    {"waitpid", in_wait, true},
    {"condition", in_condition, true},
    {"semaphore", in_semaphore, true},
    {"join", in_join, true},
    {"barrier", at_barrier, true},
    {"own futex", in_own_futex, true},
    {"lock", for_a_lock, false},
};
#define WAITS ((int)(sizeof waits / sizeof waits[0]))

static _Atomic pid_t waiting;

static void *go_and_wait(void *wait)
{
    waiting = grace_gettid();
    ((void (*)(void))(uintptr_t)wait)();
    return NULL;
}

static bool sleeps(pid_t thread)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    (void)!fread(line, 1, sizeof line - 1, file);
    fclose(file);
    const char *end = strrchr(line, ')');
    return end != NULL && end[2] == 'S';
}

static void let_pass_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void judge_wait(int row, int flags)
{
    pthread_t thread;
    install(SIGUSR1, judge, flags);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, quiet), 0);
    pthread_mutex_lock(&held);
    pthread_barrier_init(&barrier, NULL, 2);
    main_thread = pthread_self();
    ck_assert_int_eq(pthread_create(&thread, NULL, go_and_wait, (void *)(uintptr_t)waits[row].wait),
                     0);
    while (waiting == 0 || !sleeps(waiting))
        let_pass_a_moment();
    pthread_kill(thread, SIGUSR1);
    while (judged == 0)
        let_pass_a_moment();
    ck_assert_msg(at == waits[row].is_safe, "%s: %s", waits[row].name, at ? "safe" : "not safe");
    ck_assert_msg(here == waits[row].is_safe, "%s, asked in the handler: %s", waits[row].name,
                  here ? "safe" : "not safe");
}

START_TEST(a_wait_is_safe_unless_it_is_for_a_lock)
{
    judge_wait(_i, 0);
}
END_TEST

START_TEST(so_is_one_that_the_kernel_makes_again)
{
    judge_wait(_i, SA_RESTART);
}
END_TEST

/* ---- faults -------------------------------------------------------------------------------- */

static char *forbidden;
static sigjmp_buf behind;
static stack_t alternate;

static void judge_fault(int signo, siginfo_t *info, void *context)
{
    judge(signo, info, context);
    siglongjmp(behind, 1);
}

/* A handler of this kind is not given the context; what it interrupted is found all the same. */
static void judge_plainly(int signo)
{
    (void)signo;
    here = grace_safepoint_here();
    judged++;
    siglongjmp(behind, 1);
}

static void judge_from_above(int signo, siginfo_t *info, void *context)
{
    raise(SIGUSR1);
    judge_fault(signo, info, context);
}

/* The pages are as far from all code as a program's own mappings are. */
static void setup_faults(void)
{
    setup();
    forbidden = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(forbidden != MAP_FAILED);
    alternate.ss_size = 65536;
    alternate.ss_sp = malloc(alternate.ss_size);
    ck_assert_int_eq(sigaltstack(&alternate, NULL), 0);
}

static void fault_in_strlen(void)
{
    size_t (*volatile length)(const char *) = strlen;
    length(forbidden + 4096);
}

/* It looks at what stands before the memory that it is given. */
static void fault_in_free(void)
{
    void (*volatile release)(void *) = free;
    release(forbidden + 4096);
}

static void fault_in_code_of_nobody(void)
{
    void (*volatile run)(void) = (void (*)(void))(uintptr_t)(forbidden + 4096);
    run();
}

static const struct {
    const char *name;
    void (*fault)(void);
    bool is_safe;
} faults[] = {
    {"strlen", fault_in_strlen, false},
    {"free", fault_in_free, false},
    {"code of nobody", fault_in_code_of_nobody, true},
};
#define FAULTS ((int)(sizeof faults / sizeof faults[0]))

static void fault(int row)
{
    if (sigsetjmp(behind, 1) == 0)
        faults[row].fault();
    ck_assert_int_ge(judged, 1);
}

static void judge_fault_with(int row, int flags)
{
    install(SIGSEGV, judge_fault, flags);
    fault(row);
    ck_assert_msg(at == faults[row].is_safe, "%s: %s", faults[row].name, at ? "safe" : "not safe");
    ck_assert_msg(here == faults[row].is_safe, "%s, asked in the handler: %s", faults[row].name,
                  here ? "safe" : "not safe");
    /* The handler is gone, and with it what it interrupted. */
    ck_assert(grace_safepoint_here());
}

START_TEST(a_handler_is_as_safe_as_what_it_interrupted)
{
    judge_fault_with(_i, 0);
}
END_TEST

START_TEST(so_it_is_on_an_alternate_stack)
{
    judge_fault_with(_i, SA_ONSTACK);
}
END_TEST

static void *fault_in_thread(void *row)
{
    judge_fault_with((int)(uintptr_t)row, 0);
    return NULL;
}

START_TEST(so_it_is_in_a_thread)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, fault_in_thread, (void *)(uintptr_t)_i), 0);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(so_is_one_that_is_not_given_the_context)
{
    struct sigaction action = {.sa_handler = judge_plainly};
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    fault(_i);
    ck_assert_msg(here == faults[_i].is_safe, "%s: %s", faults[_i].name,
                  here ? "safe" : "not safe");
}
END_TEST

/* What it interrupted itself is safe, not what that had interrupted. */
static _Atomic bool raised_at, raised_here;

static void judge_raised(int signo, siginfo_t *info, void *context)
{
    judge(signo, info, context);
    raised_at = at;
    raised_here = here;
}

START_TEST(one_above_another_is_as_safe_as_both)
{
    install(SIGUSR1, judge_raised, 0);
    install(SIGSEGV, judge_from_above, SA_ONSTACK);
    fault(_i);
    ck_assert(raised_at);
    ck_assert_msg(raised_here == faults[_i].is_safe, "%s: %s", faults[_i].name,
                  raised_here ? "safe" : "not safe");
}
END_TEST

/* ---- handlers ------------------------------------------------------------------------------ */

START_TEST(outside_of_handlers_it_is_safe)
{
    ck_assert(grace_safepoint_here());
}
END_TEST

START_TEST(a_handler_above_raise_is_safe)
{
    install(SIGUSR1, judge, 0);
    raise(SIGUSR1);
    ck_assert_int_eq(judged, 1);
    ck_assert(at && here && !in_handler_below);
}
END_TEST

static int depth;

static void raise_again(int signo)
{
    if (--depth > 0)
        raise(signo);
    else
        here = grace_safepoint_here();
}

static bool is_safe_in(int handlers)
{
    struct sigaction action = {.sa_handler = raise_again, .sa_flags = SA_NODEFER};
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    depth = handlers;
    raise(SIGUSR1);
    return here;
}

START_TEST(handlers_are_counted_up_to_a_bound)
{
    ck_assert(is_safe_in(8));
    ck_assert(!is_safe_in(32));
}
END_TEST

/* Of two signals that come at once, one handler interrupts the other before its first instruction.
 */
static _Atomic int handlers_begun, begun_below;

static void note_below(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)info;
    handlers_begun++;
    const ucontext_t *below = grace_frame_below(context);
    if (below == NULL)
        return;
    begun_below++;
    /* That one interrupted the call which let both in. */
    at = grace_safepoint_at(below) && grace_context_ip(context) == (uintptr_t)&note_below;
}

START_TEST(a_handler_that_has_not_begun_is_seen)
{
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    install(SIGUSR1, note_below, 0);
    install(SIGUSR2, note_below, 0);
    pthread_sigmask(SIG_BLOCK, &both, NULL);
    raise(SIGUSR1);
    raise(SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &both, NULL);
    ck_assert_int_eq(handlers_begun, 2);
    ck_assert_int_eq(begun_below, 1);
    ck_assert(at);
}
END_TEST

START_TEST(a_stack_that_cannot_be_read_is_not_looked_at)
{
    const ucontext_t *context;
    ck_assert(!grace_frame_find((uintptr_t)forbidden + 4096, &context));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("safe point");
    TCase *places = tcase_create("places");
    tcase_add_checked_fixture(places, setup, NULL);
    tcase_add_test(places, code_that_takes_none_of_libcs_locks_is_safe);
    tcase_add_loop_test(places, code_of_libc_and_its_loader_is_not, 0,
                        sizeof libc_functions / sizeof libc_functions[0]);
    tcase_add_test(places, our_own_code_is_not);
    tcase_add_test(places, the_kernels_code_is_not);
    tcase_add_test(places, before_a_call_is_repeated_it_is_libcs_code_that_makes_it);
    suite_add_tcase(all, places);

    TCase *waiting_threads = tcase_create("waits");
    tcase_set_timeout(waiting_threads, LIMIT_S);
    tcase_add_checked_fixture(waiting_threads, setup, NULL);
    tcase_add_loop_test(waiting_threads, a_wait_is_safe_unless_it_is_for_a_lock, 0, WAITS);
    tcase_add_loop_test(waiting_threads, so_is_one_that_the_kernel_makes_again, 0, WAITS);
    suite_add_tcase(all, waiting_threads);

    TCase *handlers = tcase_create("handlers");
    tcase_set_timeout(handlers, LIMIT_S);
    tcase_add_checked_fixture(handlers, setup_faults, NULL);
    tcase_add_loop_test(handlers, a_handler_is_as_safe_as_what_it_interrupted, 0, FAULTS);
    tcase_add_loop_test(handlers, so_it_is_on_an_alternate_stack, 0, FAULTS);
    tcase_add_loop_test(handlers, so_it_is_in_a_thread, 0, FAULTS);
    tcase_add_loop_test(handlers, so_is_one_that_is_not_given_the_context, 0, FAULTS);
    tcase_add_loop_test(handlers, one_above_another_is_as_safe_as_both, 0, FAULTS);
    tcase_add_test(handlers, outside_of_handlers_it_is_safe);
    tcase_add_test(handlers, a_handler_above_raise_is_safe);
    tcase_add_test(handlers, handlers_are_counted_up_to_a_bound);
    tcase_add_test(handlers, a_handler_that_has_not_begun_is_seen);
    tcase_add_test(handlers, a_stack_that_cannot_be_read_is_not_looked_at);
    suite_add_tcase(all, handlers);
    return all;
}
