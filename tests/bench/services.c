/*
 * Servers under load, with libgrace (three hooks and the guardian) and without: answers in a
 * second, and the time in which 99 of 100 come. Each round starts the server anew.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <glob.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS      7
#define SECONDS     25
#define PATIENCE_US 20e6
#define ARGUMENTS   20

#define INITDB   "/usr/lib/postgresql/*/bin/initdb"
#define POSTGRES "/usr/lib/postgresql/*/bin/postgres"
#define PGBENCH  "/usr/lib/postgresql/*/bin/pgbench"
#define POSTGRES_SERVER                                                                            \
    "-D", "%/data", "-p", "@", "-h", "127.0.0.1", "-k", "", "-F", "-c", "autovacuum=off"
#define REDIS_REQUESTS "60000"

struct rates {
    double rate, p99_us;
    double answers; /* all that came */
};

struct service {
    const char *name, *executable, *loader; /* paths, with * in them */
    bool (*prepare)(int port);              /* once; NULL: nothing to do */
    const char *user;                       /* whom it runs as where we are root */

    /* @: the port; the executable and the loader are put before them */
    const char *server[ARGUMENTS], *ready[ARGUMENTS], *load[ARGUMENTS];
    struct rates (*read)(char *output);
};

static char directory[80];

static FILE *create(const char *name)
{
    FILE *file = fopen(scratch("%s", name), "we");
    if (file == NULL)
        abort();
    return file;
}

