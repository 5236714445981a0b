/* grace ps, status and stop, as people and scripts use them on programs that stop. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness_ledger.h"
#include "harness_story.h"

/* A hook that waits until the test lets it go. */
static char *held_hook(const char *phase)
{
    return hook_script("held",
                       "touch begun; while [ ! -e go ]; do sleep 0.02; done; echo held >> order",
                       text("phase = \"%s\"; timeout = \"1h\";", phase));
}

static void with_hooks(const char *first, const char *second)
{
    config("deadline = \"2h\"; log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s);\n",
           here("log"), first, second);
}

static struct process *grace(const char *subcommand, const char *option, const struct process *of)
{
    const char *pid = text("%d", (int)of->pid);
    return option == NULL ? start(BARE, product("grace"), subcommand, pid)
                          : start(BARE, product("grace"), subcommand, option, pid);
}

static const char *answer(const char *subcommand, const char *option, const struct process *of)
{
    struct process *asked = grace(subcommand, option, of);
    expect_status(wait_end(asked), EXITED(0));
    return contents(asked->out);
}

/* What a script would read of it. */
static const char *field(const char *json, const char *expression)
{
    write_file("answer.json", "%s", json);
    struct process *reader = start(BARE, "/usr/bin/python3", "-c",
                                   text("import json; d = json.load(open('%s')); print(%s, end='')",
                                        here("answer.json"), expression));
    expect_status(wait_end(reader), EXITED(0));
    return contents(reader->out);
}

/* Until a status says so. */
static void wait_stage(const struct process *target, const char *stage)
{
    for (int64_t since = now_ms();;) {
        struct process *asked = grace("status", "--json", target);
        if (wait_end(asked) == EXITED(0) &&
            strcmp(field(contents(asked->out), "d['stage']"), stage) == 0)
            return;
        expect(now_ms() - since < STORY_LIMIT_MS, "never %s: %s", stage, contents(asked->out));
    }
}

static struct process *start_target(void)
{
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    wait_stage(target, "running"); /* its guardian is there */
    return target;
}

static struct process *target_in(const char *phase)
{
    with_hooks(held_hook(phase), hook_command("A", ""));
    return start_target();
}

START_TEST(who_runs_is_listed_until_it_ends)
{
    struct process *target = target_in("stop");
    struct process *all = start(BARE, product("grace"), "ps");
    expect_status(wait_end(all), EXITED(0));
    expect(strstr(contents(all->out), text("%d worker", (int)target->pid)) != NULL, "%s",
           contents(all->out));
    all = start(BARE, product("grace"), "ps", "--json");
    expect_status(wait_end(all), EXITED(0));
    expect_text(
        field(contents(all->out), text("[(p['program'], p['stage'], len(p['hooks'])) for p in d "
                                       "if p['pid'] == %d]",
                                       (int)target->pid)),
        "[('worker', 'running', 2)]");
    write_file("go", "%s", "");
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("A held");
    all = start(BARE, product("grace"), "ps");
    expect_status(wait_end(all), EXITED(0));
    expect(strstr(contents(all->out), text("%d worker", (int)target->pid)) == NULL);
}
END_TEST

