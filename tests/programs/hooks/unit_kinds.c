/* An in-process plugin that asks for one option of every type and says in its error what it got. */
#include <grace_hook.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static char *configured;

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    /* One after the other: the error message lists the names in this order. */
    const char *string = grace_option_string(options, "string", "none");
    int64_t integer = grace_option_int(options, "int", -1);
    double real = grace_option_float(options, "float", -1.5);
    int boolean = grace_option_bool(options, "bool", -1);
    int64_t duration = grace_option_duration_ms(options, "duration", -1);
    const char *const *list = grace_option_list(options, "list");
    int given = grace_option_given(options, "given");
    configured = calloc(1, sizeof error->text);
    *state = configured;
    snprintf(configured, sizeof error->text, "%s %" PRId64 " %.2f %d %" PRId64 " given=%d", string,
             integer, real, boolean, duration, given);
    for (; list != NULL && *list != NULL; list++) {
        strcat(configured, " ");
        strcat(configured, *list);
    }
    if (grace_option_given(options, "refuse"))
        return grace_error_set(error, "refused: %s", grace_option_string(options, "refuse", ""));
    return 0;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    (void)stop;
    return grace_error_set(error, "%s", (const char *)state);
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_IN_PROCESS,
    0,
    "kinds",
    "tells its options",
    configure,
    run,
    release,
};
