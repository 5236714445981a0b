/*
 * Finding libc's own version of a call that we interpose: the next one after ours in the search
 * order, so that other preloaded libraries get their turn. Looked up at first use, since calls may
 * come before our constructor; every symbol asked for exists, so dlsym does not allocate.
 */
#ifndef GRACE_SHIM_CALLS_REAL_H
#define GRACE_SHIM_CALLS_REAL_H

#include <dlfcn.h>
#include <stdatomic.h>

/* A type cannot be in parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define GRACE_REAL(type, name)                                                                     \
    __extension__({                                                                                \
        static _Atomic(type *) found_;                                                             \
        type *real_ = atomic_load_explicit(&found_, memory_order_relaxed);                         \
        if (real_ == NULL) {                                                                       \
            real_ = (type *)dlsym(RTLD_NEXT, name);                                                \
            atomic_store_explicit(&found_, real_, memory_order_relaxed);                           \
        }                                                                                          \
        real_;                                                                                     \
    })
/* NOLINTEND(bugprone-macro-parentheses) */

/* Look up what a child of fork calls soon, before the first fork: each child would have to anew,
 * since it finds it in its own memory only. */
void grace_exec_look_up(void);
void grace_exit_look_up(void);

#endif
