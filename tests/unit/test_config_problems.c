/* What is wrong with a config is said, all of it, with the line and what was expected. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/plan.h"
#include "tests/suite.h"

struct bad {
    const char *text;
    unsigned line;
    const char *fragment;
};

#define HOOK(keys) "hooks = ( { name = \"a\";\n" keys " } );"
#define DO         "command = [\"/bin/true\"];\n"

static const struct bad bads[] = {
    /* keys */
    {"deadlin = \"30s\";", 1,
     "unknown key \"deadlin\" (did you mean \"deadline\"?); expected one of: deadline, signals"},
    {"\n\nDEADLINE = \"30s\";", 3, "did you mean \"deadline\"?"},
    {"hokos = ();", 1, "did you mean \"hooks\"?"},
    {"xyzzy = 1;", 1, "unknown key \"xyzzy\"; expected one of: deadline"},
    {"drain = { hodl = \"1s\"; };", 1, "drain: unknown key \"hodl\" (did you mean \"hold\"?)"},
    {"log = {\nlevl = \"info\"; };", 2, "log: unknown key \"levl\" (did you mean \"level\"?)"},
    {HOOK(DO "retires = 1;"), 3, "hook \"a\": unknown key \"retires\" (did you mean \"retries\"?)"},
    {"deadline = \"1s\";\ndeadline = \"2s\";", 2, "twice in the same group"},
    {HOOK(DO DO), 3, "twice in the same group"},
    /* durations */
    {"deadline = 30;", 1,
     "deadline: a duration needs a unit and quotes, such as \"30s\", not the number 30"},
    {"deadline = 30L;", 1, "not the number 30"},
    {"deadline = \"30\";", 1, "\"30\" has no unit; expected a duration such as \"30s\""},
    {"deadline = \"\";", 1, "expected a duration such as"},
    {"deadline = \"soon\";", 1,
     "expected a duration such as \"30s\", \"1m30s\" or \"250ms\" (units h, m, s, ms), not "
     "\"soon\""},
    {"deadline = \"0s\";", 1, "at least \"1ms\""},
    {"deadline = \"169h\";", 1, "one week"},
    {"deadline = true;", 1, "expected a duration such as \"30s\", not true"},
    {"deadline = 1.5;", 1, "expected a duration such as \"30s\", not the number 1.5"},
    {"deadline = [\"30s\"];", 1, "not an array"},
    {"deadline = (\"30s\");", 1, "not a list"},
    {"deadline = { a = 1; };", 1, "not a group"},
    {"drain = { timeout = \"0s\"; };", 1, "drain.timeout: expected a duration of at least"},
    {"drain = { idle = \"0ms\"; };", 1, "drain.idle: expected a duration of at least"},
    {"drain = { hold = 3; };", 1, "drain.hold: a duration needs a unit"},
    {HOOK(DO "timeout = \"0s\";"), 3, "hook \"a\": timeout: expected a duration of at least"},
    {HOOK(DO "timeout = 5;"), 3, "hook \"a\": timeout: a duration needs a unit"},
    /* booleans and choices */
    {"enforce = \"true\";", 1, "enforce: expected true or false (without quotes), not \"true\""},
    {"enforce = 1;", 1, "not the number 1"},
    {"drain = { http = \"yes\"; };", 1, "drain.http: expected true or false"},
    {"second_signal = \"Force\";", 1,
     "second_signal: expected \"force\" or \"ignore\", not \"Force\""},
    {"second_signal = true;", 1, "expected \"force\" or \"ignore\", not true"},
    {"guardian = \"yes\";", 1, "guardian: expected \"auto\", \"on\" or \"off\", not \"yes\""},
    {"guardian = false;", 1, "not false"},
    {"daemonize = \"always\";", 1, "daemonize: expected \"auto\" or \"never\", not \"always\""},
    {"drain = { when = \"on\"; };", 1,
     "drain.when: expected \"auto\", \"always\" or \"never\", not \"on\""},
    {"log = { level = \"warn\"; };", 1,
     "log.level: expected \"error\", \"warning\", \"info\" or \"debug\", not \"warn\""},
    {"log = { format = \"xml\"; };", 1, "log.format: expected \"text\" or \"json\""},
    {"log = { to = \"stdout\"; };", 1,
     "log.to: expected \"stderr\", \"file\", \"syslog\" or \"journal\", not \"stdout\""},
    {"end = \"success\";", 1,
     "end: expected \"same\", \"exit\" or an exit status from 0 to 255, not \"success\""},
    {"end = 256;", 1, "not the number 256"},
    {"end = -1;", 1, "not the number -1"},
    {"end = 4294967296L;", 1, "not the number 4294967296"},
    {"end = 0.0;", 1, "end: expected"},
    {HOOK(DO "phase = \"start\";"), 3,
     "hook \"a\": phase: expected \"announce\", \"drain\", \"stop\" or \"cleanup\", not \"start\""},
    {HOOK(DO "on_failure = \"retry\";"), 3,
     "hook \"a\": on_failure: expected \"continue\" or \"abort\", not \"retry\""},
    /* groups */
    {"log = \"stderr\";", 1, "log: expected a group such as { to = \"stderr\";"},
    {"drain = false;", 1, "drain: expected a group such as"},
    {"log = { to = \"file\"; };", 1, "log: to = \"file\" needs a path"},
    {"log = { to = \"file\"; path = \"x.log\"; };", 1,
     "log.path: expected an absolute path (it begins with /), not \"x.log\""},
    {"log = { to = \"syslog\";\npath = \"/x.log\"; };", 2,
     "log.path: only to = \"file\" has a path"},
    {"log = { path = \"/x.log\"; };", 1, "only to = \"file\" has a path"},
    /* paths and programs */
    {"pidfile = \"\";", 1, "pidfile: expected an absolute path"},
    {"pidfile = \"run/x\";", 1, "not \"run/x\""},
    {"state_dir = 1;", 1, "state_dir: expected an absolute path"},
    {"metrics = \"a.prom\";", 1, "metrics: expected an absolute path"},
    {"programs = \"legacyd\";", 1,
     "programs: expected base names or absolute paths of programs, such as [\"legacyd\"], not "
     "\"legacyd\""},
    {"programs = [];", 1, "programs: it names no program"},
    {"programs = [\"\"];", 1, "programs: expected base names"},
    {"programs = [\"bin/x\"];", 1, "not \"bin/x\""},
    {"programs = (1);", 1, "not the number 1"},
    /* signals */
    {"signals = \"TERM\";", 1,
     "signals: expected a list of signals such as [\"TERM\", \"INT\"], not \"TERM\""},
    {"signals = [15];", 1,
     "signals: expected the name of a signal such as \"TERM\", not the number 15"},
    {"signals = [\"15\"];", 1,
     "unknown signal \"15\"; expected a name such as \"TERM\", not a number"},
    {"signals = [\"TREM\"];", 1, "signals: unknown signal \"TREM\""},
    {"signals = [\"\"];", 1, "unknown signal \"\""},
    {"signals = [\"SIG\"];", 1, "unknown signal \"SIG\""},
    {"signals = [\"KILL\"];", 1, "\"KILL\" cannot be used here: no program can handle it"},
    {"signals = [\"sigstop\"];", 1, "no program can handle it"},
    {"signals = [\"SEGV\"];", 1, "an instruction failed"},
    {"signals = [\"BUS\"];", 1, "an instruction failed"},
    {"signals = [\"FPE\"];", 1, "an instruction failed"},
    {"signals = [\"ILL\"];", 1, "an instruction failed"},
    {"signals = [\"TRAP\"];", 1, "an instruction failed"},
    {"signals = [\"SYS\"];", 1, "an instruction failed"},
    {"signals = [\"ABRT\"];", 1, "abort() uses it"},
    {"signals = [\"IOT\"];", 1, "abort() uses it"},
    {"signals = [\"CHLD\"];", 1, "whenever a child ends"},
    {"signals = [\"TSTP\"];", 1, "job control"},
    {"signals = [\"URG\"];", 1, "runtimes send it"},
    {"signals = [\"RTMIN+31\"];", 1, "unknown signal"},
    {"signals = [\"RTMIN-1\"];", 1, "unknown signal"},
    {"signals = [\"RTMAX+1\"];", 1, "unknown signal"},
    {"signals = [\"RTMIN+\"];", 1, "unknown signal"},
    {"signals = [\"RTMIN+1x\"];", 1, "unknown signal"},
    {"signals = [\"TERM\"];\nchain = [\"INT\"];", 2,
     "chain: \"INT\" is not a stop signal; expected one of `signals`"},
    {"chain = [\"USR1\"];", 1, "chain: \"USR1\" is not a stop signal"},
    {"chain = [\"KILL\"];", 1, "no program can handle it"},
    {"deliver = \"QUIT\";", 1, "deliver: expected a group such as { TERM = \"QUIT\"; }"},
    {"deliver = { TERM = 3; };", 1,
     "deliver.TERM: expected the name of a signal such as \"QUIT\", not the number 3"},
    {"deliver = { TREM = \"QUIT\"; };", 1, "deliver.TREM: unknown signal \"TREM\""},
    {"deliver = { TERM = \"KILL\"; };", 1, "deliver.TERM: \"KILL\" cannot be used here"},
    {"deliver = { TERM = \"SEGV\"; };", 1, "cannot be used here"},
    {"deliver = { TERM = \"QUIT\";\nSIGTERM = \"INT\"; };", 2, "this signal is there twice"},
    {"deliver = { USR1 = \"QUIT\"; };", 1, "deliver: \"USR1\" is not a stop signal"},
    /* hooks */
    {"hooks = 1;", 1, "hooks: expected a list of groups"},
    {"hooks = { name = \"a\"; };", 1,
     "hooks: expected a list of groups: ( { name = ...; }, { name = ...; } ), not a group"},
    {"hooks = [1];", 1, "hooks: expected a list of groups"},
    {"hooks = ( \"a\" );", 1, "not \"a\""},
    {"hooks = (\n{ " DO " } );", 2, "hook 1: it has no name"},
    {"hooks = ( { name = \"a\"; plugin = \"p\"; },\n{ } );", 2, "hook 2: it has nothing to do"},
    {"hooks = ( { name = \"a\"; plugin = \"p\"; },\n{ name = \"a\"; plugin = \"p\"; } );", 2,
     "hook \"a\": another hook has this name (line 1)"},
    {"hooks = ( { name = \"\"; plugin = \"p\"; } );", 1,
     "hook 1: name: expected a name of 1 to 64 bytes"},
    {"hooks = ( { name = 3; plugin = \"p\"; } );", 1, "hook 1: name: expected a name"},
    {"hooks = ( { name = \"a\\nb\"; plugin = \"p\"; } );", 1,
     "without control characters, not \"a\\x0ab\""},
    {"hooks = ( { name = \"a\xff\"; plugin = \"p\"; } );", 1, "not \"a\\xff\""},
    {"hooks = ( { name = \"12345678901234567890123456789012345678901234567890123456789012345\"; "
     "plugin = \"p\"; } );",
     1, "1 to 64 bytes"},
    {HOOK("command = \"rm -rf /x\";"), 2, "hook \"a\": command: there is no shell"},
    {HOOK("command = \"x\";"), 2, "[\"/bin/sh\", \"-c\", \"...\"]"},
    {HOOK("command = 3;"), 2,
     "command: expected a list of strings: [\"/path/to/program\", \"argument\"], not the number 3"},
    {HOOK("command = [];"), 2, "command: it names no program"},
    {HOOK("command = [\"\", \"x\"];"), 2, "command: it names no program"},
    {HOOK("command = (\"x\",\n\n 1);"), 2, "command: expected a list of strings"},
    {HOOK("command = [1];"), 2, "not the number 1"},
    {HOOK("command = (\"x\", [\"y\"]);"), 2, "not an array"},
    {HOOK("plugin = \"p\"; " DO), 1, "hook \"a\": it has both a command and a plugin"},
    {HOOK("plugin = \"\";"), 2, "plugin: expected a name such as \"redis\""},
    {HOOK("plugin = [\"p\"];"), 2, "plugin: expected a name"},
    {HOOK(DO "options = { };"), 3, "only a plugin has options"},
    {HOOK("plugin = \"p\"; options = 1;"), 2, "options: expected a group such as"},
    {HOOK("plugin = \"p\"; options = { a = { b = 1; }; };"), 2,
     "hook \"a\": options.a: expected a string, a number, true, false or a list of strings, not a "
     "group"},
    {HOOK("plugin = \"p\"; options = { a = (1); };"), 2,
     "options.a: expected a string, a number, true, false or a list of strings, not the number 1"},
    {HOOK("plugin = \"p\"; options = { a = ((\"x\")); };"), 2, "options.a: expected"},
    {HOOK("plugin = \"p\"; options = { a = 1e999; };"), 2, "not the number inf"},
    {HOOK(DO "retries = -1;"), 3,
     "retries: expected a whole number from 0 to 100, not the number -1"},
    {HOOK(DO "retries = 101;"), 3, "not the number 101"},
    {HOOK(DO "retries = 4294967296L;"), 3, "not the number 4294967296"},
    {HOOK(DO "retries = \"2\";"), 3, "not \"2\""},
    {HOOK(DO "retries = 1.0;"), 3, "retries: expected a whole number"},
    {HOOK(DO "user = \"\";"), 3, "user: expected a string that is not empty"},
    {HOOK(DO "user = 0;"), 3, "user: expected a string that is not empty, not the number 0"},
    {HOOK(DO "causes = \"signal\";"), 3,
     "causes: expected one or more of \"signal\", \"exit\", \"return\", \"_exit\", \"quick_exit\", "
     "\"crash\", \"killed\" in a list, not \"signal\""},
    {HOOK(DO "causes = [];"), 3, "with no cause the hook never runs"},
    {HOOK(DO "causes = [\"none\"];"), 3, "not \"none\""},
    {HOOK(DO "causes = [\"oom\"];"), 3, "not \"oom\""},
    /* text that libconfig would not, or not rightly, read */
    {"deadline = 99999999999;", 1, "needs more than 32 bits; write it as 99999999999L"},
    {"deadline = -2147483649;", 1, "needs more than 32 bits"},
    {"deadline = 0xffffffff;", 1, "needs more than 32 bits"},
    {"deadline = 99999999999999999999;", 1, "does not fit into 64 bits"},
    {"deadline = 99999999999999999999L;", 1, "does not fit into 64 bits"},
    {"deadline = \"30s", 1, "the string that begins here is never closed"},
    {"deadline = \"30s\";\n\"abc", 2, "never closed"},
    {"deadline = \"30s\";\n\n/* abc", 3, "the comment that begins here is never closed"},
    {"log = {\nto = \"stderr\";", 1, "the { that opens here is never closed; expected }"},
    {"log = { to = \"stderr\"; ) ;", 1, "this ) does not close the { of line 1; expected } first"},
    {"\nlog = };", 2, "this } closes nothing"},
    {"signals = [\"TERM\",\n];", 1, "a comma before the closing ]; remove it"},
    {"hooks = (\n{ },\n);", 2, "a comma before the closing ); remove it"},
    {"pidfile = \"/a\\x00b\";", 1, "cannot hold a zero byte"},
    {"deadline \"30s\";", 1, "syntax error here or just before; expected NAME = VALUE;"},
    {"deadline = ;", 1, "syntax error"},
    {"deadline = 30s;", 1, "syntax error"},
    {"= 3;", 1, "syntax error"},
    {"\n\n???", 3, "syntax error"},
    {"d\xc3\xa9"
     "adline = \"30s\";",
     1, "syntax error"},
    {"deadline = \"30s\" } ", 1, "this } closes nothing"},
    {"signals = [\"TERM\", 15];", 1, "values of different types in [ ]"},
    {"@include \"/nonexistent/x.conf\"\n", 1,
     "cannot include \"/nonexistent/x.conf\": cannot open it: No such file or directory"},
    {"\n@include \"/\"\n", 2, "cannot include \"/\": it is a directory; expected a regular file"},
    {"@include \"/dev/null\"\n", 1, "it is a device; expected a regular file"},
    {"@include \"a\\b\"\n", 1, "unknown escape"},
    {"@include \"abc\n", 1, "has no closing quote"},
    {"@include abc\n", 1, "expected a file name in quotes"},
    {"x = 1; @include \"abc\"\n", 1, "syntax error"},
};

