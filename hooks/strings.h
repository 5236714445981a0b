/*
 * Strings of a start that last: one behind the other, so that together they take one page. A page
 * for each would be one more for every fork of the target to look after.
 */
#ifndef GRACE_HOOKS_STRINGS_H
#define GRACE_HOOKS_STRINGS_H

#include <stddef.h>

/* Where to write up to `most` bytes; NULL: there is no room. And how many of them are to last.
 * Neither is thread-safe: before the target runs only. */
char *grace_strings_room(size_t most);
void grace_strings_take(size_t length);

/* A string that grace_strings_room had room for is complete: makes it last, and returns it. */
char *grace_strings_keep(char *string);

#endif
