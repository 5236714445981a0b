/*
 * What libgrace takes and shows: no system call more between a program's start and its stop, no
 * descriptor, thread or pending signal, the environment as without it, and no symbol but those of
 * the calls that it interposes.
 */
#include "harness.h"

#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No config, hooks without the guardian, hooks with it. */
#define CONFIGS 3

static void with_config(int which)
{
    if (which == 0)
        return;
    config("guardian = \"%s\";\nhooks = (%s, %s, %s);", which == 1 ? "off" : "on",
           hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""),
           hook_command("C", "phase = \"cleanup\";"));
}

/* ---- system calls -------------------------------------------------------------------------- */

/* The names of the calls between the program's two marks, one a line. */
static char *calls_of(const char *trace)
{
    bool between = false;
    const char *line = contents(trace);
    size_t used = 0;
    char *result = malloc(strlen(line) + 1);
    for (; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, "write(-1, \"end\"", 15) == 0)
            between = false;
        size_t length = strcspn(line, "(\n");
        /* Whether pthread_join waits by futex depends on which thread is faster. */
        if (between && strncmp(line, "futex", 5) != 0 && line[length] == '(' &&
            isalpha((unsigned char)line[0])) {
            memcpy(result + used, line, length);
            used += length;
            result[used++] = '\n';
        }
        if (strncmp(line, "write(-1, \"begin\"", 17) == 0)
            between = true;
    }
    result[used] = '\0';
    char *names = text("%s", result);
    free(result);
    return names;
}

static char *traced(enum way way, const char *trace)
{
    const char *program_path = program("footprint");
    struct process *process =
        way == BARE ? start(BARE, "strace", "-o", here("%s", trace), program_path)
                    : start(BARE, "strace", "-o", here("%s", trace), "-E",
                            text("LD_PRELOAD=%s", product("libgrace.so")), program_path);
    expect_status(wait_end(process), EXITED(7));
    return calls_of(trace);
}

START_TEST(no_system_call_more)
{
    if (_i > 0) {
        with_config(_i);
        environment("GRACE_CONFIG", here("grace.conf"));
    }
    const char *bare = traced(BARE, "bare.trace");
    expect(count_of(bare, "\n") > 50);
    expect_text(traced(GRACED, "graced.trace"), bare);
}
END_TEST

/* ---- page faults --------------------------------------------------------------------------- */

/* Where things lie in memory is another each time: what counts is the best place. */
static long faults_of_fork(enum way way)
{
    long least = LONG_MAX;
    for (int i = 0; i < 8; i++) {
        struct process *process = start(way, program("faults"));
        expect_status(wait_end(process), EXITED(0));
        long faults = strtol(contents(process->out), NULL, 10);
        least = faults < least ? faults : least;
    }
    return least;
}

/* One for our code in the child, all of it; one for the ledger, in which the child writes itself
 * down, and one in the parent, for the order of the fork. */
START_TEST(a_fork_costs_a_page_fault_and_with_hooks_three)
{
    long bare = faults_of_fork(BARE);
    with_config(_i);
    expect(bare > 0);
    long graced = faults_of_fork(GRACED);
    expect(graced <= bare + (_i == 0 ? 1 : 3), "%ld page faults, bare %ld", graced, bare);
}
END_TEST

/* ---- what the program sees ------------------------------------------------------------------ */

START_TEST(proc_errno_floating_point_and_environment_are_the_same)
{
    environment("ONE", "1");
    struct process *bare = start(BARE, program("footprint"), "children");
    expect_status(wait_end(bare), EXITED(7));
    with_config(_i);
    struct process *graced = start(GRACED, program("footprint"), "children");
    expect_status(wait_end(graced), EXITED(7));
    expect_text(contents(graced->out), contents(bare->out));
}
END_TEST

