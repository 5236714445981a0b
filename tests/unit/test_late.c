/*
 * The calls that send, as they are while answers are edited, on real sockets: what arrives at the
 * client, and what the caller is told. (Here the replacements are called by their own names; that
 * the target's calls reach them is test_redirect's, and the stories' of tests/system.)
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../suite.h"
#include "shim/answers.h"
#include "shim/drain/addresses.h"
#include "shim/late/calls.h"

#define CLOSE        "Connection: close\r\n"
#define EMPTY        "HTTP/1.1 204 x\r\n\r\n"
#define EMPTY_       "HTTP/1.1 204 x\r\n" CLOSE "\r\n"
#define HEAD_5       "HTTP/1.1 200 x\r\nContent-Length: 5\r\n"
#define HELLO        HEAD_5 "\r\nhello"
#define HELLO_       HEAD_5 CLOSE "\r\nhello"
#define KEEP         "Connection: keep-alive\r\n"
#define LENGTH(text) (sizeof(text) - 1)

static int listener, client, server;

static int listen_at(int family)
{
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int fd = socket(family, SOCK_STREAM, 0);
    ck_assert_int_eq(family == AF_INET ? bind(fd, (void *)&tcp, sizeof tcp)
                                       : bind(fd, (void *)&local, sizeof(sa_family_t)),
                     0);
    ck_assert_int_eq(listen(fd, 8), 0);
    return fd;
}

static int connect_to(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    ck_assert_int_eq(getsockname(fd, (void *)&address, &length), 0);
    int connection = socket(address.ss_family, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(connection, (void *)&address, length), 0);
    return connection;
}

#define SHORT_INFO "passes on the first four bytes of TCP_INFO only"

static void setup_family(int family)
{
    signal(SIGPIPE, SIG_IGN);
    listener = listen_at(family);
    client = connect_to(listener);
    server = accept(listener, NULL, NULL);
    ck_assert_int_ge(server, 0);
    grace_drain_address_add(listener);
}

static void setup(void)
{
    setup_family(AF_INET);
    ck_assert(grace_answers_begin());
}

/* What arrives next is this, and then nothing more. */
#define expect_arrives(text) expect_bytes(client, text, LENGTH(text))
static void expect_bytes(int fd, const char *expected, size_t length)
{
    char got[4096] = "";
    ck_assert_uint_lt(length, sizeof got);
    size_t total = 0;
    while (total < length) {
        ssize_t n = recv(fd, got + total, length - total, 0);
        ck_assert_int_gt(n, 0);
        total += (size_t)n;
    }
    if (memcmp(got, expected, length) != 0)
        ck_abort_msg("arrived:\n%s\nnot:\n%s", got, expected);
    ck_assert_int_eq(recv(fd, got, 1, MSG_DONTWAIT), -1);
}

static void say(const char *text)
{
    ck_assert_int_eq(grace_late_write(server, text, strlen(text)), (ssize_t)strlen(text));
}

/* ---- each call ----------------------------------------------------------------------------- */

static ssize_t by_write(struct iovec *v)
{
    return grace_late_write(server, v[0].iov_base, v[0].iov_len) +
           grace_late_write(server, v[1].iov_base, v[1].iov_len);
}

static ssize_t by_writev(struct iovec *v)
{
    return grace_late_writev(server, v, 2);
}

static ssize_t by_pwritev2(struct iovec *v)
{
    return grace_late_pwritev2(server, v, 2, -1, 0);
}

static ssize_t by_send(struct iovec *v)
{
    return grace_late_send(server, v[0].iov_base, v[0].iov_len, MSG_NOSIGNAL | MSG_MORE) +
           grace_late_send(server, v[1].iov_base, v[1].iov_len, MSG_DONTWAIT);
}

static ssize_t by_sendto(struct iovec *v)
{
    return grace_late_sendto(server, v[0].iov_base, v[0].iov_len, 0, NULL, 0) +
           grace_late_sendto(server, v[1].iov_base, v[1].iov_len, 0, NULL, 0);
}

static ssize_t by_sendmsg(struct iovec *v)
{
    return grace_late_sendmsg(server, &(struct msghdr){.msg_iov = v, .msg_iovlen = 2}, 0);
}

