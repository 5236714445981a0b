/* What a hook's command writes, on its way into the log. Async-signal-safe. */
#ifndef GRACE_HOOKS_OUTPUT_H
#define GRACE_HOOKS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Output of one run that is logged; what is above either is counted only. A line costs a system
 * call, or a message to syslog: a command that prints "y" for ever must not take its time in that.
 */
#define GRACE_OUTPUT_LIMIT     (64 * 1024)
#define GRACE_OUTPUT_LINES_MAX 1000

/* Longer lines are logged in pieces of this size. */
#define GRACE_OUTPUT_LINE_MAX 800

struct grace_output {
    const char *hook;
    int pid; /* the program's, for the log */
    size_t length;
    unsigned lines;
    uint64_t taken; /* bytes within the limit */
    uint64_t cut;   /* bytes above it */
    char line[GRACE_OUTPUT_LINE_MAX];
};

void grace_output_start(struct grace_output *output, const char *hook, int pid);
void grace_output_add(struct grace_output *output, const char *bytes, size_t length);
/* Log the last line, ended by a newline or not, and how much was cut. */
void grace_output_end(struct grace_output *output);

#endif