/* Other preloads stay, with their separators, before us and behind us. */
START_TEST(other_preloads_stay)
{
    static const struct {
        const char *before, *after, *left;
    } cases[] = {
        {"", "", NULL},
        {"libm.so.6:", "", "libm.so.6"},
        {"", ":libm.so.6", "libm.so.6"},
        {"libm.so.6 ", " libdl.so.2", "libm.so.6:libdl.so.2"},
        {"libm.so.6::", ":libdl.so.2", "libm.so.6:libdl.so.2"},
    };
    struct process *program_run =
        start(BARE, "/usr/bin/env", "-i", /* no variable that names the folder of the sources */
              text("LD_PRELOAD=%s%s%s", cases[_i].before, product("libgrace.so"), cases[_i].after),
              program("footprint"), "children");
    expect_status(wait_end(program_run), EXITED(7));
    const char *view = contents(program_run->out);
    expect(strstr(view, text("getenv: %s\n", cases[_i].left == NULL ? "none" : cases[_i].left)) !=
               NULL,
           "%s", view);
    expect(strstr(view, "libgrace") == NULL, "%s", view);
    expect(strstr(view, "(not in envp)") == NULL, "%s", view);
    expect(count_of(view, "LD_PRELOAD=") == (cases[_i].left == NULL ? 0 : 2), "%s", view);
}
END_TEST

/* ---- symbols ------------------------------------------------------------------------------- */

/* The dynamic symbols that an object defines, " name " each once; without libc's private ones. */
static char *symbols_of(const char *object, const char *filter)
{
    struct process *nm = start(BARE, "/bin/sh", "-c",
                               text("nm -D --defined-only '%s' | %s | sed 's/.* //; s/@.*//' | "
                                    "sort -u | sed 's/^/ /; s/$/ /'",
                                    object, filter));
    expect_status(wait_end(nm), EXITED(0));
    return contents(nm->out);
}

static char *declared(void)
{
    struct process *list = start(BARE, "/bin/sh", "-c",
                                 text("sed -n '/^global:/,/^local:/p' '%s' | sed '1d;$d' | "
                                      "tr -s ' ;\\n' '\\n' | grep . | sort -u | "
                                      "sed 's/^/ /; s/$/ /'",
                                      product("obj/shim/exports.map")));
    expect_status(wait_end(list), EXITED(0));
    return contents(list->out);
}

static const char *libc_path(void)
{
    Dl_info libc;
    expect(dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &libc) != 0);
    return libc.dli_fname;
}

START_TEST(exports_are_the_declared_calls)
{
    expect_text(symbols_of(product("libgrace.so"), "cat"), declared());
}
END_TEST

/* Each is libc's, and none of libc's other names for the same call has been forgotten. */
START_TEST(exports_are_libcs_with_their_twins)
{
    char *libc = symbols_of(libc_path(), "grep -v GLIBC_PRIVATE"), *ours = declared();
    unsigned seen = 0;
    for (char *name = strtok(ours, " \n"); name != NULL; name = strtok(NULL, " \n"), seen++) {
        char *all = declared();
        expect(strstr(libc, text(" %s ", name)) != NULL, "%s", name);
        const char *const twins[] = {text(" __%s ", name), text(" __%s_chk ", name),
                                     text(" __libc_%s ", name), text(" _IO_%s ", name)};
        for (size_t i = 0; i < sizeof twins / sizeof *twins; i++)
            if (strcmp(name, "__libc_start_main") != 0 && strstr(libc, twins[i]) != NULL)
                expect(strstr(all, twins[i]) != NULL, "%s", twins[i]);
    }
    expect(seen > 50);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest footprint");
    TCase *group = story_case(all, "footprint");
    tcase_add_loop_test(group, no_system_call_more, 0, CONFIGS);
    tcase_add_loop_test(group, a_fork_costs_a_page_fault_and_with_hooks_three, 0, CONFIGS);
    tcase_add_loop_test(group, proc_errno_floating_point_and_environment_are_the_same, 0, CONFIGS);
    tcase_add_loop_test(group, other_preloads_stay, 0, 5);
    tcase_add_test(group, exports_are_the_declared_calls);
    tcase_add_test(group, exports_are_libcs_with_their_twins);
    return all;
}
