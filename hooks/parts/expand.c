#include "expand.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/text.h"

#define EXPANDED_MAX (1024 * 1024)

/* One ${…} of a text. */
struct variable {
    char name[128];
    const char *fallback; /* behind :-, or NULL */
    size_t fallback_length;
    const char *end; /* behind the } */
};

/* What every hook's environment has of the stop, some of it empty. */
static const char *const stories[] = {
    "GRACE_PID",
    "GRACE_PROGRAM",
    "GRACE_CAUSE",
    "GRACE_SIGNAL",
    "GRACE_EXIT_STATUS",
    "GRACE_HOOK",
    "GRACE_PHASE",
    "GRACE_ATTEMPT",
    "GRACE_REMAINING_MS",
    "GRACE_SENDER_PID",
    "GRACE_SENDER_UID",
    "GRACE_GONE",
    "GRACE_DURATION_MS",
    "GRACE_HOOKS_DONE",
    "GRACE_HOOKS_FAILED",
    "GRACE_HOOKS_SKIPPED",
    "GRACE_CONNECTIONS_FINISHED",
    "GRACE_CONNECTIONS_CUT",
    "SERVICE_RESULT",
    "EXIT_CODE",
    "EXIT_STATUS",
};

static int is_story(const char *name)
{
    for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++) {
        if (strcmp(stories[i], name) == 0)
            return 1;
    }
    return 0;
}

static int is_name(const char *text, size_t length)
{
    if (length == 0 || isdigit((unsigned char)text[0]))
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return 0;
    }
    return 1;
}

/* `at` points to "${". Returns 0, or -1 with the error set. */
static int parse(const char *option, const char *at, struct variable *variable,
                 struct grace_error *error)
{
    const char *name = at + 2, *close = strchr(name, '}');
    if (close == NULL)
        return grace_error_set(error, "option \"%s\": \"%.40s\" has no }; expected ${NAME}", option,
                               at);
    size_t length = strcspn(name, ":}");
    variable->fallback = name[length] == ':' ? name + length + 2 : NULL;
    int wrong = name[length] == ':' && name[length + 1] != '-';
    if (wrong || !is_name(name, length) || length >= sizeof variable->name)
        return grace_error_set(error,
                               "option \"%s\": \"%.*s\" is no variable; expected ${NAME} or "
                               "${NAME:-text}",
                               option, (int)(close - at + 1 < 60 ? close - at + 1 : 60), at);
    memcpy(variable->name, name, length);
    variable->name[length] = '\0';
    variable->fallback_length =
        variable->fallback != NULL ? (size_t)(close - variable->fallback) : 0;
    variable->end = close + 1;
    if (strncmp(variable->name, "GRACE_", 6) == 0 && !is_story(variable->name))
        return grace_error_set(error,
                               "option \"%s\": there is no ${%s}; expected a name as "
                               "${GRACE_CAUSE}: grace.conf(5) lists them",
                               option, variable->name);
    return 0;
}

int grace_expand_check(const char *option, const char *text, struct grace_error *error)
{
    struct variable variable;
    for (const char *at = text; (at = strchr(at, '$')) != NULL;) {
        if (at[1] == '{') {
            if (parse(option, at, &variable, error) != 0)
                return -1;
            at = variable.end;
        } else {
            at += at[1] == '$' ? 2 : 1;
        }
    }
    return 0;
}

static void add_url(struct grace_text *result, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *value != '\0'; value++) {
        unsigned char byte = (unsigned char)*value;
        if (isalnum(byte) || strchr("-._~", byte) != NULL) {
            grace_text_add_char(result, (char)byte);
        } else {
            grace_text_add_char(result, '%');
            grace_text_add_char(result, digits[byte >> 4]);
            grace_text_add_char(result, digits[byte & 15]);
        }
    }
}

static void add_value(struct grace_text *result, const char *value, enum grace_escape escape)
{
    switch (escape) {
    case GRACE_ESCAPE_JSON:
        grace_text_add_json(result, value, strlen(value));
        return;
    case GRACE_ESCAPE_URL:
        add_url(result, value);
        return;
    case GRACE_ESCAPE_LINE:
        for (; *value != '\0'; value++)
            grace_text_add_char(result, iscntrl((unsigned char)*value) ? ' ' : *value);
        return;
    default:
        grace_text_add(result, value);
    }
}

static int add_variable(struct grace_text *result, const char *option,
                        const struct variable *variable, enum grace_escape escape,
                        struct grace_error *error)
{
    const char *value = getenv(variable->name);
    if (value != NULL && value[0] != '\0')
        add_value(result, value, escape);
    else if (variable->fallback != NULL)
        grace_text_add_bytes(result, variable->fallback, variable->fallback_length);
    else if (value == NULL && !is_story(variable->name))
        return grace_error_set(error,
                               "option \"%s\": the environment has no %s; ${%s:-text} says what to "
                               "take instead",
                               option, variable->name, variable->name);
    return 0;
}

static int fill(struct grace_text *result, const char *option, const char *text, size_t length,
                enum grace_escape escape, struct grace_error *error)
{
    struct variable variable = {.end = text};
    const char *end = text + length;
    while (text < end) {
        if (text[0] == '$' && text[1] == '{') {
            if (parse(option, text, &variable, error) != 0 ||
                add_variable(result, option, &variable, escape, error) != 0)
                return -1;
            text = variable.end;
        } else {
            grace_text_add_char(result, *text);
            text += text[0] == '$' && text[1] == '$' ? 2 : 1;
        }
    }
    return 0;
}

char *grace_expand_part(const char *option, const char *text, size_t length,
                        enum grace_escape escape, struct grace_error *error)
{
    for (size_t size = 4096; size <= EXPANDED_MAX; size *= 4) {
        struct grace_text result;
        char *buffer = malloc(size);
        if (buffer == NULL)
            break;
        grace_text_start(&result, buffer, size);
        if (fill(&result, option, text, length, escape, error) != 0) {
            free(buffer);
            return NULL;
        }
        if (!result.cut)
            return buffer;
        free(buffer);
    }
    grace_error_set(error, "option \"%s\": it becomes too long; at most 1 MiB", option);
    return NULL;
}

char *grace_expand(const char *option, const char *text, enum grace_escape escape,
                   struct grace_error *error)
{
    return grace_expand_part(option, text, strlen(text), escape, error);
}
