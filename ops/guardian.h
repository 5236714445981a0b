/* The guardian: see guardian.c. */
#ifndef GRACE_OPS_GUARDIAN_H
#define GRACE_OPS_GUARDIAN_H

#include <stdint.h>

/* The name under which libgrace.so starts the grace command to be the guardian. */
#define GRACE_GUARDIAN_NAME "grace-guardian"

/*
 * argv: name, config, program, pid of the owner; descriptors: 3 the ledger, 4 a pidfd of the owner.
 * Started by `grace run`, which stays as the parent: one more word, "told", and 5, a pipe on which
 * a struct grace_guardian_told comes for each owner that was reaped.
 */
#define GRACE_GUARDIAN_TOLD "told"

struct grace_guardian_told {
    int32_t pid, status; /* the wait status */
};

int grace_guardian_main(int argc, char **argv);

#endif
