#include "reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arena.h"
#include "libconfig_guard.h"
#include "suggest.h"

/* ---- problems ------------------------------------------------------------------------------- */

/* `hook "save"`, or `hook 3` for one without a usable name. */
static void describe_hook(const struct grace_reader *reader, const config_setting_t *hook,
                          char *buffer, size_t size)
{
    const config_setting_t *name = config_setting_get_member(hook, "name");
    if (name != NULL && name->type == CONFIG_TYPE_STRING && *grace_setting_text(name) != '\0')
        snprintf(buffer, size, "hook \"%.64s\"", grace_setting_text(name));
    else
        snprintf(buffer, size, "hook %u", reader->hook_number);
}

static bool is_hook(const config_setting_t *setting)
{
    return setting->name == NULL && setting->type == CONFIG_TYPE_GROUP && setting->parent != NULL;
}

/* Where a setting stands: `deadline`, `drain.hold`, `hook "save": options.url`; "" for the file. */
static void describe_place(const struct grace_reader *reader, const config_setting_t *setting,
                           char *buffer, size_t size)
{
    char outer[192];

    buffer[0] = '\0';
    if (setting->parent == NULL)
        return;
    if (is_hook(setting)) {
        describe_hook(reader, setting, buffer, size);
        return;
    }
    describe_place(reader, setting->parent, outer, sizeof outer);
    if (setting->name == NULL)
        snprintf(buffer, size, "%s", outer);
    else if (outer[0] == '\0')
        snprintf(buffer, size, "%.48s", setting->name);
    else
        snprintf(buffer, size, "%s%s%.48s", outer, is_hook(setting->parent) ? ": " : ".",
                 setting->name);
}

static void add(struct grace_reader *reader, enum grace_severity severity,
                const config_setting_t *setting, const char *format, va_list arguments)
{
    char place[256], text[768];
    /* The scanner tells where an element of a series ends, not where it begins: show the series. */
    const config_setting_t *named = setting;
    while (named->name == NULL && named->type != CONFIG_TYPE_GROUP && named->parent != NULL)
        named = named->parent;

    describe_place(reader, setting, place, sizeof place);
    vsnprintf(text, sizeof text, format, arguments);
    grace_problem_add(reader->problems, severity, grace_libconfig_file(named), named->line,
                      "%s%s%s", place, place[0] == '\0' ? "" : ": ", text);
}

void grace_read_problem(struct grace_reader *reader, const config_setting_t *setting,
                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(reader, GRACE_FATAL, setting, format, arguments);
    va_end(arguments);
}

void grace_read_warning(struct grace_reader *reader, const config_setting_t *setting,
                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(reader, GRACE_WARNING, setting, format, arguments);
    va_end(arguments);
}

const char *grace_read_describe(const config_setting_t *setting, char *buffer, size_t size)
{
    switch (setting->type) {
    case CONFIG_TYPE_INT:
        snprintf(buffer, size, "the number %d", setting->value.ival);
        break;
    case CONFIG_TYPE_INT64:
        snprintf(buffer, size, "the number %lld", setting->value.llval);
        break;
    case CONFIG_TYPE_FLOAT:
        snprintf(buffer, size, "the number %g", setting->value.fval);
        break;
    case CONFIG_TYPE_BOOL:
        snprintf(buffer, size, "%s", setting->value.ival ? "true" : "false");
        break;
    case CONFIG_TYPE_STRING: {
        const char *text = grace_setting_text(setting);
        snprintf(buffer, size, "\"%.60s%s\"", text, strlen(text) > 60 ? "..." : "");
        break;
    }
    case CONFIG_TYPE_GROUP:
        snprintf(buffer, size, "a group { }");
        break;
    case CONFIG_TYPE_ARRAY:
        snprintf(buffer, size, "an array [ ]");
        break;
    default:
        snprintf(buffer, size, "a list ( )");
        break;
    }
    return buffer;
}

void grace_read_wrong(struct grace_reader *reader, const config_setting_t *setting,
                      const char *expected)
{
    char value[96];
    grace_read_problem(reader, setting, "expected %s, not %s", expected,
                       grace_read_describe(setting, value, sizeof value));
}

/* ---- groups --------------------------------------------------------------------------------- */

static void unknown_key(struct grace_reader *reader, const config_setting_t *setting,
                        const struct grace_key *keys, size_t count)
{
    char known[400] = "", hint[64] = "";
    size_t length = 0, nearest = 0;
    unsigned best = ~0u;

    if (reader->problems->lost > 0) { /* nobody will read it: count it, fast */
        grace_read_problem(reader, setting->parent, "unknown key");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned distance = grace_name_distance(setting->name, keys[i].name);
        if (distance < best) {
            best = distance;
            nearest = i;
        }
        length += (size_t)snprintf(known + length, sizeof known - length, "%s%s",
                                   i == 0 ? "" : ", ", keys[i].name);
    }
    if (grace_name_is_near(best, setting->name))
        snprintf(hint, sizeof hint, " (did you mean \"%s\"?)", keys[nearest].name);

    char place[192];
    describe_place(reader, setting->parent, place, sizeof place);
    grace_problem_add(reader->problems, GRACE_FATAL, grace_libconfig_file(setting), setting->line,
                      "%s%sunknown key \"%.64s\"%s; expected one of: %s", place,
                      place[0] == '\0' ? "" : ": ", setting->name, hint, known);
}

void grace_read_group(struct grace_reader *reader, const config_setting_t *group,
                      const struct grace_key *keys, size_t count, void *target)
{
    int settings = config_setting_length(group);
    for (int i = 0; i < settings; i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        size_t k = 0;
        while (k < count && strcmp(keys[k].name, setting->name) != 0)
            k++;
        if (k == count)
            unknown_key(reader, setting, keys, count);
        else
            keys[k].read(reader, setting, &keys[k], (char *)target + keys[k].offset);
    }
}

/* ---- memory and strings --------------------------------------------------------------------- */

void *grace_reader_take(struct grace_reader *reader, size_t size)
{
    void *memory = grace_arena_take(reader->arena, size);
    if (memory == NULL)
        grace_libconfig_give_up("memory is short");
    return memory;
}

const char *grace_reader_copy(struct grace_reader *reader, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(grace_reader_take(reader, size), text, size);
}

const char *grace_reader_absolute(struct grace_reader *reader, const char *path)
{
    if (path[0] == '/')
        return grace_reader_copy(reader, path);
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    size_t size = strlen(reader->folder) + strlen(path) + 2;
    char *absolute = grace_reader_take(reader, size);
    snprintf(absolute, size, "%s/%s", reader->folder, path);
    return absolute;
}

const char *grace_setting_text(const config_setting_t *setting)
{
    return setting->value.sval != NULL ? setting->value.sval : "";
}

bool grace_setting_is_series(const config_setting_t *setting)
{
    return setting->type == CONFIG_TYPE_ARRAY || setting->type == CONFIG_TYPE_LIST;
}

const char *const *grace_reader_strings(struct grace_reader *reader, const config_setting_t *series,
                                        bool empty_allowed, const config_setting_t **bad)
{
    unsigned count = (unsigned)config_setting_length(series);
    const char **strings = grace_reader_take(reader, (count + (size_t)1) * sizeof *strings);

    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(series, i);
        if (element->type != CONFIG_TYPE_STRING ||
            (!empty_allowed && *grace_setting_text(element) == '\0')) {
            *bad = element;
            return NULL;
        }
        strings[i] = grace_reader_copy(reader, grace_setting_text(element));
    }
    *bad = NULL;
    return strings;
}
