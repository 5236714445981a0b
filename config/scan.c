#include "scan.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bracket {
    char open;
    unsigned line;
    unsigned keys;
};

struct scan {
    const char *at;  /* the next character */
    const char *end; /* a zero byte stands here */
    const char *file;
    unsigned line;
    bool line_start; /* only blanks since the line began */
    char last;       /* the last character that means something, a string as '"' */
    unsigned last_line;
    bool wrong_number;
    size_t depth;
    struct bracket brackets[GRACE_CONFIG_DEPTH_MAX + 1]; /* [0] is the file itself */
    struct grace_problems *problems;
};

static bool fail(struct scan *scan, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns false, so that a failing function can end with it. */
static bool fail(struct scan *scan, unsigned line, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    grace_problem_add(scan->problems, GRACE_FATAL, scan->file, line, "%s", text);
    return false;
}

static bool starts_with(const struct scan *scan, const char *prefix)
{
    return strncmp(scan->at, prefix, strlen(prefix)) == 0;
}

/* ASCII only, as libconfig's scanner has it, whatever the locale. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- strings, comments, includes ------------------------------------------------------------ */

/* At the opening quote. */
static bool skip_string(struct scan *scan)
{
    unsigned start = scan->line;
    bool fine = true;
    for (scan->at++; scan->at < scan->end && *scan->at != '"'; scan->at++) {
        if (*scan->at == '\n')
            scan->line++;
        if (*scan->at != '\\')
            continue;
        if (starts_with(scan, "\\x00") || starts_with(scan, "\\X00"))
            fine = fail(scan, scan->line, "a string cannot hold a zero byte (\\x00)");
        else if (scan->at[1] == '\\' || scan->at[1] == '"')
            scan->at++;
    }
    if (scan->at == scan->end)
        return fail(scan, start,
                    "the string that begins here is never closed; expected another \"");
    scan->at++;
    return fine;
}

static bool skip_block_comment(struct scan *scan)
{
    unsigned start = scan->line;
    for (scan->at += 2; scan->at < scan->end; scan->at++) {
        if (starts_with(scan, "*/")) {
            scan->at += 2;
            return true;
        }
        if (*scan->at == '\n')
            scan->line++;
    }
    return fail(scan, start, "the comment that begins here is never closed; expected */");
}

static void skip_line_comment(struct scan *scan)
{
    while (scan->at < scan->end && *scan->at != '\n')
        scan->at++;
}

/* At the @ of @include. libconfig would print a backslash that it does not know on stdout. */
static bool skip_include(struct scan *scan)
{
    scan->at += strlen("@include");
    size_t blanks = strspn(scan->at, " \t");
    scan->at += blanks;
    if (blanks == 0 || *scan->at != '"')
        return fail(scan, scan->line, "expected a file name in quotes: @include \"hooks.conf\"");
    for (scan->at++; *scan->at != '"'; scan->at++) {
        if (scan->at == scan->end || *scan->at == '\n')
            return fail(scan, scan->line, "the name of the file to include has no closing quote");
        if (*scan->at != '\\')
            continue;
        scan->at++;
        if (*scan->at != '\\' && *scan->at != '"')
            return fail(
                scan, scan->line,
                "unknown escape in the name of the file to include; only \\\\ and \\\" are");
    }
    scan->at++;
    return true;
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* Whether the whole number at `text` fits; libconfig takes it modulo its size. */
static bool number_fits(const char *text, int base, bool wide)
{
    errno = 0;
    long long value = strtoll(text, NULL, base);
    return errno == 0 && (wide || (value >= INT_MIN && value <= INT_MAX));
}

/*
 * At a digit or a sign. Returns false for a number that libconfig would read as another one; the
 * scan goes on, to find them all. Floats have no range to check: libconfig makes them infinite.
 */
static bool skip_number(struct scan *scan)
{
    const char *start = scan->at;
    int base = 10;

    scan->at += *start == '-' || *start == '+';
    if (scan->at[0] == '0' && (scan->at[1] == 'x' || scan->at[1] == 'X')) {
        base = 16;
        scan->at += 2;
        while (isxdigit((unsigned char)*scan->at))
            scan->at++;
    } else {
        while (is_digit(*scan->at))
            scan->at++;
        if (*scan->at == '.' || *scan->at == 'e' || *scan->at == 'E') {
            while (is_digit(*scan->at) || (*scan->at != '\0' && strchr(".eE+-", *scan->at)))
                scan->at++;
            return true;
        }
    }
    int length = (int)(scan->at - start < 40 ? scan->at - start : 40);
    bool wide = *scan->at == 'L';
    while (*scan->at == 'L')
        scan->at++;
    if (number_fits(start, base, wide))
        return true;
    if (number_fits(start, base, true))
        return fail(scan, scan->line, "the number %.*s needs more than 32 bits; write it as %.*sL",
                    length, start, length, start);
    return fail(scan, scan->line, "the number %.*s does not fit into 64 bits", length, start);
}

/* ---- brackets ------------------------------------------------------------------------------- */

static char closing(char open)
{
    return open == '{' ? '}' : open == '(' ? ')' : ']';
}

static bool open_bracket(struct scan *scan, char open)
{
    if (scan->depth == GRACE_CONFIG_DEPTH_MAX)
        return fail(scan, scan->line, "brackets are nested deeper than %d", GRACE_CONFIG_DEPTH_MAX);
    scan->brackets[++scan->depth] = (struct bracket){.open = open, .line = scan->line};
    return true;
}

static bool close_bracket(struct scan *scan, char close)
{
    struct bracket *bracket = &scan->brackets[scan->depth];
    if (scan->depth == 0)
        return fail(scan, scan->line, "this %c closes nothing", close);
    if (close != closing(bracket->open))
        return fail(scan, scan->line, "this %c does not close the %c of line %u; expected %c first",
                    close, bracket->open, bracket->line, closing(bracket->open));
    if (scan->last == ',' && close != '}')
        return fail(scan, scan->last_line, "a comma before the closing %c; remove it", close);
    scan->depth--;
    return true;
}

static bool count_key(struct scan *scan)
{
    if (++scan->brackets[scan->depth].keys <= GRACE_CONFIG_KEYS_MAX)
        return true;
    return fail(scan, scan->line, "more than %d settings in one group", GRACE_CONFIG_KEYS_MAX);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool take_symbol(struct scan *scan)
{
    char c = *scan->at++;
    switch (c) {
    case '{':
    case '(':
    case '[':
        return open_bracket(scan, c);
    case '}':
    case ')':
    case ']':
        return close_bracket(scan, c);
    case '=':
    case ':':
        return count_key(scan);
    default:
        return true;
    }
}

static bool take_token(struct scan *scan)
{
    char c = *scan->at;
    scan->last_line = scan->last == ',' ? scan->last_line : scan->line;
    if (c == '"')
        return skip_string(scan);
    if (c == '@' && scan->line_start && starts_with(scan, "@include"))
        return skip_include(scan);
    if (is_letter(c)) {
        while (is_letter(*scan->at) || is_digit(*scan->at) || *scan->at == '_' || *scan->at == '-')
            scan->at++;
        return true;
    }
    if (is_digit(c) || ((c == '-' || c == '+') && is_digit(scan->at[1]))) {
        scan->wrong_number |= !skip_number(scan);
        return true;
    }
    return take_symbol(scan);
}

/* Blanks, line ends and comments. Returns whether there was one; *fine is false for a bad one. */
static bool skip_blank(struct scan *scan, bool *fine)
{
    char c = *scan->at;
    if (c == '\n') {
        scan->line++;
        scan->line_start = true;
        scan->at++;
    } else if (c == ' ' || c == '\t') {
        scan->at++;
    } else if (c == '\r' || c == '\f') {
        scan->line_start = false;
        scan->at++;
    } else if (c == '#' || starts_with(scan, "//")) {
        skip_line_comment(scan);
    } else if (starts_with(scan, "/*")) {
        *fine = skip_block_comment(scan);
        scan->line_start = false;
    } else {
        return false;
    }
    return true;
}

/* libconfig takes a zero byte for the end of the text, and so may everything here that looks ahead.
 */
static bool is_text(struct scan *scan)
{
    const char *zero = memchr(scan->at, '\0', (size_t)(scan->end - scan->at));
    if (zero == NULL)
        return true;
    unsigned line = 1;
    for (const char *c = scan->at; c < zero; c++)
        line += *c == '\n';
    return fail(scan, line, "a zero byte; expected a text file");
}

bool grace_scan(const char *text, size_t length, const char *file, struct grace_problems *problems)
{
    struct scan scan = {.at = text,
                        .end = text + length,
                        .file = file,
                        .line = 1,
                        .line_start = true,
                        .problems = problems};
    bool fine = is_text(&scan);

    while (fine && scan.at < scan.end) {
        if (skip_blank(&scan, &fine))
            continue;
        char c = *scan.at;
        fine = take_token(&scan);
        scan.last = c;
        scan.line_start = false;
    }
    if (fine && scan.depth > 0)
        fine = fail(&scan, scan.brackets[scan.depth].line,
                    "the %c that opens here is never closed; expected %c",
                    scan.brackets[scan.depth].open, closing(scan.brackets[scan.depth].open));
    return fine && !scan.wrong_number;
}
