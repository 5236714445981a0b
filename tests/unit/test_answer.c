/*
 * Answers edited byte by byte: whatever pieces the caller writes them in, and whatever part of each
 * piece the kernel takes, what goes out is the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../suite.h"
#include "shim/late/answer.h"

#define CLOSE "Connection: close\r\n"
#define LF    "\r\n"

static const struct example {
    const char *name, *sent, *expected; /* NULL: as it was sent */
} examples[] = {
    {"a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n" CLOSE "\r\nhello"},
    {"no header", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n" CLOSE "\r\n"},
    {"no reason", "HTTP/1.1 204\r\nA: b\r\n\r\n", "HTTP/1.1 204\r\nA: b\r\n" CLOSE "\r\n"},
    {"bare line ends", "HTTP/1.0 200 OK\nContent-Length: 2\n\nokHTTP/1.0 204 \n\n",
     "HTTP/1.0 200 OK\nContent-Length: 2\n" CLOSE "\nokHTTP/1.0 204 \n" CLOSE "\n"},
    {"keep-alive",
     "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n"
     "\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" CLOSE "\r\n"},
    {"keep-alive in capitals, folded",
     "HTTP/1.0 200 OK\r\nCONNECTION:\t Keep-ALIVE \r\nKEEP-alive: timeout=5,\r\n max=3\r\n"
     "Content-Length: 0\r\n\r\n",
     "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n" CLOSE "\r\n"},
    {"what only begins like it",
     "HTTP/1.1 200 OK\r\nConnection-Id: 3\r\nKeep-Aliveness: 1\r\nConnection: keep-alive, X\r\n"
     "Content-Length: 0\r\nConnection: keep-alivee\r\nConn\r\nC\r\nK\r\nConnection:\r\n\r\n",
     "HTTP/1.1 200 OK\r\nConnection-Id: 3\r\nKeep-Aliveness: 1\r\nConnection: keep-alive, X\r\n"
     "Content-Length: 0\r\nConnection: keep-alivee\r\nConn\r\nC\r\nK\r\nConnection:\r\n" CLOSE
     "\r\n"},
    {"it says close", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", NULL},
    {"it says close in a list", "HTTP/1.1 200 OK\r\nconnection: TE , Close\r\n\r\n", NULL},
    {"both", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
    {"304 with a length",
     "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
     "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n" CLOSE "\r\nHTTP/1.1 204 x\r\n" CLOSE
     "\r\n"},
    {"informational",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nConnection: keep-alive\r\n"
     "\r\nHTTP/1.1 204 x\r\n\r\n",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nConnection: keep-alive\r\n"
     "\r\nHTTP/1.1 204 x\r\n" CLOSE "\r\n"},
    {"upgraded",
     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n\x81\x05helloHTTP/1.1 200 "
     "OK\r\n\r\n",
     NULL},
    {"a body that looks like an answer",
     "HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
     "HTTP/1.1 204 x\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 38\r\n" CLOSE
     "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 x\r\n" CLOSE "\r\n"},
    {"chunks",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"
     "1A;ext=\"1\"\r\nHTTP/1.1 200 OK\r\nabc\r\n\r\n12\r\n00f\nHTTP/1.1 200 O\r\n"
     "2 \nhi\n0\r\nTrailer: 1\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
     NULL},
    {"stray line ends between", "HTTP/1.1 204 x\r\n\r\n\r\n\nHTTP/1.1 204 y\r\n\r\n",
     "HTTP/1.1 204 x\r\n" CLOSE "\r\n\r\n\nHTTP/1.1 204 y\r\n" CLOSE "\r\n"},
    {"to the connection's end", "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody",
     "HTTP/1.0 200 OK\r\nServer: x\r\n" CLOSE "\r\nHTTP/1.1 200 OK\r\n\r\nbody"},
    {"two lengths",
     "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 "
     "x\r\n\r\n",
     "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n" CLOSE "\r\nabHTTP/1.1 204 "
     "x\r\n\r\n"},
    {"more than it said", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabHTTP/1.1 204 x\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" CLOSE "\r\nabHTTP/1.1 204 x\r\n\r\n"},
    {"another protocol", "\x16\x03\x01HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", NULL},
    {"nearly HTTP", "HTTP/2 200 OK\r\n\r\n", NULL},
    {"nearly a status", "HTTP/1.1 20x OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", NULL},
    {"a request", "GET / HTTP/1.1\r\nHost: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", NULL},
    {"half an answer", "HTTP/1.1 200 OK\r\nConnec", NULL},
    {"a long line",
     "HTTP/1.1 200 OK\r\nConnection: keep-alive                                                    "
     "                                                            \r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nConnection: keep-alive                                                    "
     "                                                            \r\nContent-Length: 0\r\n" CLOSE
     "\r\n"},
};
#define EXAMPLES ((int)(sizeof examples / sizeof *examples))

/* ---- a connection -------------------------------------------------------------------------- */

struct line {
    struct grace_answer answer;
    char out[65536];
    size_t length;
};

static void connect_line(struct line *line, bool sent_before)
{
    grace_answer_start(&line->answer, sent_before);
    line->length = 0;
}

/* A kernel that takes `room` bytes of a plan. Returns how many it took. */
static size_t kernel(struct line *line, const struct grace_answer_plan *plan, size_t room)
{
    size_t taken = 0, planned = 0;
    for (size_t i = 0; i < plan->count; i++) {
        size_t length = plan->pieces[i].iov_len;
        planned += length;
        if (length > room - taken)
            length = room - taken;
        memcpy(line->out + line->length, plan->pieces[i].iov_base, length);
        line->length += length;
        taken += length;
    }
    ck_assert_uint_eq(planned, plan->total);
    return taken;
}

/* One call of the target's, of `count` pieces, into a kernel with room. Returns what the call
 * would, 0 for EAGAIN. */
static size_t call(struct line *line, const struct iovec *bytes, size_t count, size_t room)
{
    size_t length = 0, done = 0;
    for (size_t i = 0; i < count; i++)
        length += bytes[i].iov_len;
    while (done < length) {
        struct grace_answer_plan plan;
        grace_answer_plan(&line->answer, bytes, count, done, &plan);
        size_t sent = kernel(line, &plan, room);
        if (sent == 0 && plan.total > 0)
            break;
        done += grace_answer_advance(&line->answer, bytes, count, done, &plan, sent);
        room -= sent;
        ck_assert_uint_le(done, length);
    }
    if (done == length)
        ck_assert_int_eq(line->answer.emit, GRACE_EMIT_NONE);
    return done;
}

static void expect_out(const struct line *line, const char *expected, size_t length)
{
    if (line->length != length || memcmp(line->out, expected, length) != 0)
        ck_abort_msg("sent:\n%.*s\nnot:\n%.*s", (int)line->length, line->out, (int)length,
                     expected);
}

/* What an example is to become; of what ends within a held line, what is held is missing. */
static const char *expected_of(const struct example *example, size_t *length)
{
    static char text[4096];
    snprintf(text, sizeof text, "%s",
             example->expected == NULL ? example->sent : example->expected);
    if (strcmp(example->name, "chunks") == 0) {
        const char *head = strstr(example->sent, "\r\n\r\n") + 2;
        const char *next = strstr(example->sent, "HTTP/1.1 204");
        snprintf(text, sizeof text, "%.*s" CLOSE "%.*sHTTP/1.1 204 x\r\n" CLOSE "\r\n",
                 (int)(head - example->sent), example->sent, (int)(next - head), head);
    }
    *length = strlen(text);
    if (strcmp(example->name, "half an answer") == 0)
        *length -= 6;
    return text;
}

/* ---- the same in any pieces ---------------------------------------------------------------- */

START_TEST(an_answer_may_be_written_in_any_two_or_three_pieces)
{
    const struct example *example = &examples[_i];
    size_t length = strlen(example->sent), wanted;
    const char *expected = expected_of(example, &wanted);
    static struct line line;
    for (size_t first = 0; first <= length; first++) {
        for (size_t second = first; second <= length; second++) {
            struct iovec pieces[] = {
                {(void *)(uintptr_t)example->sent, first},
                {(void *)(uintptr_t)(example->sent + first), second - first},
                {(void *)(uintptr_t)(example->sent + second), length - second}};
            connect_line(&line, false); /* in one call of three pieces */
            ck_assert_uint_eq(call(&line, pieces, 3, SIZE_MAX), length);
            expect_out(&line, expected, wanted);
            connect_line(&line, false); /* in three calls */
            for (int i = 0; i < 3; i++)
                ck_assert_uint_eq(call(&line, &pieces[i], 1, SIZE_MAX), pieces[i].iov_len);
            expect_out(&line, expected, wanted);
        }
    }
}
END_TEST

START_TEST(an_answer_may_be_written_byte_by_byte)
{
    const struct example *example = &examples[_i];
    size_t wanted;
    const char *expected = expected_of(example, &wanted);
    static struct line line;
    connect_line(&line, false);
    for (const char *at = example->sent; *at != '\0'; at++)
        ck_assert_uint_eq(call(&line, &(struct iovec){(void *)(uintptr_t)at, 1}, 1, SIZE_MAX), 1);
    expect_out(&line, expected, wanted);
}
END_TEST

/* Send all of it to a kernel that takes a part, then another, … */
static void send_in_parts(struct line *line, const char *bytes, size_t length, size_t first,
                          size_t then)
{
    for (size_t done = 0, room = first, idle = 0; done < length; room = then) {
        struct iovec rest = {(void *)(uintptr_t)(bytes + done), length - done};
        size_t taken = call(line, &rest, 1, room);
        idle = taken == 0 ? idle + 1 : 0;
        ck_assert_uint_lt(idle, 200); /* held bytes go first, and may be many */
        done += taken;
    }
}

START_TEST(the_kernel_may_take_any_part)
{
    const struct example *example = &examples[_i];
    size_t length = strlen(example->sent), wanted;
    const char *expected = expected_of(example, &wanted);
    static struct line line;
    for (size_t split = 0; split <= length; split++) {
        for (size_t first = 1; first <= wanted + 1; first++) {
            connect_line(&line, false);
            send_in_parts(&line, example->sent, split, first, SIZE_MAX);
            send_in_parts(&line, example->sent + split, length - split, first, SIZE_MAX);
            expect_out(&line, expected, wanted);
        }
    }
    for (size_t each = 1; each < 40; each++) {
        connect_line(&line, false);
        send_in_parts(&line, example->sent, length, each, each);
        expect_out(&line, expected, wanted);
    }
}
END_TEST

/* Random streams of answers in random pieces. */
START_TEST(any_stream_comes_out_the_same)
{
    const char *given = getenv("GRACE_SEED");
    unsigned seed = given != NULL ? (unsigned)atoi(given) : (unsigned)time(NULL);
    printf("GRACE_SEED=%u\n", seed);
    static struct line line;
    static char sent[32768], expected[32768];
    for (int round = 0; round < 20000; round++) {
        size_t length = 0, wanted = 0;
        for (int i = 0, count = 1 + rand_r(&seed) % 4; i < count; i++) {
            const struct example *example = &examples[rand_r(&seed) % 11];
            if (strchr(example->sent + 1, 'H') == NULL && strstr(example->sent, "close") != NULL &&
                strstr(example->sent, "Length") == NULL)
                continue; /* nothing may follow an answer without a length */
            if (strstr(example->sent, "Length") == NULL && strstr(example->sent, " 204") == NULL)
                continue;
            size_t more, given_length = strlen(example->sent);
            const char *text = expected_of(example, &more);
            memcpy(sent + length, example->sent, given_length);
            memcpy(expected + wanted, text, more);
            length += given_length;
            wanted += more;
        }
        connect_line(&line, false);
        for (size_t done = 0; done < length;) {
            size_t size = 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 2 ? 8 : 200);
            struct iovec piece = {sent + done, size < length - done ? size : length - done};
            done += call(&line, &piece, 1,
                         rand_r(&seed) % 2 ? SIZE_MAX : 1 + (size_t)rand_r(&seed) % 30);
        }
        expect_out(&line, expected, wanted);
    }
}
END_TEST

/* Bytes of any kind never run out of bounds, nor get lost. For the sanitizers. */
START_TEST(any_bytes_are_survived)
{
    static const char letters[] = "HTTP/1.1 200\r\n\r\nConnection: keep-alive,close0123456789abc\t";
    unsigned seed = 1;
    static struct line line;
    for (int round = 0; round < 20000; round++) {
        char bytes[300];
        connect_line(&line, round % 2);
        for (int calls = 0; calls < 4; calls++) {
            size_t length = 1 + (size_t)rand_r(&seed) % sizeof bytes, at = 0;
            if (calls % 2 == 0 && length > 40)
                at = (size_t)snprintf(bytes, sizeof bytes, "HTTP/1.1 200 OK\r\n");
            for (; at < length; at++)
                bytes[at] = letters[(size_t)rand_r(&seed) % (sizeof letters - 1)];
            grace_answer_look(&line.answer, (enum grace_answer_fresh)(rand_r(&seed) % 3));
            send_in_parts(&line, bytes, length, 1 + (size_t)rand_r(&seed) % 50, SIZE_MAX);
        }
    }
}
END_TEST

/* ---- many answers, many pieces ------------------------------------------------------------- */

START_TEST(many_answers_in_one_call_are_each_edited)
{
    enum { MANY = 200 };
    static const char one[] =
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    static const char becomes[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" CLOSE "\r\nok";
    static char sent[MANY * sizeof one], expected[MANY * sizeof becomes];
    static struct line line;
    sent[0] = expected[0] = '\0';
    for (int i = 0; i < MANY; i++) {
        memcpy(sent + (size_t)i * (sizeof one - 1), one, sizeof one);
        memcpy(expected + (size_t)i * (sizeof becomes - 1), becomes, sizeof becomes);
    }
    connect_line(&line, false);
    ck_assert_uint_eq(call(&line, &(struct iovec){sent, strlen(sent)}, 1, SIZE_MAX), strlen(sent));
    expect_out(&line, expected, strlen(expected));
}
END_TEST

START_TEST(what_needs_no_edit_is_the_callers_own_memory)
{
    static const char sent[] = "HTTP/1.1 200 OK\r\nCache: no\r\nKey: 1\r\nConnection: close\r\n"
                               "Content-Length: 3\r\n\r\nabc";
    struct grace_answer answer;
    struct grace_answer_plan plan;
    grace_answer_start(&answer, false);
    grace_answer_plan(&answer, &(struct iovec){(void *)(uintptr_t)sent, sizeof sent - 1}, 1, 0,
                      &plan);
    ck_assert(!plan.edited);
    ck_assert_uint_eq(plan.count, 1);
    ck_assert_ptr_eq(plan.pieces[0].iov_base, sent);
    ck_assert_uint_eq(plan.total, sizeof sent - 1);
}
END_TEST

/* ---- where an answer begins ---------------------------------------------------------------- */

/* Bytes sent in one call each, with what is known of the client before each. */
static const struct story {
    const char *name;
    bool sent_before;
    struct {
        enum grace_answer_fresh fresh;
        const char *sent, *expected;
    } calls[4];
} stories[] = {
    {"a body that began before the drain, and the next answer",
     true,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\n\r\n", NULL},
      {GRACE_FRESH_YES, "more", NULL},
      {GRACE_FRESH_YES, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"an answer that the drain met before it began",
     true,
     {{GRACE_FRESH_YES, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_NO, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"the same where the kernel does not know",
     true,
     {{GRACE_FRESH_UNKNOWN, "rest", NULL},
      {GRACE_FRESH_UNKNOWN, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_UNKNOWN, "surplus", NULL},
      {GRACE_FRESH_UNKNOWN, "HTTP/1.1 204 x\r\n\r\n", NULL}}},
    {"an answer to HEAD, then one to GET",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_YES, "HT", NULL},
      {GRACE_FRESH_NO, "TP/1.1 204 x\r\n\r\n", "TP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"a body of known length that is written by itself and looks like an answer",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_NO, "HTTP/1.1 204 x\r\n\r\n", NULL},
      {GRACE_FRESH_NO, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"the same where the kernel does not know",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_UNKNOWN, "HTTP/1.1 204 x\r\n\r\n", NULL}}},
    {"a body that begins like an answer, with the client sending more",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_YES, "HTTP/1.1 or not", NULL},
      {GRACE_FRESH_YES, "HTTP/", NULL},
      {GRACE_FRESH_NO, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"a body that is the first bytes of an answer, and then one",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_YES, "HT", NULL},
      {GRACE_FRESH_YES, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"a body that is longer than it said, and then an answer",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_YES, "HTTX", NULL},
      {GRACE_FRESH_NO, "HTTP/1.1 204 x\r\n\r\n", NULL},
      {GRACE_FRESH_YES, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"an upgraded connection, whatever comes",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 101 x\r\n\r\n", NULL},
      {GRACE_FRESH_YES, "HTTP/1.1 204 x\r\n\r\n", NULL}}},
    {"an answer to HEAD that announces chunks",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_NO, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"a body to the connection's end",
     false,
     {{GRACE_FRESH_NO, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n" CLOSE "\r\n"},
      {GRACE_FRESH_NO, "HTTP/1.1 204 x\r\n\r\n", NULL},
      {GRACE_FRESH_YES, "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 204 x\r\n" CLOSE "\r\n"}}},
    {"TLS, with anything later",
     false,
     {{GRACE_FRESH_YES, "\x16\x03\x03", NULL}, {GRACE_FRESH_YES, "HTTP/1.1 204 x\r\n\r\n", NULL}}},
};
#define STORIES ((int)(sizeof stories / sizeof *stories))

START_TEST(an_answer_begins_where_one_can_begin)
{
    const struct story *story = &stories[_i];
    static struct line line;
    connect_line(&line, story->sent_before);
    for (size_t i = 0; i < 4 && story->calls[i].sent != NULL; i++) {
        const char *sent = story->calls[i].sent, *expected = story->calls[i].expected;
        if (grace_answer_asks(&line.answer, *sent))
            grace_answer_look(&line.answer, story->calls[i].fresh);
        line.length = 0;
        call(&line, &(struct iovec){(void *)(uintptr_t)sent, strlen(sent)}, 1, SIZE_MAX);
        expected = expected == NULL ? sent : expected;
        expect_out(&line, expected, strlen(expected));
    }
}
END_TEST

/* ---- bytes that nobody sees ---------------------------------------------------------------- */

static void say(struct line *line, const char *bytes)
{
    call(line, &(struct iovec){(void *)(uintptr_t)bytes, strlen(bytes)}, 1, SIZE_MAX);
}

START_TEST(a_body_by_sendfile_is_counted)
{
    static struct line line;
    connect_line(&line, false);
    say(&line, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    grace_answer_unseen(&line.answer, 600);
    grace_answer_unseen(&line.answer, 400);
    line.length = 0;
    say(&line, "HTTP/1.1 204 x\r\n\r\n");
    expect_out(&line, "HTTP/1.1 204 x\r\n" CLOSE "\r\n", 37);
    grace_answer_unseen(&line.answer, 10); /* who knows what */
    line.length = 0;
    say(&line, "HTTP/1.1 204 x\r\n\r\n");
    expect_out(&line, "HTTP/1.1 204 x\r\n\r\n", 18);
}
END_TEST

START_TEST(what_is_held_goes_before_a_file)
{
    static struct line line;
    const char *bytes;
    connect_line(&line, false);
    say(&line, "HTTP/1.1 200 OK\r\nConnection: keep");
    ck_assert_uint_eq(grace_answer_owed(&line.answer, &bytes), 16);
    ck_assert_int_eq(memcmp(bytes, "Connection: keep", 16), 0);
    grace_answer_paid(&line.answer, 10);
    ck_assert_uint_eq(grace_answer_owed(&line.answer, &bytes), 6);
    grace_answer_paid(&line.answer, 6);
    ck_assert_uint_eq(grace_answer_owed(&line.answer, &bytes), 0);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("answer");
    TCase *tests = tcase_create("answer");
    tcase_add_loop_test(tests, an_answer_may_be_written_in_any_two_or_three_pieces, 0, EXAMPLES);
    tcase_add_loop_test(tests, an_answer_may_be_written_byte_by_byte, 0, EXAMPLES);
    tcase_add_loop_test(tests, the_kernel_may_take_any_part, 0, EXAMPLES);
    tcase_add_test(tests, any_stream_comes_out_the_same);
    tcase_add_test(tests, any_bytes_are_survived);
    tcase_add_test(tests, many_answers_in_one_call_are_each_edited);
    tcase_add_test(tests, what_needs_no_edit_is_the_callers_own_memory);
    tcase_add_loop_test(tests, an_answer_begins_where_one_can_begin, 0, STORIES);
    tcase_add_test(tests, a_body_by_sendfile_is_counted);
    tcase_add_test(tests, what_is_held_goes_before_a_file);
    suite_add_tcase(all, tests);
    return all;
}
