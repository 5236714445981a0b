/*
 * What system tests are written with: stories about real processes.
 *
 * A story has a directory of its own, starts programs bare or under libgrace, waits for what they
 * do, and looks at what the kernel and the files say afterwards. Each test is one story (Check runs
 * every test in a process of its own), so the story is not passed around. Whatever it started, and
 * whatever those started, is killed and its directory removed when it ends; after a failure, what
 * the programs wrote is printed and the next story or the end of the run cleans up.
 *
 * Nothing here sleeps for a fixed time: each wait is for an event and fails after STORY_LIMIT_MS.
 * Strings that functions return live until the test ends; nobody frees them.
 */
#ifndef GRACE_TESTS_HARNESS_H
#define GRACE_TESTS_HARNESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "../suite.h"

/* How long anything may take before a test gives up on it: far more than a busy machine needs. */
#ifndef STORY_LIMIT_MS
#define STORY_LIMIT_MS 120000
#endif

/* How long a hook that hangs would take: what a stop that did not bound it could not beat. */
#define STORY_HANG_S 3600

/* A group of tests that are stories. */
TCase *story_case(Suite *suite, const char *name);

/* ---- files: names are relative to the story's directory -------------------------------------- */

char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The absolute path of a name in the story's directory, and that directory's own. */
char *here(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *story_directory(void);

/* What is built: libgrace.so, grace; a program of tests/programs, a plugin of tests/programs/hooks.
 * And a file of the sources. */
char *product(const char *name);
char *program(const char *name);
char *plugin(const char *name);
char *source(const char *name);

void write_file(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *contents(const char *name); /* "" when there is no such file */
bool exists(const char *name);
unsigned count_of(const char *haystack, const char *needle);

void wait_exists(const char *name);
void wait_contains(const char *name, const char *needle);

/* ---- the config ------------------------------------------------------------------------------ */

/* Write the config of programs that are started under libgrace from now on. */
void config(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A hook for it that appends its name, a line, to the file "order": by a command of its own, or
 * within the target. `more` is further settings, as in "phase = \"cleanup\";", or "".
 */
char *hook_command(const char *name, const char *more);
char *hook_plugin(const char *name, const char *more);

/* A hook that runs a script with /bin/sh, in the story's directory. No quotes of the config's (")
 * in it. */
char *hook_script(const char *name, const char *script, const char *more);

/* The setting `hooks` with A, B and C, in this order, all of one kind. */
char *hooks_abc(char *(*hook)(const char *name, const char *more));

/* ---- programs -------------------------------------------------------------------------------- */

/* PROCESSOR in the environment: libgrace is built for that one, and only programs of ours are; a
 * story that has it loaded into another is skipped. */
enum way { BARE, GRACED };

struct launch {
    enum way way;
    const char *const *argv; /* ended by NULL; argv[0] is a path or in PATH */
    const char *user;        /* run as this user; NULL: as the test does */
    const char *directory;   /* working directory; NULL: the story's */
    bool terminal;           /* in the foreground of a terminal of its own */
    bool no_stderr;          /* with descriptor 2 closed */
    bool discard;            /* with its output thrown away */
    int ignored;             /* a signal that it inherits as ignored; 0: none */
    bool overseen;           /* as the child of a supervisor, see harness_overseer.h */
    int listener;            /* given to it as systemd does: descriptor 3, LISTEN_FDS; 0: none */
};

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

/* An option of unshare(1) without which one who is not root may make no other namespaces; for root
 * one that changes nothing beside --fork. The story is skipped where none can be made. */
const char *namespace_option(void);

struct process {
    pid_t pid;
    int status; /* the raw wait status, once it has ended */
    bool ended;
    int pidfd;
    int terminal;              /* the terminal's other end, or -1 */
    struct overseer *overseer; /* whose child it is; NULL: the test's own */
    char *title;
    char *out; /* names of the files that hold what it wrote */
    char *err;
};

/* Set or (NULL) remove a variable of the environment of programs that are started from now on. */
void environment(const char *name, const char *value);

struct process *launch(const struct launch *how);
#define start(the_way, ...) launch(&(struct launch){.way = (the_way), .argv = ARGV(__VA_ARGS__)})

void send_signal(struct process *process, int signo);
void type_interrupt(struct process *process); /* ^C at its terminal */
bool has_ended(struct process *process);
int wait_end(struct process *process); /* returns the raw wait status */

/* Until it wrote the line "ready"; fails at once when it ends without. */
void wait_ready(struct process *process);

/* Until every thread of it sleeps. */
void wait_asleep(const struct process *process);

#define run(the_way, ...)             wait_end(start(the_way, __VA_ARGS__))
#define stop_with(process, the_signo) (send_signal(process, the_signo), wait_end(process))

/* Until nothing that this story started, directly or not, is alive. */
void wait_all_gone(void);

/* Let this much time pass on the clock, for tests about time itself. */
void let_pass(unsigned milliseconds);
int64_t now_ms(void);

/* ---- what programs leave behind -------------------------------------------------------------- */

/* An orphan of this story, a daemon for instance, as a process of its own: to be sent signals and
 * waited for. Waits until it is an orphan. */
struct process *adopt(pid_t pid);

/* The same for one that somebody else waits for: its end is seen, its status is -1. */
struct process *attend(pid_t pid);

/* The same as adopt() for the one that a pid file names, once it names one. */
struct process *adopt_from(const char *pid_file);

/* The number in a file, once there is one: a pid file. */
pid_t pid_in(const char *file);

/* The orphan of this story with a name, once there is one. */
pid_t orphan_named(const char *name);

/* The one guardian of this story; 0: there is none. */
pid_t guardian_pid(void);

/* The same, once it is there. */
pid_t wait_guardian_pid(void);

/* kill -9 to all else that is alive, until nothing is. */
void kill_all_but_guardian(void);

/*
 * All that is alive but for guardians, as a tree: each process with its name and whose process
 * group, session and terminal it is in. Steady: as it stays for a while.
 */
char *picture(void);
char *steady_picture(void);
#define expect_picture(expected) expect_picture_at(__FILE__, __LINE__, (expected))
void expect_picture_at(const char *file, int line, const char *expected);

/* ---- the network ----------------------------------------------------------------------------- */

/* A TCP port of 127.0.0.1 that nobody uses. */
int free_port(void);

/* Until the process accepts connections there. */
void wait_port(struct process *process, int port);

/* A connection, or -1. */
int dial(int port);

/*
 * Send bytes, and read the answer until it has `enough` bytes or the other side closes. Returns
 * its length (0 when none came). The answer is ended by a zero byte.
 */
size_t exchange(int port, const void *request, size_t length, size_t enough, char *answer,
                size_t size);

/* Ask for a path, by a request that is the connection's last, and do not wait for the answer. */
int ask_at(int port, const char *path);

/* All that comes until the end, which closes the connection; good until the next call. */
const char *answer_of(int connection);

/* One HTTP/1.0 GET. Returns the answer's status, or 0 when none came. `body` may be NULL. */
int http_get(int port, const char *path, char **body);

/* ---- expectations: these show what the programs wrote when they fail ------------------------- */

#define EXITED(code)  ((code) << 8)
#define KILLED(signo) (signo)

const char *status_words(int status); /* "exit 3", "killed by signal 15" */

void story_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

#define expect(condition, ...)                                                                     \
    do {                                                                                           \
        if (condition)                                                                             \
            mark_point();                                                                          \
        else                                                                                       \
            story_fail(__FILE__, __LINE__, "not so: %s%s", #condition, text(" " __VA_ARGS__));     \
    } while (0)

#define expect_status(actual, expected)                                                            \
    expect_status_at(__FILE__, __LINE__, #actual, (actual), (expected))
#define expect_text(actual, expected)                                                              \
    expect_text_at(__FILE__, __LINE__, #actual, (actual), (expected))

/*
 * Which hooks ran, in order, as "C B A": once all that the story started is gone, so that one which
 * ran twice or late is seen too.
 */
#define expect_order(expected) expect_order_at(__FILE__, __LINE__, (expected), true)

/* The same where something that a hook left behind is still alive. */
#define expect_order_now(expected) expect_order_at(__FILE__, __LINE__, (expected), false)

void expect_status_at(const char *file, int line, const char *what, int actual, int expected);
void expect_text_at(const char *file, int line, const char *what, const char *actual,
                    const char *expected);
void expect_order_at(const char *file, int line, const char *expected, bool settle);

#endif
