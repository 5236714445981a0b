/* Web servers and their like: nginx, apache2, php-fpm, gunicorn, uwsgi, haproxy. */
#include "harness_services.h"

#include <stdio.h>
#include <unistd.h>

static bool ask_for_page(int port)
{
    return serves_page(port);
}

/* ---- nginx ----------------------------------------------------------------------------------- */

static const char *prepare_nginx(const char *executable, int port)
{
    make_site();
    write_file("nginx.conf",
               "%sdaemon on; worker_processes 2; pid %s; error_log %s; events {}\n"
               "http { access_log off; client_body_temp_path %s; proxy_temp_path %s;\n"
               "fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;\n"
               "server { listen 127.0.0.1:%d; root %s; } }\n",
               geteuid() == 0 ? "user root; " : "", here("nginx.pid"), here("error.log"),
               here("t1"), here("t2"), here("t3"), here("t4"), here("t5"), port, here("www"));
    return text("%s -p %s -e %s -c %s", executable, story_directory(), here("error.log"),
                here("nginx.conf"));
}

/* A reload, and a worker that crashes. */
static struct process *live_as_nginx(struct process *process, int port)
{
    (void)port;
    replace_workers(process, process->pid, SIGHUP);
    int first = 0, second = 0;
    expect(sscanf(contents(text("/proc/%d/task/%d/children", process->pid, process->pid)), "%d %d",
                  &first, &second) == 2);
    expect(kill(first, SIGSEGV) == 0);
    for (int64_t since = now_ms(); kill(first, 0) == 0;)
        expect(now_ms() - since < STORY_LIMIT_MS);
    return process;
}

/* ---- apache2 --------------------------------------------------------------------------------- */

static const char *prepare_apache2(const char *executable, int port)
{
    const char *modules = "/usr/lib/apache2/modules";
    make_site();
    write_file("apache2.conf",
               "ServerRoot %s\nDefaultRuntimeDir %s\nServerName localhost\nPidFile %s\n%s"
               "Listen 127.0.0.1:%d\nErrorLog %s\nDocumentRoot %s\n"
               "StartServers 3\nMinSpareServers 3\nMaxSpareServers 9\nMaxRequestWorkers 3\n"
               "LoadModule mpm_prefork_module %s/mod_mpm_prefork.so\n"
               "LoadModule authz_core_module %s/mod_authz_core.so\n",
               story_directory(), story_directory(), here("apache2.pid"),
               geteuid() == 0 ? "User nobody\nGroup nogroup\n" : "", port, here("error.log"),
               here("www"), modules, modules);
    return text("%s -k start -f %s", executable, here("apache2.conf"));
}

static struct process *live_as_apache2(struct process *process, int port)
{
    (void)port;
    replace_workers(process, process->pid, SIGUSR1); /* a graceful restart */
    replace_workers(process, process->pid, SIGHUP);
    return process;
}

/* ---- php-fpm --------------------------------------------------------------------------------- */

static const char *prepare_php_fpm(const char *executable, int port)
{
    write_file("fpm.conf",
               "[global]\npid = %s\nerror_log = %s\ndaemonize = yes\nsystemd_interval = 0\n"
               "[www]\nlisten = 127.0.0.1:%d\npm = static\npm.max_children = 3\n%s",
               here("fpm.pid"), here("error.log"), port,
               geteuid() == 0 ? "user = nobody\ngroup = nogroup\n" : "");
    return text("%s -n -R -y %s", executable, here("fpm.conf"));
}

/* FastCGI's own question for a server's limits. */
static bool ask_php_fpm(int port)
{
    static const char question[] = "\1\11\0\0\0\20\0\0\16\0FCGI_MAX_CONNS";
    return is_answered(port, question, sizeof question - 1, "\1\12", 2);
}

/* USR2 has it execute itself anew, and that becomes a daemon anew. */
static struct process *live_as_php_fpm(struct process *process, int port)
{
    (void)port;
    unlink("fpm.pid");
    expect_status(stop_with(process, SIGUSR2), EXITED(0));
    return adopt(pid_in("fpm.pid"));
}

/* ---- gunicorn -------------------------------------------------------------------------------- */

static const char *gunicorn(const char *executable, int port, const char *more)
{
    write_file("app.py", "def app(environ, start):\n"
                         "    start('200 OK', [('Content-Length', '7')])\n"
                         "    return [b'a page\\n']\n");
    return text("%s --chdir %s -w 4 -b 127.0.0.1:%d --graceful-timeout 5 --log-file %s%s app:app",
                executable, story_directory(), port, here("gunicorn.log"), more);
}

static const char *prepare_gunicorn(const char *executable, int port)
{
    return gunicorn(executable, port, text(" --pid %s", here("gunicorn.pid")));
}

