/*
 * Reading a config file into memory, whatever stands at its path. Never waits: a FIFO, a device or
 * a socket is refused, not read. Leaves no descriptor open.
 */
#ifndef GRACE_CONFIG_INPUT_H
#define GRACE_CONFIG_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "arena.h"

/* The most that a config may hold, with all that it includes. */
#define GRACE_CONFIG_SIZE_MAX ((size_t)1024 * 1024)

/* A file's text. It ends with a newline (the scanner needs one) and a zero byte behind `length`. */
struct grace_input {
    struct grace_arena *memory; /* what the text lies in, and what is made of it may */
    char *text;
    size_t length;
    dev_t device; /* device and inode tell whether a file includes itself; 0 for no file */
    ino_t inode;
};

/*
 * Read a file of at most `limit` bytes into `memory`. Returns true, or false with the reason, in
 * words, in `reason`.
 */
bool grace_input_read(const char *path, size_t limit, struct grace_arena *memory,
                      struct grace_input *input, char *reason, size_t size);

/* The same from text in memory. */
bool grace_input_copy(const char *text, size_t length, size_t limit, struct grace_arena *memory,
                      struct grace_input *input, char *reason, size_t size);

#endif
