/* A target that does nothing for some seconds, and has no handler: sleep SECONDS. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    return argc == 2 ? (int)sleep((unsigned)atoi(argv[1])) : 2;
}
