/*
 * From libconfig's tree to the plan: what the files that read one part of a config share.
 *
 * Each kind of group (the file itself, `log`, `drain`, a hook) has a table of its keys; a key names
 * the function that reads its value and where the value goes. A reading function that does not like
 * what it finds adds a problem and leaves the default; reading goes on, so that all problems are
 * found. Memory comes from the plan's arena and is never NULL: when it is short, the whole parse is
 * left.
 */
#ifndef GRACE_CONFIG_READER_H
#define GRACE_CONFIG_READER_H

#include <libconfig.h>
#include <stdbool.h>

#include "plan.h"

struct grace_arena;

struct grace_reader {
    struct grace_problems *problems;
    struct grace_plan *plan;
    struct grace_arena *arena;
    const char *folder;    /* absolute: of the config file, without its last slash */
    bool signals_bad;      /* `signals` or `chain` had a problem */
    unsigned hook_number;  /* the hook being read, from 1 */
    const char *hook_file; /* the arena's copy of the name of the last hook's file */
};

struct grace_key;
typedef void grace_key_read(struct grace_reader *reader, const config_setting_t *setting,
                            const struct grace_key *key, void *target);

struct grace_key {
    const char *name;
    grace_key_read *read;
    size_t offset;      /* of the value within the struct that the group fills */
    const void *detail; /* for `read`: the choices, the limits */
};

/* Read each setting of a group into `target` with the table; report those not in it. */
void grace_read_group(struct grace_reader *reader, const config_setting_t *group,
                      const struct grace_key *keys, size_t count, void *target);

/* ---- values: reading functions for tables (read_value.c) ---- */

struct grace_choice {
    const char *name; /* NULL ends the list */
    int value;
};

struct grace_range {
    long long least, most;
};

grace_key_read grace_read_bool;       /* bool */
grace_key_read grace_read_choice;     /* an enum; detail: struct grace_choice[] */
grace_key_read grace_read_duration;   /* uint32_t, milliseconds, above zero */
grace_key_read grace_read_duration_0; /* the same, zero allowed */
grace_key_read grace_read_whole;      /* uint32_t; detail: struct grace_range */
grace_key_read grace_read_text;       /* const char *, not empty */
grace_key_read grace_read_path;       /* const char *, an absolute path */

/* ---- groups and other values of their own ---- */

grace_key_read grace_read_signals; /* uint64_t, a set of GRACE_SIGNAL_BIT (read_signals.c) */
grace_key_read grace_read_deliver; /* uint8_t[65] */
grace_key_read grace_read_hooks;   /* into reader->plan (read_hooks.c) */
grace_key_read grace_read_command; /* const char *const * (read_command.c) */
grace_key_read grace_read_plugin;  /* const char * */
grace_key_read grace_read_options; /* struct grace_hook_plan: options and option_count */

/* What only the whole tells: signals that contradict each other. */
void grace_check_signals(struct grace_reader *reader, const config_setting_t *root);

/* The whole file. */
void grace_read_root(struct grace_reader *reader, const config_setting_t *root);

/* ---- tools (reader.c) ---- */

/* Add a fatal problem at a setting, with the words for where it is: `drain.hold: …`. */
void grace_read_problem(struct grace_reader *reader, const config_setting_t *setting,
                        const char *format, ...) __attribute__((format(printf, 3, 4)));
void grace_read_warning(struct grace_reader *reader, const config_setting_t *setting,
                        const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Add `expected EXPECTED, not VALUE`. */
void grace_read_wrong(struct grace_reader *reader, const config_setting_t *setting,
                      const char *expected);

/* A value as a problem shows it: `the number 30`, `"text"`, `a list`. Returns buffer. */
const char *grace_read_describe(const config_setting_t *setting, char *buffer, size_t size);

void *grace_reader_take(struct grace_reader *reader, size_t size);
const char *grace_reader_copy(struct grace_reader *reader, const char *text);

/* A copy as an absolute path: a relative one starts from the config file's folder. */
const char *grace_reader_absolute(struct grace_reader *reader, const char *path);

/* The string of a string setting, "" for a string that is empty. */
const char *grace_setting_text(const config_setting_t *setting);
bool grace_setting_is_series(const config_setting_t *setting); /* an array or a list */

/*
 * A copy of a series of strings, ended by NULL; *bad is set to the first element that is no string
 * or an empty one (then NULL is returned), or NULL.
 */
const char *const *grace_reader_strings(struct grace_reader *reader, const config_setting_t *series,
                                        bool empty_allowed, const config_setting_t **bad);

/* ---- the plan's memory (plan.c) ---- */

/* A plan with the defaults in an arena of its own, still to be written to. NULL: memory is short.
 */
struct grace_plan *grace_plan_new(struct grace_arena **arena);

/* From now on nobody writes to it. */
void grace_plan_seal(struct grace_plan *plan);

#endif
