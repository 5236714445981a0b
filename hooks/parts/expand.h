/*
 * Options with values of the stop in them: ${GRACE_CAUSE}.
 *
 * ${NAME} stands for a variable of the hook's environment: the story of the stop as commands get
 * it (GRACE_CAUSE, SERVICE_RESULT, …), or what the target was started with. ${NAME:-text} stands
 * for `text` where the variable is empty or absent; $$ is one dollar sign. Values are escaped for
 * where they are put, what the config says itself is not.
 */
#ifndef GRACE_HOOKS_PARTS_EXPAND_H
#define GRACE_HOOKS_PARTS_EXPAND_H

#include "hooks/grace_hook.h"

enum grace_escape {
    GRACE_ESCAPE_NONE,
    GRACE_ESCAPE_LINE, /* control bytes become blanks: a value cannot begin another line */
    GRACE_ESCAPE_JSON, /* what may stand in a JSON string; bytes that are not UTF-8 become U+FFFD */
    GRACE_ESCAPE_URL   /* all but letters, digits and -._~ become %XX */
};

/* For configure(): whether each ${ is closed, has a name, and one that begins with GRACE_ is one
 * that there is. Returns 0, or -1 with the error set; `option` is named in it. */
int grace_expand_check(const char *option, const char *text, struct grace_error *error);

/* The text with its values, to be freed; NULL with the error set: a variable that is not there and
 * has no `:-`, or no memory. */
char *grace_expand(const char *option, const char *text, enum grace_escape escape,
                   struct grace_error *error);

/* The same for the first `length` bytes of the text. */
char *grace_expand_part(const char *option, const char *text, size_t length,
                        enum grace_escape escape, struct grace_error *error);

#endif
