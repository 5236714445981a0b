/*
 * Editing answers, from the outside: which calls are redirected, and to what.
 *
 * A name may stand for several functions in one process: the target's objects call what comes first
 * in the loader's order, which may be another preload's, or ours around libc's (calls/); an object
 * that was loaded with RTLD_DEEPBIND calls libc's. Each is redirected where it is called, and the
 * replacement calls the first of them. A program that exports a function of its own by such a name
 * keeps it.
 *
 * All this takes the loader's locks, and a thread of the target may hold them for as long as a
 * library's constructor takes. So it is a thread of our own that waits for them, while answers are
 * edited, and nobody waits for that thread for long. It also looks after what is loaded meanwhile.
 */
#include "../answers.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "../raw.h"
#include "../redirect.h"
#include "../shim.h"
#include "calls.h"
#include "connection.h"
#include "hooks/room.h"
#include "tls.h"

/* How long a beginning or its end may take, and how often is looked for objects that are new. */
#define WAIT_MOST_MS  1000
#define LOOK_AGAIN_MS 250

void *grace_late_before[GRACE_LATE_COUNT];

#define grace_late___write      grace_late_write
#define grace_late___send       grace_late_send
#define grace_late___sendmsg64  grace_late_sendmsg
#define grace_late___sendmmsg64 grace_late_sendmmsg

/* Our own wrappers (calls/wait_socket.c); not there where libgrace is linked for its tests. */
#define WRAPPER __attribute__((weak, visibility("hidden")))
extern char grace_wait_send[] WRAPPER, grace_wait_sendto[] WRAPPER, grace_wait_sendmsg[] WRAPPER;

enum { NO_THREAD, ON, OFF };

static struct {
    struct grace_redirection list[3 * GRACE_LATE_COUNT]; /* the thread's own, as the next one */
    struct grace_redirect redirect;
    pid_t process;
    _Atomic uint32_t wanted, is; /* what the thread is to do, and what it has done */
    _Atomic int32_t thread;
} answers GRACE_ROOM(answers);

static void add(const char *name, void *replacement, void *original, bool unbound)
{
    if (original == NULL)
        return;
    answers.list[answers.redirect.count++] =
        (struct grace_redirection){name, replacement, original, unbound};
}

enum whose { NOBODYS, PROGRAMS, LENT, ANOTHERS };

/*
 * Whose function a name leads to. A program that is not relocatable lends the entry of its own
 * table of calls to whoever takes a function's address: that leads on to where the name leads
 * otherwise.
 */
static enum whose whose_is(void *function)
{
    Dl_info found;
    const ElfW(Sym) *symbol = NULL;
    const char *headers = (const char *)getauxval(AT_PHDR);
    if (function == NULL || dladdr1(function, &found, (void **)&symbol, RTLD_DL_SYMENT) == 0)
        return NOBODYS;
    if (headers == NULL || (uintptr_t)headers - (uintptr_t)found.dli_fbase >= 4096)
        return ANOTHERS;
    return symbol != NULL && symbol->st_shndx == SHN_UNDEF ? LENT : PROGRAMS;
}

static void *wrapper_of(enum grace_late_call call)
{
    switch (call) {
    case GRACE_LATE_send:
    case GRACE_LATE___send:
        return grace_wait_send;
    case GRACE_LATE_sendto:
        return grace_wait_sendto;
    case GRACE_LATE_sendmsg:
        return grace_wait_sendmsg;
    default:
        return NULL;
    }
}

static void learn_call(enum grace_late_call call, const char *name, void *replacement)
{
    void *next = dlsym(RTLD_NEXT, name), *first = dlsym(RTLD_DEFAULT, name);
    void *own = wrapper_of(call);
    enum whose whose = whose_is(first);
    if (whose != ANOTHERS)
        first = NULL;
    grace_late_before[call] = first != NULL ? first : own != NULL ? own : next;
    add(name, replacement, grace_late_before[call], whose == ANOTHERS || whose == LENT);
    if (own != grace_late_before[call])
        add(name, replacement, own, false);
    if (next != grace_late_before[call])
        add(name, replacement, next, false);
}

static void learn(void)
{
#define LEARN(name) learn_call(GRACE_LATE_##name, #name, (void *)grace_late_##name);
    GRACE_LATE_CALLS(LEARN)
#undef LEARN
    answers.redirect.list = answers.list;
}