/* The process that `grace ps` lists with this story's config; 0: none. */
static int listed(void)
{
    int pid = 0;
    struct process *all = start(BARE, product("grace"), "ps");
    expect_status(wait_end(all), EXITED(0));
    for (char *line = strtok(contents(all->out), "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strstr(line, here("t.conf")) != NULL)
            pid = atoi(line);
    return pid;
}

/* A guardian that has its socket, but is not yet in listen(), refuses as a dead one would. */
START_TEST(who_asks_too_early_may_ask_again)
{
    CONFIGURE("hooks = (%s);\n", hook_command("A", ""));
    struct process *strace = start(
        BARE, "strace", "-f", "-o", here("trace"), "-e", "trace=listen", "-e",
        "inject=listen:delay_enter=300000", "-E", text("LD_PRELOAD=%s", product("libgrace.so")),
        "-E", text("GRACE_CONFIG=%s", here("t.conf")), program("worker"), "poll");
    int pid = 0;
    for (int64_t since = now_ms(); (pid = listed()) == 0;)
        expect(look_again(since), "it is never listed: %s", contents(strace->err));
    expect(strstr(contents("trace"), "(DELAYED)") != NULL, "%s", contents("trace"));
    kill(pid, SIGTERM);
    expect_status(wait_end(strace), KILLED(SIGTERM));
    expect_order("A");
}
END_TEST

START_TEST(status_tells_of_each_hook)
{
    struct process *target = target_in("stop");
    expect_text(field(answer("status", "--json", target), "[h['state'] for h in d['hooks']]"),
                "['owed', 'owed']");
    send_signal(target, SIGTERM);
    wait_exists("begun");
    expect_text(field(answer("status", "--json", target),
                      "[d['stage'], d['phase'], d['signal'], d['deadline_ms'] > 0] + "
                      "[(h['name'], h['state'], h['outcome']) for h in d['hooks']]"),
                "['stopping', 'stop', 'SIGTERM', True, ('A', 'done', 'done'), "
                "('held', 'running', None)]");
    const char *shown = answer("status", NULL, target);
    expect(strstr(shown, text("worker (pid %d): stopping (SIGTERM), phase stop", (int)target->pid)),
           "%s", shown);
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A held");
}
END_TEST

START_TEST(who_is_not_watched_is_said_to_be)
{
    struct process *bare = start(BARE, program("worker"), "poll");
    wait_ready(bare);
    struct process *asked = grace("status", NULL, bare);
    expect_status(wait_end(asked), EXITED(69));
    expect(strstr(contents(asked->err), "no guardian watches") != NULL, "%s", contents(asked->err));
    expect_status(stop_with(bare, SIGTERM), KILLED(SIGTERM));
    asked = grace("status", NULL, bare);
    expect_status(wait_end(asked), EXITED(69));
    expect(strstr(contents(asked->err), "there is no process") != NULL, "%s", contents(asked->err));
    asked = start(BARE, product("grace"), "status", "12x");
    expect_status(wait_end(asked), EXITED(64));
    asked = start(BARE, product("grace"), "stop");
    expect_status(wait_end(asked), EXITED(64));
}
END_TEST

START_TEST(stop_shows_what_happens_and_ends_with_its_status)
{
    struct process *target = target_in("cleanup");
    write_file("go", "%s", "");
    struct process *stop = grace("stop", NULL, target);
    expect_status(wait_end(stop), EXITED(128 + SIGTERM));
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A held");
    const char *told = contents(stop->out);
    expect(strchr(told, '\033') == NULL && strchr(told, '\r') == NULL, "%s", told);
    expect(strstr(told, "worker: stop     A: done\n") != NULL, "%s", told);
    expect(strstr(told, "worker: cleanup  held: done\n") != NULL, "%s", told);
    expect(strstr(told, "killed by SIGTERM after ") != NULL, "%s", told);
    expect(strstr(told, "; hooks: 2 done, 0 failed, 0 not run\n") != NULL, "%s", told);
}
END_TEST

START_TEST(stop_works_without_a_guardian)
{
    for (int way = BARE; way <= GRACED; way++) {
        config("%s", "log = { level = \"error\"; };");
        struct process *target = start((enum way)way, program("worker"), "poll");
        wait_ready(target);
        expect_status(wait_end(grace("stop", NULL, target)), EXITED(128 + SIGTERM));
        expect_status(wait_end(target), KILLED(SIGTERM));
        struct process *again = grace("stop", NULL, target);
        expect_status(wait_end(again), EXITED(69));
    }
}
END_TEST

START_TEST(another_stop_joins_the_one_under_way)
{
    struct process *target = target_in("stop");
    struct process *first = grace("stop", NULL, target);
    wait_exists("begun");
    let_pass(600); /* from then on another signal would be a second one, and cut the stop short */
    struct process *second = grace("stop", NULL, target);
    wait_contains(second->out, "stopping (SIGTERM)");
    write_file("go", "%s", "");
    expect_status(wait_end(first), EXITED(128 + SIGTERM));
    expect_status(wait_end(second), EXITED(128 + SIGTERM));
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A held");
    expect(strstr(contents("log"), "cut short") == NULL, "%s", contents("log"));
}
END_TEST

START_TEST(force_cuts_the_stop_short)
{
    with_hooks(hook_plugin("inside", ""), held_hook("announce"));
    struct process *target = start(GRACED, program("worker"), "poll");
    wait_ready(target);
    send_signal(target, SIGTERM);
    wait_exists("begun");
    struct process *stop = grace("stop", "--force", target);
    expect_status(wait_end(target), KILLED(SIGTERM));
    write_file("go", "%s", ""); /* what the guardian has begun it finishes */
    expect_status(wait_end(stop), EXITED(128 + SIGTERM));
    expect_order("held");
}
END_TEST

/* Until somebody's wish stands in the ledger, the only one in the story's state_dir. */
static void wait_wish(uint32_t wish)
{
    struct on_disk ledger;
    for (int64_t since = now_ms();
         !read_ledger(ledger_file(), &ledger) || (atomic_load(&ledger.head.wishes) & wish) == 0;)
        expect(look_again(since), "nobody wished it");
}

START_TEST(abort_takes_a_stop_back_and_the_next_one_works)
{
    CONFIGURE("deadline = \"2h\"; hooks = (%s, %s);\n", held_hook("announce"),
              hook_command("A", ""));
    struct process *target = start_target();
    struct process *stop = grace("stop", NULL, target);
    wait_exists("begun");
    struct process *back = grace("stop", "--abort", target);
    wait_wish(GRACE_WISH_ABORT);
    write_file("go", "%s", "");
    expect_status(wait_end(back), EXITED(0));
    expect_status(wait_end(stop), EXITED(75));
    wait_stage(target, "running");
    expect(!has_ended(target));
    back = grace("stop", "--abort", target);
    expect_status(wait_end(back), EXITED(0));
    expect(strstr(contents(back->err), "nothing to take back") != NULL, "%s", contents(back->err));
    expect_status(wait_end(grace("stop", "--quiet", target)), EXITED(128 + SIGTERM));
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("held A"); /* what was announced is not announced again */
}
END_TEST

START_TEST(abort_comes_too_late_after_the_drain)
{
    struct process *target = target_in("stop");
    send_signal(target, SIGTERM);
    wait_exists("begun");
    struct process *back = grace("stop", "--abort", target);
    expect_status(wait_end(back), EXITED(75));
    expect(strstr(contents(back->err), "cannot be taken back") != NULL, "%s", contents(back->err));
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A held");
}
END_TEST

START_TEST(no_drain_does_not_wait_for_requests)
{
    config("deadline = \"2h\"; drain = { timeout = \"1h\"; };\nhooks = (%s);\n",
           hook_command("A", ""));
    int port = free_port();
    struct process *target = start(GRACED, program("server"), "--mode", "thread", "--delay",
                                   "7200000", text("ipv4:%d", port));
    wait_port(target, port);
    int client = dial(port);
    expect(client >= 0);
    expect(write(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27) == 27);
    send_signal(target, SIGTERM);
    for (int64_t since = now_ms();;) {
        struct process *asked = grace("status", "--json", target); /* perhaps before its guardian */
        if (wait_end(asked) == EXITED(0) &&
            strcmp(field(contents(asked->out), "d['drain']['state'] + str(d['drain']['busy'])"),
                   "draining1") == 0)
            break;
        expect(now_ms() - since < STORY_LIMIT_MS, "%s", contents(asked->out));
    }
    expect_status(wait_end(grace("stop", "--no-drain", target)), EXITED(128 + SIGTERM));
    expect_status(wait_end(target), KILLED(SIGTERM));
    close(client);
    expect_order("A");
}
END_TEST

START_TEST(stop_does_not_wait_longer_than_it_may)
{
    struct process *target = target_in("stop");
    const char *pid = text("%d", (int)target->pid);
    struct process *stop = start(BARE, product("grace"), "stop", "--timeout", "200ms", pid);
    expect_status(wait_end(stop), EXITED(75));
    expect(strstr(contents(stop->err), "has not ended yet") != NULL, "%s", contents(stop->err));
    expect(!has_ended(target));
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A held");
}
END_TEST

START_TEST(others_may_not_ask_and_root_may_ask_of_all)
{
    struct process *target = target_in("stop");
    const char *pid = text("%d", (int)target->pid);
    struct process *asked = launch(&(struct launch){
        .way = BARE, .argv = ARGV(product("grace"), "status", pid), .user = "nobody"});
    expect_status(wait_end(asked), EXITED(69));
    asked = launch(&(struct launch){
        .way = BARE, .argv = ARGV(product("grace"), "stop", pid), .user = "nobody"});
    expect_status(wait_end(asked), EXITED(77));
    write_file("go", "%s", "");
    expect_status(wait_end(grace("stop", NULL, target)), EXITED(128 + SIGTERM));
    wait_end(target);

    config("hooks = (%s);\n", "{ name = \"x\"; command = [\"/bin/true\"]; }");
    target = launch(
        &(struct launch){.way = GRACED, .argv = ARGV(program("worker"), "poll"), .user = "nobody"});
    wait_ready(target);
    wait_stage(target, "running");
    expect_status(wait_end(grace("stop", NULL, target)), EXITED(128 + SIGTERM));
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A held");
}
END_TEST

START_TEST(a_guardian_that_was_killed_leaves_nothing_in_the_list)
{
    struct process *target = target_in("stop");
    pid_t guardian = guardian_pid();
    kill(guardian, SIGKILL);
    expect(waitpid(guardian, NULL, 0) == guardian); /* an orphan of the story's */
    struct process *asked = grace("status", NULL, target);
    expect_status(wait_end(asked), EXITED(69));
    expect(access(text("/run/grace/%d", (int)guardian), F_OK) != 0);
    write_file("go", "%s", "");
    expect_status(wait_end(grace("stop", NULL, target)), EXITED(128 + SIGTERM));
    wait_end(target);
    expect_order("A held");
}
END_TEST

START_TEST(at_a_terminal_it_moves_and_interrupt_leaves_the_stop_to_itself)
{
    struct process *target = target_in("stop");
    environment("TERM", "xterm");
    struct process *stop = launch(&(struct launch){
        .way = BARE,
        .argv = ARGV("script", "-qefc", text("%s stop %d", product("grace"), (int)target->pid),
                     "/dev/null"),
        .terminal = true});
    wait_contains(stop->out, "\033[Kstop: held: running");
    type_interrupt(stop);
    expect_status(wait_end(stop), EXITED(130));
    expect(!has_ended(target));
    wait_stage(target, "stopping");
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A held");
}
END_TEST

/* What stands on the screen of a terminal that a person looks at. */
static const char *screen(void)
{
    struct process *capture = start(BARE, "tmux", "-S", here("tmux"), "capture-pane", "-p");
    expect_status(wait_end(capture), EXITED(0));
    return contents(capture->out);
}

static const char *wait_screen(const char *words)
{
    for (int64_t since = now_ms();; let_pass(50)) {
        const char *now = screen();
        if (strstr(now, words) != NULL)
            return now;
        expect(now_ms() - since < STORY_LIMIT_MS, "no \"%s\" on the screen:\n%s", words, now);
    }
}

START_TEST(in_a_narrow_window_the_line_stays_one_line)
{
    struct process *target = target_in("stop");
    environment("TERM", "screen");
    environment("SHELL", "/bin/bash"); /* which outlives an interrupted command */
    expect_status(run(BARE, "tmux", "-S", here("tmux"), "-f", "/dev/null", "new-session", "-d",
                      "-x", "24", "-y", "20",
                      text("%s stop %d; cat", product("grace"), (int)target->pid)),
                  EXITED(0));
    const char *shown = wait_screen("stop: held: running");
    expect(count_of(shown, "stop: held") == 1, "%s", shown);
    expect_status(run(BARE, "tmux", "-S", here("tmux"), "send-keys", "C-c"), EXITED(0));
    shown = wait_screen("goes on");
    expect(strstr(shown, "held: running") == NULL, "%s", shown);
    write_file("go", "%s", "");
    expect_status(wait_end(target), KILLED(SIGTERM));
    run(BARE, "tmux", "-S", here("tmux"), "kill-server");
    expect_order("A held");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("control");
    TCase *group = story_case(all, "control");
    tcase_add_test(group, who_runs_is_listed_until_it_ends);
    tcase_add_test(group, who_asks_too_early_may_ask_again);
    tcase_add_test(group, status_tells_of_each_hook);
    tcase_add_test(group, who_is_not_watched_is_said_to_be);
    tcase_add_test(group, stop_shows_what_happens_and_ends_with_its_status);
    tcase_add_test(group, stop_works_without_a_guardian);
    tcase_add_test(group, another_stop_joins_the_one_under_way);
    tcase_add_test(group, force_cuts_the_stop_short);
    tcase_add_test(group, abort_takes_a_stop_back_and_the_next_one_works);
    tcase_add_test(group, abort_comes_too_late_after_the_drain);
    tcase_add_test(group, no_drain_does_not_wait_for_requests);
    tcase_add_test(group, stop_does_not_wait_longer_than_it_may);
    tcase_add_test(group, others_may_not_ask_and_root_may_ask_of_all);
    tcase_add_test(group, a_guardian_that_was_killed_leaves_nothing_in_the_list);
    tcase_add_test(group, in_a_narrow_window_the_line_stays_one_line);
    tcase_add_test(group, at_a_terminal_it_moves_and_interrupt_leaves_the_stop_to_itself);
    return all;
}