static const struct grace_problem *find(const struct grace_problems *problems,
                                        const struct bad *bad)
{
    for (size_t i = 0; i < problems->count; i++)
        if (problems->list[i].line == bad->line &&
            strstr(problems->list[i].text, bad->fragment) != NULL)
            return &problems->list[i];
    return NULL;
}

static void print_all(const struct grace_problems *problems)
{
    char line[2048];
    for (size_t i = 0; i < problems->count; i++) {
        grace_problem_format(&problems->list[i], line, sizeof line);
        printf("    %s\n", line);
    }
}

START_TEST(what_is_wrong_is_said_with_its_line)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan =
        grace_plan_parse(bads[_i].text, strlen(bads[_i].text), "t.conf", &problems);
    const struct grace_problem *found = find(&problems, &bads[_i]);
    if (found == NULL)
        print_all(&problems);
    ck_assert_msg(found != NULL, "\"%s\": no problem at line %u says: %s", bads[_i].text,
                  bads[_i].line, bads[_i].fragment);
    ck_assert_int_eq(found->severity, GRACE_FATAL);
    ck_assert_str_eq(found->file, "t.conf");
    ck_assert_ptr_null(plan);
    /* One mistake, one message: nothing that only follows from it. */
    if (strstr(bads[_i].fragment, "nothing to do") == NULL)
        ck_assert_msg(problems.count == 1, "\"%s\": %zu problems, expected 1", bads[_i].text,
                      problems.count);
    grace_problems_free(&problems);
}
END_TEST

