#include "report.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 20000

/* Where it stands, and how it was opened: of regular files and pipes. */
static void describe(const struct grace_report *report, const char *number, char *words,
                     size_t size)
{
    char path[64], line[256];
    unsigned long long position = 0;
    unsigned flags = 0;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", report->pid, number);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "pos: %llu", &position);
        sscanf(line, "flags: %o", &flags);
    }
    if (file != NULL)
        fclose(file);
    static const char *const modes[] = {"read", "write", "read and write", "?"};
    snprintf(words, size, "%s, at %llu", modes[flags & 3], position);
}

static void show_descriptor(struct grace_report *report, const struct grace_sockets *sockets,
                            const char *number)
{
    char path[64], target[PATH_MAX], words[128];
    uint64_t inode;
    snprintf(path, sizeof path, "/proc/%d/fd/%s", report->pid, number);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return; /* closed meanwhile */
    target[length] = '\0';
    if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1) {
        const char *found = grace_sockets_find(sockets, inode);
        grace_report_line(report, "%s: %s", number, found != NULL ? found : target);
        return;
    }
    describe(report, number, words, sizeof words);
    grace_report_line(report, "%s: %s (%s)", number, target, words);
}

static int is_number(const struct dirent *entry)
{
    return entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
    return atoi((*a)->d_name) - atoi((*b)->d_name);
}

void grace_report_files(struct grace_report *report)
{
    char path[64];
    struct dirent **entries;
    grace_report_section(report, "open files and connections");
    snprintf(path, sizeof path, "/proc/%d/fd", report->pid);
    int count = scandir(path, &entries, is_number, by_number);
    if (count < 0) {
        grace_report_line(report, "(%m)");
        return;
    }
    struct grace_sockets *sockets = grace_sockets_read(report);
    for (int i = 0; i < count; i++) {
        if (i < FILES_MAX)
            show_descriptor(report, sockets, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    grace_report_line(report, "%d in all", count);
    grace_sockets_free(sockets);
}
