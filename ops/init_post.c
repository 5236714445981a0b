#include "init_post.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/fingerprint.h"
#include "guardian.h"
#include "hooks/kernel.h"
#include "hooks/log.h"

extern char **environ;

#define SELF "/proc/self/exe"

/* A guardian that is killed again and again has somebody against it. */
#define STARTS_MAX 4

/* For what we start beside the target: what preloads do to it is not for them, nor for hooks. */
static char **without_preload(void)
{
    size_t count = 0, kept = 0;
    while (environ[count] != NULL)
        count++;
    char **copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        return environ;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
            copy[kept++] = environ[i];
    copy[kept] = NULL;
    return copy;
}

/* ---- the ledger ----------------------------------------------------------------------------- */

static void recover(const struct grace_plan *plan)
{
    char *argv[] = {"grace", "recover", "--quiet", (char *)(uintptr_t)plan->file, NULL};
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid;
    if (!grace_ledger_any_in(plan->state_dir))
        return;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (posix_spawn(&pid, SELF, NULL, &attributes, argv, without_preload()) == 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    posix_spawnattr_destroy(&attributes);
}

bool grace_post_prepare(struct grace_post *post, const struct grace_plan *plan, const char *program,
                        bool durable)
{
    uint64_t fingerprint = grace_plan_fingerprint(plan);
    post->plan = plan;
    post->program = program;
    if (plan->state_dir != NULL)
        recover(plan);
    post->ledger = grace_ledger_create(plan->hook_count, fingerprint, program, plan->file,
                                       durable ? plan->state_dir : NULL, post->path,
                                       sizeof post->path, &post->ledger_fd);
    return post->ledger != NULL;
}

bool grace_post_is_owner(const struct grace_post *post, pid_t pid)
{
    return post->ledger != NULL && atomic_load(&post->ledger->owner) == pid;
}

pid_t grace_post_owner(const struct grace_post *post)
{
    siginfo_t info = {.si_pid = 0};
    pid_t pid = post->ledger != NULL ? atomic_load(&post->ledger->owner) : 0;
    bool is_child =
        pid > 1 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
    return is_child && info.si_pid == 0 ? pid : 0;
}

void grace_post_abandon(struct grace_post *post)
{
    if (post->ledger == NULL)
        return;
    atomic_store(&post->ledger->stage, GRACE_STAGE_DISMISSED);
    grace_ledger_ring(&post->ledger->asked);
    if (post->path[0] != '\0')
        unlink(post->path);
}

/* ---- the guardian --------------------------------------------------------------------------- */

/* The three descriptors to 3, 4 and 5, whatever their numbers are, and nothing else. */
static void place_descriptors(const int from[3])
{
    int high[3];
    for (int i = 0; i < 3; i++)
        high[i] = fcntl(from[i], F_DUPFD, 6);
    for (int i = 0; i < 3; i++)
        dup2(high[i], 3 + i);
    grace_kernel_close_range(6, ~0u);
}

/* Every signal stays blocked over the exec: it ignores them first. */
static pid_t execute(const struct grace_post *post, pid_t owner, int pidfd, int told)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", owner);
    char *argv[] = {GRACE_GUARDIAN_NAME,
                    (char *)(uintptr_t)post->plan->file,
                    (char *)(uintptr_t)post->program,
                    pid,
                    GRACE_GUARDIAN_TOLD,
                    NULL};
    char **environment = without_preload();
    pid_t child = fork();
    if (child != 0) {
        if (environment != environ)
            free(environment);
        return child;
    }
    setsid();
    place_descriptors((const int[3]){post->ledger_fd, pidfd, told});
    execve(SELF, argv, environment);
    _exit(127);
}

static bool start_for(struct grace_post *post, pid_t owner, int pidfd)
{
    int ends[2];
    post->starts++;
    post->guardian = 0;
    if (post->told >= 0)
        close(post->told);
    post->told = -1;
    if (pidfd < 0 || pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t guardian = execute(post, owner, pidfd, ends[0]);
    close(ends[0]);
    post->told = ends[1];
    fcntl(post->told, F_SETFL, O_NONBLOCK);
    post->guardian = guardian > 0 ? guardian : 0;
    return guardian > 0;
}

bool grace_post_start(struct grace_post *post, pid_t target)
{
    post->target = target;
    post->pidfd = (int)syscall(SYS_pidfd_open, target, 0); /* stays good after its end */
    return start_for(post, target, post->pidfd);
}

void grace_post_tell(struct grace_post *post, pid_t owner, int status)
{
    const struct grace_guardian_told told = {.pid = owner, .status = status};
    post->ended = owner;
    post->status = status;
    /* A guardian that is gone, or so far behind, finds another way. SIGPIPE is blocked. */
    if (post->told >= 0 && write(post->told, &told, sizeof told) != (ssize_t)sizeof told)
        close(post->told), post->told = -1;
}

/* The new one watches who is the owner now, or learns at once that the target is gone. */
void grace_post_guardian_ended(struct grace_post *post, int status)
{
    post->guardian = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        grace_log(GRACE_LOG_ERROR, "guardian", "the guardian cannot be started: no hook runs");
    if (!WIFSIGNALED(status) || post->starts >= STARTS_MAX)
        return;
    grace_log(GRACE_LOG_WARNING, "guardian",
              "the guardian was killed; another one takes its place");
    atomic_store(&post->ledger->guardian, 0);
    pid_t owner = grace_post_owner(post);
    if (owner != 0 && owner != post->target) {
        int pidfd = (int)syscall(SYS_pidfd_open, owner, 0);
        start_for(post, owner, pidfd);
        close(pidfd);
    } else {
        start_for(post, post->target, post->pidfd);
    }
    if (post->ended != 0)
        grace_post_tell(post, post->ended, post->status);
}
