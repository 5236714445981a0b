/* The life of a story: its directory, its cleaning up, and how it fails. */
#include "harness.h"
#include "harness_story.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct story story;
static pid_t runner;

/*
 * Orphans come to the story that started them, since it is their subreaper, so that it can wait for
 * them and kill them. When a story dies early (a failure, its time limit), they come to the runner,
 * and the next story, or the runner's end, kills them.
 */
__attribute__((constructor)) static void become_the_runner(void)
{
    runner = getpid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void end_story(void);

/* At the end of the runner, and of a test that skips itself. */
__attribute__((destructor)) static void leave_nothing(void)
{
    if (getpid() == runner)
        story_kill_all();
    else if (getpid() == story.pid)
        end_story();
}

/* The parent of a process, or 0. */
static pid_t parent_of(pid_t pid)
{
    char name[64], line[512];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *stat_file = fopen(name, "re");
    if (stat_file == NULL)
        return 0;
    size_t length = fread(line, 1, sizeof line - 1, stat_file);
    fclose(stat_file);
    line[length] = '\0';
    int parent = 0;
    char *behind_name = strrchr(line, ')');
    if (behind_name == NULL || sscanf(behind_name, ") %*c %d", &parent) != 1)
        return 0;
    return parent;
}

/* Kill every child of `parent` but for `spared`. */
static void kill_children(pid_t parent, pid_t spared)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        pid_t pid = atoi(entry->d_name);
        if (pid > 0 && pid != spared && parent_of(pid) == parent)
            kill(pid, SIGKILL);
    }
    closedir(proc);
}

void story_kill_all(void)
{
    for (;;) {
        kill_children(getpid(), 0);
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno == ECHILD)
            return;
        if (pid > 0)
            story_note_end(pid, status);
    }
}

static void end_story(void)
{
    story.pid = 0;
    story_kill_all();
    char command[3 * PATH_MAX + 80];
    snprintf(command, sizeof command,
             "rm -rf '%1$s' 2>/dev/null || { chmod -R u+rwx '%1$s'; rm -rf '%1$s'; }",
             story.directory); /* of closed folders, too, without root's rights */
    if (chdir("/") != 0 || system(command) != 0)
        printf("%s is still there\n", story.directory);
}

/* Stopped from outside (^C, a time limit on the whole): nothing is left alive all the same. */
static void stop_story(int signo)
{
    (void)signo;
    story_kill_all();
    _exit(1);
}

static void story_open(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, stop_story);
    signal(SIGINT, stop_story);
    if (getppid() == runner)
        kill_children(runner, getpid());
    signal(SIGPIPE, SIG_IGN);
    const char *build = getenv("GRACE_BUILD");
    if (realpath(build != NULL ? build : "build", story.build) == NULL)
        ck_abort_msg("no build directory: set GRACE_BUILD");
    if (getcwd(story.sources, sizeof story.sources) == NULL)
        ck_abort_msg("no working directory");
    const char *temporary = getenv("TMPDIR");
    snprintf(story.directory, sizeof story.directory, "%s/grace-story.XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(story.directory) == NULL || chdir(story.directory) != 0)
        ck_abort_msg("no directory %s: %s", story.directory, strerror(errno));
    story.pid = getpid();
    /* Other users' daemons work in it too. */
    chmod(story.directory, 0777);
    write_file("order", "%s", "");
    chmod("order", 0666);
}

TCase *story_case(Suite *suite, const char *name)
{
    TCase *group = tcase_create(name);
    tcase_add_checked_fixture(group, story_open, end_story);
    tcase_set_timeout(group, 5.0 * STORY_LIMIT_MS / 1000);
    suite_add_tcase(suite, group);
    return group;
}

/* ---- time ------------------------------------------------------------------------------------ */

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void let_pass(unsigned milliseconds)
{
    struct timespec left = {.tv_sec = (time_t)(milliseconds / 1000),
                            .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

bool look_again(int64_t since)
{
    let_pass(5);
    return now_ms() - since < STORY_LIMIT_MS;
}

/* ---- failing --------------------------------------------------------------------------------- */

static void show_file(const char *name)
{
    const size_t most = 4000;
    const char *all = contents(name);
    size_t length = strlen(all);
    if (length == 0)
        return;
    printf("  -- %s%s\n", name, length > most ? " (its end)" : "");
    printf("%s\n", length > most ? all + length - most : all);
}

static void show_story(void)
{
    show_file("grace.conf");
    show_file("order");
    show_file("log");
    for (size_t i = 0; i < story.process_count; i++) {
        const struct process *process = story.processes[i];
        printf("  -- %s: pid %d, %s\n", process->title, process->pid,
               process->ended ? status_words(process->status) : "alive");
        show_file(process->out);
        show_file(process->err);
    }
    fflush(stdout);
}

void story_fail(const char *file, int line, const char *format, ...)
{
    char message[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    printf("\n  %s:%d: %s\n", file, line, message);
    show_story();
    end_story();
    /* As ck_abort_msg does, with the place that failed. */
    _ck_assert_failed(file, line, "Failed", "%s", message);
    abort();
}

const char *status_words(int status)
{
    if (WIFEXITED(status))
        return text("exit %d", WEXITSTATUS(status));
    if (WIFSIGNALED(status))
        return text("killed by signal %d%s", WTERMSIG(status),
                    WCOREDUMP(status) ? ", core dumped" : "");
    return text("wait status %#x", (unsigned)status);
}

void expect_status_at(const char *file, int line, const char *what, int actual, int expected)
{
    if (actual != expected)
        story_fail(file, line, "%s: %s, expected %s", what, status_words(actual),
                   status_words(expected));
    _mark_point(file, line);
}

void expect_text_at(const char *file, int line, const char *what, const char *actual,
                    const char *expected)
{
    if (strcmp(actual, expected) != 0)
        story_fail(file, line, "%s is\n%s\nexpected\n%s", what, actual, expected);
    _mark_point(file, line);
}

void expect_order_at(const char *file, int line, const char *expected, bool settle)
{
    if (settle)
        wait_all_gone();
    char *order = contents("order");
    size_t length = strlen(order);
    while (length > 0 && order[length - 1] == '\n')
        order[--length] = '\0';
    for (char *c = order; *c != '\0'; c++) {
        if (*c == '\n')
            *c = ' ';
    }
    if (strcmp(order, expected) != 0)
        story_fail(file, line, "hooks ran as \"%s\", expected \"%s\"", order, expected);
    _mark_point(file, line);
}
