/* The plugin "notify" and a notify socket as systemd has one: SO_PASSCRED, one datagram a message.
 * (systemd itself is PID 1 of a machine or of nothing: it does not run where tests do.) */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness_hooks.h"

static int notify_socket;

static struct sockaddr_un address;
static socklen_t address_length;

/* At a path, or with an @ in the abstract namespace; programs find it in their environment. */
static void open_socket(const char *name)
{
    int on = 1;
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(address.sun_path, name);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    notify_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    expect(bind(notify_socket, (struct sockaddr *)&address, address_length) == 0);
    expect(setsockopt(notify_socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    environment("NOTIFY_SOCKET", name);
}

/* The next message, and whose it is; "" when there is none. Descriptors sent with it are closed. */
static char *next_message(pid_t *pid)
{
    static union {
        struct cmsghdr header;
        char room[256];
    } control;
    char *text_of = calloc(1, 4096);
    struct iovec part = {text_of, 4095};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (recvmsg(notify_socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
        return text_of;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at)) {
        struct ucred credentials;
        int fd;
        if (at->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&credentials, CMSG_DATA(at), sizeof credentials);
            *pid = credentials.pid;
        } else if (at->cmsg_type == SCM_RIGHTS) {
            memcpy(&fd, CMSG_DATA(at), sizeof fd);
            close(fd);
        }
    }
    return text_of;
}

/* All messages until all that was started is gone, each with a newline behind it; without barriers,
 * which are counted. Answers them meanwhile, as systemd does. */
static unsigned barriers;
static pid_t last_sender;

static char *all_messages(struct process *target)
{
    char *all = text("%s", "");
    bool over = false;
    for (int64_t since = now_ms();;) {
        expect(now_ms() - since < STORY_LIMIT_MS);
        over = over || has_ended(target);
        char *message = next_message(&last_sender);
        if (strcmp(message, "BARRIER=1") == 0)
            barriers++;
        else if (*message != '\0')
            all = text("%s%s\n", all, message);
        else if (over)
            break;
        else
            let_pass(2);
    }
    wait_all_gone();
    for (char *message; *(message = next_message(&last_sender)) != '\0';)
        if (strcmp(message, "BARRIER=1") == 0)
            barriers++;
        else
            all = text("%s%s\n", all, message);
    return all;
}

/* Whether this process may speak for another: CAP_SYS_ADMIN. */
static bool may_speak_for_others(void)
{
    char byte = 'x';
    int ends[2];
    struct ucred credentials = {getppid(), geteuid(), getegid()};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof credentials)];
    } control = {.room = {0}};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof credentials),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(&control.header), &credentials, sizeof credentials);
    expect(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    bool may = sendmsg(ends[0], &message, 0) == 1;
    close(ends[0]);
    close(ends[1]);
    return may;
}

static char *named(const char *phase, const char *options)
{
    return text("{ name = \"%s\"; phase = \"%s\"; plugin = \"notify\"; options = { %s }; }", phase,
                phase, options);
}

/* One hook in each phase, all with the same options. */
static char *in_each_phase(const char *options)
{
    return text("hooks = (%s, %s, %s, %s);", named("announce", options), named("drain", options),
                named("stop", options), named("cleanup", options));
}

static const struct {
    const char *program, *behaviour;
    int signo, status;
    const char *options, *said;
} stops[] = {
    {"worker", "poll", SIGTERM, KILLED(SIGTERM), "",
     "STATUS=stopping: announce, after signal TERM\n"
     "STATUS=stopping: drain, after signal TERM\n"
     "STATUS=stopping: stop, after signal TERM\nSTOPPING=1\n"
     "STATUS=stopping: cleanup, after signal TERM\nSTOPPING=1\n"},
    {"worker", "poll", SIGTERM, KILLED(SIGTERM),
     "status = \"${GRACE_PHASE} of ${GRACE_PROGRAM}\"; extend = \"1m30s\";",
     "STATUS=announce of worker\nEXTEND_TIMEOUT_USEC=90000000\n"
     "STATUS=drain of worker\nEXTEND_TIMEOUT_USEC=90000000\n"
     "STATUS=stop of worker\nSTOPPING=1\nEXTEND_TIMEOUT_USEC=90000000\n"
     "STATUS=cleanup of worker\nSTOPPING=1\nEXTEND_TIMEOUT_USEC=90000000\n"},
    {"worker", "poll", SIGTERM, KILLED(SIGTERM), "stopping = false; status = \"x\";",
     "STATUS=x\nSTATUS=x\nSTATUS=x\nSTATUS=x\n"},
    /* It cannot be taken back any more. */
    {"ender", "exit", 0, EXITED(3), "",
     "STATUS=stopping: announce, after exit\nSTOPPING=1\n"
     "STATUS=stopping: drain, after exit\nSTOPPING=1\n"
     "STATUS=stopping: stop, after exit\nSTOPPING=1\n"
     "STATUS=stopping: cleanup, after exit\nSTOPPING=1\n"},
    {"worker", "poll", SIGKILL, KILLED(SIGKILL), "",
     "STATUS=stopping: announce, after killed KILL\nSTOPPING=1\n"
     "STATUS=stopping: drain, after killed KILL\nSTOPPING=1\n"
     "STATUS=stopping: stop, after killed KILL\nSTOPPING=1\n"
     "STATUS=stopping: cleanup, after killed KILL\nSTOPPING=1\n"},
};

