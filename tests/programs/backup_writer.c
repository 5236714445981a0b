/*
 * A data directory that is never at rest: 16 files in the working directory, each with a number in
 * it, raised one after the other. Whoever sees them all at one moment sees a number in the first
 * ones and the number before it in the others. Bursts with pauses, or with `endless` none. Two
 * files come and go besides.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES 16

static void put(int index, unsigned number)
{
    char name[16], text[4096];
    snprintf(name, sizeof name, "data%02d", index);
    int length = snprintf(text, sizeof text, "%u\n", number);
    /* Long, so that a copy may catch it half written; in place, as databases do. */
    memset(text + length, '.', sizeof text - (size_t)length);
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    if (fd < 0 || pwrite(fd, text, sizeof text, 0) != (ssize_t)sizeof text)
        exit(1);
    close(fd);
}

static void come_and_go(unsigned number)
{
    if (number % 2 == 0) {
        close(open("passing", O_WRONLY | O_CREAT, 0644));
        rename("passing", "passed");
    } else {
        unlink("passed");
    }
}

int main(int argc, char **argv)
{
    int endless = argc > 1 && strcmp(argv[1], "endless") == 0;
    for (int i = 0; i < FILES; i++)
        put(i, 0);
    puts("ready");
    fflush(stdout);
    for (unsigned number = 1;; number++) {
        for (int i = 0; i < FILES; i++) {
            put(i, number);
            usleep(200);
        }
        come_and_go(number);
        if (!endless && number % 16 == 0)
            usleep(80000);
    }
}
