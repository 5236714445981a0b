/* A running process, as far as the kernel tells of it. */
#ifndef GRACE_OPS_PROCESS_H
#define GRACE_OPS_PROCESS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRACE_PROCESS_LISTENERS 64

struct grace_listener {
    char address[160]; /* "127.0.0.1:80", "[::]:80", "unix:/run/x", "unix:@abstract" */
    unsigned connections;
    unsigned char raw[16]; /* to find its connections by; all zero: any */
    size_t raw_length;
    unsigned port;
};

struct grace_process {
    int pid;
    char program[256]; /* what libgrace calls it: the name that it was executed by */
    uint64_t caught, blocked, ignored; /* sets of GRACE_SIGNAL_BIT; blocked: in its first thread */
    unsigned threads;
    bool seen; /* we may look into it: what follows is known */
    bool has_libgrace;
    char config[PATH_MAX]; /* the one that libgrace would find in it; "" for none */
    int guardian;          /* 0: none */
    size_t listener_count; /* may be more than fit */
    struct grace_listener listeners[GRACE_PROCESS_LISTENERS];
    unsigned accepted; /* connections that came through one of them, all together */
    unsigned others;   /* connections of other kinds: it is the client, or they came from others */
};

/* Returns 0, or a negative errno: -ESRCH when there is no such process. */
int grace_process_look(int pid, struct grace_process *process);

/* The guardian of a process; 0: there is none. */
int grace_process_guardian(int pid);

/* process_sockets.c: fills in listeners and connections. */
void grace_process_look_at_sockets(struct grace_process *process);

#endif