static ssize_t by_sendmmsg(struct iovec *v)
{
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = v, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = v + 1, .msg_iovlen = 1}}};
    ck_assert_int_eq(grace_late_sendmmsg(server, messages, 2, 0), 2);
    return (ssize_t)messages[0].msg_len + (ssize_t)messages[1].msg_len;
}

static ssize_t by_sendfile(struct iovec *v)
{
    FILE *file = tmpfile();
    off64_t offset = 0;
    ck_assert_int_eq(pwrite(fileno(file), v[1].iov_base, v[1].iov_len, 0), (ssize_t)v[1].iov_len);
    return grace_late_write(server, v[0].iov_base, v[0].iov_len) +
           grace_late_sendfile64(server, fileno(file), &offset, v[1].iov_len);
}

static ssize_t by_splice(struct iovec *v)
{
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(write(pipes[1], v[1].iov_base, v[1].iov_len), (ssize_t)v[1].iov_len);
    return grace_late_write(server, v[0].iov_base, v[0].iov_len) +
           grace_late_splice(pipes[0], NULL, server, NULL, v[1].iov_len, 0);
}

static ssize_t (*const ways[])(struct iovec *) = {by_write,    by_writev,   by_pwritev2,
                                                  by_send,     by_sendto,   by_sendmsg,
                                                  by_sendmmsg, by_sendfile, by_splice};
#define WAYS ((int)(sizeof ways / sizeof *ways))

START_TEST(an_answer_is_edited_and_its_own_length_returned)
{
    for (int i = 0; i < 3; i++) {
        struct iovec v[] = {{(void *)(uintptr_t)(HEAD_5 KEEP "\r\n"), LENGTH(HEAD_5 KEEP "\r\n")},
                            {(void *)(uintptr_t) "hello", 5}};
        ck_assert_int_eq(ways[_i](v), (ssize_t)(LENGTH(HEAD_5 KEEP "\r\n") + 5));
        expect_arrives(HELLO_);
    }
}
END_TEST

START_TEST(other_descriptors_are_left_alone)
{
    char got[64] = "";
    int pipes[2], pair[2];
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(grace_late_write(pipes[1], EMPTY, LENGTH(EMPTY)), LENGTH(EMPTY));
    ck_assert_int_eq(read(pipes[0], got, sizeof got), LENGTH(EMPTY));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(grace_late_write(pair[0], EMPTY, LENGTH(EMPTY)), LENGTH(EMPTY));
    ck_assert_int_eq(read(pair[1], got, sizeof got), LENGTH(EMPTY));
    ck_assert_int_eq(grace_late_write(client, EMPTY, LENGTH(EMPTY)), LENGTH(EMPTY));
    ck_assert_int_eq(read(server, got, sizeof got), LENGTH(EMPTY));
    ck_assert_int_eq(grace_late_write(-1, EMPTY, LENGTH(EMPTY)), -1);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(grace_late_write(1 << 20, EMPTY, LENGTH(EMPTY)), -1);
    ck_assert_int_eq(grace_late_write(server, EMPTY, 0), 0);
}
END_TEST

START_TEST(a_number_that_is_used_again_begins_anew)
{
    say("\x16\x03\x01 no HTTP here");
    close(client);
    int other = connect_to(listener), number = server;
    close(server);
    server = accept(listener, NULL, NULL);
    ck_assert_int_eq(server, number);
    client = other;
    say(EMPTY);
    expect_arrives(EMPTY_);
}
END_TEST

