/* hooks/command.h: running a command, in the open and beside a target that must not notice. */
#include "../refusal.h"
#include "../suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hooks/command.h"
#include "hooks/log.h"

extern char **environ;

typedef void runner(const struct grace_command *, char *const *, uint32_t,
                    struct grace_command_result *);

static runner *const runners[] = {grace_command_run, grace_command_run_aside};

static char folder[] = "/tmp/grace-command-XXXXXX";
static char log_path[64], file_path[64];
static struct grace_log_plan log_plan = {
    .sink = GRACE_LOG_FILE, .path = log_path, .level = GRACE_LOG_INFO};

static void set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    snprintf(file_path, sizeof file_path, "%s/file", folder);
    grace_log_setup(&log_plan, "prog");
    setenv("FILE", file_path, 1);
}

static void set_up_where_refused(enum refusal refusal)
{
#if defined(__SANITIZE_ADDRESS__)
    skip("the sanitizer looks for leaks from a process that shares memory");
#endif
    if (refuse_clones(refusal) != 0)
        skip("no seccomp here");
    set_up();
}

static void set_up_where_none_is_beside(void)
{
    set_up_where_refused(REFUSES_BESIDE);
}

static void set_up_where_none_shares_memory(void)
{
    set_up_where_refused(REFUSES_VM);
}

static void set_up_where_all_are_told_of(void)
{
    set_up_where_refused(REFUSES_UNTOLD);
}

static void tear_down(void)
{
    unlink(log_path);
    unlink(file_path);
    rmdir(folder);
}

