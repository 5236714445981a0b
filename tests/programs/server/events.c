/* The modes with an event loop: poll, select and three kinds of epoll behind one loop. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    int fd, slot; /* slot: its place in `delayed`, or -1 */
    uint32_t events;
    struct http http;
};

struct loop {
    int epoll; /* -1: poll or select */
    bool selects;
    uint32_t listener_flags, flags;
    struct connection **by_fd; /* NULL: not a connection of this loop */
    struct pollfd *polled;     /* by descriptor; fd -1: not watched */
    int limit, highest;
    struct connection **delayed; /* those that wait for a moment, not for a descriptor */
    int delayed_count;
};

/* ---- the three ways to wait --------------------------------------------------------------------
 */

static void watch(struct loop *loop, int fd, uint32_t events, uint32_t flags, bool known)
{
    if (loop->epoll < 0) {
        loop->polled[fd] = (struct pollfd){.fd = events != 0 ? fd : -1, .events = (short)events};
        loop->highest = fd > loop->highest ? fd : loop->highest;
        return;
    }
    struct epoll_event event = {.events = events | flags, .data.fd = fd};
    epoll_ctl(loop->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

static void forget(struct loop *loop, int fd)
{
    if (loop->epoll < 0)
        loop->polled[fd].fd = -1;
}

static void on_event(struct loop *loop, int fd);

static void wait_epoll(struct loop *loop, int timeout)
{
    struct epoll_event events[64];
    int count = epoll_wait(loop->epoll, events, 64, timeout);
    for (int i = 0; i < count; i++)
        on_event(loop, events[i].data.fd);
}

static void wait_poll(struct loop *loop, int timeout)
{
    int last = loop->highest;
    if (poll(loop->polled, (nfds_t)last + 1, timeout) <= 0)
        return;
    for (int fd = 0; fd <= last; fd++)
        if (loop->polled[fd].fd >= 0 && loop->polled[fd].revents != 0)
            on_event(loop, fd);
}

static void wait_select(struct loop *loop, int timeout)
{
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    for (int fd = 0; fd <= loop->highest && fd < FD_SETSIZE; fd++) {
        if (loop->polled[fd].fd >= 0 && (loop->polled[fd].events & POLLIN))
            FD_SET(fd, &in);
        if (loop->polled[fd].fd >= 0 && (loop->polled[fd].events & POLLOUT))
            FD_SET(fd, &out);
    }
    struct timeval limit = {.tv_sec = timeout / 1000, .tv_usec = timeout % 1000 * 1000};
    int last = loop->highest;
    if (select(last + 1, &in, &out, NULL, timeout < 0 ? NULL : &limit) <= 0)
        return;
    for (int fd = 0; fd <= last && fd < FD_SETSIZE; fd++)
        if (FD_ISSET(fd, &in) || FD_ISSET(fd, &out))
            on_event(loop, fd);
}

/* ---- connections -------------------------------------------------------------------------------
 */

static void delay(struct loop *loop, struct connection *connection)
{
    if (connection->slot >= 0)
        return;
    connection->slot = loop->delayed_count;
    loop->delayed[loop->delayed_count++] = connection;
}

static void undelay(struct loop *loop, struct connection *connection)
{
    if (connection->slot < 0)
        return;
    struct connection *last = loop->delayed[--loop->delayed_count];
    loop->delayed[connection->slot] = last;
    last->slot = connection->slot;
    connection->slot = -1;
}

static void leave(struct loop *loop, struct connection *connection)
{
    undelay(loop, connection);
    forget(loop, connection->fd);
    loop->by_fd[connection->fd] = NULL;
    close(connection->fd);
    free(connection->http.out);
    free(connection);
}

static void want(struct loop *loop, struct connection *connection, uint32_t events)
{
    undelay(loop, connection);
    if (connection->events == events)
        return;
    connection->events = events;
    watch(loop, connection->fd, events, loop->flags, true);
}

/* Returns whether something was moved; 0 bytes read is the end. */
static ssize_t move(struct connection *connection, enum step step)
{
    struct http *http = &connection->http;
    if (step == STEP_WRITE) {
        ssize_t put =
            send(connection->fd, http->out + http->sent, http->limit - http->sent, MSG_NOSIGNAL);
        http->sent += put > 0 ? (size_t)put : 0;
        return put;
    }
    ssize_t got = read(connection->fd, http->in + http->used, sizeof http->in - http->used);
    http->ended = got == 0;
    http->used += got > 0 ? (size_t)got : 0;
    return got;
}

/* Until nothing can be moved any more: right for edge-triggered events too. */
static void advance(struct loop *loop, struct connection *connection)
{
    for (;;) {
        enum step step = http_next(&connection->http, now_ms());
        if (step == STEP_CLOSE) {
            leave(loop, connection);
            return;
        }
        if (step == STEP_WAIT) {
            want(loop, connection, 0);
            delay(loop, connection);
            return;
        }
        if (move(connection, step) >= 0)
            continue;
        if (errno != EAGAIN)
            leave(loop, connection);
        else
            want(loop, connection, step == STEP_WRITE ? EPOLLOUT : EPOLLIN);
        return;
    }
}

static bool take_one(struct loop *loop, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED) {
        perror("accept4");
        exit(1);
    }
    if (fd < 0)
        return false;
    struct connection *connection = fd < loop->limit && (!loop->selects || fd < FD_SETSIZE)
                                        ? calloc(1, sizeof *connection)
                                        : NULL;
    if (connection == NULL) {
        close(fd);
        return true;
    }
    connection->fd = fd;
    connection->slot = -1;
    connection->events = EPOLLIN;
    loop->by_fd[fd] = connection;
    watch(loop, fd, EPOLLIN, loop->flags, false);
    return true;
}

static void on_event(struct loop *loop, int fd)
{
    for (int i = 0; i < settings.listener_count; i++) {
        if (settings.listeners[i] != fd)
            continue;
        /* As servers do: one per event, but all of them where the event comes only once. */
        while (take_one(loop, fd) && (loop->listener_flags & EPOLLET))
            continue;
        return;
    }
    if (loop->by_fd[fd] != NULL)
        advance(loop, loop->by_fd[fd]);
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

static int time_left(const struct loop *loop)
{
    int64_t now = now_ms(), least = INT32_MAX;
    for (int i = 0; i < loop->delayed_count; i++)
        if (loop->delayed[i]->http.due - now < least)
            least = loop->delayed[i]->http.due - now;
    return loop->delayed_count == 0 ? -1 : least < 0 ? 0 : (int)least;
}

static void advance_due(struct loop *loop)
{
    int64_t now = now_ms();
    for (int i = loop->delayed_count - 1; i >= 0; i--)
        if (i < loop->delayed_count && loop->delayed[i]->http.due <= now)
            advance(loop, loop->delayed[i]);
}

static void serve(struct loop *loop, void (*wait_for)(struct loop *, int))
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    loop->limit = files.rlim_cur < 65536 ? (int)files.rlim_cur : 65536;
    loop->by_fd = calloc((size_t)loop->limit, sizeof *loop->by_fd);
    loop->delayed = calloc((size_t)loop->limit, sizeof *loop->delayed);
    loop->polled = calloc((size_t)loop->limit, sizeof *loop->polled);
    if (loop->by_fd == NULL || loop->delayed == NULL || loop->polled == NULL)
        abort();
    for (int fd = 0; fd < loop->limit; fd++)
        loop->polled[fd].fd = -1;
    for (int i = 0; i < settings.listener_count; i++) {
        fcntl(settings.listeners[i], F_SETFL, O_NONBLOCK);
        watch(loop, settings.listeners[i], EPOLLIN, loop->listener_flags, false);
    }
    for (;;) {
        wait_for(loop, time_left(loop));
        advance_due(loop);
    }
}

void serve_poll(void)
{
    serve(&(struct loop){.epoll = -1}, wait_poll);
}

void serve_select(void)
{
    serve(&(struct loop){.epoll = -1, .selects = true}, wait_select);
}

void serve_epoll(void)
{
    serve(&(struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC)}, wait_epoll);
}

void serve_edge(void)
{
    serve(&(struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC),
                         .listener_flags = EPOLLET,
                         .flags = EPOLLET},
          wait_epoll);
}

static void *serve_one_of_several(void *unused)
{
    (void)unused;
    serve(&(struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .listener_flags = EPOLLEXCLUSIVE},
          wait_epoll);
    return NULL;
}

void serve_exclusive(void)
{
    for (int i = 1; i < settings.workers; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_one_of_several, NULL) != 0)
            abort();
    }
    serve_one_of_several(NULL);
}
