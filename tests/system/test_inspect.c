/* grace inspect: verdicts on programs that are made for it, and on processes that do what it must
 * see. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "harness.h"
#include "harness_guardian.h"

static struct process *inspect(const char *what)
{
    struct process *grace = start(BARE, product("grace"), "inspect", what);
    wait_end(grace);
    return grace;
}

/* The values of fields in its JSON, as a JSON parser reads them: an expression in python, on `o`.
 */
static char *json_of(const char *what, const char *expression)
{
    static const char pipe[] =
        "\"$0\" inspect --json \"$1\" | /usr/bin/python3 -c \"import json,sys; "
        "o = json.load(sys.stdin); print($2)\"";
    struct process *grace = start(BARE, "sh", "-c", pipe, product("grace"), what, expression);
    wait_end(grace);
    expect_text(contents(grace->err), "");
    return contents(grace->out);
}

static char *text_of(int number)
{
    return text("%d", number);
}

/* ---- programs ---------------------------------------------------------------------------------
 */

static const char *const makers[] = {
    "cp /bin/true made",
    "cc -static -x c -o made main.c",
    "cc -static-pie -x c -o made main.c",
    "musl-gcc -x c -o made main.c",
    "printf '#!/bin/sh\\n' > made",
    "printf '#!/usr/bin/env -S perl -w\\n' > made",
    "CGO_ENABLED=0 GOCACHE=$PWD/c GOFLAGS=-mod=mod go build -o made main.go",
    "printf '#!/nonexistent/x\\n' > made",
    "head -c 100 /bin/true > made",
    "cp /bin/true made; printf '\\267' | dd of=made bs=1 seek=18 conv=notrunc 2>/dev/null",
    "printf 'echo hi\\n' > made",
};

static const struct {
    int status;
    const char *verdict, *expression, *value;
} verdicts[] = {
    {0, "made: will work\n", "o['verdict'], o['linkage'], o['libc']", "works dynamic glibc\n"},
    {69, "made: cannot be preloaded: it is linked statically\n", "o['linkage'], o['libc']",
     "static none\n"},
    {69, "made: cannot be preloaded: it is linked statically (static PIE)\n", "o['linkage']",
     "static-pie\n"},
    {69, "made: cannot be preloaded: it is for another libc (musl", "o['libc']", "musl\n"},
    {0, "made: will work, but", "o['steps'][1], o['runtime']", "/bin/sh shell\n"},
    {0, "made: will work\n", "o['steps'][1:], o['runtime']",
     "['/usr/bin/env', '/usr/bin/perl'] Perl\n"},
    {69, "made: cannot be preloaded: it is linked statically\n", "o['runtime']", "Go\n"},
    {66, "made: cannot be executed: ./made: its interpreter", "o['verdict']",
     "cannot-be-executed\n"},
    {77, "made: cannot be executed: ./made: is a damaged executable\n", "o['verdict']",
     "cannot-be-executed\n"},
    {69, "made: cannot be preloaded: it is for another architecture (aarch64, 64 bits)\n",
     "o['machine']", "aarch64\n"},
    {0, "made: will work, but", "o['steps'][1]", "/bin/sh\n"},
};
#define PROGRAMS ((int)(sizeof verdicts / sizeof *verdicts))

START_TEST(every_kind_of_program_has_its_verdict)
{
    environment("PATH", text("/usr/bin:/bin:%s", getenv("PATH")));
    write_file("main.c", "int main(void) { return 0; }\n");
    write_file("main.go", "package main\nfunc main() { println(\"hi\") }\n");
    expect_status(run(BARE, "sh", "-c", makers[_i]), EXITED(0));
    expect(chmod(here("made"), 0755) == 0);
    struct process *grace = inspect("./made");
    expect_status(grace->status, EXITED(verdicts[_i].status));
    expect(strncmp(contents(grace->out), verdicts[_i].verdict, strlen(verdicts[_i].verdict)) == 0,
           "%s", contents(grace->out));
    expect(strchr(contents(grace->out), '\033') == NULL);
    expect_text(json_of("./made", verdicts[_i].expression), verdicts[_i].value);
}
END_TEST

