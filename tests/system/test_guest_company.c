/*
 * Other guests in the same program: allocators and fakers that are preloaded too, sanitizers,
 * debuggers, and programs that cannot be preloaded at all. The stop runs, or nothing happens.
 */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void with_hooks_and(const char *more)
{
    config("%shooks = (%s, %s, %s);", more, hook_command("A", "phase = \"announce\";"),
           hook_plugin("B", ""), hook_command("C", "phase = \"cleanup\";"));
}

static void with_hooks(void)
{
    with_hooks_and("");
}

/* Start a program under these preloads, by env or by a tool that starts it. */
static struct process *start_with(const char *preload, const char *const *tool, const char *work)
{
    const char *argv[32] = {"/usr/bin/env", text("GRACE_CONFIG=%s", here("grace.conf"))};
    size_t count = 2;
    if (tool == NULL)
        argv[count++] = text("LD_PRELOAD=%s", preload);
    for (; tool != NULL && *tool != NULL; tool++)
        argv[count++] = *tool;
    argv[count++] = program("worker");
    argv[count++] = work;
    return launch(&(struct launch){.way = BARE, .argv = argv});
}

/* ---- preloads ------------------------------------------------------------------------------ */

static const char *const libraries[] = {
    "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
    "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/x86_64-linux-gnu/libeatmydata.so",
};
#define LIBRARIES ((int)(sizeof libraries / sizeof *libraries))
static const char *const works[] = {"malloc", "poll", "sleep"};
#define WORKS ((int)(sizeof works / sizeof *works))

START_TEST(other_preloads_before_and_behind)
{
    const char *library = libraries[_i / 2 / WORKS];
    if (access(library, R_OK) != 0)
        skip("%s is not installed", library);
    environment("FAKETIME", "-400d");
    environment("FAKETIME_DONT_FAKE_MONOTONIC", "0");
    with_hooks();
    const char *ours = product("libgrace.so");
    struct process *worker =
        start_with(_i % 2 == 0 ? text("%s:%s", library, ours) : text("%s:%s", ours, library), NULL,
                   works[_i / 2 % WORKS]);
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(worker->out), "ready\nbuffered\n");
    expect_order("A B C");
}
END_TEST

/* ---- what is built here -------------------------------------------------------------------- */

/* Builds ./target with a compiler; false when it is not there. */
static bool build(const char *command)
{
    struct process *compiler = start(BARE, "/bin/sh", "-c", command);
    int status = wait_end(compiler);
    if (status == EXITED(127))
        return false;
    expect_status(status, EXITED(0));
    return true;
}

static void write_target(void)
{
    write_file("target.c", "%s",
               "#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
               "int main(void) {\n"
               "  char *kept = malloc(100); struct sigaction now;\n"
               "  sigaction(SIGTERM, NULL, &now);\n"
               "  printf(\"ready\\n%d %d\\n\", kept != NULL, now.sa_handler == SIG_DFL);\n"
               "  fflush(stdout); free(kept);\n"
               "  for (;;) pause();\n"
               "}\n");
}

/* Address sanitizer insists on being the first, and wraps half of libc itself. */
START_TEST(address_sanitizer)
{
    write_target();
    with_hooks();
    expect(
        build("cc -fsanitize=address -g -o target target.c; cc -print-file-name=libasan.so >asan"));
    char *asan = contents("asan");
    asan[strcspn(asan, "\n")] = '\0';
    struct process *target =
        start(BARE, "/usr/bin/env", text("GRACE_CONFIG=%s", here("grace.conf")),
              _i == 0 ? text("LD_PRELOAD=%s:%s", asan, product("libgrace.so"))
                      : text("LD_PRELOAD=%s", product("libgrace.so")),
              _i == 0 ? "ASAN_OPTIONS=detect_leaks=0"
                      : "ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0",
              "./target");
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(target->out), "ready\n1 1\n");
    expect(strstr(contents(target->err), "AddressSanitizer") == NULL);
    expect_order("A B C");
}
END_TEST

