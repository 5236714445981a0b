/*
 * The head of an answer, line by line.
 *
 * A line of a final answer is held back as long as it may be one that has to go: "Keep-Alive: …",
 * or "Connection: keep-alive" with nothing else in it. As soon as it differs, which is at the first
 * or second byte for nearly all, what was held goes out. Other lines pass, and when they end it is
 * looked at what they say of the connection and the body's length.
 */
#include "answer.h"

#include <string.h>

static const char connection[] = "connection:";
static const char keep_alive_line[] = "keep-alive:";
static const char keep_alive[] = "keep-alive";

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* ---- what a whole line says ---------------------------------------------------------------- */

/* The value of a line with this name ("name:"), or NULL. */
static const char *value_of(const struct grace_answer *answer, const char *name)
{
    size_t length = strlen(name);
    if (answer->length < length)
        return NULL;
    for (size_t i = 0; i < length; i++)
        if (lower(answer->line[i]) != name[i])
            return NULL;
    return answer->line + length;
}

static void read_length(struct grace_answer *answer, const char *at, const char *end)
{
    uint64_t value = 0;
    while (at < end && is_blank(*at))
        at++;
    bool bad = at == end || *at < '0' || *at > '9';
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        bad = bad || value > UINT64_MAX / 16;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    while (at < end && is_blank(*at))
        at++;
    answer->bad_length =
        answer->bad_length || bad || at != end || (answer->has_length && answer->left != value);
    answer->has_length = true;
    answer->left = value;
}

/* Whether a list of tokens has this one; `last`: as its last. */
static bool has_token(const char *at, const char *end, const char *token, bool last)
{
    size_t length = strlen(token);
    bool found = false;
    while (at < end) {
        while (at < end && (is_blank(*at) || *at == ','))
            at++;
        const char *start = at;
        while (at < end && *at != ',')
            at++;
        const char *stop = at;
        while (stop > start && is_blank(stop[-1]))
            stop--;
        bool same = (size_t)(stop - start) == length;
        for (size_t i = 0; same && i < length; i++)
            same = lower(start[i]) == token[i];
        if (last && stop > start)
            found = same;
        else
            found = found || same;
    }
    return found;
}

static void read_line(struct grace_answer *answer)
{
    const char *end = answer->line + answer->length, *value;
    if (end > answer->line && end[-1] == '\n')
        end--;
    if (end > answer->line && end[-1] == '\r')
        end--;
    if ((value = value_of(answer, "content-length:")) != NULL) {
        read_length(answer, value, end);
    } else if ((value = value_of(answer, "transfer-encoding:")) != NULL) {
        answer->is_chunked = has_token(value, end, "chunked", true);
        answer->other_coding = !answer->is_chunked;
    } else if ((value = value_of(answer, connection)) != NULL &&
               has_token(value, end, "close", false)) {
        answer->says_close = true;
    }
}

/* ---- lines that may have to go ------------------------------------------------------------- */

/* Whether the line so far and this byte may still be one that has to go. */
static bool may_go(const struct grace_answer *answer, char byte)
{
    size_t name = sizeof connection - 1, at = answer->length;
    _Static_assert(sizeof connection == sizeof keep_alive_line, "the names are of one length");
    if (at < name) {
        char first = lower(at == 0 ? byte : answer->line[0]);
        return lower(byte) == (first == 'c' ? connection : keep_alive_line)[at];
    }
    const char *value = answer->line + name, *end = answer->line + at;
    while (value < end && is_blank(*value))
        value++;
    size_t matched = (size_t)(end - value);
    if (at + 1 >= GRACE_ANSWER_LINE)
        return false;
    if (matched == 0 && is_blank(byte))
        return true;
    if (matched < sizeof keep_alive - 1)
        return lower(byte) == keep_alive[matched];
    return byte == '\n' || (end[-1] != '\r' && (is_blank(byte) || byte == '\r'));
}

static enum grace_answer_step line_goes(struct grace_answer *answer)
{
    answer->length = 0;
    answer->dropping = false;
    answer->dropped = true;
    return GRACE_STEP_KEEP;
}

static enum grace_answer_step hold(struct grace_answer *answer, char byte)
{
    if (!may_go(answer, byte)) {
        answer->holding = false;
        if (answer->length > 0)
            answer->emit = GRACE_EMIT_HELD;
        return GRACE_STEP_AGAIN;
    }
    answer->line[answer->length++] = byte;
    if (byte == '\n') {
        answer->holding = false;
        return line_goes(answer);
    }
    if (byte == ':' && lower(answer->line[0]) == keep_alive_line[0]) {
        answer->holding = false;
        answer->dropping = true;
    }
    return GRACE_STEP_KEEP;
}

/* ---- the head ------------------------------------------------------------------------------ */

static bool is_final(const struct grace_answer *answer)
{
    return answer->code >= 200;
}

/* The empty line is out: what comes next? */
static enum grace_answer_step head_is_over(struct grace_answer *answer)
{
    bool has_body = is_final(answer) && answer->code != 204 && answer->code != 304;
    answer->untouched = true;
    answer->length = 0;
    answer->between = true;
    if (!has_body) {
        answer->state = GRACE_ANSWER_BEGIN;
    } else if (answer->is_chunked) {
        answer->left = 0;
        answer->state = GRACE_ANSWER_CHUNK_SIZE;
    } else if (answer->other_coding || answer->bad_length || !answer->has_length) {
        answer->state = GRACE_ANSWER_MIDDLE; /* to the connection's end, or it answered HEAD */
    } else {
        answer->state = answer->left > 0 ? GRACE_ANSWER_BODY : GRACE_ANSWER_BEGIN;
    }
    return GRACE_STEP_PASS;
}

static enum grace_answer_step empty_line(struct grace_answer *answer, char byte)
{
    if (is_final(answer) && !answer->says_close) {
        answer->says_close = true;
        answer->emit = GRACE_EMIT_CLOSE;
        return GRACE_STEP_AGAIN;
    }
    if (byte == '\n')
        return head_is_over(answer);
    answer->state = GRACE_ANSWER_HEAD_END;
    return GRACE_STEP_PASS;
}

enum grace_answer_step grace_answer_head(struct grace_answer *answer, char byte)
{
    if (answer->state == GRACE_ANSWER_HEAD_END) {
        if (byte == '\n')
            return head_is_over(answer);
        answer->state = GRACE_ANSWER_MIDDLE; /* no head that anybody understands */
        return GRACE_STEP_AGAIN;
    }
    if (answer->dropping)
        return byte == '\n' ? line_goes(answer) : GRACE_STEP_KEEP;
    if (answer->length == 0 && !answer->holding) {
        if (byte == '\r' || byte == '\n')
            return empty_line(answer, byte);
        if (answer->dropped && is_blank(byte)) { /* the line that went goes on */
            answer->dropping = true;
            return GRACE_STEP_KEEP;
        }
        answer->dropped = false;
        answer->holding = is_final(answer) && may_go(answer, byte);
    }
    if (answer->holding)
        return hold(answer, byte);
    if (answer->length < GRACE_ANSWER_LINE)
        answer->line[answer->length++] = byte;
    if (byte != '\n')
        return GRACE_STEP_PASS;
    read_line(answer);
    answer->length = 0;
    return GRACE_STEP_PASS;
}
