/*
 * SSL_write and SSL_write_ex as they are while answers are edited, between two objects of OpenSSL:
 * what arrives at the client, and what the caller is told. They are joined by a pair of small
 * buffers, so that most calls have to be repeated, or by memory that takes all. (That the target's
 * calls come here is the stories' of tests/system.)
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "../suite.h"
#include "shim/late/tls.h"

#define CLOSE        "Connection: close\r\n"
#define EMPTY        "HTTP/1.1 204 x\r\n\r\n"
#define EMPTY_       "HTTP/1.1 204 x\r\n" CLOSE "\r\n"
#define KEEP         "Connection: keep-alive\r\n"
#define LENGTH(text) (sizeof(text) - 1)

static struct grace_tls_library openssl;
static SSL *server, *client;

static void learn(void)
{
    void *const functions[] = {
        (void *)SSL_write,
        (void *)SSL_write_ex,
        (void *)SSL_is_server,
        (void *)SSL_is_init_finished,
        (void *)SSL_get_server_random,
        (void *)SSL_get0_alpn_selected,
        (void *)SSL_get_rbio,
        (void *)SSL_get_wbio,
        (void *)SSL_ctrl,
        (void *)BIO_method_type,
        (void *)BIO_number_read,
        (void *)BIO_ctrl,
    };
    _Static_assert(sizeof functions == sizeof openssl, "one for each");
    memcpy(&openssl, functions, sizeof openssl);
}

static SSL *object(bool is_server)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    ck_assert_int_eq(SSL_CTX_set_cipher_list(context, "AECDH-AES128-SHA:@SECLEVEL=0"), 1);
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL *made = SSL_new(context);
    SSL_CTX_free(context);
    if (is_server)
        SSL_set_accept_state(made);
    else
        SSL_set_connect_state(made);
    return made;
}

static void shake_hands(void)
{
    for (int turn = 0; !SSL_is_init_finished(server) || !SSL_is_init_finished(client); turn++) {
        ck_assert_int_lt(turn, 100);
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    ERR_clear_error();
}

static void begin(void)
{
    learn();
    server = object(true);
    client = object(false);
    ck_assert(grace_tls_objects_make());
    grace_late_tls_begin();
}

/* Writing fails when the buffer is full, and what OpenSSL holds back then has to be repeated. */
static void join_by_buffers(void)
{
    BIO *one, *other;
    begin();
    ck_assert_int_eq(BIO_new_bio_pair(&one, 3000, &other, 3000), 1);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, other, other);
    shake_hands();
}

static void join_by_memory(void)
{
    BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
    begin();
    BIO_set_mem_eof_return(up, -1);
    BIO_set_mem_eof_return(down, -1);
    BIO_up_ref(up);
    BIO_up_ref(down);
    SSL_set_bio(server, up, down);
    SSL_set_bio(client, down, up);
    shake_hands();
}

/* ---- both sides ---------------------------------------------------------------------------- */

static char got[4 << 20];
static size_t got_length;

static void receive(void)
{
    for (int n; (n = SSL_read(client, got + got_length, 5000)) > 0;)
        got_length += (size_t)n;
    ck_assert_int_eq(SSL_get_error(client, -1), SSL_ERROR_WANT_READ);
    ERR_clear_error();
}

static void ask(void)
{
    char request[3];
    ck_assert_int_eq(SSL_write(client, "GET", 3), 3);
    ck_assert_int_eq(SSL_read(server, request, 3), 3);
}

static int write_some(const char *bytes, size_t length, bool ex)
{
    if (!ex)
        return grace_tls_write(&openssl, server, bytes, (int)length);
    size_t written = 12345;
    int result = grace_tls_write_ex(&openssl, server, bytes, length, &written);
    ck_assert(result == 1 || (result == 0 && written == 12345));
    return result == 1 ? (int)written : -1;
}

