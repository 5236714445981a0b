/* The keys of the file itself, and of its groups `log` and `drain`. */
#include <string.h>

#include "reader.h"

static const struct grace_choice switches[] = {
    {"auto", GRACE_AUTO}, {"on", GRACE_ON}, {"off", GRACE_OFF}, {NULL, 0}};
static const struct grace_choice second_signals[] = {
    {"force", GRACE_SECOND_FORCE}, {"ignore", GRACE_SECOND_IGNORE}, {NULL, 0}};
static const struct grace_choice sinks[] = {{"stderr", GRACE_LOG_STDERR},
                                            {"file", GRACE_LOG_FILE},
                                            {"syslog", GRACE_LOG_SYSLOG},
                                            {"journal", GRACE_LOG_JOURNAL},
                                            {NULL, 0}};
static const struct grace_choice levels[] = {{"error", GRACE_LOG_ERROR},
                                             {"warning", GRACE_LOG_WARNING},
                                             {"info", GRACE_LOG_INFO},
                                             {"debug", GRACE_LOG_DEBUG},
                                             {NULL, 0}};
static const struct grace_choice formats[] = {
    {"text", GRACE_LOG_TEXT}, {"json", GRACE_LOG_JSON}, {NULL, 0}};
static const struct grace_choice drain_whens[] = {{"auto", GRACE_DRAIN_AUTO},
                                                  {"always", GRACE_DRAIN_ALWAYS},
                                                  {"never", GRACE_DRAIN_NEVER},
                                                  {NULL, 0}};

/* ---- values of their own -------------------------------------------------------------------- */

/* end: "same", "exit", or a status. Its target is the plan: it fills two members. */
static void read_end(struct grace_reader *reader, const config_setting_t *setting,
                     const struct grace_key *key, void *target)
{
    (void)key;
    struct grace_plan *plan = target;
    const char *text = setting->type == CONFIG_TYPE_STRING ? grace_setting_text(setting) : "";
    bool whole = setting->type == CONFIG_TYPE_INT || setting->type == CONFIG_TYPE_INT64;
    long long status =
        setting->type == CONFIG_TYPE_INT ? setting->value.ival : setting->value.llval;

    if (strcmp(text, "same") == 0) {
        plan->end = GRACE_END_SAME;
    } else if (strcmp(text, "exit") == 0) {
        plan->end = GRACE_END_EXIT;
    } else if (whole && status >= 0 && status <= 255) {
        plan->end = GRACE_END_STATUS;
        plan->end_status = (int)status;
    } else {
        grace_read_wrong(reader, setting, "\"same\", \"exit\" or an exit status from 0 to 255");
    }
}

static void read_daemonize(struct grace_reader *reader, const config_setting_t *setting,
                           const struct grace_key *key, void *target)
{
    (void)key;
    const char *text = setting->type == CONFIG_TYPE_STRING ? grace_setting_text(setting) : "";
    if (strcmp(text, "auto") == 0)
        *(bool *)target = true;
    else if (strcmp(text, "never") == 0)
        *(bool *)target = false;
    else
        grace_read_wrong(reader, setting, "\"auto\" or \"never\"");
}

/* One with a slash is compared with the whole path of a program: it must be one. */
static void read_programs(struct grace_reader *reader, const config_setting_t *setting,
                          const struct grace_key *key, void *target)
{
    (void)key;
    static const char expected[] =
        "base names or absolute paths of programs, such as [\"legacyd\"]";
    if (!grace_setting_is_series(setting)) {
        grace_read_wrong(reader, setting, expected);
        return;
    }
    const config_setting_t *bad;
    const char *const *programs = grace_reader_strings(reader, setting, false, &bad);
    if (programs == NULL) {
        grace_read_wrong(reader, bad, expected);
        return;
    }
    if (programs[0] == NULL)
        grace_read_problem(reader, setting, "it names no program; expected %s", expected);
    for (size_t i = 0; programs[i] != NULL; i++)
        if (programs[i][0] != '/' && strchr(programs[i], '/') != NULL)
            grace_read_wrong(reader, config_setting_get_elem(setting, (unsigned)i), expected);
    *(const char *const **)target = programs;
}

