/*
 * A filter that has the kernel refuse clones, as emulators and sandboxes do, for this process and
 * all that comes of it. Threads, vfork and fork go on working.
 */
#ifndef GRACE_TESTS_REFUSAL_H
#define GRACE_TESTS_REFUSAL_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Each refuses what those before it do, too. */
enum refusal {
    REFUSES_BESIDE, /* a process that shares memory while both run */
    REFUSES_VM,     /* any process that shares memory by clone */
    REFUSES_UNTOLD, /* a process whose end is told by another signal than SIGCHLD: as qemu-user */
};

/* Returns 0, or -1 with errno. */
static inline int refuse_clones(enum refusal refusal)
{
    const unsigned alone =
        refusal == REFUSES_BESIDE ? CLONE_VM | CLONE_VFORK | CLONE_THREAD : CLONE_VM | CLONE_THREAD;
    const unsigned untold = refusal == REFUSES_UNTOLD ? CSIGNAL : 0;
    const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 9, 0), /* libc knows another way */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, alone | untold),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_VFORK, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_VM, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, untold == 0 ? 0 : SIGCHLD, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter,
                                       (struct sock_filter *)filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#endif
