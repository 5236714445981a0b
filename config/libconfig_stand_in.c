/* What libconfig calls instead of libc (config/libconfig.renames), but for opening files. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "libconfig_state.h"

FILE *grace_libconfig_stdin, *grace_libconfig_stdout, *grace_libconfig_stderr;

_Noreturn void grace_libconfig_exit(int status);
void *grace_libconfig_realloc(void *memory, size_t size);
void grace_libconfig_free(void *memory);
size_t grace_libconfig_fread(void *to, size_t size, size_t count, struct grace_include *include);
int grace_libconfig_ferror(struct grace_include *include);
void grace_libconfig_clearerr(struct grace_include *include);
int grace_libconfig_getc(struct grace_include *include);
size_t grace_libconfig_fwrite(const void *from, size_t size, size_t count, void *stream);
int grace_libconfig_fputc(int c, void *stream);
int grace_libconfig_fputs(const char *text, void *stream);
int grace_libconfig_fprintf(void *stream, const char *format, ...);
int grace_libconfig_fprintf_checked(void *stream, int flag, const char *format, ...);
int grace_libconfig_fileno(void *stream);
int grace_libconfig_fstat(int fd, struct stat *status);
int grace_libconfig_fxstat(int version, int fd, struct stat *status);

/* libc's inner names of two of them, which its headers may choose. */
char *grace_libconfig_strdup_inner(const char *text)
    __attribute__((alias("grace_libconfig_strdup")));
int grace_libconfig_getc_inner(struct grace_include *include)
    __attribute__((alias("grace_libconfig_getc")));

/* The scanner's fatal errors end here; the one that can still happen is an allocation too large. */
_Noreturn void grace_libconfig_exit(int status)
{
    (void)status;
    grace_libconfig_give_up("the parser gave up");
}

/* More than any config needs; what is above would only overflow what follows. */
#define SIZE_LIMIT (SIZE_MAX / 4)

void *grace_libconfig_malloc(size_t size)
{
    struct grace_libconfig_block *block =
        size > SIZE_LIMIT ? NULL
                          : grace_arena_take(grace_libconfig_now->memory, sizeof *block + size);
    if (block != NULL) {
        block->room = size;
        return block + 1;
    }
    grace_libconfig_give_up("memory is short");
}

/* All of an arena is zero. */
void *grace_libconfig_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        grace_libconfig_give_up("memory is short");
    return grace_libconfig_malloc(bytes);
}

/* libconfig lets strings and lists grow by a few bytes at a time: doubled, they are not copied each
 * time. */
void *grace_libconfig_realloc(void *memory, size_t size)
{
    if (memory == NULL)
        return grace_libconfig_malloc(size);
    size_t room = ((struct grace_libconfig_block *)memory - 1)->room;
    if (size <= room)
        return memory;
    return memcpy(grace_libconfig_malloc(size > 2 * room ? size : 2 * room), memory, room);
}

/* It goes with the arena. */
void grace_libconfig_free(void *memory)
{
    (void)memory;
}

char *grace_libconfig_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(grace_libconfig_malloc(size), text, size);
}

size_t grace_libconfig_fread(void *to, size_t size, size_t count, struct grace_include *include)
{
    size_t left = include->input.length - include->offset;
    size_t bytes = size * count < left ? size * count : left;
    memcpy(to, include->input.text + include->offset, bytes);
    include->offset += bytes;
    return bytes / size; /* flex asks for bytes: size is 1 */
}

int grace_libconfig_getc(struct grace_include *include)
{
    if (include->offset == include->input.length)
        return EOF;
    return (unsigned char)include->input.text[include->offset++];
}

int grace_libconfig_ferror(struct grace_include *include)
{
    (void)include;
    return 0;
}

void grace_libconfig_clearerr(struct grace_include *include)
{
    (void)include;
}

size_t grace_libconfig_fwrite(const void *from, size_t size, size_t count, void *stream)
{
    (void)from, (void)size, (void)stream;
    return count;
}

int grace_libconfig_fputc(int c, void *stream)
{
    (void)stream;
    return c;
}

int grace_libconfig_fputs(const char *text, void *stream)
{
    (void)text, (void)stream;
    return 0;
}

int grace_libconfig_fprintf(void *stream, const char *format, ...)
{
    (void)stream, (void)format;
    return 0;
}

int grace_libconfig_fprintf_checked(void *stream, int flag, const char *format, ...)
{
    (void)stream, (void)flag, (void)format;
    return 0;
}

int grace_libconfig_fileno(void *stream)
{
    (void)stream;
    return -1;
}

int grace_libconfig_fstat(int fd, struct stat *status)
{
    (void)fd, (void)status;
    return -1;
}

int grace_libconfig_fxstat(int version, int fd, struct stat *status)
{
    (void)version;
    return grace_libconfig_fstat(fd, status);
}
