/* hooks/command.h: the story of a stop in a command's environment. */
#include "../suite.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "hooks/command.h"

static int64_t remaining(void *context)
{
    (void)context;
    return 1234;
}

static struct grace_stop a_stop(void)
{
    return (struct grace_stop){.size = sizeof(struct grace_stop),
                               .program = "legacyd",
                               .hook = "save",
                               .phase = "stop",
                               .cause = "signal",
                               .pid = 42,
                               .signo = SIGTERM,
                               .exit_status = -1,
                               .sender_pid = 7,
                               .sender_uid = 0,
                               .attempt = 2,
                               .remaining_ms = remaining};
}

static const char *find(char *const *envp, const char *name)
{
    const char *found = NULL;
    for (size_t length = strlen(name); *envp != NULL; envp++) {
        if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=') {
            ck_assert_msg(found == NULL, "%s twice", name);
            found = *envp + length + 1;
        }
    }
    return found;
}

static struct grace_environment environment;

START_TEST(tells_the_story_of_the_stop)
{
    char *base[] = {"A=1", "GRACE_PID=1", "EXIT_CODE=old", "B=2", "GRACE_CONFIG=/x", NULL};
    struct grace_stop stop = a_stop();
    stop.hooks_done = 2;
    stop.hooks_failed = 1;
    stop.connections_cut = 3;
    char *const *envp = grace_environment_fill(&environment, base, &stop);
    const char *const expected[][2] = {
        {"A", "1"},
        {"B", "2"},
        {"GRACE_CONFIG", "/x"},
        {"GRACE_PID", "42"},
        {"GRACE_CAUSE", "signal"},
        {"GRACE_SIGNAL", "TERM"},
        {"GRACE_EXIT_STATUS", ""},
        {"GRACE_HOOK", "save"},
        {"GRACE_PHASE", "stop"},
        {"GRACE_PROGRAM", "legacyd"},
        {"GRACE_REMAINING_MS", "1234"},
        {"GRACE_ATTEMPT", "2"},
        {"GRACE_SENDER_PID", "7"},
        {"GRACE_SENDER_UID", "0"},
        {"GRACE_GONE", "0"},
        {"GRACE_DURATION_MS", "0"},
        {"GRACE_HOOKS_DONE", "2"},
        {"GRACE_HOOKS_FAILED", "1"},
        {"GRACE_HOOKS_SKIPPED", "0"},
        {"GRACE_CONNECTIONS_FINISHED", "0"},
        {"GRACE_CONNECTIONS_CUT", "3"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        ck_assert_str_eq(find(envp, expected[i][0]), expected[i][1]);
}
END_TEST

/* The table of systemd.exec(5). */
static const struct {
    int signo, exit_status, core_dumped;
    const char *result, *code, *status;
} systemd[] = {
    {0, 0, 0, "success", "exited", "0"},
    {0, 42, 0, "exit-code", "exited", "42"},
    {SIGTERM, -1, 0, "success", "killed", "TERM"},
    {SIGHUP, -1, 0, "success", "killed", "HUP"},
    {SIGKILL, -1, 0, "signal", "killed", "KILL"},
    {SIGSEGV, -1, 1, "core-dump", "dumped", "SEGV"},
    {SIGTERM, 143, 0, "exit-code", "exited", "143"},
    {37, -1, 0, "signal", "killed", "RTMIN+3"},
    {0, -1, 0, NULL, NULL, NULL},
};

static void check_same(const char *value, const char *expected)
{
    if (expected == NULL)
        ck_assert_ptr_null(value);
    else
        ck_assert_str_eq(value, expected);
}

START_TEST(speaks_as_systemd_does)
{
    struct grace_stop stop = a_stop();
    stop.signo = systemd[_i].signo;
    stop.exit_status = systemd[_i].exit_status;
    stop.core_dumped = systemd[_i].core_dumped;
    char *const *envp = grace_environment_fill(&environment, NULL, &stop);
    check_same(find(envp, "SERVICE_RESULT"), systemd[_i].result);
    check_same(find(envp, "EXIT_CODE"), systemd[_i].code);
    check_same(find(envp, "EXIT_STATUS"), systemd[_i].status);
}
END_TEST

static const char *const preloads[][2] = {
    {"LD_PRELOAD=/usr/lib/libgrace.so", NULL},
    {"LD_PRELOAD=libgrace.so", NULL},
    {"LD_PRELOAD=/x/libgrace.so:/y/libgrace-db.so", NULL},
    {"LD_PRELOAD=/x/libjemalloc.so:/usr/lib/libgrace.so.0", "/x/libjemalloc.so"},
    {"LD_PRELOAD=/x/libgrace.so  a.so", "a.so"},
    {"LD_PRELOAD=a.so libgrace.so b.so", "a.so:b.so"},
    {"LD_PRELOAD=libgraceful.so", "libgraceful.so"},
    {"LD_PRELOAD=", NULL},
};

START_TEST(takes_itself_out_of_ld_preload)
{
    char variable[128], *base[] = {variable, NULL};
    snprintf(variable, sizeof variable, "%s", preloads[_i][0]);
    struct grace_stop stop = a_stop();
    check_same(find(grace_environment_fill(&environment, base, &stop), "LD_PRELOAD"),
               preloads[_i][1]);
    ck_assert_str_eq(variable, preloads[_i][0]);
}
END_TEST

START_TEST(drops_what_is_too_much_but_never_its_own)
{
    static char *base[20000], hook[5000];
    for (size_t i = 0; i < 19999; i++)
        base[i] = "LD_PRELOAD=a_preload_that_has_to_be_copied_every_time.so" + (i % 2 ? 0 : 3);
    memset(hook, 'h', sizeof hook - 1);
    struct grace_stop stop = a_stop();
    stop.hook = hook;
    char *const *envp = grace_environment_fill(&environment, base, &stop);
    size_t count = 0;
    for (; envp[count] != NULL; count++) {
        if (count < 21) /* our own come first */
            continue;
        ck_assert_msg(strstr(envp[count], "PRELOAD=a_preload") != NULL, "%s", envp[count]);
    }
    ck_assert_uint_gt(count, 500);
    ck_assert_uint_eq(strlen(find(envp, "GRACE_HOOK")), 1000);
    ck_assert_str_eq(find(envp, "EXIT_STATUS"), "TERM");
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("environment");
    TCase *story = tcase_create("environment");
    tcase_add_test(story, tells_the_story_of_the_stop);
    tcase_add_loop_test(story, speaks_as_systemd_does, 0,
                        (int)(sizeof systemd / sizeof systemd[0]));
    tcase_add_loop_test(story, takes_itself_out_of_ld_preload, 0,
                        (int)(sizeof preloads / sizeof preloads[0]));
    tcase_add_test(story, drops_what_is_too_much_but_never_its_own);
    suite_add_tcase(tests, story);
    return tests;
}
