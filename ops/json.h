/* What the tables of the command have in common as JSON. */
#ifndef GRACE_OPS_JSON_H
#define GRACE_OPS_JSON_H

#include <stdio.h>

/* A string with its quotes, or null for NULL. Bytes that are no UTF-8 become U+FFFD. */
void grace_json_put(const char *text, FILE *to);

#endif
