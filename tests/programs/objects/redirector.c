/* Redirects getpgrp and getpgid to functions of its own, through shim/redirect.c, as libgrace.so
 * does. For tests/unit/test_redirect.c. */
#include "shim/redirect.h"

#include <dlfcn.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static pid_t minus_seven(void)
{
    return -7;
}

static pid_t minus_eight(pid_t pid)
{
    (void)pid;
    return -8;
}

static struct grace_redirection list[] = {
    {.name = "getpgrp", .replacement = (void *)minus_seven, .unbound = true},
    {.name = "getpgid", .replacement = (void *)minus_eight},
    {.name = "getpgrp", .replacement = (void *)minus_eight, .original = NULL},
};
static struct grace_redirect redirect = {.list = list, .count = 3};

EXPORT int redirector_apply(void);
EXPORT int redirector_apply(void)
{
    list[0].original = dlsym(RTLD_NEXT, "getpgrp");
    list[1].original = dlsym(RTLD_NEXT, "getpgid");
    list[1].unbound = dlsym(RTLD_DEFAULT, "getpgid") == list[1].original;
    return grace_redirect(&redirect);
}

EXPORT int redirector_undo(void);
EXPORT int redirector_undo(void)
{
    return grace_redirect_undo(&redirect);
}

EXPORT int call_directly(void);
EXPORT int call_directly(void)
{
    return getpgrp();
}
