#include "options.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/duration.h"
#include "text.h"

/* What one configure() asked for so far. */
struct asking {
    const struct grace_hook_plan *plan;
    bool *asked;             /* one per option of the plan */
    struct grace_text known; /* the names that it asked for, for the user */
    char known_buffer[256];
    bool wrong; /* an option has another type than asked for: see the error */
    struct grace_error error;
};

/* Add the name to the list, once. */
static void note_known(struct grace_text *known, const char *name)
{
    size_t length = strlen(name);
    if (length == 0)
        return;
    for (const char *at = known->buffer; (at = strstr(at, name)) != NULL; at++) {
        if ((at == known->buffer || at[-1] == ' ') && (at[length] == ',' || at[length] == '\0'))
            return;
    }
    if (known->length > 0)
        grace_text_add(known, ", ");
    grace_text_add(known, name);
}

/* The option of that name, marked as asked for; NULL when the config does not give it. */
static const struct grace_option_plan *ask(struct asking *asking, const char *name)
{
    const struct grace_option_plan *found = NULL;
    for (size_t i = 0; i < asking->plan->option_count; i++) {
        if (strcmp(asking->plan->options[i].name, name) == 0) {
            found = &asking->plan->options[i];
            asking->asked[i] = true;
        }
    }
    note_known(&asking->known, name);
    return found;
}

static const char *type_name(enum grace_option_type type)
{
    switch (type) {
    case GRACE_OPTION_STRING:
        return "a string";
    case GRACE_OPTION_INT:
        return "a whole number";
    case GRACE_OPTION_FLOAT:
        return "a number";
    case GRACE_OPTION_BOOL:
        return "true or false";
    default:
        return "a list of strings";
    }
}

/* Only the first is told: the others are often its consequence. */
static void note_wrong(struct asking *asking, const struct grace_option_plan *option,
                       const char *expected)
{
    if (asking->wrong)
        return;
    asking->wrong = true;
    grace_error_set(&asking->error, "option \"%s\" (line %u) is %s; expected %s", option->name,
                    option->line, type_name(option->type), expected);
}

static const char *get_string(void *context, const char *name, const char *fallback)
{
    const struct grace_option_plan *option = ask(context, name);
    if (option == NULL)
        return fallback;
    if (option->type == GRACE_OPTION_STRING)
        return option->value.string;
    note_wrong(context, option, "a string");
    return fallback;
}

static int64_t get_integer(void *context, const char *name, int64_t fallback)
{
    const struct grace_option_plan *option = ask(context, name);
    if (option == NULL)
        return fallback;
    if (option->type == GRACE_OPTION_INT)
        return option->value.integer;
    note_wrong(context, option, "a whole number");
    return fallback;
}

static double get_real(void *context, const char *name, double fallback)
{
    const struct grace_option_plan *option = ask(context, name);
    if (option == NULL)
        return fallback;
    if (option->type == GRACE_OPTION_FLOAT)
        return option->value.real;
    if (option->type == GRACE_OPTION_INT)
        return (double)option->value.integer;
    note_wrong(context, option, "a number");
    return fallback;
}

static int get_boolean(void *context, const char *name, int fallback)
{
    const struct grace_option_plan *option = ask(context, name);
    if (option == NULL)
        return fallback;
    if (option->type == GRACE_OPTION_BOOL)
        return option->value.boolean;
    note_wrong(context, option, "true or false");
    return fallback;
}

static int64_t get_duration_ms(void *context, const char *name, int64_t fallback)
{
    struct asking *asking = context;
    const struct grace_option_plan *option = ask(asking, name);
    if (option == NULL)
        return fallback;
    if (option->type != GRACE_OPTION_STRING) {
        note_wrong(asking, option, "a duration with its unit, as \"30s\" or \"250ms\"");
        return fallback;
    }
    uint32_t milliseconds;
    if (grace_duration_parse(option->value.string, &milliseconds) == 0)
        return milliseconds;
    if (!asking->wrong)
        grace_error_set(&asking->error,
                        "option \"%s\" (line %u) is \"%.100s\"; expected a duration with its unit, "
                        "as \"30s\" or \"250ms\"",
                        name, option->line, option->value.string);
    asking->wrong = true;
    return fallback;
}

/* Lists of one that were made for a single string: kept as long as the process lives, as promised.
 */
struct kept_list {
    struct kept_list *next;
    const char *strings[2];
};
static struct kept_list *kept_lists;

static const char *const *list_of_one(const char *string)
{
    struct kept_list *kept = malloc(sizeof *kept);
    if (kept == NULL)
        return NULL;
    *kept = (struct kept_list){kept_lists, {string, NULL}};
    kept_lists = kept;
    return kept->strings;
}

static const char *const *get_list(void *context, const char *name)
{
    const struct grace_option_plan *option = ask(context, name);
    if (option == NULL)
        return NULL;
    if (option->type == GRACE_OPTION_LIST)
        return option->value.list;
    if (option->type == GRACE_OPTION_STRING)
        return list_of_one(option->value.string);
    note_wrong(context, option, "a list of strings");
    return NULL;
}

static int is_given(void *context, const char *name)
{
    return ask(context, name) != NULL;
}

/* Returns -1 with the error set when the config gives an option that nobody asked for. */
static int check_unknown(const struct asking *asking, const struct grace_hook *hook,
                         struct grace_error *error)
{
    for (size_t i = 0; i < asking->plan->option_count; i++) {
        const struct grace_option_plan *option = &asking->plan->options[i];
        if (asking->asked[i])
            continue;
        const char *plugin = hook->name != NULL ? hook->name : asking->plan->plugin;
        if (asking->known.length == 0)
            return grace_error_set(error,
                                   "unknown option \"%s\" (line %u): plugin %s has no options",
                                   option->name, option->line, plugin);
        return grace_error_set(error, "unknown option \"%s\" (line %u): plugin %s knows %s",
                               option->name, option->line, plugin, asking->known.buffer);
    }
    return 0;
}

static int ask_hook(const struct grace_hook *hook, struct asking *asking, void **state,
                    struct grace_error *error)
{
    const struct grace_options options = {
        .size = sizeof options,
        .context = asking,
        .string = get_string,
        .integer = get_integer,
        .real = get_real,
        .boolean = get_boolean,
        .duration_ms = get_duration_ms,
        .list = get_list,
        .given = is_given,
    };
    int failed = hook->configure != NULL ? hook->configure(&options, state, error) : 0;
    if (failed == 0 && !asking->wrong && check_unknown(asking, hook, error) == 0)
        return 0;
    if (asking->wrong)
        *error = asking->error;
    else if (failed != 0 && error->text[0] == '\0')
        grace_error_set(error, "its configure failed and does not say why");
    /* What it took when it thought that all was well. */
    if (failed == 0 && hook->size >= offsetof(struct grace_hook, release) + sizeof(void *) &&
        hook->release != NULL && hook->configure != NULL)
        hook->release(*state);
    *state = NULL;
    return -1;
}

int grace_options_configure(const struct grace_hook *hook, const struct grace_hook_plan *plan,
                            void **state, struct grace_error *error)
{
    struct asking asking = {.plan = plan, .error = {.size = sizeof asking.error}};
    grace_text_start(&asking.known, asking.known_buffer, sizeof asking.known_buffer);
    asking.asked = calloc(plan->option_count + 1, sizeof *asking.asked);
    if (asking.asked == NULL)
        return grace_error_set(error, "out of memory");
    error->text[0] = '\0';
    *state = NULL;
    int result = ask_hook(hook, &asking, state, error);
    free(asking.asked);
    return result;
}
