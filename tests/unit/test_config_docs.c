/* The manual and the sample name every key that the parser knows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/plan.h"
#include "tests/suite.h"

static char *load(const char *path)
{
    char *text = calloc(1, 65536);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
    fclose(file);
    return text;
}

/* The parser's own list of the keys of a group: it is part of what it says of an unknown one. */
static char *keys_of(const char *config)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    ck_assert_ptr_null(grace_plan_parse(config, strlen(config), "t", &problems));
    const char *list = strstr(problems.list[0].text, "expected one of: ");
    ck_assert_msg(list != NULL, "no list of keys in: %s", problems.list[0].text);
    char *keys = strdup(list + strlen("expected one of: "));
    grace_problems_free(&problems);
    return keys;
}

static const struct {
    const char *config;
    size_t count;
} groups[] = {{"zzzzzzzz = 1;", 16},
              {"log = { zzzzzzzz = 1; };", 4},
              {"drain = { zzzzzzzz = 1; };", 5},
              {"hooks = ( { name = \"a\"; plugin = \"p\"; zzzzzzzz = 1; } );", 10}};

START_TEST(every_key_is_in_the_manual_and_in_the_sample)
{
    char *manual = load(GRACE_SOURCE "/config/grace.conf.5"), *keys = keys_of(groups[_i].config);
    char *sample = load(GRACE_SOURCE "/config/grace.conf.example"), *rest = NULL;
    size_t count = 0;
    for (char *key = strtok_r(keys, ", ", &rest); key; key = strtok_r(NULL, ", ", &rest), count++) {
        char entry[64], setting[64];
        snprintf(entry, sizeof entry, ".It Ic %s No =", key);
        snprintf(setting, sizeof setting, "%s = ", key);
        ck_assert_msg(strstr(manual, entry) != NULL, "%s is not in the manual", key);
        if (strcmp(key, "path") != 0) /* of the log: only with to = "file" */
            ck_assert_msg(strstr(sample, setting) != NULL, "%s is not in the sample", key);
    }
    ck_assert_uint_eq(count, groups[_i].count);
    free(manual);
    free(sample);
    free(keys);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("config docs");
    TCase *c = tcase_create("docs");
    tcase_add_loop_test(c, every_key_is_in_the_manual_and_in_the_sample, 0,
                        (int)(sizeof groups / sizeof groups[0]));
    suite_add_tcase(s, c);
    return s;
}
