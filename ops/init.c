/*
 * Staying as the target's parent.
 *
 * One loop over sigwaitinfo: every signal is blocked, so none is lost, none interrupts, and PID 1
 * gets what it would otherwise be spared. What is sent to us is passed on to the owner, children
 * (our own, and orphans that come to us) are reaped, and the terminal's job control goes through.
 * The hooks are not run here: the guardian, a child, runs them, and we leave after it. So the loop
 * never waits for anything but the next signal, and what kills the target or the guardian leaves
 * somebody who notices. Of a target that hands over to a daemon we are the subreaper: the daemon
 * comes to us, and we stay for it.
 *
 * The target starts as without us: same descriptors, mask, ignored signals; in a process group of
 * its own.
 */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "guardian.h"
#include "hooks/kernel.h"
#include "hooks/log.h"
#include "init_post.h"
#include "init_terminal.h"
#include "outside.h"
#include "termination.h"

/* How often the next owner is looked for while there is a signal for it. */
#define KEPT_LOOK_MS 10

/* One per process: the conductor's thread forwards through it, too. */
static struct {
    const struct grace_init_order *order;
    struct grace_post post;
    struct grace_terminal terminal;
    struct grace_outside outside;
    sigset_t old_mask;
    bool ignored_children; /* SIGCHLD was ignored when we started */
    _Atomic pid_t target;  /* the process that we started */
    _Atomic bool is_gone;  /* … was reaped */
    int status;            /* the wait status of the last owner */
    bool asked_to_leave;   /* what is left has got its SIGTERM */
    pid_t sent_to;         /* who got the last signal, and which */
    siginfo_t sent;
    siginfo_t kept[65]; /* signals that came between an owner and the next; si_signo 0: none */
} init;

/* ---- in the new process --------------------------------------------------------------------- */

/* What a socket-activating manager meant for the process that it started is for the target. */
static void pass_sockets_on(pid_t manager_meant)
{
    char number[16];
    const char *value = getenv("LISTEN_PID");
    if (value == NULL || atoi(value) != manager_meant)
        return;
    snprintf(number, sizeof number, "%d", getpid());
    setenv("LISTEN_PID", number, 1);
}

/* libgrace.so finds the ledger by our number, as it finds that of a program before an exec. */
static void name_post(pid_t parent)
{
    char number[16];
    if (init.post.ledger == NULL || init.order->outside)
        return;
    snprintf(number, sizeof number, "%d", parent);
    setenv("GRACE_GUARDIAN", number, 1);
}

_Noreturn static void become_target(int link, pid_t parent)
{
    char go;
    grace_terminal_enter(&init.terminal);
    if (init.post.ledger != NULL)
        atomic_store(&init.post.ledger->owner, (int32_t)getpid());
    environ = (char **)(uintptr_t)init.order->environment;
    pass_sockets_on(parent);
    name_post(parent);
    /* Not before the parent has everything in its place. */
    if (read(link, &go, 1) != 1)
        _exit(EX_OSERR);
    if (init.ignored_children)
        signal(SIGCHLD, SIG_IGN);
    sigprocmask(SIG_SETMASK, &init.old_mask, NULL);
    execve(init.order->path, init.order->argv, environ);
    int error = errno;
    if (write(link, &error, sizeof error) == (ssize_t)sizeof error &&
        read(link, &go, 1) < 0) /* the guardian must not see us end before it is told off */
        _exit(EX_OSERR);
    _exit(127);
}

/* ---- starting ------------------------------------------------------------------------------- */

/* The target may have been given no stdin, stdout or stderr; then nothing of ours may get such a
 * number, neither here nor there. */
static void fill_stdio(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd <= 2)
        continue;
    if (fd >= 0)
        close(fd);
}

static void set_up_signals(void)
{
    sigset_t all;
    struct sigaction children;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &init.old_mask);
    sigaction(SIGCHLD, NULL, &children);
    init.ignored_children = children.sa_handler == SIG_IGN;
    signal(SIGCHLD, SIG_DFL); /* ignored, or without zombies, nothing would be left to wait for */
}

/* These descriptors to 3, 4 …, and no other stays open: what the target has open is for it alone to
 * close. */
static void keep_only(int **kept, int count)
{
    int high[4];
    for (int i = 0; i < count; i++)
        high[i] = *kept[i] < 0 ? -1 : fcntl(*kept[i], F_DUPFD_CLOEXEC, 3 + count);
    for (int i = 0; i < count; i++) {
        *kept[i] = high[i] < 0 ? -1 : dup3(high[i], 3 + i, O_CLOEXEC);
        if (*kept[i] < 0)
            close(3 + i);
    }
    grace_kernel_close_range((unsigned)(3 + count), ~0u);
}

