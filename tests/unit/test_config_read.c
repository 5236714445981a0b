/* What a good config says is in the plan, and what it does not say has its default. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/plan.h"
#include "tests/suite.h"

static struct grace_problems problems;

static struct grace_plan *parse(const char *text)
{
    problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_parse(text, strlen(text), "t.conf", &problems);
    if (plan == NULL || problems.count > 0)
        for (size_t i = 0; i < problems.count; i++)
            printf("    %u: %s\n", problems.list[i].line, problems.list[i].text);
    ck_assert_msg(plan != NULL, "no plan from: %s", text);
    ck_assert_uint_eq(problems.count, 0);
    return plan;
}

static uint64_t set(int a, int b, int c, int d)
{
    int all[] = {a, b, c, d};
    uint64_t bits = 0;
    for (size_t i = 0; i < 4; i++)
        if (all[i] != 0)
            bits |= GRACE_SIGNAL_BIT(all[i]);
    return bits;
}

static void assert_defaults(const struct grace_plan *plan)
{
    ck_assert_uint_eq(plan->deadline_ms, 30000);
    ck_assert_uint_eq(plan->signals, set(SIGTERM, SIGINT, SIGHUP, SIGQUIT));
    ck_assert_uint_eq(plan->chain, set(SIGTERM, SIGQUIT, 0, 0));
    ck_assert(!plan->enforce);
    for (int i = 0; i < 65; i++)
        ck_assert_int_eq(plan->deliver[i], 0);
    ck_assert_int_eq(plan->second_signal, GRACE_SECOND_FORCE);
    ck_assert_int_eq(plan->end, GRACE_END_SAME);
    ck_assert_ptr_null(plan->programs);
    ck_assert_int_eq(plan->guardian, GRACE_AUTO);
    ck_assert(plan->daemonize);
    ck_assert_ptr_null(plan->pidfile);
    ck_assert_ptr_null(plan->state_dir);
    ck_assert_ptr_null(plan->metrics);
    ck_assert_int_eq(plan->log.sink, GRACE_LOG_STDERR);
    ck_assert_ptr_null(plan->log.path);
    ck_assert_int_eq(plan->log.level, GRACE_LOG_INFO);
    ck_assert_int_eq(plan->log.format, GRACE_LOG_TEXT);
    ck_assert_int_eq(plan->drain.when, GRACE_DRAIN_AUTO);
    ck_assert_uint_eq(plan->drain.hold_ms, 0);
    ck_assert_uint_eq(plan->drain.timeout_ms, 20000);
    ck_assert_uint_eq(plan->drain.idle_ms, 100);
    ck_assert(plan->drain.http);
    ck_assert_uint_eq(plan->hook_count, 0);
}

START_TEST(without_a_file_there_are_defaults)
{
    const struct grace_plan *plan = grace_plan_default();
    ck_assert_ptr_nonnull(plan);
    assert_defaults(plan);
    ck_assert_ptr_null(plan->file);
    grace_plan_free(plan);
    grace_plan_free(NULL);
}
END_TEST

static const char *const empty[] = {
    "",
    "\n",
    "# no newline",
    "// x",
    "/* x\n*/",
    "\xef\xbb\xbf# marked by an editor\r\n",
    "hooks = ();",
    "hooks = [];",
};

START_TEST(an_empty_config_has_the_defaults)
{
    struct grace_plan *plan = parse(empty[_i]);
    assert_defaults(plan);
    ck_assert_str_eq(plan->file, "t.conf");
    grace_plan_free(plan);
}
END_TEST

