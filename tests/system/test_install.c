/* What `make install` puts into a system works from there, and `make uninstall` takes all of it
 * away. */
#include "harness.h"

#include <stdlib.h>
#include <sysexits.h>

/* make, with what is built here as it is. */
static int make_with(const char *target, const char *setting)
{
    environment("MAKEFLAGS", NULL); /* those of `make check` */
    return run(BARE, "make", "-s", "-C", source(""), text("BUILD=%s", getenv("GRACE_BUILD")),
               text("DESTDIR=%s", here("root")), "PREFIX=/usr", target, setting);
}

static int make(const char *target)
{
    return make_with(target, NULL);
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
    struct process *find = start(BARE, "find", here("root"), "-name", "*grace*");
    expect_status(wait_end(find), EXITED(0));
    expect_text(contents(find->out), "");
}
END_TEST

/* Of each command that `grace --help` names. */
START_TEST(each_command_has_a_page)
{
    expect_status(make("install"), EXITED(0));
    struct process *missing =
        start(BARE, "/bin/sh", "-ec",
              text("commands=$('%s' --help | sed -n 's/^  \\([a-z][a-z-]*\\)  .*/\\1/p')\n"
                   "for command in $commands; do\n"
                   "    mandoc -T lint -W error '%s'/grace-$command.1 || echo $command\n"
                   "done; echo $(echo $commands | wc -w) commands",
                   here("root/usr/bin/grace"), here("root/usr/share/man/man1")));
    expect_status(wait_end(missing), EXITED(0));
    expect_text(contents(missing->out), "8 commands\n");
}
END_TEST

static void write_plugin(const char *path)
{
    write_file(path, "#include <grace_hook.h>\n"
                     "#include <stddef.h>\n"
                     "static int run(void *state, const struct grace_stop *stop,"
                     " struct grace_error *error)\n"
                     "{\n"
                     "    (void)state, (void)stop, (void)error;\n"
                     "    return 0;\n"
                     "}\n"
                     "GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {\n"
                     "    GRACE_HOOK_ABI, sizeof grace_hook, GRACE_HOOK_EXTERNAL, 0,\n"
                     "    \"own\", \"does nothing\", NULL, run, NULL};\n");
}

/* A plugin built and put where pkg-config says is found by its name. */
START_TEST(pkg_config_tells_authors_all_they_need)
{
    expect_status(make("install"), EXITED(0));
    environment("PKG_CONFIG_SYSROOT_DIR", here("root"));
    environment("PKG_CONFIG_LIBDIR", here("root/usr/lib/" GRACE_MULTIARCH "/pkgconfig"));
    write_plugin("own.c");
    write_file("config", "hooks = ({ name = \"own\"; plugin = \"own\"; });");
    expect_status(run(BARE, here("root/usr/bin/grace"), "check", here("config")),
                  EXITED(EX_CONFIG));
    struct process *build =
        start(BARE, "/bin/sh", "-ec",
              text("cc -Wall -Werror -shared -fPIC $(pkg-config --cflags grace) -o own.so '%s'\n"
                   "mv own.so $(pkg-config --variable=plugindir grace)",
                   here("own.c")));
    expect(wait_end(build) == EXITED(0), "%s", contents(build->err));
    expect_status(run(BARE, here("root/usr/bin/grace"), "check", here("config")), EXITED(0));
}
END_TEST

/* $LIB is the loader's own word, so one line serves programs of every architecture. */
START_TEST(the_loader_finds_the_library_by_architecture)
{
    expect_status(make("install"), EXITED(0));
    write_file("config", "hooks = ({ name = \"flush\"; plugin = \"flush\"; });");
    struct process *target =
        start(BARE, "/usr/bin/env", text("LD_PRELOAD=%s", here("root/usr/$LIB/libgrace.so")),
              text("GRACE_CONFIG=%s", here("config")), "/bin/true");
    expect_status(wait_end(target), EXITED(0));
    wait_all_gone();
    expect(count_of(contents(target->err), "done in") == 1, "%s", contents(target->err));
}
END_TEST

/* The same library stands for one of another architecture. */
START_TEST(a_second_architecture_comes_and_goes_beside_the_first)
{
    const char *other = "LIBDIR=/usr/lib/other-linux-gnu";
    expect_status(make("install"), EXITED(0));
    int files = count_files();
    expect_status(make_with("install-libraries", other), EXITED(0));
    expect(exists("root/usr/lib/other-linux-gnu/libgrace.so"));
    expect(exists("root/usr/lib/other-linux-gnu/grace/hooks/flush.so"));
    expect(count_files() > files);
    expect_status(make_with("uninstall-libraries", other), EXITED(0));
    expect(count_files() == files);
    expect(exists("root/usr/bin/grace"));
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("install");
    TCase *group = story_case(tests, "install");
    tcase_add_test(group, an_installed_copy_finds_its_parts);
    tcase_add_test(group, each_command_has_a_page);
    tcase_add_test(group, pkg_config_tells_authors_all_they_need);
    tcase_add_test(group, the_loader_finds_the_library_by_architecture);
    tcase_add_test(group, a_second_architecture_comes_and_goes_beside_the_first);
    tcase_add_test(group, nothing_is_left_after_uninstall);
    return tests;
}