/* The last that matches; NULL: none. */
static const char *find(const char *pattern)
{
    glob_t found;
    const char *path = NULL;
    if (glob(pattern, 0, NULL, &found) == 0)
        path = words("%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return path;
}

/* ---- nginx ------------------------------------------------------------------------------------
 */

static bool prepare_nginx(int port)
{
    const char *temporary[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};
    FILE *file = create("nginx.conf");
    fprintf(
        file,
        "daemon off;\npid %s/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
        "server { listen 127.0.0.1:%d; location / { return 200 \"a page of a few bytes\\n\"; } }\n",
        directory, port);
    for (size_t i = 0; i < COUNT_OF(temporary); i++)
        fprintf(file, "%s_temp_path %s/%s;\n", temporary[i], directory, temporary[i]);
    fputs("}\n", file);
    return fclose(file) == 0;
}

static double in_us(const char *text)
{
    char *unit;
    double value = strtod(text, &unit);
    return *unit == 'u' ? value : *unit == 'm' ? value * 1e3 : value * 1e6;
}

static struct rates read_wrk(char *output)
{
    const char *p99 = strstr(output, "99%"), *rate = strstr(output, "Requests/sec:");
    const char *all = strstr(output, " requests in");
    while (all != NULL && all > output && all[-1] >= '0' && all[-1] <= '9')
        all--;
    if (p99 == NULL || rate == NULL || all == NULL)
        return (struct rates){.rate = NO_FIGURE};
    return (struct rates){strtod(rate + strlen("Requests/sec:"), NULL), in_us(p99 + 3), atof(all)};
}

/* ---- Redis ------------------------------------------------------------------------------------
 */

/* "GET","rps","avg","min","p50","p95","p99","max": the last line, in ms. */
static struct rates read_redis(char *output)
{
    char *line = strstr(output, "\n\"GET\"");
    double values[7] = {0};
    int count = 0;
    for (char *rest = NULL, *word = line != NULL ? strtok_r(line + 1, ",", &rest) : NULL;
         word != NULL && count < 7; word = strtok_r(NULL, ",", &rest))
        values[count++] = strtod(word + 1, NULL);
    return count == 7 ? (struct rates){values[1], values[6] * 1e3, atof(REDIS_REQUESTS)}
                      : (struct rates){.rate = NO_FIGURE};
}

/* ---- memcached --------------------------------------------------------------------------------
 */

static struct rates read_ask(char *output)
{
    struct rates rates = {.rate = NO_FIGURE};
    sscanf(output, "%lf %lf %lf", &rates.rate, &rates.p99_us,
           &rates.answers); /* NOLINT(cert-err34-c) */
    return rates;
}

/* ---- PostgreSQL -------------------------------------------------------------------------------
 */

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* pgbench tells a mean; each transaction's microseconds are the third word in its log. */
static double p99_of_log(const char *pattern, double *all)
{
    static double times[1000000];
    size_t count = 0;
    char line[256];
    const char *path = find(pattern);
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    while (file != NULL && count < COUNT_OF(times) && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%*s %*s %lf", &times[count]) == 1) /* NOLINT(cert-err34-c) */
            count++;
    if (file == NULL || count == 0)
        return NO_FIGURE;
    fclose(file);
    unlink(path);
    qsort(times, count, sizeof *times, by_value);
    *all = (double)count;
    return times[count * 99 / 100];
}

static struct rates read_pgbench(char *output)
{
    const char *rate = strstr(output, "tps = ");
    double all = 0, p99 = p99_of_log(scratch("transactions.*"), &all);
    if (rate == NULL || p99 == NO_FIGURE)
        return (struct rates){.rate = NO_FIGURE};
    return (struct rates){strtod(rate + strlen("tps = "), NULL), p99, all};
}

/* ---- one round --------------------------------------------------------------------------------
 */

struct subject {
    const struct service *service;
    int port;
    struct way way;
    struct series *p99, *cpu; /* get the other figures of a round */
};

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        abort();
    close(fd);
    return ntohs(address.sin_port);
}

static bool is_open(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool open = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return open;
}

/* "@" becomes the port, "%" the directory. */
static const char *fill(const char *word, int port)
{
    const char *at = strpbrk(word, "@%");
    if (at == NULL)
        return word;
    const char *value = *at == '@' ? words("%d", port) : directory;
    return fill(words("%.*s%s%s", (int)(at - word), word, value, at + 1), port);
}

static const char *const *line(const char *program, const char *const *arguments, int port)
{
    const char **argv = calloc(ARGUMENTS + 2, sizeof *argv);
    if (argv == NULL)
        abort();
    argv[0] = program;
    for (size_t i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = fill(arguments[i], port);
    return argv;
}

static bool becomes_ready(const struct service *service, int port)
{
    char output[4096];
    for (double limit = now_us() + PATIENCE_US; now_us() < limit; pause_us(2000)) {
        if (!is_open(port))
            continue;
        if (service->ready[0] == NULL)
            return true;
        if (output_of(&bare, line(find(service->ready[0]), service->ready + 1, port), output,
                      sizeof output) == 0)
            return true;
    }
    return false;
}

static double in_seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

/* Returns the microseconds of CPU that it and its children have had. */
static double end(pid_t pid)
{
    struct rusage usage = {.ru_minflt = 0};
    kill(pid, SIGTERM);
    for (double limit = now_us() + PATIENCE_US; wait4(pid, NULL, WNOHANG, &usage) == 0;
         pause_us(1000))
        if (now_us() > limit)
            kill(pid, SIGKILL);
    return (in_seconds(&usage.ru_utime) + in_seconds(&usage.ru_stime)) * 1e6;
}

static struct rates load(const struct service *service, int port)
{
    static char output[1 << 20];
    const char *loader =
        service->loader[0] == '/' ? find(service->loader) : built("%s", service->loader);
    if (output_of(&bare, line(loader, service->load, port), output, sizeof output) != 0)
        return (struct rates){.rate = NO_FIGURE};
    return service->read(output);
}

static double once(struct series *series)
{
    const struct subject *subject = series->subject;
    const struct service *service = subject->service;
    int port = subject->port;
    pid_t pid = start(&subject->way, line(find(service->executable), service->server, port), -1);
    struct rates rates = {.rate = NO_FIGURE};
    if (pid < 0 || !becomes_ready(service, port))
        series->missing = "the server does not answer";
    else if ((rates = load(service, port)).rate == NO_FIGURE)
        series->missing = words("%s failed", service->loader);
    double cpu = pid > 0 ? end(pid) : 0;
    await_quiet();
    if (rates.rate != NO_FIGURE) {
        add_figure(subject->p99, rates.p99_us);
        add_figure(subject->cpu, cpu / rates.answers);
    }
    return rates.rate;
}

/* ---- what PostgreSQL needs before --------------------------------------------------------------
 */

static bool fill_postgres(const struct way *way, int port)
{
    const char *const fill[] = {"-h",    "127.0.0.1", "-p", "@",        "-U",
                                "owner", "-i",        "-q", "postgres", NULL};
    const char *const serve[] = {POSTGRES_SERVER, NULL};
    const char *const *argv = line(find(PGBENCH), fill, port);
    pid_t pid = start(way, line(find(POSTGRES), serve, port), -1);
    bool filled = false;
    for (double limit = now_us() + PATIENCE_US; pid > 0 && !filled && now_us() < limit;
         pause_us(2000))
        filled = is_open(port) && await(start(&bare, argv, -1), NULL) == 0;
    if (pid > 0)
        end(pid);
    return filled;
}

static bool prepare_postgres(int port)
{
    const struct way postgres = {.user = "postgres"};
    const struct passwd *owner = getpwnam("postgres");
    const char *data = scratch("data");
    const char *const argv[] = {find(INITDB), "-N", "-A", "trust", "-U", "owner", "-D", data, NULL};
    if (mkdir(data, 0700) != 0 ||
        (geteuid() == 0 && (owner == NULL || chown(data, owner->pw_uid, owner->pw_gid) != 0)))
        return false;
    return argv[0] != NULL && await(start(&postgres, argv, -1), NULL) == 0 &&
           fill_postgres(&postgres, port);
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static const struct service services[] = {
    {.name = "nginx",
     .executable = "/usr/sbin/nginx",
     .loader = "/usr/bin/wrk",
     .prepare = prepare_nginx,
     .server = {"-e", "stderr", "-p", "%", "-c", "%/nginx.conf"},
     .load = {"-t", "1", "-c", "16", "-d", "1s", "--latency", "http://127.0.0.1:@/"},
     .read = read_wrk},
    {.name = "redis",
     .executable = "/usr/bin/redis-server",
     .loader = "/usr/bin/redis-benchmark",
     .server = {"--port", "@", "--bind", "127.0.0.1", "--save", "", "--dir", "%"},
     .load = {"-p", "@", "-t", "get", "-n", REDIS_REQUESTS, "-c", "16", "--csv"},
     .read = read_redis},
    {.name = "memcached",
     .executable = "/usr/bin/memcached",
     .loader = "tests/bench/programs/ask",
     .server = {"-l", "127.0.0.1", "-p", "@", "-U", "0", "-u", "nobody", "-t", "1"},
     .load = {"@", "16", "1000"},
     .read = read_ask},
    {.name = "postgres",
     .executable = POSTGRES,
     .loader = PGBENCH,
     .prepare = prepare_postgres,
     .user = "postgres",
     .server = {POSTGRES_SERVER},
     .ready = {PGBENCH, "-h", "127.0.0.1", "-p", "@", "-U", "owner", "-n", "-S", "-t", "1",
               "postgres"},
     .load = {"-h", "127.0.0.1", "-p", "@", "-U", "owner", "-n", "-S", "-c", "4", "-T", "1", "-l",
              "--log-prefix=%/transactions", "postgres"},
     .read = read_pgbench},
};

static const char *why_not(const struct service *service, int port)
{
    const char *needed[] = {service->executable, service->loader};
    for (size_t i = 0; i < COUNT_OF(needed); i++)
        if (needed[i][0] == '/' && find(needed[i]) == NULL)
            return words("not installed: %s", needed[i]);
    if (service->prepare != NULL && !service->prepare(port))
        return "cannot be prepared";
    return NULL;
}

static void measure(const struct service *service)
{
    static struct series rates[2], p99s[2], cpus[2];
    static struct subject subjects[2];
    int port = free_port();
    const char *missing = why_not(service, port);
    for (int i = 0; i < 2; i++) {
        subjects[i] = (struct subject){.service = service,
                                       .port = port,
                                       .way.user = service->user,
                                       .p99 = &p99s[i],
                                       .cpu = &cpus[i]};
        rates[i] = (struct series){.once = once, .subject = &subjects[i], .missing = missing};
        p99s[i] = cpus[i] = (struct series){.missing = missing};
    }
    subjects[0].way.preload = built("libgrace.so");
    subjects[0].way.config = three_hooks(true);
    measure_in_turns((struct series *[]){&rates[0], &rates[1]}, 2, ROUNDS, SECONDS);
    add_row(&(struct row){.name = words("%s: answers in a second", service->name),
                          .unit = "",
                          .figure = &rates[0],
                          .floor = &rates[1]});
    add_row(&(struct row){.name = words("%s: 99 of 100 answers within", service->name),
                          .unit = "us",
                          .figure = &p99s[0],
                          .floor = &p99s[1]});
    add_row(&(struct row){.name = words("%s: its CPU time for an answer", service->name),
                          .unit = "us",
                          .figure = &cpus[0],
                          .floor = &cpus[1]});
}

void bench_services(void)
{
    snprintf(directory, sizeof directory, "%s", bench.directory);
    chmod(directory, 0755); /* servers change their user */
    for (size_t i = 0; i < COUNT_OF(services); i++)
        measure(&services[i]);
}
