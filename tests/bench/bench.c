/* The benchmark's main function. Usage: bench [--json] [--only PART,...] BUILD. */
#include "bench.h"

#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct bench bench;

static const struct part {
    const char *name;
    void (*measure)(void);
} parts[] = {
    {"start", bench_start},           {"steady", bench_steady},     {"forks", bench_forks},
    {"statements", bench_statements}, {"services", bench_services}, {"memory", bench_memory},
    {"latency", bench_latency},       {"hooks", bench_hooks},       {"drain", bench_drain},
    {"drain-cost", bench_drain_cost}, {"guardian", bench_guardian}, {"size", bench_size},
};

/* ---- words ------------------------------------------------------------------------------------
 */

static char *formatted(const char *folder, const char *format, va_list arguments)
{
    char *name, *path;
    if (vasprintf(&name, format, arguments) < 0)
        abort();
    if (folder == NULL)
        return name;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        abort();
    free(name);
    return path;
}

#define FORMATTED(function, folder)                                                                \
    char *function(const char *format, ...)                                                        \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        char *text = formatted(folder, format, arguments);                                         \
        va_end(arguments);                                                                         \
        return text;                                                                               \
    }
FORMATTED(words, NULL)
FORMATTED(built, bench.build)
FORMATTED(scratch, bench.directory)

/* ---- parts ------------------------------------------------------------------------------------
 */

/* Whether a name is among those in a list with commas; NULL: all are. */
static bool is_wanted(const char *name, const char *list)
{
    size_t length = strlen(name);
    for (const char *at = list; at != NULL;
         at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1)
        if (strcspn(at, ",") == length && strncmp(at, name, length) == 0)
            return true;
    return list == NULL;
}

static bool is_known(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (strlen(parts[i].name) == length && strncmp(parts[i].name, name, length) == 0)
            return true;
    return false;
}

static void check_list(const char *list)
{
    for (const char *at = list; at != NULL;
         at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1) {
        if (is_known(at, strcspn(at, ",")))
            continue;
        fprintf(stderr, "bench: no part \"%.*s\"; there are:", (int)strcspn(at, ","), at);
        for (size_t i = 0; i < COUNT_OF(parts); i++)
            fprintf(stderr, " %s", parts[i].name);
        fputs("\n", stderr);
        exit(64);
    }
}

static void measure(const char *only)
{
    begin_table();
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (!is_wanted(parts[i].name, only))
            continue;
        begin_part(parts[i].name);
        parts[i].measure();
        await_quiet();
    }
    end_table();
}

/* ---- one run ----------------------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

/* Everything that was started comes to us when its parent ends: until there is none left. */
static void kill_children(void)
{
    const char *path = words("/proc/self/task/%d/children", (int)getpid());
    for (pid_t child = 1; child > 0;) {
        FILE *file = fopen(path, "re");
        if (file == NULL || fscanf(file, "%d", &child) != 1) /* NOLINT(cert-err34-c) */
            child = 0;
        if (file != NULL)
            fclose(file);
        if (child > 0 && kill(child, SIGKILL) == 0)
            await(child, NULL);
    }
}

/* Measured in a child, so that an end by ^C leaves neither processes nor files either. Returns the
 * exit status. */
static int run(const char *only)
{
    sigset_t set, before;
    int signo = SIGCHLD, status = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* guardians come here: see await_quiet */
        measure(only);
        exit(0);
    }
    while (signo == SIGCHLD && waitpid(pid, &status, WNOHANG) == 0)
        sigwait(&set, &signo);
    kill_children();
    nftw(bench.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (status != 0)
        fprintf(stderr, "bench: ended before its last row, wait status 0x%x\n", (unsigned)status);
    return signo != SIGCHLD ? 128 + signo : status != 0;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, 'j'}, {"only", required_argument, NULL, 'o'}, {0}};
    const char *only = NULL;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'j')
            bench.json = true;
        else if (option == 'o')
            only = optarg;
        else
            return 64;
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "usage: bench [--json] [--only PART,...] BUILD\n");
        return 64;
    }
    check_list(only);
    bench.build = realpath(argv[optind], NULL);
    strcpy(bench.directory, "/tmp/grace-bench-XXXXXX");
    if (bench.build == NULL || mkdtemp(bench.directory) == NULL) {
        perror("bench");
        return 1;
    }
    return run(only);
}
