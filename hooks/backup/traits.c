#include "backup.h"

#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static void copy_attribute(int from, int to, const char *name)
{
    static char value[XATTR_SIZE_MAX];
    ssize_t length = fgetxattr(from, name, value, sizeof value);
    /* Not every user may set every attribute, nor every file system hold it. */
    if (length >= 0 && fsetxattr(to, name, value, (size_t)length, 0) != 0)
        return;
}

static void copy_attributes(int from, int to)
{
    static char names[XATTR_SIZE_MAX];
    ssize_t length = flistxattr(from, names, sizeof names);
    for (const char *name = names; length > 0 && name < names + length; name += strlen(name) + 1)
        copy_attribute(from, to, name);
}

int grace_traits_copy(int from, int to, const struct stat *about)
{
    int kept = fchown(to, about->st_uid, about->st_gid) == 0;
    if (!kept) /* the group alone is often allowed; set-ID bits go in any case */
        (void)!fchown(to, (uid_t)-1, about->st_gid);
    if (from >= 0)
        copy_attributes(from, to);
    /* An ACL among them may keep ourselves out until all is sealed. */
    fchmod(to, S_ISDIR(about->st_mode) ? 0700 : 0600);
    return kept;
}

int grace_traits_seal(int file, const struct stat *about, int owner_kept)
{
    const struct timespec times[] = {about->st_atim, about->st_mtim};
    mode_t mode = about->st_mode & (owner_kept ? 07777 : 01777);
    if (fchmod(file, mode) != 0 || futimens(file, times) != 0)
        return -1;
    return fsync(file);
}
