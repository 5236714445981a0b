/* The plugin "http" against a real server: http_stand_in.py. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness_hooks.h"

static int server_port;

static char *url(const char *path)
{
    return text("http://127.0.0.1:%d%s", server_port, path);
}

/* Arguments behind the port: certificate, key, authority of clients; or NULLs. */
static struct process *serve(const char *certificate, const char *key, const char *authority)
{
    server_port = free_port();
    struct process *server =
        start(BARE, "/usr/bin/python3", source("tests/system/http_stand_in.py"),
              text("%d", server_port), certificate, key, authority);
    wait_ready(server);
    return server;
}

static void end_server(struct process *server)
{
    send_signal(server, SIGKILL);
    wait_end(server);
}

/* A stop of a program with one hook; returns its log. The server ends, so that all is gone. */
static struct process *stop_with_http(struct process *server, const char *options, const char *more)
{
    config("hooks = (%s);", hook_shipped("http", options, more));
    struct process *worker = stop_worker(SIGTERM);
    end_server(server);
    wait_all_gone();
    return worker;
}

static void expect_done(const struct process *worker)
{
    expect_logged(worker, "hook \"http\" (stop) done");
}

/* ---- Consul's register ----------------------------------------------------------------------- */

static const struct {
    int signo;
    const char *behaviour;
    int status;
} endings[] = {
    {SIGTERM, "poll", KILLED(SIGTERM)},
    {SIGKILL, "poll", KILLED(SIGKILL)},
    {0, "exit", EXITED(3)},
};

START_TEST(a_service_is_taken_out_of_the_register_once_however_it_ends)
{
    struct process *server = serve(NULL, NULL, NULL);
    write_file("register", "web1\nweb2\n");
    environment("SERVICE_ID", "web1");
    config("hooks = (%s);", hook_shipped("http",
                                         text("method = \"PUT\"; url = \"%s/${SERVICE_ID}\";",
                                              url("/v1/agent/service/deregister")),
                                         "phase = \"announce\";"));
    struct process *target = endings[_i].signo != 0 ? start(GRACED, program("worker"), "poll")
                                                    : start(GRACED, program("ender"), "exit");
    if (endings[_i].signo != 0) {
        wait_ready(target);
        expect_text(contents("register"), "web1\nweb2\n");
        send_signal(target, endings[_i].signo);
    }
    expect_status(wait_end(target), endings[_i].status);
    for (int64_t since = now_ms(); strcmp(contents("register"), "web2\n") != 0; let_pass(5))
        expect(now_ms() - since < STORY_LIMIT_MS, "%s", contents(target->err));
    end_server(server);
    wait_all_gone();
    expect(count_of(contents("requests"), "\n") == 1, "%s", contents("requests"));
}
END_TEST

/* ---- what is sent ---------------------------------------------------------------------------- */

START_TEST(values_of_the_stop_are_put_in_and_escaped)
{
    struct process *server = serve(NULL, NULL, NULL);
    environment("NASTY", "a\"b\\c\nd&e=f/\x01\xff");
    struct process *worker = stop_with_http(
        server,
        text("url = \"%s/status/200?who=${NASTY}\"; headers = [\"X-Nasty: ${NASTY}\", "
             "\"X-Cause: ${GRACE_CAUSE} ${GRACE_SIGNAL}\"]; body = \"{\\\"cause\\\": "
             "\\\"${GRACE_CAUSE}\\\", \\\"status\\\": ${GRACE_EXIT_STATUS:-null}, \\\"nasty\\\": "
             "\\\"${NASTY}\\\", \\\"pid\\\": ${GRACE_PID}, \\\"cost\\\": \\\"$$5 $\\\"}\";",
             url("")),
        "");
    expect_done(worker);
    write_file("show.py",
               "import json\n"
               "r = json.loads(open('requests').read()); b = json.loads(r['body'])\n"
               "h = r['headers']\n"
               "print(r['method'], r['path'], b['cause'], b['status'], ascii(b['nasty']), "
               "b['cost'], b['pid'] == %d)\n"
               "print(h['Content-Type'], h['X-Cause'], h['Content-Length'] == "
               "str(len(r['body'].encode())))\n"
               "print(ascii(h['X-Nasty']), 'Expect' in h)\n",
               worker->pid);
    expect_text(shell("/usr/bin/python3 show.py"),
                "POST /status/200?who=a%22b%5Cc%0Ad%26e%3Df%2F%01%FF signal None "
                "'a\"b\\\\c\\nd&e=f/\\x01\\ufffd' $5 $ True\n"
                "application/json signal TERM True\n"
                "'a\"b\\\\c d&e=f/ \\xff' False\n");
}
END_TEST

