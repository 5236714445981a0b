/* The modes that block: threads and processes, each with one connection at a time. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void sleep_ms(int64_t milliseconds)
{
    struct timespec left = {.tv_sec = (time_t)(milliseconds / 1000),
                            .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

static bool read_more(int fd, struct http *http)
{
    ssize_t got = read(fd, http->in + http->used, sizeof http->in - http->used);
    if (got < 0)
        return false;
    http->ended = got == 0;
    http->used += (size_t)got;
    return true;
}

static bool write_more(int fd, struct http *http)
{
    ssize_t put = send(fd, http->out + http->sent, http->limit - http->sent, MSG_NOSIGNAL);
    if (put > 0)
        http->sent += (size_t)put;
    return put > 0;
}

static void serve_connection(int fd)
{
    struct http *http = calloc(1, sizeof *http);
    bool open = http != NULL;
    while (open) {
        int64_t now = now_ms();
        switch (http_next(http, now)) {
        case STEP_READ:
            open = read_more(fd, http);
            break;
        case STEP_WAIT:
            sleep_ms(http->due - now);
            break;
        case STEP_WRITE:
            open = write_more(fd, http);
            break;
        case STEP_CLOSE:
            open = false;
        }
    }
    if (http != NULL)
        free(http->out);
    free(http);
    close(fd);
}

static int accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED) {
        /* What a server that knows of no shutdown does: it complains and ends. */
        perror("accept");
        exit(1);
    }
    return fd;
}

static void *serve_detached(void *fd)
{
    serve_connection((int)(intptr_t)fd);
    return NULL;
}

static pthread_attr_t detached;

static void prepare_threads(void)
{
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 256 << 10);
}

static void begin_thread(void *(*body)(void *), int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_t thread;
    pthread_once(&once, prepare_threads);
    if (pthread_create(&thread, &detached, body, (void *)(intptr_t)fd) != 0)
        close(fd);
}

/* One thread per listener runs `body`, the main thread for the first. */
static void for_each_listener(void *(*body)(void *))
{
    for (int i = 1; i < settings.listener_count; i++)
        begin_thread(body, settings.listeners[i]);
    body((void *)(intptr_t)settings.listeners[0]);
}

static void *accept_into_threads(void *listener)
{
    for (;;) {
        int fd = accept_one((int)(intptr_t)listener);
        if (fd >= 0)
            begin_thread(serve_detached, fd);
    }
    return NULL;
}

void serve_threads(void)
{
    for_each_listener(accept_into_threads);
}

static void *accept_and_serve(void *listener)
{
    for (;;) {
        int fd = accept_one((int)(intptr_t)listener);
        if (fd >= 0)
            serve_connection(fd);
    }
    return NULL;
}

void serve_accepting_threads(void)
{
    for (int i = 1; i < settings.workers; i++)
        for (int j = 0; j < settings.listener_count; j++)
            begin_thread(accept_and_serve, settings.listeners[j]);
    for_each_listener(accept_and_serve);
}

static void *try_to_accept(void *argument)
{
    int listener = (int)(intptr_t)argument;
    for (;;) {
        int fd = accept_one(listener);
        if (fd >= 0)
            begin_thread(serve_detached, fd);
        else
            sleep_ms(2);
    }
    return NULL;
}

void serve_trying(void)
{
    for (int i = 0; i < settings.listener_count; i++)
        fcntl(settings.listeners[i], F_SETFL, O_NONBLOCK);
    for_each_listener(try_to_accept);
}

/* Children that have ended are reaped before the next accept: no SIGCHLD handler. */
static void *accept_into_processes(void *listener)
{
    for (;;) {
        int fd = accept_one((int)(intptr_t)listener);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        if (fd < 0)
            continue;
        if (fork() == 0) {
            for (int i = 0; i < settings.listener_count; i++)
                close(settings.listeners[i]);
            serve_connection(fd);
            _exit(0);
        }
        close(fd);
    }
    return NULL;
}

void serve_forking(void)
{
    for_each_listener(accept_into_processes);
}

void serve_preforked(void)
{
    for (int i = 0; i < settings.workers; i++)
        if (fork() == 0)
            for_each_listener(accept_and_serve);
    while (wait(NULL) > 0 || errno == EINTR)
        continue;
}
