/* Durations: what is one, what is not, and how they are written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/duration.h"
#include "tests/suite.h"

static const struct {
    const char *text;
    int result;
    uint32_t milliseconds;
} durations[] = {
    {"30s", 0, 30000},
    {"0s", 0, 0},
    {"0ms", 0, 0},
    {"250ms", 0, 250},
    {"1m30s", 0, 90000},
    {"2h", 0, 7200000},
    {"1h1m1s1ms", 0, 3661001},
    {"1.5s", 0, 1500},
    {"0.001s", 0, 1},
    {"0.25h", 0, 900000},
    {"1.5m30s", 0, 120000},
    {"0.33333333333333333333s", 0, 333},
    {"0.9ms", 0, 0},
    {"007s", 0, 7000},
    {"90s", 0, 90000},
    {"168h", 0, GRACE_DURATION_MAX_MS},
    {"167h60m", 0, GRACE_DURATION_MAX_MS},
    {"168h1ms", -ERANGE, 0},
    {"169h", -ERANGE, 0},
    {"99999999999999999999999999999999999999999s", -ERANGE, 0},
    {"18446744073709551616ms", -ERANGE, 0},
    {"18446744073709551616h", -ERANGE, 0},
    {"99999999999999999999h1m1s", -ERANGE, 0},
    {"", -EINVAL, 0},
    {"30", -EINVAL, 0},
    {"s", -EINVAL, 0},
    {"30 s", -EINVAL, 0},
    {" 30s", -EINVAL, 0},
    {"30s ", -EINVAL, 0},
    {"-30s", -EINVAL, 0},
    {"+30s", -EINVAL, 0},
    {"30S", -EINVAL, 0},
    {"30sec", -EINVAL, 0},
    {"30d", -EINVAL, 0},
    {"30us", -EINVAL, 0},
    {"1s1m", -EINVAL, 0},
    {"1s1s", -EINVAL, 0},
    {"1ms1s", -EINVAL, 0},
    {"1m30", -EINVAL, 0},
    {".5s", -EINVAL, 0},
    {"1.s", -EINVAL, 0},
    {"1..5s", -EINVAL, 0},
    {"1.5.5s", -EINVAL, 0},
    {"1,5s", -EINVAL, 0},
    {"1e3s", -EINVAL, 0},
    {"0x10s", -EINVAL, 0},
    {"infs", -EINVAL, 0},
    {"99999999999999999999999999999999999999999", -EINVAL, 0},
    {"200h1x", -EINVAL, 0},
    {"\xc3\xa9s", -EINVAL, 0},
};

START_TEST(a_duration_is_read_or_refused)
{
    uint32_t milliseconds = 4242;
    int result = grace_duration_parse(durations[_i].text, &milliseconds);
    ck_assert_msg(result == durations[_i].result, "\"%s\": result %d, expected %d",
                  durations[_i].text, result, durations[_i].result);
    if (result == 0)
        ck_assert_msg(milliseconds == durations[_i].milliseconds, "\"%s\": %u, expected %u",
                      durations[_i].text, milliseconds, durations[_i].milliseconds);
    else
        ck_assert_msg(milliseconds == 4242, "\"%s\": changed to %u", durations[_i].text,
                      milliseconds);
}
END_TEST

static const struct {
    uint64_t milliseconds;
    const char *text;
} written[] = {
    {0, "0s"},
    {1, "1ms"},
    {250, "250ms"},
    {1000, "1s"},
    {1500, "1s500ms"},
    {90000, "1m30s"},
    {3600000, "1h"},
    {3661001, "1h1m1s1ms"},
    {60001, "1m1ms"},
    {604800000, "168h"},
    {UINT64_MAX, "5124095576030h25m51s615ms"},
};

START_TEST(a_duration_is_written_as_a_person_would)
{
    char buffer[64];
    size_t length = grace_duration_format(written[_i].milliseconds, buffer, sizeof buffer);
    ck_assert_str_eq(buffer, written[_i].text);
    ck_assert_uint_eq(length, strlen(written[_i].text));
}
END_TEST

START_TEST(what_is_written_can_be_read)
{
    char buffer[64];
    for (uint32_t i = 1; i <= GRACE_DURATION_MAX_MS - i; i = i * 3 + 7) {
        uint32_t back = 0;
        grace_duration_format(i, buffer, sizeof buffer);
        ck_assert_int_eq(grace_duration_parse(buffer, &back), 0);
        ck_assert_uint_eq(back, i);
    }
}
END_TEST

START_TEST(a_text_that_does_not_fit_is_cut)
{
    char buffer[8] = "xxxxxxx";
    ck_assert_uint_eq(grace_duration_format(3661001, buffer, 5), 4);
    ck_assert_str_eq(buffer, "1h1m");
    ck_assert_int_eq(buffer[5], 'x');
    ck_assert_uint_eq(grace_duration_format(3661001, buffer, 0), 0);
    ck_assert_str_eq(buffer, "1h1m");
    ck_assert_uint_eq(grace_duration_format(3661001, buffer, 1), 0);
    ck_assert_str_eq(buffer, "");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("duration");
    TCase *c = tcase_create("duration");
    tcase_add_loop_test(c, a_duration_is_read_or_refused, 0,
                        (int)(sizeof durations / sizeof durations[0]));
    tcase_add_loop_test(c, a_duration_is_written_as_a_person_would, 0,
                        (int)(sizeof written / sizeof written[0]));
    tcase_add_test(c, what_is_written_can_be_read);
    tcase_add_test(c, a_text_that_does_not_fit_is_cut);
    suite_add_tcase(s, c);
    return s;
}
