#include "leftover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Connect to what the descriptor holds, whatever has the path by now. Returns 0 or errno; *server
 * is the process that called listen(), 0 when that is not known. */
static int try_connect(int type, int fd, int *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", fd);
    int client = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client < 0)
        return errno;
    int result =
        connect(client, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    struct ucred credentials = {.pid = 0};
    socklen_t size = sizeof credentials;
    if (result == 0 && type != SOCK_DGRAM)
        getsockopt(client, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
    *server = credentials.pid;
    close(client);
    return result;
}

enum grace_verdict grace_socket_judge(struct grace_leftover *leftover,
                                      const struct grace_stop *stop)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    int server = 0, result = EPROTOTYPE;
    for (size_t i = 0; i < sizeof types / sizeof types[0] && result == EPROTOTYPE; i++)
        result = try_connect(types[i], leftover->fd, &server);
    if (result == ECONNREFUSED)
        return GRACE_VERDICT_OURS;
    if (result == 0 && !stop->gone && server == stop->pid)
        return GRACE_VERDICT_OURS;
    if (result == 0 || result == EAGAIN) { /* EAGAIN: a queue that is full has an owner */
        grace_error_set(&leftover->why, "%s kept: somebody uses it", leftover->path);
        return GRACE_VERDICT_KEEP;
    }
    grace_error_set(&leftover->why, "cannot tell whether somebody uses %s: %s", leftover->path,
                    strerror(result));
    return GRACE_VERDICT_UNCLEAR;
}
