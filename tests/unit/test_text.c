/* hooks/text.h: text in fixed buffers, and names of signals. */
#include "../suite.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/signals.h"
#include "hooks/log_sink.h"
#include "hooks/text.h"

static char buffer[256];
static struct grace_text text;

static void start(size_t size)
{
    memset(buffer, 'x', sizeof buffer);
    grace_text_start(&text, buffer, size);
}

START_TEST(formats_as_printf_does)
{
    const char *volatile null = NULL; /* volatile: the compiler knows printf too well */
    char expected[256];
    start(sizeof buffer);
    grace_text_format(&text, "%s %d %i %u %x %c%% %" PRId64 " %" PRIu64 " %lld %llu %zu|%.*s|%.*s",
                      "word", -5, INT32_MIN, 4000000000u, 0xbeefu, 'c', INT64_MIN, UINT64_MAX,
                      (long long)INT64_MAX, 7ull, (size_t)9, 3, "abcdef", 9, "ab");
    snprintf(expected, sizeof expected,
             "%s %d %i %u %x %c%% %" PRId64 " %" PRIu64 " %lld %llu %zu|%.*s|%.*s", "word", -5,
             INT32_MIN, 4000000000u, 0xbeefu, 'c', INT64_MIN, UINT64_MAX, (long long)INT64_MAX,
             7ull, (size_t)9, 3, "abcdef", 9, "ab");
    ck_assert_str_eq(buffer, expected);
    start(sizeof buffer);
    grace_text_format(&text, "%s", null);
    ck_assert_str_eq(buffer, "(null)");
}
END_TEST

START_TEST(copies_unknown_conversions)
{
    const char *const formats[] = {"%5d", "%-s", "%q", "100%", "%"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        start(sizeof buffer);
        const char *volatile format = formats[i];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
        grace_text_format(&text, format);
#pragma GCC diagnostic pop
        ck_assert_str_eq(buffer, formats[i]);
    }
}
END_TEST

START_TEST(cuts_and_stays_ended_at_every_size)
{
    for (size_t size = 1; size < 40; size++) {
        start(size);
        grace_text_format(&text, "%s-%u-%s", "äöü", 123456u, "the end");
        ck_assert_uint_lt(text.length, size);
        ck_assert_uint_eq(strlen(buffer), text.length);
        ck_assert_int_eq(buffer[size], 'x');
        ck_assert_int_eq(text.cut, size <= strlen("äöü-123456-the end"));
        /* Never within a character. */
        ck_assert_int_ne((unsigned char)buffer[text.length > 0 ? text.length - 1 : 0], 0xc3);
    }
}
END_TEST

START_TEST(adds_nothing_after_a_cut)
{
    start(4);
    grace_text_add_unsigned(&text, 12345);
    grace_text_add(&text, "a");
    ck_assert_str_eq(buffer, "");
    ck_assert_int_eq(text.cut, 1);
}
END_TEST

static const struct {
    const char *bytes;
    size_t length;
    const char *json, *printable;
} escapes[] = {
    {"plain", 5, "plain", "plain"},
    {"\"\\", 2, "\\\"\\\\", "\"\\"},
    {"a\nb\tc\r", 6, "a\\nb\\tc\\r", "a\\nb c\\x0d"},
    {"\0\x1b[2J", 5, "\\u0000\\u001b[2J", "\\x00\\x1b[2J"},
    {"\x7f", 1, "\\u007f", "\\x7f"},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "ä€😀", "ä€😀"},
    {"\xc2\x9b", 2, "\xc2\x9b", "\\x9b"},                      /* U+009B: CSI */
    {"\xff\xfe", 2, "\xef\xbf\xbd\xef\xbf\xbd", "\\xff\\xfe"}, /* never in UTF-8 */
    {"\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd", "\\xc0\\xaf"}, /* longer than needed */
    {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "\\xed\\xa0\\x80"}, /* surrogate */
    {"\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd", "\\xe2\\x82"}, /* ends too early */
};

START_TEST(escapes_what_could_do_harm)
{
    start(sizeof buffer);
    grace_text_add_json(&text, escapes[_i].bytes, escapes[_i].length);
    ck_assert_str_eq(buffer, escapes[_i].json);
    start(sizeof buffer);
    grace_text_add_printable(&text, escapes[_i].bytes, escapes[_i].length);
    ck_assert_str_eq(buffer, escapes[_i].printable);
}
END_TEST

START_TEST(never_cuts_an_escape)
{
    for (size_t size = 1; size < 20; size++) {
        start(size);
        grace_text_add_json(&text, "\x01\x02\x03", 3);
        ck_assert_uint_eq(text.length % strlen("\\u0001"), 0);
    }
}
END_TEST

START_TEST(keeps_errno)
{
    start(8);
    errno = 4711;
    grace_text_format(&text, "%s %d", "long enough to be cut", 1);
    ck_assert_int_eq(errno, 4711);
}
END_TEST

START_TEST(tells_the_time_as_libc_does)
{
    char expected[64];
    const int64_t moments[] = {0,          951782399,  951782400,  951868800,  1078012799,
                               1709164800, 4107542399, 4107542400, 1785501296, 253402300799};
    for (size_t i = 0; i < sizeof moments / sizeof moments[0] + 20000; i++) {
        int64_t seconds = i < 10 ? moments[i] : (int64_t)(i - 10) * 200003;
        struct tm parts;
        time_t as_time = (time_t)seconds;
        if (as_time != seconds)
            continue; /* libc's ends in 2038 here, ours does not */
        gmtime_r(&as_time, &parts);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.007Z", &parts);
        start(sizeof buffer);
        grace_log_add_time(&text, seconds, 7);
        ck_assert_str_eq(buffer, expected);
    }
}
END_TEST

START_TEST(names_signals_both_ways)
{
    char name[GRACE_SIGNAL_NAME_MAX];
    ck_assert_str_eq(grace_signal_name(SIGTERM, name), "TERM");
    ck_assert_str_eq(grace_signal_name(SIGABRT, name), "ABRT");
    ck_assert_str_eq(grace_signal_name(0, name), "");
    ck_assert_str_eq(grace_signal_name(32, name), "32");
    ck_assert_str_eq(grace_signal_name(37, name), "RTMIN+3");
    for (int signo = 1; signo <= 31; signo++) {
        ck_assert_str_eq(grace_signal_name(signo, name),
                         signo == SIGPOLL ? "IO" : sigabbrev_np(signo));
        ck_assert_int_eq(grace_signal_find(name), signo);
    }
    for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
        ck_assert_int_eq(grace_signal_find(grace_signal_name(signo, name)), signo);
    ck_assert_str_eq(grace_signal_name(-1, name), "");
    ck_assert_str_eq(grace_signal_name(65, name), "");
    ck_assert_int_eq(grace_signal_find(""), 0);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("text");
    TCase *cases = tcase_create("text");
    tcase_add_test(cases, formats_as_printf_does);
    tcase_add_test(cases, copies_unknown_conversions);
    tcase_add_test(cases, cuts_and_stays_ended_at_every_size);
    tcase_add_test(cases, adds_nothing_after_a_cut);
    tcase_add_loop_test(cases, escapes_what_could_do_harm, 0,
                        (int)(sizeof escapes / sizeof escapes[0]));
    tcase_add_test(cases, never_cuts_an_escape);
    tcase_add_test(cases, keeps_errno);
    tcase_add_test(cases, tells_the_time_as_libc_does);
    tcase_add_test(cases, names_signals_both_ways);
    suite_add_tcase(tests, cases);
    return tests;
}
