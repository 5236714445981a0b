/* Children one after the other: forker WAY COUNT MEGABYTES EXECUTABLE [pinned]. Prints the
 * nanoseconds that one took, from the fork to the end of the wait: the lower quartile, which
 * whoever else is at work on the machine disturbs little. What happens beside its start is over by
 * then.
 */
#include <sched.h>
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

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void stay_on_processor(void)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    if (sched_setaffinity(0, sizeof here, &here) != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    int status = 0;
    if (argc < 5)
        return 64;
    if (argc > 5)
        stay_on_processor();
    size_t size = (size_t)atol(argv[3]) << 20;
    char *data = malloc(size + 1);
    if (data == NULL)
        return 1;
    memset(data, 1, size + 1); /* what a service of that size has to copy the tables of */
    char *const arguments[] = {argv[4], NULL};
    size_t count = (size_t)atol(argv[2]);
    double *times = calloc(count + 1, sizeof *times);
    if (times == NULL)
        return 1;
    usleep(50000);
    for (size_t i = 0; i < count; i++) {
        double begin = now_ns();
        pid_t pid = have_child(argv[1], arguments);
        if (waitpid(pid, &status, 0) != pid || status != 0)
            return 1;
        times[i] = now_ns() - begin;
    }
    qsort(times, count, sizeof *times, by_value);
    printf("%.0f\n", times[count / 4]);
    return data[size / 2] == 1 ? 0 : 1;
}
