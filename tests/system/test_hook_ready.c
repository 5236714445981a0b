/* The plugin "ready", as health checkers see it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness_guardian.h"
#include "harness_hooks.h"

static int port;

/* Until a health checker sees the status; 0: nobody answers. */
static void wait_status(int status)
{
    int seen = -1;
    for (int64_t since = now_ms(); (seen = http_get(port, "/health", NULL)) != status; let_pass(5))
        expect(now_ms() - since < STORY_LIMIT_MS, "%d, not %d", seen, status);
}

static char *hook_ready(void)
{
    port = free_port();
    return hook_shipped("ready", text("listen = \"127.0.0.1:%d\";", port), "phase = \"announce\";");
}

/* The process that serves beside a target: the guardian's only child while nothing happens. */
static pid_t server_of(struct process *target)
{
    pid_t guardian = wait_guardian(target);
    for (int64_t since = now_ms();; let_pass(5)) {
        pid_t pid = atoi(contents(text("/proc/%d/task/%d/children", guardian, guardian)));
        if (pid > 0 && strcmp(contents(text("/proc/%d/comm", pid)), "grace-server\n") == 0)
            return pid;
        expect(now_ms() - since < STORY_LIMIT_MS);
    }
}

/* ---- the flip -------------------------------------------------------------------------------- */

static const struct {
    const char *program, *argument;
    int signo, status;
} stops[] = {
    {"worker", "poll", SIGTERM, KILLED(SIGTERM)},
    {"worker", "poll", SIGKILL, KILLED(SIGKILL)},
};

/* A hook of the phase `stop` waits until the test has looked. */
START_TEST(two_hundred_before_503_from_the_announcement_to_the_end)
{
    config("hooks = (%s, %s);", hook_that_waits("wait", "timeout = \"60s\";"), hook_ready());
    struct process *target = start(GRACED, program(stops[_i].program), stops[_i].argument);
    wait_ready(target);
    wait_status(200);
    for (int i = 0; i < 20; i++)
        expect(http_get(port, "/", NULL) == 200);
    send_signal(target, stops[_i].signo);
    wait_exists("began");
    for (int i = 0; i < 20; i++)
        expect(http_get(port, "/any/path?x", NULL) == 503);
    write_file("go", "\n");
    expect_status(wait_end(target), stops[_i].status);
    wait_all_gone();
    expect(http_get(port, "/", NULL) == 0);
    expect_order("wait wait-done");
    if (stops[_i].signo == SIGTERM)
        expect_logged(target, "hook \"ready\" (announce) done");
}
END_TEST

/* With a handler of its own, the program hears of the stop after the health checkers do. */
START_TEST(health_checkers_know_before_the_programs_own_handler)
{
    config("hooks = (%s, %s);", hook_that_waits("wait", "phase = \"announce\"; timeout = \"60s\";"),
           hook_ready());
    struct process *target =
        start(GRACED, "/usr/bin/python3", "-c",
              "import signal, sys\n"
              "signal.signal(signal.SIGTERM, lambda *_: (print('handled', flush=True), "
              "sys.exit(4)))\n"
              "print('ready', flush=True)\nwhile True: signal.pause()");
    wait_ready(target);
    wait_status(200);
    send_signal(target, SIGTERM);
    wait_exists("began");
    expect(http_get(port, "/", NULL) == 503);
    expect(strstr(contents(target->out), "handled") == NULL);
    write_file("go", "\n");
    expect_status(wait_end(target), EXITED(4));
    wait_all_gone();
}
END_TEST

