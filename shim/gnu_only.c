/*
 * What only GNU's libc has, behind hidden functions of the same names.
 *
 * The loader of another libc (musl) that finds LD_PRELOAD in its environment loads libgrace.so,
 * too, and ends the program when a reference cannot be resolved. So nothing that only GNU's libc
 * has is referred to directly: it is looked up when it is needed, which is never there (preload.c,
 * is_in_front). A test runs a program of musl's.
 */
#include "shim.h"

#include <string.h>

#include "calls/real.h"

typedef const char *describing(int);
typedef int describing_address(const void *, Dl_info *, void **, int);
typedef int registering(void (*)(void), void (*)(void), void (*)(void), void *);

const char *strerrordesc_np(int error)
{
    describing *real = GRACE_REAL(describing, "strerrordesc_np");
    return real == NULL ? NULL : real(error);
}

/* libc's copies of pthread_atfork say by it which object registers: none, we are never unloaded.
 * The compiler's start files have one, and with it a mapping more for each fork to copy; they are
 * left out of libgrace.so, and in the programs of tests theirs is taken. */
extern void *const __dso_handle __attribute__((visibility("hidden")));
__attribute__((weak)) void *const __dso_handle = NULL;

/* pthread_atfork, which each program and library has a copy of, calls this. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *object);
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *object)
{
    registering *real = GRACE_REAL(registering, "__register_atfork");
    return real == NULL ? ENOSYS : real(prepare, parent, child, object);
}

int dladdr1(const void *address, Dl_info *info, void **extra, int flags)
{
    describing_address *real = GRACE_REAL(describing_address, "dladdr1");
    return real == NULL ? 0 : real(address, info, extra, flags);
}
