/* Text, files and configs of a story. */
#include "harness.h"
#include "harness_story.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *text_list(const char *format, va_list arguments)
{
    char *result;
    if (vasprintf(&result, format, arguments) < 0)
        abort();
    return result;
}

char *text(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *result = text_list(format, arguments);
    va_end(arguments);
    return result;
}

/* In the story's directory, unless it is an absolute path already. */
static char *resolve(const char *name)
{
    return name[0] == '/' ? text("%s", name) : text("%s/%s", story.directory, name);
}

char *here(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *name = text_list(format, arguments);
    va_end(arguments);
    return resolve(name);
}

const char *story_directory(void)
{
    return story.directory;
}

static char *built(const char *path)
{
    if (access(path, R_OK) != 0)
        story_fail(__FILE__, __LINE__, "%s: %s (make tests builds it)", path, strerror(errno));
    return text("%s", path);
}

char *product(const char *name)
{
    return built(text("%s/%s", story.build, name));
}

char *program(const char *name)
{
    return built(text("%s/tests/programs/%s", story.build, name));
}

char *plugin(const char *name)
{
    /* A copy, since a daemon that runs as another user may not reach the build directory. */
    char *copy = here("%s.so", name);
    if (!exists(copy) &&
        system(text("cp '%s' '%s'", built(text("%s/tests/hooks/%s.so", story.build, name)), copy)))
        story_fail(__FILE__, __LINE__, "cannot copy %s.so", name);
    return copy;
}

char *source(const char *name)
{
    return built(text("%s/%s", story.sources, name));
}

static void write_list(const char *name, const char *format, va_list arguments)
{
    FILE *file = fopen(resolve(name), "we");
    if (file == NULL || vfprintf(file, format, arguments) < 0 || fclose(file) != 0)
        story_fail(__FILE__, __LINE__, "cannot write %s: %s", name, strerror(errno));
}

void write_file(const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_list(name, format, arguments);
    va_end(arguments);
}

char *contents(const char *name)
{
    FILE *file = fopen(resolve(name), "re");
    if (file == NULL)
        return text("%s", "");
    size_t length = 0, size = 65536;
    char *all = malloc(size);
    for (size_t n; all != NULL && (n = fread(all + length, 1, size - length - 1, file)) > 0;) {
        length += n;
        if (size - length < 2)
            all = realloc(all, size *= 2);
    }
    fclose(file);
    if (all == NULL)
        abort();
    all[length] = '\0';
    return all;
}

bool exists(const char *name)
{
    return access(resolve(name), F_OK) == 0;
}

unsigned count_of(const char *haystack, const char *needle)
{
    unsigned count = 0;
    for (const char *at = haystack; (at = strstr(at, needle)) != NULL; at += strlen(needle))
        count++;
    return count;
}

void wait_exists(const char *name)
{
    for (int64_t since = now_ms(); !exists(name);) {
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "%s did not appear", name);
    }
}

void wait_contains(const char *name, const char *needle)
{
    for (int64_t since = now_ms(); strstr(contents(name), needle) == NULL;) {
        if (!look_again(since))
            story_fail(__FILE__, __LINE__, "\"%s\" did not appear in %s", needle, name);
    }
}

/* ---- the config ------------------------------------------------------------------------------ */

void config(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_list("grace.conf", format, arguments);
    va_end(arguments);
    story.has_config = true;
}

char *hook_command(const char *name, const char *more)
{
    return text("{ name = \"%s\"; command = [\"/bin/sh\", \"-c\", \"echo %s >> '%s'\"]; %s }", name,
                name, here("order"), more);
}

char *hook_plugin(const char *name, const char *more)
{
    return text(
        "{ name = \"%s\"; plugin = \"%s\"; options = { file = \"%s\"; line = \"%s\"; }; %s }", name,
        plugin("story_append"), here("order"), name, more);
}

char *hook_script(const char *name, const char *script, const char *more)
{
    return text("{ name = \"%s\"; command = [\"/bin/sh\", \"-c\", \"cd '%s'; %s\"]; %s }", name,
                story_directory(), script, more);
}

char *hooks_abc(char *(*hook)(const char *name, const char *more))
{
    return text("hooks = (\n  %s,\n  %s,\n  %s\n);\n", hook("A", ""), hook("B", ""), hook("C", ""));
}
