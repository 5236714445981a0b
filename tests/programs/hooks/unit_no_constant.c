/* What calls itself a plugin, but fills its numbers in only when it is loaded. */
#include <grace_hook.h>

#pragma GCC visibility push(default)
struct grace_hook grace_hook;
#pragma GCC visibility pop
