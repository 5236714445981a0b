/* Waits for a signal; each of its threads has a megabyte of thread-local storage, on its stack. */
#include <stdio.h>
#include <unistd.h>

static _Thread_local volatile char storage[1 << 20];

int main(void)
{
    storage[0] = 1;
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
