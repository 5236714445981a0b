/* What the plugins that talk to others share: values in options, and secrets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../suite.h"
#include "hooks/parts/expand.h"
#include "hooks/parts/secret.h"

static struct grace_error error = {.size = sizeof error};

/* ---- values ---------------------------------------------------------------------------------- */

#define NASTY "a \"b\"\\\n\x01\xff/&"

static const struct {
    const char *text;
    enum grace_escape escape;
    const char *expected; /* NULL: refused */
} values[] = {
    {"", GRACE_ESCAPE_NONE, ""},
    {"no value", GRACE_ESCAPE_URL, "no value"},
    {"${X}", GRACE_ESCAPE_NONE, "x"},
    {"<${X}${X}>", GRACE_ESCAPE_NONE, "<xx>"},
    {"${NASTY}", GRACE_ESCAPE_NONE, NASTY},
    {"${NASTY}", GRACE_ESCAPE_LINE, "a \"b\"\\  \xff/&"},
    {"\"${NASTY}\"", GRACE_ESCAPE_JSON, "\"a \\\"b\\\"\\\\\\n\\u0001\xef\xbf\xbd/&\""},
    {"?a=${NASTY}", GRACE_ESCAPE_URL, "?a=a%20%22b%22%5C%0A%01%FF%2F%26"},
    {"${EMPTY}", GRACE_ESCAPE_NONE, ""},
    {"${EMPTY:-none}", GRACE_ESCAPE_NONE, "none"},
    {"${X:-none}", GRACE_ESCAPE_NONE, "x"},
    {"${ABSENT:-}", GRACE_ESCAPE_NONE, ""},
    {"${ABSENT:-a:-b \"c\"}", GRACE_ESCAPE_JSON, "a:-b \"c\""},
    {"${GRACE_SIGNAL}", GRACE_ESCAPE_NONE, ""}, /* of the story, and not set: nothing */
    {"$$ $$$$ $ $x ${X}$", GRACE_ESCAPE_NONE, "$ $$ $ $x x$"},
    {"$${X}", GRACE_ESCAPE_NONE, "${X}"},
    {"${ABSENT}", GRACE_ESCAPE_NONE, NULL},
    {"a ${", GRACE_ESCAPE_NONE, NULL},
    {"${}", GRACE_ESCAPE_NONE, NULL},
    {"${X", GRACE_ESCAPE_NONE, NULL},
    {"${1}", GRACE_ESCAPE_NONE, NULL},
    {"${X:y}", GRACE_ESCAPE_NONE, NULL},
    {"${GRACE_SINGAL}", GRACE_ESCAPE_NONE, NULL},
};

START_TEST(values_are_put_in_and_escaped)
{
    setenv("X", "x", 1);
    setenv("EMPTY", "", 1);
    setenv("NASTY", NASTY, 1);
    unsetenv("ABSENT");
    unsetenv("GRACE_SIGNAL");
    char *text = grace_expand("o", values[_i].text, values[_i].escape, &error);
    if (values[_i].expected != NULL) {
        ck_assert_msg(text != NULL, "%s", error.text);
        ck_assert_str_eq(text, values[_i].expected);
        ck_assert_int_eq(grace_expand_check("o", values[_i].text, &error), 0);
    } else {
        ck_assert_ptr_null(text);
        ck_assert_ptr_nonnull(strstr(error.text, "option \"o\""));
    }
    free(text);
}
END_TEST

START_TEST(what_cannot_be_known_before_the_stop_is_no_error_before_it)
{
    unsetenv("ABSENT");
    ck_assert_int_eq(grace_expand_check("o", "${ABSENT}", &error), 0);
    ck_assert_int_eq(grace_expand_check("o", "${X} ${GRACE_SINGAL}", &error), -1);
    ck_assert_int_eq(grace_expand_check("o", "${X} ${", &error), -1);
}
END_TEST

START_TEST(long_values_have_room_and_endless_ones_an_end)
{
    static char large[60001];
    memset(large, '"', 60000);
    setenv("LARGE", large, 1);
    char *text = grace_expand("o", "${LARGE}", GRACE_ESCAPE_JSON, &error);
    ck_assert_msg(text != NULL, "%s", error.text);
    ck_assert_uint_eq(strlen(text), 120000);
    free(text);
    char many[30 * 8 + 1] = "";
    for (int i = 0; i < 30; i++)
        strcat(many, "${LARGE}");
    ck_assert_ptr_null(grace_expand("o", many, GRACE_ESCAPE_NONE, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "too long"));
}
END_TEST

/* ---- secrets --------------------------------------------------------------------------------- */

static const struct {
    const char *content;
    size_t length;
    unsigned mode;
    const char *secret, *refused; /* one of them */
} secrets[] = {
    {"pass word", 9, 0600, "pass word", NULL},
    {"pass\n", 5, 0600, "pass", NULL},
    {"pass\r\n", 6, 0400, "pass", NULL},
    {"pass", 4, 0640, "pass", NULL},
    {"pass", 4, 0644, NULL, "open to others (mode 0644)"},
    {"pass", 4, 0604, NULL, "open to others"},
    {"pass", 4, 0602, NULL, "open to others"},
    {"pass", 4, 0660, NULL, "open to others"},
    {"", 0, 0600, NULL, "is empty"},
    {"pa\0ss", 5, 0600, NULL, "zero byte"},
};

START_TEST(a_secret_is_read_when_it_is_one)
{
    char path[] = "/tmp/grace-secret-XXXXXX";
    int fd = mkstemp(path);
    size_t length = secrets[_i].length;
    ck_assert_int_eq(write(fd, secrets[_i].content, length), (ssize_t)length);
    fchmod(fd, secrets[_i].mode);
    close(fd);
    char *secret = grace_secret_read("o", path, &error);
    if (secrets[_i].secret != NULL) {
        ck_assert_msg(secret != NULL, "%s", error.text);
        ck_assert_str_eq(secret, secrets[_i].secret);
        ck_assert_int_eq(grace_secret_check("o", path, &error), 0);
    } else {
        ck_assert_ptr_null(secret);
        ck_assert_msg(strstr(error.text, secrets[_i].refused) != NULL, "%s", error.text);
        ck_assert_ptr_null(strstr(error.text, "pass"));
    }
    grace_secret_free(secret);
    unlink(path);
}
END_TEST

START_TEST(what_is_no_file_is_no_secret)
{
    char folder[] = "/tmp/grace-secret-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/fifo", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_ptr_null(grace_secret_read("o", path, &error)); /* and nobody waited for a writer */
    ck_assert_ptr_nonnull(strstr(error.text, "no regular file"));
    unlink(path);
    ck_assert_ptr_null(grace_secret_read("o", path, &error));
    ck_assert_int_eq(grace_secret_check("o", path, &error), -1);
    ck_assert_int_eq(grace_secret_check("o", folder, &error), -1);
    ck_assert_int_eq(grace_secret_check("o", "relative", &error), -1);
    rmdir(folder);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("parts");
    TCase *cases = tcase_create("parts");
    tcase_add_loop_test(cases, values_are_put_in_and_escaped, 0,
                        (int)(sizeof values / sizeof values[0]));
    tcase_add_test(cases, what_cannot_be_known_before_the_stop_is_no_error_before_it);
    tcase_add_test(cases, long_values_have_room_and_endless_ones_an_end);
    tcase_add_loop_test(cases, a_secret_is_read_when_it_is_one, 0,
                        (int)(sizeof secrets / sizeof secrets[0]));
    tcase_add_test(cases, what_is_no_file_is_no_secret);
    suite_add_tcase(tests, cases);
    return tests;
}