static const char *content(const char *path)
{
    static char buffer[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd >= 0 ? read(fd, buffer, sizeof buffer - 1) : 0;
    if (fd >= 0)
        close(fd);
    buffer[length > 0 ? length : 0] = '\0';
    return buffer;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct grace_command_result run_script(runner *run, const char *script, uint32_t timeout_ms)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct grace_command command;
    struct grace_error error;
    struct grace_command_result result;
    ck_assert_int_eq(grace_command_prepare(&command, "h", argv, NULL, environ, &error), 0);
    run(&command, environ, timeout_ms, &result);
    grace_command_release(&command);
    return result;
}

/* Wait for something that must come about, for as long as a slow machine may need. */
#define eventually(condition)                                                                      \
    do {                                                                                           \
        double until = seconds() + 20;                                                             \
        while (!(condition) && seconds() < until)                                                  \
            usleep(2000);                                                                          \
        ck_assert(condition);                                                                      \
    } while (0)

/* ---- outcomes ------------------------------------------------------------------------------ */

static const struct {
    const char *script;
    enum grace_outcome outcome;
    int detail;
} endings[] = {
    {"exit 0", GRACE_OUTCOME_DONE, 0},
    {"exit 3", GRACE_OUTCOME_STATUS, 3},
    {"exit 127", GRACE_OUTCOME_STATUS, 127},
    {"kill -TERM $$", GRACE_OUTCOME_SIGNAL, SIGTERM},
    {"kill -KILL $$", GRACE_OUTCOME_SIGNAL, SIGKILL},
    {"exec </dev/stdin; cat", GRACE_OUTCOME_DONE, 0},
};
enum { ENDINGS = sizeof endings / sizeof endings[0] };

START_TEST(tells_how_a_command_ended)
{
    struct grace_command_result result =
        run_script(runners[_i / ENDINGS], endings[_i % ENDINGS].script, 20000);
    ck_assert_int_eq(result.outcome, endings[_i % ENDINGS].outcome);
    ck_assert_int_eq(result.detail, endings[_i % ENDINGS].detail);
    ck_assert_uint_gt(result.duration_us, 0);
    ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

static void write_file(const char *text, mode_t mode)
{
    FILE *file = fopen(file_path, "w");
    fputs(text, file);
    fclose(file);
    chmod(file_path, mode);
}

START_TEST(says_why_a_command_cannot_be_prepared)
{
    const char *argv[] = {NULL, NULL};
    struct grace_command command;
    struct grace_error error;
    struct grace_command_result result;
    write_file("no program", 0644);
    const struct {
        const char *name;
        const char *words;
        int error;
    } rows[] = {
        {"/nonexistent/program", "No such file", ENOENT},
        {"no-such-program-at-all", "not found in", ENOENT},
        {folder, "Is a directory", EISDIR},
        {file_path, "Permission denied", EACCES},
        {"", "empty", ENOENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        argv[0] = rows[i].name;
        ck_assert_int_eq(grace_command_prepare(&command, "h", argv, NULL, environ, &error), -1);
        ck_assert_msg(strstr(error.text, rows[i].words) != NULL, "%s", error.text);
        runners[_i](&command, environ, 1000, &result);
        ck_assert_int_eq(result.outcome, GRACE_OUTCOME_NOT_STARTED);
        ck_assert_int_eq(result.detail, rows[i].error);
        grace_command_release(&command);
    }
}
END_TEST

START_TEST(tells_what_exec_said)
{
    const char *const argv[] = {file_path, NULL};
    struct grace_command command;
    struct grace_error error;
    struct grace_command_result result;
    write_file("#!/nonexistent/interpreter\n", 0755);
    ck_assert_int_eq(grace_command_prepare(&command, "h", argv, NULL, environ, &error), 0);
    runners[_i](&command, environ, 1000, &result);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_NOT_STARTED);
    ck_assert_int_eq(result.detail, ENOENT);
    write_file("text that nothing can execute\n", 0755);
    runners[_i](&command, environ, 1000, &result);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_NOT_STARTED);
    ck_assert_int_eq(result.detail, ENOEXEC);
    grace_command_release(&command);
    ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
}
END_TEST

START_TEST(finds_commands_in_the_given_path)
{
    const char *const argv[] = {"file", NULL};
    char variable[128], *environment[] = {variable, NULL};
    struct grace_command command;
    struct grace_error error;
    snprintf(variable, sizeof variable, "PATH=/nonexistent::%s", folder);
    write_file("#!/bin/sh\n", 0755);
    ck_assert_int_eq(grace_command_prepare(&command, "h", argv, NULL, environment, &error), 0);
    ck_assert_str_eq(command.path, file_path);
    grace_command_release(&command);
}
END_TEST

/* ---- what the command finds ---------------------------------------------------------------- */

static void ignore_nothing_and_block_all(void)
{
    sigset_t all;
    sigfillset(&all);
    signal(SIGTERM, SIG_IGN);
    signal(SIGRTMIN + 1, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, NULL);
}

/* It is libc's own. An emulator leaves it as it was, though, and glibc's posix_spawn, and so make,
 * ignores it in what it starts. */
static bool signal_32_stays_ignored(void)
{
    const uint64_t default_action[8] = {0};
    syscall(SYS_rt_sigaction, 32, default_action, NULL, 8);
    const char *line = strstr(content("/proc/self/status"), "SigIgn:\t");
    return line != NULL && (strtoull(line + 8, NULL, 16) >> 31 & 1) != 0;
}

START_TEST(command_has_default_signals_and_no_descriptor_of_ours)
{
    if (signal_32_stays_ignored())
        skip("signal 32 was ignored from the start, and cannot be set here");
    int fd = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */
    ck_assert_int_eq(dup2(fd, 200), 200);
    ignore_nothing_and_block_all();
    struct grace_command_result result =
        run_script(runners[_i],
                   "exec >$FILE; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; "
                   "for f in /proc/$$/fd/*; do readlink $f; done; "
                   "read -r pid name state parent group rest </proc/self/stat; "
                   "[ $pid = $group ] && echo own group",
                   20000);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_DONE);
    const char *text = content(file_path);
    ck_assert_msg(strstr(text, "SigBlk:\t0000000000000000\n") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "SigIgn:\t0000000000000000\n") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "own group") != NULL, "%s", text);
    /* /dev/null, the file that the script made its output, the pipe; nothing else. */
    unsigned lines = 0;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n';
    ck_assert_msg(strstr(text, "/dev/null\n") != NULL && strstr(text, "pipe:[") != NULL, "%s",
                  text);
    ck_assert_msg(lines == 7, "%s", text);
}
END_TEST

START_TEST(runs_where_the_standard_descriptors_are_closed)
{
    close(0);
    close(1);
    close(2);
    struct grace_command_result result =
        run_script(runners[_i], "readlink /proc/$$/fd/0; echo out; echo err >&2", 20000);
    const char *text = content(log_path);
    open("/dev/null", O_RDWR);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_DONE);
    ck_assert_ptr_nonnull(strstr(text, "hook \"h\": /dev/null\n"));
    ck_assert_ptr_nonnull(strstr(text, "hook \"h\": out\n"));
    ck_assert_ptr_nonnull(strstr(text, "hook \"h\": err\n"));
}
END_TEST