START_TEST(every_key_of_the_file_is_read)
{
    struct grace_plan *plan = parse("deadline = \"1m30s\"\n"
                                    "signals = (\"term\", \"SIGUSR1\", \"rtmin+3\"),\n"
                                    "chain : [\"UsR1\"];\r\n"
                                    "enforce = TRUE;\n"
                                    "deliver = { TERM = \"QUIT\"; USR1 = \"SIGWINCH\"; };\n"
                                    "second_signal = \"ignore\"; end = 143;\n"
                                    "programs = [\"legacyd\", \"/opt/x\"];\n"
                                    "guardian = \"off\"; daemonize = \"never\";\n"
                                    "pidfile = \"/run/\" \"x.pid\";\n"
                                    "state_dir = \"/var/lib/grace\"; metrics = \"/m.prom\";\n"
                                    "log = { to = \"file\"; path = \"/var/log/x\"; level = "
                                    "\"debug\"; format = \"json\"; };\n"
                                    "drain = { when = \"always\"; hold = \"5s\"; timeout = \"1m\"; "
                                    "idle = \"1ms\"; http = false; };");
    ck_assert_uint_eq(plan->deadline_ms, 90000);
    ck_assert_uint_eq(plan->signals, set(SIGTERM, SIGUSR1, SIGRTMIN + 3, 0));
    ck_assert_uint_eq(plan->chain, set(SIGUSR1, 0, 0, 0));
    ck_assert(plan->enforce);
    ck_assert_int_eq(plan->deliver[SIGTERM], SIGQUIT);
    ck_assert_int_eq(plan->deliver[SIGUSR1], SIGWINCH);
    ck_assert_int_eq(plan->deliver[SIGINT], 0);
    ck_assert_int_eq(plan->second_signal, GRACE_SECOND_IGNORE);
    ck_assert_int_eq(plan->end, GRACE_END_STATUS);
    ck_assert_int_eq(plan->end_status, 143);
    ck_assert_str_eq(plan->programs[0], "legacyd");
    ck_assert_str_eq(plan->programs[1], "/opt/x");
    ck_assert_ptr_null(plan->programs[2]);
    ck_assert_int_eq(plan->guardian, GRACE_OFF);
    ck_assert(!plan->daemonize);
    ck_assert_str_eq(plan->pidfile, "/run/x.pid");
    ck_assert_str_eq(plan->state_dir, "/var/lib/grace");
    ck_assert_str_eq(plan->metrics, "/m.prom");
    ck_assert_int_eq(plan->log.sink, GRACE_LOG_FILE);
    ck_assert_str_eq(plan->log.path, "/var/log/x");
    ck_assert_int_eq(plan->log.level, GRACE_LOG_DEBUG);
    ck_assert_int_eq(plan->log.format, GRACE_LOG_JSON);
    ck_assert_int_eq(plan->drain.when, GRACE_DRAIN_ALWAYS);
    ck_assert_uint_eq(plan->drain.hold_ms, 5000);
    ck_assert_uint_eq(plan->drain.timeout_ms, 60000);
    ck_assert_uint_eq(plan->drain.idle_ms, 1);
    ck_assert(!plan->drain.http);
    grace_plan_free(plan);
}
END_TEST

START_TEST(end_may_be_exit_or_any_status)
{
    static const struct {
        const char *text;
        enum grace_end end;
        int status;
    } ends[] = {{"end = \"same\";", GRACE_END_SAME, 0}, {"end = \"exit\";", GRACE_END_EXIT, 0},
                {"end = 0;", GRACE_END_STATUS, 0},      {"end = 255;", GRACE_END_STATUS, 255},
                {"end = 0x7F;", GRACE_END_STATUS, 127}, {"end = 1L;", GRACE_END_STATUS, 1},
                {"end = +3;", GRACE_END_STATUS, 3}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct grace_plan *plan = parse(ends[i].text);
        ck_assert_int_eq(plan->end, ends[i].end);
        ck_assert_int_eq(plan->end_status, ends[i].status);
        grace_plan_free(plan);
    }
}
END_TEST

