/*
 * Redirecting calls late: from some moment on, the calls that the target's objects make to a
 * function reach another one, by way of the pointers (GOT entries) that those calls go through.
 * Before that moment nothing is wrapped. How it works and what it leaves alone: redirect.c.
 *
 * Needs nothing of libgrace but hooks/kernel.c, so that libgrace-db.so can have it, too.
 */
#ifndef GRACE_SHIM_REDIRECT_H
#define GRACE_SHIM_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * One function. Pointers under this name that hold `original` are made to hold `replacement`; those
 * that hold anything else are not touched: the name is somebody's own there, or goes through
 * another guest. An entry whose `original` is NULL does nothing. Where a name leads to different
 * functions in different objects (a preload's and libc's), each has an entry of its own.
 */
struct grace_redirection {
    const char *name;
    void *replacement;
    void *original;
    bool unbound; /* also pointers that the loader has not bound yet (lazy binding). For the entry
                     whose `original` the loader would find. */
};

/* A list of them, and how far it is applied. The lists and names are the caller's and stay. */
struct grace_redirect {
    const struct grace_redirection *list;
    size_t count;
    unsigned long long adds; /* the loader's count of objects, as it was when we looked last */
    unsigned looks;          /* how often all pointers were looked at since that count changed */
};

/*
 * Apply the list to every object that is loaded; to be called again now and then, for those that
 * are loaded later: a call that finds nothing new ends at the first object. Returns the number of
 * pointers that were changed. An object is left out when it contains one of the originals or
 * replacements, or its file's name begins with "libgrace". Objects in other namespaces (dlmopen)
 * are out of reach.
 *
 * In normal context only, one thread at a time; allocates nothing and keeps errno. Waits for the
 * loader's list lock, which is held for moments (never while constructors run): a child that was
 * forked at such a moment would wait for ever, so call it where a wait is bounded.
 */
int grace_redirect(struct grace_redirect *redirect);

/* Take it back: pointers that hold a replacement hold its original again. What copied such a
 * pointer meanwhile goes on calling the replacement. Otherwise as grace_redirect. */
int grace_redirect_undo(struct grace_redirect *redirect);

#endif