START_TEST(becomes_another_user)
{
    if (geteuid() != 0)
        skip("only root can become another user");
    const char *const argv[] = {"/bin/sh", "-c", "id -u; id -g; id -G", NULL};
    struct grace_command command;
    struct grace_error error;
    struct grace_command_result result;
    ck_assert_int_eq(grace_command_prepare(&command, "h", argv, "nobody", environ, &error), 0);
    runners[_i](&command, environ, 20000, &result);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_DONE);
    ck_assert_ptr_nonnull(strstr(content(log_path), "hook \"h\": 65534\n"));
    ck_assert_ptr_null(strstr(content(log_path), "hook \"h\": 0\n"));
    /* Once the program has become that user itself, it goes on working; any other then fails. */
    ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
    ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    runners[_i](&command, environ, 20000, &result);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_DONE);
    command.uid = 1;
    runners[_i](&command, environ, 20000, &result);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_NOT_STARTED);
    ck_assert_int_eq(result.detail, EPERM);
    grace_command_release(&command);
    ck_assert_int_eq(grace_command_prepare(&command, "h", argv, "no-such-user", environ, &error),
                     -1);
    ck_assert_str_eq(error.text, "unknown user no-such-user");
    ck_assert_ptr_null(command.path);
    grace_command_release(&command);
}
END_TEST

/* ---- time ---------------------------------------------------------------------------------- */

static const char *const stubborn[] = {
    "sleep 1000",
    "trap '' TERM; while :; do sleep 1000; done",
    "kill -STOP $$",
    "while :; do :; done",
    "while :; do echo y; done",
    "exec >/dev/null 2>&1; trap '' TERM; while :; do sleep 1; done",
};
enum { STUBBORN = sizeof stubborn / sizeof stubborn[0] };

START_TEST(never_takes_longer_than_the_timeout)
{
    double begin = seconds();
    struct grace_command_result result =
        run_script(runners[_i / STUBBORN], stubborn[_i % STUBBORN], 700);
    double took = seconds() - begin;
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_TIMEOUT);
    ck_assert_msg(took > 0.4, "%f s", took); /* for ever, the case's own limit sees */
    /* One that a busy machine had no time to end within the timeout is left, killed. */
    int status;
    pid_t left = waitpid(-1, &status, __WALL);
    ck_assert_msg(left == -1 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
                  "%d is left with wait status %#x", (int)left, left == -1 ? 0 : (unsigned)status);
}
END_TEST

START_TEST(gives_a_command_the_chance_to_end_at_term)
{
    struct grace_command_result result = run_script(
        runners[_i], "trap 'echo caught >$FILE; exit 0' TERM; while :; do sleep 0.05; done", 1500);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_TIMEOUT);
    ck_assert_str_eq(content(file_path), "caught\n");
}
END_TEST

/* The process whose pid a command wrote to the file: gone, or a zombie that init has not taken yet.
 */
static void expect_gone_from_file(void)
{
    int pid = atoi(content(file_path));
    ck_assert_int_gt(pid, 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    eventually(access(path, F_OK) != 0 || strstr(content(path), ") Z ") != NULL);
}

START_TEST(kills_the_whole_group)
{
    run_script(runners[_i], "trap '' TERM; (while :; do sleep 1000; done) & echo $! >$FILE; wait",
               600);
    expect_gone_from_file();
}
END_TEST

START_TEST(does_not_wait_for_what_a_command_leaves_behind)
{
    double begin = seconds();
    struct grace_command_result result =
        run_script(runners[_i], "sleep 30 & echo $! >$FILE; echo said", 20000);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_DONE);
    ck_assert_double_lt(seconds() - begin, 10);
    ck_assert_ptr_nonnull(strstr(content(log_path), "hook \"h\": said\n"));
    kill(atoi(content(file_path)), SIGKILL);
}
END_TEST

/* ---- output -------------------------------------------------------------------------------- */

START_TEST(logs_output_line_by_line)
{
    run_script(runners[_i], "printf 'one\\ntwo\\r\\n\\n\\033[31mred\\377\\nlast'; exit 0", 20000);
    char expected[1024];
    int pid = (int)getpid();
    snprintf(expected, sizeof expected,
             "libgrace: prog[%d]: hook \"h\": one\nlibgrace: prog[%d]: hook \"h\": two\n"
             "libgrace: prog[%d]: hook \"h\": \\x1b[31mred\\xff\n"
             "libgrace: prog[%d]: hook \"h\": last\n",
             pid, pid, pid, pid);
    ck_assert_str_eq(content(log_path), expected);
}
END_TEST

