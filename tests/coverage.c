/*
 * Only in the libgrace.so of `make coverage`: what ran is written down at exit, and a stop that
 * libgrace leads ends without one. The conductor's thread is no signal handler, so it may do it.
 */
#include "shim/shim.h"

void __gcov_dump(void); /* gcov.h, which only gcc has */
_Noreturn void __real_grace_end(bool in_thread);
_Noreturn void __wrap_grace_end(bool in_thread);

_Noreturn void __wrap_grace_end(bool in_thread)
{
    if (in_thread)
        __gcov_dump();
    __real_grace_end(in_thread);
}
