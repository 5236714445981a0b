#include "servers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks/log.h"

static int switch_user(const struct grace_command *command)
{
    if (!command->switch_user || (getuid() == command->uid && geteuid() == command->uid))
        return 0;
    if (setgroups(command->group_count, command->groups) != 0 ||
        setresgid(command->gid, command->gid, command->gid) != 0 ||
        setresuid(command->uid, command->uid, command->uid) != 0)
        return -1;
    return 0;
}

/* In the child: never returns. Stop signals stay ignored, as they are in the guardian. */
static void become_server(const struct grace_keeper *keeper, const struct grace_loaded_hook *hook,
                          int input)
{
    char pid[16];
    const struct grace_command *command = &hook->command;
    snprintf(pid, sizeof pid, "%d", keeper->pid);
    const char *const argv[] = {command->argv[0],
                                command->argv[1],
                                "--serve",
                                command->argv[2],
                                command->argv[3],
                                command->argv[4],
                                keeper->program,
                                pid,
                                NULL};
    setpgid(0, 0);
    /* The pipe's end as standard input; all else that is open here closes with the exec. */
    if (dup2(input, 0) == 0 && switch_user(command) == 0)
        execv(command->path, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void start(struct grace_keeper *keeper, size_t index)
{
    const struct grace_loaded_hook *hook = &keeper->hooks[index];
    int ends[2] = {-1, -1};
    pid_t pid = -1;
    if (pipe2(ends, O_CLOEXEC) == 0) {
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        pid = fork();
    }
    if (pid == 0)
        become_server(keeper, hook, ends[0]);
    if (pid < 0) {
        grace_log(GRACE_LOG_ERROR, "server", "hook \"%s\" cannot serve: %s", hook->plan->name,
                  strerror(errno));
        close(ends[1]);
    } else {
        keeper->servers[index] = ends[1];
    }
    close(ends[0]);
}

void grace_servers_start(struct grace_keeper *keeper)
{
    size_t count = keeper->plan->hook_count, serving = 0;
    for (size_t i = 0; i < count; i++)
        serving += keeper->hooks[i].kind == GRACE_HOOK_EXTERNAL_PLUGIN && keeper->hooks[i].serves;
    if (serving == 0 || (keeper->servers = malloc(count * sizeof *keeper->servers)) == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        keeper->servers[i] = -1;
    for (size_t i = 0; i < count; i++) {
        if (keeper->hooks[i].kind == GRACE_HOOK_EXTERNAL_PLUGIN && keeper->hooks[i].serves)
            start(keeper, i);
    }
}

void grace_servers_tell(const struct grace_keeper *keeper, size_t hook)
{
    /* One that is gone already is its own affair: SIGPIPE is ignored here. */
    if (keeper->servers != NULL && keeper->servers[hook] >= 0 &&
        write(keeper->servers[hook], "", 1) < 0)
        return;
}
