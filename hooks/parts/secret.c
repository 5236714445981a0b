#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX (64 * 1024)

/* What others must not be able to do with it: read or write, and its group: write. */
#define FORBIDDEN 0026

static int judge(const char *option, const char *path, const struct stat *status,
                 struct grace_error *error)
{
    if (!S_ISREG(status->st_mode))
        return grace_error_set(error, "%s: %s is no regular file", option, path);
    if ((status->st_mode & FORBIDDEN) != 0)
        return grace_error_set(error,
                               "%s: %s is open to others (mode %04o); expected 0600, or 0640 for "
                               "its group (chmod)",
                               option, path, status->st_mode & 07777u);
    return 0;
}

int grace_secret_check(const char *option, const char *path, struct grace_error *error)
{
    struct stat status;
    if (path[0] != '/')
        return grace_error_set(error, "option \"%s\" is \"%s\"; expected an absolute path", option,
                               path);
    if (stat(path, &status) == 0)
        return judge(option, path, &status, error);
    if (errno == EACCES)
        return 0;
    return grace_error_set(error, "%s: cannot read %s: %s", option, path, strerror(errno));
}

static char *read_all(const char *option, const char *path, int fd, struct grace_error *error)
{
    char *text = malloc(SECRET_MAX + 1);
    size_t length = 0;
    ssize_t count = -1;
    if (text == NULL) {
        grace_error_set(error, "%s: out of memory", option);
        return NULL;
    }
    while (length < SECRET_MAX && (count = read(fd, text + length, SECRET_MAX - length)) > 0)
        length += (size_t)count;
    text[length] = '\0';
    if (count == 0 && length > 0 && strlen(text) == length) {
        text[strcspn(text, "\r\n")] = '\0';
        return text;
    }
    grace_error_set(error, "%s: %s %s", option, path,
                    count < 0     ? "cannot be read"
                    : length == 0 ? "is empty"
                    : count > 0   ? "is too long; at most 64 KiB"
                                  : "holds a zero byte");
    grace_secret_free(text);
    return NULL;
}

char *grace_secret_read(const char *option, const char *path, struct grace_error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        grace_error_set(error, "%s: cannot read %s: %s", option, path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    if (fstat(fd, &status) == 0 && judge(option, path, &status, error) == 0)
        text = read_all(option, path, fd, error);
    close(fd);
    return text;
}

void grace_secret_free(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}
