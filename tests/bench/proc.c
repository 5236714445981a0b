/* What /proc says of other processes. */
#include "bench.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double sum_in(const char *path, const char *name)
{
    char line[512];
    double sum = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NO_FIGURE;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && strchr(line, ':') != NULL)
            sum += strtod(strchr(line, ':') + 1, NULL);
    fclose(file);
    return sum;
}

/* Its last argument is the pid of its owner. */
static bool watches(const char *pid, pid_t owner)
{
    char path[300], arguments[8192] = "", expected[16];
    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t length = fread(arguments, 1, sizeof arguments - 1, file);
    fclose(file);
    size_t last = (size_t)snprintf(expected, sizeof expected, "%d", (int)owner) + 1;
    return strcmp(arguments, "grace-guardian") == 0 && length > last &&
           memcmp(arguments + length - last, expected, last) == 0;
}

pid_t guardian_of(pid_t owner)
{
    pid_t found = 0;
    for (double limit = now_us() + 5e6; found == 0 && now_us() < limit;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;)
            if (watches(entry->d_name, owner))
                found = atoi(entry->d_name);
        if (proc != NULL)
            closedir(proc);
    }
    return found;
}
