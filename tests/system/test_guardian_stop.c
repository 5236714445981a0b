/*
 * What the guardian does when something comes between the beginning of a stop and its end: kill -9,
 * a second signal, a target that is stopped, stuck or deaf. What was under way finishes, what was
 * owed runs, nothing twice, and what libgrace leads is over by the deadline.
 */
#include "harness_guardian.h"

#include <string.h>

/* Runs words as guardian_target does, says "ready", and waits; its guardian is at its post. */
static struct process *start_target(const char *word)
{
    struct process *target = start(GRACED, program("guardian_target"), word, "say:ready", "wait");
    wait_ready(target);
    wait_guardian(target);
    return target;
}

static char *hook_that_hangs_inside(const char *name, const char *more)
{
    return text("{ name = \"%s\"; plugin = \"%s\"; timeout = \"30m\"; "
                "options = { how = \"hang\"; file = \"%s\"; }; %s }",
                name, plugin("story_misbehave"), here("order"), more);
}

/* ---- kill -9 in the middle of a stop ------------------------------------------------------- */

START_TEST(kill_9_while_a_command_runs)
{
    config("hooks = (%s, %s, %s, %s);", hook_command("K", "phase = \"cleanup\";"),
           hook_command("A", ""), hook_that_waits("B", "timeout = \"1m\";"), hook_command("C", ""));
    struct process *target = start_target("say:");
    send_signal(target, SIGTERM);
    wait_exists("began");
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    write_file("go", "%s", "");
    expect_order("C B B-done A K");
}
END_TEST

START_TEST(kill_9_while_a_hook_runs_inside)
{
    config("deadline = \"1h\";\nhooks = (%s, %s, %s, %s);",
           hook_command("K", "phase = \"cleanup\";"), hook_command("A", ""),
           hook_that_hangs_inside("B", ""), hook_command("C", ""));
    struct process *target = start_target("say:");
    send_signal(target, SIGTERM);
    wait_contains("order", "hang\n");
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    expect_order("C hang A K");
}
END_TEST

START_TEST(kill_9_while_exit_waits_for_a_command)
{
    config("hooks = (%s, %s, %s);", hook_command("K", "phase = \"cleanup\";"),
           hook_command("A", ""), hook_that_waits("B", "timeout = \"1m\";"));
    struct process *target = start(GRACED, program("guardian_target"), "exit:3");
    wait_exists("began");
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    write_file("go", "%s", "");
    expect_order("B B-done A K");
}
END_TEST

/* The failure of a hook that says "abort" counts, whoever comes to know of it. */
START_TEST(kill_9_after_a_hook_that_aborts_runs_nothing_more)
{
    config("hooks = (%s, %s, %s);", hook_command("A", ""),
           hook_script("B", ": > began; while [ ! -e go ]; do sleep 0.02; done; exit 1",
                       "timeout = \"1m\"; on_failure = \"abort\";"),
           hook_command("C", ""));
    struct process *target = start_target("say:");
    send_signal(target, SIGTERM);
    wait_exists("began");
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    write_file("go", "%s", "");
    expect_order("C");
}
END_TEST

/* ---- a second signal ----------------------------------------------------------------------- */

START_TEST(a_second_signal_ends_the_target_and_the_guardian_finishes)
{
    config("deadline = \"1h\";\nhooks = (%s, %s, %s, %s);",
           hook_command("K", "phase = \"cleanup\";"), hook_command("A", ""),
           hook_that_waits("B", "timeout = \"30m\";"), hook_command("C", ""));
    struct process *target = start_target("say:");
    send_signal(target, SIGTERM);
    wait_exists("began");
    for (int64_t since = now_ms(); !has_ended(target) && now_ms() - since < STORY_LIMIT_MS;) {
        send_signal(target, SIGTERM);
        let_pass(50);
    }
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect(strstr(contents("order"), "B-done") == NULL);
    write_file("go", "%s", "");
    expect_order("C B B-done A K");
}
END_TEST

/* ---- the deadline -------------------------------------------------------------------------- */

START_TEST(a_target_that_is_stopped_is_killed_at_the_deadline)
{
    config("deadline = \"3s\";\nhooks = (%s, %s, %s);", hook_command("K", "phase = \"cleanup\";"),
           hook_command("A", ""), hook_that_waits("B", ""));
    struct process *target = start_target("say:");
    int64_t begin = now_ms();
    send_signal(target, SIGTERM);
    wait_exists("began");
    send_signal(target, SIGSTOP);
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect(now_ms() - begin >= 3000);
    expect_order("B B-done A K");
}
END_TEST

