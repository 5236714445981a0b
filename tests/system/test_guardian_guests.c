/*
 * Targets that are hard to look after: they drop root, change their root, leave their namespaces,
 * close every descriptor, or become another program. Their hooks run once all the same.
 */
#include "harness_guardian.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void with_hooks(void)
{
    config("hooks = (%s, %s, %s, %s);", hook_command("K", "phase = \"cleanup\";"),
           hook_command("S2", ""), hook_command("S1", ""),
           hook_command("A", "phase = \"announce\";"));
}

static const struct guest_case {
    const char *words[2];
    bool needs_root;
} guests[] = {
    {{"close-all"}, false},  {{"nobody"}, true},
    {{"chroot:jail"}, true}, {{"chroot:jail", "nobody"}, true},
    {{"unshare"}, true},     {{"unshare", "nobody"}, true},
};
#define GUESTS ((int)(sizeof guests / sizeof guests[0]))

static struct process *start_guest(const struct guest_case *guest)
{
    if (guest->needs_root && geteuid() != 0)
        skip("not root");
    mkdir(here("jail"), 0755);
    struct process *target =
        start(GRACED, program("guardian_target"), guest->words[0],
              guest->words[1] != NULL ? guest->words[1] : "mark:changed", "mark:ready", "wait");
    wait_exists("ready");
    wait_guardian(target);
    return target;
}

START_TEST(a_guest_that_gets_term)
{
    with_hooks();
    struct process *target = start_guest(&guests[_i]);
    int64_t begin = now_ms();
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect(now_ms() - begin < 5000);
    expect_order("A S1 S2 K");
}
END_TEST

START_TEST(a_guest_that_is_killed)
{
    with_hooks();
    struct process *target = start_guest(&guests[_i]);
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    expect_order("A S1 S2 K");
}
END_TEST

/* The guardian may not be reached in there, but it may kill from outside. */
START_TEST(a_guest_that_is_stopped)
{
    config("deadline = \"2s\";\nhooks = (%s, %s);", hook_command("K", "phase = \"cleanup\";"),
           hook_that_waits("A", ""));
    struct process *target = start_guest(&guests[_i]);
    send_signal(target, SIGTERM);
    wait_exists("began");
    send_signal(target, SIGSTOP);
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect_order("A A-done K");
}
END_TEST

/* ---- another program ----------------------------------------------------------------------- */

START_TEST(after_an_exec_it_is_the_same_guardian)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    with_hooks();
    struct process *target =
        start(GRACED, program("guardian_target"), "exec", "exec", "say:ready", "wait");
    wait_ready(target);
    pid_t guardian = wait_guardian(target);
    expect(strstr(contents(text("/proc/%d/cmdline", guardian)), "grace-guardian") != NULL);
    expect_status(stop_with(target, signals[_i]), KILLED(signals[_i]));
    expect_order("A S1 S2 K");
}
END_TEST

/* It is another program now, with hooks of its own: the first one's are nobody's any more. */
START_TEST(after_an_exec_with_another_config_its_hooks_count)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    with_hooks();
    write_file("other.conf", "hooks = (%s);", hook_command("OTHER", ""));
    struct process *target = start(GRACED, program("guardian_target"),
                                   text("exec:%s", here("other.conf")), "say:ready", "wait");
    wait_ready(target);
    wait_guardian(target);
    expect_status(stop_with(target, signals[_i]), KILLED(signals[_i]));
    expect_order("OTHER");
}
END_TEST

/* The guardian is root's, and cannot be reached any more: it runs what is owed afterwards. */
START_TEST(after_an_exec_as_another_user_the_guardian_goes_on)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    if (geteuid() != 0)
        skip("not root");
    with_hooks();
    expect(chmod(here("grace.conf"), 0644) == 0);
    expect(system(text("mkdir -m 755 built && cp '%s' '%s' '%s' built/ && chmod -R a+rX built",
                       product("libgrace.so"), product("grace"), program("guardian_target"))) == 0);
    const char *words[] = {
        here("built/guardian_target"), "nobody", "exec", "say:ready", "wait", NULL};
    struct process *target = start_under(here("built/libgrace.so"), words);
    wait_ready(target);
    wait_guardian(target);
    expect_status(stop_with(target, signals[_i]), KILLED(signals[_i]));
    expect_order("A S1 S2 K");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guardian's guests");
    TCase *group = story_case(all, "hard to look after");
    tcase_add_loop_test(group, a_guest_that_gets_term, 0, GUESTS);
    tcase_add_loop_test(group, a_guest_that_is_killed, 0, GUESTS);
    tcase_add_loop_test(group, a_guest_that_is_stopped, 0, GUESTS);
    group = story_case(all, "another program");
    tcase_add_loop_test(group, after_an_exec_it_is_the_same_guardian, 0, 2);
    tcase_add_loop_test(group, after_an_exec_with_another_config_its_hooks_count, 0, 2);
    tcase_add_loop_test(group, after_an_exec_as_another_user_the_guardian_goes_on, 0, 2);
    return all;
}