/* Returns 0, or the errno of the exec that failed. */
static int start_target(void)
{
    int link[2], error = 0;
    char go = 1;
    pid_t self = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) != 0)
        return errno;
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0) {
        close(link[0]);
        become_target(link[1], self);
    }
    close(link[1]);
    setpgid(pid, pid); /* whoever of the two is first */
    init.target = pid;
    keep_only((int *[]){&init.post.ledger_fd, &link[0], &init.terminal.fd}, 3);
    if (init.post.path[0] != '\0')
        grace_ledger_rename_owner(init.post.ledger_fd, pid);
    /* Before the target runs: from its first instruction on somebody knows what is owed. */
    bool guarded = init.post.ledger == NULL || grace_post_start(&init.post, pid);
    if (write(link[0], &go, 1) != 1 ||
        recv(link[0], &error, sizeof error, MSG_WAITALL) != (ssize_t)sizeof error)
        error = 0; /* closed by the exec */
    if (error != 0)
        grace_post_abandon(&init.post);
    close(link[0]);
    if (error != 0)
        waitpid(pid, NULL, 0);
    if (!guarded)
        grace_log(GRACE_LOG_ERROR, "guardian", "the guardian cannot be started: no hook runs");
    return error;
}

/* ---- signals -------------------------------------------------------------------------------- */

/* Whom signals are for: the process that we started, or the daemon that it became. */
static pid_t addressee(void)
{
    return !init.is_gone ? init.target : grace_post_owner(&init.post);
}

static int delivered_as(int signo)
{
    int as = init.order->outside && signo <= 64 ? init.order->plan->deliver[signo] : 0;
    return as != 0 ? as : signo; /* inside, libgrace does it */
}

static void forward(const siginfo_t *info)
{
    pid_t pid = addressee();
    int signo = delivered_as(info->si_signo);
    siginfo_t copy = *info;
    copy.si_signo = signo;
    if (pid == 0) {
        if (info->si_signo < 65)
            init.kept[info->si_signo] = *info;
        return;
    }
    init.sent_to = pid;
    init.sent = *info;
    if (init.order->group && kill(-pid, signo) == 0)
        return;
    /* A queued signal keeps what was sent along with it; the kernel lets us forge no other. */
    if (info->si_code == SI_QUEUE && syscall(SYS_rt_sigqueueinfo, pid, signo, &copy) == 0)
        return;
    /* The conductor's thread may be here while the target is reaped, and its number free again. */
    if (pid != init.target || init.post.pidfd < 0 ||
        (syscall(SYS_pidfd_send_signal, init.post.pidfd, signo, NULL, 0) != 0 && errno == ENOSYS))
        kill(pid, signo);
}

/* Between the end of a daemon's parent and the moment in which the daemon is the owner, and comes
 * to us, there is nobody: a stop must not be lost there. Returns whether any is still kept. */
static bool deliver_kept(void)
{
    bool any = false;
    for (int signo = 1; signo < 65; signo++) {
        siginfo_t info = init.kept[signo];
        if (info.si_signo == 0)
            continue;
        init.kept[signo].si_signo = 0;
        forward(&info);
        any |= init.kept[signo].si_signo != 0;
    }
    return any;
}

/* ---- children ------------------------------------------------------------------------------- */

static void owner_ended(pid_t pid, int status)
{
    init.status = status;
    if (pid == init.target) {
        init.is_gone = true;
        /* What the terminal sends to its foreground it would have sent to our group, too. */
        if (grace_terminal_take_back(&init.terminal, pid) && WIFSIGNALED(status) &&
            (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGQUIT) &&
            init.sent.si_signo != WTERMSIG(status))
            grace_terminal_tell_group(WTERMSIG(status));
    }
    grace_post_tell(&init.post, pid, status);
    /* It got the signal when it had handed over already, or was about to. */
    if (pid == init.sent_to && init.post.ledger != NULL && !grace_post_is_owner(&init.post, pid))
        init.kept[init.sent.si_signo] = init.sent;
}

static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL)) > 0;) {
        bool is_owner = pid == init.target || grace_post_is_owner(&init.post, pid);
        if (WIFSTOPPED(status)) {
            if (is_owner)
                grace_terminal_stopped(&init.terminal, init.target, WSTOPSIG(status));
        } else if (pid == init.post.guardian) {
            grace_post_guardian_ended(&init.post, status);
        } else if (is_owner) {
            owner_ended(pid, status);
        }
    }
}

/* Who has ended already gets none: signals with a lower number come before SIGCHLD. */
static void arrive(const siginfo_t *info)
{
    reap();
    switch (info->si_signo) {
    case SIGTTIN:
    case SIGTTOU:
        return; /* ours: the terminal is given and taken by us */
    case SIGPIPE:
        if (info->si_pid == getpid())
            return; /* nobody reads our own words */
        break;
    case SIGCONT:
        grace_terminal_resumed(&init.terminal, init.target);
        return;
    default:
        break;
    }
    if (!init.order->outside || !grace_outside_takes(&init.outside, info))
        forward(info);
}

