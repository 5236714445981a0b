#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- one guardian -------------------------------------------------------------------------- */

/* Say a line to the guardian at this path and read its answer. NULL with errno set; the socket of
 * one that was killed is removed. */
static FILE *ask(const char *path, const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = GRACE_CONTROL_PATIENCE_S};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    FILE *answer = NULL;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line))
        answer = fdopen(fd, "r");
    else if (errno == ECONNREFUSED)
        unlink(path);
    if (answer == NULL)
        close(fd);
    return answer;
}

/* ---- its hooks ----------------------------------------------------------------------------- */

bool grace_control_is_over(const struct grace_control_hook *hook)
{
    return strcmp(hook->state, "done") == 0 || strcmp(hook->state, "skipped") == 0;
}

bool grace_control_has_failed(const struct grace_control_hook *hook)
{
    return strcmp(hook->state, "done") == 0 && strcmp(hook->outcome, "done") != 0;
}

/* ---- its status ---------------------------------------------------------------------------- */

static void keep(char *field, size_t size, const char *value)
{
    snprintf(field, size, "%s", value);
}

static void add_hook(struct grace_control_status *status, const char *line)
{
    struct grace_control_hook hook = {.attempts = 0};
    int name_at = 0;
    if (sscanf(line, "%15s %31s %15s %u %n", hook.state, hook.outcome, hook.phase, &hook.attempts,
               &name_at) < 4 ||
        name_at == 0)
        return;
    keep(hook.name, sizeof hook.name, line + name_at);
    struct grace_control_hook *more =
        reallocarray(status->hooks, status->hook_count + 1, sizeof *more);
    if (more == NULL)
        return;
    status->hooks = more;
    status->hooks[status->hook_count++] = hook;
}

static void read_line(struct grace_control_status *status, const char *key, const char *value)
{
    const struct {
        const char *key;
        char *field;
        size_t size;
    } texts[] = {{"program", status->program, sizeof status->program},
                 {"config", status->config, sizeof status->config},
                 {"stage", status->stage, sizeof status->stage},
                 {"phase", status->phase, sizeof status->phase},
                 {"cause", status->cause, sizeof status->cause},
                 {"drain", status->drain, sizeof status->drain}};
    const struct {
        const char *key;
        unsigned *field;
    } counts[] = {{"listeners", &status->listeners},
                  {"busy", &status->busy},
                  {"idle", &status->idle},
                  {"transactions", &status->transactions},
                  {"finished", &status->finished},
                  {"cut", &status->cut},
                  {"taken_back", &status->taken_back}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(key, texts[i].key) == 0)
            keep(texts[i].field, texts[i].size, value);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (strcmp(key, counts[i].key) == 0)
            *counts[i].field = (unsigned)strtoul(value, NULL, 10);
    if (strcmp(key, "pid") == 0)
        status->pid = atoi(value);
    else if (strcmp(key, "guardian") == 0)
        status->guardian = atoi(value);
    else if (strcmp(key, "signal") == 0)
        status->signo = atoi(value);
    else if (strcmp(key, "deadline_ms") == 0)
        status->deadline_ms = strtoll(value, NULL, 10);
    else if (strcmp(key, "drain_ms") == 0)
        status->drain_ms = strtoll(value, NULL, 10);
    else if (strcmp(key, "hook") == 0)
        add_hook(status, value);
}

/* One status, up to a line "end" or the end of the answer. */
static bool read_status(FILE *answer, struct grace_control_status *status)
{
    char line[8192];
    *status = (struct grace_control_status){.drain = "none", .deadline_ms = -1, .drain_ms = -1};
    while (fgets(line, sizeof line, answer) != NULL && strcmp(line, "end\n") != 0) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, ' ');
        if (value != NULL)
            *value++ = '\0';
        read_line(status, line, value != NULL ? value : "");
    }
    if (status->pid > 0)
        return true;
    free(status->hooks);
    status->hooks = NULL;
    return false;
}

static bool ask_status(const char *path, struct grace_control_status *status)
{
    FILE *answer = ask(path, "status\n");
    bool known = answer != NULL && read_status(answer, status);
    if (answer != NULL)
        fclose(answer);
    return known;
}

/* ---- all of them --------------------------------------------------------------------------- */

struct search {
    int pid; /* 0: everybody */
    struct grace_control_status *list;
    size_t count;
    char path[512]; /* of the one that was found last */
};

static void add(struct search *search, const struct grace_control_status *status)
{
    struct grace_control_status *more = reallocarray(search->list, search->count + 1, sizeof *more);
    if (more == NULL) {
        free(status->hooks);
        return;
    }
    search->list = more;
    search->list[search->count++] = *status;
}

static void look_into(const char *folder, void *context)
{
    struct search *search = context;
    struct grace_control_status status;
    DIR *entries = opendir(folder);
    for (const struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        char path[512];
        if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!ask_status(path, &status))
            continue;
        if (search->pid != 0 && status.pid != search->pid) {
            free(status.hooks);
            continue;
        }
        memcpy(search->path, path, sizeof path);
        add(search, &status);
    }
    if (entries != NULL)
        closedir(entries);
}

static int by_pid(const void *a, const void *b)
{
    const struct grace_control_status *one = a, *other = b;
    return (one->pid > other->pid) - (one->pid < other->pid);
}

size_t grace_control_ask_all(struct grace_control_status **list)
{
    struct search search = {.pid = 0};
    grace_control_each_folder(look_into, &search);
    if (search.count > 1)
        qsort(search.list, search.count, sizeof *search.list, by_pid);
    *list = search.list;
    return search.count;
}

void grace_control_free(struct grace_control_status *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].hooks);
    free(list);
}

/* The status of one, and where its guardian is. */
static int find(int pid, struct grace_control_status *status, char *path, size_t size)
{
    struct search search = {.pid = pid};
    grace_control_each_folder(look_into, &search);
    if (search.count == 0)
        return -ESRCH;
    *status = search.list[0];
    search.list[0].hooks = NULL;
    grace_control_free(search.list, search.count);
    snprintf(path, size, "%s", search.path);
    return 0;
}

int grace_control_ask(int pid, struct grace_control_status *status)
{
    char path[512];
    return find(pid, status, path, sizeof path);
}

/* Say something to the guardian of a process. NULL with errno set. */
static FILE *say(int pid, const char *line)
{
    struct grace_control_status status;
    char path[512];
    int result = find(pid, &status, path, sizeof path);
    if (result != 0) {
        errno = -result;
        return NULL;
    }
    free(status.hooks);
    return ask(path, line);
}

FILE *grace_control_follow(int pid)
{
    return say(pid, "follow\n");
}

bool grace_control_next(FILE *stream, struct grace_control_status *status)
{
    return read_status(stream, status);
}

int grace_control_wish(int pid, const char *wish)
{
    char line[GRACE_CONTROL_LINE], word[32] = "";
    snprintf(line, sizeof line, "wish %s\n", wish);
    FILE *answer = say(pid, line);
    if (answer == NULL)
        return -errno;
    bool granted = fgets(word, sizeof word, answer) != NULL && strcmp(word, "ok\n") == 0;
    fclose(answer);
    return granted ? 0 : -EPROTO;
}
