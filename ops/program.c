/*
 * From a name to what runs. Follows what fs/binfmt_script.c follows: up to five files, a #! line of
 * 256 bytes, one argument. Beyond that it looks through `env` in such a line, which executes the
 * next program itself.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINE_MAX_BYTES 256 /* the kernel's BINPRM_BUF_SIZE */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

__attribute__((format(printf, 3, 4))) static void fail(struct grace_program *program, int error,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    program->error = error;
    vsnprintf(program->why, sizeof program->why, format, arguments);
    va_end(arguments);
}

/* ---- finding it ----------------------------------------------------------------------------- */

/* 0, or why a file cannot be executed: what execve would say, for a folder in clearer words. */
static int may_execute(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return errno;
    if (S_ISDIR(about.st_mode))
        return EISDIR;
    if (!S_ISREG(about.st_mode))
        return EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

/* The first in PATH that can be executed. Returns 0 or an errno: EACCES when there is one that may
 * not. */
static int search(const char *name, char *path, size_t size)
{
    const char *folders = getenv("PATH");
    int error = ENOENT;
    if (folders == NULL)
        folders = "/bin:/usr/bin";
    for (const char *at = folders; at != NULL;) {
        size_t length = strcspn(at, ":");
        int written =
            snprintf(path, size, "%.*s%s%s", (int)length, at, length > 0 ? "/" : "", name);
        if (written > 0 && (size_t)written < size) {
            int result = may_execute(path);
            if (result == 0)
                return 0;
            if (result == EACCES)
                error = EACCES;
        }
        at = at[length] == ':' ? at + length + 1 : NULL;
    }
    return error;
}

static bool find(struct grace_program *program, const char *name)
{
    int error;
    if (strchr(name, '/') == NULL) {
        error = *name == '\0' ? ENOENT : search(name, program->path, sizeof program->path);
        if (error != 0)
            fail(program, error,
                 error == ENOENT ? "%s: not found in PATH" : "%s: Permission denied",
                 *name == '\0' ? "\"\"" : name);
    } else if (strlen(name) >= sizeof program->path) {
        error = ENAMETOOLONG;
        fail(program, error, "%.64s…: %s", name, strerror(error));
    } else {
        memcpy(program->path, name, strlen(name) + 1);
        error = may_execute(name);
        struct stat about;
        if (error == EISDIR)
            fail(program, error, "%s: is a directory", name);
        else if (error == EACCES && stat(name, &about) == 0 && S_ISREG(about.st_mode))
            fail(program, error, "%s: Permission denied (not executable)", name);
        else if (error != 0)
            fail(program, error, "%s: %s", name, strerror(error));
    }
    if (error != 0)
        program->path[0] = '\0';
    return error == 0;
}

/* ---- what stands in it ---------------------------------------------------------------------- */

/* The word at *at, ended by zero; *at goes behind it. NULL: there is none. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " \t");
    if (*word == '\0')
        return NULL;
    char *end = word + strcspn(word, " \t");
    *at = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

/* What env starts: the first word that is neither an option nor a setting. Quotes within -S are
 * left alone: nobody has them around the program. */
static char *word_after_env(char *rest)
{
    for (char *word; (word = next_word(&rest)) != NULL;) {
        if (strncmp(word, "-S", 2) == 0 && word[2] != '\0')
            return word + 2;
        if (strncmp(word, "--split-string=", 15) == 0)
            return word + 15;
        if (strcmp(word, "-u") == 0 || strcmp(word, "-C") == 0)
            next_word(&rest);
        else if (word[0] != '-' && strchr(word, '=') == NULL)
            return word;
    }
    return NULL;
}

static bool add_step(struct grace_program *program, const char *path)
{
    if (program->steps == GRACE_PROGRAM_STEPS || strlen(path) >= PATH_MAX) {
        fail(program, ELOOP, "%s: too many interpreters", program->path);
        return false;
    }
    memcpy(program->step[program->steps++], path, strlen(path) + 1);
    return true;
}

/* Go on with the interpreter in a #! line. False: that is the end of it. */
static bool follow(struct grace_program *program, char *line)
{
    char found[PATH_MAX];
    const char *script = program->step[program->steps - 1];
    char *interpreter = next_word(&line);
    if (interpreter == NULL) {
        fail(program, ENOEXEC, "%s: names no interpreter after #!", script);
        return false;
    }
    int error = may_execute(interpreter);
    if (error != 0) {
        size_t end = strlen(interpreter);
        fail(program, error == EISDIR ? EACCES : error, "%s: its interpreter %s%s: %s", script,
             interpreter,
             end > 0 && interpreter[end - 1] == '\r' ? " (the line ends with a carriage return)"
                                                     : "",
             strerror(error));
        return false;
    }
    if (!add_step(program, interpreter))
        return false;
    char *inner = strcmp(base_name(interpreter), "env") == 0 ? word_after_env(line) : NULL;
    if (inner == NULL)
        return true;
    if (strchr(inner, '/') == NULL && search(inner, found, sizeof found) == 0)
        inner = found;
    /* What env does not find it will say itself. */
    return may_execute(inner) != 0 || add_step(program, inner);
}

/* As bash does: no text has a zero byte in its first line. */
static bool is_text(const char *head, size_t length)
{
    const char *end = memchr(head, '\n', length);
    return memchr(head, '\0', end != NULL ? (size_t)(end - head) : length) == NULL;
}

/* Look into the last step. True: another one was added. */
static bool look(struct grace_program *program, bool makers)
{
    const char *path = program->step[program->steps - 1];
    char head[LINE_MAX_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false; /* may be executed and not be read: not known */
    ssize_t length = read(fd, head, LINE_MAX_BYTES);
    bool more = false;
    if (length >= 2 && head[0] == '#' && head[1] == '!') {
        head[length] = '\0';
        head[strcspn(head, "\n")] = '\0';
        more = follow(program, head + 2);
    } else if (grace_elf_read(fd, makers, &program->elf)) {
        program->known = true;
        if (program->elf.damaged || !program->elf.runs)
            fail(program, ENOEXEC, "%s: %s", path,
                 program->elf.damaged ? "is a damaged executable" : "is no program (object file)");
    } else if (length >= 0 && is_text(head, (size_t)length) && !program->by_shell) {
        program->by_shell = true;
        more = add_step(program, "/bin/sh");
    } else {
        fail(program, ENOEXEC, "%s: is neither a program nor a script", path);
    }
    close(fd);
    return more;
}

/* ---- rights --------------------------------------------------------------------------------- */

static void look_at_rights(struct grace_program *program, const char *path)
{
    struct stat about;
    struct statvfs mount;
    char value[64];
    if (stat(path, &about) != 0)
        return;
    program->set_user = (about.st_mode & S_ISUID) != 0;
    /* Without the group's x it means mandatory locking. */
    program->set_group = (about.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    program->capabilities = getxattr(path, "security.capability", value, sizeof value) > 0;
    if (!program->set_user && !program->set_group && !program->capabilities)
        return;
    bool counts = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 &&
                  (statvfs(path, &mount) != 0 || !(mount.f_flag & ST_NOSUID));
    if (!counts)
        return;
    if (program->set_user && about.st_uid != getuid())
        snprintf(program->obstacle, sizeof program->obstacle,
                 "it is set-user-ID (%u), and the loader drops LD_PRELOAD", about.st_uid);
    else if (program->set_group && about.st_gid != getgid())
        snprintf(program->obstacle, sizeof program->obstacle,
                 "it is set-group-ID (%u), and the loader drops LD_PRELOAD", about.st_gid);
    else if (program->capabilities && getuid() != 0)
        snprintf(program->obstacle, sizeof program->obstacle,
                 "it has file capabilities, and the loader drops LD_PRELOAD");
}

/* ---- what follows from it ------------------------------------------------------------------- */

static void find_obstacle(struct grace_program *program)
{
    const struct grace_elf *elf = &program->elf;
    char *to = program->obstacle, machine[32];
    const size_t size = sizeof program->obstacle;
    if (!program->known || program->error != 0)
        return;
    if (!grace_elf_is_native(elf))
        snprintf(to, size, "it is for another architecture (%s, %u bits)",
                 grace_elf_machine_name(elf->machine, machine, sizeof machine), elf->bits);
    else if (elf->interp[0] == '\0')
        snprintf(to, size, "it is linked statically%s", elf->dynamic ? " (static PIE)" : "");
    else if (strcmp(grace_elf_libc(elf), "glibc") != 0)
        snprintf(to, size, "it is for another libc (%s: %s)", grace_elf_libc(elf), elf->interp);
    else if (elf->needed == 0)
        snprintf(to, size, "it is linked against no library, not even libc");
}

static const char *runtime_of(const struct grace_program *program)
{
    static const struct {
        const char *begin, *runtime;
    } runtimes[] = {
        {"python", "Python"}, {"node", "Node.js"},  {"perl", "Perl"},       {"php", "PHP"},
        {"php-fpm", "PHP"},   {"ruby", "Ruby"},     {"java", "Java"},       {"dotnet", ".NET"},
        {"beam", "Erlang"},   {"lua", "Lua"},       {"bash", "shell"},      {"dash", "shell"},
        {"sh", "shell"},      {"busybox", "shell"}, {"zsh", "shell"},       {"libpython", "Python"},
        {"libjli", "Java"},   {"libjvm", "Java"},   {"libnode", "Node.js"}, {"libruby", "Ruby"},
        {"libperl", "Perl"},  {"libphp", "PHP"},
    };
    const struct grace_elf *elf = &program->elf;
    if (!program->known)
        return NULL;
    if (elf->made_by != NULL)
        return elf->made_by;
    const char *base = base_name(program->step[program->steps - 1]);
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
        const char *begin = runtimes[i].begin;
        size_t length = strlen(begin);
        /* "sh" is all of the name, "python" may go on with a version. */
        if (strncmp(base, begin, length) == 0 &&
            strspn(base + length, "0123456789.-js") == strlen(base + length))
            return runtimes[i].runtime;
        for (size_t n = 0; n < elf->needed && n < GRACE_ELF_NEEDED; n++)
            if (strncmp(begin, "lib", 3) == 0 && strncmp(elf->libraries[n], begin, length) == 0)
                return runtimes[i].runtime;
    }
    return NULL;
}

void grace_program_examine(struct grace_program *program, const char *name, bool makers)
{
    *program = (struct grace_program){.error = 0};
    snprintf(program->base, sizeof program->base, "%s", base_name(name));
    if (!find(program, name) || !add_step(program, program->path))
        return;
    while (look(program, makers))
        continue;
    if (program->error == 0)
        look_at_rights(program, program->step[program->steps - 1]);
    find_obstacle(program);
    program->runtime = runtime_of(program);
}

void grace_program_examine_process(struct grace_program *program, int pid)
{
    *program = (struct grace_program){.error = 0};
    char executable[64];
    snprintf(executable, sizeof executable, "/proc/%d/exe", pid);
    ssize_t length = readlink(executable, program->path, sizeof program->path - 1);
    if (length <= 0) {
        fail(program, errno, "process %d: %s", pid, strerror(errno));
        program->path[0] = '\0';
        return;
    }
    snprintf(program->base, sizeof program->base, "%.255s", base_name(program->path));
    add_step(program, program->path);
    /* By the link, which is right in another mount namespace and after the file was replaced. */
    int fd = open(executable, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        program->known = grace_elf_read(fd, true, &program->elf);
        close(fd);
    }
    look_at_rights(program, executable);
    find_obstacle(program);
    program->runtime = runtime_of(program);
}