START_TEST(a_variable_that_is_not_there_is_an_error)
{
    struct process *server = serve(NULL, NULL, NULL);
    environment("NOBODY", NULL);
    struct process *worker = stop_with_http(server, text("url = \"%s/${NOBODY}\";", url("")), "");
    expect_logged(worker,
                  "option \"url\": the environment has no NOBODY; ${NOBODY:-text} says what "
                  "to take instead");
    expect(!exists("requests"));
}
END_TEST

START_TEST(each_method_is_sent_as_servers_want_it)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    struct process *server = serve(NULL, NULL, NULL);
    struct process *worker = stop_with_http(
        server,
        text("method = \"%s\"; url = \"%s\"; expect = \"204\";", methods[_i], url("/status/204")),
        "");
    expect_done(worker);
    expect(strstr(contents("requests"), text("\"method\": \"%s\"", methods[_i])) != NULL);
}
END_TEST

/* ---- what is expected ------------------------------------------------------------------------ */

static const struct {
    const char *path, *more, *expected;
} answers[] = {
    {"/status/200", "", "done"},
    {"/status/404", "", "the answer is 404, not 200-299: because\\nI say so"},
    {"/status/404", "expect = [\"200\", \"4xx\"];", "done"},
    {"/status/404", "expect = [\"200-403\", \"405-599\"];",
     "the answer is 404, not one of `expect`"},
    {"/status/200", "expect = \"500\";", "the answer is 200, not 500"},
    {"/redirect", "", "the answer is 302, not 200-299"},
    {"/redirect", "redirects = 1;", "done"},
    {"/redirect", "expect = \"302\";", "done"},
};

START_TEST(an_answer_is_expected_or_the_hook_fails_and_says_why)
{
    struct process *server = serve(NULL, NULL, NULL);
    struct process *worker = stop_with_http(
        server, text("url = \"%s?token=hidden\"; %s", url(answers[_i].path), answers[_i].more), "");
    expect_logged(worker, answers[_i].expected);
    expect_not_logged(worker, "hidden");
    if (strcmp(answers[_i].expected, "done") != 0)
        expect_logged(worker, text("GET http://127.0.0.1:%d%s: ", server_port, answers[_i].path));
}
END_TEST

START_TEST(a_failure_is_tried_again_by_the_runner)
{
    struct process *server = serve(NULL, NULL, NULL);
    struct process *worker =
        stop_with_http(server, text("url = \"%s\";", url("/flaky")), "retries = 1;");
    expect_done(worker);
    expect(count_of(contents("requests"), "\n") == 2);
}
END_TEST

START_TEST(a_server_that_does_not_answer_is_told_of_within_the_hooks_time)
{
    struct process *server = serve(NULL, NULL, NULL);
    struct process *worker =
        stop_with_http(server, text("url = \"%s\";", url("/slow")), "timeout = \"1s\";");
    expect_logged(worker, "timed out");
    expect_logged(worker, "/slow: ");
}
END_TEST

START_TEST(nobody_there_is_a_failure_that_says_so)
{
    config("hooks = (%s);",
           hook_shipped("http", text("url = \"http://127.0.0.1:%d/x\";", free_port()), ""));
    struct process *worker = stop_worker(SIGTERM);
    expect_logged(worker, "/x: Failed to connect to 127.0.0.1 port ");
}
END_TEST

/* ---- TLS ------------------------------------------------------------------------------------- */

START_TEST(tls_with_certificates_on_both_sides)
{
    make_certificates();
    struct process *server = serve("server.pem", "server.key", "ca.pem");
    const char *common = text("url = \"https://localhost:%d/status/200\"; ca = \"%s\";",
                              server_port, here("ca.pem"));
    struct process *worker = stop_with_http(
        server,
        text("%s cert = \"%s\"; key = \"%s\";", common, here("client.pem"), here("client.key")),
        "");
    expect_done(worker);
    expect(strstr(contents("requests"), "\"client\": \"legacyd\"") != NULL);
}
END_TEST

static const struct {
    const char *certificate, *ca, *expected;
} refusals[] = {
    {"server", "other.pem", "SSL certificate problem"}, /* signed by somebody else */
    {"server", "ca.pem",
     "/status/200: "}, /* we have none: what is seen of that is a matter of timing */
    {"away", "ca.pem", "subject name"},
    {"server", "none.pem", "none.pem"},
};

START_TEST(tls_trusts_nobody_else)
{
    make_certificates();
    struct process *server =
        serve(text("%s.pem", refusals[_i].certificate), text("%s.key", refusals[_i].certificate),
              _i == 1 ? "ca.pem" : NULL);
    struct process *worker =
        stop_with_http(server,
                       text("url = \"https://localhost:%d/status/200\"; ca = \"%s\";", server_port,
                            here("%s", refusals[_i].ca)),
                       "");
    expect_logged(worker, "hook \"http\" (stop) failed");
    expect_logged(worker, refusals[_i].expected);
    expect(!exists("requests"));
}
END_TEST

