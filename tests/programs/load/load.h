/*
 * A load generator that knows of each request whether it was lost.
 *
 *     load [options] TARGET [-- COMMAND...]      TARGET: ipv4:PORT, ipv6:PORT, unix:PATH
 *
 * With a COMMAND it starts that server in a session of its own (bare, or with --preload and
 * --config), loads it, stops its process group by a signal at a random moment, and goes on loading
 * until the group is gone. Without one it loads until it gets SIGTERM. It writes "ready" when every
 * client has had an answer, and at the end one line of JSON.
 *
 * With --listen the listener is load's own, and the server gets it as systemd would give it:
 * descriptor 3, LISTEN_FDS and LISTEN_PID.
 *
 * Clients: --fresh N    a connection for each request ("Connection: close")
 *          --steady N   keep-alive, the next request at once after the answer
 *          --pausing N  keep-alive, pauses of up to twice --pause MS between them
 *          --idle N     one request, then silence
 *          --silent N   never a byte
 *          --long N     one request with --long-path, sent 100 ms before the signal
 * A client whose connection was closed comes back on a new one, but for the last three kinds. All
 * obey "Connection: close". Bodies are compared with the first answer's.
 *
 * What becomes of a request:
 *
 *   whole    its answer came, every byte of it
 *   refused  the connection never came to be, or was closed before the first byte was sent: no loss
 *   closed   a kept connection was closed between two requests: no loss
 *   left     it waits in the queue of a listener that outlives the server: for the next one
 *   raced    the server, still alive, closed a kept connection with this request unread: see below
 *   lost     every other: sent on an established connection, and no whole answer
 *   wrong    an answer came, but not the right one
 *
 * A race: request and close cross each other on their way. Neither side could know better, and HTTP
 * lets the client try again on a new connection. It is told by all of these: the connection had
 * carried a whole answer; no byte of this one came; it ended with a reset (a server that has read
 * all that came ends with FIN); and that was RACE_MARGIN_US before the server's last process ended,
 * so that no request that died with a process by mistake counts here.
 */
#ifndef GRACE_TESTS_LOAD_H
#define GRACE_TESTS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define RACE_MARGIN_US  20000
#define CONNECTING_MOST 64 /* connections begun but not yet answered at the start */

enum kind { FRESH, STEADY, PAUSING, IDLE, SILENT, LONG, KINDS };

struct options {
    struct sockaddr_storage target;
    socklen_t target_length;
    bool tls, listen;
    long clients[KINDS];
    const char *path, *long_path;
    long pause;        /* ms */
    long warm, spread; /* ms of load before the signal: at least, and at most on top of it */
    long limit;        /* s: whatever takes longer is given up, and the server killed */
    long files;        /* descriptors that load and server may have; 0: as it is */
    int signo;
    const char *preload, *config, *log, *counts;
    bool verbose;
    char **command; /* NULL: none */
};
extern struct options options;

int64_t now_us(void);

/* ---- answers -----------------------------------------------------------------------------------
 */

/* An HTTP answer that is being read. All zero at its beginning. */
struct answer {
    enum { HEAD, SIZED, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, UNTIL_END } part;
    char line[4096]; /* the head, or the line of a chunk */
    size_t line_length;
    size_t left; /* of the body or the chunk */
    size_t body; /* bytes of the body so far */
    size_t got;  /* bytes of all of it so far */
    bool close;  /* the connection ends after it */
};

enum verdict { MORE, WHOLE, WRONG };
enum verdict answer_take(struct answer *answer, const char *bytes, size_t length);
enum verdict answer_end(struct answer *answer); /* the connection has ended: WHOLE, or MORE */
void answer_fixed(void); /* the first answer is whole: all others must have its body */

/* ---- a connection: plain or TLS ----------------------------------------------------------------
 */

struct link {
    int fd;
    void *tls;
    bool secured; /* the handshake is over, or there is none */
};

/* As read and write: -1 with errno, EAGAIN among it; 0: the other side has ended. */
int link_open(struct link *link, int source); /* begins to connect; 0, or -1 with errno */
int link_secure(struct link *link);           /* 1 done, 0 not yet, -1 failed */
ssize_t link_read(struct link *link, void *bytes, size_t size);
ssize_t link_write(struct link *link, const void *bytes, size_t size);
int link_port(const struct link *link); /* our side's; 0: no TCP */
bool link_was_reset(const struct link *link);
bool link_has_ended(const struct link *link); /* by the other side, and nothing is left to read */
void link_close(struct link *link);

/* ---- clients -----------------------------------------------------------------------------------
 */

struct result {
    uint64_t sent, whole, lost, refused, closed, raced, left, wrong;
    uint64_t lost_by[KINDS], after; /* after: whole answers that came after the signal */
    int64_t last_answer;            /* when the last one came */
};
extern struct result result;

void clients_prepare(void);
void clients_probe(void);        /* ask until the first answer comes */
bool clients_answered(void);     /* the probe is, or all clients have been, answered */
void clients_begin(void);        /* all of them */
void clients_begin_long(void);   /* the long ones */
void clients_stop(void);         /* begin nothing new */
bool clients_waiting(void);      /* a request is under way */
void clients_wait(int64_t most); /* for what happens to them, microseconds at most */
bool clients_left(int port);     /* the one that has this port waits in a listener's queue */
void clients_end(int64_t end);   /* what is under way is lost; `end`: of the server, or 0 */
int64_t latency(double part);    /* microseconds; -1: no answers */
int clients_epoll(void);

/* ---- the server --------------------------------------------------------------------------------
 */

struct server {
    pid_t pid;
    int status;                   /* of its main process */
    int64_t killed, ended, gone;  /* when: the signal; the main process; the last of its group */
    double cpu_killed, cpu_later; /* seconds of the main process: at the signal, 1 s after it */
    double cpu_answered;          /* and when the last answer came */
};
extern struct server server;

void server_listen(void); /* with --listen, before the start */
void server_left(void);   /* whom it left in that listener's queue */
void server_start(void);
void server_signal(int signo);
void server_look(void);  /* reap, take times */
double server_cpu(void); /* seconds so far; the last figure once it has ended */

#endif
