/*
 * Only in the libgrace-db.so of `make coverage`, which counts for itself: what ran is written down
 * at each look of a drain, on the conductor's thread, since a program with connections mostly ends
 * by the signal that it was sent.
 */
#include "shim/db/db.h"

void __gcov_dump(void); /* gcov.h, which only gcc has */
void __gcov_reset(void);
unsigned __real_grace_db_threads_at_work(int32_t helper, unsigned *parked);
unsigned __wrap_grace_db_threads_at_work(int32_t helper, unsigned *parked);

unsigned __wrap_grace_db_threads_at_work(int32_t helper, unsigned *parked)
{
    unsigned count = __real_grace_db_threads_at_work(helper, parked);
    __gcov_dump();
    __gcov_reset(); /* or else it is not written down a second time */
    return count;
}