START_TEST(logs_a_thousand_lines_of_one_that_prints_for_ever)
{
    run_script(runners[_i], "while :; do echo y; done", 700);
    size_t lines = 0;
    for (const char *at = content(log_path); (at = strstr(at, ": y\n")) != NULL; at++)
        lines++;
    ck_assert_uint_eq(lines, 1000);
    ck_assert_ptr_nonnull(strstr(content(log_path), " more bytes of output were not logged\n"));
}
END_TEST

START_TEST(counts_output_above_the_limit)
{
    struct grace_command_result result =
        run_script(runners[_i], "head -c 1000000 /dev/zero | tr '\\0' 'y'", 20000);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_DONE);
    ck_assert_uint_eq(result.output_cut, 1000000 - 65536);
    const char *text = content(log_path);
    ck_assert_uint_lt(strlen(text), 80000);
    ck_assert_ptr_nonnull(
        strstr(text, "hook \"h\": 934464 more bytes of output were not logged\n"));
}
END_TEST

/* ---- a target that must not notice --------------------------------------------------------- */

#define SIGCHLD_FOR_ALL "starts no child whose end raises no SIGCHLD"

static volatile sig_atomic_t child_signals;
static void count_child_signal(int signo)
{
    (void)signo;
    child_signals++;
}

START_TEST(target_gets_no_sigchld_and_no_child)
{
    not_emulated(SIGCHLD_FOR_ALL);
    signal(SIGCHLD, count_child_signal);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(run_script(grace_command_run_aside, "exit 3", 20000).detail, 3);
    ck_assert_int_eq(child_signals, 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

static atomic_bool stop_waiting;
static void *wait_for_children(void *own)
{
    /* A supervisor of its own: takes every child that it can find. */
    while (!atomic_load(&stop_waiting)) {
        pid_t pid = waitpid(-1, NULL, 0);
        if (pid > 0 && pid != *(pid_t *)own)
            return (void *)1;
        if (pid < 0)
            usleep(100);
    }
    return NULL;
}

START_TEST(targets_wait_finds_nothing_of_ours)
{
    not_emulated(SIGCHLD_FOR_ALL);
    pthread_t thread;
    pid_t own = fork();
    if (own == 0) {
        for (;;)
            pause();
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_children, &own), 0);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(run_script(grace_command_run_aside, "exit 3", 20000).detail, 3);
    atomic_store(&stop_waiting, true);
    kill(own, SIGKILL);
    void *found;
    pthread_join(thread, &found);
    ck_assert_ptr_null(found);
}
END_TEST

START_TEST(knows_the_status_where_the_target_ignores_sigchld)
{
    not_emulated(SIGCHLD_FOR_ALL);
    struct sigaction action = {.sa_handler = _i == 0 ? SIG_IGN : count_child_signal,
                               .sa_flags = _i == 0 ? 0 : SA_NOCLDWAIT};
    sigaction(SIGCHLD, &action, NULL);
    struct grace_command_result result = run_script(grace_command_run_aside, "exit 3", 20000);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_STATUS);
    ck_assert_int_eq(result.detail, 3);
    ck_assert_int_eq(child_signals, 0);
}
END_TEST

START_TEST(says_so_where_the_status_cannot_be_known)
{
    signal(SIGCHLD, SIG_IGN);
    struct grace_command_result result = run_script(grace_command_run, "exit 3", 20000);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_STATUS);
    ck_assert_int_eq(result.detail, -1);
}
END_TEST

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

START_TEST(opens_nothing_in_the_target)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("TARGET", number, 1);
    run_script(grace_command_run_aside, "for f in /proc/$TARGET/fd/*; do echo $f; done >$FILE",
               20000);
    int lines = 0;
    for (const char *c = content(file_path); *c != '\0'; c++)
        lines += *c == '\n';
    ck_assert_int_eq(lines, open_descriptors());
}
END_TEST

static void *close_soon(void *ends)
{
    eventually(access(file_path, F_OK) == 0);
    close(((int *)ends)[1]);
    return NULL;
}

START_TEST(what_the_target_closes_meanwhile_is_closed)
{
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(pipe(ends), 0);
    /* The hook reads until nobody has the writing end any more. */
    char script[256];
    snprintf(script, sizeof script,
             "echo >$FILE; cat /proc/%d/fd/%d; [ $(head -c 2 /proc/$PPID/comm) = gr ]",
             (int)getpid(), ends[0]);
    ck_assert_int_eq(pthread_create(&thread, NULL, close_soon, ends), 0);
    struct grace_command_result result = run_script(grace_command_run_aside, script, 5000);
    pthread_join(thread, NULL);
    ck_assert_int_eq(result.outcome, GRACE_OUTCOME_DONE);
}
END_TEST

