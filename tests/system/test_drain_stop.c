/*
 * The drain as a part of a stop: before which handlers it comes, what others can read of it and ask
 * of it in the ledger, and that a stop which is taken back leaves the server as it was.
 */
#include "harness_guardian.h"
#include "harness_story.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "hooks/ledger.h"

static struct process *server;
static struct sockaddr_un local;
static int port; /* 0: local */

/* ---- clients --------------------------------------------------------------------------------- */

static int try_to_connect(void)
{
    if (port != 0)
        return dial(port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&local, sizeof local) == 0)
        return fd;
    close(fd);
    return -1;
}

static int ask(const char *path)
{
    int fd = try_to_connect();
    const char *request = text("GET %s HTTP/1.0\r\n\r\n", path);
    expect(fd >= 0);
    expect(write(fd, request, strlen(request)) == (ssize_t)strlen(request));
    return fd;
}

/* A request that is answered when let_answer() says so: the drain has been seen by then. */
#define HELD "/until=go"

static void let_answer(void)
{
    write_file("go", "%s", "");
}

#define expect_answer(fd)                                                                          \
    do {                                                                                           \
        const char *answer_ = answer_of(fd);                                                       \
        expect(strstr(answer_, " 200 ") != NULL && strstr(answer_, "\r\n\r\n") != NULL, "%s",      \
               answer_);                                                                           \
    } while (0)

/* ---- the server and its ledger --------------------------------------------------------------- */

#define HOOKS                                                                                      \
    "hooks = ( { name = \"world\"; phase = \"announce\"; command = [\"/bin/sh\", \"-c\", "         \
    "\"echo world >> order\"]; },"                                                                 \
    "          { name = \"save\"; command = [\"/bin/sh\", \"-c\", \"echo save >> order\"]; } );\n"

static void start_server(const char *mode, const char *listener, const char *settings)
{
    not_where_threads_mix(); /* the drain is a thread of libgrace's */
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n" HOOKS "%s", here("log"),
           settings);
    bool is_local = strcmp(listener, "unix") == 0;
    char *what = is_local ? text("unix:%s", here("socket")) : text("%s", listener);
    server = start(GRACED, program("server"), "--mode", mode, what);
    wait_ready(server);
    port = is_local ? 0 : atoi(contents(server->out) + strlen("ipv4 "));
    local.sun_family = AF_UNIX;
    strncpy(local.sun_path, here("socket"), sizeof local.sun_path - 1);
}

