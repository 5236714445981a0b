/* The plugin "redis" against Debian's redis-server. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "harness_hooks.h"

static int port;

/* A server of its own for the story, without persistence; `more` are further arguments. */
#define serve(...)                                                                                 \
    serve_with((const char *const[]){"/usr/bin/redis-server", "--port", text("%d", port),          \
                                     "--bind", "127.0.0.1", "--save", "", "--dir", here("data"),   \
                                     "--daemonize", "no", ##__VA_ARGS__, NULL})

static struct process *serve_with(const char *const *argv)
{
    mkdir(here("data"), 0755);
    struct process *redis = launch(&(struct launch){.way = BARE, .argv = argv});
    wait_contains(redis->out, "eady to accept connections");
    return redis;
}

static char *cli(const char *arguments)
{
    return shell(text("redis-cli -e -p %d %s", port, arguments));
}

/* A program stops; its hook talks to the server, which then ends too. Returns the log. */
static struct process *stop_with_redis(struct process *redis, const char *options)
{
    config("hooks = (%s);", hook_shipped("redis", options, "timeout = \"30s\";"));
    struct process *worker = stop_worker(SIGTERM);
    send_signal(redis, SIGKILL);
    wait_end(redis);
    wait_all_gone();
    return worker;
}

static const char *url(void)
{
    return text("url = \"redis://127.0.0.1:%d\";", port);
}

#define expect_done(worker) expect_logged(worker, "hook \"redis\" (stop) done")

/* ---- redis itself under libgrace ------------------------------------------------------------- */

/* With a client that writes all the time: what was acknowledged is there after the restart. */
START_TEST(no_acknowledged_key_is_lost_at_a_stop_of_redis)
{
    port = free_port();
    config("%s", contents(source("examples/redis/grace.conf")));
    environment("REDIS_PORT", text("%d", port));
    mkdir(here("data"), 0755);
    struct process *redis =
        start(GRACED, "/usr/bin/redis-server", "--port", text("%d", port), "--bind", "127.0.0.1",
              "--save", "", "--dir", here("data"), "--daemonize", "no");
    wait_port(redis, port);
    struct process *writer =
        start(BARE, "/usr/bin/python3", source("tests/system/redis_writer.py"), text("%d", port));
    wait_ready(writer);
    expect_status(stop_with(redis, _i == 0 ? SIGTERM : SIGINT), EXITED(0));
    expect_status(wait_end(writer), EXITED(0));
    int acknowledged = atoi(contents("acknowledged"));
    expect(acknowledged >= 1000);
    serve();
    int keys = atoi(cli("DBSIZE"));
    expect(keys == acknowledged || keys == acknowledged + 1, "%d acknowledged, %d there",
           acknowledged, keys);
    expect_text(cli(text("GET w:%d", acknowledged)), "x\n");
}
END_TEST

START_TEST(shutdown_nosave_is_left_alone)
{
    port = free_port();
    config("%s", contents(source("examples/redis/grace.conf")));
    environment("REDIS_PORT", text("%d", port));
    mkdir(here("data"), 0755);
    struct process *redis =
        start(GRACED, "/usr/bin/redis-server", "--port", text("%d", port), "--bind", "127.0.0.1",
              "--save", "", "--dir", here("data"), "--daemonize", "no");
    wait_port(redis, port);
    cli("SET a 1");
    shell(text("redis-cli -p %d SHUTDOWN NOSAVE", port));
    expect_status(wait_end(redis), EXITED(0));
    wait_all_gone();
    expect(!exists("data/dump.rdb"));
    expect_not_logged(redis, "failed");
}
END_TEST

/* ---- ways to save ---------------------------------------------------------------------------- */

static const struct {
    const char *options, *said;
    int before; /* a save, and then a key or none */
    int keys;
} saves[] = {
    {"", "done", 0, 1},
    {"mode = \"BGSAVE\";", "done", 0, 1},
    {"save = \"if-changed\";", "done", 0, 1},
    {"save = \"if-changed\"; mode = \"BGSAVE\"; pause = \"5s\";", "done", 0, 1},
    {"save = \"if-changed\";", "nothing has changed since the last save", 1, 1},
    {"save = \"if-changed\";", "done", 2, 2},
    {"save = \"never\"; commands = \"SET b 2\";", "done", 0, 0},
    {"commands = \"SET b 2\";", "done", 0, 0},
    {"save = \"always\"; commands = [\"SET b 2\"];", "done", 0, 2},
};

START_TEST(it_is_saved_as_the_options_say)
{
    port = free_port();
    struct process *redis = serve();
    cli("SET a 1");
    if (saves[_i].before > 0)
        cli("SAVE");
    if (saves[_i].before > 1)
        cli("SET b 2");
    struct stat before = {.st_ino = 0}, after = {.st_ino = 0};
    stat(here("data/dump.rdb"), &before);
    struct process *worker = stop_with_redis(redis, text("%s %s", url(), saves[_i].options));
    expect_logged(worker, saves[_i].said);
    expect_done(worker);
    stat(here("data/dump.rdb"), &after);
    expect((before.st_ino == after.st_ino) == (saves[_i].before == 1 || saves[_i].keys == 0));
    serve();
    expect(atoi(cli("DBSIZE")) == saves[_i].keys);
}
END_TEST

START_TEST(a_save_that_is_under_way_is_waited_for)
{
    port = free_port();
    struct process *redis = serve();
    /* Slow enough to be met, whatever the machine. */
    cli("CONFIG SET rdb-key-save-delay 20000");
    cli("EVAL \"for i=1,100 do redis.call('set', i, i) end\" 0");
    cli("BGSAVE");
    cli("SET last 1");
    cli("CONFIG SET rdb-key-save-delay 0");
    struct process *worker =
        stop_with_redis(redis, text("%s %s", url(), _i == 0 ? "" : "mode = \"BGSAVE\";"));
    expect_done(worker);
    serve();
    expect_text(cli("GET last"), "1\n");
}
END_TEST

START_TEST(a_killed_target_has_its_save_too)
{
    port = free_port();
    struct process *redis = serve();
    cli("SET a 1");
    config(
        "hooks = (%s, %s);",
        hook_script("end", text("redis-cli -p %d SHUTDOWN NOSAVE", port), "phase = \"cleanup\";"),
        hook_shipped("redis", url(), ""));
    stop_worker(SIGKILL);
    expect_status(wait_end(redis), EXITED(0));
    wait_all_gone();
    serve();
    expect_text(cli("GET a"), "1\n");
}
END_TEST

/* ---- what can go wrong ----------------------------------------------------------------------- */

/* Redis' clock when a save is ordered, and its LASTSAVE before and after. */
static const struct {
    const char *time, *before, *after, *said;
} clocks[] = {
    {"1000", "900", "1000", "done"},
    {"1000", "1000", "1000", "done"},
    {"1000", "900", "999", "done"}, /* time(2) is a tick behind */
    {"1000", "999", "999", "done"},
    {"1000", "900", "800", "done"}, /* the clock was set back */
    {"1000", "998", "998", "but its LASTSAVE is 2 s older than that"},
};

START_TEST(a_save_that_changed_nothing_is_none)
{
    port = free_port();
    struct process *redis =
        start(BARE, "/usr/bin/python3", source("tests/system/redis_stand_in.py"), text("%d", port),
              clocks[_i].time, clocks[_i].before, clocks[_i].after);
    wait_ready(redis);
    expect_logged(stop_with_redis(redis, url()), clocks[_i].said);
}
END_TEST

/* A disk of 64 KiB that only this story sees, or where that is not allowed, files of 64 KiB. */
static struct process *serve_on_a_small_disk(void)
{
    mkdir(here("data"), 0777);
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", here("data"), "tmpfs", 0, "size=64k") == 0)
        return serve();
    const char *script = text("trap '' XFSZ; ulimit -f 64; exec redis-server --port %d --bind "
                              "127.0.0.1 --save '' --dir %s --daemonize no",
                              port, here("data"));
    return serve_with(ARGV("/bin/sh", "-c", script));
}

static void give_small_disk_back(void)
{
    umount2(here("data"), MNT_DETACH);
}

START_TEST(a_full_disk_is_a_failure_that_says_so)
{
    static const char *const said[] = {"redis cannot save: it answers \"ERR\" to SAVE",
                                       "redis could not save in the background"};
    port = free_port();
    struct process *redis = serve_on_a_small_disk();
    /* Random, so that it cannot be packed. */
    cli("EVAL \"for i=1,20000 do redis.call('set', i, tostring(math.random())) end\" 0");
    struct process *worker = stop_with_redis(
        redis, text("%s pause = \"1m\"; %s", url(), _i == 0 ? "" : "mode = \"BGSAVE\";"));
    expect_logged(worker, said[_i]);
    expect_logged(worker, text("its folder is %s, with ", here("data")));
    expect_logged(worker, " KiB free");
    expect_logged(worker, "1 failed");
    give_small_disk_back();
}
END_TEST

START_TEST(after_a_failed_save_writers_go_on)
{
    port = free_port();
    struct process *redis = serve_on_a_small_disk();
    cli("EVAL \"for i=1,20000 do redis.call('set', i, tostring(math.random())) end\" 0");
    config("hooks = (%s, %s);", hook_script("write", text("redis-cli -p %d SET on 1", port), ""),
           hook_shipped("redis", text("%s pause = \"10m\";", url()), ""));
    struct process *worker = stop_worker(SIGTERM);
    send_signal(redis, SIGKILL);
    wait_end(redis);
    expect_logged(worker, "hook \"write\": OK");
    give_small_disk_back();
}
END_TEST

START_TEST(nobody_there_or_no_answer_is_a_failure_that_says_so)
{
    port = free_port();
    config("hooks = (%s);", hook_shipped("redis", url(), "timeout = \"3s\";"));
    expect_logged(stop_worker(SIGTERM),
                  text("cannot connect to redis at 127.0.0.1:%d: Connection refused", port));
    struct process *redis = serve();
    send_signal(redis, SIGSTOP);
    struct process *worker = stop_worker(SIGTERM);
    send_signal(redis, SIGKILL);
    wait_end(redis);
    expect_logged(worker, text("redis at 127.0.0.1:%d gave no answer in time to PING", port));
}
END_TEST

/* ---- who may --------------------------------------------------------------------------------- */

#define SECRET "hunter2-hunter2"

static const struct {
    const char *options, *said;
} entries[] = {
    {"password_file = \"%s\";", "done"},
    {"user = \"default\"; password_file = \"%s\";", "done"},
    {"user = \"saver\"; password_file = \"%s\";", "done"},
    {"user = \"nobody\"; password_file = \"%s\";",
     "user nobody with the password in %s: redis answers WRONGPASS"},
    {"", "without a password_file: redis answers NOAUTH"},
};

START_TEST(a_password_from_a_file_lets_in)
{
    port = free_port();
    struct process *redis = serve("--requirepass", SECRET, "--user", "saver", "on", (">" SECRET),
                                  "+ping", "+save", "+time", "+lastsave", "+info");
    const char *file = secret_file("secret", SECRET, 0600);
    struct process *worker = stop_with_redis(
        redis,
        text("%s %s", url(),
             strstr(entries[_i].options, "%s") != NULL
                 ? text("%.*s%s\";", (int)(strstr(entries[_i].options, "%s") - entries[_i].options),
                        entries[_i].options, file)
                 : ""));
    const char *said = entries[_i].said, *hole = strstr(said, "%s");
    expect_logged(worker,
                  hole == NULL ? said : text("%.*s%s%s", (int)(hole - said), said, file, hole + 2));
    expect_not_logged(worker, SECRET);
    expect(exists("data/dump.rdb") == (strcmp(said, "done") == 0));
}
END_TEST

START_TEST(a_wrong_password_is_a_failure_that_says_so)
{
    port = free_port();
    struct process *redis = serve("--requirepass", SECRET);
    struct process *worker =
        stop_with_redis(redis, text("%s password_file = \"%s\";", url(),
                                    secret_file("secret", "guess-guess", 0600)));
    expect_logged(worker, text("user default with the password in %s: redis answers WRONGPASS",
                               here("secret")));
    expect_not_logged(worker, "guess-guess");
    expect(!exists("data/dump.rdb"));
}
END_TEST

/* ---- ways to the server ---------------------------------------------------------------------- */

static const struct {
    const char *host, *options, *said;
} channels[] = {
    {"localhost", "ca cert key", "done"},
    {"127.0.0.1", "ca cert key", "done"},
    {"localhost", "ca", "redis at localhost:"}, /* no certificate of ours */
    {"localhost", "other cert key", "self-signed certificate in certificate chain"},
    {"127.0.0.2", "ca cert key", "IP address mismatch"},
};

START_TEST(tls_with_certificates_on_both_sides)
{
    make_certificates();
    port = free_port();
    struct process *redis =
        serve("--port", "0", "--bind", "127.0.0.1 127.0.0.2", "--tls-port", text("%d", port),
              "--tls-cert-file", here("server.pem"), "--tls-key-file", here("server.key"),
              "--tls-ca-cert-file", here("ca.pem"));
    char *options = text("url = \"rediss://%s:%d\";", channels[_i].host, port);
    if (strstr(channels[_i].options, "cert"))
        options = text("%s cert = \"%s\"; key = \"%s\";", options, here("client.pem"),
                       here("client.key"));
    options = text("%s ca = \"%s\";", options,
                   here("%s", strstr(channels[_i].options, "other") ? "other.pem" : "ca.pem"));
    struct process *worker = stop_with_redis(redis, options);
    expect_logged(worker, channels[_i].said);
    expect(exists("data/dump.rdb") == (strcmp(channels[_i].said, "done") == 0));
}
END_TEST

START_TEST(a_unix_socket_leads_to_the_server)
{
    port = 0;
    struct process *redis = serve("--unixsocket", here("redis.sock"));
    struct process *worker = stop_with_redis(redis, text("url = \"unix:%s\";", here("redis.sock")));
    expect_done(worker);
    expect(exists("data/dump.rdb"));
}
END_TEST

/* ---- commands -------------------------------------------------------------------------------- */

START_TEST(commands_are_run_with_values_that_stay_one_word)
{
    port = free_port();
    struct process *redis = serve();
    environment("NASTY", "two words \"and\" $x\r\nFLUSHALL");
    struct process *worker = stop_with_redis(
        redis,
        text("url = \"redis://127.0.0.1:%d/3\"; save = \"always\"; commands = [\"SET cause "
             "${GRACE_CAUSE}\", \"SET nasty '${NASTY}'\", \"SET 'a b' \\\"c \\\\\\\"d\\\"\"];",
             port));
    expect_done(worker);
    serve();
    expect_text(cli("-n 3 GET cause"), "signal\n");
    expect_text(cli("-n 3 GET nasty"), "two words \"and\" $x\r\nFLUSHALL\n");
    expect_text(cli("-n 3 GET 'a b'"), "c \"d\n");
}
END_TEST

START_TEST(a_command_that_fails_is_told_and_the_save_is_done)
{
    port = free_port();
    struct process *redis = serve();
    struct process *worker = stop_with_redis(
        redis, text("%s save = \"always\"; commands = [\"SET a 1\", \"INCRBY a x\", \"HGET a b\", "
                    "\"SET b 2\"];",
                    url()));
    expect_logged(worker, "command 2, INCRBY: redis answers ERR value is not an integer");
    expect_logged(worker, "command 3, HGET: redis answers WRONGTYPE");
    expect_logged(worker, "1 failed");
    serve();
    expect_text(cli("DBSIZE"), "2\n");
}
END_TEST

/* ---- options --------------------------------------------------------------------------------- */

START_TEST(wrong_options_are_refused)
{
    secret_file("open", "x", 0640);
    expect(chmod(here("open"), 0604) == 0);
    const char *rows[][2] = {
        {"url = \"http://x\";", "\"url\": it is of another kind; expected redis://"},
        {"url = \"redis://\";", "\"url\": it names no host"},
        {"url = \"redis://x:70000\";", "its port is no number"},
        {"url = \"redis://x/db\";", "its database is no number"},
        {"url = \"redis://joe:pass@x\";", "it has a password in it"},
        {"url = \"unix:/\";", "it names no socket"},
        {"url = \"redis://[::1\";", "a bracket is not closed"},
        {"save = \"sometimes\";", "\"save\" is \"sometimes\"; expected \"always\""},
        {"save = true;", "option \"save\" (line 2) is true or false; expected a string"},
        {"save = \"never\";", "nothing to do"},
        {"mode = \"save\";", "\"mode\" is \"save\"; expected \"SAVE\" or \"BGSAVE\""},
        {"pause = 5;", "\"pause\" (line 2) is a whole number; expected a duration"},
        {"pause = \"1h\";", "\"pause\" is longer than 10m"},
        {"commands = [\"\"];", "\"commands\": one is empty"},
        {"commands = [\"SET 'a\"];", "\"commands\": a quote is not closed"},
        {"commands = [\"SET a ${GRACE_X}\"];", "there is no ${GRACE_X}"},
        {"user = \"joe\";", "\"user\" needs \"password_file\""},
        {"key = \"/x\";", "\"key\" needs \"cert\""},
        {"ca = \"/x\";", "\"ca\" and \"cert\" are for rediss://"},
        {text("password_file = \"%s\";", here("open")), "open is open to others (mode 0604)"},
        {"passwd = \"x\";", "unknown option \"passwd\" (line 2): plugin redis knows"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refused("redis", rows[i][0], rows[i][1]);
    expect_refused_silently("redis", "url = \"redis://joe:s3cret@x\";", "s3cret");
    expect_refused_silently("redis", "url = \"rediss//joe:s3cret@x\";", "s3cret");
    expect_taken("redis", "");
    expect_taken("redis",
                 "url = \"rediss://joe@[::1]:7000/3\"; ca = \"/x\"; save = \"if-changed\"; "
                 "mode = \"BGSAVE\"; pause = \"5s\"; commands = \"PUBLISH x "
                 "'${GRACE_CAUSE:-a b}'\";");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hook redis");
    TCase *group = story_case(all, "redis");
    tcase_add_loop_test(group, no_acknowledged_key_is_lost_at_a_stop_of_redis, 0, 2);
    tcase_add_test(group, shutdown_nosave_is_left_alone);
    tcase_add_loop_test(group, it_is_saved_as_the_options_say, 0, sizeof saves / sizeof saves[0]);
    tcase_add_loop_test(group, a_save_that_is_under_way_is_waited_for, 0, 2);
    tcase_add_test(group, a_killed_target_has_its_save_too);
    tcase_add_loop_test(group, a_save_that_changed_nothing_is_none, 0,
                        sizeof clocks / sizeof clocks[0]);
    tcase_add_loop_test(group, a_full_disk_is_a_failure_that_says_so, 0, 2);
    tcase_add_test(group, after_a_failed_save_writers_go_on);
    tcase_add_test(group, nobody_there_or_no_answer_is_a_failure_that_says_so);
    tcase_add_loop_test(group, a_password_from_a_file_lets_in, 0,
                        sizeof entries / sizeof entries[0]);
    tcase_add_test(group, a_wrong_password_is_a_failure_that_says_so);
    tcase_add_loop_test(group, tls_with_certificates_on_both_sides, 0,
                        sizeof channels / sizeof channels[0]);
    tcase_add_test(group, a_unix_socket_leads_to_the_server);
    tcase_add_test(group, commands_are_run_with_values_that_stay_one_word);
    tcase_add_test(group, a_command_that_fails_is_told_and_the_save_is_done);
    tcase_add_test(group, wrong_options_are_refused);
    return all;
}
