/*
 * Redis without persistence, 10,000 keys, and a stop: everything is gone. Under libgrace a hook has
 * it saved while it still serves, and all of it is back after the restart.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 10000

static struct process *start_redis(enum way way, int port)
{
    struct process *redis = start(way, "/usr/bin/redis-server", "--port", text("%d", port),
                                  "--bind", "127.0.0.1", "--save", "", "--dir", story_directory(),
                                  "--dbfilename", "dump.rdb", "--daemonize", "no");
    wait_port(redis, port);
    return redis;
}

/* One command in redis' inline form; returns the answer, up to its `enough` bytes. */
static char *ask(int port, const char *command, size_t enough)
{
    char *answer = calloc(1, 65536);
    exchange(port, command, strlen(command), enough, answer, 65536);
    return answer;
}

static void add_keys(int port)
{
    /* On the server, in one go. */
    const char *script =
        "for i=1,%d do redis.call('set', 'key:'..i, 'value '..i) end return 'done'";
    expect_text(ask(port, text("EVAL \"%s\" 0\r\n", text(script, KEYS)), 10), "$4\r\ndone\r\n");
    expect_text(ask(port, "DBSIZE\r\n", 8), text(":%d\r\n", KEYS));
}

static int keys_of(int port)
{
    int keys = -1;
    sscanf(ask(port, "DBSIZE\r\n", 4), ":%d", &keys);
    return keys;
}

START_TEST(bare_all_keys_are_gone)
{
    int port = free_port();
    struct process *redis = start_redis(BARE, port);
    add_keys(port);
    expect_status(stop_with(redis, SIGTERM), EXITED(0));
    start_redis(BARE, port);
    expect(keys_of(port) == 0);
}
END_TEST

/* It serves while the hook runs: the command talks to it over its port. */
START_TEST(a_hook_saves_them_while_it_still_serves)
{
    int port = free_port();
    config("%s", contents(source("examples/redis/grace.conf")));
    environment("REDIS_PORT", text("%d", port));
    struct process *redis = start_redis(GRACED, port);
    add_keys(port);
    expect_status(stop_with(redis, SIGTERM), EXITED(0));
    start_redis(BARE, port);
    expect(keys_of(port) == KEYS, "%d keys", keys_of(port));
    char *last = ask(port, text("GET key:%d\r\n", KEYS), 18);
    expect_text(last, text("$11\r\nvalue %d\r\n", KEYS));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("redis");
    TCase *group = story_case(all, "redis");
    tcase_add_test(group, bare_all_keys_are_gone);
    tcase_add_test(group, a_hook_saves_them_while_it_still_serves);
    return all;
}