static struct grace_ledger *map_ledger(void)
{
    int fd = open(text("/proc/%d/fd/3", wait_guardian(server)), O_RDWR | O_CLOEXEC);
    void *memory = mmap(NULL, sizeof(struct grace_ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        GRACE_LEDGER_RECORD);
    expect(memory != MAP_FAILED);
    close(fd);
    struct grace_ledger *ledger = memory;
    expect(ledger->magic == GRACE_LEDGER_MAGIC);
    return ledger;
}

static void wish(struct grace_ledger *ledger, uint32_t what)
{
    atomic_fetch_or(&ledger->wishes, what);
    atomic_fetch_add(&ledger->answered, 1);
    syscall(SYS_futex, &ledger->answered, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Until a word of the ledger is what it should be. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        for (int64_t limit_ = now_ms() + STORY_LIMIT_MS; !(condition); let_pass(2))                \
            expect(now_ms() < limit_);                                                             \
    } while (0)

/* Until it drains, for the first or for another time. */
static void wait_drain(unsigned time)
{
    wait_until(count_of(contents("log"), "is closed to new connections") >= time);
}

/* ---- a stop with a request under way --------------------------------------------------------- */

/* Returns the request's connection. */
static int stop_while_asked(const char *path)
{
    int fd = ask(path);
    let_pass(100);
    send_signal(server, SIGTERM);
    return fd;
}

static void expect_answer_in_drain(int held)
{
    wait_drain(1);
    let_answer();
    expect_answer(held);
}

/* ---- what can be read ------------------------------------------------------------------------ */

START_TEST(the_ledger_shows_how_far_it_is)
{
    start_server("thread", "ipv4", "");
    struct grace_ledger *ledger = map_ledger();
    expect(atomic_load(&ledger->drain) == GRACE_DRAIN_NONE);
    int slow = stop_while_asked(HELD);
    wait_until(atomic_load(&ledger->drain_listeners) == 1);
    expect(atomic_load(&ledger->drain) == GRACE_DRAIN_DRAINING);
    wait_until(atomic_load(&ledger->drain_busy) == 1);
    expect(atomic_load(&ledger->drain_until_ms) > (uint64_t)now_ms());
    expect(atomic_load(&ledger->drain_until_ms) <= (uint64_t)now_ms() + 20000);
    let_answer();
    expect_answer(slow);
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect(atomic_load(&ledger->drain) == GRACE_DRAIN_OVER);
    expect(atomic_load(&ledger->drain_finished) == 1);
    expect(atomic_load(&ledger->drain_cut) == 0);
    expect_order("world save");
}
END_TEST

/* ---- what can be asked for ------------------------------------------------------------------- */

START_TEST(no_drain_ends_it_and_the_hooks_run)
{
    start_server("thread", "ipv4", "");
    struct grace_ledger *ledger = map_ledger();
    int endless = stop_while_asked("/delay=600000");
    wait_until(atomic_load(&ledger->drain_busy) == 1);
    wish(ledger, GRACE_WISH_NO_DRAIN);
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect(atomic_load(&ledger->drain_cut) == 1);
    expect_order("world save");
    close(endless);
}
END_TEST

START_TEST(force_cuts_the_stop)
{
    start_server("thread", "ipv4", "");
    struct grace_ledger *ledger = map_ledger();
    int endless = stop_while_asked("/delay=600000");
    wait_until(atomic_load(&ledger->drain_busy) == 1);
    wish(ledger, GRACE_WISH_FORCE);
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect_order("world save"); /* the guardian's, whenever the target ends */
    close(endless);
}
END_TEST

static const struct {
    const char *mode, *listener;
} kinds[] = {
    {"thread", "ipv4"}, {"accept", "ipv4"},    {"nonblock", "ipv4"}, {"poll", "ipv4"},
    {"epoll", "ipv4"},  {"exclusive", "ipv4"}, {"thread", "unix"},   {"epoll", "unix"},
};
#define KINDS ((int)(sizeof kinds / sizeof kinds[0]))

/* Answers as before, closes as before, and can be stopped as before, but for the hooks that ran. */
START_TEST(a_stop_that_is_taken_back_leaves_all_as_it_was)
{
    start_server(kinds[_i].mode, kinds[_i].listener, "");
    struct grace_ledger *ledger = map_ledger();
    int slow = stop_while_asked(HELD);
    wait_until(atomic_load(&ledger->drain_listeners) == 1);
    expect(try_to_connect() < 0);
    wish(ledger, GRACE_WISH_ABORT);
    wait_until(atomic_load(&ledger->stage) == GRACE_STAGE_RUNNING);
    expect(atomic_load(&ledger->wishes) == 0);
    for (int i = 0; i < 8; i++)
        expect_answer(ask("/size=10"));
    let_answer();
    expect_answer(slow);
    expect_text(contents("order"), "world\n");
    expect(!has_ended(server));

    slow = stop_while_asked("/until=again");
    wait_drain(2);
    write_file("again", "%s", "");
    expect_answer(slow);
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect_order("world save");
}
END_TEST

/* ---- before which handlers ------------------------------------------------------------------- */

static const char handling[] =
    "import http.server, os, signal, socketserver, sys, time\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        while self.path != '/' and not os.path.exists(self.path[7:]): time.sleep(0.005)\n"
    "        self.send_response(200)\n"
    "        self.end_headers()\n"
    "        self.wfile.write(b'whole')\n"
    "    def log_message(self, *words): pass\n"
    "class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):\n"
    "    daemon_threads = True\n"
    "def handle(number, frame):\n"
    "    open('order', 'a').write('handler\\n')\n"
    "    import os; os._exit(7)\n"
    "signal.signal(signal.SIGTERM, handle)\n"
    "server = Server(('127.0.0.1', int(sys.argv[1])), Handler)\n"
    "print('ready', flush=True)\n"
    "server.serve_forever()\n";

/* With "auto" a handler is the target's own affair; with "always" it comes when all is answered. */
START_TEST(before_a_handler_only_with_always)
{
    bool always = _i == 1;
    config("%s log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n" HOOKS,
           always ? "drain = { when = \"always\"; };" : "", here("log"));
    port = free_port();
    server = start(GRACED, "/usr/bin/python3", "-c", handling, text("%d", port));
    wait_ready(server);
    int slow = stop_while_asked(HELD);
    if (always) {
        expect_answer_in_drain(slow);
    } else {
        expect_text(answer_of(slow), "");
    }
    expect_status(wait_end(server), EXITED(7));
    expect_order("world handler save");
}
END_TEST

/* Node's own handler is a last word: it resets the terminal and raises the signal again. */
static void start_one_shot(void)
{
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n" HOOKS, here("log"));
    port = free_port();
    server = start(GRACED, "node", "-e",
                   text("function answer(q, r) { if (q.url == '/' || "
                        "require('fs').existsSync(q.url.slice(7))) r.end('whole'); "
                        "else setTimeout(() => answer(q, r), 5); }"
                        "require('http').createServer(answer)"
                        ".listen(%d, '127.0.0.1', () => console.log('ready'))",
                        port));
    wait_ready(server);
}

START_TEST(before_a_one_shot_handler)
{
    start_one_shot();
    int slow = stop_while_asked(HELD);
    expect_answer_in_drain(slow);
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect_order("world save");
}
END_TEST

static void start_with_handler(const char *program_text)
{
    config("drain = { when = \"always\"; };\n"
           "log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n" HOOKS,
           here("log"));
    port = free_port();
    server = start(GRACED, "/usr/bin/python3", "-c", program_text, text("%d", port));
    wait_ready(server);
}

/* The handler learns nothing of a stop that was taken back; of the next one it does. */
START_TEST(taken_back_before_a_handler)
{
    bool once = _i == 1;
    if (once)
        start_one_shot();
    else
        start_with_handler(handling);
    struct grace_ledger *ledger = map_ledger();
    int slow = stop_while_asked(HELD);
    wait_until(atomic_load(&ledger->drain_listeners) == 1);
    wish(ledger, GRACE_WISH_ABORT);
    wait_until(atomic_load(&ledger->taken_back) == 1);
    let_answer();
    expect_answer(slow);
    expect_answer(ask("/"));
    expect_text(contents("order"), "world\n");

    slow = stop_while_asked("/until=again");
    wait_drain(2);
    write_file("again", "%s", "");
    expect_answer(slow);
    expect_status(wait_end(server), once ? KILLED(SIGTERM) : EXITED(7));
    expect_order(once ? "world save" : "world handler save");
}
END_TEST

/* With `deliver` it is the handler of what is delivered. */
START_TEST(before_the_handler_of_what_is_delivered)
{
    config("drain = { when = \"always\"; }; deliver = { TERM = \"QUIT\"; };\n"
           "log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };\n" HOOKS,
           here("log"));
    port = free_port();
    server = start(GRACED, "/usr/bin/python3", "-c",
                   text("import signal\nsignal.SIGTERM = signal.SIGQUIT\n%s", handling),
                   text("%d", port));
    wait_ready(server);
    int slow = stop_while_asked(HELD);
    expect_answer_in_drain(slow);
    expect_status(wait_end(server), EXITED(7));
    expect_order("world handler save");
}
END_TEST

/* A thread that waits for the signal, by sigwait or by signalfd, gets it when all is answered. */
static const char waiting[] =
    "import ctypes, http.server, os, signal, socketserver, sys, threading, time\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        while self.path != '/' and not os.path.exists(self.path[7:]): time.sleep(0.005)\n"
    "        self.send_response(200)\n"
    "        self.end_headers()\n"
    "        self.wfile.write(b'whole')\n"
    "    def log_message(self, *words): pass\n"
    "class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):\n"
    "    daemon_threads = True\n"
    "server = Server(('127.0.0.1', int(sys.argv[1])), Handler)\n"
    "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
    "def by_signalfd():\n"
    "    libc = ctypes.CDLL(None)\n"
    "    mask = (ctypes.c_ulong * 16)(1 << (signal.SIGTERM - 1))\n"
    "    os.read(libc.signalfd(-1, mask, 0), 128)\n"
    "print('ready', flush=True)\n"
    "%s\n"
    "open('order', 'a').write('handler\\n')\n"
    "os._exit(7)\n";

START_TEST(before_who_waits_for_the_signal)
{
    start_with_handler(
        text(waiting, _i == 0 ? "signal.sigwait([signal.SIGTERM])" : "by_signalfd()"));
    int slow = stop_while_asked(HELD);
    expect_answer_in_drain(slow);
    expect_status(wait_end(server), EXITED(7));
    expect_order("world handler save");
}
END_TEST

/* ---- holding --------------------------------------------------------------------------------- */

START_TEST(a_hold_serves_on_until_its_end)
{
    start_server("epoll", "ipv4", "drain = { hold = \"3s\"; };");
    struct grace_ledger *ledger = map_ledger();
    int kept = try_to_connect(); /* a load balancer's */
    expect(kept >= 0);
    int64_t began = now_ms();
    send_signal(server, SIGTERM);
    wait_until(atomic_load(&ledger->drain) == GRACE_DRAIN_HOLD);
    expect_answer(ask("/"));
    expect_answer(ask("/"));
    expect_status(wait_end(server), KILLED(SIGTERM));
    expect(now_ms() - began >= 3000);
    close(kept);
}
END_TEST

START_TEST(a_hold_ends_when_the_load_balancers_are_gone)
{
    start_server("epoll", "ipv4", "deadline = \"100m\"; drain = { hold = \"90m\"; };");
    struct grace_ledger *ledger = map_ledger();
    int kept = try_to_connect();
    send_signal(server, SIGTERM);
    wait_until(atomic_load(&ledger->drain) == GRACE_DRAIN_HOLD &&
               atomic_load(&ledger->drain_idle) + atomic_load(&ledger->drain_busy) == 1);
    close(kept);
    expect_status(wait_end(server), KILLED(SIGTERM));
}
END_TEST

/* ---- workers --------------------------------------------------------------------------------- */

/* Stopped alone, it finishes what it has, and its parent sees what it would have seen. */
START_TEST(a_forked_worker_finishes_and_dies_by_the_signal)
{
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };", here("log"));
    static const char forking[] =
        "import os, socket, sys, time\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "worker = os.fork()\n"
        "if worker == 0:\n"
        "    connection = listener.accept()[0]\n"
        "    connection.recv(1000)\n"
        "    open('accepted', 'w').close()\n"
        "    while not os.path.exists('go'): time.sleep(0.005)\n"
        "    connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nwhole')\n"
        "    connection.close()\n"
        "    time.sleep(100)\n"
        "print(worker, flush=True)\n"
        "print('ready', flush=True)\n"
        "print(os.waitpid(worker, 0)[1], flush=True)\n";
    port = free_port();
    server = start(_i == 0 ? BARE : GRACED, "/usr/bin/python3", "-c", forking, text("%d", port));
    wait_ready(server);
    pid_t worker = atoi(contents(server->out));
    int slow = ask("/");
    wait_exists("accepted");
    kill(worker, SIGTERM);
    if (_i == 1) {
        let_answer();
        expect_answer(slow);
    } else {
        expect_text(answer_of(slow), "");
    }
    expect_status(wait_end(server), EXITED(0));
    expect(strstr(contents(server->out), text("\n%d\n", SIGTERM)) != NULL, "%s",
           contents(server->out));
}
END_TEST

/* As soon as there is one. */
static pid_t only_child(pid_t parent)
{
    const char *children = text("/proc/%d/task/%d/children", parent, parent);
    for (int64_t since = now_ms(); contents(children)[0] == '\0';)
        expect(look_again(since), "%d has no child", parent);
    return atoi(contents(children));
}

/* PID 1 takes all others along when it ends: it waits for what its children serve, and has them say
 * that it is the last. */
START_TEST(pid_1_waits_for_its_children)
{
    if (_i == 1)
        not_emulated("passes on the first four bytes of TCP_INFO only");
    port = free_port();
    const char *preload = _i == 0 ? "" : text("export LD_PRELOAD='%s';", product("libgrace.so"));
    server = start(BARE, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
                   namespace_option(), "/bin/sh", "-c",
                   text("%s exec %s --mode fork ipv4:%d", preload, program("server"), port));
    wait_ready(server);
    int fd = dial(port);
    expect(fd >= 0);
    const char *request = "GET " HELD " HTTP/1.1\r\n\r\n";
    expect(write(fd, request, strlen(request)) == (ssize_t)strlen(request));
    const pid_t first = only_child(server->pid);
    const struct process child = {.pid = only_child(first), .title = "the child that serves"};
    wait_asleep(&child);
    kill(first, _i == 0 ? SIGKILL : SIGTERM); /* bare, PID 1 ignores TERM */
    if (_i == 1) {
        const char *status = text("/proc/%d/status", child.pid);
        for (int64_t since = now_ms(); strstr(contents(status), "Threads:\t1\n") != NULL;)
            expect(look_again(since), "the child does not go along");
        wait_asleep(&child); /* it goes along */
        let_answer();
    }
    const char *answer = answer_of(fd);
    if (_i == 0)
        expect_text(answer, "");
    else
        expect(strstr(answer, "\r\nConnection: close\r\n\r\nabc") != NULL, "%s", answer);
    wait_end(server);
}
END_TEST

/* ---- nothing to drain ------------------------------------------------------------------------ */

START_TEST(where_nothing_listens_nothing_is_said)
{
    config("log = { to = \"file\"; path = \"%s\"; };", here("log"));
    server = start(GRACED, "/bin/sh", "-c", "echo ready; sleep 1000 & wait");
    wait_ready(server);
    expect_status(stop_with(server, SIGTERM), KILLED(SIGTERM));
    expect(strstr(contents("log"), "stopping: SIGTERM") != NULL);
    expect(strstr(contents("log"), "drained") == NULL, "%s", contents("log"));
    kill_all_but_guardian();
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("drain stop");
    TCase *group = story_case(all, "stop");
    tcase_add_test(group, the_ledger_shows_how_far_it_is);
    tcase_add_test(group, no_drain_ends_it_and_the_hooks_run);
    tcase_add_test(group, force_cuts_the_stop);
    tcase_add_loop_test(group, a_stop_that_is_taken_back_leaves_all_as_it_was, 0, KINDS);
    tcase_add_loop_test(group, before_a_handler_only_with_always, 0, 2);
    tcase_add_test(group, before_a_one_shot_handler);
    tcase_add_test(group, before_the_handler_of_what_is_delivered);
    tcase_add_loop_test(group, taken_back_before_a_handler, 0, 2);
    tcase_add_loop_test(group, before_who_waits_for_the_signal, 0, 2);
    tcase_add_test(group, a_hold_serves_on_until_its_end);
    tcase_add_test(group, a_hold_ends_when_the_load_balancers_are_gone);
    tcase_add_loop_test(group, a_forked_worker_finishes_and_dies_by_the_signal, 0, 2);
    tcase_add_loop_test(group, pid_1_waits_for_its_children, 0, 2);
    tcase_add_test(group, where_nothing_listens_nothing_is_said);
    return all;
}
