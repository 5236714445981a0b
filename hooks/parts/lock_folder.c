#include "lock_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#define LOOK_EVERY_MS 5

int grace_lock_folder(const char *path, int64_t patience_ms, struct grace_error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return grace_error_set(error, "cannot open folder %s: %m", path);
    for (int64_t waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += LOOK_EVERY_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            grace_error_set(error, "cannot lock folder %s: %m", path);
            close(fd);
            return -1;
        }
        if (waited >= patience_ms) {
            grace_error_set(error, "folder %s is locked by another process that writes to it",
                            path);
            close(fd);
            return -1;
        }
        poll(NULL, 0, LOOK_EVERY_MS);
    }
    return fd;
}
