/*
 * A first look at a config's text, before libconfig gets it.
 *
 * libconfig knows one message, "syntax error", and it accepts in silence what nobody means: it
 * stops reading at a zero byte, takes a text that ends inside a string or a comment, wraps
 * 4294967297 to 1, and drops \x00 from strings. Here all of that is reported, with the place where
 * it begins. What passes cannot make libconfig recurse deeply or search long lists of names.
 */
#ifndef GRACE_CONFIG_SCAN_H
#define GRACE_CONFIG_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"

/* How deep brackets may be nested, and how many settings one group may hold. */
#define GRACE_CONFIG_DEPTH_MAX 32
#define GRACE_CONFIG_KEYS_MAX  256

/*
 * Returns true when libconfig may read the text. False: brackets, strings or comments are not
 * closed, a number is out of range, or it is no text, and the problems say so. `file` stands for it
 * in messages.
 */
bool grace_scan(const char *text, size_t length, const char *file, struct grace_problems *problems);

#endif
