#include "words.h"

#include <stdlib.h>
#include <string.h>

/* Copy one word to `to`. Returns what is behind it, or NULL: a quote is not closed. */
static const char *copy_word(const char *at, char *to)
{
    char quote = '\0';
    for (; *at != '\0' && (quote != '\0' || strchr(" \t", *at) == NULL); at++) {
        if (quote == '\0' && (*at == '"' || *at == '\''))
            quote = *at;
        else if (*at == quote)
            quote = '\0';
        else if (quote == '"' && *at == '\\' && (at[1] == '"' || at[1] == '\\'))
            *to++ = *++at;
        else
            *to++ = *at;
    }
    *to = '\0';
    return quote == '\0' ? at : NULL;
}

void grace_redis_free_words(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

static char **give_up(char **words, struct grace_error *error, const char *why)
{
    grace_redis_free_words(words);
    grace_error_set(error, "option \"commands\": %s", why);
    return NULL;
}

char **grace_redis_split(const char *line, struct grace_error *error)
{
    /* No more words than every second byte. */
    char **words = calloc(strlen(line) / 2 + 2, sizeof *words);
    size_t count = 0;
    if (words == NULL)
        return give_up(NULL, error, "out of memory");
    for (const char *at = line + strspn(line, " \t"); *at != '\0'; at += strspn(at, " \t")) {
        words[count] = malloc(strlen(at) + 1);
        if (words[count] == NULL)
            return give_up(words, error, "out of memory");
        at = copy_word(at, words[count++]);
        if (at == NULL)
            return give_up(words, error, "a quote is not closed");
    }
    return count > 0 ? words : give_up(words, error, "one is empty");
}
