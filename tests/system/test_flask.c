/*
 * The story that libgrace starts from: a web application that registers what it must do at its end
 * with atexit. However it ends, under libgrace the hooks that do the same run, C, B, A, each once;
 * its own handlers run when they would have run without, and its parent sees the same wait status.
 */
#include "harness.h"

#include <string.h>

#define PYTHON "/usr/bin/python3"

enum by { TERM, CTRL_C, CTRL_C_TYPED, OS_EXIT, SYS_EXIT, END_OF_SCRIPT };

static const struct ending {
    enum by by;
    int status;
    const char *own; /* what Python itself runs of the application's functions */
} endings[] = {
    {TERM, KILLED(SIGTERM), ""},
    {CTRL_C, EXITED(0), "C\nB\nA\n"}, /* the server catches KeyboardInterrupt and returns */
    {CTRL_C_TYPED, EXITED(0), "C\nB\nA\n"},
    {OS_EXIT, EXITED(1), ""},
    {SYS_EXIT, EXITED(3), "C\nB\nA\n"},
    {END_OF_SCRIPT, EXITED(0), "C\nB\nA\n"},
};
#define ENDINGS ((int)(sizeof endings / sizeof endings[0]))

/* A script that uses the application without serving it. */
static struct process *start_script(enum way way, const char *last_line)
{
    environment("PYTHONPATH", source("examples/flask"));
    return start(way, PYTHON, "-c",
                 text("import sys, app\n"
                      "assert app.app.test_client().get('/').data == b'hello\\n'\n%s\n",
                      last_line));
}

static struct process *start_server(enum way way, bool terminal, int port)
{
    environment("PORT", text("%d", port));
    struct process *server = launch(&(struct launch){
        .way = way, .argv = ARGV(PYTHON, source("examples/flask/app.py")), .terminal = terminal});
    wait_port(server, port);
    char *body;
    expect(http_get(port, "/", &body) == 200);
    expect_text(body, "hello\n");
    return server;
}

static int end_server(struct process *server, enum by by, int port)
{
    if (by == TERM)
        send_signal(server, SIGTERM);
    else if (by == CTRL_C)
        send_signal(server, SIGINT);
    else if (by == CTRL_C_TYPED)
        type_interrupt(server);
    else
        expect(http_get(port, "/crash", NULL) == 0);
    return wait_end(server);
}

static int play(enum way way, enum by by)
{
    environment("PYTHONDONTWRITEBYTECODE", "1");
    environment("CLEANUP_LOG", here("cleanup.log"));
    if (by == SYS_EXIT)
        return wait_end(start_script(way, "sys.exit(3)"));
    if (by == END_OF_SCRIPT)
        return wait_end(start_script(way, ""));
    int port = free_port();
    struct process *server = start_server(way, by == CTRL_C_TYPED, port);
    return end_server(server, by, port);
}

static void ends(enum way way, const struct ending *ending)
{
    expect_status(play(way, ending->by), ending->status);
    expect_text(contents("cleanup.log"), ending->own);
}

START_TEST(bare_it_loses_what_python_does_not_run)
{
    ends(BARE, &endings[_i]);
}
END_TEST

START_TEST(its_hooks_run_once_as_commands)
{
    config("%s", hooks_abc(hook_command));
    ends(GRACED, &endings[_i]);
    expect_order("C B A");
}
END_TEST

START_TEST(its_hooks_run_once_in_process)
{
    config("%s", hooks_abc(hook_plugin));
    ends(GRACED, &endings[_i]);
    expect_order("C B A");
}
END_TEST

/* The config as it stands in examples/. */
START_TEST(the_example_config_does_it)
{
    config("%s", contents(source("examples/flask/grace.conf")));
    environment("HOOKS_LOG", here("order"));
    expect_status(play(GRACED, TERM), KILLED(SIGTERM));
    expect_order("C B A");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("flask");
    TCase *group = story_case(all, "flask");
    tcase_add_loop_test(group, bare_it_loses_what_python_does_not_run, 0, ENDINGS);
    tcase_add_loop_test(group, its_hooks_run_once_as_commands, 0, ENDINGS);
    tcase_add_loop_test(group, its_hooks_run_once_in_process, 0, ENDINGS);
    tcase_add_test(group, the_example_config_does_it);
    return all;
}
