#include "text.h"

#include <string.h>

void grace_text_start(struct grace_text *text, char *buffer, size_t size)
{
    text->buffer = buffer;
    text->size = size;
    text->length = 0;
    text->cut = 0;
    buffer[0] = '\0';
}

static size_t room(const struct grace_text *text)
{
    return text->cut ? 0 : text->size - 1 - text->length;
}

/* Add all of it or nothing. */
static int add_whole(struct grace_text *text, const char *bytes, size_t length)
{
    if (length > room(text)) {
        text->cut = 1;
        return 0;
    }
    memcpy(text->buffer + text->length, bytes, length);
    text->length += length;
    text->buffer[text->length] = '\0';
    return 1;
}

void grace_text_add_bytes(struct grace_text *text, const char *bytes, size_t length)
{
    size_t fits = room(text);
    if (length <= fits) {
        add_whole(text, bytes, length);
        return;
    }
    /* Cut before a character of several bytes, not within it. */
    while (fits > 0 && ((unsigned char)bytes[fits] & 0xc0) == 0x80)
        fits--;
    add_whole(text, bytes, fits);
    text->cut = 1;
}

void grace_text_add(struct grace_text *text, const char *string)
{
    if (string == NULL)
        string = "(null)";
    grace_text_add_bytes(text, string, strlen(string));
}

void grace_text_add_char(struct grace_text *text, char c)
{
    add_whole(text, &c, 1);
}

