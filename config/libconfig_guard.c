#include "libconfig_guard.h"

#include <locale.h>
#include <string.h>

#include "libconfig_state.h"
#include "scan.h"

_Thread_local struct grace_libconfig_state *grace_libconfig_now
    __attribute__((tls_model("initial-exec")));

_Noreturn void grace_libconfig_give_up(const char *reason)
{
    grace_libconfig_now->reason = reason;
    siglongjmp(grace_libconfig_now->back, 1);
}

/* Its messages in words that say what was expected; others are shown as they are. */
static const struct {
    const char *theirs, *ours;
} messages[] = {
    {"syntax error",
     "syntax error here or just before; expected NAME = VALUE; with strings in quotes"},
    {"duplicate setting name", "this setting is there twice in the same group; expected once"},
    {"mismatched element type in array",
     "values of different types in [ ]; expected one type, or a list ( )"},
    {"include file nesting too deep", "include file nesting too deep; expected 10 levels at most"},
};

static const char *translate(const char *theirs)
{
    if (strcmp(theirs, "cannot open include file") == 0)
        return grace_libconfig_now->include_reason;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        if (strcmp(messages[i].theirs, theirs) == 0)
            return messages[i].ours;
    return theirs;
}

/* libconfig said no: say why, as well as can be known. */
static void report(const config_t *config)
{
    const config_setting_t place = {.file = config->error_file};
    const char *text = translate(config->error_text != NULL ? config->error_text : "syntax error");
    unsigned line = config->error_line > 0 ? (unsigned)config->error_line : 0;

    if (*text != '\0') /* what is wrong inside an included file was said already */
        grace_problem_add(grace_libconfig_now->problems, GRACE_FATAL, grace_libconfig_file(&place),
                          line, "%s", text);
}

bool grace_libconfig_parse(const struct grace_input *input, const char *name, const char *folder,
                           struct grace_problems *problems,
                           void (*visit)(const config_setting_t *root, void *context),
                           void *context)
{
    struct grace_libconfig_state mine = {.memory = input->memory,
                                         .size = input->length - 1,
                                         .input = input,
                                         .name = name,
                                         .folder = folder,
                                         .problems = problems};
    struct grace_libconfig_state *const outer = grace_libconfig_now;
    const locale_t locale = uselocale((locale_t)0);
    volatile bool fine = false; /* it is read after a jump */

    if (!grace_scan(input->text, input->length, name, problems))
        return false;
    grace_libconfig_now = &mine;
    if (sigsetjmp(mine.back, 0) == 0) {
        config_init(&mine.config);
        if (config_read_string(&mine.config, input->text)) {
            uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0)); /* one that libc has ready */
            visit(mine.config.root, context);
            fine = true;
        } else {
            report(&mine.config);
        }
    } else {
        grace_problem_add(problems, GRACE_FATAL, name, 0, "cannot be read: %s", mine.reason);
    }
    uselocale(locale);
    grace_libconfig_now = outer;
    return fine;
}
