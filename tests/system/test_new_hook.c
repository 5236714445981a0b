/* grace new-hook: what it writes builds without a warning, and its own test passes, and can fail.
 */
#include <string.h>

#include "harness.h"

static int make_in(const char *folder, const char *target)
{
    environment("MAKEFLAGS", NULL); /* those of `make check` */
    return run(BARE, "make", "-C", here("%s", folder), "CFLAGS=-O2 -Werror -Wconversion -Wshadow",
               target);
}

START_TEST(what_it_writes_builds_and_passes)
{
    const char *kind[] = {product("grace"), "new-hook", "my-hook_2",
                          _i == 1 ? "--in-process" : NULL, NULL};
    struct process *grace = launch(&(struct launch){.argv = kind});
    expect_status(wait_end(grace), EXITED(0));
    expect_status(make_in("my-hook_2", "check"), EXITED(0));
    expect(exists("my-hook_2/my-hook_2.so"));
    expect(strstr(contents("my-hook_2/my-hook_2.c"),
                  _i == 1 ? "GRACE_HOOK_IN_PROCESS" : "GRACE_HOOK_EXTERNAL") != NULL);
    expect(strstr(contents("my-hook_2/Makefile"), "@NAME") == NULL);
    /* The test is one: it fails when the hook does nothing. */
    expect_status(run(BARE, "sed", "-i", "s/fprintf(file,.*/;/", here("my-hook_2/my-hook_2.c")),
                  EXITED(0));
    expect_status(make_in("my-hook_2", "check"), EXITED(2));
}
END_TEST

START_TEST(it_overwrites_nothing)
{
    write_file("mine", "precious\n");
    struct process *grace = start(BARE, product("grace"), "new-hook", "mine");
    expect_status(wait_end(grace), EXITED(73));
    expect(strstr(contents(grace->err), "is there already") != NULL, "%s", contents(grace->err));
    expect_text(contents("mine"), "precious\n");
    expect_status(run(BARE, product("grace"), "new-hook", "other"), EXITED(0));
    write_file("other/other.c", "precious\n");
    expect_status(run(BARE, product("grace"), "new-hook", "other"), EXITED(73));
    expect_text(contents("other/other.c"), "precious\n");
}
END_TEST

START_TEST(what_is_no_name_is_refused)
{
    static const char *const names[] = {"", "a/b", "a b", "../a", "a;b", "a.c", "$(id)"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_status(run(BARE, product("grace"), "new-hook", "--", names[i]), EXITED(64));
    expect_status(run(BARE, product("grace"), "new-hook"), EXITED(64));
    expect_status(run(BARE, product("grace"), "new-hook", "a", "b"), EXITED(64));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("new-hook");
    TCase *group = story_case(all, "new-hook");
    tcase_add_loop_test(group, what_it_writes_builds_and_passes, 0, 2);
    tcase_add_test(group, it_overwrites_nothing);
    tcase_add_test(group, what_is_no_name_is_refused);
    return all;
}