START_TEST(chain_defaults_to_those_of_its_own_that_are_stop_signals)
{
    struct grace_plan *plan = parse("signals = [\"INT\", \"QUIT\"];");
    ck_assert_uint_eq(plan->chain, set(SIGQUIT, 0, 0, 0));
    grace_plan_free(plan);
    plan = parse("signals = [];");
    ck_assert_uint_eq(plan->signals, 0);
    ck_assert_uint_eq(plan->chain, 0);
    grace_plan_free(plan);
    plan = parse("chain = [];");
    ck_assert_uint_eq(plan->signals, set(SIGTERM, SIGINT, SIGHUP, SIGQUIT));
    ck_assert_uint_eq(plan->chain, 0);
    grace_plan_free(plan);
}
END_TEST

START_TEST(every_signal_that_can_be_a_stop_is_known_by_name)
{
    const struct {
        const char *name;
        int signo;
    } names[] = {{"HUP", SIGHUP},
                 {"INT", SIGINT},
                 {"QUIT", SIGQUIT},
                 {"USR1", SIGUSR1},
                 {"USR2", SIGUSR2},
                 {"PIPE", SIGPIPE},
                 {"ALRM", SIGALRM},
                 {"TERM", SIGTERM},
                 {"XCPU", SIGXCPU},
                 {"XFSZ", SIGXFSZ},
                 {"PROF", SIGPROF},
                 {"IO", SIGIO},
                 {"VTALRM", SIGVTALRM},
                 {"POLL", SIGPOLL},
                 {"PWR", SIGPWR},
                 {"RTMIN", SIGRTMIN},
                 {"RTMAX", SIGRTMAX},
                 {"RTMAX-1", SIGRTMAX - 1},
                 {"RTMIN+30", SIGRTMIN + 30}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "signals = [\"SIG%s\"];", names[i].name);
        struct grace_plan *plan = parse(text);
        ck_assert_uint_eq(plan->signals, GRACE_SIGNAL_BIT(names[i].signo));
        grace_plan_free(plan);
    }
}
END_TEST

START_TEST(every_key_of_a_hook_is_read)
{
    struct grace_plan *plan =
        parse("hooks = (\n"
              "  { name = \"bare\"; command = [\"true\"]; },\n"
              "  { name = \"full\"; phase = \"announce\"; command = (\"/bin/x\", \"\", \"a b\");\n"
              "    timeout = \"1.5s\"; retries = 3; on_failure = \"abort\"; user = \"nobody\";\n"
              "    causes = [\"crash\", \"_exit\"]; },\n"
              "  { name = \"p\xc3\xa9 1\"; plugin = \"redis\"; phase = \"cleanup\"; } );");
    const struct grace_hook_plan *bare = &plan->hooks[0], *full = &plan->hooks[1];
    ck_assert_uint_eq(plan->hook_count, 3);
    ck_assert_str_eq(bare->name, "bare");
    ck_assert_int_eq(bare->phase, GRACE_PHASE_STOP);
    ck_assert_str_eq(bare->command[0], "true");
    ck_assert_ptr_null(bare->command[1]);
    ck_assert_ptr_null(bare->plugin);
    ck_assert_uint_eq(bare->option_count, 0);
    ck_assert_uint_eq(bare->timeout_ms, 5000);
    ck_assert_uint_eq(bare->retries, 0);
    ck_assert(!bare->abort_on_failure);
    ck_assert_ptr_null(bare->user);
    ck_assert_uint_eq(bare->causes, 0xfe);
    ck_assert_str_eq(bare->file, "t.conf");
    ck_assert_uint_eq(bare->line, 2);
    ck_assert_int_eq(full->phase, GRACE_PHASE_ANNOUNCE);
    ck_assert_str_eq(full->command[0], "/bin/x");
    ck_assert_str_eq(full->command[1], "");
    ck_assert_str_eq(full->command[2], "a b");
    ck_assert_ptr_null(full->command[3]);
    ck_assert_uint_eq(full->timeout_ms, 1500);
    ck_assert_uint_eq(full->retries, 3);
    ck_assert(full->abort_on_failure);
    ck_assert_str_eq(full->user, "nobody");
    ck_assert_uint_eq(full->causes,
                      GRACE_CAUSE_BIT(GRACE_CAUSE_CRASH) | GRACE_CAUSE_BIT(GRACE_CAUSE__EXIT));
    ck_assert_uint_eq(full->line, 3);
    ck_assert_str_eq(plan->hooks[2].name, "p\xc3\xa9 1");
    ck_assert_str_eq(plan->hooks[2].plugin, "redis");
    ck_assert_ptr_null(plan->hooks[2].command);
    grace_plan_free(plan);
}
END_TEST

