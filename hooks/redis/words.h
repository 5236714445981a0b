/* A Redis command as a line: its words, as redis-cli would take them apart. */
#ifndef GRACE_HOOKS_REDIS_WORDS_H
#define GRACE_HOOKS_REDIS_WORDS_H

#include "hooks/grace_hook.h"

/*
 * Blanks part words; "…" with backslashes before quotes and backslashes, and '…', hold blanks.
 * Returns a list ended by NULL, to be freed by grace_redis_free_words; or NULL with the error set:
 * no word, a quote that is not closed, or no memory.
 */
char **grace_redis_split(const char *line, struct grace_error *error);
void grace_redis_free_words(char **words);

#endif
