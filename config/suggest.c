#include "suggest.h"

#include <limits.h>
#include <string.h>

#define LENGTH_MAX 31

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The optimal string alignment distance, by the usual table. */
unsigned grace_name_distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    unsigned table[LENGTH_MAX + 1][LENGTH_MAX + 1];

    if (rows > LENGTH_MAX || columns > LENGTH_MAX)
        return UINT_MAX;
    for (size_t i = 0; i <= rows; i++)
        table[i][0] = (unsigned)i;
    for (size_t j = 0; j <= columns; j++)
        table[0][j] = (unsigned)j;
    for (size_t i = 1; i <= rows; i++) {
        for (size_t j = 1; j <= columns; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            unsigned best = table[i - 1][j - 1] + (x != y);
            best = least(best, least(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y)
                best = least(best, table[i - 2][j - 2] + 1);
            table[i][j] = best;
        }
    }
    return table[rows][columns];
}

int grace_name_is_near(unsigned distance, const char *name)
{
    return distance <= 1 + strlen(name) / 4;
}
