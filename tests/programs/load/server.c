/* The server under load: started in a session of its own, stopped, and watched until all of it is
 * gone. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct server server;
static clockid_t cpu_clock;
static int listener = -1;

/* What its forked children leave behind is ours to reap: their group's end can be seen. */
static void become_reaper(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void send_output_to(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0)
        _exit(127);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/* The listener becomes descriptor 3, and says to whom it belongs. */
static void hand_over_listener(void)
{
    char pid[16];
    if (listener < 0)
        return;
    if (listener == 3)
        fcntl(listener, F_SETFD, 0);
    else
        dup2(listener, 3);
    snprintf(pid, sizeof pid, "%d", getpid());
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_PID", pid, 1);
}

static void become_server(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    hand_over_listener();
    send_output_to(options.log != NULL ? options.log : "/dev/null");
    if (options.preload != NULL)
        setenv("LD_PRELOAD", options.preload, 1);
    if (options.config != NULL)
        setenv("GRACE_CONFIG", options.config, 1);
    execvp(options.command[0], options.command);
    _exit(127);
}

void server_listen(void)
{
    int on = 1;
    listener = socket(options.target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&options.target, options.target_length) != 0 ||
        listen(listener, 1024) != 0) {
        perror("load: listen");
        exit(1);
    }
}

/* Their connections were never accepted: the server had none of their requests. */
void server_left(void)
{
    if (listener < 0)
        return;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0)
            clients_left(ntohs(peer.ss_family == AF_INET6
                                   ? ((struct sockaddr_in6 *)&peer)->sin6_port
                                   : ((struct sockaddr_in *)&peer)->sin_port));
    }
}

void server_start(void)
{
    become_reaper();
    server.pid = fork();
    if (server.pid < 0)
        abort();
    if (server.pid == 0)
        become_server();
    if (clock_getcpuclockid(server.pid, &cpu_clock) != 0)
        abort();
}

double server_cpu(void)
{
    static double last;
    struct timespec used;
    if (server.pid > 0 && server.ended == 0 && clock_gettime(cpu_clock, &used) == 0)
        last = (double)used.tv_sec + (double)used.tv_nsec / 1e9;
    return last;
}

void server_signal(int signo)
{
    server.cpu_killed = server_cpu();
    server.killed = now_us();
    kill(-server.pid, signo);
}

static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid != server.pid)
            continue;
        server.status = status;
        server.ended = now_us();
    }
}

void server_look(void)
{
    if (server.pid <= 0 || server.gone > 0)
        return;
    if (server.killed > 0 && server.cpu_later <= 0 && now_us() > server.killed + 1000000)
        server.cpu_later = server_cpu();
    reap();
    if (server.ended > 0 && kill(-server.pid, 0) != 0 && errno == ESRCH)
        server.gone = now_us();
}
