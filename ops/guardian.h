/* The guardian: see guardian.c. */
#ifndef GRACE_OPS_GUARDIAN_H
#define GRACE_OPS_GUARDIAN_H

/* The name under which libgrace.so starts the grace command to be the guardian. */
#define GRACE_GUARDIAN_NAME "grace-guardian"

/* argv: name, config, program, pid of the owner; descriptors: 3 the ledger, 4 a pidfd of the owner.
 */
int grace_guardian_main(int argc, char **argv);

#endif
