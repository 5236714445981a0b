/* Daemons of the network: mosquitto, postfix, sshd, unbound, snmpd, xinetd, dbus-daemon.
 */
#include "harness_services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool greets(int port, const char *greeting)
{
    return is_answered(port, "", 0, greeting, strlen(greeting));
}

static struct process *reread(struct process *process, int port)
{
    (void)port;
    send_signal(process, SIGHUP);
    return process;
}

/* ---- postfix --------------------------------------------------------------------------------- */

/* Without a log file: master's handler of TERM ends the log's own process, and then writes a line
 * to it; where that one's queue is full it waits until its alarm kills it, bare in 7 of 120 stops.
 */
static const char *prepare_postfix(const char *executable, int port)
{
    const char *queue = here("queue");
    write_file("main.cf",
               "compatibility_level = 3.6\nqueue_directory = %s\ndata_directory = %s\n"
               "daemon_directory = /usr/lib/postfix/sbin\ncommand_directory = /usr/sbin\n"
               "myhostname = here.test\ninet_interfaces = loopback-only\ninet_protocols = "
               "ipv4\nmydestination =\n"
               "alias_maps =\nmynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = "
               "permit_mynetworks, reject\n",
               queue, here("data"));
    write_file("master.cf",
               "127.0.0.1:%d inet n - n - - smtpd\nrewrite unix - - n - - trivial-rewrite\n"
               "cleanup unix n - n - 0 cleanup\nanvil unix - - n - 1 anvil\n"
               "proxymap unix - - n - - proxymap\n"
               "qmgr unix n - n 300 1 qmgr\npickup unix n - n 60 1 pickup\n",
               port);
    if (!exists("queue"))
        expect(
            system("mkdir -p queue/active queue/bounce queue/corrupt queue/defer queue/deferred "
                   "queue/flush queue/hold queue/incoming queue/maildrop queue/pid queue/private "
                   "queue/public queue/saved queue/trace data && chown -R postfix queue/[!p]* "
                   "queue/private queue/public data && chown root queue/pid && chmod 755 queue") ==
            0);
    return text("%s -c %s -w", executable, story_directory());
}

static bool ask_postfix(int port)
{
    char answer[4096];
    const char *request = "EHLO here\r\nQUIT\r\n";
    exchange(port, request, strlen(request), sizeof answer, answer, sizeof answer);
    return strncmp(answer, "220 ", 4) == 0 && strstr(answer, "\r\n221 ") != NULL;
}

/* ---- sshd ------------------------------------------------------------------------------------ */

static const char *prepare_sshd(const char *executable, int port)
{
    if (!exists("key"))
        expect(system("ssh-keygen -q -t ed25519 -N '' -f key") == 0);
    mkdir("/run/sshd", 0755); /* built in: it does not start without */
    write_file("sshd_config",
               "ListenAddress 127.0.0.1\nPort %d\nHostKey %s\nPidFile %s\nUsePAM no\n", port,
               here("key"), here("sshd.pid"));
    return text("%s -f %s -E %s", executable, here("sshd_config"), here("sshd.log"));
}

static bool ask_sshd(int port)
{
    return greets(port, "SSH-2.0-");
}

/* It closes its listener and executes itself anew, and that becomes a daemon anew. */
static struct process *live_as_sshd(struct process *process, int port)
{
    (void)port;
    unlink("sshd.pid");
    expect_status(stop_with(process, SIGHUP), EXITED(0));
    return adopt_from("sshd.pid");
}

/* ---- xinetd ---------------------------------------------------------------------------------- */

static const char *prepare_xinetd(const char *executable, int port)
{
    write_file("xinetd.conf",
               "service shown\n{\n type = UNLISTED\n port = %d\n socket_type = stream\n"
               " protocol = tcp\n wait = no\n user = root\n bind = 127.0.0.1\n instances = 50\n"
               " per_source = UNLIMITED\n cps = 100000 1\n server = /usr/bin/env\n"
               " server_args = A_VARIABLE=1\n}\n",
               port);
    return text("%s -f %s -pidfile %s -filelog %s", executable, here("xinetd.conf"),
                here("xinetd.pid"), here("xinetd.log"));
}

/* What it starts has nothing of libgrace's. */
static bool ask_xinetd(int port)
{
    char answer[4096];
    exchange(port, "", 0, sizeof answer, answer, sizeof answer);
    return strstr(answer, "A_VARIABLE=1\n") != NULL && strstr(answer, "LD_PRELOAD") == NULL;
}

static const struct service services[] = {
    {.name = "postfix",
     .executable = "/usr/lib/postfix/sbin/master",
     .prepare = prepare_postfix,
     .pid_file = "queue/pid/master.pid",
     .as_root = true,
     .ask = ask_postfix,
     .stops = {{SIGTERM, .workers_stay = true}, {SIGKILL, .workers_stay = true}}},
    {.name = "sshd",
     .executable = "/usr/sbin/sshd",
     .prepare = prepare_sshd,
     .pid_file = "sshd.pid",
     .as_root = true,
     .ask = ask_sshd,
     .live = live_as_sshd,
     .stops = {{SIGTERM, .workers_stay = true},
               {SIGQUIT, .workers_stay = true},
               {SIGKILL, .workers_stay = true}}},
    {.name = "xinetd",
     .executable = "/usr/sbin/xinetd",
     .prepare = prepare_xinetd,
     .pid_file = "xinetd.pid",
     .as_root = true,
     .ask = ask_xinetd,
     .live = reread,
     .stops = {{SIGTERM, .workers_stay = true},
               {SIGQUIT, .workers_stay = true},
               {SIGKILL, .workers_stay = true}}},
};

START_TEST(lives_as_bare_and_runs_its_hooks_once)
{
    service_lives(&services[_i]);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("services: starters");
    TCase *group = service_case(all, "starters");
    tcase_add_loop_test(group, lives_as_bare_and_runs_its_hooks_once, 0,
                        sizeof services / sizeof services[0]);
    return all;
}
