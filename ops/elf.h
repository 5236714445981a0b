/* What an executable says about how it is loaded. */
#ifndef GRACE_OPS_ELF_H
#define GRACE_OPS_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRACE_ELF_NEEDED 48

struct grace_elf {
    bool damaged; /* begins like one, and is cut short or says nonsense */
    unsigned bits, machine;
    bool big_endian;
    bool runs;        /* an executable or a position-independent one; not an object file */
    bool dynamic;     /* has a dynamic section; without an interpreter that is a static PIE */
    char interp[256]; /* the loader that it asks for; "" for a static one */
    size_t needed;    /* how many libraries it names, whether or not they fit below */
    char libraries[GRACE_ELF_NEEDED][64];
    const char *made_by; /* "Go", "Rust", or NULL; see grace_elf_read */
};

/*
 * Read the file behind a descriptor. Returns false when it is no ELF file at all. With `makers`
 * also finds out who made it, for which more of the file is read. Trusts nothing in it.
 */
bool grace_elf_read(int fd, bool makers, struct grace_elf *elf);

/* The machine's name as people know it: "x86_64"; "machine 243" for a rare one, in buffer. */
const char *grace_elf_machine_name(unsigned machine, char *buffer, size_t size);

/* Whether this machine's libgrace.so can be in such a program's memory: same machine and word. */
bool grace_elf_is_native(const struct grace_elf *elf);

/* What kind of libc the program's loader belongs to: "glibc", "musl", "Android", "none" (static),
 * "unknown". */
const char *grace_elf_libc(const struct grace_elf *elf);

#endif
