#include "libconfig_guard.h"

#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scan.h"

/* Stands before each piece of memory that libconfig holds. */
struct block {
    _Alignas(max_align_t) struct block *next;
    struct block *previous;
};

/* One @include line: what the scanner takes for a FILE. */
struct include {
    struct include *older;
    struct grace_input input;
    size_t offset;
    bool open;
    char *name; /* as it stands in the @include line: how libconfig calls it in settings */
    char *path; /* how it is called in messages */
};

struct guard {
    sigjmp_buf back;
    const char *reason;  /* why it jumped */
    struct block blocks; /* head of the ring */
    struct include *includes;
    size_t include_count;
    size_t size; /* of all files so far */
    const struct grace_input *input;
    const char *name;
    const char *folder;
    struct grace_problems *problems;
    char include_reason[400]; /* why the last file to include was refused; "": already reported */
    config_t config;
};

/* In a preload the initial-exec model always fits: one pointer of the static TLS block. */
static _Thread_local struct guard *guard __attribute__((tls_model("initial-exec")));

_Noreturn void grace_libconfig_give_up(const char *reason)
{
    guard->reason = reason;
    siglongjmp(guard->back, 1);
}

/* ---- what libconfig calls instead of libc -------------------------------------------------------
 */

FILE *grace_libconfig_stdin, *grace_libconfig_stdout, *grace_libconfig_stderr;

_Noreturn void grace_libconfig_exit(int status);
void *grace_libconfig_malloc(size_t size);
void *grace_libconfig_calloc(size_t count, size_t size);
void *grace_libconfig_realloc(void *memory, size_t size);
void grace_libconfig_free(void *memory);
char *grace_libconfig_strdup(const char *text);
struct include *grace_libconfig_fopen(const char *name, const char *mode);
int grace_libconfig_fclose(struct include *include);
size_t grace_libconfig_fread(void *to, size_t size, size_t count, struct include *include);
int grace_libconfig_ferror(struct include *include);
void grace_libconfig_clearerr(struct include *include);
int grace_libconfig_getc(struct include *include);
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
int grace_libconfig_getc_inner(struct include *include)
    __attribute__((alias("grace_libconfig_getc")));

/* The scanner's fatal errors end here; the one that can still happen is an allocation too large. */
_Noreturn void grace_libconfig_exit(int status)
{
    (void)status;
    grace_libconfig_give_up("the parser gave up");
}

static void *enlist(struct block *block)
{
    if (block == NULL)
        grace_libconfig_give_up("memory is short");
    block->next = guard->blocks.next;
    block->previous = &guard->blocks;
    block->next->previous = block;
    guard->blocks.next = block;
    return block + 1;
}

static struct block *delist(void *memory)
{
    struct block *block = (struct block *)memory - 1;
    block->next->previous = block->previous;
    block->previous->next = block->next;
    return block;
}

void *grace_libconfig_malloc(size_t size)
{
    return enlist(size > SIZE_MAX / 2 ? NULL : malloc(sizeof(struct block) + size));
}

void *grace_libconfig_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        grace_libconfig_give_up("memory is short");
    return enlist(calloc(1, sizeof(struct block) + bytes));
}

void *grace_libconfig_realloc(void *memory, size_t size)
{
    if (memory == NULL)
        return grace_libconfig_malloc(size);
    if (size > SIZE_MAX / 2)
        grace_libconfig_give_up("memory is short");
    struct block *block = delist(memory), *larger = realloc(block, sizeof(struct block) + size);
    if (larger == NULL) {
        enlist(block);
        grace_libconfig_give_up("memory is short");
    }
    return enlist(larger);
}

void grace_libconfig_free(void *memory)
{
    if (memory != NULL)
        free(delist(memory));
}

char *grace_libconfig_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(grace_libconfig_malloc(size), text, size);
}

size_t grace_libconfig_fread(void *to, size_t size, size_t count, struct include *include)
{
    size_t left = include->input.length - include->offset;
    size_t bytes = size * count < left ? size * count : left;
    memcpy(to, include->input.text + include->offset, bytes);
    include->offset += bytes;
    return bytes / size; /* flex asks for bytes: size is 1 */
}

int grace_libconfig_getc(struct include *include)
{
    if (include->offset == include->input.length)
        return EOF;
    return (unsigned char)include->input.text[include->offset++];
}

int grace_libconfig_ferror(struct include *include)
{
    (void)include;
    return 0;
}

void grace_libconfig_clearerr(struct include *include)
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

/* ---- included files -----------------------------------------------------------------------------
 */

/* Returns NULL, so that a refusal can end with it. libconfig then stops at the @include line. */
static struct include *refuse(const char *path, const char *reason)
{
    snprintf(guard->include_reason, sizeof guard->include_reason, "cannot include \"%.256s\": %s",
             path, reason);
    return NULL;
}

