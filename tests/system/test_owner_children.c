/*
 * What the owner executes gets nothing of libgrace's: the same environment, signals, descriptors
 * and limits as without, whatever the way and whatever state the owner is in. And a child by vfork
 * or posix_spawn does the same system calls, but for getpid (is this the owner?).
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

static const char *const ways[] = {
    "fork-execve",  "fork-execv",  "fork-execvp",  "fork-execvpe",     "fork-execl",
    "fork-execlp",  "fork-execle", "fork-fexecve", "fork-execveat",    "fork-second-try",
    "vfork-execve", "vfork-execl", "vfork-execvp", "vfork-second-try", "forkfork-execve",
    "system",       "popen",       "spawn",        "spawn-session",    "spawn-default-signals",
    "clone",
};
static const char *const states[] = {"plain", "handles", "daemon", "stopping"};

static void three_hooks(void)
{
    config("hooks = (%s, %s, %s);", hook_command("A", "phase = \"announce\";"),
           hook_plugin("B", ""), hook_command("C", "phase = \"cleanup\";"));
}

static char *look(enum way way, const char *how, const char *state)
{
    struct process *process = start(way, program("owner_look"), how, state);
    expect_status(wait_end(process), EXITED(0));
    wait_all_gone();
    expect(strstr(contents(process->out), "SigCgt") != NULL, "%s", contents(process->out));
    return contents(process->out);
}

START_TEST(what_is_executed_gets_nothing)
{
    const char *how = ways[_i / COUNT(states)], *state = states[_i % COUNT(states)];
    three_hooks();
    const char *bare = look(BARE, how, state);
    expect(strstr(bare, "LD_PRELOAD") == NULL);
    expect_text(look(GRACED, how, state), bare);
    expect_order("A B C");
}
END_TEST

/* Nor where another preload stays in the variable, or the owner set one itself. */
START_TEST(what_was_preloaded_besides_stays)
{
    three_hooks();
    environment("LD_PRELOAD", "libm.so.6");
    const char *bare = look(BARE, ways[_i], "plain");
    environment("LD_PRELOAD", NULL);
    struct process *graced = start(
        BARE, "/usr/bin/env", text("LD_PRELOAD=libm.so.6:%s", product("libgrace.so")),
        text("GRACE_CONFIG=%s", here("grace.conf")), program("owner_look"), ways[_i], "plain");
    expect_status(wait_end(graced), EXITED(0));
    expect_text(contents(graced->out), bare);
    expect_order("A B C");
}
END_TEST

/* ---- what it costs --------------------------------------------------------------------------- */

/* The calls of the first child between its first one and its exec, by name. */
static char *calls_of_child(enum way way, const char *how)
{
    const char *trace = way == BARE ? "bare.trace" : "graced.trace";
    struct process *process = way == BARE
                                  ? start(BARE, "strace", "-f", "-o", here("%s", trace),
                                          program("owner_look"), how, "plain")
                                  : start(BARE, "strace", "-f", "-o", here("%s", trace), "-E",
                                          text("LD_PRELOAD=%s", product("libgrace.so")), "-E",
                                          text("GRACE_CONFIG=%s", here("grace.conf")),
                                          program("owner_look"), how, "plain");
    expect_status(wait_end(process), EXITED(0));
    /* The child is the process that executes "look". */
    struct process *calls =
        start(BARE, "/bin/sh", "-c",
              text("child=$(grep -F '\"look\"' '%s' | grep -F execve | head -1 | cut -d' ' -f1);"
                   "grep \"^$child \" '%s' | sed 's/^[0-9 ]*//; /^<... /d; s/[( ].*//' |"
                   "sed '/^execve/q' | grep -v ^getpid",
                   here("%s", trace), here("%s", trace)));
    expect_status(wait_end(calls), EXITED(0));
    return contents(calls->out);
}

START_TEST(a_spawned_child_does_the_same_system_calls)
{
    static const char *const cheap[] = {"vfork-execve", "spawn", "spawn-default-signals", "clone"};
    three_hooks();
    const char *bare = calls_of_child(BARE, cheap[_i]);
    expect(strstr(bare, "execve") != NULL, "%s", bare);
    expect_text(calls_of_child(GRACED, cheap[_i]), bare);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("owner: children");
    TCase *group = story_case(all, "children");
    tcase_add_loop_test(group, what_is_executed_gets_nothing, 0, COUNT(ways) * COUNT(states));
    tcase_add_loop_test(group, what_was_preloaded_besides_stays, 0, COUNT(ways));
    tcase_add_loop_test(group, a_spawned_child_does_the_same_system_calls, 0, 4);
    return all;
}