START_TEST(options_keep_their_types)
{
    struct grace_plan *plan = parse("hooks = ( { name = \"a\"; plugin = \"p\"; options = {\n"
                                    "  s = \"x\"; e = \"\"; i = -7; l = 5000000000L; h = 0x10;\n"
                                    "  f = 1.5; b = true; v = [\"a\", \"b\"]; w = (); }; } );");
    const struct grace_option_plan *o = plan->hooks[0].options;
    ck_assert_uint_eq(plan->hooks[0].option_count, 9);
    ck_assert_str_eq(o[0].name, "s");
    ck_assert_int_eq(o[0].type, GRACE_OPTION_STRING);
    ck_assert_str_eq(o[0].value.string, "x");
    ck_assert_uint_eq(o[0].line, 2);
    ck_assert_str_eq(o[1].value.string, "");
    ck_assert_int_eq(o[2].type, GRACE_OPTION_INT);
    ck_assert_int_eq(o[2].value.integer, -7);
    ck_assert_int_eq(o[3].value.integer, 5000000000);
    ck_assert_int_eq(o[4].value.integer, 16);
    ck_assert_int_eq(o[5].type, GRACE_OPTION_FLOAT);
    ck_assert_msg(fabs(o[5].value.real - 1.5) < 1e-9, "1.5 became %g", o[5].value.real);
    ck_assert_int_eq(o[6].type, GRACE_OPTION_BOOL);
    ck_assert(o[6].value.boolean);
    ck_assert_int_eq(o[7].type, GRACE_OPTION_LIST);
    ck_assert_str_eq(o[7].value.list[1], "b");
    ck_assert_ptr_null(o[7].value.list[2]);
    ck_assert_ptr_null(o[8].value.list[0]);
    ck_assert_uint_eq(o[8].line, 3);
    grace_plan_free(plan);
}
END_TEST

START_TEST(hooks_run_phase_by_phase_and_the_last_of_the_file_first)
{
    struct grace_plan *plan =
        parse("hooks = ( { name = \"5\"; plugin = \"p\"; phase = \"cleanup\"; },\n"
              "{ name = \"4\"; plugin = \"p\"; }, { name = \"1\"; plugin = \"p\"; phase = "
              "\"announce\"; },\n"
              "{ name = \"3\"; plugin = \"p\"; phase = \"stop\"; }, { name = \"0\"; plugin = "
              "\"p\"; phase = \"announce\"; },\n"
              "{ name = \"2\"; plugin = \"p\"; phase = \"drain\"; } );");
    ck_assert_uint_eq(plan->hook_count, 6);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(plan->hooks[plan->order[i]].name[0], '0' + i);
    grace_plan_free(plan);
}
END_TEST

START_TEST(the_locale_of_the_thread_and_errno_stay)
{
    /* A locale with a decimal comma, where there is one, must not change what 1.5 means. */
    locale_t mine = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    ck_assert_msg(mine != (locale_t)0, "no C.UTF-8 locale");
    uselocale(mine);
    errno = 4711;
    grace_plan_free(parse("deadline = \"3s\";"));
    ck_assert_int_eq(errno, 4711);
    ck_assert(uselocale((locale_t)0) == mine);
    struct grace_problems some = GRACE_PROBLEMS_EMPTY;
    ck_assert_ptr_null(grace_plan_read("/nonexistent", &some));
    ck_assert_int_eq(errno, 4711);
    grace_problems_free(&some);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) /* whose handler would end the process in another way */
