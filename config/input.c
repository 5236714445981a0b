#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* strerror() may load a translation; this never does. */
static const char *error_text(int error)
{
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : "unknown error";
}

static const char *kind(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO or pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* Editors of other systems put a byte order mark first; it means nothing. */
static void skip_mark(struct grace_input *input)
{
    if (input->length >= 3 && memcmp(input->text, "\xef\xbb\xbf", 3) == 0) {
        input->length -= 3;
        memmove(input->text, input->text + 3, input->length);
    }
}

/* Give the text its last newline and the zero byte; there is room for both. */
static void finish(struct grace_input *input)
{
    skip_mark(input);
    input->text[input->length++] = '\n';
    input->text[input->length] = '\0';
}

static bool too_large(size_t limit, char *reason, size_t size)
{
    if (limit < GRACE_CONFIG_SIZE_MAX)
        snprintf(reason, size, "with it the config is larger than %zu bytes in all",
                 GRACE_CONFIG_SIZE_MAX);
    else
        snprintf(reason, size, "it is larger than %zu bytes, too large for a config", limit);
    return false;
}

bool grace_input_copy(const char *text, size_t length, size_t limit, struct grace_arena *memory,
                      struct grace_input *input, char *reason, size_t size)
{
    *input = (struct grace_input){.memory = memory, .length = length};
    if (length > limit)
        return too_large(limit, reason, size);
    input->text = grace_arena_take(memory, length + 2);
    if (input->text == NULL) {
        snprintf(reason, size, "memory is short");
        return false;
    }
    if (length > 0)
        memcpy(input->text, text, length);
    finish(input);
    return true;
}

/* Read to the end of the file or to one byte more than allowed, whatever size it claims to have. */
static bool read_all(int fd, size_t limit, struct grace_input *input, char *reason, size_t size)
{
    size_t capacity = 0;
    for (;;) {
        if (capacity - input->length < 3) {
            capacity = capacity == 0 ? 4096 : capacity * 4;
            char *text = grace_arena_take(input->memory, capacity);
            if (text == NULL) {
                snprintf(reason, size, "memory is short");
                return false;
            }
            if (input->length > 0)
                memcpy(text, input->text, input->length);
            input->text = text;
        }
        ssize_t n = read(fd, input->text + input->length, capacity - input->length - 2);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            snprintf(reason, size, "cannot read it: %s", error_text(errno));
            return false;
        }
        if (n == 0)
            return true;
        input->length += (size_t)n;
        if (input->length > limit)
            return too_large(limit, reason, size);
    }
}

static bool read_file(int fd, size_t limit, struct grace_input *input, char *reason, size_t size)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        snprintf(reason, size, "cannot read it: %s", error_text(errno));
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(reason, size, "it is %s; expected a regular file", kind(status.st_mode));
        return false;
    }
    input->device = status.st_dev;
    input->inode = status.st_ino;
    return read_all(fd, limit, input, reason, size);
}

bool grace_input_read(const char *path, size_t limit, struct grace_arena *memory,
                      struct grace_input *input, char *reason, size_t size)
{
    *input = (struct grace_input){.memory = memory};
    /* O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        snprintf(reason, size, "cannot open it: %s", error_text(errno));
        return false;
    }
    bool fine = read_file(fd, limit, input, reason, size);
    close(fd);
    if (fine)
        finish(input);
    return fine;
}