static bool same_file(const struct grace_input *a, const struct grace_input *b)
{
    return a->inode != 0 && a->inode == b->inode && a->device == b->device;
}

static bool includes_itself(const struct grace_input *input)
{
    if (same_file(input, guard->input))
        return true;
    for (const struct include *i = guard->includes; i != NULL; i = i->older)
        if (i->open && same_file(input, &i->input))
            return true;
    return false;
}

static char *include_path(const char *name)
{
    const char *folder = name[0] == '/' ? NULL : guard->folder;
    if (folder == NULL || strcmp(folder, ".") == 0)
        return grace_libconfig_strdup(name);
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = grace_libconfig_malloc(size);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

struct include *grace_libconfig_fopen(const char *name, const char *mode)
{
    (void)mode;
    char reason[96];
    struct include *include = grace_libconfig_calloc(1, sizeof *include);
    include->name = grace_libconfig_strdup(name);
    include->path = include_path(name);

    if (++guard->include_count > GRACE_INCLUDES_MAX)
        return refuse(name, "too many files are included");
    if (!grace_input_read(include->path, GRACE_CONFIG_SIZE_MAX - guard->size, &include->input,
                          reason, sizeof reason))
        return refuse(include->path, reason);
    bool itself = includes_itself(&include->input);
    include->older = guard->includes; /* from here on its text is freed with the others */
    guard->includes = include;
    guard->size += include->input.length - 1;
    if (itself)
        return refuse(name, "it includes itself");
    if (!grace_scan(include->input.text, include->input.length, include->path, guard->problems)) {
        guard->include_reason[0] = '\0';
        return NULL;
    }
    include->open = true;
    return include;
}

int grace_libconfig_fclose(struct include *include)
{
    include->open = false;
    return 0;
}

const char *grace_libconfig_file(const config_setting_t *setting)
{
    if (setting->file != NULL)
        for (const struct include *i = guard->includes; i != NULL; i = i->older)
            if (strcmp(i->name, setting->file) == 0)
                return i->path;
    return guard->name;
}

/* ---- parsing ------------------------------------------------------------------------------------
 */

/* libconfig said no: say why, as well as can be known. */
static void report(void)
{
    const config_t *config = &guard->config;
    const char *file = guard->name;
    unsigned line = config->error_line > 0 ? (unsigned)config->error_line : 0;
    const char *text = config->error_text != NULL ? config->error_text : "syntax error";

    if (config->error_file != NULL) {
        const config_setting_t place = {.file = config->error_file};
        file = grace_libconfig_file(&place);
    }
    if (strcmp(text, "cannot open include file") == 0) {
        if (guard->include_reason[0] != '\0')
            grace_problem_add(guard->problems, GRACE_FATAL, file, line, "%s",
                              guard->include_reason);
    } else if (strcmp(text, "duplicate setting name") == 0) {
        grace_problem_add(guard->problems, GRACE_FATAL, file, line,
                          "this setting is there twice in the same group; expected once");
    } else if (strcmp(text, "mismatched element type in array") == 0) {
        grace_problem_add(guard->problems, GRACE_FATAL, file, line,
                          "values of different types in [ ]; expected one type, or a list ( )");
    } else if (strcmp(text, "syntax error") == 0) {
        grace_problem_add(
            guard->problems, GRACE_FATAL, file, line,
            "syntax error here or just before; expected NAME = VALUE; with strings in "
            "quotes");
    } else {
        grace_problem_add(guard->problems, GRACE_FATAL, file, line, "%s", text);
    }
}

static void release(struct guard *mine)
{
    for (struct include *i = mine->includes; i != NULL; i = i->older)
        free(i->input.text);
    for (struct block *block = mine->blocks.next, *next; block != &mine->blocks; block = next) {
        next = block->next;
        free(block);
    }
}

bool grace_libconfig_parse(const struct grace_input *input, const char *name, const char *folder,
                           struct grace_problems *problems,
                           void (*visit)(const config_setting_t *root, void *context),
                           void *context)
{
    struct guard mine = {.blocks = {&mine.blocks, &mine.blocks},
                         .size = input->length - 1,
                         .input = input,
                         .name = name,
                         .folder = folder,
                         .problems = problems};
    struct guard *const outer = guard;
    const locale_t locale = uselocale((locale_t)0);
    volatile bool fine = false; /* it is read after a jump */

    if (!grace_scan(input->text, input->length, name, problems))
        return false;
    guard = &mine;
    if (sigsetjmp(mine.back, 0) == 0) {
        config_init(&mine.config);
        if (config_read_string(&mine.config, input->text)) {
            visit(mine.config.root, context);
            fine = true;
        } else {
            report();
        }
    } else {
        grace_problem_add(problems, GRACE_FATAL, name, 0, "cannot be read: %s", mine.reason);
    }
    uselocale(locale);
    release(&mine);
    guard = outer;
    return fine;
}
