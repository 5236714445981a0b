/*
 * The plugin `unlink`: what a program leaves behind goes, however it ended; what its next instance,
 * a worker that lives on, or anybody else has at the same place stays.
 */
#include "harness.h"
#include "harness_hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLEANUP "phase = \"cleanup\";"

static char *hook_unlink(const char *path, const char *more)
{
    return text("{ name = \"unlink\"; plugin = \"unlink\"; options = { path = %s; }; %s }", path,
                more);
}

/* A hook of the phase stop: what happens before the cleanup. */
static void configure(const char *before, const char *unlink)
{
    config("log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s);", here("log"),
           hook_script("before", before, ""), unlink);
}

/* A daemon as they are: it writes its pid, listens on sockets, has a worker, and cleans nothing. */
static const char daemon_source[] =
    "import os, socket, sys, time\n"
    "open('d.pid', 'w').write('%d\\n' % os.getpid())\n"
    "kept = []\n"
    "for kind in 'STREAM', 'DGRAM', 'SEQPACKET':\n"
    "    s = socket.socket(socket.AF_UNIX, getattr(socket, 'SOCK_' + kind))\n"
    "    s.bind(kind.lower())\n"
    "    if kind != 'DGRAM': s.listen()\n"
    "    kept.append(s)\n"
    "if 'worker' in sys.argv and os.fork() == 0:\n"
    "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "    while os.getppid() != 1 and not os.path.exists('go'): time.sleep(0.02)\n"
    "    os._exit(0)\n"
    "print('ready', flush=True)\n"
    "time.sleep(3600)\n";

static struct process *start_daemon(enum way way, const char *more)
{
    write_file("daemon.py", "%s", daemon_source);
    struct process *daemon = start(way, "/usr/bin/python3", here("daemon.py"), more);
    wait_ready(daemon);
    expect(exists("d.pid") && exists("stream") && exists("dgram") && exists("seqpacket"));
    return daemon;
}

static int stop_daemon(enum way way, int signo)
{
    struct process *daemon = start_daemon(way, "");
    return stop_with(daemon, signo);
}

#define ALL                                                                                        \
    text("[\"%s\", \"%s\", \"%s\", \"%s\"]", here("d.pid"), here("stream"), here("dgram"),         \
         here("seqpacket"))

static const int signals[] = {SIGTERM, SIGKILL, SIGSEGV};

START_TEST(what_the_target_left_is_removed)
{
    expect_status(stop_daemon(BARE, signals[_i]), KILLED(signals[_i]));
    expect(exists("d.pid") && exists("stream"), "without libgrace they stay");
    expect(system(text("cd '%s' && rm d.pid stream dgram seqpacket", story_directory())) == 0);

    configure(":", hook_unlink(ALL, CLEANUP));
    expect_status(stop_daemon(GRACED, signals[_i]), KILLED(signals[_i]));
    wait_all_gone();
    expect(!exists("d.pid") && !exists("stream") && !exists("dgram") && !exists("seqpacket"), "%s",
           contents("log"));
}
END_TEST

/* With the target alive the sockets are its own, and it is the one that listens. */
START_TEST(a_target_that_still_listens_is_no_stranger)
{
    configure(":", hook_unlink(text("[\"%s\", \"%s\", \"%s\"]", here("d.pid"), here("stream"),
                                    here("seqpacket")),
                               ""));
    expect_status(stop_daemon(GRACED, SIGTERM), KILLED(SIGTERM));
    wait_all_gone();
    expect(!exists("d.pid") && !exists("stream") && !exists("seqpacket"), "%s", contents("log"));
}
END_TEST

START_TEST(what_is_not_there_is_no_failure)
{
    configure("rm d.pid stream", hook_unlink(ALL, CLEANUP));
    stop_daemon(GRACED, SIGTERM);
    wait_all_gone();
    expect(strstr(contents("log"), "hook \"unlink\" (cleanup) done") != NULL, "%s",
           contents("log"));
}
END_TEST

/* ---- what stays ------------------------------------------------------------------------------ */

static const struct {
    const char *before; /* with /bin/sh, before the hook runs */
    const char *after;  /* true when it is through */
    const char *words;  /* in the log */
    bool fails;
} others[] = {
    {"echo 1 > d.pid", "grep -qx 1 d.pid", "names process 1, not", false},
    {"echo 1 > new; mv new d.pid", "grep -qx 1 d.pid", "names process 1, not", false},
    {": > d.pid", "[ -f d.pid ]", "it is empty", false},
    {"echo pid=$GRACE_PID > d.pid", "[ -s d.pid ]", "is no pid file", true},
    {"echo ${GRACE_PID}1 > d.pid", "[ -s d.pid ]", "names process", false},
    {"mv d.pid real; ln -s real d.pid", "[ -h d.pid ] && [ -s real ]", "a symbolic link", true},
    {"rm d.pid; mkdir d.pid", "[ -d d.pid ]", "a folder", true},
    {"rm d.pid; mkfifo d.pid", "[ -p d.pid ]", "something else", true},
};

START_TEST(a_pid_file_that_is_not_the_targets_stays)
{
    configure(others[_i].before, hook_unlink(text("\"%s\"", here("d.pid")), CLEANUP));
    stop_daemon(GRACED, SIGTERM);
    wait_all_gone();
    expect(system(text("cd '%s' && %s", story_directory(), others[_i].after)) == 0);
    expect(strstr(contents("log"), others[_i].words) != NULL, "%s", contents("log"));
    bool failed = strstr(contents("log"), "hook \"unlink\" (cleanup) failed") != NULL;
    expect(failed == others[_i].fails, "%s", contents("log"));
    expect(count_of(contents("log"), ".gone") == 0);
}
END_TEST

