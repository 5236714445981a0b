/* hooks = ( { … }, { … } ): each hook's keys, and what must hold between them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libconfig_guard.h"
#include "reader.h"
#include "utf8.h"

/* The longest name: it stands in log lines, file names and the environment. */
#define NAME_MAX_BYTES 64

static const struct grace_choice phases[] = {{"announce", GRACE_PHASE_ANNOUNCE},
                                             {"drain", GRACE_PHASE_DRAIN},
                                             {"stop", GRACE_PHASE_STOP},
                                             {"cleanup", GRACE_PHASE_CLEANUP},
                                             {NULL, 0}};

static const struct grace_range retries = {0, 100};

static void read_name(struct grace_reader *reader, const config_setting_t *setting,
                      const struct grace_key *key, void *target)
{
    (void)key;
    const char *name = setting->type == CONFIG_TYPE_STRING ? grace_setting_text(setting) : "";
    size_t length = strlen(name);
    bool fine = length > 0 && length <= NAME_MAX_BYTES;

    for (size_t at = 0, bytes; fine && at < length; at += bytes) {
        bytes = grace_utf8_length(name + at);
        fine = bytes > 0;
    }
    if (!fine) {
        grace_read_wrong(reader, setting,
                         "a name of 1 to 64 bytes of text without control characters");
        return;
    }
    *(const char **)target = grace_reader_copy(reader, name);
}

static void read_on_failure(struct grace_reader *reader, const config_setting_t *setting,
                            const struct grace_key *key, void *target)
{
    (void)key;
    const char *text = setting->type == CONFIG_TYPE_STRING ? grace_setting_text(setting) : "";
    if (strcmp(text, "abort") == 0)
        *(bool *)target = true;
    else if (strcmp(text, "continue") == 0)
        *(bool *)target = false;
    else
        grace_read_wrong(reader, setting, "\"continue\" or \"abort\"");
}

/* GRACE_CAUSE_NONE when there is no such cause. */
static enum grace_cause find_cause(const char *name)
{
    for (enum grace_cause cause = GRACE_CAUSE_NONE + 1; cause < GRACE_CAUSES; cause++)
        if (strcmp(grace_cause_name(cause), name) == 0)
            return cause;
    return GRACE_CAUSE_NONE;
}

static void read_causes(struct grace_reader *reader, const config_setting_t *setting,
                        const struct grace_key *key, void *target)
{
    static const char expected[] = "one or more of \"signal\", \"exit\", \"return\", \"_exit\", "
                                   "\"quick_exit\", \"crash\", \"killed\" in a list";
    (void)key;
    uint32_t set = 0;

    if (!grace_setting_is_series(setting)) {
        grace_read_wrong(reader, setting, expected);
        return;
    }
    unsigned count = (unsigned)config_setting_length(setting);
    if (count == 0)
        grace_read_problem(reader, setting, "with no cause the hook never runs; expected %s",
                           expected);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(setting, i);
        const char *name = element->type == CONFIG_TYPE_STRING ? grace_setting_text(element) : "";
        enum grace_cause cause = find_cause(name);
        if (cause == GRACE_CAUSE_NONE)
            grace_read_wrong(reader, element, expected);
        else
            set |= GRACE_CAUSE_BIT(cause);
    }
    *(uint32_t *)target = set;
}

#define AT(member) offsetof(struct grace_hook_plan, member)
static const struct grace_key keys[] = {
    {"name", read_name, AT(name), NULL},
    {"phase", grace_read_choice, AT(phase), phases},
    {"command", grace_read_command, AT(command), NULL},
    {"plugin", grace_read_plugin, AT(plugin), NULL},
    {"options", grace_read_options, 0, NULL},
    {"timeout", grace_read_duration, AT(timeout_ms), NULL},
    {"retries", grace_read_whole, AT(retries), &retries},
    {"on_failure", read_on_failure, AT(abort_on_failure), NULL},
    {"user", grace_read_text, AT(user), NULL},
    {"causes", read_causes, AT(causes), NULL},
};

/* What must be there, and what excludes each other. By the settings, not by what was read from
 * them: a command that is wrong was reported, and is not missing. */
