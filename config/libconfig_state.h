/*
 * The state of one parse, shared by the files that stand between libconfig and libc. For them only;
 * see libconfig_guard.h.
 */
#ifndef GRACE_CONFIG_LIBCONFIG_STATE_H
#define GRACE_CONFIG_LIBCONFIG_STATE_H

#include <setjmp.h>
#include <stddef.h>

#include "libconfig_guard.h"

/* Stands before each piece of memory that libconfig holds. */
struct grace_libconfig_block {
    _Alignas(max_align_t) size_t room; /* bytes behind this header */
};

/* One @include line: what the scanner takes for a FILE. */
struct grace_include {
    struct grace_include *older;
    struct grace_input input;
    size_t offset; /* how far the scanner has read */
    bool open;
    char *name; /* as it stands in the @include line: how libconfig calls it in settings */
    char *path; /* how it is called in messages */
};

struct grace_libconfig_state {
    sigjmp_buf back;
    const char *reason;             /* why it jumped */
    struct grace_arena *memory;     /* where all of it lies that libconfig takes */
    struct grace_include *includes; /* the newest first */
    size_t include_count;
    size_t size; /* of all files so far */
    const struct grace_input *input;
    const char *name;
    const char *folder;
    struct grace_problems *problems;
    char include_reason[400]; /* why the last include was refused; "": reported already */
    config_t config;
};

/* The parse of this thread. In a preload the initial-exec model always fits: one pointer. */
extern _Thread_local struct grace_libconfig_state *grace_libconfig_now
    __attribute__((tls_model("initial-exec")));

/* What libconfig calls as malloc and its kin, for our own use too: given back with the rest. */
void *grace_libconfig_malloc(size_t size);
void *grace_libconfig_calloc(size_t count, size_t size);
char *grace_libconfig_strdup(const char *text);

#endif