static const char *prepare_gunicorn_daemon(const char *executable, int port)
{
    return gunicorn(executable, port, text(" --daemon --pid %s", here("gunicorn.pid")));
}

static struct process *live_as_gunicorn(struct process *process, int port)
{
    (void)port;
    replace_workers(process, process->pid, SIGHUP);
    return process;
}

/* ---- uwsgi ----------------------------------------------------------------------------------- */

static const char *prepare_uwsgi(const char *executable, int port)
{
    write_file("app.py", "def application(environ, start):\n"
                         "    start('200 OK', [('Content-Length', '7')])\n"
                         "    return [b'a page\\n']\n");
    return text("%s --plugin python3 --http-socket 127.0.0.1:%d --wsgi-file %s --master "
                "--processes 2 --need-app --pidfile %s --daemonize %s",
                executable, port, here("app.py"), here("uwsgi.pid"), here("uwsgi.log"));
}

/* It executes itself anew, as the same process. */
static struct process *live_as_uwsgi(struct process *process, int port)
{
    (void)port;
    replace_workers(process, process->pid, SIGHUP);
    return process;
}

/* ---- haproxy --------------------------------------------------------------------------------- */

static const char *prepare_haproxy(const char *executable, int port)
{
    write_file("haproxy.cfg",
               "global\n maxconn 100\n"
               "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
               "frontend pages\n bind 127.0.0.1:%d\n"
               " http-request return status 200 content-type text/plain lf-string \"a page\\n\"\n",
               port);
    return text("%s -W -db -f %s", executable, here("haproxy.cfg"));
}

/* The master executes itself anew. */
static struct process *live_as_haproxy(struct process *process, int port)
{
    (void)port;
    replace_workers(process, process->pid, SIGUSR2);
    return process;
}

static const struct service services[] = {
    {.name = "nginx",
     .executable = "/usr/sbin/nginx",
     .prepare = prepare_nginx,
     .pid_file = "nginx.pid",
     .ask = ask_for_page,
     .live = live_as_nginx,
     .stops = {{SIGQUIT}, {SIGTERM}, {SIGKILL, .workers_stay = true}, {SIGINT}}},
    {.name = "apache2",
     .executable = "/usr/sbin/apache2",
     .prepare = prepare_apache2,
     .pid_file = "apache2.pid",
     .ask = ask_for_page,
     .live = live_as_apache2,
     .stops = {{SIGTERM}, {SIGWINCH}, {SIGKILL, .workers_stay = true}}},
    {.name = "php-fpm",
     .executable = "/usr/sbin/php-fpm*",
     .prepare = prepare_php_fpm,
     .pid_file = "fpm.pid",
     .ask = ask_php_fpm,
     .live = live_as_php_fpm,
     .stops = {{SIGQUIT}, {SIGTERM}, {SIGINT}, {SIGKILL, .workers_stay = true}}},
    {.name = "gunicorn",
     .executable = "/usr/bin/gunicorn",
     .prepare = prepare_gunicorn,
     .written = "gunicorn.pid",
     .ask = ask_for_page,
     .live = live_as_gunicorn,
     .stops = {{SIGTERM}, {SIGINT}, {SIGQUIT}, {SIGKILL, .workers_stay = true}}},
    {.name = "gunicorn --daemon",
     .executable = "/usr/bin/gunicorn",
     .prepare = prepare_gunicorn_daemon,
     .pid_file = "gunicorn.pid",
     .ask = ask_for_page,
     .stops = {{SIGTERM}, {SIGKILL, .workers_stay = true}, {SIGQUIT}}},
    {.name = "uwsgi",
     .executable = "/usr/bin/uwsgi-core",
     .prepare = prepare_uwsgi,
     .pid_file = "uwsgi.pid",
     .ask = ask_for_page,
     .live = live_as_uwsgi,
     .stops = {{SIGINT}, {SIGQUIT}, {SIGKILL, .workers_stay = true}}},
    {.name = "haproxy",
     .executable = "/usr/sbin/haproxy",
     .prepare = prepare_haproxy,
     .ask = ask_for_page,
     .live = live_as_haproxy,
     .stops = {{SIGUSR1}, {SIGTERM}, {SIGINT}, {SIGKILL, .workers_stay = true}}},
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
    Suite *all = suite_create("services: web");
    TCase *group = service_case(all, "web");
    tcase_add_loop_test(group, lives_as_bare_and_runs_its_hooks_once, 0,
                        sizeof services / sizeof services[0]);
    tcase_add_loop_test(group, lives_so_under_supervisors, supervisors_first(0),
                        supervisors_end(0));
    return all;
}