/* ---- not while somebody forks -------------------------------------------------------------- */

enum { FREE, HELD, WAITED_FOR };

/* Futex: who asks the loader, or forks, has it. */
static _Atomic uint32_t gate;
static __thread bool has_gate __attribute__((tls_model("initial-exec")));

/* Without it at last, where the loader is not to be had: by a fork in a library's constructor. */
static void take_gate(void)
{
    uint32_t free = FREE;
    has_gate = atomic_compare_exchange_strong(&gate, &free, HELD);
    if (has_gate)
        return;
    for (uint64_t now, end = grace_now_ms() + WAIT_MOST_MS; (now = grace_now_ms()) < end;) {
        if (atomic_exchange(&gate, WAITED_FOR) == FREE) {
            has_gate = true;
            return;
        }
        grace_futex_wait(&gate, WAITED_FOR, (int64_t)(end - now));
    }
}

static void leave_gate(void)
{
    if (has_gate && atomic_exchange(&gate, FREE) == WAITED_FOR)
        grace_futex_wake_all(&gate);
    has_gate = false;
}

void grace_answers_before_fork(void)
{
    take_gate();
}

void grace_answers_after_fork(bool is_child)
{
    if (!is_child && !has_gate)
        return; /* no page is written that a child has in common with us */
    if (is_child)
        atomic_store(&gate, FREE); /* nobody else is here */
    else
        leave_gate();
    has_gate = false;
}

/* ---- the thread that does it --------------------------------------------------------------- */

static void apply(void)
{
    if (answers.redirect.list == NULL)
        learn();
    grace_redirect(&answers.redirect);
    grace_late_tls_apply();
}

/* Connections on which something of ours is still to go out need their calls redirected. */
static void take_back(void)
{
    grace_late_tls_end();
    if (grace_late_connections_end())
        grace_redirect_undo(&answers.redirect);
}

static void *redirect(void *unused)
{
    atomic_store(&answers.thread, grace_gettid());
    for (;;) {
        uint32_t wanted = atomic_load(&answers.wanted);
        take_gate();
        if (wanted == ON) {
            apply();
            grace_late_tls_look();
        } else
            take_back();
        leave_gate();
        atomic_store(&answers.is, wanted);
        grace_futex_wake_all(&answers.is);
        if (wanted == OFF && atomic_compare_exchange_strong(&answers.wanted, &wanted, NO_THREAD))
            return unused;
        if (wanted == ON)
            grace_futex_wait(&answers.wanted, wanted, LOOK_AGAIN_MS);
    }
}

/* Returns whether it is so. */
static bool wait_until(uint32_t wanted)
{
    uint64_t end = grace_now_ms() + WAIT_MOST_MS;
    for (uint32_t is; (is = atomic_load(&answers.is)) != wanted;) {
        uint64_t now = grace_now_ms();
        if (now >= end)
            return false;
        grace_futex_wait(&answers.is, is, (int64_t)(end - now));
    }
    return true;
}

bool grace_answers_begin(void)
{
    if (answers.process != grace_getpid()) { /* a forked child has its parent's thread no longer */
        answers.process = grace_getpid();
        atomic_store(&answers.wanted, NO_THREAD);
        atomic_store(&answers.is, NO_THREAD);
    }
    if (atomic_load(&answers.wanted) != ON) {
        if (!grace_late_connections_begin())
            return false;
        grace_late_tls_begin();
    }
    if (atomic_exchange(&answers.wanted, ON) == NO_THREAD &&
        grace_thread_start(redirect, NULL) != 0) {
        atomic_store(&answers.wanted, NO_THREAD);
        return false;
    }
    return wait_until(ON);
}

int32_t grace_answers_thread(void)
{
    bool is_ours = answers.process == grace_getpid() && atomic_load(&answers.wanted) != NO_THREAD;
    return is_ours ? atomic_load(&answers.thread) : 0;
}

bool grace_answers_may_be_tls(void)
{
    bool is_asked_first;
    bool is_absent = grace_late_tls_is_absent(&is_asked_first);
    if (is_asked_first)
        grace_futex_wake_all(&answers.wanted);
    return !is_absent;
}

void grace_answers_undo(void)
{
    uint32_t on = ON;
    if (answers.process != grace_getpid() ||
        !atomic_compare_exchange_strong(&answers.wanted, &on, OFF))
        return;
    grace_futex_wake_all(&answers.wanted);
    wait_until(OFF);
}