static void check_hook(struct grace_reader *reader, const config_setting_t *hook)
{
    bool command = config_setting_get_member(hook, "command") != NULL;
    bool plugin = config_setting_get_member(hook, "plugin") != NULL;

    if (config_setting_get_member(hook, "name") == NULL)
        grace_read_problem(reader, hook, "it has no name; expected name = \"...\";");
    if (command && plugin)
        grace_read_problem(reader, hook,
                           "it has both a command and a plugin; expected one of them");
    if (!command && !plugin)
        grace_read_problem(reader, hook,
                           "it has nothing to do; expected command = [\"/path/to/program\"] or "
                           "plugin = \"name\"");
    if (!plugin && config_setting_get_member(hook, "options") != NULL)
        grace_read_problem(reader, config_setting_get_member(hook, "options"),
                           "only a plugin has options; a command gets arguments");
}

/* Many hooks stand in few files: keep one copy of a file's name for each run of hooks. */
static const char *file_of(struct grace_reader *reader, const config_setting_t *hook)
{
    const char *file = grace_libconfig_file(hook);
    if (reader->hook_file == NULL || strcmp(reader->hook_file, file) != 0)
        reader->hook_file = grace_reader_copy(reader, file);
    return reader->hook_file;
}

static void read_hook(struct grace_reader *reader, const config_setting_t *setting,
                      struct grace_hook_plan *hook)
{
    *hook = (struct grace_hook_plan){.phase = GRACE_PHASE_STOP,
                                     .timeout_ms = 5000,
                                     .causes = (GRACE_CAUSE_BIT(GRACE_CAUSES) - 1) &
                                               ~GRACE_CAUSE_BIT(GRACE_CAUSE_NONE),
                                     .file = file_of(reader, setting),
                                     .line = setting->line};
    grace_read_group(reader, setting, keys, sizeof keys / sizeof keys[0], hook);
    check_hook(reader, setting);
}

static int by_name(const void *a, const void *b)
{
    const struct grace_hook_plan *const *left = a, *const *right = b;
    int order = strcmp((*left)->name, (*right)->name);
    return order != 0 ? order : (*left > *right) - (*left < *right);
}

static void check_names(struct grace_reader *reader)
{
    const struct grace_plan *plan = reader->plan;
    const struct grace_hook_plan **named =
        grace_reader_take(reader, (plan->hook_count + 1) * sizeof *named);
    size_t count = 0;

    for (size_t i = 0; i < plan->hook_count; i++)
        if (plan->hooks[i].name != NULL)
            named[count++] = &plan->hooks[i];
    qsort(named, count, sizeof *named, by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(named[i - 1]->name, named[i]->name) == 0)
            grace_problem_add(reader->problems, GRACE_FATAL, named[i]->file, named[i]->line,
                              "hook \"%s\": another hook has this name (line %u); expected names "
                              "that differ",
                              named[i]->name, named[i - 1]->line);
}

/* Phase by phase, within a phase the last of the file first, as atexit() does. */
static const uint16_t *make_order(struct grace_reader *reader, const struct grace_hook_plan *hooks,
                                  size_t count)
{
    uint16_t *order = grace_reader_take(reader, (count + 1) * sizeof *order);
    size_t length = 0;
    for (enum grace_phase phase = 0; phase < GRACE_PHASES; phase++)
        for (size_t i = count; i-- > 0;)
            if (hooks[i].phase == phase)
                order[length++] = (uint16_t)i;
    return order;
}

void grace_read_hooks(struct grace_reader *reader, const config_setting_t *setting,
                      const struct grace_key *key, void *target)
{
    (void)key, (void)target;
    static const char expected[] = "a list of groups: ( { name = ...; }, { name = ...; } )";
    if (!grace_setting_is_series(setting)) {
        grace_read_wrong(reader, setting, expected);
        return;
    }
    size_t count = (size_t)config_setting_length(setting), read = 0;
    if (count > GRACE_HOOKS_MAX) {
        grace_read_problem(reader, setting, "%zu hooks are too many; expected %d at most", count,
                           GRACE_HOOKS_MAX);
        return;
    }
    struct grace_hook_plan *hooks = grace_reader_take(reader, (count + 1) * sizeof *hooks);
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(setting, (unsigned)i);
        reader->hook_number = (unsigned)i + 1;
        if (element->type != CONFIG_TYPE_GROUP)
            grace_read_wrong(reader, element, expected);
        else
            read_hook(reader, element, &hooks[read++]);
    }
    reader->plan->hooks = hooks;
    reader->plan->hook_count = read;
    reader->plan->order = make_order(reader, hooks, read);
    check_names(reader);
}
