/* What the examples say about platforms, done: their own files, with paths of this test in them. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "harness_story.h"

/* A copy of an example's file with a sed script applied. */
static char *copy_of(const char *example, const char *name, const char *script)
{
    expect_status(run(BARE, "sh", "-c", "sed -E \"$0\" \"$1\" > \"$2\" && chmod 755 \"$2\"", script,
                      source(text("examples/%s", example)), here("%s", name)),
                  EXITED(0));
    return here("%s", name);
}

/* Hooks of this test that stand where the example's do. */
static void use_hooks(void)
{
    config("drain = { when = \"never\"; }; %s", hooks_abc(hook_command));
}

static pid_t first_child(pid_t pid)
{
    for (int64_t since = now_ms();;) {
        int child = atoi(contents(text("/proc/%d/task/%d/children", pid, pid)));
        if (child > 0)
            return child;
        expect(look_again(since));
    }
}

/* ---- containers -------------------------------------------------------------------------------
 */

/* ENTRYPOINT and CMD of the Dockerfile, a line each word, as the kernel gets them. */
static const char words_of_dockerfile[] =
    "import json, re, sys\n"
    "text = open(sys.argv[1]).read()\n"
    "for key in ('ENTRYPOINT', 'CMD'):\n"
    "    print(*json.loads(re.search('^' + key + ' (.*)$', text, re.M).group(1)), sep='\\n')\n";

START_TEST(the_container_stops_gracefully)
{
    int port = free_port();
    write_file("lighttpd.conf",
               "server.port = %d\nserver.bind = \"127.0.0.1\"\nserver.document-root = \"%s\"\n",
               port, story_directory());
    write_file("index.txt", "hello\n");
    struct process *words = start(BARE, "/usr/bin/python3", "-c", words_of_dockerfile,
                                  source("examples/docker/Dockerfile"));
    expect_status(wait_end(words), EXITED(0));
    const char *argv[32] = {"unshare", "-pf", "--mount-proc"};
    size_t count = 3;
    for (char *word = strtok(contents(words->out), "\n"); word != NULL; word = strtok(NULL, "\n"))
        argv[count++] = strcmp(word, "grace") == 0                         ? product("grace")
                        : strcmp(word, "/dev/termination-log") == 0        ? here("termination")
                        : strcmp(word, "/etc/lighttpd/lighttpd.conf") == 0 ? here("lighttpd.conf")
                                                                           : word;
    environment("GRACE_CONFIG", source("examples/docker/grace.conf"));
    struct process *container = launch(&(struct launch){.argv = argv});
    wait_port(container, port);
    expect(http_get(port, "/index.txt", NULL) == 200);
    expect(kill(first_child(container->pid), SIGTERM) == 0);
    expect_status(wait_end(container), EXITED(0)); /* lighttpd ends so after an INT */
    expect(strstr(contents(container->err), "leaves the balancer") != NULL, "%s",
           contents(container->err));
    expect(strstr(contents(container->err), "lighttpd ended by signal TERM") != NULL, "%s",
           contents(container->err));
    expect_text(contents("termination"),
                "lighttpd exited with status 0; hooks: 2 done, 0 failed, 0 not run\n");
}
END_TEST

START_TEST(the_pods_config_is_the_file_and_fits_its_grace_period)
{
    static const char look[] =
        "import yaml, sys\n"
        "config, deployment = yaml.safe_load_all(open(sys.argv[1] + '/pod.yaml'))\n"
        "assert config['data']['grace.conf'] == open(sys.argv[1] + '/grace.conf').read()\n"
        "print(deployment['spec']['template']['spec']['terminationGracePeriodSeconds'])\n";
    struct process *period =
        start(BARE, "/usr/bin/python3", "-c", look, source("examples/kubernetes"));
    expect_status(wait_end(period), EXITED(0));
    struct process *check = start(BARE, product("grace"), "check", "--for=kubernetes",
                                  text("--limit=%ds", atoi(contents(period->out))),
                                  source("examples/kubernetes/grace.conf"));
    expect_status(wait_end(check), EXITED(0));
    expect_text(contents(check->err), "");
}
END_TEST

/* ---- supervisors ------------------------------------------------------------------------------
 */