/* ---- secrets --------------------------------------------------------------------------------- */

#define SECRET "correct-horse-battery"

START_TEST(secrets_come_from_files_and_go_to_the_server_only)
{
    static const char *const ways[] = {"user = \"joe\"; password_file", "bearer_file",
                                       "headers_file"};
    static const char *const told[] = {
        "Basic am9lOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==", "Bearer " SECRET, "Token " SECRET};
    struct process *server = serve(NULL, NULL, NULL);
    write_file("who", "%s\n", told[_i]);
    const char *file =
        secret_file("secret", _i == 2 ? "Authorization: Token " SECRET : SECRET, 0600);
    struct process *worker = stop_with_http(
        server, text("url = \"%s\"; %s = \"%s\";", url("/private"), ways[_i], file), "");
    expect_done(worker);
    expect_not_logged(worker, SECRET);
}
END_TEST

/* While the request is under way: all that a process list shows, of every process. */
START_TEST(no_secret_is_in_a_process_list)
{
    struct process *server = serve(NULL, NULL, NULL);
    const char *file = secret_file("secret", SECRET, 0600);
    config("hooks = (%s);",
           hook_shipped("http", text("url = \"%s\"; bearer_file = \"%s\";", url("/slow"), file),
                        "timeout = \"60s\";"));
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    send_signal(worker, SIGTERM);
    wait_contains("requests", "/slow");
    expect(strstr(contents("requests"), SECRET) != NULL);
    const char *found =
        shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/comm 2>/dev/null | tr '\\0' '\\n' "
              "| grep -c 'run-hoo[k]\\|correct-horse-batter[y]' || true");
    expect_text(found, "1\n");
    end_server(server);
    expect_status(wait_end(worker), KILLED(SIGTERM));
    expect_not_logged(worker, SECRET);
}
END_TEST

START_TEST(a_secret_that_others_can_read_is_refused_at_the_stop_too)
{
    struct process *server = serve(NULL, NULL, NULL);
    const char *file = secret_file("secret", SECRET, 0644);
    struct process *worker = stop_with_http(
        server, text("url = \"%s\"; bearer_file = \"%s\";", url("/private"), file), "");
    expect_logged(worker, "secret is open to others (mode 0644); expected 0600");
    expect(!exists("requests"));
}
END_TEST

/* ---- ways to the server ---------------------------------------------------------------------- */

START_TEST(a_unix_socket_leads_to_the_server)
{
    struct process *server =
        start(BARE, "/usr/bin/python3", source("tests/system/http_stand_in.py"), here("web.sock"));
    wait_ready(server);
    struct process *worker = stop_with_http(
        server, text("url = \"http://x/status/200\"; unix_socket = \"%s\";", here("web.sock")), "");
    expect_done(worker);
}
END_TEST

START_TEST(a_proxy_is_taken_from_the_config_not_from_the_environment)
{
    struct process *server = serve(NULL, NULL, NULL);
    const char *dead = text("http://127.0.0.1:%d", free_port());
    environment("http_proxy", _i == 0 ? dead : NULL);
    environment("ALL_PROXY", _i == 0 ? dead : NULL);
    struct process *worker = stop_with_http(
        server,
        _i == 0   ? text("url = \"%s\";", url("/status/200"))
        : _i == 1 ? text("url = \"http://elsewhere.invalid/status/200\"; proxy = \"%s\"; "
                         "expect = \"404\";",
                         url(""))
                  : text("url = \"%s\"; proxy = \"%s\";", url("/status/200"), dead),
        "");
    expect_logged(worker, _i == 2 ? "Failed to connect" : "done");
    if (_i == 1)
        expect(strstr(contents("requests"), "http://elsewhere.invalid/status/200") != NULL);
}
END_TEST

/* ---- options --------------------------------------------------------------------------------- */

#define URL "url = \"http://x/\"; "

