/*
 * The corners of the signal API: children by fork and vfork, many threads, more handlers than
 * libgrace has slots for, dispositions set before libgrace's constructor, stacks with no room,
 * masks, jumps, waits that nothing may end. What the program writes and how it ends is what it is
 * without libgrace, whatever the config asks for.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *const configs[] = {NULL, "stop", "announce"};
#define CONFIGS ((int)(sizeof configs / sizeof *configs))

static void with_config(const char *hooks)
{
    if (hooks == NULL)
        return;
    bool announce = strcmp(hooks, "announce") == 0;
    config("hooks = (%s%s%s);", announce ? hook_command("A", "phase = \"announce\";") : "",
           announce ? ", " : "", hook_command("B", ""));
}

/* The hooks of the owner ran once, and none for a child of its. */
static void expect_hooks(const char *hooks)
{
    if (hooks != NULL)
        expect_order(strcmp(hooks, "announce") == 0 ? "A B" : "B");
}

/* ---- programs that send themselves what they need ---------------------------------------------
 */

static const char *const alone[][3] = {
    {"vfork", "0", NULL},         {"vfork-reset", "0", NULL},   {"fork-handler", "15", NULL},
    {"fork-handler", "2", NULL},  {"fork-default", "15", NULL}, {"fork-default", "1", NULL},
    {"threads", "15", NULL},      {"threads", "2", NULL},       {"hold", "15", NULL},
    {"hold", "2", NULL},          {"nest", "15", NULL},         {"nest", "3", NULL},
    {"nest-nodefer", "15", NULL},
};
#define ALONE ((int)(sizeof alone / sizeof *alone))

START_TEST(observes_the_same)
{
    const char *const *words = alone[_i / CONFIGS];
    const char *hooks = configs[_i % CONFIGS];
    with_config(hooks);
    struct process *bare = start(BARE, program("corners"), words[0], words[1]);
    struct process *graced = start(GRACED, program("corners"), words[0], words[1]);
    expect_status(wait_end(graced), wait_end(bare));
    expect(strlen(contents(bare->out)) > 0);
    expect_text(contents(graced->out), contents(bare->out));
    expect_hooks(hooks);
}
END_TEST

/* ---- programs that are sent a signal ----------------------------------------------------------
 */

static void same_when_sent(const char *const *words, int signo)
{
    const char *view[2];
    int status[2];
    for (int way = BARE; way <= GRACED; way++) {
        struct process *target = launch(&(struct launch){.way = (enum way)way, .argv = words});
        wait_ready(target);
        status[way] = stop_with(target, signo);
        view[way] = contents(target->out);
    }
    expect_status(status[GRACED], status[BARE]);
    expect_text(view[GRACED], view[BARE]);
}

static const struct sent {
    const char *program, *name, *size;
    int signo;
} sent[] = {
    {"newcomer", "often", NULL, SIGTERM},
    {"newcomer", "often", NULL, SIGINT},
    {"newcomer", "threads", NULL, SIGTERM},
    {"newcomer", "threads", NULL, SIGINT},
    {"corners", "jumps", NULL, SIGTERM},
    {"corners", "jumps", NULL, SIGHUP},
    {"corners", "small-stack", "minimal", SIGTERM},
    {"corners", "small-stack", "minimal", SIGHUP},
    {"corners", "small-stack", "usual", SIGTERM},
    {"corners", "small-stack", "tight", SIGTERM},
    {"corners", "small-stack", "tight", SIGHUP},
    {"corners", "default-beside", "tight", SIGTERM},
    {"corners", "default-within", "two", SIGTERM},
    {"corners", "default-within", "usual", SIGTERM},
    {"corners", "default-within", "usual", SIGHUP},
};
#define SENT ((int)(sizeof sent / sizeof *sent))

START_TEST(observes_the_same_when_sent_a_signal)
{
    const struct sent *this = &sent[_i / CONFIGS];
    with_config(configs[_i % CONFIGS]);
    same_when_sent(ARGV(program(this->program), this->name, text("%d", this->signo), this->size),
                   this->signo);
    expect_hooks(configs[_i % CONFIGS]);
}
END_TEST

/* ---- handlers that jump ------------------------------------------------------------------------
 */

/* Out of calls, at random instants, thousands of times; first out of a call that goes on while a
 * signal waits for its announcement. Nothing of it is left behind. */
START_TEST(jumping_handlers_leave_nothing_behind)
{
    const char *stack = _i % 2 == 0 ? "own" : "alternate";
    const char *hooks = configs[_i / 2];
    if (_i / 2 == 2)
        config("hooks = (%s, %s);",
               hook_script("A", "until test -e go-on; do sleep 0.01; done; echo A >> order",
                           "phase = \"announce\";"),
               hook_command("B", ""));
    else
        with_config(hooks);
    same_when_sent(ARGV(program("jumper"), stack), SIGTERM);
    expect(strstr(contents("0.out"), "jumps: blocked 0, 1 of 1") != NULL, "%s", contents("0.out"));
    expect_hooks(hooks);
}
END_TEST

