/*
 * Who is the owner after the owner. The ledger's word is not enough: what it names must have this
 * ledger in its memory, as a child of the target's has, or the pid file must name it too.
 */
#ifndef GRACE_OPS_SUCCESSION_H
#define GRACE_OPS_SUCCESSION_H

#include "keeper.h"

/* The process that the owner has named itself as the next one; it may have ended already. 0: it
 * named none, or one that cannot be it (or not yet, while it executes another program). */
int grace_succession_named(const struct grace_keeper *keeper, int ledger_fd);

/* The owner left without a word, by a door that libgrace does not see, with status 0 and no stop
 * under way: make the child the owner that takes over, with a line in the log. 0: there is none. */
int grace_succession_appoint(const struct grace_keeper *keeper, int ledger_fd);

/* The same by the pid file alone, at any time: the process that it names, which now is the owner;
 * 0: none. */
int grace_succession_by_file(const struct grace_keeper *keeper);

#endif
