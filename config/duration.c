#include "duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint32_t milliseconds;
};

/* In the order in which they may be written. */
static const struct unit units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define UNITS (sizeof units / sizeof units[0])

/* A number with its fraction, as a count of 1/scale. Digits that cannot matter are dropped. */
struct number {
    uint64_t count;
    uint64_t scale;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Read a number; returns what follows it, or NULL when there is no number. */
static const char *read_number(const char *text, struct number *number)
{
    /* Longer than any duration allowed, and small enough that nothing below overflows. */
    const uint64_t limit = UINT64_C(100000000000);

    if (!is_digit(*text))
        return NULL;
    *number = (struct number){.count = 0, .scale = 1};
    for (; is_digit(*text); text++)
        if (number->count < limit)
            number->count = number->count * 10 + (uint64_t)(*text - '0');
    if (*text != '.')
        return text;
    if (!is_digit(*++text))
        return NULL;
    for (; is_digit(*text); text++) {
        if (number->count < limit && number->scale < 1000000) {
            number->count = number->count * 10 + (uint64_t)(*text - '0');
            number->scale *= 10;
        }
    }
    return text;
}

/* The unit at the start of text, at `first` or behind it in the table; UNITS when there is none. */
static size_t find_unit(const char *text, size_t first)
{
    size_t letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = first; i < UNITS; i++)
        if (strlen(units[i].name) == letters && strncmp(text, units[i].name, letters) == 0)
            return i;
    return UNITS;
}

int grace_duration_parse(const char *text, uint32_t *milliseconds)
{
    uint64_t total = 0;
    size_t next = 0;
    bool too_long = false;

    if (*text == '\0')
        return -EINVAL;
    while (*text != '\0') {
        struct number number;
        text = read_number(text, &number);
        if (text == NULL)
            return -EINVAL;
        size_t unit = find_unit(text, next);
        if (unit == UNITS)
            return -EINVAL;
        total += number.count * units[unit].milliseconds / number.scale;
        too_long = too_long || total > GRACE_DURATION_MAX_MS;
        text += strlen(units[unit].name);
        next = unit + 1;
    }
    if (too_long)
        return -ERANGE;
    *milliseconds = (uint32_t)total;
    return 0;
}

size_t grace_duration_format(uint64_t milliseconds, char *buffer, size_t size)
{
    char text[96];
    size_t length = 0;

    for (size_t i = 0; i < UNITS; i++) {
        uint64_t count = milliseconds / units[i].milliseconds;
        milliseconds %= units[i].milliseconds;
        if (count > 0)
            length += (size_t)snprintf(text + length, sizeof text - length, "%" PRIu64 "%s", count,
                                       units[i].name);
    }
    if (length == 0)
        length = (size_t)snprintf(text, sizeof text, "0s");
    if (size == 0)
        return 0;
    if (length >= size)
        length = size - 1;
    memcpy(buffer, text, length);
    buffer[length] = '\0';
    return length;
}
