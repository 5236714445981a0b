/*
 * sigvec, 4.3BSD's: no header declares it any more, but libc keeps it for programs that were built
 * with glibc before 2.21. It is sigaction with a mask of 32 bits and flags of its own. (Not looked
 * up: dlsym finds no symbol that only old programs may link to.)
 */
#include "../shim.h"

#include <string.h>

struct sigvec {
    void (*handler)(int);
    int mask, flags;
};

enum { ON_STACK = 1, INTERRUPTS = 2, ONCE = 4 };

static struct sigaction action_of(const struct sigvec *vector)
{
    struct sigaction action = {.sa_handler = vector->handler};
    uint64_t mask = (uint32_t)vector->mask;
    unsigned flags = (vector->flags & ON_STACK ? SA_ONSTACK : 0u) |
                     (vector->flags & INTERRUPTS ? 0u : SA_RESTART) |
                     (vector->flags & ONCE ? (unsigned)SA_RESETHAND : 0u);
    memcpy(&action.sa_mask, &mask, sizeof mask);
    action.sa_flags = (int)flags;
    return action;
}

static struct sigvec vector_of(const struct sigaction *action)
{
    unsigned flags = (unsigned)action->sa_flags;
    struct sigvec vector = {.handler = action->sa_handler};
    memcpy(&vector.mask, &action->sa_mask, sizeof vector.mask);
    vector.flags = (flags & SA_ONSTACK ? ON_STACK : 0) | (flags & SA_RESTART ? 0 : INTERRUPTS) |
                   (flags & (unsigned)SA_RESETHAND ? ONCE : 0);
    return vector;
}

int sigvec(int signo, const struct sigvec *vector, struct sigvec *old);

__attribute__((visibility("default"))) int sigvec(int signo, const struct sigvec *vector,
                                                  struct sigvec *old)
{
    struct sigaction action, before;
    if (vector != NULL)
        action = action_of(vector);
    if (grace_disposition(signo, vector == NULL ? NULL : &action, &before,
                          grace_real_sigaction()) != 0)
        return -1;
    if (old != NULL)
        *old = vector_of(&before);
    return 0;
}
