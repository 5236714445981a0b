#include "harness_services.h"
#include "harness_story.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- asking ---------------------------------------------------------------------------------- */

void make_site(void)
{
    mkdir("www", 0755);
    write_file("www/index.html", "a page\n");
}

bool is_answered(int port, const void *request, size_t length, const void *answer, size_t size)
{
    char got[4096];
    return exchange(port, request, length, size, got, sizeof got) >= size &&
           memcmp(got, answer, size) == 0;
}

bool serves_page(int port)
{
    char *body = NULL;
    return http_get(port, "/index.html", &body) == 200 && strcmp(body, "a page\n") == 0;
}

static void wait_answer(const struct service *service, struct process *process, int port)
{
    for (int64_t since = now_ms(); !service->ask(port);) {
        if (has_ended(process))
            story_fail(__FILE__, __LINE__, "%s ended before it answered", process->title);
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%s does not answer", service->name);
    }
}

/* ---- workers --------------------------------------------------------------------------------- */

static char *children_of(const struct process *master)
{
    return contents(text("/proc/%d/task/%d/children", master->pid, master->pid));
}

/* How many of the pids, each followed by a space, are in the other list. */
static unsigned common(const char *pids, const char *others)
{
    unsigned count = 0;
    for (const char *at = pids; *at != '\0'; at = strchr(at, ' ') + 1)
        count += strstr(text(" %s", others), text(" %d ", atoi(at))) != NULL;
    return count;
}

void replace_workers(const struct process *master, pid_t pid, int signo)
{
    const char *before = children_of(master), *now;
    expect(kill(pid, signo) == 0);
    for (int64_t since = now_ms(); now = children_of(master),
                 common(now, before) > 0 || count_of(now, " ") != count_of(before, " ");)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "workers %s are still %s", before, now);
}

/* ---- load ------------------------------------------------------------------------------------ */

struct load {
    pid_t pid;
    _Atomic unsigned *answers;
};

/* Requests one after the other, until it is stopped. */
static struct load start_load(const struct service *service, int port)
{
    struct load load = {.answers = mmap(NULL, sizeof *load.answers, PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
    expect(load.answers != MAP_FAILED);
    load.pid = fork();
    if (load.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            if (service->ask(port))
                ++*load.answers;
    }
    for (int64_t since = now_ms(); *load.answers < 5;)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%s does not answer under load", service->name);
    return load;
}

static void stop_load(struct load load)
{
    int status;
    kill(load.pid, SIGKILL);
    waitpid(load.pid, &status, 0);
    munmap((void *)load.answers, sizeof *load.answers);
}

/* ---- one life -------------------------------------------------------------------------------- */

static struct launch words_of(const char *line)
{
    const char **argv = calloc(64, sizeof *argv);
    char *words = text("%s", line), *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(words, " ", &rest); word != NULL && count < 63;
         word = strtok_r(NULL, " ", &rest))
        argv[count++] = word;
    return (struct launch){.argv = argv};
}

static const char *find_executable(const struct service *service)
{
    glob_t found;
    if (glob(service->executable, 0, NULL, &found) != 0)
        skip("no %s on this machine", service->executable);
    return found.gl_pathv[found.gl_pathc - 1];
}

/* The main process, from the one that was started; `how` gets the launcher's status, in words. */
static struct process *main_process(const struct service *service, struct process *launcher,
                                    const char **how)
{
    if (service->pid_file == NULL && service->orphan == NULL)
        return launcher;
    *how = status_words(wait_end(launcher));
    return service->pid_file != NULL ? adopt_from(service->pid_file)
                                     : adopt(orphan_named(service->orphan));
}

static char *life(enum way way, const struct service *service, const struct service_stop *stop)
{
    int port = free_port();
    const char *how = "in the foreground";
    write_file("order", "%s", "");
    if (service->pid_file != NULL)
        unlink(here("%s", service->pid_file));
    struct launch launching = words_of(service->prepare(find_executable(service), port));
    launching.way = way;
    launching.user = geteuid() == 0 ? service->user : NULL;
    struct process *launcher = launch(&launching);
    struct process *process = main_process(service, launcher, &how);
    wait_answer(service, process, port);
    const char *tree = steady_picture(), *later = "";
    if (service->live != NULL) {
        process = service->live(process, port);
        wait_answer(service, process, port);
        later = steady_picture();
    }
    expect_order_now("");
    struct load load = start_load(service, port);
    if (stop->signo > 0)
        send_signal(process, stop->signo);
    else
        service->stop(port);
    const char *end = status_words(wait_end(process));
    stop_load(load);
    if (stop->workers_stay)
        kill_all_but_guardian();
    wait_all_gone();
    bool left = service->pid_file != NULL && exists(service->pid_file);
    return text("started: %s\n%s%sended: %s\npid file: %s\n", how, tree, later, end,
                left ? "left" : "none");
}

/* ---- all of them ----------------------------------------------------------------------------- */

static unsigned rounds(void)
{
    const char *wanted = getenv("SERVICE_ROUNDS");
    return wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : 2;
}

static void forget_processes(void)
{
    for (size_t i = 0; i < story.process_count; i++) {
        unlink(here("%s", story.processes[i]->out));
        unlink(here("%s", story.processes[i]->err));
        close(story.processes[i]->pidfd);
    }
    story.process_count = 0;
}

TCase *service_case(Suite *suite, const char *name)
{
    TCase *group = story_case(suite, name);
    tcase_set_timeout(group, 300 + 30.0 * rounds());
    return group;
}

void service_lives(const struct service *service)
{
    const char *bare[5] = {NULL};
    size_t stops = 0;
    if (service->as_root && geteuid() != 0)
        skip("%s needs root", service->name);
    while (stops < 5 && service->stops[stops].signo != 0)
        stops++;
    expect(stops > 0);
    config("%s\nlog = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s, %s);\n",
           service->programs != NULL ? text("programs = [\"%s\"];", service->programs) : "",
           here("log"), hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""),
           hook_command("C", "phase = \"cleanup\";"));
    write_file("log", "%s", "");
    chmod("log", 0666);
    for (unsigned round = 0; round < rounds(); round++) {
        const struct service_stop *stop = &service->stops[round % stops];
        if (bare[round % stops] == NULL)
            bare[round % stops] = life(BARE, service, stop);
        forget_processes();
        expect_text(life(GRACED, service, stop), bare[round % stops]);
        bool inside = stop->signo != SIGKILL && !stop->loses_inside;
        expect_order(inside ? "A B C" : "A C");
        forget_processes();
    }
}