/* A next instance that is there before the last one's hooks are through: it replaces the sockets
 * and the pid file, as they do. */
START_TEST(a_next_instance_keeps_all_of_its_own)
{
    configure("touch may-start; while [ ! -e started ]; do sleep 0.02; done",
              hook_unlink(ALL, CLEANUP));
    struct process *first = start_daemon(GRACED, "");
    send_signal(first, SIGTERM);
    wait_exists("may-start");
    expect(system(text("cd '%s' && rm d.pid stream dgram seqpacket", story_directory())) == 0);
    struct process *next = start_daemon(BARE, "");
    write_file("started", "now");
    expect_status(wait_end(first), KILLED(SIGTERM));
    wait_contains("log", "nothing is owed any more");
    expect(exists("d.pid") && exists("stream") && exists("dgram") && exists("seqpacket"), "%s",
           contents("log"));
    expect_text(contents("d.pid"), text("%d\n", next->pid));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", here("stream"));
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(connect(client, (const struct sockaddr *)&address, sizeof address) == 0);
    stop_with(next, SIGKILL);
}
END_TEST

START_TEST(a_socket_that_a_worker_still_has_stays)
{
    configure(":", hook_unlink(ALL, CLEANUP));
    struct process *daemon = start_daemon(GRACED, "worker");
    expect_status(stop_with(daemon, SIGKILL), KILLED(SIGKILL));
    wait_contains("log", "nothing is owed any more");
    expect(!exists("d.pid"), "%s", contents("log"));
    expect(exists("stream") && exists("dgram") && exists("seqpacket"), "%s", contents("log"));
    expect(count_of(contents("log"), "kept: somebody uses it") == 3, "%s", contents("log"));
    write_file("go", "now");
}
END_TEST

/* A new process that got the old one's number, as after a reboot. The kernel's choice of numbers
 * cannot be arranged, so the hook is run as the guardian would run it. */
START_TEST(a_number_that_runs_again_is_another_process)
{
    struct process *other = start(BARE, "sleep", "3600");
    config("hooks = (%s);", hook_unlink(text("\"%s\"", here("d.pid")), CLEANUP));
    for (int gone = 1; gone >= 0; gone--) {
        write_file("d.pid", "%d\n", other->pid);
        environment("GRACE_PID", text("%d", other->pid));
        environment("GRACE_GONE", text("%d", gone));
        expect_status(run(BARE, product("grace"), "run-hook", here("grace.conf"), "unlink",
                          product("hooks/unlink.so")),
                      EXITED(0));
        expect(exists("d.pid") == gone);
    }
}
END_TEST

START_TEST(a_folder_that_may_not_be_written_to_is_told)
{
    if (geteuid() != 0)
        skip("needs root, to become somebody else");
    expect(system(text("cd '%s' && mkdir -m 755 run && echo 7 > run/d.pid && chmod 755 .",
                       story_directory())) == 0);
    config("hooks = (%s);", hook_unlink(text("\"%s\"", here("run/d.pid")), CLEANUP));
    environment("GRACE_PID", "7");
    expect(system(text("cp '%s' '%s' '%s'", product("hooks/unlink.so"), product("grace"),
                       story_directory())) == 0);
    struct process *hook = launch(&(struct launch){
        .way = BARE,
        .argv = ARGV(here("grace"), "run-hook", here("grace.conf"), "unlink", here("unlink.so")),
        .user = "nobody"});
    expect_status(wait_end(hook), EXITED(1));
    expect(strstr(contents(hook->err), "cannot remove") != NULL, "%s", contents(hook->err));
    expect(exists("run/d.pid"));
}
END_TEST

/* ---- options --------------------------------------------------------------------------------- */

static const struct {
    const char *options, *words;
} refused[] = {
    {"", "option \"path\" is missing"},
    {"path = [];", "option \"path\" is missing"},
    {"path = \"d.pid\";", "expected an absolute path"},
    {"path = [\"/run/d.pid\", \"/run/\"];", "expected an absolute path of a file"},
    {"path = \"/run/d.pid\"; force = true;", "unknown option \"force\""},
    {"path = 7;", "expected a list of strings"},
};

START_TEST(wrong_options_are_told_before_the_start)
{
    expect_refused("unlink", refused[_i].options, refused[_i].words);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("unlink");
    TCase *group = story_case(all, "removed");
    tcase_add_loop_test(group, what_the_target_left_is_removed, 0, 3);
    tcase_add_test(group, a_target_that_still_listens_is_no_stranger);
    tcase_add_test(group, what_is_not_there_is_no_failure);
    group = story_case(all, "kept");
    tcase_add_loop_test(group, a_pid_file_that_is_not_the_targets_stays, 0,
                        (int)(sizeof others / sizeof others[0]));
    tcase_add_test(group, a_next_instance_keeps_all_of_its_own);
    tcase_add_test(group, a_socket_that_a_worker_still_has_stays);
    tcase_add_test(group, a_number_that_runs_again_is_another_process);
    tcase_add_test(group, a_folder_that_may_not_be_written_to_is_told);
    group = story_case(all, "options");
    tcase_add_loop_test(group, wrong_options_are_told_before_the_start, 0,
                        (int)(sizeof refused / sizeof refused[0]));
    return all;
}
