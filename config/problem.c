#include "problem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* More than a person reads, and few enough that a hostile config cannot fill the memory. */
#define PROBLEMS_MAX 1000

/* The longest text kept of one problem. */
#define TEXT_MAX 1024

/*
 * Copy with everything that could trouble a terminal or a log made visible: control characters and
 * bytes that are not UTF-8 become \xNN. NULL when memory is short.
 */
static char *printable_copy(const char *text)
{
    size_t length = strlen(text);
    char *copy = malloc(length * 4 + 1), *to = copy;
    if (copy == NULL)
        return NULL;
    while (*text != '\0') {
        size_t bytes = grace_utf8_length(text);
        if (bytes == 0) {
            to += snprintf(to, 5, "\\x%02x", (unsigned)(unsigned char)*text++);
            continue;
        }
        memcpy(to, text, bytes);
        to += bytes;
        text += bytes;
    }
    *to = '\0';
    return copy;
}

static bool make_room(struct grace_problems *problems)
{
    if (problems->count >= PROBLEMS_MAX)
        return false;
    if (problems->count < problems->capacity)
        return true;
    size_t capacity = problems->capacity == 0 ? 8 : problems->capacity * 2;
    struct grace_problem *list = realloc(problems->list, capacity * sizeof *list);
    if (list == NULL)
        return false;
    problems->list = list;
    problems->capacity = capacity;
    return true;
}

void grace_problem_add(struct grace_problems *problems, enum grace_severity severity,
                       const char *file, unsigned line, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = '\0';
    else if ((size_t)length >= sizeof text)
        strcpy(text + sizeof text - 4, "...");

    problems->fatal += severity == GRACE_FATAL;
    problems->defects += severity == GRACE_DEFECT;

    struct grace_problem problem = {.severity = severity, .line = line};
    if (make_room(problems)) {
        problem.file = printable_copy(file);
        problem.text = printable_copy(text);
    }
    if (problem.file == NULL || problem.text == NULL) {
        free(problem.file);
        free(problem.text);
        problems->lost++;
        return;
    }
    problems->list[problems->count++] = problem;
}

size_t grace_problem_format(const struct grace_problem *problem, char *buffer, size_t size)
{
    const char *severity = problem->severity == GRACE_WARNING ? "warning" : "error";
    char line[16] = "";

    if (size == 0)
        return 0;
    if (problem->line > 0)
        snprintf(line, sizeof line, ":%u", problem->line);
    int length =
        snprintf(buffer, size, "%s%s: %s: %s", problem->file, line, severity, problem->text);
    if (length < 0)
        length = 0;
    return (size_t)length < size ? (size_t)length : size - 1;
}

/* One that was found earlier stays before a later one of the same line. */
static int compare(const struct grace_problem *left, const struct grace_problem *right)
{
    int order = strcmp(left->file, right->file);
    if (order != 0)
        return order;
    return (left->line > right->line) - (left->line < right->line);
}

void grace_problems_sort(struct grace_problems *problems)
{
    /* An insertion sort: stable, nothing to allocate, and problems come nearly sorted. */
    for (size_t i = 1; i < problems->count; i++) {
        struct grace_problem moving = problems->list[i];
        size_t at = i;
        for (; at > 0 && compare(&problems->list[at - 1], &moving) > 0; at--)
            problems->list[at] = problems->list[at - 1];
        problems->list[at] = moving;
    }
}

void grace_problems_free(struct grace_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->list[i].file);
        free(problems->list[i].text);
    }
    free(problems->list);
    *problems = GRACE_PROBLEMS_EMPTY;
}
