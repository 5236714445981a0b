/* Reading HTTP/1.x answers: sized, chunked, or until the end of the connection. */
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct {
    char *bytes;
    size_t length;
    bool fixed;
} expected;

void answer_fixed(void)
{
    expected.fixed = true;
}

/* Whether these bytes belong here; the first answer says what is right. */
static bool body_is_right(struct answer *answer, const char *bytes, size_t length)
{
    if (!expected.fixed) {
        if (answer->body == 0)
            expected.length = 0;
        expected.bytes = realloc(expected.bytes, expected.length + length);
        if (expected.bytes == NULL)
            abort();
        memcpy(expected.bytes + expected.length, bytes, length);
        expected.length += length;
    }
    bool right = answer->body + length <= expected.length &&
                 memcmp(expected.bytes + answer->body, bytes, length) == 0;
    answer->body += length;
    return right;
}

static enum verdict whole(const struct answer *answer)
{
    return answer->body == expected.length || !expected.fixed ? WHOLE : WRONG;
}

static const char *field(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at != NULL ? at + strlen(name) : NULL;
}

static enum verdict begin_body(struct answer *answer)
{
    const char *length = field(answer->line, "\r\nContent-Length:"), *close;
    const char *coding = field(answer->line, "\r\nTransfer-Encoding: chunked");
    int status = atoi(answer->line + 9);
    close = field(answer->line, "\r\nConnection: close");
    answer->line_length = 0;
    if (strncmp(answer->line, "HTTP/1.", 7) != 0 || (status >= 200 && status != 200))
        return WRONG;
    if (status < 200)
        return MORE; /* another head follows */
    answer->close = close != NULL || (answer->line[7] == '0' &&
                                      field(answer->line, "\r\nConnection: keep-alive") == NULL);
    if (coding != NULL) {
        answer->part = CHUNK_SIZE;
    } else if (length != NULL) {
        answer->part = SIZED;
        answer->left = strtoul(length, NULL, 10);
        return answer->left == 0 ? whole(answer) : MORE;
    } else {
        answer->part = UNTIL_END;
        answer->close = true;
    }
    return MORE;
}

static enum verdict end_line(struct answer *answer)
{
    size_t length = answer->line_length;
    answer->line[length] = '\0';
    if (answer->part == HEAD)
        return length >= 4 && strcmp(answer->line + length - 4, "\r\n\r\n") == 0
                   ? begin_body(answer)
                   : MORE;
    answer->line_length = 0;
    if (answer->part == TRAILER)
        return length == 2 ? whole(answer) : MORE;
    if (answer->part == CHUNK_END) {
        answer->part = CHUNK_SIZE;
        return length == 2 ? MORE : WRONG;
    }
    answer->left = strtoul(answer->line, NULL, 16);
    answer->part = answer->left == 0 ? TRAILER : CHUNK;
    return MORE;
}

static enum verdict take_line(struct answer *answer, const char *bytes, size_t length, size_t *used)
{
    const char *end = memchr(bytes, '\n', length);
    *used = end != NULL ? (size_t)(end - bytes) + 1 : length;
    if (answer->line_length + *used >= sizeof answer->line)
        return WRONG;
    memcpy(answer->line + answer->line_length, bytes, *used);
    answer->line_length += *used;
    return end != NULL ? end_line(answer) : MORE;
}

static enum verdict take_body(struct answer *answer, const char *bytes, size_t length, size_t *used)
{
    *used = answer->part == UNTIL_END || length < answer->left ? length : answer->left;
    if (!body_is_right(answer, bytes, *used))
        return WRONG;
    if (answer->part == UNTIL_END)
        return MORE;
    answer->left -= *used;
    if (answer->left > 0)
        return MORE;
    if (answer->part == SIZED)
        return whole(answer);
    answer->part = CHUNK_END;
    return MORE;
}

enum verdict answer_take(struct answer *answer, const char *bytes, size_t length)
{
    enum verdict verdict = MORE;
    answer->got += length;
    while (length > 0 && verdict == MORE) {
        bool in_body = answer->part == SIZED || answer->part == CHUNK || answer->part == UNTIL_END;
        size_t used;
        verdict = in_body ? take_body(answer, bytes, length, &used)
                          : take_line(answer, bytes, length, &used);
        bytes += used;
        length -= used;
    }
    return verdict == WHOLE && length > 0 ? WRONG : verdict;
}

enum verdict answer_end(struct answer *answer)
{
    return answer->part == UNTIL_END && whole(answer) == WHOLE ? WHOLE : MORE;
}
