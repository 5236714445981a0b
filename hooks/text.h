/*
 * Text put together in a fixed buffer: what a signal handler uses where others use snprintf.
 * Everything here is async-signal-safe, takes no lock, allocates nothing and keeps errno.
 */
#ifndef GRACE_HOOKS_TEXT_H
#define GRACE_HOOKS_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct grace_text {
    char *buffer; /* always ended by a zero byte */
    size_t size;
    size_t length;
    int cut; /* 1 when something did not fit; from then on nothing more is added */
};

/* Start an empty text in buffer (size at least 1). */
void grace_text_start(struct grace_text *text, char *buffer, size_t size);

void grace_text_add(struct grace_text *text, const char *string);
void grace_text_add_bytes(struct grace_text *text, const char *bytes, size_t length);
void grace_text_add_char(struct grace_text *text, char c);
void grace_text_add_unsigned(struct grace_text *text, uint64_t number);
void grace_text_add_signed(struct grace_text *text, int64_t number);

/* The string as the inside of a JSON string: quotes, backslashes and control characters escaped,
 * bytes that are not UTF-8 replaced by U+FFFD. */
void grace_text_add_json(struct grace_text *text, const char *string, size_t length);

/* The string for a person's eyes, on one line: control characters and bytes that are not UTF-8 as
 * \xNN, a newline as \n, a tab as a blank. Nothing in it can move a terminal's cursor or forge a
 * line. */
void grace_text_add_printable(struct grace_text *text, const char *string, size_t length);

/* The part of printf that the log needs: %s (NULL: "(null)"), %d %i %u %ld %lu %lld %llu %zu %x %c
 * %%, and %.*s. No width, no flag. Anything else is copied as it stands. */
void grace_text_format(struct grace_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void grace_text_format_list(struct grace_text *text, const char *format, va_list arguments);

#endif
