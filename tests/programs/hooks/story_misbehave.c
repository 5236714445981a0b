/*
 * An in-process hook that says in a file that it runs, and then does what its option `how` names:
 * one kind of misbehaviour each.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <grace_hook.h>

struct misbehave {
    const char *how;
    const char *file;
};

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct misbehave *misbehave = calloc(1, sizeof *misbehave);
    if (misbehave == NULL)
        return grace_error_set(error, "no memory");
    misbehave->how = grace_option_string(options, "how", "");
    misbehave->file = grace_option_string(options, "file", "/dev/null");
    *state = misbehave;
    return 0;
}

static void say(const struct misbehave *misbehave)
{
    int file = open(misbehave->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    dprintf(file, "%s\n", misbehave->how);
    close(file);
}

static void print_a_megabyte(void)
{
    for (int i = 0; i < 16384; i++)
        fputs("0123456789012345678901234567890123456789012345678901234567890123\n", stdout);
}

static void fork_and_hang(void)
{
    if (fork() == 0) {
        for (;;)
            pause();
    }
}

/* Ends only when a byte of the stack is not what was written there: never. */
static void overflow_stack(volatile char *above)
{
    volatile char frame[4096];
    frame[0] = 1;
    if (above != NULL && *above != 1)
        return;
    overflow_stack(frame);
    frame[1] = 1;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct misbehave *misbehave = state;
    const char *how = misbehave->how;
    (void)stop;
    say(misbehave);
    if (strcmp(how, "hang") == 0) {
        for (;;)
            pause();
    } else if (strcmp(how, "spin") == 0) {
        for (volatile unsigned long i = 0;; i++)
            ;
    } else if (strcmp(how, "bad-pointer") == 0) {
        *(volatile int *)16 = 1;
    } else if (strcmp(how, "bad-instruction") == 0) {
        __builtin_trap();
    } else if (strcmp(how, "stack") == 0) {
        overflow_stack(NULL);
    } else if (strcmp(how, "abort") == 0) {
        abort();
    } else if (strcmp(how, "exit") == 0) {
        exit(9);
    } else if (strcmp(how, "_exit") == 0) {
        _exit(9);
    } else if (strcmp(how, "quick_exit") == 0) {
        quick_exit(9);
    } else if (strcmp(how, "pthread_exit") == 0) {
        pthread_exit(NULL);
    } else if (strcmp(how, "fork") == 0) {
        fork_and_hang();
    } else if (strcmp(how, "megabyte") == 0) {
        print_a_megabyte();
    } else if (strcmp(how, "error") == 0) {
        return grace_error_set(error, "it did not work, as asked");
    }
    return 0;
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_IN_PROCESS,
    0,
    "misbehave",
    "does wrong",
    configure,
    run,
    release,
};
