/*
 * The plugin "notify": tells systemd of the stop, by its socket protocol (sd_notify(3)).
 *
 *     { name = "tell"; phase = "announce"; plugin = "notify"; options = { extend = "45s"; }; }
 *
 * A datagram of lines to the socket in $NOTIFY_SOCKET is all there is to the protocol, and it is
 * promised to stay; so it is written here, and libsystemd with what it needs stays out.
 *
 * STOPPING=1 cannot be taken back (systemd takes it as final since version 259), while a stop that
 * a signal began can be, up to the end of the drain: until then it is not sent.
 */
#include "grace_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "parts/expand.h"
#include "parts/patience.h"

/* Systemd shows no more than a line of it anyway. */
#define STATUS_MAX 1000

/* How long to wait until systemd has taken what a process says that is about to end. */
#define BARRIER_MS 1000

struct notify {
    const char *status;
    bool stopping;
    int64_t extend_ms; /* 0: not */
};

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    const char *usual = "stopping: ${GRACE_PHASE}, after ${GRACE_CAUSE} ${GRACE_SIGNAL}";
    struct notify *notify = calloc(1, sizeof *notify);
    if (notify == NULL)
        return grace_error_set(error, "out of memory");
    notify->status = grace_option_string(options, "status", usual);
    notify->stopping = grace_option_bool(options, "stopping", 1);
    notify->extend_ms = grace_option_duration_ms(options, "extend", 0);
    int failed = grace_expand_check("status", notify->status, error);
    if (failed == 0 && grace_option_given(options, "extend") && notify->extend_ms == 0)
        failed = grace_error_set(error, "option \"extend\" is no time at all; expected the longest "
                                        "that the rest of the stop may take");
    if (failed == 0) {
        *state = notify;
        return 0;
    }
    free(notify);
    return -1;
}

/* ---- what is said --------------------------------------------------------------------------- */

static bool cannot_be_taken_back(const struct grace_stop *stop)
{
    return strcmp(stop->cause, "signal") != 0 || strcmp(stop->phase, "stop") == 0 ||
           strcmp(stop->phase, "cleanup") == 0;
}

/* Returns the message, to be freed; NULL with the error set. */
static char *compose(const struct notify *notify, const struct grace_stop *stop,
                     struct grace_error *error)
{
    char extend[64] = "", *message = NULL;
    char *status = grace_expand("status", notify->status, GRACE_ESCAPE_LINE, error);
    if (status == NULL)
        return NULL;
    size_t length = strlen(status);
    while (length > 0 && status[length - 1] == ' ')
        length--;
    if (notify->extend_ms > 0)
        snprintf(extend, sizeof extend, "\nEXTEND_TIMEOUT_USEC=%" PRId64, notify->extend_ms * 1000);
    const char *stopping = notify->stopping && cannot_be_taken_back(stop) ? "\nSTOPPING=1" : "";
    if (asprintf(&message, "STATUS=%.*s%s%s", (int)(length < STATUS_MAX ? length : STATUS_MAX),
                 status, stopping, extend) < 0) {
        message = NULL;
        grace_error_set(error, "out of memory");
    }
    free(status);
    return message;
}

/* ---- to whom -------------------------------------------------------------------------------- */

/* A path, or a name in the abstract namespace behind an @. */
static int find_socket(struct sockaddr_un *address, socklen_t *length, struct grace_error *error)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (name == NULL || name[0] == '\0')
        return grace_error_set(error,
                               "NOTIFY_SOCKET is not set: systemd did not start the program, "
                               "or its unit has no NotifyAccess=");
    size_t size = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || name[1] == '\0' || size >= sizeof address->sun_path)
        return grace_error_set(
            error, "NOTIFY_SOCKET is \"%.100s\"; expected a path, or @ and a name", name);
    memcpy(address->sun_path, name, size);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/'));
    return 0;
}

static int open_socket(const struct grace_stop *stop, struct grace_error *error)
{
    struct sockaddr_un address;
    socklen_t length = 0;
    int64_t patience = grace_patience_ms(stop);
    if (find_socket(&address, &length, error) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {(time_t)(patience / 1000), (suseconds_t)(patience % 1000 * 1000)};
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (const struct sockaddr *)&address, length) == 0)
        return fd;
    grace_error_set(error, "cannot reach systemd at %.150s: %s", getenv("NOTIFY_SOCKET"),
                    strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- saying it ------------------------------------------------------------------------------ */

/* One datagram with a control message, or none (size 0). Returns 0 or a positive errno. */
static int send_with(int fd, const char *text, int type, const void *data, size_t size)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(struct ucred))];
    } control = {.room = {0}};
    struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (size > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = type;
        control.header.cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(&control.header), data, size);
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL) >= 0 ? 0 : errno;
}

/*
 * As the program itself, if it lives and we may: systemd listens to a unit's main process also
 * where NotifyAccess= lets nobody else speak. That takes CAP_SYS_ADMIN.
 */
static int send_as_program(int fd, const char *text, const struct grace_stop *stop)
{
    struct ucred credentials = {stop->pid, geteuid(), getegid()};
    if (stop->pid <= 0 || stop->gone)
        return ESRCH;
    return send_with(fd, text, SCM_CREDENTIALS, &credentials, sizeof credentials);
}

/* Systemd learns by our pid which unit we are of, and has to see it while we live: it closes the
 * descriptor that it is sent here once it has come so far. */
static void wait_until_taken(int fd, const struct grace_stop *stop)
{
    int ends[2];
    int64_t patience = grace_patience_ms(stop);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    int failed = send_with(fd, "BARRIER=1", SCM_RIGHTS, &ends[1], sizeof ends[1]);
    close(ends[1]);
    struct pollfd entry = {.fd = ends[0], .events = 0};
    if (failed == 0)
        poll(&entry, 1, patience < BARRIER_MS ? (int)patience : BARRIER_MS);
    close(ends[0]);
}

static int say(int fd, const char *text, const struct grace_stop *stop, struct grace_error *error)
{
    int failed = send_as_program(fd, text, stop);
    if (failed == 0)
        return 0;
    if (failed != EAGAIN)
        failed = send_with(fd, text, 0, NULL, 0);
    if (failed == EAGAIN)
        return grace_error_set(error, "systemd takes no message in time");
    if (failed != 0)
        return grace_error_set(error, "cannot send to systemd: %s", strerror(failed));
    wait_until_taken(fd, stop);
    return 0;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    char *message = compose(state, stop, error);
    int fd = message != NULL ? open_socket(stop, error) : -1;
    int failed = fd >= 0 ? say(fd, message, stop, error) : -1;
    if (fd >= 0)
        close(fd);
    free(message);
    return failed;
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI, sizeof grace_hook,           GRACE_HOOK_EXTERNAL, 0,
    "notify",       "tells systemd of the stop", configure,           run,
    release,
};