START_TEST(the_init_script_starts_stops_and_restarts)
{
    use_hooks();
    char *script = copy_of("init.d/legacyd", "legacyd",
                           text("s,^GRACE=.*,GRACE=%s,; s,^CONFIG=.*,CONFIG=%s,; "
                                "s,^DAEMON=.*,DAEMON=/bin/sleep,; s,^OPTIONS=.*,OPTIONS=3600,; "
                                "s,^PIDFILE=.*,PIDFILE=%s,; s,/etc/default/legacyd,/nonexistent,",
                                product("grace"), here("grace.conf"), here("pid")));
    /* start-stop-daemon looks whether the number is still somebody's: there must be who reaps. */
    static const char steps[] =
        "set -e; until_it_sleeps() { until [ \"$(cat /proc/$(cat pid)/comm)\" = sleep ]; do "
        "sleep 0.02; done; }; \"$0\" start; until_it_sleeps; first=$(cat pid); \"$0\" status; "
        "\"$0\" restart; until_it_sleeps; [ $(cat pid) != $first ]; \"$0\" stop; "
        "\"$0\" status || exit $((40 + $?))";
    expect_status(run(BARE, "tini", "-s", "--", "sh", "-c", steps, script), EXITED(43));
    expect_order("C B A C B A");
    /* A config that is wrong is said, and starts nothing. */
    write_file("grace.conf", "deadlin = \"3s\";");
    struct process *wrong = start(BARE, script, "start");
    expect_status(wait_end(wrong), EXITED(78));
    expect(strstr(contents(wrong->err), "deadlin") != NULL);
    expect(!exists("pid"));
}
END_TEST

START_TEST(supervisord_stops_it_and_restarts_it_when_it_is_killed)
{
    use_hooks();
    char *program = copy_of("supervisord/legacyd.conf", "legacyd.conf",
                            text("s,^command=.*,command=%s run -c %s -- sleep 3600,; "
                                 "s,^stdout_logfile=.*,stdout_logfile=%s,",
                                 product("grace"), here("grace.conf"), here("legacyd.log")));
    write_file("main.conf",
               "[supervisord]\nnodaemon=true\nlogfile=%s\npidfile=%s\nchildlogdir=%s\nuser=root\n"
               "[unix_http_server]\nfile=%s\n[supervisorctl]\nserverurl=unix://%s\n"
               "[rpcinterface:supervisor]\n"
               "supervisor.rpcinterface_factory = "
               "supervisor.rpcinterface:make_main_rpcinterface\n[include]\nfiles=%s\n",
               here("main.log"), here("main.pid"), story_directory(), here("s"), here("s"),
               program);
    struct process *supervisor = start(BARE, "supervisord", "-n", "-c", here("main.conf"));
    wait_contains("main.log", "success: legacyd entered RUNNING state");
    pid_t target = first_child(supervisor->pid);
    expect_text(contents(text("/proc/%d/comm", target)), "sleep\n");
    expect(kill(target, SIGKILL) == 0);
    wait_contains("order", "C\nB\nA\n");
    for (int64_t since = now_ms();
         count_of(contents("main.log"), "success: legacyd entered RUNNING state") < 2;)
        expect(look_again(since), "%s", contents("main.log"));
    expect_status(run(BARE, "supervisorctl", "-c", here("main.conf"), "stop", "legacyd"),
                  EXITED(0));
    expect_text(contents("order"), "C\nB\nA\nC\nB\nA\n");
    send_signal(supervisor, SIGTERM);
    wait_end(supervisor);
    expect_order("C B A C B A");
}
END_TEST

START_TEST(the_cron_job_cleans_up_when_it_is_killed)
{
    use_hooks();
    write_file("job", "#!/bin/sh\nkill -KILL $$\n");
    expect(chmod(here("job"), 0755) == 0);
    struct process *line =
        start(BARE, "sed", "-nE",
              text("s,^[0-9].* root grace (.*)$,exec %s \\1,; T; "
                   "s,/etc/grace/nightly.conf,%s,; s,/usr/local/bin/nightly,%s,p",
                   product("grace"), here("grace.conf"), here("job")),
              source("examples/cron/nightly"));
    expect_status(wait_end(line), EXITED(0));
    expect_status(run(BARE, "sh", "-c", contents(line->out)), KILLED(SIGKILL));
    expect_text(contents("order"), "C\nB\nA\n"); /* now, not later */
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("platforms");
    TCase *group = story_case(all, "platforms");
    tcase_add_test(group, the_container_stops_gracefully);
    tcase_add_test(group, the_pods_config_is_the_file_and_fits_its_grace_period);
    tcase_add_test(group, the_init_script_starts_stops_and_restarts);
    tcase_add_test(group, supervisord_stops_it_and_restarts_it_when_it_is_killed);
    tcase_add_test(group, the_cron_job_cleans_up_when_it_is_killed);
    return all;
}
