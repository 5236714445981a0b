/*
 * A config that cannot be used never harms the program: it runs as if libgrace were not there,
 * after one clear error. `grace check` lists every error.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const broken[] = {
    "hooks = (",                                              /* syntax */
    "deadlin = \"30s\";\n",                                   /* unknown key */
    "deadline = 30;\n",                                       /* wrong type */
    "deadline = \"30\";\n",                                   /* no unit */
    "signals = [\"TERMINATE\"];\n",                           /* no such signal */
    "hooks = ({ name = \"x\"; });\n",                         /* does nothing */
    "hooks = ({ command = [\"/bin/true\"]; });\n",            /* no name */
    ("hooks = ({ name = \"x\"; command = [\"/bin/true\"]; }," /* one name twice */
     " { name = \"x\"; command = [\"/bin/true\"]; });\n"),
    "@include \"no-such-file\"\n",
    "\xff\xfe\x00\x01",
};
#define BROKEN ((int)(sizeof broken / sizeof broken[0]))

/* One error, that names the config, and all else as bare. */
static void runs_as_bare(void)
{
    struct process *bare = start(BARE, program("worker"), "pause", "atexit");
    wait_ready(bare);
    expect_status(stop_with(bare, SIGTERM), KILLED(SIGTERM));
    struct process *graced = start(GRACED, program("worker"), "pause", "atexit");
    wait_ready(graced);
    expect_status(stop_with(graced, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(graced->out), contents(bare->out));
    const char *said = contents(graced->err);
    expect(strstr(said, "grace.conf") != NULL);
    expect(strstr(said, "error") != NULL);
    expect(count_of(said, "\n") == 1);
    expect_order("");
}

START_TEST(the_program_runs_as_if_libgrace_were_not_there)
{
    config("%s\n%s", broken[_i], strstr(broken[_i], "hooks") ? "" : hooks_abc(hook_command));
    runs_as_bare();
}
END_TEST

START_TEST(a_config_that_is_missing_is_an_error_too)
{
    config("%s", "");
    remove("grace.conf");
    runs_as_bare();
}
END_TEST

START_TEST(a_config_that_is_a_directory_is_an_error_too)
{
    config("%s", "");
    remove("grace.conf");
    expect(mkdir("grace.conf", 0755) == 0);
    runs_as_bare();
}
END_TEST

START_TEST(an_ending_by_exit_keeps_its_status_too)
{
    config("deadlin = \"30s\";\n");
    expect_status(run(GRACED, program("ender"), "exit"), EXITED(3));
}
END_TEST

/* ---- grace check ----------------------------------------------------------------------------- */

static struct process *check(const char *file)
{
    struct process *grace = start(BARE, product("grace"), "check", file);
    wait_end(grace);
    return grace;
}

START_TEST(grace_check_lists_every_error)
{
    write_file("bad.conf", "deadlin = \"30s\";\n"
                           "deadline = 30;\n"
                           "second_signal = \"forse\";\n"
                           "hooks = (\n"
                           "  { name = \"a\"; phase = \"anounce\"; command = [\"/bin/true\"]; },\n"
                           "  { name = \"b\"; command = [\"/bin/true\"]; timeout = \"5\"; }\n"
                           ");\n");
    struct process *grace = check(here("bad.conf"));
    expect_status(grace->status, EXITED(78));
    const char *said = text("%s%s", contents(grace->out), contents(grace->err));
    static const int lines[] = {1, 2, 3, 5, 6};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect(strstr(said, text("bad.conf:%d:", lines[i])) != NULL, "line %d", lines[i]);
}
END_TEST

START_TEST(grace_check_accepts_a_good_config)
{
    write_file("good.conf", "deadline = \"30s\";\n%s", hooks_abc(hook_command));
    expect_status(check(here("good.conf"))->status, EXITED(0));
}
END_TEST

START_TEST(grace_check_of_no_file_is_an_error)
{
    struct process *grace = check(here("no.conf"));
    expect(WIFEXITED(grace->status) && WEXITSTATUS(grace->status) != 0);
    expect(strstr(contents(grace->err), "no.conf") != NULL);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("broken config");
    TCase *group = story_case(all, "broken");
    tcase_add_loop_test(group, the_program_runs_as_if_libgrace_were_not_there, 0, BROKEN);
    tcase_add_test(group, a_config_that_is_missing_is_an_error_too);
    tcase_add_test(group, a_config_that_is_a_directory_is_an_error_too);
    tcase_add_test(group, an_ending_by_exit_keeps_its_status_too);
    group = story_case(all, "grace check");
    tcase_add_test(group, grace_check_lists_every_error);
    tcase_add_test(group, grace_check_accepts_a_good_config);
    tcase_add_test(group, grace_check_of_no_file_is_an_error);
    return all;
}
