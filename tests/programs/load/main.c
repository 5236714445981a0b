/* The command line, the course of a run, and the report: see load.h. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct options options = {.path = "/",
                          .long_path = "/delay=3000",
                          .pause = 20,
                          .warm = 100,
                          .spread = 200,
                          .limit = 60,
                          .signo = SIGTERM};

static int signals = -1;
static bool told_to_stop;

int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- the course of a run -----------------------------------------------------------------------
 */

static void give_up(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    if (server.pid > 0)
        kill(-server.pid, SIGKILL);
    exit(1);
}

static void take_signals(void)
{
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
        told_to_stop |= info.ssi_signo != SIGCHLD;
}

/* Until a condition holds. After the signal it looks each millisecond: an orphan's end comes to us
 * only once it was handed over. */
static void load_until(bool (*condition)(int64_t), int64_t argument, const char *otherwise)
{
    int64_t since = now_us();
    while (!condition(argument)) {
        clients_wait(server.killed > 0 ? 1000 : 10000);
        take_signals();
        server_look();
        if (server.ended > 0 && server.killed == 0)
            give_up("the server ended by itself");
        if (told_to_stop && options.command != NULL)
            give_up("told to stop");
        if (otherwise != NULL && now_us() - since > options.limit * 1000000)
            give_up(otherwise);
    }
}

static bool answered(int64_t unused)
{
    (void)unused;
    return clients_answered();
}

static bool time_has_come(int64_t when)
{
    return now_us() >= when;
}

static bool is_gone(int64_t unused)
{
    (void)unused;
    return server.gone > 0;
}

static bool is_told(int64_t unused)
{
    (void)unused;
    return told_to_stop;
}

static bool is_quiet(int64_t at_last)
{
    return !clients_waiting() || now_us() >= at_last;
}

static void run(void)
{
    if (options.listen)
        server_listen();
    if (options.command != NULL)
        server_start();
    clients_prepare();
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(clients_epoll(), EPOLL_CTL_ADD, signals, &event);
    clients_probe();
    load_until(answered, 0, "no answer");
    int64_t since = now_us();
    clients_begin();
    load_until(answered, 0, "not every client is answered");
    puts("ready");
    fflush(stdout);
    if (options.command == NULL) {
        load_until(is_told, 0, NULL);
        clients_stop();
        load_until(is_quiet, now_us() + 30000000, "not quiet");
        return;
    }
    int64_t spread = (int64_t)(drand48() * (double)options.spread * 1000);
    int64_t soonest = since + options.warm * 1000, now = now_us();
    load_until(time_has_come, (soonest > now ? soonest : now) + spread, "time");
    if (options.clients[LONG] > 0) {
        clients_begin_long();
        load_until(time_has_come, now_us() + 100000, "time");
    }
    server_signal(options.signo);
    load_until(is_gone, 0, "the server does not end");
    clients_stop();
    server_left();
    load_until(is_quiet, now_us() + 2000000, "not quiet");
}

/* ---- the report --------------------------------------------------------------------------------
 */

/* What a server of ours has counted, "" if none is asked for. */
static void report_counts(void)
{
    int fd = options.counts != NULL ? open(options.counts, O_RDONLY | O_CLOEXEC) : -1;
    uint64_t counts[2];
    if (fd < 0 || read(fd, counts, sizeof counts) != (ssize_t)sizeof counts)
        return;
    /* The probe's is not among ours. */
    printf(",\"server_read\":%lu,\"server_answered\":%lu", counts[0] - 1, counts[1] - 1);
    close(fd);
}

static double ms_from(int64_t begin, int64_t end)
{
    return begin > 0 && end > begin ? (double)(end - begin) / 1e3 : 0;
}

static void report_server(void)
{
    double waited = ms_from(server.killed, result.last_answer);
    printf(",\"after\":%lu,\"last_answer_ms\":%.3f,\"end_ms\":%.3f,\"stop_ms\":%.3f,"
           "\"ending_ms\":%.3f,\"status\":%d",
           result.after, waited, ms_from(server.killed, server.ended),
           ms_from(server.killed, server.gone), ms_from(result.last_answer, server.gone),
           server.status);
    printf(",\"cpu_ms\":%.3f,\"cpu_later_ms\":%.3f",
           (server.cpu_answered - server.cpu_killed) * 1e3,
           server.cpu_later > 0 ? (server.cpu_answered - server.cpu_later) * 1e3 : 0.0);
}

