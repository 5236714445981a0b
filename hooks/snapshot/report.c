#include "report.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LINES_MAX 20000

void grace_report_section(struct grace_report *report, const char *title)
{
    fprintf(report->out, "\n== %s\n", title);
    fflush(report->out); /* what is there stays, whatever becomes of the rest */
}

static void put_plain(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        putc(((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f ? '.' : *text, out);
    putc('\n', out);
}

void grace_report_line(struct grace_report *report, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put_plain(report->out, text);
}

static FILE *open_file(const struct grace_report *report, const char *name)
{
    char path[PATH_MAX];
    if (name[0] == '/')
        snprintf(path, sizeof path, "%s", name);
    else
        snprintf(path, sizeof path, "/proc/%d/%s", report->pid, name);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (file == NULL && fd >= 0)
        close(fd);
    return file;
}

static int begins_with_one_of(const char *line, const char *const *only)
{
    for (; only != NULL && *only != NULL; only++)
        if (strncmp(line, *only, strlen(*only)) == 0)
            return 1;
    return only == NULL;
}

void grace_report_file(struct grace_report *report, const char *name, const char *indent,
                       const char *const *only)
{
    static const char *const everything[] = {"", NULL};
    FILE *file = open_file(report, name);
    char line[4096];
    unsigned lines = 0;
    errno = file == NULL ? errno : 0;
    while (file != NULL && lines < LINES_MAX && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (begins_with_one_of(line, only != NULL ? only : everything)) {
            fputs(indent, report->out);
            put_plain(report->out, line);
        }
        lines++;
    }
    if (lines == 0 && errno != 0)
        grace_report_line(report, "%s(%s: %m)", indent, name);
    if (file != NULL)
        fclose(file);
}

void grace_report_read(const struct grace_report *report, const char *name, char *text, size_t size)
{
    FILE *file = open_file(report, name);
    text[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(text, (int)size, file) == NULL)
        text[0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    fclose(file);
}

/* ---- secrets ------------------------------------------------------------------------------- */

int grace_report_is_secret(const char *name)
{
    static const char *const words[] = {
        "pass", "secret", "token",   "key",     "cred", "auth", "pwd",   "dsn",
        "cert", "cookie", "session", "private", "salt", "sign", "login", "database_url"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(name, words[i]) != NULL)
            return 1;
    return 0;
}

int grace_report_holds_secret(const char *value)
{
    static const char *const words[] = {"passw", "secret", "token", "pwd=", "key="};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(value, words[i]) != NULL)
            return 1;
    return 0;
}

/* Up to the last @ of the word: a password may hold any character. */
void grace_report_hide_in_urls(char *text)
{
    for (char *at = text; (at = strstr(at, "://")) != NULL;) {
        at += 3;
        char *end = at + strcspn(at, " \t\"'");
        while (end > at && *end != '@')
            end--;
        if (end - at < 3) { /* none, or too short for three stars */
            memset(at, '*', (size_t)(end - at));
            continue;
        }
        memmove(at + 3, end, strlen(end) + 1);
        memset(at, '*', 3);
    }
}