/* ---- log and drain -------------------------------------------------------------------------- */

#define AT(member) offsetof(struct grace_log_plan, member)
static const struct grace_key log_keys[] = {
    {"to", grace_read_choice, AT(sink), sinks},
    {"path", grace_read_path, AT(path), NULL},
    {"level", grace_read_choice, AT(level), levels},
    {"format", grace_read_choice, AT(format), formats},
};
#undef AT

static void read_log(struct grace_reader *reader, const config_setting_t *setting,
                     const struct grace_key *key, void *target)
{
    (void)key;
    const struct grace_log_plan *log = target;
    if (setting->type != CONFIG_TYPE_GROUP) {
        grace_read_wrong(reader, setting, "a group such as { to = \"stderr\"; level = \"info\"; }");
        return;
    }
    size_t fatal_before = reader->problems->fatal;
    grace_read_group(reader, setting, log_keys, sizeof log_keys / sizeof log_keys[0], target);
    if (reader->problems->fatal > fatal_before)
        return; /* what is wrong may be the very key that is looked for here */
    const config_setting_t *path = config_setting_get_member(setting, "path");
    if (log->sink == GRACE_LOG_FILE && path == NULL)
        grace_read_problem(reader, setting,
                           "to = \"file\" needs a path; expected path = \"/...\";");
    if (log->sink != GRACE_LOG_FILE && path != NULL)
        grace_read_problem(reader, path, "only to = \"file\" has a path");
}

#define AT(member) offsetof(struct grace_drain_plan, member)
static const struct grace_key drain_keys[] = {
    {"when", grace_read_choice, AT(when), drain_whens},
    {"hold", grace_read_duration_0, AT(hold_ms), NULL},
    {"timeout", grace_read_duration, AT(timeout_ms), NULL},
    {"idle", grace_read_duration, AT(idle_ms), NULL},
    {"http", grace_read_bool, AT(http), NULL},
};
#undef AT

static void read_drain(struct grace_reader *reader, const config_setting_t *setting,
                       const struct grace_key *key, void *target)
{
    (void)key;
    if (setting->type != CONFIG_TYPE_GROUP)
        grace_read_wrong(reader, setting,
                         "a group such as { when = \"auto\"; timeout = \"20s\"; }");
    else
        grace_read_group(reader, setting, drain_keys, sizeof drain_keys / sizeof drain_keys[0],
                         target);
}

/* ---- the file ------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct grace_plan, member)
static const struct grace_key root_keys[] = {
    {"deadline", grace_read_duration, AT(deadline_ms), NULL},
    {"signals", grace_read_signals, AT(signals), NULL},
    {"chain", grace_read_signals, AT(chain), NULL},
    {"enforce", grace_read_bool, AT(enforce), NULL},
    {"deliver", grace_read_deliver, AT(deliver), NULL},
    {"second_signal", grace_read_choice, AT(second_signal), second_signals},
    {"end", read_end, 0, NULL},
    {"programs", read_programs, AT(programs), NULL},
    {"guardian", grace_read_choice, AT(guardian), switches},
    {"daemonize", read_daemonize, AT(daemonize), NULL},
    {"pidfile", grace_read_path, AT(pidfile), NULL},
    {"state_dir", grace_read_path, AT(state_dir), NULL},
    {"metrics", grace_read_path, AT(metrics), NULL},
    {"log", read_log, AT(log), NULL},
    {"drain", read_drain, AT(drain), NULL},
    {"hooks", grace_read_hooks, 0, NULL},
};

void grace_read_root(struct grace_reader *reader, const config_setting_t *root)
{
    grace_read_group(reader, root, root_keys, sizeof root_keys / sizeof root_keys[0], reader->plan);
    grace_check_signals(reader, root);
}
