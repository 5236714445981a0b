/*
 * exec by the owner keeps it the owner: LD_PRELOAD is put back for that exec. In every other
 * process (a fork's child, a vfork's) the call is libc's own, and what is executed is not loaded.
 * exec is async-signal-safe, and so is this: the vectors are on the stack.
 */
#include "../shim.h"

#include <alloca.h>
#include <stdarg.h>
#include <unistd.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))

typedef int executing(const char *, char *const *, char *const *);
typedef int executing_at(int, const char *, char *const *, char *const *, int);
typedef int executing_file(int, char *const *, char *const *);

extern char **environ;

static size_t length_of(char *const *vector)
{
    size_t length = 0;
    while (vector != NULL && vector[length] != NULL)
        length++;
    return length;
}

/* What the owner leaves to the program that it becomes must not be of our making. */
static bool owner_executes(void)
{
    if (!grace_is_owner())
        return false;
    grace_signalfd_open();
    return true;
}

/* The environment to execute with; the storage lives as long as the calling function. */
#define ENVIRONMENT(envp)                                                                          \
    (owner_executes()                                                                              \
         ? grace_environment_restore((envp), alloca((length_of(envp) + 3) * sizeof(char *)),       \
                                     alloca(GRACE_PRELOAD_MAX))                                    \
         : (envp))

/* An exec that returns has failed: a child that struck itself out is a child again. */
static int failed(bool was_child)
{
    GRACE_KEEP_ERRNO;
    if (was_child)
        grace_child_returns();
    return -1;
}

static executing *real_execve(void)
{
    return GRACE_REAL(executing, "execve");
}

static executing *real_execvpe(void)
{
    return GRACE_REAL(executing, "execvpe");
}

void grace_exec_look_up(void)
{
    real_execve();
    real_execvpe();
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    bool child = grace_child_leaves();
    real_execve()(path, argv, ENVIRONMENT(envp));
    return failed(child);
}

EXPORT int execveat(int folder, const char *path, char *const argv[], char *const envp[], int flags)
{
    bool child = grace_child_leaves();
    GRACE_REAL(executing_at, "execveat")(folder, path, argv, ENVIRONMENT(envp), flags);
    return failed(child);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    bool child = grace_child_leaves();
    GRACE_REAL(executing_file, "fexecve")(fd, argv, ENVIRONMENT(envp));
    return failed(child);
}

EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    bool child = grace_child_leaves();
    real_execvpe()(file, argv, ENVIRONMENT(envp));
    return failed(child);
}

EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

/* The arguments of an execl as a vector, on the stack of the caller; `last` is the list behind the
 * first one. */
#define COLLECT(vector, first, last)                                                               \
    do {                                                                                           \
        va_list counting_;                                                                         \
        size_t count_ = 1;                                                                         \
        va_copy(counting_, last);                                                                  \
        while (va_arg(counting_, char *) != NULL)                                                  \
            count_++;                                                                              \
        va_end(counting_);                                                                         \
        (vector) = alloca((count_ + 1) * sizeof *(vector));                                        \
        (vector)[0] = (char *)(uintptr_t)(first);                                                  \
        for (size_t i_ = 1; i_ <= count_; i_++)                                                    \
            (vector)[i_] = va_arg(last, char *);                                                   \
    } while (0)

EXPORT int execl(const char *path, const char *argument, ...)
{
    char **argv;
    va_list rest;
    va_start(rest, argument);
    COLLECT(argv, argument, rest);
    va_end(rest);
    return execve(path, argv, environ);
}

EXPORT int execlp(const char *file, const char *argument, ...)
{
    char **argv;
    va_list rest;
    va_start(rest, argument);
    COLLECT(argv, argument, rest);
    va_end(rest);
    return execvpe(file, argv, environ);
}

EXPORT int execle(const char *path, const char *argument, ...)
{
    char **argv;
    va_list rest;
    va_start(rest, argument);
    COLLECT(argv, argument, rest);
    char *const *envp = va_arg(rest, char *const *);
    va_end(rest);
    return execve(path, argv, envp);
}
