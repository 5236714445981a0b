/*
 * Programs that Debian ships, each with a config of three hooks: it starts, answers a request and
 * stops at TERM in its own way, by the same wait status as bare, and each hook runs once.
 */
#include "harness.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct service {
    const char *name;
    const char *executable; /* may hold a wildcard */
    struct launch (*prepare)(const char *executable, int port);
    void (*ask)(struct process *process, int port); /* one real request */
};

/* Daemons that refuse to run as root run as this user instead. */
static const char *somebody(const char *user)
{
    return geteuid() == 0 ? user : NULL;
}

static void make_site(void)
{
    mkdir("www", 0755);
    write_file("www/index.html", "a page\n");
}

static void ask_for_page(struct process *process, int port)
{
    char *body;
    wait_port(process, port);
    expect(http_get(port, "/index.html", &body) == 200);
    expect_text(body, "a page\n");
}

static void ask_in_words(struct process *process, int port, const char *question,
                         const char *answer)
{
    char got[4096];
    wait_port(process, port);
    exchange(port, question, strlen(question), strlen(answer), got, sizeof got);
    expect_text(got, answer);
}

/* The launch of a program whose arguments were made at run time. */
static struct launch command_line(const char *line)
{
    const char **argv = calloc(64, sizeof *argv);
    char *words = text("%s", line), *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(words, "\t", &rest); word != NULL && count < 63;
         word = strtok_r(NULL, "\t", &rest))
        argv[count++] = word;
    return (struct launch){.argv = argv};
}

/* ---- web servers ----------------------------------------------------------------------------- */

static struct launch prepare_lighttpd(const char *executable, int port)
{
    make_site();
    write_file("lighttpd.conf",
               "server.document-root = \"%s\"\nserver.port = %d\nserver.bind = \"127.0.0.1\"\n",
               here("www"), port);
    return command_line(text("%s\t-D\t-f\t%s", executable, here("lighttpd.conf")));
}

static struct launch prepare_nginx(const char *executable, int port)
{
    make_site();
    write_file("nginx.conf",
               "%sdaemon off; master_process on; pid %s; error_log stderr; events {}\n"
               "http { access_log off; client_body_temp_path %s; proxy_temp_path %s;\n"
               "fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;\n"
               "server { listen 127.0.0.1:%d; root %s; } }\n",
               geteuid() == 0 ? "user root; " : "", here("nginx.pid"), here("t1"), here("t2"),
               here("t3"), here("t4"), here("t5"), port, here("www"));
    return command_line(
        text("%s\t-p\t%s\t-e\tstderr\t-c\t%s", executable, story_directory(), here("nginx.conf")));
}

static struct launch prepare_apache2(const char *executable, int port)
{
    const char *modules = "/usr/lib/apache2/modules";
    make_site();
    write_file("apache2.conf",
               "ServerRoot %s\nDefaultRuntimeDir %s\nServerName localhost\nPidFile %s\n%s"
               "Listen 127.0.0.1:%d\nErrorLog %s\nDocumentRoot %s\n"
               "LoadModule mpm_event_module %s/mod_mpm_event.so\n"
               "LoadModule authz_core_module %s/mod_authz_core.so\n",
               story_directory(), story_directory(), here("apache2.pid"),
               geteuid() == 0 ? "User nobody\nGroup nogroup\n" : "", port, here("error.log"),
               here("www"), modules, modules);
    return command_line(text("%s\t-D\tFOREGROUND\t-f\t%s", executable, here("apache2.conf")));
}

/* ---- stores ---------------------------------------------------------------------------------- */

static struct launch prepare_redis(const char *executable, int port)
{
    return command_line(
        text("%s\t--port\t%d\t--bind\t127.0.0.1\t--dir\t%s", executable, port, story_directory()));
}

static void ask_redis(struct process *process, int port)
{
    ask_in_words(process, port, "SET key value\r\n", "+OK\r\n");
}