START_TEST(a_unix_socket_will_do)
{
    const char *ask = "curl -s -o /dev/null -w '%{http_code}' --unix-socket ready.sock http://x/";
    config("hooks = (%s, %s);", hook_that_waits("wait", "timeout = \"60s\";"),
           hook_shipped("ready", text("listen = \"unix:%s\";", here("ready.sock")),
                        "phase = \"announce\";"));
    /* What a server that was killed leaves behind. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, here("ready.sock"));
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(bind(stale, (struct sockaddr *)&address, sizeof address) == 0);
    close(stale);
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    for (int64_t since = now_ms(); strcmp(shell(text("%s || true", ask)), "200") != 0; let_pass(5))
        expect(now_ms() - since < STORY_LIMIT_MS);
    send_signal(target, SIGTERM);
    wait_exists("began");
    expect_text(shell(ask), "503");
    write_file("go", "\n");
    expect_status(wait_end(target), KILLED(SIGTERM));
    wait_all_gone();
    expect(!exists("ready.sock"));
}
END_TEST

/* ---- what may be in the way ------------------------------------------------------------------ */

START_TEST(a_port_that_is_taken_is_waited_for)
{
    config("hooks = (%s);", hook_ready());
    write_file(
        "taker.py",
        "import http.server\n"
        "s = http.server.HTTPServer(('127.0.0.1', %d), http.server.SimpleHTTPRequestHandler)\n"
        "print('ready', flush=True); s.serve_forever()\n",
        port);
    struct process *taker = start(BARE, "/usr/bin/python3", "taker.py");
    wait_ready(taker);
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    wait_contains(target->err, "is taken; waiting until it is free");
    expect(http_get(port, "/", NULL) == 404 || http_get(port, "/", NULL) == 200);
    send_signal(taker, SIGKILL);
    wait_end(taker);
    char *body = NULL;
    wait_status(200);
    expect(http_get(port, "/", &body) == 200);
    expect_text(body, "ready\n");
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_logged(target, "hook \"ready\" (announce) done");
}
END_TEST

START_TEST(a_port_that_another_program_keeps_is_a_failure_that_says_so)
{
    config("hooks = (%s);", hook_ready());
    struct process *taker = start(BARE, "/usr/bin/python3", "-m", "http.server", "--bind",
                                  "127.0.0.1", text("%d", port));
    wait_port(taker, port);
    struct process *target = stop_worker(SIGTERM);
    send_signal(taker, SIGKILL);
    wait_end(taker);
    expect_logged(target, text("on 127.0.0.1:%d another program answers", port));
}
END_TEST

START_TEST(clients_that_say_nothing_are_in_nobodys_way)
{
    config("hooks = (%s);", hook_ready());
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    wait_status(200);
    int silent[20];
    for (int i = 0; i < 20; i++) {
        silent[i] = dial(port);
        expect(silent[i] >= 0 && (i % 2 == 0 || write(silent[i], "GET / HT", 8) == 8));
    }
    expect(http_get(port, "/", NULL) == 200);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    wait_all_gone();
    for (int i = 0; i < 20; i++)
        close(silent[i]);
}
END_TEST

START_TEST(answers_are_http_as_clients_want_it)
{
    char answer[1024];
    config("hooks = (%s);", hook_ready());
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    wait_status(200);
    static const char head[] = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    exchange(port, head, sizeof head - 1, sizeof answer - 1, answer, sizeof answer);
    expect(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0 &&
               strstr(answer, "Connection: close\r\n") != NULL &&
               strcmp(strstr(answer, "\r\n\r\n"), "\r\n\r\n") == 0,
           "%s", answer);
    expect_text(shell(text("curl -sf http://127.0.0.1:%d/ready", port)), "ready\n");
    /* Longer than anybody's health check. */
    char *longer = malloc(100000);
    memset(longer, 'x', 100000);
    memcpy(longer, "GET /", 5);
    exchange(port, longer, 100000, sizeof answer - 1, answer, sizeof answer);
    free(longer);
    expect(http_get(port, "/", NULL) == 200);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    wait_all_gone();
}
END_TEST

/* ---- the process that serves ----------------------------------------------------------------- */

static bool names(const char *link, const char *expected)
{
    char name[4096] = "";
    ssize_t length = readlink(link, name, sizeof name - 1);
    return length > 0 && strcmp(name, expected) == 0;
}

START_TEST(it_holds_nothing_of_the_targets_and_outlives_stop_signals_only)
{
    config("hooks = (%s);", hook_ready());
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    wait_status(200);
    pid_t server = server_of(target), guardian = guardian_of(target);
    for (int fd = 1; fd <= 2; fd++)
        expect(names(text("/proc/%d/fd/%d", server, fd), "/dev/null"));
    expect(getpgid(server) != getpgid(target->pid));
    kill(server, SIGTERM);
    kill(server, SIGINT);
    kill(server, SIGHUP);
    expect(http_get(port, "/", NULL) == 200);
    /* Nobody serves when nobody is left who could say that it is over. */
    kill_and_wait(guardian);
    wait_status(0);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_logged(target, text("nobody answers on 127.0.0.1:%d", port));
}
END_TEST

START_TEST(it_runs_as_the_user_of_the_hook)
{
    if (geteuid() != 0)
        skip("only root may switch to another user");
    port = free_port();
    config("hooks = (%s);", hook_shipped("ready", text("listen = \"127.0.0.1:%d\";", port),
                                         "phase = \"announce\"; user = \"nobody\";"));
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    wait_contains(text("/proc/%d/status", server_of(target)), "Uid:\t65534\t65534\t65534\t65534");
    wait_status(200);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_logged(target, "hook \"ready\" (announce) done");
}
END_TEST

START_TEST(without_a_guardian_a_warning_says_that_nobody_serves)
{
    const char *hook = hook_ready();
    config("guardian = \"off\"; hooks = (%s);", hook);
    struct process *target = stop_worker(SIGTERM);
    expect_logged(target, "warning: hook \"ready\" serves nobody before the stop: there is no "
                          "guardian");
    expect_logged(target, text("nobody answers on 127.0.0.1:%d", port));
    write_file("off.conf", "guardian = \"off\"; hooks = (\n%s );\n", hook);
    struct process *grace = start(BARE, product("grace"), "check", here("off.conf"));
    expect_status(wait_end(grace), EXITED(0));
    expect(strstr(contents(grace->err), "off.conf:2: warning: hook \"ready\": plugin ready serves "
                                        "from the start on") != NULL,
           "%s", contents(grace->err));
}
END_TEST

/* One that cannot serve at all is told of at the start, and the target goes on. */
START_TEST(an_address_that_is_not_ours_is_told_of)
{
    config("hooks = (%s);",
           hook_shipped("ready", "listen = \"192.0.2.1:8081\";", "phase = \"announce\";"));
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    wait_contains(target->err, "error: hook \"ready\": cannot listen on 192.0.2.1:8081: Cannot "
                               "assign requested address");
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    wait_all_gone();
}
END_TEST

/* ---- a file ---------------------------------------------------------------------------------- */

START_TEST(a_file_is_removed_or_written)
{
    static const char *const options[] = {
        "file = \"%s\";", "file = \"%s\"; action = \"remove\";",
        "file = \"%s\"; action = \"write\";",
        "file = \"%s\"; action = \"write\"; text = \"${GRACE_PHASE} ${GRACE_CAUSE}\";"};
    static const char *const left[] = {"", "", "stopping\n", "announce signal\n"};
    const char *file = here("ready"), *hole = strstr(options[_i], "%s");
    write_file("ready", "yes\n");
    config("hooks = (%s);",
           hook_shipped("ready",
                        text("%.*s%s%s", (int)(hole - options[_i]), options[_i], file, hole + 2),
                        "phase = \"announce\";"));
    struct process *target = stop_worker(SIGTERM);
    expect_logged(target, "hook \"ready\" (announce) done");
    expect(exists("ready") == (left[_i][0] != '\0'));
    expect_text(contents("ready"), left[_i]);
    expect_text(shell("ls | grep 'ready[.]' || true"), "");
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_a_failure_that_says_so)
{
    config("hooks = (%s);", hook_shipped("ready", "file = \"/nonexistent/x\"; action = \"write\";",
                                         "phase = \"announce\";"));
    expect_logged(stop_worker(SIGTERM), "cannot write /nonexistent/x: No such file or directory");
}
END_TEST

START_TEST(wrong_options_are_refused)
{
    static const char *const rows[][2] = {
        {"", "nothing to do: expected \"listen\" or \"file\""},
        {"listen = \"8081\";", "\"listen\" is \"8081\"; expected an address and a port"},
        {"listen = \"example.org:80\";", "\"listen\" is \"example.org:80\""},
        {"listen = \"127.0.0.1:0\";", "\"listen\" is \"127.0.0.1:0\""},
        {"listen = \"127.0.0.1:65536\";", "\"listen\" is"},
        {"listen = \"[::1:80\";", "\"listen\" is"},
        {"listen = \"unix:x\";", "\"listen\" is \"unix:x\""},
        {"listen = 8081;", "option \"listen\" (line 2) is a whole number; expected a string"},
        {"file = \"x\";", "\"file\" is \"x\"; expected an absolute path"},
        {"file = \"/x\"; action = \"touch\";", "\"action\" is \"touch\"; expected \"remove\""},
        {"listen = \"*:80\"; action = \"write\";", "\"action\" needs \"file\""},
        {"file = \"/x\"; text = \"y\";", "\"text\" needs action = \"write\""},
        {"file = \"/x\"; action = \"write\"; text = \"${GRACE_Y}\";", "there is no ${GRACE_Y}"},
        {"port = 8081;", "nothing to do"},
        {"listen = \"*:80\"; port = 1;", "unknown option \"port\" (line 2): plugin ready knows"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refused("ready", rows[i][0], rows[i][1]);
    expect_taken("ready", "listen = \"[::1]:8081\"; file = \"/x\";");
    expect_taken("ready", "listen = \"localhost:8081\";");
    expect_taken("ready", "listen = \"*:8081\";");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hook ready");
    TCase *group = story_case(all, "ready");
    tcase_add_loop_test(group, two_hundred_before_503_from_the_announcement_to_the_end, 0,
                        sizeof stops / sizeof stops[0]);
    tcase_add_test(group, health_checkers_know_before_the_programs_own_handler);
    tcase_add_test(group, a_unix_socket_will_do);
    tcase_add_test(group, a_port_that_is_taken_is_waited_for);
    tcase_add_test(group, a_port_that_another_program_keeps_is_a_failure_that_says_so);
    tcase_add_test(group, clients_that_say_nothing_are_in_nobodys_way);
    tcase_add_test(group, answers_are_http_as_clients_want_it);
    tcase_add_test(group, it_holds_nothing_of_the_targets_and_outlives_stop_signals_only);
    tcase_add_test(group, it_runs_as_the_user_of_the_hook);
    tcase_add_test(group, without_a_guardian_a_warning_says_that_nobody_serves);
    tcase_add_test(group, an_address_that_is_not_ours_is_told_of);
    tcase_add_loop_test(group, a_file_is_removed_or_written, 0, 4);
    tcase_add_test(group, a_file_that_cannot_be_written_is_a_failure_that_says_so);
    tcase_add_test(group, wrong_options_are_refused);
    return all;
}
