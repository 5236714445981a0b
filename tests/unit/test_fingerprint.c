/* The fingerprint of a plan: the same for the same hooks, another for any other. */
#include "config/fingerprint.h"

#include <stdio.h>
#include <string.h>

#include "../suite.h"

static uint64_t fingerprint_of(const char *text)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_parse(text, strlen(text), "t.conf", &problems);
    ck_assert_msg(plan != NULL && problems.count == 0, "%s", text);
    uint64_t result = grace_plan_fingerprint(plan);
    grace_plan_free(plan);
    grace_problems_free(&problems);
    return result;
}

#define HOOK(more) "hooks = ( { name = \"a\"; " more " } );"

/* No two of these owe the same work. */
static const char *const plans[] = {
    "",
    HOOK("command = [\"/bin/true\"];"),
    HOOK("command = [\"/bin/true\", \"x\"];"),
    HOOK("command = [\"/bin/true\"]; phase = \"cleanup\";"),
    HOOK("command = [\"/bin/true\"]; causes = [\"crash\"];"),
    HOOK("command = [\"/bin/true\"]; user = \"nobody\";"),
    HOOK("command = [\"/bin/true\"]; timeout = \"6s\";"),
    HOOK("command = [\"/bin/true\"]; retries = 1;"),
    HOOK("command = [\"/bin/true\"]; on_failure = \"abort\";"),
    HOOK("plugin = \"http\";"),
    HOOK("plugin = \"http\"; retries = 1;"),
    HOOK("plugin = \"http\"; options = { };"
         "}, { name = \"b\"; plugin = \"http\"; "),
    HOOK("plugin = \"http\"; options = { url = \"http://a\"; };"),
    HOOK("plugin = \"http\"; options = { url = \"http://b\"; };"),
    HOOK("plugin = \"http\"; options = { lru = \"http://b\"; };"),
    HOOK("plugin = \"http\"; options = { url = 1; };"),
    HOOK("plugin = \"http\"; options = { url = 1.0; };"),
    HOOK("plugin = \"http\"; options = { url = 1.5; };"),
    HOOK("plugin = \"http\"; options = { url = true; };"),
    HOOK("plugin = \"http\"; options = { url = false; };"),
    HOOK("plugin = \"http\"; options = { url = [\"a\", \"b\"]; };"),
    HOOK("plugin = \"http\"; options = { url = [\"ab\"]; };"),
    HOOK("plugin = \"http\"; options = { url = [\"a\"]; b = [\"b\"]; };"),
};
#define PLANS (sizeof plans / sizeof plans[0])

START_TEST(another_hook_has_another_fingerprint)
{
    uint64_t seen[PLANS];
    for (size_t i = 0; i < PLANS; i++) {
        seen[i] = fingerprint_of(plans[i]);
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(seen[i] != seen[k], "%s and %s", plans[i], plans[k]);
    }
}
END_TEST

/* What is no part of what is owed may change before it is recovered. */
START_TEST(the_same_hooks_have_the_same)
{
    uint64_t one = fingerprint_of(plans[12]);
    ck_assert_uint_eq(fingerprint_of(HOOK("\n# a comment\nplugin = \"http\"; phase = \"stop\"; "
                                          "options = { url = \"http://\" \"a\"; };")),
                      one);
    char text[512];
    snprintf(text, sizeof text, "deadline = \"9s\"; log = { level = \"debug\"; }; %s", plans[12]);
    ck_assert_uint_eq(fingerprint_of(text), one);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("fingerprint");
    TCase *cases = tcase_create("fingerprint");
    tcase_add_test(cases, another_hook_has_another_fingerprint);
    tcase_add_test(cases, the_same_hooks_have_the_same);
    suite_add_tcase(tests, cases);
    return tests;
}
