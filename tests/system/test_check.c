/* grace and grace check, as a person or a script at a terminal meets them. */
#include <string.h>

#include "harness.h"

static struct process *check(const char *text)
{
    write_file("t.conf", "%s", text);
    struct process *grace = start(BARE, product("grace"), "check", here("t.conf"));
    wait_end(grace);
    return grace;
}

/* Fails unless the words stand in the text in this order. */
static void expect_in_order(const char *all, const char *const *words)
{
    const char *rest = all;
    for (; *words != NULL; words++) {
        const char *found = strstr(rest, *words);
        expect(found != NULL, "\"%s\" is not there, or not in order, in:\n%s", *words, all);
        rest = found + strlen(*words);
    }
}

START_TEST(the_plan_is_shown_in_running_order_with_sums)
{
    struct process *grace =
        check("deadline = \"40s\"; drain = { hold = \"1s\"; timeout = \"4s\"; };\n"
              "hooks = (\n"
              "{ name = \"last\"; phase = \"cleanup\"; command = [\"/bin/true\"]; causes = "
              "[\"killed\"]; },\n"
              "{ name = \"third\"; command = [\"/bin/true\", \"a b\", \"it's\"]; },\n"
              "{ name = \"second\"; command = [\"/bin/true\"]; on_failure = \"abort\"; },\n"
              "{ name = \"first\"; phase = \"announce\"; command = [\"/bin/true\"];\n"
              "  timeout = \"2s\"; retries = 2; } );");
    expect_status(grace->status, EXITED(0));
    expect(*contents(grace->err) == '\0', "%s", contents(grace->err));
    const char *out = contents(grace->out);
    expect(strchr(out, '\033') == NULL);
    expect_in_order(out,
                    ARGV("announce", "first", "2s x 3 = 6s", "/bin/true", "at most", "6s", "drain",
                         "5s", "hold 1s, then at most 4s", "at most", "5s", "stop", "second", "5s",
                         "[failure skips to the end]", "stop", "third",
                         "/bin/true 'a b' 'it'\\''s'", "at most", "10s", "cleanup", "last",
                         "[only on killed]", "at most", "5s", "total: 26s at most; deadline: 40s"));
}
END_TEST

START_TEST(what_a_hook_lacks_is_an_error_and_the_plan_is_shown)
{
    struct process *grace =
        check("hooks = (\n"
              "{ name = \"a\"; command = [\"/nonexistent/x\"]; },\n"
              "{ name = \"b\"; command = [\"no-such-program\"]; },\n"
              "{ name = \"c\"; command = [\"/bin/true\"]; user = \"no-such-user\"; },\n"
              "{ name = \"d\"; plugin = \"no-such-plugin\"; },\n"
              "{ name = \"e\"; plugin = \"/etc/passwd\"; },\n"
              "{ name = \"f\"; plugin = \"flush\"; options = { nonsense = 1; }; },\n"
              "{ name = \"g\"; command = [\"/bin/true\"]; } );");
    expect_status(grace->status, EXITED(78));
    expect_in_order(contents(grace->err),
                    ARGV("t.conf:2: error: hook \"a\": ", "/nonexistent/x",
                         "t.conf:3: error: ", "no-such-program",
                         "t.conf:4: error: ", "no-such-user", "t.conf:5: error: ", "no-such-plugin",
                         "t.conf:6: error: ", "/etc/passwd", "t.conf:7: error: ", "nonsense"));
    expect(strstr(contents(grace->err), "t.conf:8:") == NULL);
    expect(strstr(contents(grace->out), "total: ") != NULL);
}
END_TEST

START_TEST(the_options_of_an_external_plugin_are_looked_at_too)
{
    struct process *grace = check(text("hooks = ( { name = \"a\"; plugin = \"%s\";\n"
                                       "options = { nonsense = 1; }; } );",
                                       plugin("unit_external")));
    expect_status(grace->status, EXITED(78));
    expect(strstr(contents(grace->err), "nonsense") != NULL, "%s", contents(grace->err));
}
END_TEST

