/* A daemon of the 1990s: legacyd FOLDER writes its pid and its journal there. It knows nothing of
 * libgrace. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void become_daemon(void)
{
    if (fork() != 0)
        _exit(0);
    setsid();
    if (fork() != 0)
        _exit(0);
    umask(022);
    for (int fd = 0; fd < 256; fd++)
        close(fd);
    open("/dev/null", O_RDWR);
    if (dup(0) != 1 || dup(0) != 2)
        exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 2 || chdir(argv[1]) != 0)
        return 1;
    become_daemon();
    FILE *journal = fopen("journal", "w");
    if (journal == NULL)
        return 1;
    for (int i = 1; i <= 100; i++) /* stays in stdio's buffer until there is more */
        fprintf(journal, "job %d done\n", i);
    FILE *pid = fopen("pid", "w");
    if (pid == NULL)
        return 1;
    fprintf(pid, "%d\n", (int)getpid());
    fclose(pid);
    for (;;)
        pause();
}
