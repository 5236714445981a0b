/* The main loop of the test programs that serve each connection by a thread of its own. */
#ifndef GRACE_TESTS_ACCEPT_LOOP_H
#define GRACE_TESTS_ACCEPT_LOOP_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

/* Listen on a port of the loopback interface; serve() gets the connection as (void *)(intptr_t)fd.
 * Returns only if it cannot listen: 1. */
static inline int accept_loop(int port, void *(*serve)(void *))
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 64) != 0)
        return 1;
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}

#endif