START_TEST(a_warning_is_no_error)
{
    struct process *grace = check("deadline = \"1s\";");
    expect_status(grace->status, EXITED(0));
    expect(strstr(contents(grace->err), "t.conf: warning: the phases may take 20s") != NULL, "%s",
           contents(grace->err));
}
END_TEST

START_TEST(json_is_read_by_a_json_parser)
{
    write_file("t.conf", "hooks = (\n"
                         "{ name = \"q\\\"\\\\\"; command = [\"/bin/true\", \"\\x01\\xff\"]; },\n"
                         "{ name = \"a\"; phase = \"announce\"; plugin = \"none\"; } );");
    write_file("script", "import json, sys\n"
                         "o = json.load(open(sys.argv[1]))\n"
                         "assert o['file'].endswith('/t.conf')\n"
                         "assert [h['name'] for h in o['hooks']] == ['a', 'q\"\\\\'], o\n"
                         "assert o['hooks'][1]['command'] == ['/bin/true', '\\1\\ufffd'], o\n"
                         "assert o['total_ms'] == 30000 and o['deadline_ms'] == 30000, o\n"
                         "assert [p['line'] for p in o['problems']] == [3], o\n"
                         "assert o['problems'][0]['severity'] == 'error', o\n");
    struct process *grace = start(BARE, product("grace"), "check", "--json", here("t.conf"));
    expect_status(wait_end(grace), EXITED(78));
    expect_status(run(BARE, "/usr/bin/python3", here("script"), here(grace->out)), EXITED(0));

    write_file("t.conf", "x = 1;");
    grace = start(BARE, product("grace"), "check", "--json", here("t.conf"));
    expect_status(wait_end(grace), EXITED(78));
    write_file("script", "import json, sys\n"
                         "o = json.load(open(sys.argv[1]))\n"
                         "assert [p['line'] for p in o['problems']] == [1], o\n");
    expect_status(run(BARE, "/usr/bin/python3", here("script"), here(grace->out)), EXITED(0));
}
END_TEST

START_TEST(the_config_is_found_as_the_target_finds_it)
{
    write_file("t.conf", "end = 256;");
    environment("GRACE_CONFIG", here("t.conf"));
    struct process *grace = start(BARE, product("grace"), "check");
    expect_status(wait_end(grace), EXITED(78));
    expect(strstr(contents(grace->err), "t.conf:1: error: end:") != NULL);
    environment("GRACE_CONFIG", here("none.conf"));
    grace = start(BARE, product("grace"), "check");
    expect_status(wait_end(grace), EXITED(78));
    expect(strstr(contents(grace->err), "none.conf: error: cannot open it: No such file") != NULL);
}
END_TEST

START_TEST(wrong_usage_is_64_and_help_is_0)
{
    expect_status(run(BARE, product("grace")), EXITED(64));
    expect_status(run(BARE, product("grace"), "chekc"), EXITED(64));
    expect_status(run(BARE, product("grace"), "check", "--bogus"), EXITED(64));
    expect_status(run(BARE, product("grace"), "check", "a", "b"), EXITED(64));
    expect_status(run(BARE, product("grace"), "--help"), EXITED(0));
    expect_status(run(BARE, product("grace"), "check", "--help"), EXITED(0));
    struct process *grace = start(BARE, product("grace"), "--version");
    expect_status(wait_end(grace), EXITED(0));
    expect(strncmp(contents(grace->out), "grace (libgrace) ", 17) == 0);
}
END_TEST

START_TEST(a_full_disk_is_not_taken_for_success)
{
    write_file("t.conf", "deadline = \"30s\";");
    expect_status(run(BARE, "/bin/sh", "-c", "exec \"$0\" check \"$1\" >/dev/full",
                      product("grace"), here("t.conf")),
                  EXITED(74));
}
END_TEST

/* ---- platforms ------------------------------------------------------------------------------- */

#define FORTY_SECONDS                                                                              \
    "deadline = \"20s\"; drain = { when = \"never\"; }; hooks = (\n"                               \
    "{ name = \"a\"; phase = \"announce\"; command = [\"/bin/true\"]; timeout = \"15s\"; },\n"     \
    "{ name = \"b\"; command = [\"/bin/true\"]; timeout = \"15s\"; },\n"                           \
    "{ name = \"c\"; phase = \"cleanup\"; command = [\"/bin/true\"]; timeout = \"20s\"; } );"

