/* Children one after the other: forker WAY COUNT MEGABYTES EXECUTABLE. Prints the nanoseconds that
 * each took, from the fork to the end of the wait. What happens beside its start is over by then.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static pid_t have_child(const char *way, char *const argv[])
{
    pid_t pid = -1;
    if (strcmp(way, "fork") == 0) {
        if ((pid = fork()) == 0)
            _exit(0);
    } else if (strcmp(way, "fork-exec") == 0) {
        if ((pid = fork()) == 0)
            _exit(execv(argv[0], argv));
    } else if (strcmp(way, "vfork-exec") == 0) {
        if ((pid = vfork()) == 0)
            _exit(execv(argv[0], argv));
    } else if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0) {
        exit(1);
    }
    return pid;
}

int main(int argc, char **argv)
{
    struct timespec begin, end;
    int status = 0;
    if (argc != 5)
        return 64;
    size_t size = (size_t)atol(argv[3]) << 20;
    char *data = malloc(size + 1);
    if (data == NULL)
        return 1;
    memset(data, 1, size + 1); /* what a service of that size has to copy the tables of */
    char *const arguments[] = {argv[4], NULL};
    long count = atol(argv[2]);
    usleep(50000);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (long i = 0; i < count; i++) {
        pid_t pid = have_child(argv[1], arguments);
        if (waitpid(pid, &status, 0) != pid || status != 0)
            return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.0f\n",
           ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
               (double)count);
    return data[size / 2] == 1 ? 0 : 1;
}
