/* HTTP/1.1 as a state machine: the same for blocking threads and event loops. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* How often an answer looks for the file that it waits for, in milliseconds. */
#define LOOK_MS 5

static long number_in(const char *text, const char *name, long otherwise)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

static bool has_line(const char *head, const char *start)
{
    return strcasestr(head, start) != NULL;
}

static void begin_output(struct http *http, size_t length, int64_t now)
{
    http->length = http->limit = length;
    http->sent = 0;
    http->due = now;
    http->gap = 0;
    http->counted = false;
    http->until[0] = '\0';
    http->out = malloc(length + 1);
    if (http->out == NULL)
        abort();
}

static void begin_upgrade(struct http *http, int64_t now)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                 "Upgrade: echo\r\nConnection: Upgrade\r\n\r\n";
    begin_output(http, sizeof answer - 1, now + settings.delay);
    memcpy(http->out, answer, sizeof answer);
    http->upgraded = true;
}

static void begin_answer(struct http *http, const char *path, int64_t now)
{
    size_t size = (size_t)number_in(path, "size=", settings.size);
    size_t pieces = (size_t)number_in(path, "pieces=", 1);
    char head[256];
    int head_length = snprintf(head, sizeof head,
                               "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                               "Content-Length: %zu\r\n%s\r\n",
                               size, http->last ? "Connection: close\r\n" : "");
    begin_output(http, (size_t)head_length + size, now + number_in(path, "delay=", settings.delay));
    memcpy(http->out, head, (size_t)head_length);
    for (size_t i = 0; i < size; i++)
        http->out[(size_t)head_length + i] = (char)('a' + i % 26);
    http->counted = true;
    const char *until = strstr(path, "until=");
    if (until != NULL)
        sscanf(until, "until=%63[^/]", http->until);
    if (pieces > 1) {
        http->gap = number_in(path, "gap=", 0);
        http->piece = size / pieces + 1;
        http->limit = (size_t)head_length;
    }
}

/* Take one request out of `in`. Returns false when there is no whole one. */
static bool take_request(struct http *http, int64_t now)
{
    char *end = memmem(http->in, http->used, "\r\n\r\n", 4), path[1024] = "";
    int minor = 0;
    if (end == NULL)
        return false;
    end[2] = '\0';
    size_t length = (size_t)(end - http->in) + 4;
    size_t body = (size_t)number_in(http->in, "Content-Length: ", 0);
    if (http->used < length + body) {
        end[2] = '\r';
        return false;
    }
    counts->read++;
    bool upgrade = has_line(http->in, "\r\nUpgrade:");
    http->last = sscanf(http->in, "%*s %1023s HTTP/1.%d", path, &minor) != 2 || minor == 0 ||
                 has_line(http->in, "\r\nConnection: close");
    if (upgrade)
        begin_upgrade(http, now);
    else
        begin_answer(http, path, now);
    http->used -= length + body;
    memmove(http->in, http->in + length + body, http->used);
    return true;
}

static void end_output(struct http *http)
{
    if (http->counted)
        counts->answered++;
    free(http->out);
    http->out = NULL;
}

/* Whether the file that the answer waits for is not there yet: it is looked for again later. */
static bool is_held(struct http *http, int64_t now)
{
    if (http->until[0] == '\0' || access(http->until, F_OK) == 0)
        return http->until[0] = '\0', false;
    http->due = now + LOOK_MS;
    return true;
}

static enum step go_on(struct http *http, int64_t now)
{
    if (now < http->due || is_held(http, now))
        return STEP_WAIT;
    if (http->sent < http->limit)
        return STEP_WRITE;
    size_t left = http->length - http->limit;
    http->limit += left < http->piece ? left : http->piece;
    http->due = now + http->gap;
    return http->gap > 0 ? STEP_WAIT : STEP_WRITE;
}

enum step http_next(struct http *http, int64_t now)
{
    for (;;) {
        if (http->out != NULL && http->sent < http->length)
            return go_on(http, now);
        if (http->out != NULL) {
            end_output(http);
            if (http->last && !http->upgraded)
                return STEP_CLOSE;
        }
        if (http->upgraded && http->used > 0) {
            begin_output(http, http->used, now + settings.delay);
            memcpy(http->out, http->in, http->used);
            http->used = 0;
        } else if (http->upgraded || !take_request(http, now)) {
            return http->ended || http->used == sizeof http->in ? STEP_CLOSE : STEP_READ;
        }
    }
}
