/* What `make install` puts into a system works from there, and `make uninstall` takes all of it
 * away. */
#include "harness.h"

#include <stdlib.h>

/* make, with what is built here as it is. */
static int make(const char *target)
{
    environment("MAKEFLAGS", NULL); /* those of `make check` */
    return run(BARE, "make", "-s", "-C", source(""), text("BUILD=%s", getenv("GRACE_BUILD")),
               text("DESTDIR=%s", here("root")), "PREFIX=/usr", target);
}

static int count_files(void)
{
    struct process *find = start(BARE, "find", here("root"), "!", "-type", "d");
    expect_status(wait_end(find), EXITED(0));
    return (int)count_of(contents(find->out), "\n");
}

START_TEST(an_installed_copy_finds_its_parts)
{
    expect_status(make("install"), EXITED(0));
    write_file("config",
               "hooks = ({ name = \"flush\"; plugin = \"flush\"; },"
               " { name = \"outside\"; plugin = \"%s\"; });",
               plugin("unit_external"));
    const char *library =
        text("LD_PRELOAD=%s", here("root/usr/lib/" GRACE_MULTIARCH "/libgrace.so"));
    struct process *target =
        start(BARE, "/usr/bin/env", library, text("GRACE_CONFIG=%s", here("config")), "/bin/true");
    expect_status(wait_end(target), EXITED(0));
    wait_all_gone();
    expect(count_of(contents(target->err), "done in") == 2, "%s", contents(target->err));
    expect_status(run(BARE, here("root/usr/bin/grace"), "check", here("config")), EXITED(0));
}
END_TEST

START_TEST(nothing_is_left_after_uninstall)
{
    expect_status(make("install"), EXITED(0));
    expect(count_files() > 10);
    expect_status(make("uninstall"), EXITED(0));
    expect(count_files() == 0);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("install");
    TCase *group = story_case(tests, "install");
    tcase_add_test(group, an_installed_copy_finds_its_parts);
    tcase_add_test(group, nothing_is_left_after_uninstall);
    return tests;
}