START_TEST(a_client_that_left_is_told_as_ever)
{
    struct linger hard = {1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client);
    struct pollfd gone = {.fd = server, .events = POLLIN};
    poll(&gone, 1, 20000);
    ck_assert_int_eq(grace_late_write(server, EMPTY, LENGTH(EMPTY)), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_eq(grace_late_write(server, EMPTY, LENGTH(EMPTY)), -1);
    ck_assert_int_eq(errno, EPIPE);
    signal(SIGPIPE, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        grace_late_write(server, EMPTY, LENGTH(EMPTY));
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    ck_assert_int_eq(grace_late_send(server, EMPTY, LENGTH(EMPTY), MSG_NOSIGNAL), -1);
}
END_TEST

/* ---- slow clients -------------------------------------------------------------------------- */

#define ANSWERS 60
#define BODY    20011

static char stream[ANSWERS * (BODY + 200)], wanted[ANSWERS * (BODY + 200)];
static size_t stream_length, wanted_length;

static void make_stream(void)
{
    stream_length = wanted_length = 0;
    for (int i = 0; i < ANSWERS; i++) {
        size_t head = (size_t)sprintf(stream + stream_length,
                                      "HTTP/1.1 200 x\r\n" KEEP "Content-Length: %d\r\n\r\n", BODY);
        stream_length += head;
        wanted_length += (size_t)sprintf(
            wanted + wanted_length, "HTTP/1.1 200 x\r\nContent-Length: %d\r\n" CLOSE "\r\n", BODY);
        for (int j = 0; j < BODY; j++)
            stream[stream_length++] = wanted[wanted_length++] = (char)('a' + (i + j) % 26);
    }
}

static void shrink_buffer(void)
{
    int size = 4096;
    setsockopt(server, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Reads in pieces of odd sizes; returns the number of bytes that are not as wanted. */
static void *read_slowly(void *unused)
{
    (void)unused;
    char piece[777];
    size_t got = 0, wrong = 0;
    for (ssize_t n; (n = recv(client, piece, 1 + got % sizeof piece, 0)) > 0; got += (size_t)n)
        wrong += got + (size_t)n > wanted_length || memcmp(piece, wanted + got, (size_t)n) != 0;
    return (void *)(wrong + (got != wanted_length));
}

static void send_stream(size_t piece, int flags)
{
    for (size_t done = 0; done < stream_length;) {
        size_t size = piece < stream_length - done ? piece : stream_length - done;
        ssize_t sent = grace_late_send(server, stream + done, size, flags);
        ck_assert_int_ne(sent, 0);
        if (sent > 0)
            done += (size_t)sent;
        else {
            ck_assert_int_eq(errno, EAGAIN);
            poll(&(struct pollfd){.fd = server, .events = POLLOUT}, 1, 20000);
        }
    }
}

START_TEST(a_slow_client_gets_every_byte)
{
    static const size_t pieces[] = {sizeof stream, 9973, 113};
    pthread_t reader;
    void *wrong;
    make_stream();
    shrink_buffer();
    if (_i >= 3)
        fcntl(server, F_SETFL, O_NONBLOCK);
    pthread_create(&reader, NULL, read_slowly, NULL);
    send_stream(pieces[_i % 3], _i >= 6 ? MSG_DONTWAIT : 0);
    shutdown(server, SHUT_WR);
    pthread_join(reader, &wrong);
    ck_assert_ptr_null(wrong);
}
END_TEST

static void *write_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 300; i++)
        if (grace_late_write(server, HELLO, LENGTH(HELLO)) != LENGTH(HELLO))
            return (void *)1;
    return NULL;
}

START_TEST(threads_on_one_connection_take_turns)
{
    enum { THREADS = 4 };
    pthread_t writers[THREADS];
    void *failed;
    char got[LENGTH(HELLO_)];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&writers[i], NULL, write_many, NULL);
    for (int i = 0; i < 300 * THREADS; i++) {
        ck_assert_int_eq(recv(client, got, sizeof got, MSG_WAITALL), sizeof got);
        ck_assert_int_eq(memcmp(got, HELLO_, sizeof got), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(writers[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

static volatile sig_atomic_t handled;

static void write_in_handler(int signo)
{
    (void)signo;
    grace_late_send(server, "x", 1, MSG_DONTWAIT);
    handled = 1;
}

/* The thread waits in the kernel and has the connection; its handler must not wait for it. */
START_TEST(a_handler_over_a_call_that_sends_is_let_pass)
{
    make_stream();
    shrink_buffer();
    struct sigaction action = {.sa_handler = write_in_handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {.it_value = {.tv_usec = 200000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    while (handled == 0) { /* nobody reads: this waits, until it returns short for the signal */
        ssize_t sent = grace_late_write(server, stream, stream_length);
        ck_assert_int_gt(sent, 0);
    }
    ck_assert_int_eq(
        grace_late_send(server, stream, stream_length, MSG_DONTWAIT) >= 0 || errno == EAGAIN, 1);
}
END_TEST

/* ---- connections that were there before ---------------------------------------------------- */

static void ask(void)
{
    char got[16];
    ck_assert_int_eq(write(client, "GET", 3), 3);
    ck_assert_int_eq(recv(server, got, 3, MSG_WAITALL), 3);
}

/* So that the kernel's clock tells the request from the answer. */
static void wait_ms_since_request(void)
{
    struct tcp_info info;
    do {
        socklen_t length = sizeof info;
        ck_assert_int_eq(getsockopt(server, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
        sched_yield();
    } while (info.tcpi_last_data_recv < 20);
}

START_TEST(the_middle_of_an_answer_is_left_alone)
{
    not_emulated(SHORT_INFO);
    setup_family(AF_INET);
    ask();
    wait_ms_since_request();
    ck_assert_int_eq(write(server, HEAD_5 "\r\n", LENGTH(HEAD_5 "\r\n")), LENGTH(HEAD_5 "\r\n"));
    expect_arrives(HEAD_5 "\r\n");
    ck_assert(grace_answers_begin());
    say("HTTP/1.1 200 or so\r\n\r\n");
    expect_arrives("HTTP/1.1 200 or so\r\n\r\n");
    ask();
    say(HELLO);
    expect_arrives(HELLO_);
}
END_TEST

START_TEST(an_answer_to_head_and_a_body_that_looks_like_an_answer_are_told_apart)
{
    not_emulated(SHORT_INFO);
    ask();
    say(HEAD_5 "\r\n");
    expect_arrives(HEAD_5 CLOSE "\r\n");
    ask();
    say(EMPTY);
    expect_arrives(EMPTY_);
    ask();
    say("HTTP/1.1 200 x\r\nContent-Length: 18\r\n\r\n");
    say(EMPTY);
    say(EMPTY);
    expect_arrives("HTTP/1.1 200 x\r\nContent-Length: 18\r\n" CLOSE "\r\n" EMPTY EMPTY_);
}
END_TEST

/* The kernel counts it as a byte received. */
START_TEST(the_end_of_a_client_is_no_request)
{
    struct tcp_info info = {.tcpi_state = 0};
    ask();
    say("HTTP/1.1 200 x\r\nContent-Length: 37\r\n\r\n");
    expect_arrives("HTTP/1.1 200 x\r\nContent-Length: 37\r\n" CLOSE "\r\n");
    ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
    for (socklen_t length = sizeof info; info.tcpi_state != TCP_CLOSE_WAIT;)
        ck_assert_int_eq(getsockopt(server, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    say(HEAD_5 "\r\n");
    expect_arrives(HEAD_5 "\r\n");
}
END_TEST

START_TEST(unix_sockets_too)
{
    setup_family(AF_UNIX);
    ck_assert(grace_answers_begin());
    ck_assert_uint_eq(grace_answers_sent_ms(server), 0);
    say(EMPTY HELLO);
    expect_arrives(EMPTY_ HELLO_);
    ck_assert_uint_gt(grace_answers_sent_ms(server), 0);
    /* Descriptors with bytes: as they are, and what follows too. */
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &listener, sizeof listener);
    struct iovec piece = {(void *)(uintptr_t)EMPTY, LENGTH(EMPTY)};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ck_assert_int_eq(grace_late_sendmsg(server, &message, 0), LENGTH(EMPTY));
    say(EMPTY);
    expect_arrives(EMPTY EMPTY);
}
END_TEST

START_TEST(a_forked_child_goes_on)
{
    say(HEAD_5 "Connection: keep");
    pid_t child = fork();
    if (child == 0) {
        say("-alive\r\n\r\nhello");
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    expect_arrives(HELLO_);
}
END_TEST

/* The loader's locks are never copied while they are taken. */
static void *begin_and_undo(void *over)
{
    while (!atomic_load((atomic_bool *)over)) {
        grace_answers_undo();
        grace_answers_begin();
    }
    return NULL;
}

START_TEST(a_child_forked_while_it_begins_can_begin)
{
    not_emulated("hangs in a fork beside a thread that maps memory");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip("a sanitizer's allocator leaves a forked child the locks that other threads had");
#endif
    pthread_t thread;
    atomic_bool over = false;
    /* A walk through a large library takes a while; of another architecture there may be libm
     * alone. */
    ck_assert(dlopen("libcrypto.so.3", RTLD_NOW) != NULL || dlopen("libm.so.6", RTLD_NOW) != NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_and_undo, &over), 0);
    for (int i = 0; i < 300; i++) {
        int status;
        grace_answers_before_fork();
        pid_t child = fork();
        grace_answers_after_fork(child == 0);
        if (child == 0)
            _exit(grace_answers_begin() ? 0 : 1);
        waitpid(child, &status, 0);
        ck_assert_msg(status == 0, "child %d: status %#x", i, (unsigned)status);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(taken_back_nothing_is_lost)
{
    say(HELLO HEAD_5 "Conn");
    expect_arrives(HELLO_ HEAD_5);
    grace_answers_undo();
    expect_arrives("Conn");
    say(": x\r\n\r\nhello" HELLO);
    expect_arrives(": x\r\n\r\nhello" HELLO);
    ck_assert(grace_answers_begin());
    ask();
    say(HELLO);
    expect_arrives(HELLO_);
}
END_TEST

/* ---- whether there is TLS ------------------------------------------------------------------ */

START_TEST(an_answer_tells_that_its_port_is_plain)
{
    ck_assert(!grace_drain_address_is_plain(server));
    say("\x17\x03\x03HTTP/1.1 ");
    ck_assert(!grace_drain_address_is_plain(server));
    close(server);
    close(client);
    client = connect_to(listener);
    server = accept(listener, NULL, NULL);
    say(EMPTY);
    ck_assert(grace_drain_address_is_plain(server));
    ck_assert(!grace_drain_address_is_plain(client));
    grace_drain_addresses_forget();
    ck_assert(!grace_drain_address_is_plain(server));
}
END_TEST

/* There is none in this program; its own copy of what is searched for does not count. */
START_TEST(that_no_tls_is_loaded_is_found_out_when_asked)
{
    not_emulated("reads no memory for a program (process_vm_readv)");
    ck_assert(grace_answers_may_be_tls());
    for (int i = 0; grace_answers_may_be_tls(); i++) {
        ck_assert_int_lt(i, 10000);
        poll(NULL, 0, 1);
    }
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("late");
    TCase *tests = tcase_create("sockets");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_loop_test(tests, an_answer_is_edited_and_its_own_length_returned, 0, WAYS);
    tcase_add_test(tests, other_descriptors_are_left_alone);
    tcase_add_test(tests, a_number_that_is_used_again_begins_anew);
    tcase_add_test(tests, a_client_that_left_is_told_as_ever);
    tcase_add_loop_test(tests, a_slow_client_gets_every_byte, 0, 9);
    tcase_add_test(tests, threads_on_one_connection_take_turns);
    tcase_add_test(tests, a_handler_over_a_call_that_sends_is_let_pass);
    tcase_add_test(tests, an_answer_to_head_and_a_body_that_looks_like_an_answer_are_told_apart);
    tcase_add_test(tests, the_end_of_a_client_is_no_request);
    tcase_add_test(tests, a_forked_child_goes_on);
    tcase_add_test(tests, a_child_forked_while_it_begins_can_begin);
    tcase_add_test(tests, taken_back_nothing_is_lost);
    tcase_add_test(tests, an_answer_tells_that_its_port_is_plain);
    tcase_add_test(tests, that_no_tls_is_loaded_is_found_out_when_asked);
    suite_add_tcase(all, tests);
    TCase *before = tcase_create("before");
    tcase_add_test(before, the_middle_of_an_answer_is_left_alone);
    tcase_add_test(before, unix_sockets_too);
    suite_add_tcase(all, before);
    return all;
}
