// An in-process hook in C++ whose run() throws.
#include <stdexcept>

#include <grace_hook.h>

static int run(void *, const struct grace_stop *, struct grace_error *)
{
    throw std::runtime_error("nobody catches this");
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof(struct grace_hook),
    GRACE_HOOK_IN_PROCESS,
    0,
    "throw",
    "throws",
    nullptr,
    run,
    nullptr,
};
