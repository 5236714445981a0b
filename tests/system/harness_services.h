/*
 * Lives of real services: started, asked, reloaded, under load while they are stopped; bare and
 * under libgrace, with the hooks counted. SERVICE_ROUNDS says how often, 2 by default.
 */
#ifndef GRACE_TESTS_HARNESS_SERVICES_H
#define GRACE_TESTS_HARNESS_SERVICES_H

#include "harness.h"

struct service {
    const char *name;
    const char *executable; /* may hold a wildcard */

    /* Write its config files and return its command line, words apart by one space. */
    const char *(*prepare)(const char *executable, int port);

    const char *pid_file; /* where it becomes a daemon and writes one; NULL: the foreground */
    const char *orphan;   /* where it becomes a daemon and writes none: its process's name */
    const char *written;  /* in the foreground, where it writes its pid, if it does */
    const char *user;     /* run as this user when the tests run as root */
    const char *programs; /* the one that is meant, where another one starts it */
    bool as_root;

    /* One request: whether it was answered right. For use in any process. */
    bool (*ask)(int port);

    /* What happens to it in its life: reloads, workers killed. Returns the main process, which may
     * be another one by then. May be NULL. */
    struct process *(*live)(struct process *process, int port);

    /* The ways to stop it, in turn; the first 0 ends them. */
    struct service_stop {
        int signo;         /* or -1: `stop` */
        bool workers_stay; /* bare, too: the story ends them */
        bool loses_inside; /* in-process hooks cannot run: the process crashes itself */
    } stops[5];
    void (*stop)(int port);
};

void service_lives(const struct service *service);

/*
 * The same under supervisors and in scripts that start services. Each is met by one of the services
 * of one of three parts, or with SERVICE_ROUNDS by each service: the range is what a loop test of a
 * part goes through.
 */
void service_lives_under(int supervisor, const struct service *services, int count);
int supervisors_first(int part), supervisors_end(int part);

/* A group of tests, with time for as many lives as are wanted. */
TCase *service_case(Suite *suite, const char *name);

/* For `live`: send a signal to a process, and wait until each child of the master's has been
 * replaced by another one. */
void replace_workers(const struct process *master, pid_t pid, int signo);

/* For `ask`: whether a request on a new connection is answered with something that begins so. */
bool is_answered(int port, const void *request, size_t length, const void *answer, size_t size);
bool serves_page(int port);

/* For `prepare`: www/index.html in the story's directory. */
void make_site(void);

#endif
