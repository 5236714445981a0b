/* A single-threaded program that does little but malloc, free and putc: loop COUNT. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 0;
    FILE *out = fopen("/dev/null", "w");
    if (out == NULL)
        return 1;
    for (long i = 0; i < count; i++) {
        char *volatile block = malloc(16 + (size_t)(i * 7 % 3000));
        putc((int)(i & 63), out);
        free(block);
    }
    return 0;
}