START_TEST(systemd_is_told_of_each_phase_and_of_the_end_when_it_is_sure)
{
    open_socket(here("notify"));
    config("%s", in_each_phase(stops[_i].options));
    struct process *target = start(GRACED, program(stops[_i].program), stops[_i].behaviour);
    if (stops[_i].signo != 0) {
        wait_ready(target);
        send_signal(target, stops[_i].signo);
    }
    expect_text(all_messages(target), stops[_i].said);
    expect_status(wait_end(target), stops[_i].status);
}
END_TEST

/* NotifyAccess=main, the default of Type=notify, takes messages of the main process only. */
START_TEST(it_speaks_as_the_program_where_it_may)
{
    open_socket(text("@grace-%d", getpid()));
    config("hooks = (%s);", named("announce", "status = \"x\";"));
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    send_signal(target, SIGTERM);
    expect_text(all_messages(target), "STATUS=x\n");
    expect((last_sender == target->pid) == may_speak_for_others(), "%d", last_sender);
    expect(barriers == (may_speak_for_others() ? 0 : 1));
}
END_TEST

/* A process that is about to end waits until it was heard. */
START_TEST(who_speaks_for_itself_waits_until_it_was_heard)
{
    open_socket(here("notify"));
    config("hooks = (%s);", named("cleanup", "status = \"x\";"));
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    send_signal(target, SIGKILL);
    expect_text(all_messages(target), "STATUS=x\nSTOPPING=1\n");
    expect(barriers == 1 && last_sender != target->pid);
}
END_TEST

START_TEST(no_value_can_say_more_than_the_status)
{
    open_socket(here("notify"));
    environment("NASTY", "x\nREADY=1\nMAINPID=1\n");
    config("hooks = (%s);", named("announce", "status = \"${NASTY}\";"));
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    send_signal(target, SIGTERM);
    expect_text(all_messages(target), "STATUS=x READY=1 MAINPID=1\n");
}
END_TEST

START_TEST(what_keeps_it_from_being_told_is_told)
{
    static const char *const names[] = {NULL, "vsock:2:1", "@", "/nonexistent/notify"};
    static const char *const said[] = {
        "NOTIFY_SOCKET is not set: systemd did not start the program",
        "NOTIFY_SOCKET is \"vsock:2:1\"; expected a path", "NOTIFY_SOCKET is \"@\"; expected",
        "cannot reach systemd at /nonexistent/notify: No such file"};
    environment("NOTIFY_SOCKET", names[_i]);
    config("hooks = (%s);", named("announce", ""));
    expect_logged(stop_worker(SIGTERM), said[_i]);
}
END_TEST

START_TEST(a_systemd_that_takes_nothing_holds_nothing_up)
{
    open_socket(here("notify"));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    while (sendto(fd, "x", 1, 0, (struct sockaddr *)&address, address_length) == 1)
        ;
    expect(errno == EAGAIN);
    config("hooks = ({ name = \"n\"; timeout = \"1s\"; plugin = \"notify\"; });");
    expect_logged(stop_worker(SIGTERM), "systemd takes no message in time");
}
END_TEST

START_TEST(wrong_options_are_refused)
{
    static const char *const rows[][2] = {
        {"status = 3;", "option \"status\" (line 2) is a whole number; expected a string"},
        {"status = \"${GRACE_X}\";", "there is no ${GRACE_X}"},
        {"stopping = \"no\";", "option \"stopping\" (line 2) is a string; expected true or false"},
        {"extend = 30;", "option \"extend\" (line 2) is a whole number; expected a duration"},
        {"extend = \"30\";", "option \"extend\" (line 2) is \"30\"; expected a duration"},
        {"extend = \"0s\";", "option \"extend\" is no time at all"},
        {"statsu = \"x\";", "unknown option \"statsu\" (line 2): plugin notify knows status"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refused("notify", rows[i][0], rows[i][1]);
    expect_taken("notify",
                 "status = \"${GRACE_PHASE} ${X:-y}\"; stopping = false; extend = \"45s\";");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hook notify");
    TCase *group = story_case(all, "notify");
    tcase_add_loop_test(group, systemd_is_told_of_each_phase_and_of_the_end_when_it_is_sure, 0,
                        sizeof stops / sizeof stops[0]);
    tcase_add_test(group, it_speaks_as_the_program_where_it_may);
    tcase_add_test(group, who_speaks_for_itself_waits_until_it_was_heard);
    tcase_add_test(group, no_value_can_say_more_than_the_status);
    tcase_add_loop_test(group, what_keeps_it_from_being_told_is_told, 0, 4);
    tcase_add_test(group, a_systemd_that_takes_nothing_holds_nothing_up);
    tcase_add_test(group, wrong_options_are_refused);
    return all;
}
