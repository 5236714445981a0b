/*
 * A program before it is started: where it is, what the kernel will make of it, and whether
 * libgrace.so can be in it.
 */
#ifndef GRACE_OPS_PROGRAM_H
#define GRACE_OPS_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "elf.h"

/* A script, its interpreter, that one's interpreter …, and what env(1) in a #! line starts. */
#define GRACE_PROGRAM_STEPS 8

struct grace_program {
    char path[PATH_MAX];      /* what is executed; "" when nothing was found */
    char base[256];           /* its base name: what libgrace calls the program */
    int error;                /* 0, or the errno that executing it would end with */
    char why[PATH_MAX + 128]; /* … in words, when there is an error */

    bool by_shell; /* has neither a format of its own nor a #!: as execvp does, by /bin/sh */
    size_t steps;
    char step[GRACE_PROGRAM_STEPS][PATH_MAX]; /* step[0] is path */
    bool known;                               /* the last step could be read, and is in `elf` */
    struct grace_elf elf;
    bool set_user, set_group, capabilities; /* of the last step, whether or not they count here */
    const char *runtime;                    /* "Python", …, or NULL */

    char obstacle[512]; /* why it cannot be preloaded; "" when it can */
};

/*
 * Find and examine `name`: a path when it has a slash in it, else the first in PATH that can be
 * executed. Always fills the struct. With `makers` it reads more of the file, for people to see.
 * Set-id bits count for the user and group of the calling process.
 */
void grace_program_examine(struct grace_program *program, const char *name, bool makers);

/* The same for the executable of a running process; its script, if any, is not known. */
void grace_program_examine_process(struct grace_program *program, int pid);

#endif