START_TEST(all_problems_are_said_not_only_the_first)
{
    static const char text[] = "deadlin = \"30s\";\n"
                               "signals = [\"TREM\", \"KILL\"];\n"
                               "enforce = 1;\n"
                               "log = { to = \"x\"; level = 3; };\n"
                               "end = 256;\n"
                               "hooks = (\n"
                               "{ name = \"a\"; command = \"x\"; timeout = 3; },\n"
                               "{ nam = \"a\"; }\n"
                               ");\n";
    static const unsigned lines[] = {1, 2, 2, 3, 4, 4, 5, 7, 7, 8, 8, 8};
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    ck_assert_ptr_null(grace_plan_parse(text, strlen(text), "t.conf", &problems));
    grace_problems_sort(&problems);
    print_all(&problems);
    ck_assert_uint_eq(problems.count, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < problems.count; i++)
        ck_assert_uint_eq(problems.list[i].line, lines[i]);
    ck_assert_uint_eq(problems.fatal, problems.count);
    grace_problems_free(&problems);
}
END_TEST

START_TEST(a_signal_named_twice_is_a_warning_only)
{
    static const char text[] = "signals = [\"TERM\", \"SIGTERM\"];";
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_parse(text, strlen(text), "t.conf", &problems);
    ck_assert_ptr_nonnull(plan);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_int_eq(problems.list[0].severity, GRACE_WARNING);
    ck_assert_ptr_nonnull(strstr(problems.list[0].text, "\"SIGTERM\" is there twice"));
    grace_plan_free(plan);
    grace_problems_free(&problems);
}
END_TEST

