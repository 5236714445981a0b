/*
 * A process that executes another program stays the owner: it owes its hooks once, in one file,
 * whoever kept them before the exec.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "harness_ledger.h"
#include "harness_story.h"

/* A shell that, by and by, becomes a program which says "ready" and waits. */
static struct process *start_shell(const char *script)
{
    write_file("ready", "ready\n");
    return start(GRACED, "/bin/sh", "-c", text("cd '%s'; %s", story_directory(), script));
}

START_TEST(a_program_that_executes_another_owes_its_hooks_once)
{
    CONFIGURE("guardian = \"off\";\n%s", hooks_in_phases());
    struct process *shell = start_shell("exec tail -f ready");
    wait_ready(shell);
    struct owner owner = owner_of(shell, false);
    kill_both(&owner);
    recover(EXITED(0));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(after_an_exec_a_normal_end_leaves_nothing)
{
    CONFIGURE("guardian = \"off\";\n%s", hooks_in_phases());
    struct process *shell = start_shell("exec tail -f ready");
    wait_ready(shell);
    expect_status(stop_with(shell, SIGTERM), KILLED(SIGTERM));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(a_guardian_that_is_gone_at_an_exec_is_replaced)
{
    CONFIGURE("%s", hooks_in_phases());
    struct process *shell = start_shell("until [ -e go ]; do :; done; exec tail -f ready");
    struct owner owner = owner_of(shell, true);
    pid_t first = owner.guardian;
    kill(first, SIGKILL);
    expect(waitpid(first, NULL, 0) == first); /* an orphan, so ours */
    write_file("go", "%s", "");
    wait_ready(shell);
    for (int64_t since = now_ms(); owner_of(shell, true).guardian == first;)
        expect(look_again(since), "no second guardian");
    send_signal(shell, SIGKILL);
    wait_end(shell);
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(a_program_under_another_config_owes_that_ones_hooks_only)
{
    char *first = CONFIGURE("guardian = \"off\";\n%s", hooks_in_phases());
    char *second = configure("other.conf",
                             text("guardian = \"off\";\nhooks = ( %s );", hook_command("X", "")));
    environment("GRACE_CONFIG", first);
    struct process *shell = start_shell("GRACE_CONFIG=\"$PWD/other.conf\" exec tail -f ready");
    wait_ready(shell);
    struct owner owner = owner_of(shell, false);
    kill_both(&owner);
    recover(EXITED(0));
    environment("GRACE_CONFIG", second);
    recover(EXITED(0));
    expect_order("X");
    expect_nothing_left();
}
END_TEST

/* The guardian is still root's: what is owed is in its ledger, and in no other. */
START_TEST(a_program_that_drops_root_by_exec_owes_its_hooks_once)
{
    if (geteuid() != 0)
        skip("only root can drop root");
    CONFIGURE("%s", hooks_in_phases());
    chmod(here("state"), 0777);
    bool killed = _i == 0;
    struct process *shell = start_shell("exec setpriv --reuid 65534 --clear-groups tail -f ready");
    wait_ready(shell);
    struct owner owner = owner_of(shell, true);
    if (killed) {
        kill_both(&owner);
        recover(EXITED(0));
    } else {
        expect_status(stop_with(shell, SIGTERM), KILLED(SIGTERM));
    }
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

Suite *suite(void)
{
    Suite *suite = suite_create("recover_exec");
    TCase *exec = story_case(suite, "exec");
    tcase_add_test(exec, a_program_that_executes_another_owes_its_hooks_once);
    tcase_add_test(exec, after_an_exec_a_normal_end_leaves_nothing);
    tcase_add_test(exec, a_guardian_that_is_gone_at_an_exec_is_replaced);
    tcase_add_test(exec, a_program_under_another_config_owes_that_ones_hooks_only);
    tcase_add_loop_test(exec, a_program_that_drops_root_by_exec_owes_its_hooks_once, 0, 2);
    return suite;
}