static struct launch prepare_memcached(const char *executable, int port)
{
    struct launch how = command_line(text("%s\t-U\t0\t-l\t127.0.0.1\t-p\t%d", executable, port));
    how.user = somebody("nobody");
    return how;
}

static void ask_memcached(struct process *process, int port)
{
    ask_in_words(process, port, "set key 0 0 5\r\nvalue\r\nget key\r\n",
                 "STORED\r\nVALUE key 0 5\r\nvalue\r\nEND\r\n");
}

static struct launch prepare_slapd(const char *executable, int port)
{
    write_file("slapd.conf", "pidfile %s\n", here("slapd.pid"));
    return command_line(
        text("%s\t-d\t0\t-f\t%s\t-h\tldap://127.0.0.1:%d/", executable, here("slapd.conf"), port));
}

/* An anonymous bind, and its success, in LDAP's own bytes. */
static void ask_slapd(struct process *process, int port)
{
    static const unsigned char bind_request[] = {0x30, 0x0c, 2, 1, 1, 0x60, 7,
                                                 2,    1,    3, 4, 0, 0x80, 0};
    static const unsigned char bound[] = {0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0};
    char answer[64];
    wait_port(process, port);
    expect(exchange(port, bind_request, sizeof bind_request, sizeof bound, answer, sizeof answer) ==
           sizeof bound);
    expect(memcmp(answer, bound, sizeof bound) == 0);
}

static struct launch prepare_postgres(const char *executable, int port)
{
    const char *folder = text("%.*s", (int)(strrchr(executable, '/') - executable), executable);
    struct launch how = {.way = BARE,
                         .argv = ARGV(text("%s/initdb", folder), "-N", "-A", "trust", "-U", "owner",
                                      "-D", here("data")),
                         .user = somebody("postgres")};
    if (!exists("data"))
        expect_status(wait_end(launch(&how)), EXITED(0));
    how = command_line(text("%s\t-D\t%s\t-p\t%d\t-h\t127.0.0.1\t-k\t%s\t-F", executable,
                            here("data"), port, story_directory()));
    how.user = somebody("postgres");
    return how;
}

static void ask_postgres(struct process *process, int port)
{
    wait_contains(process->err, "ready to accept connections");
    struct process *client =
        start(BARE, "psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", text("%d", port), "-U",
              "owner", "-d", "postgres", "-c", "select 6 * 7");
    expect_status(wait_end(client), EXITED(0));
    expect_text(contents(client->out), "42\n");
}

/* ---- languages ------------------------------------------------------------------------------- */

static struct launch prepare_python(const char *executable, int port)
{
    make_site();
    return command_line(text("%s\t-m\thttp.server\t--bind\t127.0.0.1\t--directory\t%s\t%d",
                             executable, here("www"), port));
}

static struct launch prepare_php(const char *executable, int port)
{
    make_site();
    return command_line(text("%s\t-S\t127.0.0.1:%d\t-t\t%s", executable, port, here("www")));
}

static struct launch prepare_node(const char *executable, int port)
{
    write_file("server.js",
               "require('http').createServer((q, a) => a.end('a page\\n'))"
               ".listen(%d, '127.0.0.1')\n",
               port);
    return command_line(text("%s\t%s", executable, here("server.js")));
}

static struct launch prepare_perl(const char *executable, int port)
{
    write_file("server.pl",
               "use IO::Socket::INET;\n"
               "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => %d,"
               " Listen => 5, ReuseAddr => 1) or die;\n"
               "while (my $c = $s->accept) { while (<$c>) { last if /^\\r?$/ }\n"
               "print $c \"HTTP/1.0 200 OK\\r\\n\\r\\na page\\n\"; close $c }\n",
               port);
    return command_line(text("%s\t%s", executable, here("server.pl")));
}

/* A shell serves no port: it reads questions from a pipe. */
static struct launch prepare_bash(const char *executable, int port)
{
    (void)port;
    unlink("questions");
    expect(mkfifo("questions", 0600) == 0);
    write_file("server.sh", "exec 3<>questions\necho ready\n"
                            "while read -r line <&3; do echo \"answer to $line\"; done\n");
    return command_line(text("%s\t%s", executable, here("server.sh")));
}

