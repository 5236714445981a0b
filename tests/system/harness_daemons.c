/* Processes that a program of the story leaves behind: daemons, their workers, the guardian. */
#include "harness.h"
#include "harness_story.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define GUARDIAN "grace-guardian"
#define MOST     32768 /* processes, the whole machine's */

struct member {
    int pid, parent, group, session, terminal;
    char state;
    char name[32];
};

static bool read_member(int pid, struct member *member)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, line, sizeof line - 1);
    close(file);
    if (length <= 0)
        return false;
    line[length] = '\0';
    char *begin = strchr(line, '('), *end = strrchr(line, ')');
    if (begin == NULL || end == NULL)
        return false;
    *end = '\0';
    snprintf(member->name, sizeof member->name, "%s", begin + 1);
    member->pid = pid;
    return sscanf(end + 2, "%c %d %d %d %d", &member->state, &member->parent, &member->group,
                  &member->session, &member->terminal) == 5;
}

/* Everything that runs on this machine, zombies left out. */
static size_t read_all(struct member *all, size_t most)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    for (struct dirent *entry; count < most && (entry = readdir(proc)) != NULL;) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && read_member(pid, &all[count]) && all[count].state != 'Z' &&
            all[count].state != 'X')
            count++;
    }
    closedir(proc);
    return count;
}

static const struct member *find(const struct member *all, size_t count, int pid)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].pid == pid)
            return &all[i];
    return NULL;
}

/* ---- one of them ----------------------------------------------------------------------------- */

struct process *attend(pid_t pid)
{
    struct member member;
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL || story.process_count == STORY_PROCESSES)
        abort();
    process->pid = pid;
    process->terminal = -1;
    process->pidfd = pidfd_open(pid, 0);
    if (process->pidfd < 0)
        story_fail(__FILE__, __LINE__, "pid %d: %s", pid, strerror(errno));
    bool is = read_member(pid, &member);
    process->title = text("left behind: %s", is ? member.name : "gone");
    process->out = process->err = text("%s", "none");
    story.processes[story.process_count++] = process;
    return process;
}

struct process *adopt(pid_t pid)
{
    struct member member;
    for (int64_t since = now_ms(); !read_member(pid, &member) || member.parent != getpid();)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "pid %d is not an orphan of this story", pid);
    return attend(pid);
}

struct process *adopt_from(const char *pid_file)
{
    struct member member;
    for (int64_t since = now_ms();;) {
        /* Some write the parent's pid before their own. */
        int pid = atoi(contents(pid_file));
        if (pid > 0 && read_member(pid, &member) && member.parent == getpid() &&
            member.state != 'Z')
            return adopt(pid);
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "no orphan's pid in %s", pid_file);
    }
}

pid_t pid_in(const char *file)
{
    const char *words = "";
    for (int64_t since = now_ms(); atoi(words = contents(file)) <= 0;)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "no pid in %s", file);
    return atoi(words);
}

/* The child of this process with a name; 0: none. */
static pid_t child_named(const char *name)
{
    static struct member all[MOST];
    size_t count = read_all(all, MOST);
    pid_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (all[i].parent != getpid() || strcmp(all[i].name, name) != 0)
            continue;
        if (found != 0)
            story_fail(__FILE__, __LINE__, "two of %s: %d and %d", name, found, all[i].pid);
        found = all[i].pid;
    }
    return found;
}

pid_t orphan_named(const char *name)
{
    pid_t pid;
    for (int64_t since = now_ms(); (pid = child_named(name)) == 0;)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "no %s", name);
    return pid;
}

pid_t guardian_pid(void)
{
    return child_named(GUARDIAN);
}

pid_t wait_guardian_pid(void)
{
    pid_t guardian;
    for (int64_t since = now_ms(); (guardian = guardian_pid()) == 0;)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "no guardian");
    return guardian;
}

/* Whether it comes from this story, and not from its guardian. */
static bool descends(const struct member *all, size_t count, const struct member *member)
{
    for (size_t steps = 0; member != NULL && steps < count; steps++) {
        if (strcmp(member->name, GUARDIAN) == 0)
            return false;
        if (member->parent == getpid())
            return true;
        member = find(all, count, member->parent);
    }
    return false;
}

void kill_all_but_guardian(void)
{
    static struct member all[MOST];
    for (bool any = true; any;) {
        size_t count = read_all(all, MOST);
        any = false;
        for (size_t i = 0; i < count; i++)
            if (descends(all, count, &all[i]))
                any = kill(all[i].pid, SIGKILL) == 0 || any;
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const char *relation(const struct member *all, size_t count, const struct member *member,
                            int leader)
{
    if (leader == member->pid)
        return "own";
    if (leader == member->parent)
        return "parent's";
    const struct member *other = find(all, count, leader);
    return leader == 0 ? "none" : other == NULL ? "gone" : other->name;
}

static int by_name(const void *a, const void *b)
{
    const struct member *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order != 0 ? order : one->pid - other->pid;
}

static char *add_below(const struct member *all, size_t count, int parent, int depth, char *picture)
{
    for (size_t i = 0; i < count; i++) {
        const struct member *member = &all[i];
        if (member->parent != parent || strcmp(member->name, GUARDIAN) == 0)
            continue;
        char *longer = text("%s%*s%s: group %s, session %s, %s\n", picture, depth, "", member->name,
                            relation(all, count, member, member->group),
                            relation(all, count, member, member->session),
                            member->terminal == 0 ? "no terminal" : "terminal");
        free(picture);
        picture = add_below(all, count, member->pid, depth + 2, longer);
    }
    return picture;
}

char *picture(void)
{
    static struct member all[MOST];
    size_t count = read_all(all, MOST);
    qsort(all, count, sizeof *all, by_name);
    return add_below(all, count, getpid(), 0, text("%s", ""));
}

char *steady_picture(void)
{
    char *last = picture();
    int same = 0;
    for (int64_t since = now_ms(); same < 20;) {
        char *now = picture();
        same = strcmp(now, last) == 0 ? same + 1 : 0;
        last = now;
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "processes come and go:\n%s", last);
    }
    return last;
}

void expect_picture_at(const char *file, int line, const char *expected)
{
    const char *now;
    for (int64_t since = now_ms(); strcmp(now = picture(), expected) != 0;)
        if (now_ms() - since > STORY_LIMIT_MS / 4 || !look_again(since))
            story_fail(file, line, "the processes are\n%s\nexpected\n%s", now, expected);
    _mark_point(file, line);
}
