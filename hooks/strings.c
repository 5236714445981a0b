#include "strings.h"

#include <limits.h>
#include <string.h>

#include "room.h"

static char strings[8 * PATH_MAX] GRACE_ROOM(1_strings);
static size_t used;

char *grace_strings_room(size_t most)
{
    return most <= sizeof strings - used ? strings + used : NULL;
}

void grace_strings_take(size_t length)
{
    used += length;
}

char *grace_strings_keep(char *string)
{
    grace_strings_take(strlen(string) + 1);
    return string;
}