static void ask_bash(struct process *process, int port)
{
    (void)port;
    wait_ready(process);
    int questions = open("questions", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    expect(questions >= 0 && write(questions, "this\n", 5) == 5);
    wait_contains(process->out, "answer to this\n");
    close(questions);
}

static const struct service services[] = {
    {"lighttpd", "/usr/sbin/lighttpd", prepare_lighttpd, ask_for_page},
    {"slapd", "/usr/sbin/slapd", prepare_slapd, ask_slapd},
    {"nginx", "/usr/sbin/nginx", prepare_nginx, ask_for_page},
    {"redis-server", "/usr/bin/redis-server", prepare_redis, ask_redis},
    {"postgres", "/usr/lib/postgresql/*/bin/postgres", prepare_postgres, ask_postgres},
    {"apache2", "/usr/sbin/apache2", prepare_apache2, ask_for_page},
    {"memcached", "/usr/bin/memcached", prepare_memcached, ask_memcached},
    {"python3", "/usr/bin/python3", prepare_python, ask_for_page},
    {"perl", "/usr/bin/perl", prepare_perl, ask_for_page},
    {"bash", "/bin/bash", prepare_bash, ask_bash},
    {"node", "/usr/bin/node", prepare_node, ask_for_page},
    {"php", "/usr/bin/php", prepare_php, ask_for_page},
};
#define SERVICES ((int)(sizeof services / sizeof services[0]))

static const char *find_executable(const struct service *service)
{
    glob_t found;
    if (glob(service->executable, 0, NULL, &found) != 0)
        skip("no %s on this machine", service->executable);
    return found.gl_pathv[found.gl_pathc - 1];
}

/* How often its main thread went to wait, or 0. */
static long waits_of(const struct process *process)
{
    const char *key = "\nvoluntary_ctxt_switches:\t";
    const char *at = strstr(contents(text("/proc/%d/status", process->pid)), key);
    return at != NULL ? atol(at + strlen(key)) : 0;
}

/*
 * Until it has gone back to wait for the next request, as far as can be seen from outside.
 * (lighttpd itself, bare, ends with status 1 now and then when TERM comes while it closes a
 * connection.)
 */
static void let_settle(const struct process *process)
{
    long before = -1, now;
    for (int looks = 0; looks < 20 && (now = waits_of(process)) != before; looks++) {
        before = now;
        let_pass(50);
    }
}

static int play(enum way way, const struct service *service)
{
    int port = free_port();
    struct launch how = service->prepare(find_executable(service), port);
    how.way = way;
    struct process *process = launch(&how);
    service->ask(process, port);
    let_settle(process);
    return stop_with(process, SIGTERM);
}

static void serves_as_bare(const struct service *service)
{
    int bare = play(BARE, service);
    wait_all_gone();
    expect_status(play(GRACED, service), bare);
    expect_order("announce stop cleanup");
}

START_TEST(serves_and_stops_as_bare_with_command_hooks)
{
    config("hooks = (%s, %s, %s);", hook_command("announce", "phase = \"announce\";"),
           hook_command("stop", ""), hook_command("cleanup", "phase = \"cleanup\";"));
    serves_as_bare(&services[_i]);
}
END_TEST

START_TEST(serves_and_stops_as_bare_with_in_process_hooks)
{
    config("hooks = (%s, %s, %s);", hook_plugin("announce", "phase = \"announce\";"),
           hook_plugin("stop", ""), hook_command("cleanup", "phase = \"cleanup\";"));
    serves_as_bare(&services[_i]);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("daemons");
    TCase *group = story_case(all, "daemons");
    tcase_add_loop_test(group, serves_and_stops_as_bare_with_command_hooks, 0, SERVICES);
    tcase_add_loop_test(group, serves_and_stops_as_bare_with_in_process_hooks, 0, SERVICES);
    return all;
}