static void report(void)
{
    clients_end(server.gone);
    printf("{\"sent\":%lu,\"whole\":%lu,\"lost\":%lu,\"refused\":%lu,\"raced\":%lu,"
           "\"closed\":%lu,\"left\":%lu,\"wrong\":%lu",
           result.sent, result.whole, result.lost, result.refused, result.raced, result.closed,
           result.left, result.wrong);
    printf(",\"lost_fresh\":%lu,\"lost_steady\":%lu,\"lost_pausing\":%lu,\"lost_long\":%lu",
           result.lost_by[FRESH], result.lost_by[STEADY], result.lost_by[PAUSING],
           result.lost_by[LONG]);
    printf(",\"p50_us\":%ld,\"p99_us\":%ld", latency(0.5), latency(0.99));
    if (options.command != NULL)
        report_server();
    report_counts();
    puts("}");
}

/* ---- the command line --------------------------------------------------------------------------
 */

static void usage(void)
{
    fputs("usage: load [options] ipv4:PORT|ipv6:PORT|unix:PATH [-- COMMAND...]; see load.h\n",
          stderr);
    exit(64);
}

static void read_target(const char *text)
{
    struct sockaddr_in *ip4 = (void *)&options.target;
    struct sockaddr_in6 *ip6 = (void *)&options.target;
    struct sockaddr_un *local = (void *)&options.target;
    if (strncmp(text, "unix:", 5) == 0) {
        local->sun_family = AF_UNIX;
        strncpy(local->sun_path, text + 5, sizeof local->sun_path - 1);
        options.target_length = sizeof *local;
    } else if (strncmp(text, "ipv4:", 5) == 0) {
        ip4->sin_family = AF_INET;
        ip4->sin_port = htons((uint16_t)atoi(text + 5));
        ip4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        options.target_length = sizeof *ip4;
    } else if (strncmp(text, "ipv6:", 5) == 0) {
        ip6->sin6_family = AF_INET6;
        ip6->sin6_port = htons((uint16_t)atoi(text + 5));
        ip6->sin6_addr = in6addr_loopback;
        options.target_length = sizeof *ip6;
    } else {
        usage();
    }
}

enum { OPTION_KIND = 1000 };

static const struct option known[] = {
    {"fresh", required_argument, NULL, OPTION_KIND + FRESH},
    {"steady", required_argument, NULL, OPTION_KIND + STEADY},
    {"pausing", required_argument, NULL, OPTION_KIND + PAUSING},
    {"idle", required_argument, NULL, OPTION_KIND + IDLE},
    {"silent", required_argument, NULL, OPTION_KIND + SILENT},
    {"long", required_argument, NULL, OPTION_KIND + LONG},
    {"pause", required_argument, NULL, 'P'},
    {"path", required_argument, NULL, 'p'},
    {"long-path", required_argument, NULL, 'L'},
    {"warm", required_argument, NULL, 'w'},
    {"spread", required_argument, NULL, 'S'},
    {"limit", required_argument, NULL, 'm'},
    {"files", required_argument, NULL, 'f'},
    {"signal", required_argument, NULL, 's'},
    {"preload", required_argument, NULL, 'l'},
    {"config", required_argument, NULL, 'c'},
    {"log", required_argument, NULL, 'o'},
    {"count", required_argument, NULL, 'n'},
    {"tls", no_argument, NULL, 't'},
    {"listen", no_argument, NULL, 'i'},
    {"verbose", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static void take_option(int option)
{
    if (option >= OPTION_KIND)
        options.clients[option - OPTION_KIND] = atol(optarg);
    else if (option == 'P')
        options.pause = atol(optarg);
    else if (option == 'p')
        options.path = optarg;
    else if (option == 'L')
        options.long_path = optarg;
    else if (option == 'w')
        options.warm = atol(optarg);
    else if (option == 'S')
        options.spread = atol(optarg);
    else if (option == 'm')
        options.limit = atol(optarg);
    else if (option == 'f')
        options.files = atol(optarg);
    else if (option == 's')
        options.signo = atoi(optarg);
    else if (option == 'l')
        options.preload = optarg;
    else if (option == 'c')
        options.config = optarg;
    else if (option == 'o')
        options.log = optarg;
    else if (option == 'n')
        options.counts = optarg;
    else if (option == 't')
        options.tls = true;
    else if (option == 'i')
        options.listen = true;
    else if (option == 'v')
        options.verbose = true;
    else
        usage();
}

static void read_options(int argc, char **argv)
{
    for (int option; (option = getopt_long(argc, argv, "+", known, NULL)) != -1;)
        take_option(option);
    if (optind == argc)
        usage();
    read_target(argv[optind++]);
    if (optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    options.command = optind < argc ? argv + optind : NULL;
}

static void allow_files(void)
{
    rlim_t wanted = (rlim_t)options.files;
    struct rlimit limit = {.rlim_cur = wanted, .rlim_max = wanted};
    if (wanted > 0 && setrlimit(RLIMIT_NOFILE, &limit) != 0)
        give_up("not so many descriptors");
}

int main(int argc, char **argv)
{
    sigset_t set;
    read_options(argc, argv);
    allow_files();
    srand48(now_us() ^ getpid());
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    run();
    report();
    return 0;
}
