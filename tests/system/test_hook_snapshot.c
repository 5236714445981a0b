/*
 * The plugin `snapshot`: what a program was doing when its stop began, or when it hung until the
 * deadline, and nothing that is a secret.
 */
#include "harness.h"
#include "harness_hooks.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nobody ends the connections of these targets: a drain would wait for them. */
#define NO_DRAIN "drain = { when = \"never\"; };\n"

static char *hook_snapshot(const char *options, const char *more)
{
    return text("{ name = \"look\"; plugin = \"snapshot\"; options = { to = \"%s\"; %s }; %s }",
                here("reports"), options, more);
}

static unsigned report_count(void)
{
    unsigned count = 0;
    DIR *folder = opendir(here("reports"));
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        count += strstr(entry->d_name, ".txt") != NULL;
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* The only report. */
static char *report(void)
{
    expect(report_count() == 1, "%u", report_count());
    expect(system(text("cat '%s'/*.txt > '%s'", here("reports"), here("report"))) == 0);
    return contents("report");
}

#define expect_in(report, ...)                                                                     \
    expect(strstr((report), text(__VA_ARGS__)) != NULL, "no \"%s\" in\n%s", text(__VA_ARGS__),     \
           (report))

/* A server with a listener, a connection, a file, a thread with a name, and secrets. What it does
 * at TERM stands in its argument. */
static const char server_source[] =
    "import signal, socket, sys, threading, time\n"
    "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
    "c = socket.create_connection(s.getsockname())\n"
    "u = socket.socket(socket.AF_UNIX); u.bind('server.sock'); u.listen()\n"
    "f = open('data', 'w'); f.write('x' * 1234); f.flush()\n"
    "def work():\n"
    "    open('/proc/thread-self/comm', 'w').write('the-worker')\n"
    "    time.sleep(3600)\n"
    "threading.Thread(target=work, daemon=True).start()\n"
    "def hang(*unused):\n"
    "    while True: pass\n"
    "if 'hang' in sys.argv: signal.signal(signal.SIGTERM, hang)\n"
    "if 'exit' in sys.argv: signal.signal(signal.SIGTERM, lambda *unused: sys.exit(0))\n"
    "print('ready', flush=True)\n"
    "print('port %d' % s.getsockname()[1], flush=True)\n"
    "time.sleep(3600)\n";

static struct process *start_server(const char *what)
{
    write_file("server.py", "%s", server_source);
    environment("DB_PASSWORD", "hunter1");
    environment("SERVICE_URL", "amqp://user:hunter2@broker/vhost");
    environment("CONNECTION", "host=db password=hunter3");
    environment("PLAIN", "shown");
    struct process *server =
        start(GRACED, "/usr/bin/python3", here("server.py"), what, "--api-key", "hunter4",
              "--secret=hunter5", "--url=http://user:hunt/er6@host/", "plain-argument");
    wait_ready(server);
    wait_contains(server->out, "port ");
    wait_asleep(server);
    return server;
}

static void expect_living(const struct process *server, const char *all)
{
    int port = atoi(strstr(contents(server->out), "port ") + 5);
    expect_in(all, "pid: %d\n", (int)server->pid);
    expect_in(all, "exe: /usr/bin/python3");
    expect_in(all, "  plain-argument\n");
    expect_in(all, " tcp 127.0.0.1:%d -> 0.0.0.0:0 LISTEN", port);
    expect_in(all, " -> 127.0.0.1:%d ESTABLISHED", port);
    expect_in(all, " unix stream LISTEN server.sock");
    expect_in(all, "/data (write, at 1234)");
    expect_in(all, "\"the-worker\" S in clock_nanosleep");
    expect_in(all, "VmRSS:");
    expect_in(all, "Private_Dirty:");
    expect_in(all, "Max open files");
    expect_in(all, "\n== cgroup\n");
    expect_in(all, "\nDB_PASSWORD\n");
    expect_in(all, "clock_nanosleep"); /* in a stack of the program's, by eu-stack */
    expect_in(all, "\nTID %d:\n", (int)server->pid);
    expect_in(all, "\n== end\n");
}

static void expect_no_secret(const char *all)
{
    static const char *const secrets[] = {"hunter", "hunt/er6"};
    for (size_t i = 0; i < 2; i++)
        expect(strstr(all, secrets[i]) == NULL, "%s in\n%s", secrets[i], all);
}

START_TEST(a_stop_is_seen_while_the_target_lives)
{
    config(NO_DRAIN "log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s);", here("log"),
           hook_snapshot("", "phase = \"announce\"; timeout = \"30s\";"));
    struct process *server = start_server("");
    expect_status(stop_with(server, SIGTERM), KILLED(SIGTERM));
    wait_all_gone();
    char *all = report();
    expect_in(all, "cause: signal\nsignal: TERM (15)\n");
    expect_in(all, "sender: pid %d (test_hook_snaps", (int)getpid());
    expect_in(all, "phase announce, try 1\n");
    expect_in(all, "stopping: SIGTERM from pid %d", (int)getpid()); /* the log's first line */
    expect_living(server, all);
    expect_no_secret(all);
    expect(strstr(all, "PLAIN=") == NULL && strstr(all, "\nPLAIN\n") != NULL);
    struct stat about;
    expect(system(text("mv '%s'/*.txt '%s'", here("reports"), here("moved"))) == 0);
    expect(stat(here("moved"), &about) == 0 && (about.st_mode & 0777) == 0600);
}
END_TEST

/* Its own handler never comes back: it is seen before the guardian kills it at the deadline, though
 * the hook's phase comes after that. */
START_TEST(a_target_that_hangs_is_seen_before_it_is_killed)
{
    static const char *const phases[] = {"stop", "cleanup"};
    config(NO_DRAIN "deadline = \"8s\"; enforce = true;\nlog = { to = \"file\"; path = \"%s\"; };\n"
                    "hooks = (%s, %s);",
           here("log"), hook_command("after", "phase = \"cleanup\";"),
           hook_snapshot("", text("phase = \"%s\"; timeout = \"6s\";", phases[_i])));
    struct process *server = start_server("hang");
    expect_status(stop_with(server, SIGTERM), KILLED(SIGKILL));
    expect_order("after");
    char *all = report();
    expect_living(server, all);
    expect_in(all, "\"python3\" R in running");
    expect_no_secret(all);
    char *log = contents("log");
    const char *looked = strstr(log, "hook \"look\""), *killed = strstr(log, "killing it");
    expect(looked != NULL && killed != NULL && looked < killed, "%s", log);
    expect(count_of(log, "hook \"look\" ") == 1, "%s", log);
}
END_TEST

/* A hook inside hangs, libgrace leads: the snapshot of the phase stop was taken already. */
START_TEST(a_hook_that_hangs_hides_nothing)
{
    config(NO_DRAIN
           "deadline = \"8s\";\nlog = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s);",
           here("log"), hook_script("hangs", text("sleep %d", STORY_HANG_S), "timeout = \"1h\";"),
           hook_snapshot("", "phase = \"announce\"; timeout = \"30s\";"));
    struct process *server = start_server("");
    expect_status(stop_with(server, SIGTERM), KILLED(SIGTERM));
    wait_all_gone();
    expect_living(server, report());
}
END_TEST

START_TEST(of_a_target_that_is_gone_it_writes_what_is_known)
{
    config(NO_DRAIN "log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s);", here("log"),
           hook_snapshot("", ""));
    struct process *server = start_server("");
    expect_status(stop_with(server, SIGKILL), KILLED(SIGKILL));
    wait_all_gone();
    char *all = report();
    expect_in(all, "cause: killed\nsignal: KILL (9)\n");
    expect_in(all, "it has ended");
    expect_in(all, "ended: killed by SIGKILL; 1 hook to run");
    expect_in(all, "\n== end\n");
    expect(strstr(all, "== process") == NULL); /* the number may be another's */
    expect(strstr(contents("log"), "hook \"look\" (stop) done") != NULL);
}
END_TEST

START_TEST(values_of_the_environment_are_shown_but_for_secrets)
{
    config(NO_DRAIN "hooks = (%s);",
           hook_snapshot("environment = \"values\"; stacks = false;", "phase = \"announce\";"));
    struct process *server = start_server("exit");
    expect_status(stop_with(server, SIGTERM), EXITED(0));
    wait_all_gone();
    char *all = report();
    expect_in(all, "\nPLAIN=shown\n");
    expect_in(all, "\nDB_PASSWORD=(hidden)\n");
    expect_in(all, "\nSERVICE_URL=amqp://***@broker/vhost\n");
    expect_in(all, "\nCONNECTION=(hidden)\n");
    expect(strstr(all, "eu-stack") == NULL);
    expect_no_secret(all);
}
END_TEST

/* The target goes on as if nobody had looked, also when eu-stack gets no time. */
START_TEST(a_look_leaves_the_target_as_it_was)
{
    config(NO_DRAIN "hooks = (%s);",
           hook_snapshot("stacks_limit = \"1ms\";", "phase = \"announce\"; timeout = \"30s\";"));
    struct process *server = start_server("exit");
    expect_status(stop_with(server, SIGTERM), EXITED(0));
    wait_all_gone();
    expect_in(report(), "\n== end\n");
}
END_TEST

START_TEST(the_last_reports_are_kept)
{
    config(NO_DRAIN "hooks = (%s);", hook_snapshot("keep = 2; stacks = false;", ""));
    expect(system(text("mkdir '%s'", here("reports"))) == 0);
    write_file("reports/worker-20200101T000000Z-1.txt", "old");
    write_file("reports/worker2-20200101T000000Z-1.txt", "another program's");
    write_file("reports/worker-notes.txt", "somebody's");
    for (int i = 0; i < 3; i++) {
        struct process *worker = start(GRACED, program("worker"), "poll");
        wait_ready(worker);
        expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
        wait_all_gone();
    }
    expect(report_count() == 4, "%u", report_count());
    expect(exists("reports/worker2-20200101T000000Z-1.txt") && exists("reports/worker-notes.txt"));
    expect(!exists("reports/worker-20200101T000000Z-1.txt"));
}
END_TEST

START_TEST(a_folder_that_cannot_be_had_is_told)
{
    write_file("reports", "no folder");
    config(NO_DRAIN "log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s);", here("log"),
           hook_snapshot("", ""));
    expect_status(run(GRACED, program("ender"), "exit"), EXITED(3));
    wait_all_gone();
    expect(strstr(contents("log"), "cannot open folder") != NULL, "%s", contents("log"));
}
END_TEST

static const struct {
    const char *options, *words;
} refused[] = {
    {"", "option \"to\" is missing"},
    {"to = \"x\";", "expected an absolute path"},
    {"to = \"/x\"; keep = 0;", "option \"keep\" is 0"},
    {"to = \"/x\"; log_lines = -1;", "option \"log_lines\" is -1"},
    {"to = \"/x\"; environment = \"all\";", "expected \"names\", \"values\" or \"none\""},
    {"to = \"/x\"; stacks_limit = 2;", "expected a duration"},
    {"to = \"/x\"; stack = true;", "unknown option \"stack\""},
};

START_TEST(wrong_options_are_told_before_the_start)
{
    expect_refused("snapshot", refused[_i].options, refused[_i].words);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("snapshot");
    TCase *group = story_case(all, "seen");
    tcase_add_test(group, a_stop_is_seen_while_the_target_lives);
    tcase_add_loop_test(group, a_target_that_hangs_is_seen_before_it_is_killed, 0, 2);
    tcase_add_test(group, a_hook_that_hangs_hides_nothing);
    tcase_add_test(group, of_a_target_that_is_gone_it_writes_what_is_known);
    tcase_add_test(group, values_of_the_environment_are_shown_but_for_secrets);
    tcase_add_test(group, a_look_leaves_the_target_as_it_was);
    group = story_case(all, "reports");
    tcase_add_test(group, the_last_reports_are_kept);
    tcase_add_test(group, a_folder_that_cannot_be_had_is_told);
    tcase_add_loop_test(group, wrong_options_are_told_before_the_start, 0,
                        (int)(sizeof refused / sizeof refused[0]));
    return all;
}
