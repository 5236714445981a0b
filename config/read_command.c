/* What a hook does: command, or plugin with its options. */
#include <math.h>
#include <string.h>

#include "reader.h"

void grace_read_command(struct grace_reader *reader, const config_setting_t *setting,
                        const struct grace_key *key, void *target)
{
    (void)key;
    static const char expected[] = "a list of strings: [\"/path/to/program\", \"argument\"]";
    if (setting->type == CONFIG_TYPE_STRING) {
        grace_read_problem(reader, setting,
                           "there is no shell that would take a string apart; write it as "
                           "[\"program\", \"argument\"], or as [\"/bin/sh\", \"-c\", \"...\"]");
        return;
    }
    if (!grace_setting_is_series(setting)) {
        grace_read_wrong(reader, setting, expected);
        return;
    }
    const config_setting_t *bad;
    const char *const *copy = grace_reader_strings(reader, setting, true, &bad);
    if (copy == NULL) {
        grace_read_wrong(reader, bad, expected);
        return;
    }
    const char **arguments = (const char **)copy; /* it is ours, and not yet handed out */
    if (arguments[0] == NULL || arguments[0][0] == '\0') {
        grace_read_problem(reader, setting, "it names no program; expected %s", expected);
        return;
    }
    /* Where the target will be when it stops is not known: only this folder is. */
    if (strchr(arguments[0], '/') != NULL)
        arguments[0] = grace_reader_absolute(reader, arguments[0]);
    *(const char *const **)target = arguments;
}

void grace_read_plugin(struct grace_reader *reader, const config_setting_t *setting,
                       const struct grace_key *key, void *target)
{
    (void)key;
    const char *name = setting->type == CONFIG_TYPE_STRING ? grace_setting_text(setting) : "";
    if (*name == '\0')
        grace_read_wrong(reader, setting, "a name such as \"redis\", or the path of a plugin");
    else if (strchr(name, '/') != NULL)
        *(const char **)target = grace_reader_absolute(reader, name);
    else
        *(const char **)target = grace_reader_copy(reader, name);
}

/* Returns false for a value that no option can have; the problem is added. */
static bool read_option(struct grace_reader *reader, const config_setting_t *setting,
                        struct grace_option_plan *option)
{
    const config_setting_t *bad = setting;

    switch (setting->type) {
    case CONFIG_TYPE_STRING:
        option->type = GRACE_OPTION_STRING;
        option->value.string = grace_reader_copy(reader, grace_setting_text(setting));
        return true;
    case CONFIG_TYPE_INT:
        option->type = GRACE_OPTION_INT;
        option->value.integer = setting->value.ival;
        return true;
    case CONFIG_TYPE_INT64:
        option->type = GRACE_OPTION_INT;
        option->value.integer = setting->value.llval;
        return true;
    case CONFIG_TYPE_FLOAT:
        option->type = GRACE_OPTION_FLOAT;
        option->value.real = setting->value.fval;
        if (isfinite(setting->value.fval))
            return true;
        break;
    case CONFIG_TYPE_BOOL:
        option->type = GRACE_OPTION_BOOL;
        option->value.boolean = setting->value.ival != 0;
        return true;
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        option->type = GRACE_OPTION_LIST;
        option->value.list = grace_reader_strings(reader, setting, true, &bad);
        if (bad == NULL)
            return true;
        break;
    default:
        break;
    }
    grace_read_wrong(reader, bad, "a string, a number, true, false or a list of strings");
    return false;
}

void grace_read_options(struct grace_reader *reader, const config_setting_t *setting,
                        const struct grace_key *key, void *target)
{
    (void)key;
    struct grace_hook_plan *hook = target;

    if (setting->type != CONFIG_TYPE_GROUP) {
        grace_read_wrong(reader, setting, "a group such as { url = \"...\"; }");
        return;
    }
    unsigned count = (unsigned)config_setting_length(setting);
    struct grace_option_plan *options =
        grace_reader_take(reader, (count + (size_t)1) * sizeof *options);
    size_t read = 0;
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *entry = config_setting_get_elem(setting, i);
        if (!read_option(reader, entry, &options[read]))
            continue;
        options[read].name = grace_reader_copy(reader, entry->name);
        options[read++].line = entry->line;
    }
    hook->options = options;
    hook->option_count = read;
}