/* As a caller has to, byte after byte elsewhere if it may. */
static void say_all(const char *bytes, size_t length, size_t piece, bool ex)
{
    static char place[1 << 20];
    long mode = SSL_get_mode(server);
    for (size_t done = 0; done < length;) {
        size_t size = piece < length - done ? piece : length - done;
        const char *from = bytes + done;
        if (mode & SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) {
            from = place + done % 7;
            memcpy(place + done % 7, bytes + done, size);
        }
        int sent = write_some(from, size, ex);
        ck_assert_int_le(sent, (int)size);
        if (sent <= 0) {
            ck_assert_int_eq(SSL_get_error(server, sent), SSL_ERROR_WANT_WRITE);
            ck_assert_uint_eq(ERR_peek_error(), 0);
            receive();
            memset(place, 0, size + 7);
            continue;
        }
        if (!(mode & SSL_MODE_ENABLE_PARTIAL_WRITE))
            ck_assert_int_eq(sent, (int)size);
        done += (size_t)sent;
    }
    receive();
}

#define say(text) say_all(text, LENGTH(text), SIZE_MAX, false)

static void expect_bytes(const char *expected, size_t length)
{
    ck_assert_uint_eq(got_length, length);
    for (size_t i = 0; i < length; i++)
        if (got[i] != expected[i])
            ck_abort_msg("at %zu:\n%.*s\nnot:\n%.*s", i, 200, got + i, 200, expected + i);
    got_length = 0;
}

#define expect_ends_with(text)                                                                     \
    do {                                                                                           \
        size_t before = got_length - LENGTH(text);                                                 \
        memmove(got, got + before, LENGTH(text));                                                  \
        got_length = LENGTH(text);                                                                 \
        expect_bytes(text, LENGTH(text));                                                          \
    } while (0)
#define expect_arrives(text) expect_bytes(text, LENGTH(text))

/* ---- calls that are repeated --------------------------------------------------------------- */

#define ANSWERS 12
#define BODY    20011

static char stream[ANSWERS * (BODY + 200)], wanted[ANSWERS * (BODY + 200)];
static size_t stream_length, wanted_length;

static void make_stream(void)
{
    stream_length = wanted_length = 0;
    for (int i = 0; i < ANSWERS; i++) {
        int body = i % 3 == 0 ? 5 : BODY;
        stream_length += (size_t)sprintf(
            stream + stream_length, "HTTP/1.1 200 x\r\n" KEEP "Content-Length: %d\r\n\r\n", body);
        wanted_length += (size_t)sprintf(
            wanted + wanted_length, "HTTP/1.1 200 x\r\nContent-Length: %d\r\n" CLOSE "\r\n", body);
        for (int j = 0; j < body; j++)
            stream[stream_length++] = wanted[wanted_length++] = (char)('a' + (i + j) % 26);
    }
}

static const struct {
    long mode;
    size_t piece;
    bool ex;
} manners[] = {
    {0, SIZE_MAX, false},
    {0, SIZE_MAX, true},
    {0, 9973, false},
    {0, 113, true},
    {0, 1, false},
    {SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, SIZE_MAX, false},
    {SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, 4001, true},
    {SSL_MODE_ENABLE_PARTIAL_WRITE, SIZE_MAX, false},
    {SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, SIZE_MAX, true},
    {SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, 113, false},
};
#define MANNERS ((int)(sizeof manners / sizeof *manners))

/* The first call passes: it might have repeated one that was made before. */
START_TEST(a_slow_client_gets_every_byte)
{
    join_by_buffers();
    make_stream();
    SSL_set_mode(server, manners[_i].mode);
    if (_i % 2 == 1) /* records of 700 bytes: a call's copy goes in parts, too */
        ck_assert_int_eq(SSL_set_max_send_fragment(server, 700), 1);
    say(EMPTY);
    expect_arrives(EMPTY);
    ask();
    say_all(stream, stream_length, manners[_i].piece, manners[_i].ex);
    expect_bytes(wanted, wanted_length);
}
END_TEST

/* Fill the buffer with an answer to the end, so that the next call has to be repeated. */
static void fill(const char *head)
{
    char answer[2900];
    memset(answer, 'x', sizeof answer);
    memcpy(answer, head, strlen(head));
    say(EMPTY);
    ask();
    receive();
    got_length = 0;
    ck_assert_int_eq(write_some(answer, sizeof answer, false), sizeof answer);
}

