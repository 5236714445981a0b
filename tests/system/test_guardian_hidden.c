/*
 * Nobody notices the guardian: not the target (no child, no descriptor, no signal), not those who
 * look for the target by its name, not who waits for the end of its output, and no stop signal that
 * is meant for its group.
 */
#include "harness_guardian.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OTHERS_SEE_IT "is the program that others see"

/* The program under a name of its own: others may be running under the usual one. */
static const char *name_of_target(void)
{
    not_emulated(OTHERS_SEE_IT);
    return text("target-%d", getpid());
}

static const char *path_of_target(void)
{
    if (emulated())
        return program("guardian_target");
    const char *path = here("%s", name_of_target());
    if (!exists(path))
        expect(system(text("cp '%s' '%s'", program("guardian_target"), path)) == 0);
    return path;
}

static struct process *start_target(void)
{
    config("hooks = (%s, %s);", hook_command("K", "phase = \"cleanup\";"), hook_command("A", ""));
    struct process *target = start(GRACED, path_of_target(), "count-children", "say:ready", "wait");
    wait_ready(target);
    wait_guardian(target);
    return target;
}

static char *what_it_sees(enum way way)
{
    struct process *target =
        start(way, program("guardian_target"), "count-children", "look", "look", "exit:0");
    expect_status(wait_end(target), EXITED(0));
    return contents(target->out);
}

START_TEST(the_target_has_no_child_no_descriptor_and_no_thread_more)
{
    const char *bare = what_it_sees(BARE);
    config("guardian = \"on\";\nhooks = (%s);", hook_command("A", ""));
    expect(strstr(bare, "wait -1 ECHILD, sigchld 0") != NULL, "%s", bare);
    expect_text(what_it_sees(GRACED), bare);
    expect_order("A");
}
END_TEST

/* "Name:\tvalue\n" of /proc/PID/status. */
static char *status_of(pid_t pid, const char *name)
{
    const char *line = strstr(contents(text("/proc/%d/status", pid)), text("\n%s:\t", name));
    expect(line != NULL, "%s of %d", name, pid);
    line += strlen(name) + 3;
    return text("%.*s", (int)strcspn(line, "\n"), line);
}

START_TEST(it_is_a_session_of_its_own_and_ignores_stop_signals)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    struct process *target = start_target();
    pid_t guardian = wait_guardian(target);
    expect(getsid(guardian) == guardian || getsid(guardian) != getsid(target->pid));
    expect(getpgid(guardian) != getpgid(target->pid));
    if (!emulated()) /* an emulator blocks them for moments of its own */
        expect_text(status_of(guardian, "SigBlk"), "0000000000000000");
    uint64_t mask = strtoull(status_of(guardian, "SigIgn"), NULL, 16);
    for (int i = 0; i < 4; i++) {
        expect(mask & UINT64_C(1) << (ignored[i] - 1), "signal %d", ignored[i]);
        kill(guardian, ignored[i]);
    }
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    expect_order("A K");
}
END_TEST

/* Its own socket, for grace status: it is named for the guardian, with a dot before the number
 * while it was bound, which is the name that the kernel shows. */
static bool is_control_socket(const char *file, int guardian)
{
    const char *inode = strchr(file, '[');
    if (strncmp(file, "socket:[", 8) != 0)
        return false;
    char *name = text(" %.*s ", (int)strcspn(inode + 1, "]"), inode + 1);
    const char *line = strstr(contents("/proc/net/unix"), name);
    const char *end = line == NULL ? NULL : strchr(line, '\n');
    char *path = text("/.%d", guardian);
    return end != NULL && strncmp(end - strlen(path), path, strlen(path)) == 0;
}

