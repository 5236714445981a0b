/* A program that waits in poll, and knows nothing of signals. */
#include <poll.h>
#include <unistd.h>

int main(void)
{
    if (write(STDOUT_FILENO, "r", 1) != 1)
        return 1;
    for (;;)
        poll(NULL, 0, -1);
}