static struct grace_command_result from_handler;
static void run_in_handler(int signo)
{
    (void)signo;
    from_handler = run_script(grace_command_run_aside, "echo hello; exit 3", 20000);
}

START_TEST(runs_on_a_small_alternate_stack)
{
    static char stack[8192];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    ck_assert_int_eq(sigaltstack(&alternate, NULL), 0);
    struct sigaction action = {.sa_handler = run_in_handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    ck_assert_int_eq(from_handler.detail, 3);
    ck_assert_ptr_nonnull(strstr(content(log_path), "hello"));
}
END_TEST

static void *run_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        errno = 4711;
        if (run_script(grace_command_run_aside, "exit 3", 20000).detail != 3 || errno != 4711)
            return (void *)1;
    }
    return NULL;
}

START_TEST(runs_from_several_threads_at_once_and_keeps_errno)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_many, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

/* Whether the runner says that nothing was started, and why; to be run in a child that may do
 * little from then on: not even a leak checker could work in it. */
static _Noreturn void end_as_not_started(runner *run, int error)
{
    const char *const argv[] = {"/bin/true", NULL};
    const struct grace_command command = {.hook = "h", .path = "/bin/true", .argv = argv};
    struct grace_command_result result;
    run(&command, environ, 20000, &result);
    _exit(result.outcome == GRACE_OUTCOME_NOT_STARTED && result.detail == error ? 0 : 1);
}

static void check_child(pid_t child)
{
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

START_TEST(fails_where_no_process_may_be_started)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_NPROC, &none) != 0 ||
            (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0))
            _exit(2);
        end_as_not_started(runners[_i], EAGAIN);
    }
    check_child(child);
}
END_TEST

/* Have the kernel answer `error` to these calls, as an older kernel or a container's filter does.
 */
static void refuse(const long *calls, size_t count, int error)
{
    struct sock_filter filter[16] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)};
    unsigned short length = 1;
    for (size_t i = 0; i < count; i++) {
        filter[length++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        filter[length++] = (struct sock_filter)BPF_STMT(
            BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA));
    }
    filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, filter};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        skip("no seccomp here");
}

START_TEST(works_on_an_older_kernel)
{
    const long calls[] = {SYS_pidfd_open, SYS_close_range, SYS_pwritev2};
    refuse(calls, 3, ENOSYS);
    ck_assert_int_eq(dup2(0, 300), 300);
    struct grace_command_result result =
        run_script(runners[_i], "for f in /proc/$$/fd/*; do echo ${f##*/}; done; exit 3", 20000);
    ck_assert_int_eq(result.detail, 3);
    ck_assert_ptr_null(strstr(content(log_path), ": 300\n"));
    ck_assert_ptr_nonnull(strstr(content(log_path), ": 2\n"));
    double begin = seconds();
    ck_assert_int_eq(run_script(runners[_i], "sleep 1000", 700).outcome, GRACE_OUTCOME_TIMEOUT);
    ck_assert_double_lt(seconds() - begin, 1.4);
}
END_TEST

START_TEST(fails_where_a_filter_forbids_processes)
{
    const long calls[] = {SYS_clone};
    pid_t child = fork();
    if (child == 0) {
        refuse(calls, 1, EPERM);
        end_as_not_started(runners[_i], EPERM);
    }
    check_child(child);
}
END_TEST

START_TEST(command_outlives_a_target_that_dies)
{
    pid_t target = fork();
    if (target == 0) {
        setpgid(0, 0);
        run_script(grace_command_run_aside, "echo begun >$FILE; sleep 0.3; echo done >>$FILE",
                   20000);
        _exit(0);
    }
    eventually(strcmp(content(file_path), "begun\n") == 0);
    kill(target, SIGKILL);
    waitpid(target, NULL, 0);
    eventually(strcmp(content(file_path), "begun\ndone\n") == 0);
}
END_TEST

START_TEST(a_stopped_intermediate_process_does_not_hold_the_target)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip("under a sanitizer the caller waits for it");
#endif
    double begin = seconds();
    struct grace_command_result result =
        run_script(grace_command_run_aside, "echo $$ >$FILE; kill -STOP $PPID; sleep 1000", 500);
    ck_assert_int_ne(result.outcome, GRACE_OUTCOME_DONE);
    ck_assert_double_lt(seconds() - begin, 5);
    ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
    expect_gone_from_file();
}
END_TEST