START_TEST(wrong_options_are_refused)
{
    secret_file("open", "x", 0644);
    secret_file("closed", "x", 0600);
    const char *rows[][2] = {
        {"", "option \"url\" is missing; expected http://… or https://…"},
        {"url = \"ftp://x/\";", "\"url\" is of another kind; expected http://"},
        {"url = \"http://x y/\";", "Bad hostname"},
        {"url = \"http://joe:pass@x/\";", "has a user in it; expected it in `user`"},
        {URL "proxy = \"http://joe:pass@x/\";", "\"proxy\" has a user in it"},
        {"url = 3;", "option \"url\" (line 2) is a whole number; expected a string"},
        {URL "ulr = 3;", "unknown option \"ulr\" (line 2): plugin http knows"},
        {URL "method = \"get\";", "\"method\" is \"get\"; expected a name as \"GET\""},
        {URL "expect = \"2x0\";", "\"expect\" has \"2x0\"; expected a status"},
        {URL "expect = [\"300-200\"];", "\"expect\" has \"300-200\""},
        {URL "expect = [\"200\", \"900\"];", "\"expect\" has \"900\""},
        {URL "escape = \"xml\";", "\"escape\" is \"xml\"; expected \"json\""},
        {URL "headers = [\"No colon\"];",
         "\"headers\" has \"No colon…\"; expected \"Name: value\""},
        {URL "headers = [\"Authorization: Bearer x\"];", "has a secret, Authorization"},
        {URL "body = \"${GRACE_CUASE}\";", "there is no ${GRACE_CUASE}; expected a name as"},
        {URL "body = \"${x\";", "has no }; expected ${NAME}"},
        {URL "body = \"${a-b}\";", "\"${a-b}\" is no variable"},
        {URL "redirects = 99;", "\"redirects\" is 99; expected 0 to 20"},
        {URL "user = \"joe\";", "need each other"},
        {URL "key = \"/x.key\";", "option \"key\" needs \"cert\""},
        {text(URL "bearer_file = \"%s\";", here("open")), "is open to others (mode 0644)"},
        {text(URL "bearer_file = \"%s\";", here("none")), "none: No such file"},
        {URL "bearer_file = \"token\";", "is \"token\"; expected an absolute path"},
        {URL "bearer_file = \"/etc\";", "/etc is no regular file"},
        {text(URL "bearer_file = \"%s\"; user = \"x\"; password_file = \"%s\";", here("closed"),
              here("closed")),
         "two ways to say who asks"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refused("http", rows[i][0], rows[i][1]);
    expect_refused_silently("http", "url = \"htp://joe:s3cret@x/\";", "s3cret");
    expect_refused_silently("http", "url = \"http://x y/?token=s3cret\";", "s3cret");
    expect_taken("http", text("url = \"${CONSUL}/v1/x\"; bearer_file = \"%s\"; expect = [\"2xx\", "
                              "\"404\", \"410-499\"]; headers = \"A: ${GRACE_CAUSE}\";",
                              here("closed")));
}
END_TEST

/* A copy of the plugin that wants a library which is not there. */
START_TEST(without_its_library_the_hook_fails_and_says_so)
{
    struct stat status;
    int fd = open(product("hooks/http.so"), O_RDONLY | O_CLOEXEC);
    expect(fd >= 0 && fstat(fd, &status) == 0);
    char *bytes = malloc((size_t)status.st_size);
    expect(read(fd, bytes, (size_t)status.st_size) == status.st_size);
    close(fd);
    char *name = memmem(bytes, (size_t)status.st_size, "libcurl.so.4", 12);
    expect(name != NULL);
    memcpy(name, "libnone.so.4", 12);
    fd = open(here("http.so"), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    expect(write(fd, bytes, (size_t)status.st_size) == status.st_size);
    close(fd);
    free(bytes);
    config("hooks = (%s, { name = \"h\"; plugin = \"%s\"; options = { url = \"http://x/\"; }; });",
           hook_command("after", ""), here("http.so"));
    struct process *worker = stop_worker(SIGTERM);
    expect_logged(worker, "libnone.so.4: cannot open shared object file");
    expect_order("after");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hook http");
    TCase *group = story_case(all, "http");
    tcase_add_loop_test(group, a_service_is_taken_out_of_the_register_once_however_it_ends, 0,
                        sizeof endings / sizeof endings[0]);
    tcase_add_test(group, values_of_the_stop_are_put_in_and_escaped);
    tcase_add_test(group, a_variable_that_is_not_there_is_an_error);
    tcase_add_loop_test(group, each_method_is_sent_as_servers_want_it, 0, 5);
    tcase_add_loop_test(group, an_answer_is_expected_or_the_hook_fails_and_says_why, 0,
                        sizeof answers / sizeof answers[0]);
    tcase_add_test(group, a_failure_is_tried_again_by_the_runner);
    tcase_add_test(group, a_server_that_does_not_answer_is_told_of_within_the_hooks_time);
    tcase_add_test(group, nobody_there_is_a_failure_that_says_so);
    tcase_add_test(group, tls_with_certificates_on_both_sides);
    tcase_add_loop_test(group, tls_trusts_nobody_else, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_loop_test(group, secrets_come_from_files_and_go_to_the_server_only, 0, 3);
    tcase_add_test(group, no_secret_is_in_a_process_list);
    tcase_add_test(group, a_secret_that_others_can_read_is_refused_at_the_stop_too);
    tcase_add_test(group, a_unix_socket_leads_to_the_server);
    tcase_add_loop_test(group, a_proxy_is_taken_from_the_config_not_from_the_environment, 0, 3);
    tcase_add_test(group, wrong_options_are_refused);
    tcase_add_test(group, without_its_library_the_hook_fails_and_says_so);
    return all;
}
