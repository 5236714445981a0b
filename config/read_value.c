/* Values of one kind each: reading functions for the tables of keys. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "duration.h"
#include "reader.h"

void grace_read_bool(struct grace_reader *reader, const config_setting_t *setting,
                     const struct grace_key *key, void *target)
{
    (void)key;
    if (setting->type != CONFIG_TYPE_BOOL) {
        grace_read_wrong(reader, setting, "true or false (without quotes)");
        return;
    }
    *(bool *)target = setting->value.ival != 0;
}

void grace_read_choice(struct grace_reader *reader, const config_setting_t *setting,
                       const struct grace_key *key, void *target)
{
    const struct grace_choice *choices = key->detail;
    char expected[128] = "";
    size_t length = 0;

    for (size_t i = 0; choices[i].name != NULL; i++) {
        if (setting->type == CONFIG_TYPE_STRING &&
            strcmp(grace_setting_text(setting), choices[i].name) == 0) {
            memcpy(target, &choices[i].value, sizeof choices[i].value);
            return;
        }
        length += (size_t)snprintf(expected + length, sizeof expected - length, "%s\"%s\"",
                                   i == 0                        ? ""
                                   : choices[i + 1].name == NULL ? " or "
                                                                 : ", ",
                                   choices[i].name);
    }
    grace_read_wrong(reader, setting, expected);
}

static void read_duration(struct grace_reader *reader, const config_setting_t *setting,
                          bool zero_allowed, uint32_t *target)
{
    uint32_t milliseconds = 0;

    if (setting->type == CONFIG_TYPE_INT || setting->type == CONFIG_TYPE_INT64) {
        char value[96];
        grace_read_problem(reader, setting,
                           "a duration needs a unit and quotes, such as \"30s\", not %s",
                           grace_read_describe(setting, value, sizeof value));
        return;
    }
    if (setting->type != CONFIG_TYPE_STRING) {
        grace_read_wrong(reader, setting, "a duration such as \"30s\"");
        return;
    }
    const char *text = grace_setting_text(setting);
    int error = grace_duration_parse(text, &milliseconds);
    if (error == -ERANGE)
        grace_read_problem(reader, setting,
                           "\"%.40s\" is too long; expected one week (\"168h\") at most", text);
    else if (error != 0 && *text != '\0' && strspn(text, "0123456789.") == strlen(text))
        grace_read_problem(reader, setting,
                           "\"%.40s\" has no unit; expected a duration such as \"30s\"", text);
    else if (error != 0)
        grace_read_wrong(reader, setting,
                         "a duration such as \"30s\", \"1m30s\" or \"250ms\" (units h, m, s, ms)");
    else if (milliseconds == 0 && !zero_allowed)
        grace_read_wrong(reader, setting, "a duration of at least \"1ms\"");
    else
        *target = milliseconds;
}

void grace_read_duration(struct grace_reader *reader, const config_setting_t *setting,
                         const struct grace_key *key, void *target)
{
    (void)key;
    read_duration(reader, setting, false, target);
}

void grace_read_duration_0(struct grace_reader *reader, const config_setting_t *setting,
                           const struct grace_key *key, void *target)
{
    (void)key;
    read_duration(reader, setting, true, target);
}

void grace_read_whole(struct grace_reader *reader, const config_setting_t *setting,
                      const struct grace_key *key, void *target)
{
    const struct grace_range *range = key->detail;
    bool whole = setting->type == CONFIG_TYPE_INT || setting->type == CONFIG_TYPE_INT64;
    long long value = setting->type == CONFIG_TYPE_INT ? setting->value.ival : setting->value.llval;

    if (!whole || value < range->least || value > range->most) {
        char expected[64];
        snprintf(expected, sizeof expected, "a whole number from %lld to %lld", range->least,
                 range->most);
        grace_read_wrong(reader, setting, expected);
        return;
    }
    *(uint32_t *)target = (uint32_t)value;
}

void grace_read_text(struct grace_reader *reader, const config_setting_t *setting,
                     const struct grace_key *key, void *target)
{
    (void)key;
    if (setting->type != CONFIG_TYPE_STRING || *grace_setting_text(setting) == '\0') {
        grace_read_wrong(reader, setting, "a string that is not empty");
        return;
    }
    *(const char **)target = grace_reader_copy(reader, grace_setting_text(setting));
}

void grace_read_path(struct grace_reader *reader, const config_setting_t *setting,
                     const struct grace_key *key, void *target)
{
    (void)key;
    if (setting->type != CONFIG_TYPE_STRING || *grace_setting_text(setting) != '/') {
        grace_read_wrong(reader, setting, "an absolute path (it begins with /)");
        return;
    }
    *(const char **)target = grace_reader_copy(reader, grace_setting_text(setting));
}
