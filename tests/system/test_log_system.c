/*
 * The log to syslog and to the journal: a datagram to their sockets. The test takes the place of
 * the service, in a mount namespace of its own, so that the machine's real log sees nothing.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* A namespace in which this process may mount; skips the test where that is not allowed. */
static void enter_namespace(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            skip("mount namespaces are not allowed here: %s", strerror(errno));
        write_file("/proc/self/setgroups", "deny");
        write_file("/proc/self/uid_map", "%d %d 1", uid, uid);
        write_file("/proc/self/gid_map", "%d %d 1", gid, gid);
    }
    expect(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

/* An empty /dev, but for the null device, which every program takes for granted. */
static void cover_dev(void)
{
    int null_device = open("/dev/null", O_RDWR | O_CLOEXEC);
    expect(null_device >= 0);
    expect(mount("story", "/dev", "tmpfs", 0, NULL) == 0);
    int place = open("/dev/null", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    expect(place >= 0 && close(place) == 0);
    expect(mount(text("/proc/self/fd/%d", null_device), "/dev/null", NULL, MS_BIND, NULL) == 0);
}

static void cover_run(void)
{
    expect(mount("story", "/run", "tmpfs", 0, NULL) == 0);
    expect(mkdir("/run/systemd", 0755) == 0);
    expect(mkdir("/run/systemd/journal", 0755) == 0);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = STORY_LIMIT_MS / 1000};
    int listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    expect(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    expect(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    return listener;
}

static char *next_datagram(int listener)
{
    static char datagram[65536];
    ssize_t length = recv(listener, datagram, sizeof datagram - 1, 0);
    expect(length > 0, "nothing came");
    datagram[length] = '\0';
    return text("%s", datagram);
}

static struct process *stop_one(const char *sink)
{
    config("log = { to = \"%s\"; };\n%s", sink, hooks_abc(hook_command));
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(worker->err), "");
    expect_order("C B A");
    return worker;
}

START_TEST(to_syslog)
{
    enter_namespace();
    cover_dev();
    int listener = listen_at("/dev/log");
    stop_one("syslog");
    for (int i = 0; i < 5; i++) {
        /* <PRIORITY>, within the facility "daemon": 24 to 31. */
        const char *line = next_datagram(listener);
        int priority = 0;
        expect(sscanf(line, "<%d>", &priority) == 1, "%s", line);
        expect(priority >= 24 && priority <= 31, "%s", line);
        expect(strstr(line, "worker[") != NULL, "%s", line);
    }
}
END_TEST

START_TEST(to_the_journal)
{
    enter_namespace();
    cover_run();
    int listener = listen_at("/run/systemd/journal/socket");
    stop_one("journal");
    for (int i = 0; i < 5; i++) {
        const char *fields = text("\n%s", next_datagram(listener));
        expect(strstr(fields, "\nMESSAGE=") != NULL, "%s", fields);
        expect(strstr(fields, "\nPRIORITY=6\n") != NULL, "%s", fields);
    }
}
END_TEST

/* Where the service is not there, lines go to stderr rather than nowhere. */
START_TEST(without_the_service_to_stderr)
{
    static const char *const sinks[] = {"syslog", "journal"};
    enter_namespace();
    cover_dev();
    cover_run();
    config("log = { to = \"%s\"; };\n%s", sinks[_i], hooks_abc(hook_command));
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect(count_of(contents(worker->err), "libgrace: worker[") == 5);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("log of the system");
    TCase *group = story_case(all, "sockets");
    tcase_add_test(group, to_syslog);
    tcase_add_test(group, to_the_journal);
    tcase_add_loop_test(group, without_the_service_to_stderr, 0, 2);
    return all;
}