/* ---- the list of problems itself ------------------------------------------------------------ */

START_TEST(a_problem_is_shown_with_file_line_and_severity)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    char line[200];
    grace_problem_add(&problems, GRACE_WARNING, "a.conf", 3, "x %d", 1);
    grace_problem_add(&problems, GRACE_DEFECT, "a.conf", 0, "tab\there \x1b[31m \xff \xc3\xa9");
    grace_problem_format(&problems.list[0], line, sizeof line);
    ck_assert_str_eq(line, "a.conf:3: warning: x 1");
    grace_problem_format(&problems.list[1], line, sizeof line);
    ck_assert_str_eq(line, "a.conf: error: tab\\x09here \\x1b[31m \\xff \xc3\xa9");
    ck_assert_uint_eq(grace_problem_format(&problems.list[0], line, 7), 6);
    ck_assert_str_eq(line, "a.conf");
    ck_assert_uint_eq(grace_problem_format(&problems.list[0], line, 0), 0);
    ck_assert_uint_eq(problems.fatal, 0);
    ck_assert_uint_eq(problems.defects, 1);
    grace_problems_free(&problems);
}
END_TEST

START_TEST(problems_are_sorted_by_file_and_line_and_keep_their_order)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    grace_problem_add(&problems, GRACE_FATAL, "b", 1, "4");
    grace_problem_add(&problems, GRACE_FATAL, "a", 9, "2");
    grace_problem_add(&problems, GRACE_FATAL, "a", 9, "3");
    grace_problem_add(&problems, GRACE_FATAL, "a", 2, "1");
    grace_problem_add(&problems, GRACE_FATAL, "a", 0, "0");
    grace_problems_sort(&problems);
    for (size_t i = 0; i < problems.count; i++)
        ck_assert_int_eq(problems.list[i].text[0], '0' + (int)i);
    grace_problems_free(&problems);
}
END_TEST

