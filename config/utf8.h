/* UTF-8, as far as a config needs it: is this text that can be shown as it stands? */
#ifndef GRACE_CONFIG_UTF8_H
#define GRACE_CONFIG_UTF8_H

#include <stddef.h>

/*
 * The number of bytes of the character at `text`, 1 to 4; 0 when it is a control character (the end
 * of the string included) or not UTF-8. Reads nothing behind the string's end.
 * Async-signal-safe.
 */
size_t grace_utf8_length(const char *text);

#endif
