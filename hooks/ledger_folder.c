/* The ledgers in a state_dir. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "ledger.h"

bool grace_ledger_has_name(const char *name)
{
    const char *end = strrchr(name, '.');
    return end != NULL && strcmp(end, GRACE_LEDGER_SUFFIX) == 0;
}

bool grace_ledger_any_in(const char *state_dir)
{
    DIR *folder = opendir(state_dir);
    bool any = false;
    for (struct dirent *entry; folder != NULL && !any && (entry = readdir(folder)) != NULL;)
        any = grace_ledger_has_name(entry->d_name);
    if (folder != NULL)
        closedir(folder);
    return any;
}

/* Whether this process made the ledger, before it executed the program that it is now. */
static bool is_own(int fd, struct grace_ledger_record *record)
{
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid() &&
           grace_ledger_read_record(fd, record) == 0 && record->pid == grace_getpid() &&
           grace_ledger_owner_lives(record);
}

static struct grace_ledger *take_back(const char *path, const char *config, uint64_t fingerprint,
                                      int *fd)
{
    struct grace_ledger_record record;
    struct grace_ledger *ledger = NULL;
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0)
        return NULL;
    if (is_own(*fd, &record)) {
        ledger = grace_ledger_attach(*fd);
        if (ledger != NULL && ledger->fingerprint == fingerprint &&
            strcmp(record.config, config) == 0) {
            atomic_store(&ledger->guardian, 0); /* whoever it was has not lived to see the exec */
            return ledger;
        }
        unlink(path);
    }
    if (ledger != NULL)
        grace_ledger_detach(ledger);
    close(*fd);
    return NULL;
}

struct grace_ledger *grace_ledger_take_back(const char *state_dir, const char *config,
                                            uint64_t fingerprint, char *path, size_t path_size,
                                            int *fd)
{
    DIR *folder = opendir(state_dir);
    struct grace_ledger *ledger = NULL;
    for (struct dirent *entry; folder != NULL && ledger == NULL;) {
        if ((entry = readdir(folder)) == NULL)
            break;
        int length = snprintf(path, path_size, "%s/%s", state_dir, entry->d_name);
        if (grace_ledger_has_name(entry->d_name) && length > 0 && (size_t)length < path_size)
            ledger = take_back(path, config, fingerprint, fd);
    }
    if (folder != NULL)
        closedir(folder);
    return ledger;
}