static bool is_allowed(const char *file, int guardian)
{
    if (is_control_socket(file, guardian))
        return true;
    static const char *const names[] = {"/dev/null", "/memfd:grace-ledger", "anon_inode:"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(file, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

START_TEST(it_holds_nothing_of_the_targets_open)
{
    struct process *target;
    config("hooks = (%s);", hook_command("A", ""));
    /* Started by a shell that has files open at low and high numbers. */
    target = start(BARE, "/bin/bash", "-c",
                   text("exec 3<>'%s' 4</etc/passwd 5<>'%s' 77</etc/group; LD_PRELOAD='%s' "
                        "GRACE_CONFIG='%s' exec '%s' say:ready wait",
                        here("three"), here("five"), product("libgrace.so"), here("grace.conf"),
                        program("guardian_target")));
    wait_ready(target);
    int guardian = wait_guardian(target);
    const char *folder = text("/proc/%d/fd", guardian);
    DIR *entries = opendir(folder);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char file[256] = "";
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        expect(readlink(text("%s/%s", folder, entry->d_name), file, sizeof file - 1) > 0);
        expect(is_allowed(file, guardian), "%s is %s", entry->d_name, file);
    }
    closedir(entries);
    expect_status(stop_with(target, SIGKILL), KILLED(SIGKILL));
    expect_order("A");
}
END_TEST

/* ---- looked for by name -------------------------------------------------------------------- */

static char *output_of(const char *command)
{
    struct process *shell = start(BARE, "/bin/sh", "-c", command);
    wait_end(shell);
    return contents(shell->out);
}

START_TEST(pidof_finds_the_target_alone)
{
    if (output_of("command -v pidof")[0] == '\0')
        skip("no pidof");
    struct process *target = start_target();
    const char *expected = text("%d\n", target->pid);
    expect_text(output_of(text("pidof %s", name_of_target())), expected);
    expect_text(output_of(text("pidof '%s'", path_of_target())), expected);
}
END_TEST

START_TEST(killall_ends_the_target_alone)
{
    if (output_of("command -v killall")[0] == '\0')
        skip("no killall");
    struct process *target = start_target();
    expect_text(output_of(text("killall -v -KILL %s 2>&1 | grep -c '^Killed'", name_of_target())),
                "1\n");
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect_order("A K");
}
END_TEST

START_TEST(start_stop_daemon_ends_the_target_alone)
{
    not_emulated(OTHERS_SEE_IT);
    const char *stop = text("PATH=/usr/sbin:/sbin:$PATH start-stop-daemon --stop --exec '%s' 2>&1",
                            path_of_target());
    if (output_of("PATH=/usr/sbin:/sbin:$PATH command -v start-stop-daemon")[0] == '\0')
        skip("no start-stop-daemon");
    struct process *target = start_target();
    output_of(stop);
    expect_status(wait_end(target), KILLED(SIGTERM));
    expect_order("A K");
    expect(strstr(output_of(stop), "No ") != NULL); /* none is left */
}
END_TEST

/* ---- who reads its output ------------------------------------------------------------------ */

static struct process *with_a_reader(const char *words)
{
    config("hooks = (%s);", hook_that_waits("A", "timeout = \"1m\";"));
    return start(BARE, "/bin/sh", "-c",
                 text("(LD_PRELOAD='%s' GRACE_CONFIG='%s' exec '%s' %s) 2>&1 | "
                      "{ cat > output; : > eof; }; : > over",
                      product("libgrace.so"), here("grace.conf"), program("guardian_target"),
                      words));
}

START_TEST(the_reader_sees_the_end_when_the_target_closes_its_output)
{
    struct process *shell = with_a_reader("say:ready close:1 close:2 mark:closed wait");
    wait_exists("closed");
    wait_exists("eof");
    expect(!has_ended(shell));
}
END_TEST

START_TEST(the_reader_sees_the_end_when_the_target_is_killed)
{
    with_a_reader("say:ready kill:9");
    wait_exists("eof");
    wait_exists("over");
    wait_exists("began");
    expect(!exists("go")); /* the hook still runs: nobody waits for it */
    write_file("go", "%s", "");
    expect_order("A A-done");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guardian, hidden");
    TCase *group = story_case(all, "from the target");
    tcase_add_test(group, the_target_has_no_child_no_descriptor_and_no_thread_more);
    tcase_add_test(group, it_is_a_session_of_its_own_and_ignores_stop_signals);
    tcase_add_test(group, it_holds_nothing_of_the_targets_open);
    group = story_case(all, "from those who look for the target");
    tcase_add_test(group, pidof_finds_the_target_alone);
    tcase_add_test(group, killall_ends_the_target_alone);
    tcase_add_test(group, start_stop_daemon_ends_the_target_alone);
    group = story_case(all, "from its readers");
    tcase_add_test(group, the_reader_sees_the_end_when_the_target_closes_its_output);
    tcase_add_test(group, the_reader_sees_the_end_when_the_target_is_killed);
    return all;
}
