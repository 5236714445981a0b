/*
 * From our process to the command's, without anything of the target's happening in between.
 *
 * The new process shares our memory until it has exec'd (CLONE_VM | CLONE_VFORK, as posix_spawn
 * does), so a large target costs no more than a small one. It runs on a stack of its own with every
 * signal blocked, so that no handler of the target ever runs in it, and it touches no libc
 * function: errno would be the calling thread's, and setuid() would have libc tell every thread of
 * the target. The caller is held until exec is over; a command on a file system that hangs holds it
 * as long.
 *
 * Emulators (qemu-user, valgrind) make a forked process of it and do not hold the caller. So what
 * it says of an exec that failed lies with its stack, in memory that is shared even then, and is
 * read when it has ended.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel.h"

#define STACK_SIZE (32l * 1024)

/* Lies at the top of the stack's mapping. */
struct grace_spawned {
    const struct grace_command *command;
    char *const *envp;
    int output;
    _Atomic int32_t *running;
    atomic_int error; /* a positive errno, of the new process; relaxed: read after it was reaped */
};

static GRACE_PLAIN void default_signals(void)
{
    /* The kernel's struct, all zero: default action. KILL and STOP refuse, as they should. */
    static const uint64_t by_default[4];
    for (int signo = 1; signo <= 64; signo++)
        grace_kernel(SYS_rt_sigaction, signo, by_default, NULL, 8);
}

/* /dev/null as input; where there is none (a bare chroot), a pipe whose other end is closed. */
static GRACE_PLAIN long open_input(void)
{
    long input = grace_kernel(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);
    if (input >= 0)
        return input;
    int ends[2] = {-1, -1};
    long failed = grace_kernel(SYS_pipe2, ends, 0);
    if (failed < 0)
        return failed;
    grace_kernel(SYS_close, ends[1]);
    return ends[0];
}

/* 0, 1 and 2 may be closed in us, or be the very descriptors that we opened: move out of the way
 * first. */
static GRACE_PLAIN long arrange_descriptors(int output)
{
    long high = grace_kernel(SYS_fcntl, output, F_DUPFD, 3);
    if (high < 0)
        return high;
    long input = open_input();
    if (input < 0)
        return input;
    long result = 0;
    if (input != 0)
        result = grace_kernel(SYS_dup3, input, 0, 0);
    if (result >= 0)
        result = grace_kernel(SYS_dup3, high, 1, 0);
    if (result >= 0)
        result = grace_kernel(SYS_dup3, high, 2, 0);
    if (result >= 0)
        grace_kernel_close_range(3, ~0u);
    return result;
}

static GRACE_PLAIN long switch_user(const struct grace_command *command)
{
    uid_t real = 0, effective = 0, saved = 0;
    grace_kernel(GRACE_SYS_getresuid, &real, &effective, &saved);
    long result = grace_kernel(GRACE_SYS_setgroups, (long)command->group_count,
                               (const void *)command->groups);
    /* A target that already became this user may not, and need not, set its groups again. */
    if (result < 0 && real == command->uid && effective == command->uid && saved == command->uid)
        return 0;
    if (result >= 0)
        result = grace_kernel(GRACE_SYS_setresgid, command->gid, command->gid, command->gid);
    if (result >= 0)
        result = grace_kernel(GRACE_SYS_setresuid, command->uid, command->uid, command->uid);
    return result;
}

static GRACE_PLAIN void become_command(void *argument)
{
    struct grace_spawned *spawned = argument;
    const struct grace_command *command = spawned->command;
    default_signals();
    grace_kernel(SYS_setpgid, 0, 0);
    /* The command may stop its parent, or hang in exec, before that one could say it. */
    atomic_store_explicit(spawned->running, (int32_t)grace_kernel(SYS_getpid),
                          memory_order_release);
    long result = arrange_descriptors(spawned->output);
    if (result >= 0 && command->switch_user)
        result = switch_user(command);
    if (result >= 0) {
        grace_kernel_set_mask(0);
        result = grace_kernel(SYS_execve, command->path, (const void *)command->argv,
                              (const void *)spawned->envp);
    }
    atomic_store_explicit(&spawned->error, (int)-result, memory_order_relaxed);
    grace_kernel_exit(127);
}

static void *mapping_of(struct grace_spawned *spawned)
{
    return (char *)(spawned + 1) - STACK_SIZE;
}

static long start(struct grace_spawned *spawned)
{
    uint64_t mask;
    grace_kernel_block_signals(&mask);
    long pid = grace_kernel_clone(CLONE_VM | CLONE_VFORK | SIGCHLD, spawned, NULL, become_command,
                                  spawned);
    if (pid < 0)
        pid = grace_kernel_clone(SIGCHLD, spawned, NULL, become_command, spawned);
    grace_kernel_set_mask(mask);
    return pid;
}

long grace_spawn(const struct grace_command *command, char *const *envp, int output,
                 _Atomic int32_t *running, struct grace_spawned **spawned)
{
    if (command->path == NULL)
        return -(command->error != 0 ? command->error : ENOENT);
    long memory = grace_kernel(GRACE_SYS_mmap, NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (grace_kernel_failed(memory))
        return memory;
    *spawned = (struct grace_spawned *)(void *)((char *)memory + STACK_SIZE) - 1;
    **spawned = (struct grace_spawned){command, envp, output, running, 0};
    long pid = start(*spawned);
    if (pid < 0)
        grace_kernel(SYS_munmap, mapping_of(*spawned), STACK_SIZE);
    else /* of a forked one the store was made in its own memory */
        atomic_store_explicit(running, (int32_t)pid, memory_order_release);
    return pid;
}

int grace_spawn_end(struct grace_spawned *spawned)
{
    int error = atomic_load_explicit(&spawned->error, memory_order_relaxed);
    grace_kernel(SYS_munmap, mapping_of(spawned), STACK_SIZE);
    return error;
}
