/*
 * Servers that fork, stopped: a child for each connection, or workers that share a listener. What
 * their processes have open in common is closed once nobody goes on with it, and not before.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * At each moment some child or other has the listener open still: the first one, which was there
 * before the stop, until the second is forked, and that one, which a signal does not reach, until
 * its end. None of them accepts: a connection in the backlog is the parent's, who is slow.
 */
static const char forking[] =
    "import os, signal, socket, sys, time\n"
    "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "def until(name):\n"
    "    while not os.path.exists(name): time.sleep(0.005)\n"
    "def answer(connection):\n"
    "    connection.recv(1000)\n"
    "    connection.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\nwhole')\n"
    "    connection.close()\n"
    "print('ready', flush=True)\n"
    "first = listener.accept()[0]\n"
    "if os.fork() == 0:\n"
    "    open('first', 'w').close()\n"
    "    until('second')\n"
    "    listener.close()\n"
    "    answer(first)\n"
    "    os._exit(0)\n"
    "first.close()\n"
    "second = listener.accept()[0]\n"
    "until('draining')\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
    "if os.fork() == 0:\n"
    "    open('second', 'w').close()\n"
    "    time.sleep(1)\n"
    "    answer(second)\n"
    "    os._exit(0)\n"
    "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])\n"
    "second.close()\n"
    "time.sleep(0.5)\n"
    "answer(listener.accept()[0])\n"
    "time.sleep(1000)\n";

START_TEST(children_of_the_drain_do_not_keep_its_listener)
{
    config("log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };", here("log"));
    int port = free_port();
    struct process *server = start(GRACED, "/usr/bin/python3", "-c", forking, text("%d", port));
    wait_ready(server);
    int first = ask_at(port, "/");
    wait_exists("first");
    int second = ask_at(port, "/"), third = ask_at(port, "/");
    send_signal(server, SIGTERM);
    wait_contains("log", "draining");
    write_file("draining", "%s", "");
    expect(strstr(answer_of(first), "whole") != NULL);
    expect(strstr(answer_of(second), "whole") != NULL);
    expect(strstr(answer_of(third), "whole") != NULL, "%s", contents("log"));
    expect_status(wait_end(server), KILLED(SIGTERM));
}
END_TEST

/* Whoever of them ends the listener, none waits longer than for its requests. An hour would be more
 * than the story has. */
START_TEST(workers_end_with_their_last_request)
{
    config("deadline = \"2h\"; drain = { timeout = \"1h\"; };\n"
           "log = { to = \"file\"; path = \"%s\"; level = \"debug\"; };",
           here("log"));
    char *target = text("ipv4:%d", free_port());
    struct process *load =
        start(BARE, program("load"), "--preload", product("libgrace.so"), "--config",
              here("grace.conf"), "--fresh", "5", "--steady", "5", "--idle", "2", target, "--",
              program("server"), "--mode", "prefork", "--workers", "20", "--delay", "20", target);
    expect_status(wait_end(load), EXITED(0));
    expect(strstr(contents(load->out), "\"lost\":0,") != NULL, "%s", contents(load->out));
}
END_TEST

/* A worker with a handler of its own, which ends it with status 3. */
static const char handling[] =
    "import os, signal, socket, sys, time\n"
    "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "print('ready', flush=True)\n"
    "connection = listener.accept()[0]\n"
    "worker = os.fork()\n"
    "if worker == 0:\n"
    "    listener.close()\n"
    "    def handle(number, frame):\n"
    "        open('handled', 'w').close()\n"
    "        sys.exit(3)\n"
    "    signal.signal(signal.SIGTERM, handle)\n"
    "    connection.recv(1000)\n"
    "    print(os.getpid(), file=open('serves', 'w'), flush=True)\n"
    "    while not os.path.exists('go'): time.sleep(0.005)\n"
    "    connection.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\nwhole')\n"
    "    connection.close()\n"
    "    time.sleep(1000)\n"
    "connection.close()\n"
    "sys.exit(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))\n";

/* Its handler is its own affair, but with "always" it comes when the worker's answer is out. */
START_TEST(before_a_workers_handler_only_with_always)
{
    bool always = _i == 1;
    config(
        "drain = { when = \"%s\"; };\nlog = { to = \"file\"; path = \"%s\"; level = \"debug\"; };",
        always ? "always" : "auto", here("log"));
    int port = free_port();
    struct process *server = start(GRACED, "/usr/bin/python3", "-c", handling, text("%d", port));
    wait_ready(server);
    int asked = ask_at(port, "/");
    wait_contains("serves", "\n");
    kill(atoi(contents("serves")), SIGTERM);
    if (always) {
        wait_contains("log", "draining: 0 listeners (0 private, 0 shared), 1 connection");
        expect(!exists("handled"));
    } else {
        wait_exists("handled");
    }
    write_file("go", "%s", "");
    expect((strstr(answer_of(asked), "whole") != NULL) == always);
    expect_status(wait_end(server), EXITED(3));
    expect(exists("handled"));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("drain: processes");
    TCase *group = story_case(all, "processes");
    tcase_add_test(group, children_of_the_drain_do_not_keep_its_listener);
    tcase_add_loop_test(group, before_a_workers_handler_only_with_always, 0, 2);
    tcase_add_test(group, workers_end_with_their_last_request);
    return all;
}