/* ---- before the constructor --------------------------------------------------------------------
 */

/* Sets one disposition from its constructor, as EARLY says. */
static const char early_source[] =
    "#define _GNU_SOURCE\n#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
    "#include <string.h>\n#include <unistd.h>\n"
    "static void early(int signo) { (void)signo; if (write(1, \"early\\n\", 6) < 0) _exit(9);\n"
    "  _exit(4); }\n"
    "__attribute__((constructor)) static void begin(void) {\n"
    "  const char *how = getenv(\"EARLY\"); struct sigaction action = {0}, old;\n"
    "  if (how == NULL) return;\n"
    "  action.sa_handler = strstr(how, \"handler\") ? early : strstr(how, \"ignore\") ? SIG_IGN\n"
    "    : SIG_DFL;\n"
    "  action.sa_flags = (int)(SA_NODEFER | (strstr(how, \"once\") ? SA_RESETHAND : SA_RESTART));\n"
    "  sigaddset(&action.sa_mask, SIGUSR2);\n"
    "  if (strstr(how, \"signal\")) { signal(SIGTERM, SIG_IGN);\n"
    "    if (signal(SIGTERM, action.sa_handler) != SIG_IGN) _exit(8); }\n"
    "  else { sigaction(SIGTERM, &action, NULL); sigaction(SIGTERM, NULL, &old);\n"
    "    if (old.sa_handler != action.sa_handler) _exit(7); }\n"
    "}\n";

static const char *const early[] = {"handler",        "handler once",  "ignore",        "default",
                                    "signal handler", "signal ignore", "signal default"};
#define EARLY ((int)(sizeof early / sizeof *early))
enum { LISTED_BEFORE, LISTED_BEHIND, PLACES };

static struct process *start_early(enum way way, int place, const char *how)
{
    const char *ours = product("libgrace.so"), *theirs = here("early.so");
    const char *preload = way == BARE              ? theirs
                          : place == LISTED_BEFORE ? text("%s:%s", theirs, ours)
                                                   : text("%s:%s", ours, theirs);
    const char *argv[] = {"/usr/bin/env",
                          text("LD_PRELOAD=%s", preload),
                          text("EARLY=%s", how),
                          exists("grace.conf") ? text("GRACE_CONFIG=%s", here("grace.conf"))
                                               : "UNUSED=1",
                          program("corners"),
                          "as-found",
                          NULL};
    return launch(&(struct launch){.way = BARE, .argv = argv});
}

START_TEST(what_a_constructor_set_before_stays)
{
    const char *how = early[_i % EARLY];
    int place = _i / EARLY % PLACES;
    const char *hooks = configs[_i / EARLY / PLACES];
    with_config(hooks);
    write_file("early.c", "%s", early_source);
    expect_status(run(BARE, "cc", "-shared", "-fPIC", "-o", "early.so", "early.c"), EXITED(0));
    struct process *bare = start_early(BARE, place, how), *graced = start_early(GRACED, place, how);
    wait_ready(bare);
    wait_ready(graced);
    bool ignored = strstr(how, "ignore") != NULL;
    if (ignored) {
        send_signal(bare, SIGTERM);
        send_signal(graced, SIGTERM);
    }
    int expected = stop_with(bare, ignored ? SIGINT : SIGTERM);
    expect_status(stop_with(graced, ignored ? SIGINT : SIGTERM), expected);
    expect_text(contents(graced->out), contents(bare->out));
    expect_hooks(hooks);
}
END_TEST

/* ---- waits that nothing may end ----------------------------------------------------------------
 */

static const char *const waits[] = {"cond",    "sem",   "join",      "mutex",     "rwlock",
                                    "barrier", "flock", "fifo-open", "fifo-read", "waitpid"};
#define WAITS ((int)(sizeof waits / sizeof *waits))

START_TEST(a_blocked_thread_stays_where_it_is)
{
    const char *call = waits[_i % WAITS];
    const char *where = _i / WAITS % 2 == 0 ? "wait-main" : "wait-thread";
    const char *hooks = configs[_i / WAITS / 2];
    with_config(hooks);
    for (int way = BARE; way <= GRACED; way++) {
        struct process *target =
            start((enum way)way, program("corners"), where, text("%d", SIGTERM), call);
        wait_ready(target);
        wait_asleep(target);
        expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
        expect_text(contents(target->out), "ready\n");
    }
    expect_hooks(hooks);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest corners");
    TCase *group = story_case(all, "corners");
    tcase_add_loop_test(group, observes_the_same, 0, ALONE * CONFIGS);
    tcase_add_loop_test(group, observes_the_same_when_sent_a_signal, 0, SENT * CONFIGS);
    tcase_add_loop_test(group, jumping_handlers_leave_nothing_behind, 0, 2 * CONFIGS);
    tcase_add_loop_test(group, what_a_constructor_set_before_stays, 0, EARLY * PLACES * CONFIGS);
    tcase_add_loop_test(group, a_blocked_thread_stays_where_it_is, 0, WAITS * 2 * CONFIGS);
    return all;
}
