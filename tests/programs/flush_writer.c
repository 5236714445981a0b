/*
 * Writes lines with running numbers to as many files as its argument says, "lines0" and so on, each
 * through a buffer of 2 MiB, as fast as it can; with the second argument "threads" by threads, one
 * for each file, and with "half" only until the first buffer is more than half full. How many lines
 * stdio has taken for each file stands in the file "taken", in shared memory.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILES_MAX 16
#define BUFFER    (2 * 1024 * 1024)
#define LINE      39

static _Atomic unsigned *taken;
static FILE *files[FILES_MAX];

static void open_file(int i)
{
    char name[16];
    snprintf(name, sizeof name, "lines%d", i);
    files[i] = fopen(name, "w");
    if (files[i] == NULL || setvbuf(files[i], malloc(BUFFER), _IOFBF, BUFFER) != 0)
        exit(1);
}

static void write_line(int i)
{
    unsigned number = taken[i];
    if (fprintf(files[i], "%09u ............................\n", number) < 0)
        exit(1);
    taken[i] = number + 1;
}

static void *write_for_ever(void *index)
{
    for (;;)
        write_line((int)(long)index);
    return index;
}

int main(int argc, char **argv)
{
    int count = atoi(argv[1]);
    int fd = open("taken", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (count > FILES_MAX || ftruncate(fd, 4096) != 0)
        return 1;
    taken = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (int i = 0; i < count; i++)
        open_file(i);
    puts("ready");
    fflush(stdout);
    const char *how = argc > 2 ? argv[2] : "";
    if (strcmp(how, "threads") == 0)
        for (long i = 0; i < count; i++) {
            pthread_t thread;
            pthread_create(&thread, NULL, write_for_ever, (void *)i);
        }
    else
        while (strcmp(how, "half") != 0 || taken[0] * LINE < BUFFER / 2 + BUFFER / 4)
            for (int i = 0; i < count; i++)
                write_line(i);
    for (;;)
        pause();
}
