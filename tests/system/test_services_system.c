/* What every machine has: cron, dnsmasq, vsftpd, named, rsyslogd. */
#include "harness_services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------------------------- */

/* "a.test", class IN, type A, over TCP, and one answer to it. */
static bool ask_for_name(int port)
{
    static const char question[] = "\0\30\22\64\1\0\0\1\0\0\0\0\0\0\1a\4test\0\0\1\0\1";
    char answer[512];
    size_t length = exchange(port, question, sizeof question - 1, 20, answer, sizeof answer);
    return length >= 20 && memcmp(answer + 2, "\22\64", 2) == 0 && (answer[4] & 0x80) != 0 &&
           (answer[5] & 0x0f) == 0 && answer[9] == 1;
}

static const char *prepare_dnsmasq(const char *executable, int port)
{
    write_file("dnsmasq.conf",
               "port=%d\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n"
               "address=/a.test/127.0.0.9\npid-file=%s\n%s",
               port, here("dnsmasq.pid"), geteuid() == 0 ? "user=root\n" : "");
    return text("%s -C %s", executable, here("dnsmasq.conf"));
}

static struct process *reread(struct process *process, int port)
{
    (void)port;
    send_signal(process, SIGHUP);
    return process;
}

static const char *prepare_named(const char *executable, int port)
{
    write_file("zone", "$TTL 60\n@ IN SOA a.test. a.test. 1 60 60 60 60\n@ IN NS a.test.\n"
                       "@ IN A 127.0.0.9\n");
    write_file(
        "named.conf",
        "options { directory \"%s\"; pid-file \"%s\"; session-keyfile \"%s\"; recursion no;\n"
        "listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; };\n"
        "dnssec-validation no; };\ncontrols { };\n"
        "zone \"a.test\" { type master; file \"%s\"; };\n",
        story_directory(), here("named.pid"), here("session.key"), port, here("zone"));
    return text("%s -c %s", executable, here("named.conf"));
}

/* ---- vsftpd ---------------------------------------------------------------------------------- */

static const char *prepare_vsftpd(const char *executable, int port)
{
    mkdir("empty", 0755);
    write_file("vsftpd.conf",
               "listen=YES\nlisten_ipv6=NO\nbackground=YES\nlisten_address=127.0.0.1\n"
               "listen_port=%d\nanonymous_enable=YES\nsecure_chroot_dir=%s\nanon_root=%s\n"
               "xferlog_enable=NO\n",
               port, here("empty"), here("empty"));
    return text("%s %s", executable, here("vsftpd.conf"));
}

/* A session, which has processes of its own. */
static bool ask_vsftpd(int port)
{
    char answer[4096];
    const char *request = "USER anonymous\r\nPASS a@b\r\nQUIT\r\n";
    exchange(port, request, strlen(request), sizeof answer, answer, sizeof answer);
    return strncmp(answer, "220 ", 4) == 0 && strstr(answer, "\r\n221 ") != NULL;
}

/* ---- rsyslogd -------------------------------------------------------------------------------- */

static const char *prepare_rsyslogd(const char *executable, int port)
{
    write_file("rsyslog.conf",
               "global(workDirectory=\"%s\")\nmodule(load=\"imtcp\")\n"
               "input(type=\"imtcp\" address=\"127.0.0.1\" port=\"%d\")\n"
               "action(type=\"omfile\" file=\"%s\")\n",
               story_directory(), port, here("messages"));
    return text("%s -f %s -i %s", executable, here("rsyslog.conf"), here("rsyslog.pid"));
}

static bool ask_rsyslogd(int port)
{
    static const char line[] = "<13>Nov 22 12:00:00 here test: hello\n";
    int connection = dial(port);
    bool sent =
        connection >= 0 && write(connection, line, sizeof line - 1) == (ssize_t)sizeof line - 1;
    close(connection);
    return sent && exists("messages");
}

/* ---- cron ------------------------------------------------------------------------------------ */

/*
 * Its places are built in. It runs where the machine's own tables and pid file are out of sight,
 * and where it may not change what others see.
 */
static const char *prepare_cron(const char *executable, int port)
{
    (void)port;
    mkdir("run", 0755);
    mkdir("tables", 0755);
    unlink("ran");
    write_file("tables/root", "@reboot echo ran >>%s\n", here("ran"));
    chmod("tables/root", 0600);
    expect(system(text("rm -rf %s", here("run/*"))) == 0);
    write_file("cron.sh",
               "mount --bind '%s' /run && mount --bind '%s' /var/spool/cron/crontabs &&\n"
               "mount -t tmpfs none /etc/cron.d && mount --bind /dev/null /etc/crontab || exit 77\n"
               "exec %s\n",
               here("run"), here("tables"), executable);
    return text("/usr/bin/unshare -m /bin/sh %s", here("cron.sh"));
}

/* Its job has run. */
static bool ask_cron(int port)
{
    (void)port;
    return exists("ran");
}

static const struct service services[] = {
    {.name = "dnsmasq",
     .executable = "/usr/sbin/dnsmasq",
     .prepare = prepare_dnsmasq,
     .pid_file = "dnsmasq.pid",
     .ask = ask_for_name,
     .live = reread,
     .stops = {{SIGTERM}, {SIGKILL, .workers_stay = true}}},
    {.name = "named",
     .executable = "/usr/sbin/named",
     .prepare = prepare_named,
     .pid_file = "named.pid",
     .ask = ask_for_name,
     .live = reread,
     .stops = {{SIGTERM}, {SIGINT}, {SIGKILL}}},
    {.name = "vsftpd",
     .executable = "/usr/sbin/vsftpd",
     .prepare = prepare_vsftpd,
     .orphan = "vsftpd",
     .as_root = true,
     .ask = ask_vsftpd,
     .stops = {{SIGTERM, .workers_stay = true}, {SIGKILL, .workers_stay = true}}},
    {.name = "rsyslogd",
     .executable = "/usr/sbin/rsyslogd",
     .prepare = prepare_rsyslogd,
     .pid_file = "rsyslog.pid",
     .ask = ask_rsyslogd,
     .live = reread,
     .stops = {{SIGTERM}, {SIGKILL}}},
    {.name = "cron",
     .executable = "/usr/sbin/cron",
     .prepare = prepare_cron,
     .pid_file = "run/crond.pid",
     .programs = "cron",
     .as_root = true,
     .ask = ask_cron,
     .stops = {{SIGTERM}, {SIGINT}, {SIGKILL}}},
};

START_TEST(lives_as_bare_and_runs_its_hooks_once)
{
    if (strcmp(services[_i].name, "cron") == 0 && system("unshare -m true 2>/dev/null") != 0)
        skip("cron: no mount namespace can be had");
    service_lives(&services[_i]);
}
END_TEST

START_TEST(lives_so_under_supervisors)
{
    service_lives_under(_i, services, sizeof services / sizeof services[0]);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("services: system");
    TCase *group = service_case(all, "system");
    tcase_add_loop_test(group, lives_as_bare_and_runs_its_hooks_once, 0,
                        sizeof services / sizeof services[0]);
    tcase_add_loop_test(group, lives_so_under_supervisors, supervisors_first(1),
                        supervisors_end(1));
    return all;
}