/* ---- the cases ----------------------------------------------------------------------------- */

static void add_outcomes(Suite *tests, const char *name, void (*fixture)(void))
{
    TCase *cases = tcase_create(name);
    tcase_add_checked_fixture(cases, fixture, tear_down);
    tcase_add_loop_test(cases, tells_how_a_command_ended, 0, 2 * ENDINGS);
    tcase_add_loop_test(cases, says_why_a_command_cannot_be_prepared, 0, 2);
    tcase_add_loop_test(cases, tells_what_exec_said, 0, 2);
    tcase_add_test(cases, finds_commands_in_the_given_path);
    suite_add_tcase(tests, cases);
}

static void add_manners(Suite *tests, const char *name, void (*fixture)(void))
{
    TCase *cases = tcase_create(name);
    tcase_add_checked_fixture(cases, fixture, tear_down);
    tcase_add_loop_test(cases, command_has_default_signals_and_no_descriptor_of_ours, 0, 2);
    tcase_add_loop_test(cases, runs_where_the_standard_descriptors_are_closed, 0, 2);
    tcase_add_loop_test(cases, becomes_another_user, 0, 2);
    tcase_add_loop_test(cases, never_takes_longer_than_the_timeout, 0, 2 * STUBBORN);
    tcase_add_loop_test(cases, gives_a_command_the_chance_to_end_at_term, 0, 2);
    tcase_add_loop_test(cases, kills_the_whole_group, 0, 2);
    tcase_add_loop_test(cases, does_not_wait_for_what_a_command_leaves_behind, 0, 2);
    tcase_add_loop_test(cases, logs_output_line_by_line, 0, 2);
    tcase_add_loop_test(cases, logs_a_thousand_lines_of_one_that_prints_for_ever, 0, 2);
    tcase_add_loop_test(cases, counts_output_above_the_limit, 0, 2);
    tcase_add_test(cases, opens_nothing_in_the_target);
    tcase_add_test(cases, what_the_target_closes_meanwhile_is_closed);
    tcase_add_test(cases, runs_on_a_small_alternate_stack);
    tcase_add_test(cases, runs_from_several_threads_at_once_and_keeps_errno);
    tcase_add_test(cases, command_outlives_a_target_that_dies);
    tcase_add_loop_test(cases, a_stopped_intermediate_process_does_not_hold_the_target, 0, 4);
    suite_add_tcase(tests, cases);
}

static void add_unnoticed(Suite *tests, const char *name, void (*fixture)(void))
{
    TCase *cases = tcase_create(name);
    tcase_add_checked_fixture(cases, fixture, tear_down);
    tcase_add_test(cases, target_gets_no_sigchld_and_no_child);
    tcase_add_test(cases, targets_wait_finds_nothing_of_ours);
    tcase_add_loop_test(cases, knows_the_status_where_the_target_ignores_sigchld, 0, 2);
    suite_add_tcase(tests, cases);
}

static void add_refusals(Suite *tests)
{
    add_outcomes(tests, "outcomes, none beside", set_up_where_none_is_beside);
    add_outcomes(tests, "outcomes, none shares memory", set_up_where_none_shares_memory);
    add_outcomes(tests, "outcomes, all are told of", set_up_where_all_are_told_of);
    add_manners(tests, "manners, none shares memory", set_up_where_none_shares_memory);
    add_unnoticed(tests, "unnoticed, none beside", set_up_where_none_is_beside);
    add_unnoticed(tests, "unnoticed, none shares memory", set_up_where_none_shares_memory);
}

Suite *suite(void)
{
    Suite *tests = suite_create("command");
    add_outcomes(tests, "outcomes", set_up);
    add_manners(tests, "manners", set_up);
    add_unnoticed(tests, "unnoticed", set_up);
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) /* not by an emulator, which refuses by itself */
        add_refusals(tests);

    TCase *cases = tcase_create("refused");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, says_so_where_the_status_cannot_be_known);
    tcase_add_loop_test(cases, fails_where_no_process_may_be_started, 0, 2);
    tcase_add_loop_test(cases, works_on_an_older_kernel, 0, 2);
    tcase_add_loop_test(cases, fails_where_a_filter_forbids_processes, 0, 2);
    suite_add_tcase(tests, cases);
    return tests;
}
