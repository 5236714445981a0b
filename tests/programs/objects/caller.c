/*
 * Calls getpgrp in every way that an object can: built several times, bound at once or lazily, with
 * and without a table of its own for calls (Makefile). For tests/unit/test_redirect.c.
 */
#include <unistd.h>

typedef pid_t function(void);

/* What the loader fills in and makes read-only, and what stays writable. */
static function *const constant = getpgrp;
static function *variable = getpgrp;

int call_directly(void);
int call_directly(void)
{
    return getpgrp();
}

int call_by_constant(void);
int call_by_constant(void)
{
    function *const volatile *where = &constant;
    return (*where)();
}

int call_by_variable(void);
int call_by_variable(void)
{
    function **volatile where = &variable;
    return (*where)();
}

/* The program has a function of its own by this name. */
int call_own(void);
int call_own(void)
{
    return getpgid(41);
}
