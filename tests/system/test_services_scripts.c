/*
 * Shell scripts with traps, background jobs and a self re-exec, and an upgrade of nginx's: what a
 * shell forks is not the script, unless the script leaves it behind.
 */
#include "harness_services.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void three_hooks(const char *more)
{
    config("%s\nlog = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s, %s);", more, here("log"),
           hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""),
           hook_command("C", "phase = \"cleanup\";"));
}

static const struct script {
    const char *text;
    int signo; /* 0: it ends by itself */
} scripts[] = {
    {"trap 'echo stopped; exit 7' TERM; sleep 1000 & echo ready; wait; echo not here", SIGTERM},
    {"trap 'kill %1; wait; echo cleaned' EXIT; sleep 1000 & echo ready; wait", SIGTERM},
    {"trap 'echo reloaded' HUP; trap 'exit 3' TERM; kill -HUP $$; sleep 1000 & echo ready;"
     "while :; do wait; done",
     SIGTERM},
    {"(trap '' TERM; while :; do sleep 0.05; done) & echo ready; wait", SIGTERM},
    {"set -m; sleep 1000 & sleep 1000 | cat & echo ready; wait", SIGTERM},
    {"echo ready; while :; do x=$(echo a | tr a b); (exit 1); done", SIGTERM},
    {"echo ready; while :; do x=$(echo a | tr a b); (exit 1); done", SIGKILL},
    {"echo ready; while :; do x=$(echo a | tr a b); (exit 1); done", SIGHUP},
    {"[ -n \"$AGAIN\" ] || AGAIN=1 exec \"$0\"; echo again; trap 'exit 6' TERM; sleep 1000 &"
     "echo ready; wait",
     SIGTERM},
    {"sleep 1000 & until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; echo ready; exit 0", 0},
    {"for i in 1 2 3 4 5 6 7 8; do (exit $i) & done; wait; sh -c 'exit 9'; echo ready $?; exit 4",
     0},
    {"trap 'echo exit $?' EXIT; set -e; echo ready; false; echo not here", 0},
};
#define SCRIPTS ((int)(sizeof scripts / sizeof scripts[0]))

static char *play(enum way way, const char *shell, const struct script *script)
{
    write_file("script.sh", "#!%s\n%s\n", shell, script->text);
    chmod("script.sh", 0755);
    struct process *process = start(way, here("script.sh"));
    const char *tree = "";
    if (script->signo != 0) {
        wait_ready(process);
        expect_order_now("");
        /* Where jobs come and go, what there is of them at a moment says nothing. */
        tree = strstr(script->text, "while") == NULL ? steady_picture() : "";
        if (way == GRACED)
            wait_guardian_pid(); /* before it is one it would be killed with the rest */
        send_signal(process, script->signo);
    }
    const char *end = status_words(wait_end(process));
    kill_all_but_guardian();
    wait_all_gone();
    return text("%s\n%s%s", end, contents(process->out), tree);
}

static void same_as_bare(const char *shell, const struct script *script)
{
    three_hooks("");
    const char *bare = play(BARE, shell, script);
    expect_text(play(GRACED, shell, script), bare);
    expect_order(script->signo == SIGKILL ? "A C" : "A B C");
}

START_TEST(a_script_of_bash)
{
    same_as_bare("/bin/bash", &scripts[_i]);
}
END_TEST

START_TEST(a_script_of_dash)
{
    same_as_bare("/bin/dash", &scripts[_i]);
}
END_TEST

/* A part of the script itself goes on in the background: it is the owner then. */
START_TEST(a_script_that_goes_on_in_the_background)
{
    three_hooks("");
    expect(mkfifo("question", 0600) == 0);
    struct process *script = start(GRACED, _i == 0 ? "/bin/bash" : "/bin/dash", "-c",
                                   "(read -r line <question; echo \"answer to $line\") & exit 0");
    expect_status(wait_end(script), EXITED(0));
    expect_order_now("");
    int question = open("question", O_WRONLY | O_CLOEXEC);
    expect(question >= 0 && write(question, "this\n", 5) == 5);
    close(question);
    expect_order("A B C");
    expect_text(contents(script->out), "answer to this\n");
}
END_TEST

