/*
 * /etc/ld.so.preload: the loader puts libgrace into every program, a hook's command and the
 * guardian included. Each program owes the hooks of its own config, once, also across an exec; what
 * a hook starts owes none.
 *
 * In a mount namespace, where /etc is a folder of the story's. A hook that ran for a hook would
 * have hooks run without end: each of these empties the file once there are too many lines.
 */
#include "harness.h"

#define ENOUGH                                                                                     \
    "n=0; while read -r line; do n=$((n + 1)); done < order; "                                     \
    "[ $n -lt 9 ] || : > /etc/ld.so.preload"

static char *careful_hook(const char *name, const char *more)
{
    return hook_script(name, text("echo %s >> order; " ENOUGH, name), more);
}

/* Run a script of a shell that has no libgrace itself: it was there before the file. */
static struct process *start_where_all_have_it(const char *script)
{
    static const char enter[] =
        "mkdir etc && cp /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache etc &&"
        " mount --bind etc /etc && mkfifo pipe && exec 3<>pipe && echo \"$0\" > "
        "/etc/ld.so.preload; ";
    config("hooks = (%s, %s, %s);", careful_hook("A", "phase = \"announce\";"),
           careful_hook("B", ""), careful_hook("C", "phase = \"cleanup\";"));
    environment("WORKER", program("worker"));
    return start(BARE, "unshare", "--mount", namespace_option(), "env",
                 text("GRACE_CONFIG=%s", here("grace.conf")), "sh", "-c",
                 text("%s%s", enter, script), product("libgrace.so"));
}

static const struct {
    const char *script;
    int status;
} programs[] = {
    {"/bin/true", EXITED(0)},
    {"/bin/false", EXITED(1)},
    {"\"$WORKER\" poll >&3 & read line <&3; kill -TERM $!; wait $!", EXITED(143)},
    {"\"$WORKER\" poll >&3 & read line <&3; kill -KILL $!; wait $!", EXITED(137)},
};

START_TEST(each_program_owes_its_hooks_and_no_hook_does)
{
    struct process *shell = start_where_all_have_it(programs[_i].script);
    expect_status(wait_end(shell), programs[_i].status);
    expect_order("A B C");
}
END_TEST

/* The guardian that watches it goes on to, and no second one comes. */
START_TEST(an_exec_owes_them_once)
{
    write_file("becomes", "exec /usr/bin/env sh -c 'exec /bin/%s'", _i == 0 ? "true" : "false");
    struct process *shell = start_where_all_have_it("sh becomes");
    expect_status(wait_end(shell), EXITED(_i));
    expect_order("A B C");
}
END_TEST

/* Unless it is said by LD_PRELOAD: then a hook starts what it likes. */
START_TEST(a_hook_may_start_a_program_under_libgrace)
{
    config("hooks = (%s);", hook_script("A",
                                        "GRACE_CONFIG=$PWD/other.conf "
                                        "LD_PRELOAD=$LIBRARY /bin/true",
                                        ""));
    write_file("other.conf", "hooks = (%s);", hook_command("B", ""));
    environment("LIBRARY", product("libgrace.so"));
    expect_status(run(GRACED, "/bin/true"), EXITED(0));
    expect_order("B");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("preload file");
    TCase *group = story_case(all, "all have it");
    tcase_add_loop_test(group, each_program_owes_its_hooks_and_no_hook_does, 0,
                        (int)(sizeof programs / sizeof *programs));
    tcase_add_loop_test(group, an_exec_owes_them_once, 0, 2);
    tcase_add_test(group, a_hook_may_start_a_program_under_libgrace);
    return all;
}
