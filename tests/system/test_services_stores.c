/* Stores: postgres, redis, memcached, slapd. */
#include "harness_services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- postgres -------------------------------------------------------------------------------- */

static const char *prepare_postgres(const char *executable, int port)
{
    const char *folder = text("%.*s", (int)(strrchr(executable, '/') - executable), executable);
    struct launch how = {.way = BARE,
                         .argv = ARGV(text("%s/initdb", folder), "-N", "-A", "trust", "-U", "owner",
                                      "-D", here("data")),
                         .user = geteuid() == 0 ? "postgres" : NULL};
    if (!exists("data"))
        expect_status(wait_end(launch(&how)), EXITED(0));
    return text("%s -D %s -p %d -h 127.0.0.1 -k %s -F -c autovacuum=off", executable, here("data"),
                port, story_directory());
}

/* pg_ctl starts it through a shell, and leaves. Without -p it would run `postgres -V` before. */
static const char *prepare_pg_ctl(const char *executable, int port)
{
    const char *postgres = prepare_postgres(executable, port);
    const char *folder = text("%.*s", (int)(strrchr(executable, '/') - executable), executable);
    write_file("start.sh", "exec %s/pg_ctl start -p %s -s -w -D %s -l %s -o '%s'\n", folder,
               executable, here("data"), here("postgres.log"), strstr(postgres, "-p "));
    return text("/bin/sh %s", here("start.sh"));
}

/* The messages of its protocol: as user "owner", one question, the end. */
static const char hello[] = "\0\0\0\46\0\3\0\0user\0owner\0database\0postgres\0";
static const char question[] = "Q\0\0\0\20select 6*7;\0X\0\0\0\4";

static bool ask_postgres(int port)
{
    char request[sizeof hello + sizeof question - 1], answer[4096];
    memcpy(request, hello, sizeof hello);
    memcpy(request + sizeof hello, question, sizeof question - 1);
    size_t length = exchange(port, request, sizeof request, sizeof answer, answer, sizeof answer);
    return memmem(answer, length, "\0\0\0\00242", 6) != NULL;
}

/* One of its backends is killed: it ends the others, recovers, and goes on. */
static struct process *live_as_postgres(struct process *process, int port)
{
    char answer[4096];
    int connection = dial(port);
    expect(connection >= 0 && write(connection, hello, sizeof hello) == (ssize_t)sizeof hello);
    size_t length = 0;
    const char *key = NULL;
    while (key == NULL) {
        ssize_t n = read(connection, answer + length, sizeof answer - length);
        expect(n > 0);
        length += (size_t)n;
        key = memmem(answer, length, "K\0\0\0\14", 5);
    }
    const unsigned char *pid = (const unsigned char *)key + 5;
    /* This connection's backend is no worker that comes back. */
    const char *before = contents(text("/proc/%d/task/%d/children", process->pid, process->pid));
    expect(kill(pid[0] << 24 | pid[1] << 16 | pid[2] << 8 | pid[3], SIGKILL) == 0);
    while (read(connection, answer, sizeof answer) > 0)
        ;
    close(connection);
    for (int64_t since = now_ms();; let_pass(5)) {
        const char *now = contents(text("/proc/%d/task/%d/children", process->pid, process->pid));
        if (count_of(now, " ") == count_of(before, " ") - 1 && atoi(now) != atoi(before))
            return process;
        expect(now_ms() - since < STORY_LIMIT_MS, "%s, before %s", now, before);
    }
}

/* ---- redis, memcached, slapd ----------------------------------------------------------------- */

static const char *prepare_redis(const char *executable, int port)
{
    return text("%s --port %d --bind 127.0.0.1 --dir %s --daemonize yes --pidfile %s", executable,
                port, story_directory(), here("redis.pid"));
}

static bool ask_redis(int port)
{
    return is_answered(port, "SET key value\r\n", 15, "+OK\r\n", 5);
}

static void shut_redis_down(int port)
{
    is_answered(port, "SHUTDOWN NOSAVE\r\n", 17, "", 1);
}

static const char *prepare_memcached(const char *executable, int port)
{
    return text("%s -d -U 0 -l 127.0.0.1 -p %d -P %s%s", executable, port, here("memcached.pid"),
                geteuid() == 0 ? " -u nobody" : "");
}

static bool ask_memcached(int port)
{
    static const char request[] = "set key 0 0 5\r\nvalue\r\nget key\r\n";
    static const char answer[] = "STORED\r\nVALUE key 0 5\r\nvalue\r\nEND\r\n";
    return is_answered(port, request, sizeof request - 1, answer, sizeof answer - 1);
}

static const char *prepare_slapd(const char *executable, int port)
{
    write_file("slapd.conf", "pidfile %s\n", here("slapd.pid"));
    return text("%s -f %s -h ldap://127.0.0.1:%d/", executable, here("slapd.conf"), port);
}

static bool ask_slapd(int port)
{
    static const unsigned char bind_request[] = {0x30, 0x0c, 2, 1, 1, 0x60, 7,
                                                 2,    1,    3, 4, 0, 0x80, 0};
    static const unsigned char bound[] = {0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0};
    return is_answered(port, bind_request, sizeof bind_request, bound, sizeof bound);
}

/* Its stops: smart (which waits until no client is left: not for one that always comes back), fast,
 * immediate. */
static const struct service services[] = {
    {.name = "postgres",
     .executable = "/usr/lib/postgresql/*/bin/postgres",
     .prepare = prepare_postgres,
     .written = "data/postmaster.pid",
     .user = "postgres",
     .ask = ask_postgres,
     .live = live_as_postgres,
     .stops = {{SIGTERM}, {SIGINT}, {SIGQUIT}, {SIGKILL, .workers_stay = true}}},
    {.name = "postgres by pg_ctl",
     .executable = "/usr/lib/postgresql/*/bin/postgres",
     .prepare = prepare_pg_ctl,
     .pid_file = "data/postmaster.pid",
     .user = "postgres",
     .programs = "postgres",
     .ask = ask_postgres,
     .stops = {{SIGINT}, {SIGTERM}, {SIGQUIT}, {SIGKILL, .workers_stay = true}}},
    {.name = "redis-server",
     .executable = "/usr/bin/redis-server",
     .prepare = prepare_redis,
     .pid_file = "redis.pid",
     .ask = ask_redis,
     .stops = {{SIGTERM}, {-1}, {SIGINT}, {SIGKILL}},
     .stop = shut_redis_down},
    {.name = "memcached",
     .executable = "/usr/bin/memcached",
     .prepare = prepare_memcached,
     .pid_file = "memcached.pid",
     .ask = ask_memcached,
     .stops = {{SIGTERM}, {SIGINT}, {SIGKILL}}},
    {.name = "slapd",
     .executable = "/usr/sbin/slapd",
     .prepare = prepare_slapd,
     .pid_file = "slapd.pid",
     .ask = ask_slapd,
     .stops = {{SIGTERM}, {SIGINT}, {SIGKILL}}},
};

START_TEST(lives_as_bare_and_runs_its_hooks_once)
{
    service_lives(&services[_i]);
}
END_TEST

START_TEST(lives_so_under_supervisors)
{
    service_lives_under(_i, services, sizeof services / sizeof services[0]);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("services: stores");
    TCase *group = service_case(all, "stores");
    tcase_add_loop_test(group, lives_as_bare_and_runs_its_hooks_once, 0,
                        sizeof services / sizeof services[0]);
    tcase_add_loop_test(group, lives_so_under_supervisors, supervisors_first(2),
                        supervisors_end(2));
    return all;
}