/* ---- nginx's upgrade ------------------------------------------------------------------------- */

static void start_nginx(int port)
{
    make_site();
    write_file("nginx.conf",
               "%sdaemon on; pid %s; error_log %s; events {}\n"
               "http { access_log off; client_body_temp_path %s; proxy_temp_path %s;\n"
               "fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;\n"
               "server { listen 127.0.0.1:%d; root %s; } }\n",
               geteuid() == 0 ? "user root; " : "", here("nginx.pid"), here("error.log"),
               here("t1"), here("t2"), here("t3"), here("t4"), here("t5"), port, here("www"));
    expect_status(run(GRACED, "/usr/sbin/nginx", "-e", here("error.log"), "-c", here("nginx.conf")),
                  EXITED(0));
    for (int64_t since = now_ms(); !serves_page(port);) /* it misses signals that come before */
        expect(now_ms() - since < STORY_LIMIT_MS);
}

/* USR2 has the old master fork and execute a new one: libgrace is not in it. Its pid. */
static pid_t upgrade(struct process *old)
{
    pid_t new = 0;
    send_signal(old, SIGUSR2);
    wait_exists("nginx.pid.oldbin");
    for (int64_t since = now_ms(); (new = pid_in("nginx.pid")) == old->pid;)
        expect(now_ms() - since < STORY_LIMIT_MS);
    expect(strstr(contents(text("/proc/%d/environ", new)), "LD_PRELOAD") == NULL);
    expect(strstr(contents(text("/proc/%d/maps", new)), "libgrace") == NULL);
    expect_order_now("");
    return new;
}

/* The new master is another program's start: the old one's end is the end. */
START_TEST(an_upgrade_of_nginx_ends_the_old_master)
{
    int port = free_port();
    if (access("/usr/sbin/nginx", X_OK) != 0)
        skip("no nginx on this machine");
    three_hooks("");
    start_nginx(port);
    struct process *old = adopt_from("nginx.pid");
    pid_t new = upgrade(old);
    expect_status(stop_with(old, SIGQUIT), EXITED(0));
    wait_contains("order", "C");
    expect(serves_page(port)); /* the new one does */
    expect_status(stop_with(adopt(new), SIGQUIT), EXITED(0));
    expect_order("A B C");
}
END_TEST

/* Unless its pid file says that the service goes on: then that one's end is the end, whatever the
 * old master's is; what needs its memory does not run. */
START_TEST(by_the_pid_file_the_new_master_is_the_owner)
{
    static const struct {
        int old, status, new;
    } ends[] = {{SIGQUIT, EXITED(0), SIGQUIT},
                {SIGTERM, EXITED(0), SIGKILL},
                {SIGKILL, KILLED(SIGKILL), SIGTERM}};
    int port = free_port();
    if (access("/usr/sbin/nginx", X_OK) != 0)
        skip("no nginx on this machine");
    three_hooks(text("pidfile = \"%s\";", here("nginx.pid")));
    start_nginx(port);
    struct process *old = adopt_from("nginx.pid");
    pid_t new = upgrade(old);
    expect_status(stop_with(old, ends[_i].old), ends[_i].status);
    wait_contains("log", text("pid %d hands over to %d: named by the pid file", old->pid, new));
    expect_order_now("");
    expect(serves_page(port));
    stop_with(adopt(new), ends[_i].new);
    kill_all_but_guardian(); /* the workers of a master that was killed */
    expect_order("A C");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("services: scripts");
    TCase *group = story_case(all, "scripts");
    tcase_add_loop_test(group, a_script_of_bash, 0, SCRIPTS);
    tcase_add_loop_test(group, a_script_of_dash, 0, SCRIPTS);
    tcase_add_loop_test(group, a_script_that_goes_on_in_the_background, 0, 2);
    tcase_add_test(group, an_upgrade_of_nginx_ends_the_old_master);
    tcase_add_loop_test(group, by_the_pid_file_the_new_master_is_the_owner, 0, 3);
    return all;
}