START_TEST(a_target_that_is_stopped_inside_a_hook_is_killed_at_the_deadline)
{
    config("deadline = \"3s\";\nhooks = (%s, %s, %s);", hook_command("K", "phase = \"cleanup\";"),
           hook_command("A", ""), hook_that_hangs_inside("B", ""));
    struct process *target = start_target("say:");
    send_signal(target, SIGTERM);
    wait_contains("order", "hang\n");
    send_signal(target, SIGSTOP);
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect_order("hang A K");
}
END_TEST

START_TEST(an_exit_handler_that_spins_deaf_is_over_at_the_deadline)
{
    config("deadline = \"3s\";\nend = \"exit\";\nhooks = (%s, %s);",
           hook_command("K", "phase = \"cleanup\";"), hook_command("A", ""));
    struct process *target = start_target("atexit-spin");
    send_signal(target, SIGTERM);
    int status = wait_end(target);
    expect(exists("spins"));
    expect(status == EXITED(128 + SIGTERM) || status == KILLED(SIGKILL), "%s",
           status_words(status));
    expect_order("A K");
}
END_TEST

START_TEST(enforced_a_handler_that_spins_deaf_is_killed_at_the_deadline)
{
    config("deadline = \"3s\";\nenforce = true;\nhooks = (%s, %s, %s);",
           hook_command("K", "phase = \"cleanup\";"), hook_command("S", ""),
           hook_command("A", "phase = \"announce\";"));
    struct process *target = start_target("on-term:spin");
    send_signal(target, SIGTERM);
    wait_exists("spins");
    expect_text(contents("order"), "A\n"); /* before its handler */
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect_order("A S K");
}
END_TEST

START_TEST(enforced_a_handler_that_does_nothing_is_killed_at_the_deadline)
{
    config("deadline = \"300ms\";\nenforce = true;\nhooks = (%s);", hook_command("S", ""));
    struct process *target = start_target("on-term:nothing");
    expect_status(stop_with(target, SIGTERM), KILLED(SIGKILL));
    expect_order("S");
}
END_TEST

/* Enforcing needs the guardian even where no hook does. */
START_TEST(enforced_without_any_hook)
{
    config("deadline = \"300ms\";\nenforce = true;\n");
    struct process *target = start_target("on-term:spin");
    expect_status(stop_with(target, SIGTERM), KILLED(SIGKILL));
}
END_TEST

START_TEST(not_enforced_a_target_with_a_handler_goes_on_living)
{
    config("deadline = \"200ms\";\nhooks = (%s);", hook_command("S", ""));
    struct process *target = start_target("on-term:nothing");
    send_signal(target, SIGTERM);
    let_pass(1200); /* well above the deadline and what is added to it */
    expect(!has_ended(target));
    expect_text(contents("order"), "");
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    expect_order("S");
}
END_TEST

/* What the guardian runs afterwards is bounded too: a hook that hangs does not keep it for ever. */
START_TEST(hooks_of_a_dead_target_are_over_by_the_deadline)
{
    config("deadline = \"3s\";\nhooks = (%s, %s, %s);", hook_command("A", ""),
           hook_that_waits("B", "timeout = \"30m\";"), hook_command("C", ""));
    struct process *target = start_target("say:");
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    wait_all_gone();
    expect(strncmp(contents("order"), "C\nB\n", 4) == 0);
    expect(strstr(contents("order"), "B-done") == NULL);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guardian in a stop");
    TCase *group = story_case(all, "kill -9");
    tcase_add_test(group, kill_9_while_a_command_runs);
    tcase_add_test(group, kill_9_while_a_hook_runs_inside);
    tcase_add_test(group, kill_9_while_exit_waits_for_a_command);
    tcase_add_test(group, kill_9_after_a_hook_that_aborts_runs_nothing_more);
    group = story_case(all, "second signal");
    tcase_add_test(group, a_second_signal_ends_the_target_and_the_guardian_finishes);
    group = story_case(all, "deadline");
    tcase_add_test(group, a_target_that_is_stopped_is_killed_at_the_deadline);
    tcase_add_test(group, a_target_that_is_stopped_inside_a_hook_is_killed_at_the_deadline);
    tcase_add_test(group, an_exit_handler_that_spins_deaf_is_over_at_the_deadline);
    tcase_add_test(group, enforced_a_handler_that_spins_deaf_is_killed_at_the_deadline);
    tcase_add_test(group, enforced_a_handler_that_does_nothing_is_killed_at_the_deadline);
    tcase_add_test(group, enforced_without_any_hook);
    tcase_add_test(group, not_enforced_a_target_with_a_handler_goes_on_living);
    tcase_add_test(group, hooks_of_a_dead_target_are_over_by_the_deadline);
    return all;
}