static void add_number(struct grace_text *text, uint64_t number, unsigned base, int negative)
{
    char digits[24];
    size_t start = sizeof digits;
    do {
        digits[--start] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    if (negative)
        digits[--start] = '-';
    add_whole(text, digits + start, sizeof digits - start);
}

void grace_text_add_unsigned(struct grace_text *text, uint64_t number)
{
    add_number(text, number, 10, 0);
}

void grace_text_add_signed(struct grace_text *text, int64_t number)
{
    uint64_t magnitude = number < 0 ? UINT64_C(0) - (uint64_t)number : (uint64_t)number;
    add_number(text, magnitude, 10, number < 0);
}

/*
 * The length of the UTF-8 character at `bytes`, at most `left` long; 0 when there is none: a
 * stray or missing continuation byte, a longer form than needed, a surrogate, above U+10FFFF.
 */
static size_t utf8_length(const unsigned char *bytes, size_t left)
{
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((first == 0xe0 && bytes[1] < 0xa0) || (first == 0xed && bytes[1] > 0x9f) ||
        (first == 0xf0 && bytes[1] < 0x90) || (first == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return length;
}

static int add_escape(struct grace_text *text, const char *prefix, unsigned char byte)
{
    char escape[8];
    size_t length = strlen(prefix);
    memcpy(escape, prefix, length);
    escape[length++] = "0123456789abcdef"[byte >> 4];
    escape[length++] = "0123456789abcdef"[byte & 15];
    return add_whole(text, escape, length);
}

static int add_json_control(struct grace_text *text, unsigned char c)
{
    switch (c) {
    case '\n':
        return add_whole(text, "\\n", 2);
    case '\r':
        return add_whole(text, "\\r", 2);
    case '\t':
        return add_whole(text, "\\t", 2);
    default:
        return add_escape(text, "\\u00", c);
    }
}

void grace_text_add_json(struct grace_text *text, const char *string, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)string;
    for (size_t i = 0; i < length;) {
        size_t size = utf8_length(bytes + i, length - i);
        int fits;
        if (size == 0)
            fits = add_whole(text, "\xef\xbf\xbd", 3);
        else if (bytes[i] == '"' || bytes[i] == '\\')
            fits = add_whole(text, (const char[]){'\\', (char)bytes[i]}, 2);
        else if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            fits = add_json_control(text, bytes[i]);
        else
            fits = add_whole(text, string + i, size);
        if (!fits)
            return;
        i += size == 0 ? 1 : size;
    }
}

void grace_text_add_printable(struct grace_text *text, const char *string, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)string;
    for (size_t i = 0; i < length;) {
        size_t size = utf8_length(bytes + i, length - i);
        /* U+0080 to U+009F are control characters too: some terminals obey them. */
        int control = size == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0;
        int fits;
        if (bytes[i] == '\t')
            fits = add_whole(text, " ", 1);
        else if (bytes[i] == '\n')
            fits = add_whole(text, "\\n", 2);
        else if (size == 0 || control || bytes[i] < 0x20 || bytes[i] == 0x7f)
            fits = add_escape(text, "\\x", control ? bytes[i + 1] : bytes[i]);
        else
            fits = add_whole(text, string + i, size);
        if (!fits)
            return;
        i += size == 0 ? 1 : size;
    }
}

/* Lengths of an integer argument, as its prefix in the format says. */
enum width { WIDTH_INT, WIDTH_LONG, WIDTH_LONG_LONG, WIDTH_SIZE };

static const char *read_width(const char *format, enum width *width)
{
    *width = WIDTH_INT;
    if (*format == 'z') {
        *width = WIDTH_SIZE;
        return format + 1;
    }
    for (; *format == 'l' && *width != WIDTH_LONG_LONG; format++)
        *width = *width == WIDTH_INT ? WIDTH_LONG : WIDTH_LONG_LONG;
    return format;
}

static int64_t take_signed(va_list *list, enum width width)
{
    switch (width) {
    case WIDTH_LONG:
        return va_arg(*list, long);
    case WIDTH_LONG_LONG:
        return va_arg(*list, long long);
    case WIDTH_SIZE:
        return (int64_t)va_arg(*list, size_t);
    default:
        return va_arg(*list, int);
    }
}

static uint64_t take_unsigned(va_list *list, enum width width)
{
    switch (width) {
    case WIDTH_LONG:
        return va_arg(*list, unsigned long);
    case WIDTH_LONG_LONG:
        return va_arg(*list, unsigned long long);
    case WIDTH_SIZE:
        return va_arg(*list, size_t);
    default:
        return va_arg(*list, unsigned);
    }
}

/* %.*s: at most so many bytes, which need not end by a zero byte within them. */
static void add_limited(struct grace_text *text, va_list *list)
{
    int limit = va_arg(*list, int);
    const char *string = va_arg(*list, const char *);
    if (string == NULL || limit < 0)
        grace_text_add(text, string);
    else
        grace_text_add_bytes(text, string, strnlen(string, (size_t)limit));
}

/* One conversion, `format` just behind its %. Returns what follows it, NULL when it is unknown. */
static const char *add_conversion(struct grace_text *text, const char *format, va_list *list)
{
    if (strncmp(format, ".*s", 3) == 0) {
        add_limited(text, list);
        return format + 3;
    }
    enum width width;
    format = read_width(format, &width);
    switch (*format) {
    case 's':
        grace_text_add(text, va_arg(*list, const char *));
        break;
    case 'c':
        grace_text_add_char(text, (char)va_arg(*list, int));
        break;
    case 'd':
    case 'i':
        grace_text_add_signed(text, take_signed(list, width));
        break;
    case 'u':
        grace_text_add_unsigned(text, take_unsigned(list, width));
        break;
    case 'x':
        add_number(text, take_unsigned(list, width), 16, 0);
        break;
    case '%':
        grace_text_add_char(text, '%');
        break;
    default:
        return NULL;
    }
    return format + 1;
}

void grace_text_format_list(struct grace_text *text, const char *format, va_list arguments)
{
    /* A copy of our own: only of that can the address be handed on, where va_list is an array. */
    va_list list;
    va_copy(list, arguments);
    while (*format != '\0') {
        const char *next = *format == '%' ? add_conversion(text, format + 1, &list) : NULL;
        if (next == NULL) {
            /* Up to the next %, or an unknown conversion's own %, as it stands. */
            size_t plain = 1 + strcspn(format + 1, "%");
            grace_text_add_bytes(text, format, plain);
            next = format + plain;
        }
        format = next;
    }
    va_end(list);
}

void grace_text_format(struct grace_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    grace_text_format_list(text, format, arguments);
    va_end(arguments);
}