START_TEST(rights_count_for_who_asks)
{
    if (geteuid() != 0)
        skip("only root can give file capabilities");
    static const unsigned char raw[20] = {1, 0, 0, 2, 0, 4}; /* effective; net_bind_service */
    expect(chmod(story_directory(), 0755) == 0);
    static const char make[] =
        "cp \"$0\" grace; for n in user group caps plain; do cp /bin/true $n; done; "
        "chmod 4755 user; chmod 2755 group; chmod 755 caps grace";
    expect_status(run(BARE, "sh", "-c", make, product("grace")), EXITED(0));
    expect(setxattr(here("caps"), "security.capability", raw, sizeof raw, 0) == 0);
    static const char *const names[] = {"user", "group", "caps", "plain"};
    static const char *const why[] = {"set-user-ID (0)", "set-group-ID (0)", "file capabilities",
                                      ": will work\n"};
    for (int i = 0; i < 4; i++) {
        struct process *nobodys = launch(&(struct launch){
            .argv = ARGV(here("grace"), "inspect", here("%s", names[i])), .user = "nobody"});
        expect_status(wait_end(nobodys), i < 3 ? EXITED(69) : EXITED(0));
        expect(strstr(contents(nobodys->out), why[i]) != NULL, "%s", contents(nobodys->out));
        expect_status(inspect(here("%s", names[i]))->status, EXITED(0));
    }
    expect_text(json_of(here("caps"), "o['file_capabilities'], o['set_user_id']"), "True False\n");
    expect_text(json_of(here("user"), "o['file_capabilities'], o['set_user_id']"), "False True\n");
}
END_TEST

/* Whatever stands in a file that looks like an executable, it is read without harm. */
START_TEST(damaged_files_do_no_harm)
{
    expect_status(run(BARE, "cp", "/bin/true", here("damaged")), EXITED(0));
    for (long offset = 16; offset < 400; offset += 3) {
        FILE *file = fopen(here("damaged"), "r+e");
        expect(file != NULL && fseek(file, offset, SEEK_SET) == 0 && fputc(0xff, file) == 0xff);
        fclose(file);
        if (offset % 24 == 16)
            expect(WIFEXITED(inspect(here("damaged"))->status));
    }
}
END_TEST

START_TEST(wrong_usage_is_64_and_nothing_there_is_66)
{
    expect_status(run(BARE, product("grace"), "inspect"), EXITED(64));
    expect_status(run(BARE, product("grace"), "inspect", "a", "b"), EXITED(64));
    expect_status(inspect("no-such-program")->status, EXITED(66));
    expect_status(inspect("2147483646")->status, EXITED(66));
    expect_status(inspect("/etc/passwd")->status, EXITED(77));
    int kernel_thread = inspect("2")->status; /* or there is none; not everybody is told */
    expect(kernel_thread == EXITED(66) || (geteuid() != 0 && kernel_thread == EXITED(77)));
}
END_TEST

/* ---- processes --------------------------------------------------------------------------------
 */

START_TEST(what_a_process_does_with_signals_is_shown)
{
    struct process *target = launch(
        &(struct launch){.argv = ARGV("/usr/bin/python3", "-c",
                                      "import signal, time\n"
                                      "signal.signal(signal.SIGTERM, lambda *a: None)\n"
                                      "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGQUIT])\n"
                                      "print('ready', flush=True)\ntime.sleep(3600)\n"),
                         .ignored = SIGHUP});
    wait_ready(target);
    const char *pid = text_of(target->pid);
    expect_text(json_of(pid, "'TERM' in o['catches'], 'INT' in o['catches'], o['blocks'], 'HUP' in "
                             "o['ignores'], o['libgrace'], o['runtime']"),
                "True True ['QUIT'] True False Python\n");
    struct process *grace = inspect(pid);
    expect_status(grace->status, EXITED(0));
    static const char *const notes[] = {"it handles TERM itself: announce hooks run before",
                                        "it ignores HUP", "it blocks QUIT",
                                        "it handles INT itself: left alone"};
    for (size_t i = 0; i < 4; i++)
        expect(strstr(contents(grace->out), notes[i]) != NULL, "%s", contents(grace->out));
}
END_TEST

