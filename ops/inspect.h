/* What `grace inspect` found out, and showing it. */
#ifndef GRACE_OPS_INSPECT_H
#define GRACE_OPS_INSPECT_H

#include <stdio.h>

#include "config/plan.h"
#include "process.h"
#include "program.h"

enum grace_verdict {
    GRACE_VERDICT_WORKS,
    GRACE_VERDICT_WORKS_BUT,
    GRACE_VERDICT_OUTSIDE,   /* cannot be preloaded */
    GRACE_VERDICT_CANNOT_RUN /* there is no such program, or it cannot be executed */
};

#define GRACE_INSPECTION_NOTES 16

struct grace_inspection {
    struct grace_program program;
    struct grace_process process; /* pid 0: a program, not a process */
    enum grace_verdict verdict;
    size_t note_count;
    char notes[GRACE_INSPECTION_NOTES][200]; /* what to know or do, a sentence each */
};

void grace_inspection_print(const struct grace_inspection *inspection, bool colour, FILE *to);
void grace_inspection_print_json(const struct grace_inspection *inspection, FILE *to);

#endif
