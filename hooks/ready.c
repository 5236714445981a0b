/*
 * The plugin "ready": the flip from ready to not ready, at the announcement.
 *
 *     { name = "ready"; phase = "announce"; plugin = "ready";
 *       options = { listen = "*:8081"; }; }
 *
 * With `listen` a small server answers health checkers from the target's start: 200, and 503 from
 * the moment at which the hook's turn comes; it runs in a process of its own beside the guardian.
 * With `file` the flip is a file that is removed or written.
 */
#include "grace_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parts/expand.h"
#include "parts/patience.h"
#include "ready/address.h"
#include "ready/server.h"

struct ready {
    const char *file, *text;
    int write;
    int listens;
    struct grace_ready_address address;
};

/* ---- options -------------------------------------------------------------------------------- */

static int read_file(struct ready *ready, const struct grace_options *options,
                     struct grace_error *error)
{
    const char *action = grace_option_string(options, "action", "remove");
    ready->file = grace_option_string(options, "file", NULL);
    ready->text = grace_option_string(options, "text", NULL);
    ready->write = strcmp(action, "write") == 0;
    if (!ready->write && strcmp(action, "remove") != 0)
        return grace_error_set(
            error, "option \"action\" is \"%.40s\"; expected \"remove\" or \"write\"", action);
    if (ready->file != NULL && ready->file[0] != '/')
        return grace_error_set(error, "option \"file\" is \"%.200s\"; expected an absolute path",
                               ready->file);
    if (ready->file == NULL && grace_option_given(options, "action"))
        return grace_error_set(error, "option \"action\" needs \"file\"");
    if (ready->text != NULL && !ready->write)
        return grace_error_set(error, "option \"text\" needs action = \"write\"");
    return ready->text != NULL ? grace_expand_check("text", ready->text, error) : 0;
}

static int read_listen(struct ready *ready, const struct grace_options *options,
                       struct grace_error *error)
{
    const char *listens = grace_option_string(options, "listen", NULL);
    ready->listens = listens != NULL;
    if (listens != NULL)
        return grace_ready_parse_address(&ready->address, listens, error);
    if (ready->file == NULL)
        return grace_error_set(error, "nothing to do: expected \"listen\" or \"file\"");
    return 0;
}

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct ready *ready = calloc(1, sizeof *ready);
    if (ready == NULL)
        return grace_error_set(error, "out of memory");
    if (read_file(ready, options, error) == 0 && read_listen(ready, options, error) == 0) {
        *state = ready;
        return 0;
    }
    free(ready);
    return -1;
}

/* ---- a file --------------------------------------------------------------------------------- */

static int write_all(int fd, const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t count = write(fd, text, length);
        if (count < 0 && errno != EINTR)
            return -1;
        if (count > 0) {
            text += count;
            length -= (size_t)count;
        }
    }
    return 0;
}

/* Whole or not at all: who polls the file never sees half of it. */
static int write_file(const char *path, const char *text, struct grace_error *error)
{
    char *temporary;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return grace_error_set(error, "out of memory");
    int fd = mkostemp(temporary, O_CLOEXEC);
    int failed =
        fd < 0 || fchmod(fd, 0644) != 0 || write_all(fd, text) != 0 || rename(temporary, path) != 0;
    if (failed)
        grace_error_set(error, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        if (failed)
            unlink(temporary);
    }
    free(temporary);
    return failed ? -1 : 0;
}

static int flip_file(const struct ready *ready, struct grace_error *error)
{
    if (!ready->write) {
        /* One that is not there says already what it is to say. */
        if (unlink(ready->file) == 0 || errno == ENOENT)
            return 0;
        return grace_error_set(error, "cannot remove %s: %s", ready->file, strerror(errno));
    }
    char *text = grace_expand("text", ready->text != NULL ? ready->text : "stopping",
                              GRACE_ESCAPE_NONE, error),
         *line = NULL;
    int failed = text == NULL || asprintf(&line, "%s\n", text) < 0 ||
                 write_file(ready->file, line, error) != 0;
    free(text);
    free(line);
    return failed ? -1 : 0;
}

/* ---- the server ----------------------------------------------------------------------------- */

static int serve(void *state, const struct grace_service *service, struct grace_error *error)
{
    const struct ready *ready = state;
    return ready->listens ? grace_ready_serve(&ready->address, service, error) : 0;
}

/* The server was told before us. That it has heard is seen where health checkers see it. */
static int expect_503(const struct ready *ready, const struct grace_stop *stop,
                      struct grace_error *error)
{
    int64_t left = grace_patience_ms(stop), pause = 1;
    for (;;) {
        int status = grace_ready_ask(&ready->address, left);
        if (status == 503)
            return 0;
        if (status == 0)
            return grace_error_set(error,
                                   "nobody answers on %.200s: there is no guardian, or its "
                                   "log line at the start says why",
                                   ready->address.text);
        if (status < 0)
            return grace_error_set(error, "on %.200s another program answers", ready->address.text);
        if (left <= pause)
            return grace_error_set(error, "%.200s still answers %d", ready->address.text, status);
        poll(NULL, 0, (int)pause);
        left -= pause;
        pause = pause < 50 ? pause * 2 : 50;
    }
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct ready *ready = state;
    if (ready->file != NULL && flip_file(ready, error) != 0)
        return -1;
    return ready->listens ? expect_503(ready, stop, error) : 0;
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,    sizeof grace_hook,
    GRACE_HOOK_SERVES, 0,
    "ready",           "tells health checkers that the program is not ready any more",
    configure,         run,
    release,
};

GRACE_HOOK_EXPORT const struct grace_hook_server grace_hook_server = {
    sizeof grace_hook_server,
    0,
    serve,
};