static void expect_repeat(int result)
{
    ck_assert_int_le(result, 0);
    ck_assert_int_eq(SSL_get_error(server, result), SSL_ERROR_WANT_WRITE);
}

START_TEST(a_repeated_call_may_bring_more)
{
    static const char next[] = "HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\nhello" EMPTY;
    join_by_buffers();
    fill("HTTP/1.1 200 x\r\nContent-Length: 2860\r\n\r\n");
    expect_repeat(write_some(next, 40, false)); /* to be edited, from here on */
    receive();
    ck_assert_int_eq(write_some(next, sizeof next - 1, false), sizeof next - 1);
    receive();
    expect_ends_with("HTTP/1.1 200 x\r\nContent-Length: 5\r\n" CLOSE "\r\nhello" EMPTY_);
    fill("HTTP/1.1 200 x\r\nContent-Length: 2860\r\n\r\n");
    expect_repeat(write_some(next, 10, false)); /* as it is */
    receive();
    ck_assert_int_eq(write_some(next, sizeof next - 1, false), sizeof next - 1);
    receive();
    expect_ends_with("HTTP/1.1 200 x\r\nContent-Length: 5\r\n" CLOSE "\r\nhello" EMPTY_);
}
END_TEST

/* A body's end that looks like an answer, and the next request comes before it is out. */
START_TEST(a_repeated_call_is_not_looked_at_again)
{
    join_by_buffers();
    fill("HTTP/1.0 200 x\r\n\r\n");
    expect_repeat(write_some(EMPTY, LENGTH(EMPTY), false));
    ask();
    receive();
    ck_assert_int_eq(write_some(EMPTY, LENGTH(EMPTY), false), LENGTH(EMPTY));
    receive();
    expect_ends_with("xxx" EMPTY);
}
END_TEST

START_TEST(a_call_repeated_with_other_bytes_is_refused)
{
    join_by_buffers();
    make_stream();
    say(EMPTY);
    ask();
    ck_assert_int_le(grace_tls_write(&openssl, server, stream, (int)stream_length), 0);
    ck_assert_int_eq(SSL_get_error(server, -1), SSL_ERROR_WANT_WRITE);
    ck_assert_int_le(grace_tls_write(&openssl, server, stream + 1, (int)stream_length - 1), 0);
    ck_assert_int_eq(SSL_get_error(server, -1), SSL_ERROR_SSL);
    ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_BAD_WRITE_RETRY);
}
END_TEST

/* What OpenSSL was given before has to be repeated as it was. */
START_TEST(a_call_begun_before_passes)
{
    join_by_buffers();
    make_stream();
    ck_assert_int_le(SSL_write(server, stream, (int)stream_length), 0);
    ck_assert_int_eq(SSL_get_error(server, -1), SSL_ERROR_WANT_WRITE);
    say_all(stream, stream_length, SIZE_MAX, false);
    expect_bytes(stream, stream_length);
    ask();
    say(EMPTY);
    expect_arrives(EMPTY_);
}
END_TEST

START_TEST(taken_back_in_the_middle_the_rest_is_sent)
{
    join_by_buffers();
    make_stream();
    say(EMPTY);
    ask();
    receive();
    got_length = 0;
    ck_assert_int_le(grace_tls_write(&openssl, server, stream, (int)stream_length), 0);
    ck_assert(!grace_tls_objects_end());
    say_all(stream, stream_length, SIZE_MAX, false);
    expect_bytes(wanted, wanted_length);
    ck_assert(grace_tls_objects_end());
    say(EMPTY);
    expect_arrives(EMPTY);
    grace_late_tls_begin();
    say(EMPTY);
    ask();
    say(EMPTY);
    expect_arrives(EMPTY EMPTY_);
}
END_TEST

/* ---- which objects ------------------------------------------------------------------------- */

START_TEST(into_memory_the_first_answer_is_edited)
{
    join_by_memory();
    say(EMPTY);
    expect_arrives(EMPTY_);
    say("HTTP/1.1 200 x\r\nContent-Length: 18\r\n\r\n" EMPTY EMPTY);
    expect_arrives("HTTP/1.1 200 x\r\nContent-Length: 18\r\n" CLOSE "\r\n" EMPTY EMPTY_);
    ck_assert_int_eq(grace_tls_write(&openssl, server, "", 0), SSL_write(server, "", 0));
}
END_TEST

