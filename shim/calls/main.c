/*
 * __libc_start_main: main is wrapped, because a return from it reaches exit inside libc, where no
 * interposed exit is seen. The same holds for errx, error and the last pthread_exit: for those
 * there is a net, registered before the target's main so that it runs after the target's own
 * handlers of atexit, and before the destructors of plugins.
 */
#include "../shim.h"

#include <stdlib.h>

#include "real.h"

typedef int main_function(int, char **, char **);
typedef int start_function(main_function *, int, char **, void (*)(void), void (*)(void),
                           void (*)(void), void *);

typedef int registering(void (*)(int, void *), void *);

static main_function *target_main;

static void net(int status, void *unused)
{
    (void)unused;
    grace_stop_by_call(GRACE_CAUSE_EXIT, status & 0xff);
}

static int main_of_grace(int argc, char **argv, char **environment)
{
    GRACE_REAL(registering, "on_exit")(net, NULL);
    int status = target_main(argc, argv, environment);
    grace_stop_by_call(GRACE_CAUSE_RETURN, status & 0xff);
    return status;
}

__attribute__((visibility("default"))) int
__libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                  void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
    start_function *real = GRACE_REAL(start_function, "__libc_start_main");
    if (!grace_is_owner())
        return real(main, argc, argv, init, fini, rtld_fini, stack_end);
    target_main = main;
    return real(main_of_grace, argc, argv, init, fini, rtld_fini, stack_end);
}

/* The last net, should main not have been started through us. */
__attribute__((destructor)) static void destruct(void)
{
    grace_stop_by_call(GRACE_CAUSE_EXIT, -1);
}