/* ---- who is left ---------------------------------------------------------------------------- */

static bool is_guardian(const char *pid)
{
    char path[300], text[256];
    int parent;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *name = strchr(text, '('), *end = strrchr(text, ')');
    return name != NULL && end != NULL && sscanf(end, ") %*c %d", &parent) == 1 &&
           parent == getpid() &&
           strncmp(name, "(" GRACE_GUARDIAN_NAME ")", strlen(GRACE_GUARDIAN_NAME) + 2) == 0;
}

/* A guardian that is not ours: of what the target has become with another config, or of a program
 * that it started and that `programs` names. */
static bool has_guardians(void)
{
    bool any = false;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc != NULL && !any && (entry = readdir(proc)) != NULL;)
        any = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && is_guardian(entry->d_name);
    if (proc != NULL)
        closedir(proc);
    return any;
}

/* The kernel kills what is left when PID 1 leaves: what has a guardian is stopped before that. */
static bool others_owe(void)
{
    siginfo_t any;
    if (init.order->plan->hook_count == 0 ||
        waitid(P_ALL, 0, &any, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || !has_guardians())
        return false; /* most often there is no child left */
    if (!init.asked_to_leave)
        kill(getpid() == 1 ? -1 : -init.target, SIGTERM);
    init.asked_to_leave = true;
    return true;
}

static bool is_over(void)
{
    return init.is_gone && init.post.guardian == 0 && !others_owe();
}

/* ---- the end -------------------------------------------------------------------------------- */

/* As the target ended, so that our parent sees what it would have seen. */
static int end_alike(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    int signo = WTERMSIG(status);
    if (getpid() == 1)
        return 128 + signo; /* no signal would end us */
    const struct rlimit none = {0, 0};
    sigset_t only;
    setrlimit(RLIMIT_CORE, &none); /* the target has left its core */
    prctl(PR_SET_DUMPABLE, 0);
    signal(signo, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, signo);
    kill(getpid(), signo);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    return 128 + signo;
}

static int finish(void)
{
    const struct grace_init_order *order = init.order;
    if (order->termination_log != NULL) {
        int result = grace_termination_write(order->termination_log, order->program, init.status,
                                             order->plan, init.post.ledger);
        if (result != 0)
            fprintf(stderr, "grace run: %s: %s\n", order->termination_log, strerror(-result));
    }
    if (order->outside && grace_outside_led(&init.outside)) {
        if (order->plan->end == GRACE_END_STATUS)
            return order->plan->end_status;
        if (order->plan->end == GRACE_END_EXIT)
            return 128 + init.outside.info.si_signo;
    }
    return end_alike(init.status);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void make_post(void)
{
    const struct grace_plan *plan = init.order->plan;
    bool durable = plan->state_dir != NULL;
    if (!init.order->guarded || grace_post_prepare(&init.post, plan, init.order->program, durable))
        return;
    grace_log(GRACE_LOG_WARNING, "ledger",
              "cannot write to state_dir %s: %s. What is owed does not survive a power loss.",
              plan->state_dir != NULL ? plan->state_dir : "(none)", strerror(errno));
    init.post.path[0] = '\0';
    if (durable)
        grace_post_prepare(&init.post, plan, init.order->program, false);
}

static int report_failed_exec(int error)
{
    fprintf(stderr, "grace run: %s: %s\n", init.order->path, strerror(error));
    return error == ENOENT ? 127 : 126;
}

int grace_init(const struct grace_init_order *order)
{
    siginfo_t info;
    sigset_t all;
    init.order = order;
    init.post.ledger_fd = init.post.told = init.post.pidfd = -1;
    fill_stdio();
    set_up_signals();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    grace_log_setup(&order->plan->log, order->program);
    grace_terminal_open(&init.terminal);
    make_post();
    int error = start_target();
    if (error != 0)
        return report_failed_exec(error);
    grace_log_speak_for(init.target);
    init.outside = (struct grace_outside){.plan = order->plan,
                                          .notes = order->notes,
                                          .ledger = init.post.ledger,
                                          .target = addressee,
                                          .forward = forward};
    sigfillset(&all);
    while (!is_over()) {
        const struct timespec moment = {.tv_nsec = KEPT_LOOK_MS * 1000000};
        if (sigtimedwait(&all, &info, deliver_kept() ? &moment : NULL) < 0)
            continue;
        if (info.si_signo == SIGCHLD)
            reap();
        else
            arrive(&info);
    }
    return finish();
}
