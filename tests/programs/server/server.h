/*
 * A server that knows nothing of signals or graceful shutdown, in every shape that servers have:
 *
 *     server [--mode MODE] [--workers N] [--delay MS] [--size BYTES] [--reuseport] [--count FILE]
 *            [--user NAME] LISTENER...
 *
 * MODE       thread      one thread accepts, blocking, and starts a thread per connection (default)
 *            accept      N threads accept, blocking, and each serves what it accepted
 *            nonblock    tries accept again and again, and starts a thread per connection
 *            fork        a process per connection
 *            prefork     N processes accept on the parent's listeners, blocking
 *            poll, select, epoll, edge    one thread with an event loop
 *            exclusive   N threads with an epoll each, listeners in it with EPOLLEXCLUSIVE
 * LISTENER   ipv4[:PORT], ipv6[:PORT] on the loopback interface, unix:PATH, or fds: the LISTEN_FDS
 *            sockets from descriptor 3 on
 *
 * As root it becomes NAME once it listens, as daemons do: its processes may not look into each
 * other then. It writes a line for each listener ("ipv4 40123", "unix /tmp/x", "fd 3"), then
 * "ready". It speaks HTTP/1.1 with keep-alive and pipelining. A path may set its own delay=, size=,
 * pieces= and gap= (the body goes out in that many pieces, with milliseconds between them), and
 * until=FILE: the answer begins when there is such a file. A request with an "Upgrade:" line is
 * answered with 101; from then on the connection echoes.
 */
#ifndef GRACE_TESTS_SERVER_H
#define GRACE_TESTS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTENERS 16

struct settings {
    int workers;
    long delay; /* milliseconds before each answer */
    long size;  /* bytes of each answer's body */
    int listeners[LISTENERS];
    int listener_count;
};
extern struct settings settings;

/* What the load generator may compare its own figures with; in a file that both map. */
struct counts {
    _Atomic uint64_t read;     /* requests read as a whole */
    _Atomic uint64_t answered; /* of those, answers written as a whole */
};
extern struct counts *counts;

int64_t now_ms(void);

/* ---- one connection: no input or output in it -------------------------------------------------
 */

struct http {
    char in[8192]; /* received, not yet used */
    size_t used;
    bool ended;    /* nothing more will come */
    bool upgraded; /* echoes */
    bool last;     /* close after this answer */
    bool counted;  /* the answer is one to a request */
    char *out;     /* the answer under way, or NULL */
    size_t length, sent, limit, piece;
    long gap;       /* milliseconds between pieces */
    int64_t due;    /* when to go on with the answer */
    char until[64]; /* the file that it waits for, or "" */
};

/* What to do next: read more into `in`; wait until `due`; write out[sent..limit); close. */
enum step { STEP_READ, STEP_WAIT, STEP_WRITE, STEP_CLOSE };
enum step http_next(struct http *http, int64_t now);

/* ---- modes: these serve all listeners and do not return ----------------------------------------
 */

void serve_threads(void);
void serve_accepting_threads(void);
void serve_trying(void);
void serve_forking(void);
void serve_preforked(void);
void serve_poll(void);
void serve_select(void);
void serve_epoll(void);
void serve_edge(void);
void serve_exclusive(void);

#endif