START_TEST(an_answer_to_head_and_a_body_are_told_apart)
{
    join_by_memory();
    say("HTTP/1.1 200 x\r\nContent-Length: 18\r\n\r\n");
    ask();
    say(EMPTY);
    expect_arrives("HTTP/1.1 200 x\r\nContent-Length: 18\r\n" CLOSE "\r\n" EMPTY_);
    say("HTTP/1.1 200 x\r\nContent-Length: 18\r\n\r\n");
    say(EMPTY);
    expect_arrives("HTTP/1.1 200 x\r\nContent-Length: 18\r\n" CLOSE "\r\n" EMPTY);
}
END_TEST

START_TEST(an_object_used_again_begins_anew)
{
    join_by_memory();
    say("HTTP/1.1 101 x\r\n\r\n" EMPTY);
    expect_arrives("HTTP/1.1 101 x\r\n\r\n" EMPTY);
    ck_assert_int_eq(SSL_clear(server), 1);
    ck_assert_int_eq(SSL_clear(client), 1);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    shake_hands();
    say(EMPTY);
    expect_arrives(EMPTY_);
}
END_TEST

START_TEST(a_client_is_left_alone)
{
    join_by_memory();
    char back[64];
    ck_assert_int_eq(grace_tls_write(&openssl, client, EMPTY, LENGTH(EMPTY)), LENGTH(EMPTY));
    ck_assert_int_eq(SSL_read(server, back, sizeof back), LENGTH(EMPTY));
    ck_assert_mem_eq(back, EMPTY, LENGTH(EMPTY));
}
END_TEST

/* Each is in the middle of something else. */
START_TEST(many_objects_are_kept_apart)
{
    enum { MANY = 100 };
    static SSL *servers[MANY], *clients[MANY];
    for (int i = 0; i < MANY; i++) {
        join_by_memory();
        servers[i] = server;
        clients[i] = client;
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MANY; i++) {
            server = servers[i];
            client = clients[i];
            if (round == 0 && i % 2 == 0) {
                say("HTTP/1.1 200 x\r\nContent-Length: 18\r\n\r\n");
                expect_arrives("HTTP/1.1 200 x\r\nContent-Length: 18\r\n" CLOSE "\r\n");
            } else if (i % 2 == 0) {
                say(EMPTY EMPTY);
                expect_arrives(EMPTY EMPTY_);
            } else {
                ask();
                say(EMPTY);
                expect_arrives(EMPTY_);
            }
        }
}
END_TEST

START_TEST(it_is_found_among_what_is_loaded)
{
    bool is_asked_first = false;
    grace_late_tls_look(); /* nobody has asked */
    ck_assert(!grace_late_tls_is_absent(&is_asked_first));
    ck_assert(is_asked_first);
    grace_late_tls_look();
    ck_assert(!grace_late_tls_is_absent(&is_asked_first));
    ck_assert(!is_asked_first);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("late: TLS");
    TCase *tests = tcase_create("tls");
    tcase_add_loop_test(tests, a_slow_client_gets_every_byte, 0, MANNERS);
    tcase_add_test(tests, a_repeated_call_may_bring_more);
    tcase_add_test(tests, a_repeated_call_is_not_looked_at_again);
    tcase_add_test(tests, a_call_repeated_with_other_bytes_is_refused);
    tcase_add_test(tests, a_call_begun_before_passes);
    tcase_add_test(tests, taken_back_in_the_middle_the_rest_is_sent);
    tcase_add_test(tests, into_memory_the_first_answer_is_edited);
    tcase_add_test(tests, an_answer_to_head_and_a_body_are_told_apart);
    tcase_add_test(tests, an_object_used_again_begins_anew);
    tcase_add_test(tests, a_client_is_left_alone);
    tcase_add_test(tests, many_objects_are_kept_apart);
    tcase_add_test(tests, it_is_found_among_what_is_loaded);
    suite_add_tcase(all, tests);
    return all;
}