/* No loader of ours, no preload: as if libgrace had not been named. */
START_TEST(what_cannot_be_preloaded_is_as_it_was)
{
    static const char *const compilers[] = {
        "cc -static -o target target.c",
        "cc -static-pie -o target target.c",
        "musl-gcc -o target target.c",
        "musl-gcc -static -o target target.c",
    };
    write_target();
    with_hooks();
    if (!build(compilers[_i]))
        skip("no compiler for: %s", compilers[_i]);
    struct process *target = start(GRACED, "./target");
    wait_ready(target);
    expect_status(stop_with(target, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(target->out), "ready\n1 1\n");
    expect_text(contents(target->err), "");
    expect_order("");
}
END_TEST

/* ---- tools --------------------------------------------------------------------------------- */

START_TEST(under_strace)
{
    with_hooks();
    struct process *worker = start_with(NULL,
                                        ARGV("strace", "-f", "-o", here("trace"), "-E",
                                             text("LD_PRELOAD=%s", product("libgrace.so")),
                                             "/usr/bin/env", "-u", "NONE"),
                                        "poll");
    wait_ready(worker);
    /* strace stays in front; its child is what the signal is for. */
    struct process *kill_it = start(
        BARE, "/bin/sh", "-c",
        text("kill -TERM $(cat /proc/%d/task/%d/children)", (int)worker->pid, (int)worker->pid));
    expect_status(wait_end(kill_it), EXITED(0));
    expect_status(wait_end(worker), KILLED(SIGTERM));
    expect_order("A B C");
}
END_TEST

/* It ends a program that makes a clone of a kind that it does not know: the process that runs hooks
 * where there is no guardian. */
START_TEST(under_valgrind)
{
    with_hooks_and(_i == 0 ? "" : "guardian = \"off\"; ");
    struct process *worker =
        start_with(NULL,
                   ARGV("/usr/bin/env", text("LD_PRELOAD=%s", product("libgrace.so")),
                        "GRACE_DISABLE=0", "valgrind", "-q", "--error-exitcode=99"),
                   "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    const char *said = contents(worker->err);
    expect(said[0] == 'l' && strstr(said, "\n==") == NULL && strstr(said, "\n--") == NULL, "%s",
           said);
    expect_order("A B C");
}
END_TEST

START_TEST(with_gdb_attached)
{
    with_hooks();
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    struct process *gdb = start(BARE, "gdb", "-q", "-batch", "-p", text("%d", (int)worker->pid),
                                "-ex", "handle SIGTERM nostop noprint pass", "-ex",
                                "shell touch attached", "-ex", "continue");
    wait_exists("attached");
    send_signal(worker, SIGTERM);
    expect_status(wait_end(worker), KILLED(SIGTERM));
    wait_end(gdb);
    expect_order("A B C");
}
END_TEST

/* ---- loading of other kinds ---------------------------------------------------------------- */

static const char host_source[] =
    "#include <dlfcn.h>\n#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
    "#include <unistd.h>\n"
    "static void mine(int signo) { (void)signo; }\n"
    "int main(int argc, char **argv) {\n"
    "  struct sigaction now; (void)argc;\n"
    "  void *library = dlopen(argv[1], RTLD_NOW | atoi(argv[2]));\n"
    "  void (*set)(void) = library == NULL ? NULL : (void (*)(void))dlsym(library, \"set\");\n"
    "  if (set != NULL) set();\n"
    "  sigaction(SIGTERM, NULL, &now);\n"
    "  printf(\"ready\\n%d %d\\n\", library != NULL, now.sa_handler == SIG_DFL); fflush(stdout);\n"
    "  signal(SIGUSR1, mine);\n"
    "  for (;;) pause();\n"
    "}\n";

/* A plugin whose calls go past every preload: its handler is the kernel's, and stays. */
START_TEST(a_plugin_bound_to_libc_itself)
{
    write_file("host.c", "%s", host_source);
    write_file("plugin.c", "%s",
               "#include <signal.h>\n#include <unistd.h>\n"
               "static void handle(int signo) { (void)signo; _exit(7); }\n"
               "void set(void) { signal(SIGTERM, handle); }\n");
    with_hooks();
    expect(build("cc -o host host.c && cc -shared -fPIC -o plugin.so plugin.c"));
    struct process *host = start(GRACED, "./host", "./plugin.so", "8"); /* RTLD_DEEPBIND */
    wait_ready(host);
    expect_status(stop_with(host, SIGTERM), EXITED(7));
    expect_text(contents(host->out), "ready\n1 0\n");
}
END_TEST

/* Too late to see any call: it does nothing, and says nothing. */
START_TEST(libgrace_opened_at_run_time)
{
    write_file("host.c", "%s", host_source);
    with_hooks();
    expect(build("cc -o host host.c"));
    struct process *host =
        start(BARE, "/usr/bin/env", text("GRACE_CONFIG=%s", here("grace.conf")), "./host",
              product("libgrace.so"), _i == 0 ? "0" : "256"); /* RTLD_GLOBAL */
    wait_ready(host);
    expect_status(stop_with(host, SIGTERM), KILLED(SIGTERM));
    expect_text(contents(host->out), "ready\n1 1\n");
    expect_text(contents(host->err), "");
    expect_order("");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guest company");
    TCase *group = story_case(all, "company");
    tcase_add_loop_test(group, other_preloads_before_and_behind, 0, LIBRARIES * 2 * WORKS);
    tcase_add_loop_test(group, address_sanitizer, 0, 2);
    tcase_add_loop_test(group, what_cannot_be_preloaded_is_as_it_was, 0, 4);
    tcase_add_test(group, under_strace);
    tcase_add_loop_test(group, under_valgrind, 0, 2);
    tcase_add_test(group, with_gdb_attached);
    tcase_add_test(group, a_plugin_bound_to_libc_itself);
    tcase_add_loop_test(group, libgrace_opened_at_run_time, 0, 2);
    return all;
}
