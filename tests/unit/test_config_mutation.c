/* The sample config, damaged in thousands of ways: each ends in a plan or in a problem. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/plan.h"
#include "tests/suite.h"

#define ROUNDS 4000

static uint64_t state;

/* splitmix64: the same numbers for the same seed everywhere. */
static uint64_t next(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t below(size_t limit)
{
    return (size_t)(next() % limit);
}

static char *sample;
static size_t sample_length;

static void load_sample(void)
{
    FILE *file = fopen(GRACE_SOURCE "/config/grace.conf.example", "r");
    ck_assert_ptr_nonnull(file);
    sample = malloc(65536);
    sample_length = fread(sample, 1, 65536, file);
    ck_assert_uint_gt(sample_length, 1000);
    ck_assert_uint_lt(sample_length, 65536 / 2);
    fclose(file);
}

/* One change: a byte set, flipped or removed, a piece removed or doubled, a mark put in. */
static size_t damage(char *text, size_t length, size_t room)
{
    static const char marks[] = "\"\"\"{}()[]=:;,#/*\\\n\r\t.@+-0L\0\x7f\x80\xff";
    size_t at = below(length), piece = 1 + below(length - at < 40 ? length - at : 40);
    switch (below(6)) {
    case 0:
        text[at] = (char)next();
        return length;
    case 1:
        text[at] = (char)(text[at] ^ (1 << below(8)));
        return length;
    case 2:
        memmove(text + at, text + at + 1, length - at - 1);
        return length - 1;
    case 3:
        memmove(text + at, text + at + piece, length - at - piece);
        return length - piece;
    case 4:
        if (length + piece > room)
            return length;
        memmove(text + at + piece, text + at, length - at);
        return length + piece;
    default:
        if (length + 1 > room)
            return length;
        memmove(text + at + 1, text + at, length - at);
        text[at] = marks[below(sizeof marks - 1)];
        return length + 1;
    }
}

/* Touch all that a plan points to, so that a sanitizer sees what is not there. */
static size_t walk(const struct grace_plan *plan)
{
    size_t sum = strlen(plan->file) + plan->deadline_ms;
    for (size_t i = 0; plan->programs != NULL && plan->programs[i] != NULL; i++)
        sum += strlen(plan->programs[i]);
    for (size_t i = 0; i < plan->hook_count; i++) {
        const struct grace_hook_plan *hook = &plan->hooks[plan->order[i]];
        sum += strlen(hook->name) + strlen(hook->file) + hook->causes;
        ck_assert((hook->command != NULL) != (hook->plugin != NULL));
        for (size_t k = 0; hook->command != NULL && hook->command[k] != NULL; k++)
            sum += strlen(hook->command[k]);
        for (size_t k = 0; k < hook->option_count; k++)
            sum += strlen(hook->options[k].name);
    }
    return sum;
}

START_TEST(a_damaged_config_gives_a_plan_or_a_problem)
{
    size_t room = 65536, plans = 0, sum = 0;
    char *text = malloc(room);
    load_sample();
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t seed = state = (uint64_t)round;
        size_t length = sample_length;
        memcpy(text, sample, length);
        for (size_t changes = 1 + below(8); changes > 0 && length > 1; changes--)
            length = damage(text, length, room);
        /* An exact copy: a sanitizer then sees a read behind its end. */
        char *exact = malloc(length); /* NOLINT(*UnixAPI): of no bytes, too */
        memcpy(exact, text, length);

        struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
        struct grace_plan *plan = grace_plan_parse(exact, length, "sample", &problems);
        ck_assert_msg((plan != NULL) == (problems.fatal == 0), "seed %llu: plan %d, %zu problems",
                      (unsigned long long)seed, plan != NULL, problems.count);
        for (size_t i = 0; i < problems.count; i++)
            ck_assert_msg(problems.list[i].text[0] != '\0', "seed %llu: a problem without words",
                          (unsigned long long)seed);
        if (plan != NULL) {
            plans++;
            sum += walk(plan);
            grace_plan_review(plan, &problems);
        }
        grace_plan_free(plan);
        grace_problems_free(&problems);
        free(exact);
    }
    printf("%d damaged configs: %zu still a plan (%zu)\n", ROUNDS, plans, sum);
    /* Damage in a comment leaves a plan: were it never so, or always, nothing would be tested. */
    ck_assert_uint_gt(plans, 50);
    ck_assert_uint_lt(plans, ROUNDS - 500);
    free(text);
    free(sample);
}
END_TEST

START_TEST(a_config_cut_anywhere_gives_a_plan_or_a_problem)
{
    load_sample();
    for (size_t length = 0; length <= sample_length; length++) {
        struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
        char *exact = malloc(length + (length == 0));
        memcpy(exact, sample, length);
        struct grace_plan *plan = grace_plan_parse(exact, length, "sample", &problems);
        ck_assert_msg((plan != NULL) == (problems.fatal == 0), "cut at %zu", length);
        grace_plan_free(plan);
        grace_problems_free(&problems);
        free(exact);
    }
    free(sample);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("config mutation");
    TCase *c = tcase_create("mutation");
    tcase_add_test(c, a_damaged_config_gives_a_plan_or_a_problem);
    tcase_add_test(c, a_config_cut_anywhere_gives_a_plan_or_a_problem);
    suite_add_tcase(s, c);
    return s;
}
