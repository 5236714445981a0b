/*
 * Scripts and supervisors between LD_PRELOAD and the program: `programs` says who is meant, and the
 * others pass it on. Without `programs` whoever is started first is the owner, and an exec keeps it
 * so. Processes, groups, sessions and statuses are those of a run without libgrace.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

/* $D is the program, which writes the file "pid". */
static const struct wrapper {
    const char *tool; /* what must be there; NULL: a shell's own means */
    const char *line;
    bool stays; /* as long as the program */
    bool as_root;
} wrappers[] = {
    {NULL, "exec $D foreground pid", true, false},
    {NULL, "$D foreground pid; exit $?", true, false},
    {NULL, "$D foreground pid & wait $!", true, false},
    {NULL, "$D foreground pid & echo $! >script.pid; exit 0", false, false},
    {NULL, "trap 'echo trapped' TERM; $D setsid-twice pid; exit 3", false, false},
    {NULL, "P=$PWD/pid; (cd / && $D daemon-1-1 $P); exit 0", false, false},
    {"/usr/bin/nohup", "nohup $D foreground pid", true, false},
    {"/usr/bin/setsid", "exec setsid $D foreground pid", false, false},
    {"/usr/bin/setsid", "setsid -w $D foreground pid; exit $?", true, false},
    {"/usr/bin/env", "env -i LD_PRELOAD=$LD_PRELOAD GRACE_CONFIG=$GRACE_CONFIG $D foreground pid",
     true, false},
    {"/usr/bin/timeout", "timeout 600 $D foreground pid", true, false},
    {"/usr/bin/nice", "nice -n 1 $D foreground pid", true, false},
    {"/usr/bin/stdbuf", "stdbuf -oL $D foreground pid", true, false},
    {"/sbin/start-stop-daemon", "start-stop-daemon --start --exec $D -- foreground $PWD/pid", true,
     false},
    {"/sbin/start-stop-daemon",
     "start-stop-daemon --start --background --make-pidfile --pidfile $PWD/ssd.pid --exec $D -- "
     "foreground $PWD/pid",
     false, false},
    {"/sbin/start-stop-daemon", "start-stop-daemon --start --exec $D -- fork-setsid $PWD/pid",
     false, false},
    {"/usr/bin/daemonize", "daemonize -c $PWD -p $PWD/d.pid $D foreground pid", false, false},
    {"/sbin/runuser", "runuser -u nobody -- $D foreground pid", true, true},
    {"/sbin/runuser", "runuser nobody -s /bin/sh -c \"$D foreground pid\"", true, true},
    {"/usr/bin/setpriv", "setpriv --reuid nobody --clear-groups $D foreground pid", true, true},
    {"/usr/bin/sudo",
     "sudo -n env LD_PRELOAD=$LD_PRELOAD GRACE_CONFIG=$GRACE_CONFIG $D foreground pid", true, true},
};

static void three_hooks(const char *more)
{
    config("%s\nlog = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s, %s);\n", more,
           here("log"), hook_script("A", "echo A:$GRACE_PID >>order", "phase = \"announce\";"),
           hook_plugin("B", ""),
           hook_script("C", "echo C:$GRACE_PID >>order", "phase = \"cleanup\";"));
}

/* Where any user can execute it. */
static void place_program(void)
{
    expect(system(text("cp '%s' '%s' && chmod 755 '%s'", program("daemonizer"), here("daemonizer"),
                       here("daemonizer"))) == 0);
    environment("D", here("daemonizer"));
}

static struct process *begin(enum way way, const char *line)
{
    unlink("pid");
    /* The launch as another user brings the library to a place where that user can read it. */
    return launch(&(struct launch){
        .way = way, .argv = ARGV("/bin/sh", "-c", line), .user = geteuid() == 0 ? "root" : NULL});
}

/* The statuses and processes of one life, in words. */
static char *play(enum way way, const struct wrapper *wrapper, pid_t *pid)
{
    struct process *first = begin(way, wrapper->line);
    *pid = pid_in("pid");
    if (!wrapper->stays)
        wait_end(first);
    const char *tree = steady_picture();
    expect_order_now("");
    expect(kill(*pid, SIGTERM) == 0);
    const char *status = status_words(wait_end(first));
    wait_all_gone();
    return text("%s\n%s\n%s", status, contents(first->out), tree);
}

static bool is_possible(const struct wrapper *wrapper)
{
    return (wrapper->tool == NULL || access(wrapper->tool, X_OK) == 0) &&
           (!wrapper->as_root || geteuid() == 0);
}

static void same_as_bare(const struct wrapper *wrapper)
{
    pid_t pid;
    const char *bare = play(BARE, wrapper, &pid);
    expect_text(play(GRACED, wrapper, &pid), bare);
    expect_order(text("A:%d B C:%d", pid, pid));
}

START_TEST(programs_names_the_owner_behind_a_wrapper)
{
    const struct wrapper *wrapper = &wrappers[_i];
    if (!is_possible(wrapper))
        skip("%s needs %s", wrapper->line, wrapper->as_root ? "root" : "a package");
    place_program();
    three_hooks("programs = [\"daemonizer\"];");
    same_as_bare(wrapper);
}
END_TEST

/* By path too. */
START_TEST(programs_may_be_a_path)
{
    place_program();
    three_hooks(text("programs = [\"/bin/other\", \"%s\"];", here("daemonizer")));
    same_as_bare(&wrappers[1 + _i]);
}
END_TEST

static const struct wrapper executing[] = {
    {NULL, "exec $D foreground pid", true, false},
    {NULL, "exec nohup $D foreground pid", true, false},
    {NULL, "exec nice env A=1 nohup $D foreground pid", true, false},
    {NULL, "exec stdbuf -oL $D foreground pid", true, false},
    {NULL, "exec $D fork-setsid pid", false, false},
};

START_TEST(without_programs_an_exec_keeps_the_owner)
{
    place_program();
    three_hooks("");
    same_as_bare(&executing[_i]);
}
END_TEST

/* Then a script that starts the program as its child is the owner itself, and the child none. */
START_TEST(without_programs_the_script_is_the_owner)
{
    place_program();
    three_hooks("");
    struct process *script = begin(GRACED, "$D foreground pid; exit $?");
    pid_t pid = pid_in("pid");
    expect(kill(pid, SIGTERM) == 0);
    expect_status(wait_end(script), EXITED(128 + SIGTERM));
    expect_order(text("A:%d B C:%d", script->pid, script->pid));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("owner: wrappers");
    TCase *group = story_case(all, "wrappers");
    tcase_add_loop_test(group, programs_names_the_owner_behind_a_wrapper, 0, COUNT(wrappers));
    tcase_add_loop_test(group, programs_may_be_a_path, 0, 3);
    tcase_add_loop_test(group, without_programs_an_exec_keeps_the_owner, 0, COUNT(executing));
    tcase_add_test(group, without_programs_the_script_is_the_owner);
    return all;
}
