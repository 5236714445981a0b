#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/plan.h"
#include "guardian.h"

/* Up to size - 1 bytes of a file of /proc/PID, ended by zero. Returns the length or a negative
 * errno. */
static ssize_t read_of(int pid, const char *name, char *buffer, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t length = 0;
    ssize_t more;
    while (length < size - 1 && (more = read(fd, buffer + length, size - 1 - length)) > 0)
        length += (size_t)more;
    close(fd);
    buffer[length] = '\0';
    return (ssize_t)length;
}

/* ---- status --------------------------------------------------------------------------------- */

static uint64_t number_in(const char *status, const char *name, int base)
{
    const char *at = strstr(status, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, base) : 0;
}

static int look_at_status(struct grace_process *process)
{
    char text[8192];
    ssize_t length = read_of(process->pid, "status", text, sizeof text);
    if (length < 0)
        return length == -ENOENT ? -ESRCH : (int)length;
    process->caught = number_in(text, "\nSigCgt:", 16);
    process->blocked = number_in(text, "\nSigBlk:", 16);
    process->ignored = number_in(text, "\nSigIgn:", 16);
    process->threads = (unsigned)number_in(text, "\nThreads:", 10);
    return 0;
}

/* ---- memory --------------------------------------------------------------------------------- */

static bool has_mapped(int pid, const char *base)
{
    char path[64], *line = NULL;
    size_t size = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    while (maps != NULL && !found && getline(&line, &size, maps) > 0) {
        const char *slash = strrchr(line, '/');
        found = slash != NULL && strncmp(slash + 1, base, strlen(base)) == 0 &&
                (slash[1 + strlen(base)] == '\n' || slash[1 + strlen(base)] == ' ');
    }
    free(line);
    if (maps != NULL)
        fclose(maps);
    return found;
}

/* The name that it was executed by stands in its memory: for a script that is the script. */
static bool read_name(int pid, char *name, size_t size)
{
    char path[64], auxv[4096], executed[PATH_MAX];
    ssize_t length = read_of(pid, "auxv", auxv, sizeof auxv);
    uint64_t address = 0;
    for (size_t i = 0; length > 0 && i + sizeof(Elf64_auxv_t) <= (size_t)length;
         i += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t entry;
        memcpy(&entry, auxv + i, sizeof entry);
        if (entry.a_type == AT_EXECFN)
            address = entry.a_un.a_val;
    }
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = address != 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    length = pread(fd, executed, sizeof executed - 1, (off_t)address);
    close(fd);
    if (length <= 0)
        return false;
    executed[length] = '\0';
    const char *slash = strrchr(executed, '/');
    snprintf(name, size, "%.255s", slash != NULL ? slash + 1 : executed);
    return true;
}

static void look_for_config(struct grace_process *process)
{
    static char environment[128 * 1024];
    const char *given = NULL;
    ssize_t length = read_of(process->pid, "environ", environment, sizeof environment);
    for (char *at = environment; length > 0 && at < environment + length; at += strlen(at) + 1)
        if (strncmp(at, "GRACE_CONFIG=", 13) == 0)
            given = at + 13;
    if (grace_plan_find(given, process->program, process->config, sizeof process->config) != 1)
        process->config[0] = '\0';
}

/* ---- the guardian --------------------------------------------------------------------------- */

/* Its words are its name, the config, the program, and the owner's pid. A daemon's guardian still
 * has the number of the process that began; it holds a pidfd of the one that is the owner now. */
static bool is_guardian_of(int guardian, int pid)
{
    char words[8192], path[64], line[256];
    ssize_t length = read_of(guardian, "cmdline", words, sizeof words);
    if (length <= 0 || strcmp(words, GRACE_GUARDIAN_NAME) != 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/4", guardian);
    FILE *info = fopen(path, "re");
    int watched = 0;
    while (info != NULL && fgets(line, sizeof line, info) != NULL)
        if (sscanf(line, "Pid: %d", &watched) == 1)
            break;
    if (info != NULL)
        fclose(info);
    return watched == pid;
}

int grace_process_guardian(int pid)
{
    int found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc != NULL && found == 0 && (entry = readdir(proc)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]) && is_guardian_of(atoi(entry->d_name), pid))
            found = atoi(entry->d_name);
    if (proc != NULL)
        closedir(proc);
    return found;
}

/* ---- all of it ------------------------------------------------------------------------------ */

int grace_process_look(int pid, struct grace_process *process)
{
    *process = (struct grace_process){.pid = pid};
    int result = look_at_status(process);
    if (result != 0)
        return result;
    process->seen = read_name(pid, process->program, sizeof process->program);
    if (!process->seen)
        return 0;
    process->has_libgrace = has_mapped(pid, "libgrace.so");
    look_for_config(process);
    process->guardian = grace_process_guardian(pid);
    grace_process_look_at_sockets(process);
    return 0;
}