START_TEST(problems_above_a_thousand_are_counted_not_kept)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    for (int i = 0; i < 5000; i++)
        grace_problem_add(&problems, GRACE_FATAL, "a", 1, "x");
    ck_assert_uint_eq(problems.count, 1000);
    ck_assert_uint_eq(problems.lost, 4000);
    ck_assert_uint_eq(problems.fatal, 5000);
    grace_problems_free(&problems);
    ck_assert_uint_eq(problems.fatal, 0);
}
END_TEST

START_TEST(a_long_text_is_cut)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    char *text = malloc(100001);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    grace_problem_add(&problems, GRACE_FATAL, "a", 1, "%s", text);
    ck_assert_uint_eq(strlen(problems.list[0].text), 1023);
    ck_assert_str_eq(problems.list[0].text + 1019, "x...");
    free(text);
    grace_problems_free(&problems);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("config problems");
    TCase *c = tcase_create("problems");
    tcase_add_loop_test(c, what_is_wrong_is_said_with_its_line, 0,
                        (int)(sizeof bads / sizeof bads[0]));
    tcase_add_test(c, all_problems_are_said_not_only_the_first);
    tcase_add_test(c, a_signal_named_twice_is_a_warning_only);
    tcase_add_test(c, a_problem_is_shown_with_file_line_and_severity);
    tcase_add_test(c, problems_are_sorted_by_file_and_line_and_keep_their_order);
    tcase_add_test(c, problems_above_a_thousand_are_counted_not_kept);
    tcase_add_test(c, a_long_text_is_cut);
    suite_add_tcase(s, c);
    return s;
}
