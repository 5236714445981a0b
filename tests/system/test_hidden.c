/*
 * What libgrace brings into a program that it is loaded into: no library but libc, no name but
 * those it must interpose, and none of libconfig's. And what a program that has such names itself
 * keeps.
 */
#include "harness.h"

#include <string.h>

/* What a shell command prints. */
static char *output_of(const char *command)
{
    struct process *shell = start(BARE, "/bin/sh", "-c", command);
    expect_status(wait_end(shell), EXITED(0));
    return contents(shell->out);
}

START_TEST(it_needs_libc_alone)
{
    /* ld.so is part of libc, and named where thread-local variables are used. */
    expect_text(output_of(text("readelf -dW '%s' | sed -n 's/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p' |"
                               " grep -v '^ld-linux'",
                               product("libgrace.so"))),
                "libc.so.6\n");
}
END_TEST

/* Names in the global part of the version script, sorted. */
static char *declared_exports(void)
{
    return output_of(
        text("tr '\\n' ' ' < '%s' | sed -e 's:/\\*[^*]*\\*/::g' -e 's/local:[^}]*//g' |"
             " sed -e 's/global://g' | tr '{}; ' '\\n\\n\\n\\n' |"
             " grep -E '^[A-Za-z_][A-Za-z_0-9]*$' | sort -u",
             product("obj/shim/exports.map")));
}

static char *actual_exports(void)
{
    return output_of(text("readelf --dyn-syms -W '%s' |"
                          " awk '$4 != \"SECTION\" && $7 != \"UND\" && $7 != \"ABS\" && NR > 3"
                          " { sub(/@.*/, \"\", $8); print $8 }' | grep -v '^$' | sort -u",
                          product("libgrace.so")));
}

START_TEST(it_exports_what_is_declared_and_nothing_else)
{
    const char *declared = declared_exports();
    expect(strstr(declared, "sigaction\n") != NULL);
    expect_text(actual_exports(), declared);
}
END_TEST

START_TEST(each_export_is_a_name_of_libc)
{
    expect_text(
        output_of(text("ldd /bin/sh | sed -n 's/.*libc.so.6 => \\([^ ]*\\).*/\\1/p' |"
                       " xargs readelf --dyn-syms -W |"
                       " awk '{ sub(/@.*/, \"\", $8); print $8 }' | sort -u > libc.names;"
                       " readelf --dyn-syms -W '%s' | awk '$7 != \"UND\" && $7 != \"ABS\""
                       " && ($4 == \"FUNC\" || $4 == \"OBJECT\" || $4 == \"IFUNC\")"
                       " { sub(/@.*/, \"\", $8); print $8 }' | sort -u | comm -23 - libc.names",
                       product("libgrace.so"))),
        "");
}
END_TEST

/* Whoever calls __sigaction or poll's other name means the same function, and so an old program
 * that binds an old version. (GLIBC_PRIVATE is for libc's own parts.) */
START_TEST(each_other_name_of_an_exported_call_is_exported_too)
{
    write_file("exported", "%s", actual_exports());
    expect_text(output_of("ldd /bin/sh | sed -n 's/.*libc.so.6 => \\([^ ]*\\).*/\\1/p' |"
                          " xargs readelf --dyn-syms -W | grep -v GLIBC_PRIVATE |"
                          " awk 'FILENAME == \"exported\" { ours[$1] = 1; next }"
                          " $4 == \"FUNC\" && $7 != \"UND\" { sub(/@.*/, \"\", $8);"
                          " names[$2] = names[$2] \" \" $8; if ($8 in ours) meant[$2] = 1 }"
                          " END { for (at in meant) { count = split(names[at], name, \" \");"
                          " for (i = 1; i <= count; i++) if (!(name[i] in ours)) print name[i] } }'"
                          " exported - | sort -u"),
                "");
}
END_TEST

/* lighttpd exports config_init, slapd config_destroy: libgrace must not call them, nor they ours.
 */
START_TEST(a_program_with_libconfigs_names_is_not_disturbed)
{
    config("%s", hooks_abc(hook_command));
    struct process *target = start(GRACED, program("namesake"));
    expect_status(wait_end(target), EXITED(3));
    expect_text(contents(target->out), "main\n");
    expect_order("C B A");
}
END_TEST

START_TEST(a_program_may_define_libcs_own_names)
{
    config("%s", hooks_abc(hook_command));
    struct process *target = start(GRACED, program("namesake"), "stop");
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(target->out), "ready\n");
    expect_order("C B A");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hidden");
    TCase *group = story_case(all, "hidden");
    tcase_add_test(group, it_needs_libc_alone);
    tcase_add_test(group, it_exports_what_is_declared_and_nothing_else);
    tcase_add_test(group, each_export_is_a_name_of_libc);
    tcase_add_test(group, each_other_name_of_an_exported_call_is_exported_too);
    tcase_add_test(group, a_program_with_libconfigs_names_is_not_disturbed);
    tcase_add_test(group, a_program_may_define_libcs_own_names);
    return all;
}