static const struct {
    const char *options[4];
    const char *warning; /* NULL: none */
    const char *line;
} platforms[] = {
    {{"--for", "kubernetes"},
     "a stop may take 40s, and kubernetes kills everything after 30s: shorten timeouts, or raise "
     "terminationGracePeriodSeconds",
     "kubernetes waits 30s (terminationGracePeriodSeconds); a stop is over after 40s at most"},
    {{"--for=systemd"}, NULL, "systemd waits 1m30s (TimeoutStopSec); a stop is over after 40s"},
    {{"--for", "docker"},
     "the deadline is 20s, and docker kills everything after 10s",
     "docker waits 10s"},
    {{"--for=kubernetes", "--limit=60s"}, NULL, "kubernetes waits 1m"},
    {{"--for=systemd", "--limit", "30s"},
     "systemd kills everything after 30s",
     "systemd waits 30s"},
};
#define PLATFORMS ((int)(sizeof platforms / sizeof *platforms))

START_TEST(a_platform_that_kills_too_early_is_warned_of)
{
    const char *const *options = platforms[_i].options;
    const char *argv[8] = {product("grace"), "check",    here("t.conf"),
                           options[0],       options[1], options[1] != NULL ? options[2] : NULL};
    write_file("t.conf", "%s", FORTY_SECONDS);
    struct process *grace = launch(&(struct launch){.argv = argv});
    expect_status(wait_end(grace), EXITED(0));
    expect(strstr(contents(grace->out), platforms[_i].line) != NULL, "%s", contents(grace->out));
    if (platforms[_i].warning != NULL)
        expect(strstr(contents(grace->err), platforms[_i].warning) != NULL, "%s",
               contents(grace->err));
    else
        expect(strstr(contents(grace->err), "kills everything") == NULL, "%s",
               contents(grace->err));
}
END_TEST

START_TEST(a_platform_stands_in_the_json)
{
    write_file("t.conf", "%s", FORTY_SECONDS);
    static const char look[] =
        "\"$0\" check --json --for=docker \"$1\" | /usr/bin/python3 -c \"import json,sys; "
        "o = json.load(sys.stdin); print(o['platform'], len(o['problems']))\"";
    struct process *grace = start(BARE, "sh", "-c", look, product("grace"), here("t.conf"));
    wait_end(grace);
    expect_text(contents(grace->out),
                "{'name': 'docker', 'limit_ms': 10000, 'longest_ms': 40000} 3\n");
}
END_TEST

START_TEST(an_unknown_platform_is_wrong_usage)
{
    write_file("t.conf", "%s", FORTY_SECONDS);
    const char *grace = product("grace"), *file = here("t.conf");
    expect_status(run(BARE, grace, "check", "--for=nomad", file), EXITED(64));
    expect_status(run(BARE, grace, "check", "--for=docker", "--limit=60", file), EXITED(64));
    expect_status(run(BARE, grace, "check", "--limit=60s", file), EXITED(64));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("check");
    TCase *group = story_case(all, "check");
    tcase_add_test(group, the_plan_is_shown_in_running_order_with_sums);
    tcase_add_test(group, what_a_hook_lacks_is_an_error_and_the_plan_is_shown);
    tcase_add_test(group, the_options_of_an_external_plugin_are_looked_at_too);
    tcase_add_test(group, a_warning_is_no_error);
    tcase_add_test(group, json_is_read_by_a_json_parser);
    tcase_add_test(group, the_config_is_found_as_the_target_finds_it);
    tcase_add_test(group, wrong_usage_is_64_and_help_is_0);
    tcase_add_test(group, a_full_disk_is_not_taken_for_success);
    tcase_add_loop_test(group, a_platform_that_kills_too_early_is_warned_of, 0, PLATFORMS);
    tcase_add_test(group, a_platform_stands_in_the_json);
    tcase_add_test(group, an_unknown_platform_is_wrong_usage);
    return all;
}
