#include "harness_services.h"
#include "harness_overseer.h"
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

/* Without a process it is not known yet which one is to answer. */
static void wait_answer(const struct service *service, struct process *process, int port)
{
    for (int64_t since = now_ms(); !service->ask(port);) {
        if (process != NULL && has_ended(process))
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

/* ---- supervisors ----------------------------------------------------------------------------- */

/* In the line of a shell, $C is the service's command line and $U its user. */
struct supervisor {
    const char *tool; /* what must be there; NULL: a shell's own means */
    const char *line;
    bool stays; /* as long as a service in the foreground */
    bool as_root;
    bool is_stopped; /* stays longer: it has to be stopped itself */
};

#define PASS_ON "LD_PRELOAD=$LD_PRELOAD GRACE_CONFIG=$GRACE_CONFIG"

static const struct supervisor supervisors[] = {
    {.line = "$C; exit $?", .stays = true},
    {.line = "exec $C", .stays = true},
    {.line = "$C & echo $! >script.pid; exit 0"},
    {.tool = "/sbin/start-stop-daemon",
     .line = "start-stop-daemon --start --pidfile $PWD/ssd.pid --exec ${C%% *} -- ${C#* }",
     .stays = true},
    {.tool = "/sbin/start-stop-daemon",
     .line = "start-stop-daemon --start --background --make-pidfile --pidfile $PWD/ssd.pid"
             " --exec ${C%% *} -- ${C#* }"},
    {.tool = "/usr/bin/daemonize", .line = "daemonize -c $PWD $C"},
    {.tool = "/usr/bin/setsid", .line = "exec setsid $C"},
    {.tool = "/usr/bin/setsid", .line = "setsid -w $C; exit $?", .stays = true},
    {.tool = "/usr/bin/nohup", .line = "nohup $C", .stays = true},
    {.tool = "/usr/bin/env", .line = "env -i PATH=$PATH " PASS_ON " $C", .stays = true},
    {.tool = "/sbin/runuser", .line = "runuser -u $U -- $C", .stays = true, .as_root = true},
    {.tool = "/usr/bin/sudo",
     .line = "sudo -n -u $U env " PASS_ON " $C",
     .stays = true,
     .as_root = true},
    {.tool = "/usr/bin/supervisord",
     .line = "printf '[supervisord]\nlogfile=%s\npidfile=%s\n[program:service]\nstartsecs=0\n"
             "autorestart=false\ncommand=%s\n' $PWD/s.log $PWD/s.pid \"$C\" >supervisord.conf;"
             "exec supervisord -n -c supervisord.conf",
     .stays = true,
     .is_stopped = true},
};
#define SUPERVISORS ((int)(sizeof supervisors / sizeof supervisors[0]))

static struct launch launch_of(const struct service *service, const struct supervisor *supervisor,
                               int port)
{
    const char *command = service->prepare(find_executable(service), port);
    struct launch launching = words_of(command);
    launching.user = geteuid() == 0 ? service->user : NULL;
    if (supervisor == NULL)
        return launching;
    environment("C", command);
    environment("U", service->user != NULL ? service->user : "root");
    const char **argv = calloc(4, sizeof *argv);
    argv[0] = "/bin/sh", argv[1] = "-c", argv[2] = supervisor->line;
    launching.argv = argv;
    launching.user = supervisor->as_root ? "root" : launching.user;
    return launching;
}

/* The main process, from the one that was started; `how` gets the launcher's status, in words. */
static struct process *main_process(const struct service *service,
                                    const struct supervisor *supervisor, struct process *launcher,
                                    int port, const char **how)
{
    bool daemon = service->pid_file != NULL || service->orphan != NULL;
    if (!daemon && supervisor == NULL)
        return launcher;
    if (!daemon && supervisor->stays)
        return attend(pid_in(service->written));
    *how = status_words(wait_end(launcher));
    /* Where its supervisor has left, the parent that it leaves is an orphan, too, and its pid may
     * be in the file at first. */
    if (supervisor != NULL)
        wait_answer(service, NULL, port);
    return service->orphan != NULL ? adopt(orphan_named(service->orphan))
                                   : adopt_from(daemon ? service->pid_file : service->written);
}

/* What supervisord says of the service's end. */
static const char *supervisors_log(void)
{
    const char *line = strstr(contents("s.log"), "exited: service");
    return text("%.*s\n", (int)strcspn(line, "\n"), line);
}

/* Its supervisor hears of that, too. */
static void pause_and_go_on(struct process *process)
{
    send_signal(process, SIGSTOP);
    overseer_await(process->overseer, "stopped");
    send_signal(process, SIGCONT);
    overseer_await(process->overseer, "continued");
}

/* ---- one life -------------------------------------------------------------------------------- */

static char *life(enum way way, const struct service *service, const struct service_stop *stop,
                  const struct supervisor *supervisor)
{
    int port = free_port();
    const char *how = "in the foreground", *log = "";
    write_file("order", "%s", "");
    if (service->pid_file != NULL)
        unlink(here("%s", service->pid_file));
    struct launch launching = launch_of(service, supervisor, port);
    launching.way = way;
    launching.overseen = true;
    struct process *launcher = launch(&launching);
    struct process *process = main_process(service, supervisor, launcher, port, &how);
    wait_answer(service, process, port);
    const char *tree = steady_picture(), *later = "";
    if (process == launcher)
        pause_and_go_on(process);
    if (service->live != NULL && supervisor == NULL) {
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
    if (supervisor != NULL && supervisor->is_stopped) {
        wait_contains("s.log", "exited: service");
        send_signal(launcher, SIGTERM);
        log = supervisors_log();
    }
    const char *last = status_words(wait_end(launcher)), *heard = overseer_end(launcher->overseer);
    if (stop->workers_stay)
        kill_all_but_guardian();
    wait_all_gone();
    bool left = service->pid_file != NULL && exists(service->pid_file);
    return text("started: %s\n%s%sended: %s, %s\npid file: %s\nits supervisor:\n%s%s", how, tree,
                later, end, last, left ? "left" : "none", heard, log);
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

static void three_hooks(const char *programs)
{
    config("%s\nlog = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, %s, %s);\n",
           programs != NULL ? text("programs = [\"%s\"];", programs) : "", here("log"),
           hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""),
           hook_command("C", "phase = \"cleanup\";"));
    write_file("log", "%s", "");
    chmod("log", 0666);
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
    three_hooks(service->programs);
    for (unsigned round = 0; round < rounds(); round++) {
        const struct service_stop *stop = &service->stops[round % stops];
        if (bare[round % stops] == NULL)
            bare[round % stops] = life(BARE, service, stop, NULL);
        forget_processes();
        expect_text(life(GRACED, service, stop, NULL), bare[round % stops]);
        bool inside = stop->signo != SIGKILL && !stop->loses_inside;
        expect_order(inside ? "A B C" : "A C");
        forget_processes();
    }
}

/* ---- under supervisors ----------------------------------------------------------------------- */

static bool all_pairs(void)
{
    return getenv("SERVICE_ROUNDS") != NULL;
}

int supervisors_first(int part)
{
    return all_pairs() ? 0 : SUPERVISORS * part / 3;
}

int supervisors_end(int part)
{
    return all_pairs() ? SUPERVISORS : SUPERVISORS * (part + 1) / 3;
}

/* It has to be told by a pid which process is the service. */
static bool fits(const struct supervisor *supervisor, const struct service *service)
{
    bool daemon = service->pid_file != NULL || service->orphan != NULL;
    return supervisor->is_stopped ? service->written != NULL : daemon || service->written != NULL;
}

void service_lives_under(int number, const struct service *services, int count)
{
    const struct supervisor *supervisor = &supervisors[number];
    bool met = false;
    if (supervisor->tool != NULL && access(supervisor->tool, X_OK) != 0)
        skip("no %s on this machine", supervisor->tool);
    for (int i = 0; i < count && (!met || all_pairs()); i++) {
        const struct service *service = &services[(number + i) % count];
        if (!fits(supervisor, service))
            continue;
        if ((service->as_root || supervisor->as_root) && geteuid() != 0)
            skip("%s, %s: needs root", supervisor->line, service->name);
        const char *executable = find_executable(service);
        three_hooks(service->programs != NULL ? service->programs : strrchr(executable, '/') + 1);
        const char *bare = life(BARE, service, &service->stops[0], supervisor);
        forget_processes();
        expect_text(life(GRACED, service, &service->stops[0], supervisor), bare);
        expect_order(service->stops[0].loses_inside ? "A C" : "A B C");
        forget_processes();
        met = true;
    }
    expect(met || all_pairs()); /* supervisord needs a service in the foreground */
}
