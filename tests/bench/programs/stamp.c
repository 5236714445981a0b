/* A hook's command: notes when it runs. */
#include "stamp.h"

int main(void)
{
    volatile struct stamps *stamps = stamps_map(getenv(STAMPS_VARIABLE));
    if (stamps == NULL)
        return 1;
    stamps_add(stamps);
    return 0;
}
