/* What stories about the guardian are written with. */
#include "harness_guardian.h"
#include "harness_story.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What tests/emulated.c has an emulator told, behind a program's name. */
enum { EMULATORS_WORDS = 5 };

/* Its arguments are its name, the config, the program, and the pid of its owner. */
static bool is_guardian_of(const char *pid, pid_t owner)
{
    char words[8192], *word = words;
    FILE *file = fopen(text("/proc/%s/cmdline", pid), "re");
    if (file == NULL)
        return false;
    size_t length = fread(words, 1, sizeof words - 1, file);
    fclose(file);
    words[length] = '\0';
    if (strcmp(words, "grace-guardian") != 0)
        return false;
    bool emulated = strcmp(words + strlen(words) + 1, "-L") == 0;
    for (int i = 0; i < 3 + emulated * EMULATORS_WORDS && word < words + length; i++)
        word += strlen(word) + 1;
    return word < words + length && atoi(word) == owner;
}

/* Its last step before it takes its post is to let go of the target's output. */
static bool is_at_its_post(const char *pid)
{
    char target[64] = "";
    ssize_t length = readlink(text("/proc/%s/fd/2", pid), target, sizeof target - 1);
    return length > 0 && strcmp(target, "/dev/null") == 0;
}

pid_t guardian_of(const struct process *target)
{
    pid_t found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc != NULL && found == 0 && (entry = readdir(proc)) != NULL;)
        if (is_guardian_of(entry->d_name, target->pid) && is_at_its_post(entry->d_name))
            found = atoi(entry->d_name);
    if (proc != NULL)
        closedir(proc);
    return found;
}

pid_t wait_guardian(struct process *target)
{
    pid_t found;
    for (int64_t since = now_ms(); (found = guardian_of(target)) == 0;)
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%s has no guardian", target->title);
    return found;
}

pid_t guardian_below(pid_t parent)
{
    for (int64_t since = now_ms();;) {
        char *children = contents(text("/proc/%d/task/%d/children", parent, parent));
        for (char *word = strtok(children, " "); word != NULL; word = strtok(NULL, " "))
            if (strcmp(contents(text("/proc/%s/comm", word)), "grace-guardian\n") == 0)
                return atoi(word);
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "no guardian");
    }
}

void kill_and_wait(pid_t pid)
{
    kill(pid, SIGKILL);
    for (int64_t since = now_ms(); kill(pid, 0) == 0;) {
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid) /* orphans come to the story */
            return;
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%d does not die", pid);
    }
}

char *hook_that_waits(const char *name, const char *more)
{
    return hook_script(name,
                       text("echo %s >> order; : > began; while [ ! -e go ]; do sleep 0.02; done; "
                            "echo %s-done >> order",
                            name, name),
                       more);
}

char *hook_that_tells(const char *name, const char *more)
{
    return hook_script(name,
                       text("echo %s >> order; echo %s ${GRACE_CAUSE:--} ${GRACE_SIGNAL:--} "
                            "${GRACE_EXIT_STATUS:--} ${SERVICE_RESULT:--} ${EXIT_CODE:--} "
                            "${EXIT_STATUS:--} >> story",
                            name, name),
                       more);
}

struct process *start_under(const char *library, const char *const *argv)
{
    const char *words[32] = {"env", text("LD_PRELOAD=%s", library),
                             text("GRACE_CONFIG=%s", here("grace.conf"))};
    for (size_t i = 0; i + 4 < 32 && argv[i] != NULL; i++)
        words[i + 3] = argv[i];
    return launch(&(struct launch){.way = BARE, .argv = words});
}