START_TEST(what_a_drain_would_see_is_counted)
{
    int port = free_port();
    struct process *server =
        start(BARE, "/usr/bin/python3", "-c",
              text("import socket, time\n"
                   "s = socket.create_server(('127.0.0.1', %d))\n"
                   "u = socket.socket(socket.AF_UNIX); u.bind('u'); u.listen()\n"
                   "c = socket.socket(socket.AF_UNIX); c.connect('u'); d = u.accept()\n"
                   "print('ready', flush=True)\n"
                   "kept = [s.accept() for i in range(3)]\nprint('accepted', flush=True)\n"
                   "time.sleep(3600)\n",
                   port));
    wait_ready(server);
    int clients[3];
    for (int i = 0; i < 3; i++)
        clients[i] = dial(port);
    wait_contains(server->out, "accepted\n");
    expect_text(json_of(text_of(server->pid),
                        "sorted((l['address'], l['connections']) for l in o['listeners']), "
                        "o['accepted_connections']"),
                text("[('127.0.0.1:%d', 3), ('unix:u', 1)] 4\n", port));
    for (int i = 0; i < 3; i++)
        close(clients[i]);
}
END_TEST

START_TEST(libgrace_its_config_and_its_guardian_are_found)
{
    config("%s", hooks_abc(hook_command));
    struct process *target = start(GRACED, program("guardian_target"), "say:ready", "wait");
    wait_ready(target);
    pid_t guardian = wait_guardian(target);
    expect_text(json_of(text_of(target->pid), "o['libgrace'], o['config'], o['guardian']"),
                text("True %s %d\n", here("grace.conf"), guardian));
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_order("C B A");
}
END_TEST

/* libgrace calls a script by its own name, and looks for its config by it. */
START_TEST(a_script_has_its_own_name)
{
    write_file("legacyd", "#!/bin/sh\necho ready\nread x < /dev/zero\nsleep 3600\n");
    expect(chmod(here("legacyd"), 0755) == 0);
    struct process *target = start(BARE, here("legacyd"));
    wait_ready(target);
    expect_text(json_of(text_of(target->pid), "o['program'], o['runtime']"), "legacyd shell\n");
}
END_TEST

START_TEST(another_users_process_may_not_be_looked_at)
{
    expect(chmod(story_directory(), 0755) == 0);
    expect_status(run(BARE, "sh", "-c", "cp \"$0\" grace; chmod 755 grace", product("grace")),
                  EXITED(0));
    struct process *nobodys = launch(&(struct launch){
        .argv = ARGV(here("grace"), "inspect", text_of(getpid())), .user = "nobody"});
    expect_status(wait_end(nobodys), EXITED(77));
    expect(strstr(contents(nobodys->err), "Permission denied") != NULL, "%s",
           contents(nobodys->err));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("inspect");
    TCase *group = story_case(all, "programs");
    tcase_add_loop_test(group, every_kind_of_program_has_its_verdict, 0, PROGRAMS);
    tcase_add_test(group, rights_count_for_who_asks);
    tcase_add_test(group, damaged_files_do_no_harm);
    tcase_add_test(group, wrong_usage_is_64_and_nothing_there_is_66);
    group = story_case(all, "processes");
    tcase_add_test(group, what_a_process_does_with_signals_is_shown);
    tcase_add_test(group, what_a_drain_would_see_is_counted);
    tcase_add_test(group, libgrace_its_config_and_its_guardian_are_found);
    tcase_add_test(group, a_script_has_its_own_name);
    tcase_add_test(group, another_users_process_may_not_be_looked_at);
    return all;
}