START_TEST(nobody_can_write_to_a_plan)
{
    struct grace_plan *plan = parse("deadline = \"3s\";");
    ((volatile struct grace_plan *)plan)->deadline_ms = 1;
}
END_TEST
#endif

/* ---- review and names ----------------------------------------------------------------------- */

static void assert_review(const char *text, const char *fragment)
{
    struct grace_plan *plan = parse(text);
    grace_plan_review(plan, &problems);
    if (fragment == NULL) {
        ck_assert_msg(problems.count == 0, "unexpected: %s",
                      problems.count > 0 ? problems.list[0].text : "");
    } else {
        ck_assert_msg(problems.count == 1, "%zu warnings for %s", problems.count, text);
        ck_assert_int_eq(problems.list[0].severity, GRACE_WARNING);
        ck_assert_msg(strstr(problems.list[0].text, fragment) != NULL, "\"%s\" lacks \"%s\"",
                      problems.list[0].text, fragment);
    }
    grace_problems_free(&problems);
    grace_plan_free(plan);
}

START_TEST(phases_that_add_up_to_more_than_the_deadline_are_a_warning)
{
    assert_review("", NULL);
    assert_review("deadline = \"20s\";", NULL);
    assert_review("deadline = \"19.999s\";",
                  "the phases may take 20s (drain 20s), the deadline is 19s999ms");
    assert_review("deadline = \"5s\"; drain = { when = \"never\"; };", NULL);
    assert_review("drain = { hold = \"10s\"; };", NULL);
    assert_review("drain = { hold = \"10s\"; };\n"
                  "hooks = ( { name = \"a\"; plugin = \"p\"; phase = \"announce\"; retries = 2; "
                  "timeout = \"1s\"; } );",
                  "the phases may take 33s (announce 3s + drain 30s), the deadline is 30s");
    assert_review("signals = [\"INT\"];", "without \"TERM\"");
}
END_TEST

START_TEST(phases_and_causes_have_the_names_of_the_config)
{
    ck_assert_str_eq(grace_phase_name(GRACE_PHASE_ANNOUNCE), "announce");
    ck_assert_str_eq(grace_phase_name(GRACE_PHASE_CLEANUP), "cleanup");
    ck_assert_str_eq(grace_phase_name(GRACE_PHASES), "?");
    ck_assert_str_eq(grace_cause_name(GRACE_CAUSE__EXIT), "_exit");
    ck_assert_str_eq(grace_cause_name(GRACE_CAUSE_KILLED), "killed");
    ck_assert_str_eq(grace_cause_name((enum grace_cause)99), "?");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("config read");
    TCase *c = tcase_create("read");
    tcase_add_test(c, without_a_file_there_are_defaults);
    tcase_add_loop_test(c, an_empty_config_has_the_defaults, 0,
                        (int)(sizeof empty / sizeof empty[0]));
    tcase_add_test(c, every_key_of_the_file_is_read);
    tcase_add_test(c, end_may_be_exit_or_any_status);
    tcase_add_test(c, chain_defaults_to_those_of_its_own_that_are_stop_signals);
    tcase_add_test(c, every_signal_that_can_be_a_stop_is_known_by_name);
    tcase_add_test(c, every_key_of_a_hook_is_read);
    tcase_add_test(c, options_keep_their_types);
    tcase_add_test(c, hooks_run_phase_by_phase_and_the_last_of_the_file_first);
    tcase_add_test(c, the_locale_of_the_thread_and_errno_stay);
    tcase_add_test(c, phases_that_add_up_to_more_than_the_deadline_are_a_warning);
    tcase_add_test(c, phases_and_causes_have_the_names_of_the_config);
#if !defined(__SANITIZE_ADDRESS__)
    tcase_add_test_raise_signal(c, nobody_can_write_to_a_plan, SIGSEGV);
#endif
    suite_add_tcase(s, c);
    return s;
}
