/* refuser WHAT PROGRAM ARGUMENT…: the program where some clones are refused. */
#include "../refusal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const char *const names[] = {"beside", "vm", "untold"};
    for (int i = 0; argc > 2 && i < 3; i++) {
        if (strcmp(argv[1], names[i]) != 0)
            continue;
        if (refuse_clones((enum refusal)i) == 0)
            execvp(argv[2], argv + 2);
        perror("refuser");
        return 99;
    }
    fprintf(stderr, "refuser: beside, vm or untold, and a program\n");
    return 99;
}
