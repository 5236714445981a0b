/*
 * Stands where tests expect a program that is of another processor: FOLDER/emulated/PROGRAM becomes
 * EMULATOR that runs FOLDER/PROGRAM, with LIBRARIES in front of this machine's. Linked statically,
 * since LD_PRELOAD names a library of that processor's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const char mark[] = "/emulated/";
    const char *name = (const char *)getauxval(AT_EXECFN);
    char *path = realpath(name, NULL), *rest = path != NULL ? strstr(path, mark) : NULL, *program;
    if (rest == NULL ||
        asprintf(&program, "%.*s/%s", (int)(rest - path), path, rest + strlen(mark)) < 0) {
        fprintf(stderr, "%s: not in a folder \"emulated\"\n", name);
        return 125;
    }
    char *emulator[] = {argv[0], "-L", LIBRARIES, "-0", argv[0], program};
    enum { WORDS = sizeof emulator / sizeof *emulator };
    char **words = calloc(WORDS + (size_t)argc, sizeof *words);
    if (words == NULL)
        return 125;
    memcpy(words, emulator, sizeof emulator);
    memcpy(words + WORDS, argv + 1, (size_t)argc * sizeof *argv); /* NULL, too */
    execvp(EMULATOR, words); /* looks like the program, for who looks at its first word */
    fprintf(stderr, "%s: %s\n", EMULATOR, strerror(errno));
    free(path);
    free(program);
    free(words);
    return 125;
}
