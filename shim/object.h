/*
 * What the dynamic linker has loaded, asked without dlsym or dladdr: dladdr walks an object's whole
 * symbol table (some 30 us for libc's, and a page fault for each of its pages), which every start
 * of a target would pay.
 */
#ifndef GRACE_SHIM_OBJECT_H
#define GRACE_SHIM_OBJECT_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether an address lies in libgrace.so itself. Async-signal-safe. */
bool grace_object_is_own(uintptr_t address);

/* Whether an address lies in one of the object's segments. Async-signal-safe. */
bool grace_object_covers(const struct dl_phdr_info *object, uintptr_t address);

/* A function that the object defines, by its GNU hash table, in any version. False: it defines none
 * of that name. Async-signal-safe. */
struct grace_function {
    uintptr_t address;
    size_t size;
};
bool grace_object_function(const struct dl_phdr_info *object, const char *name,
                           struct grace_function *function);

/* The same in libc, past whoever stands in front of it. Takes the dynamic linker's lock. */
bool grace_libc_function(const char *name, struct grace_function *function);

/* Whether the object is linked with the one of that file name (without a folder).
 * Async-signal-safe.
 */
bool grace_object_needs(const struct dl_phdr_info *object, const char *name);

/* The name under which libgrace.so was loaded; NULL when it is not found. Lives as long as
 * libgrace. Takes the dynamic linker's lock. */
const char *grace_object_own_name(void);

#endif
