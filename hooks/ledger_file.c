/* The file that a ledger lives in: made before the target runs, found again by those who watch it
 * and, after a power loss, by `grace recover`. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "ledger.h"
#include "process.h"
#include "room.h"

static size_t size_for(size_t hook_count)
{
    return sizeof(struct grace_ledger) + hook_count * sizeof(struct grace_ledger_hook);
}

/* ---- when and where ------------------------------------------------------------------------ */

static ssize_t read_small(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, buffer, size - 1);
    close(fd);
    buffer[length < 0 ? 0 : length] = '\0';
    return length;
}

static void read_boot_id(char buffer[40])
{
    if (read_small("/proc/sys/kernel/random/boot_id", buffer, 40) <= 0)
        buffer[0] = '\0';
    buffer[strcspn(buffer, "\n")] = '\0';
}

bool grace_ledger_owner_lives(const struct grace_ledger_record *record)
{
    char boot_id[40];
    read_boot_id(boot_id);
    return strcmp(boot_id, record->boot_id) == 0 && record->start_time != 0 &&
           grace_process_is(record->pid, record->start_time);
}

/* ---- making one ---------------------------------------------------------------------------- */

static int make_memory(void)
{
    int fd = memfd_create("grace-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

/* While it is made it has another name, which nobody looks for: a power loss leaves a whole ledger
 * or none. */
#define UNFINISHED ".new"

/* A name that no other ledger has or had: pids and start times come again after each boot, and one
 * process may make several, when it executes another program. */
static int make_file(const char *state_dir, const struct grace_ledger_record *record, char *path,
                     size_t path_size)
{
    uint32_t unique = 0;
    if (getrandom(&unique, sizeof unique, GRND_NONBLOCK) < 0)
        unique = (uint32_t)record->start_time; /* at boot, before there is randomness */
    int length = snprintf(path, path_size, "%s/%.128s.%d.%08x" GRACE_LEDGER_SUFFIX UNFINISHED,
                          state_dir, record->program, record->pid, unique);
    if (length < 0 || (size_t)length >= path_size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Put it on disk: the file's content, then under its own name in the folder. */
static int publish(int fd, char *path, const char *state_dir)
{
    char unfinished[PATH_MAX];
    size_t length = strlen(path) - strlen(UNFINISHED);
    if (length + sizeof UNFINISHED > sizeof unfinished || fsync(fd) != 0)
        return -1;
    memcpy(unfinished, path, length + sizeof UNFINISHED);
    int folder = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    path[length] = '\0';
    int result = folder < 0 || rename(unfinished, path) != 0 || fsync(folder) != 0 ? -1 : 0;
    if (result != 0)
        unlink(unfinished);
    if (folder >= 0)
        close(folder);
    return result;
}

static void fill_record(struct grace_ledger_record *record, const char *program, const char *config,
                        bool durable)
{
    memset(record, 0, sizeof *record);
    record->magic = GRACE_LEDGER_MAGIC;
    record->pid = grace_getpid();
    if (durable) {
        record->start_time = grace_process_born(record->pid);
        read_boot_id(record->boot_id);
    }
    snprintf(record->program, sizeof record->program, "%s", program);
    snprintf(record->config, sizeof record->config, "%s", config == NULL ? "" : config);
}

static struct grace_ledger *map(int fd, size_t hook_count)
{
    void *memory = mmap(NULL, size_for(hook_count), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        GRACE_LEDGER_RECORD);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Fill in new memory, which is zero: every hook GRACE_HOOK_OWED. */
static void begin(struct grace_ledger *ledger, size_t hook_count, uint64_t fingerprint)
{
    ledger->magic = GRACE_LEDGER_MAGIC;
    ledger->hook_count = (uint32_t)hook_count;
    ledger->fingerprint = fingerprint;
    atomic_store_explicit(&ledger->status, -1, memory_order_relaxed);
    atomic_store_explicit(&ledger->sender_uid, -1, memory_order_relaxed);
    atomic_store_explicit(&ledger->owner, grace_getpid(), memory_order_release);
}

static struct grace_ledger *set_up(int fd, size_t hook_count, uint64_t fingerprint,
                                   const struct grace_ledger_record *record, bool durable)
{
    off_t size = (off_t)(GRACE_LEDGER_RECORD + size_for(hook_count));
    /* Space is taken now: a full disk must not become SIGBUS in the target later. */
    if (durable ? (errno = posix_fallocate(fd, 0, size)) != 0 : ftruncate(fd, size) != 0)
        return NULL;
    if (pwrite(fd, record, sizeof *record, 0) != (ssize_t)sizeof *record)
        return NULL;
    /* Whoever maps it may rely on its size from here on. */
    if (!durable)
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    struct grace_ledger *ledger = map(fd, hook_count);
    if (ledger == NULL)
        return NULL;
    ledger->durable = durable;
    begin(ledger, hook_count, fingerprint);
    return ledger;
}

struct grace_ledger *grace_ledger_create_anonymous(size_t hook_count, uint64_t fingerprint)
{
    static struct grace_ledger nothing_owed GRACE_ROOM(0_ledger); /* nobody else has to see it */
    if (hook_count == 0) {
        begin(&nothing_owed, 0, fingerprint);
        return &nothing_owed;
    }
    struct grace_ledger *ledger =
        mmap(NULL, size_for(hook_count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == MAP_FAILED)
        return NULL;
    begin(ledger, hook_count, fingerprint);
    return ledger;
}

struct grace_ledger *grace_ledger_create(size_t hook_count, uint64_t fingerprint,
                                         const char *program, const char *config,
                                         const char *state_dir, char *path, size_t path_size,
                                         int *fd)
{
    struct grace_ledger_record record;
    bool durable = state_dir != NULL;
    fill_record(&record, program, config, durable);
    *fd = durable ? make_file(state_dir, &record, path, path_size) : make_memory();
    if (*fd < 0)
        return NULL;
    struct grace_ledger *ledger = set_up(*fd, hook_count, fingerprint, &record, durable);
    if (ledger != NULL && (!durable || (msync(ledger, size_for(hook_count), MS_SYNC) == 0 &&
                                        publish(*fd, path, state_dir) == 0)))
        return ledger;
    int error = errno;
    if (durable)
        unlink(path);
    if (ledger != NULL)
        grace_ledger_detach(ledger);
    close(*fd);
    errno = error == 0 ? ENOSPC : error;
    return NULL;
}

/* ---- somebody else's ----------------------------------------------------------------------- */

/* What was checked once must stay so, whatever others write: the number of hooks is kept in a page
 * of our own, right before the memory that is shared. */
static size_t *own_page_of(const struct grace_ledger *ledger)
{
    return (size_t *)((uintptr_t)ledger - GRACE_LEDGER_RECORD);
}

static struct grace_ledger *map_behind_own_page(int fd, size_t hook_count)
{
    size_t size = size_for(hook_count);
    char *page = mmap(NULL, GRACE_LEDGER_RECORD + size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (mmap(page + GRACE_LEDGER_RECORD, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
             GRACE_LEDGER_RECORD) == MAP_FAILED) {
        munmap(page, GRACE_LEDGER_RECORD + size);
        return NULL;
    }
    struct grace_ledger *ledger = (struct grace_ledger *)(uintptr_t)(page + GRACE_LEDGER_RECORD);
    *own_page_of(ledger) = hook_count;
    return ledger;
}

size_t grace_ledger_room(const struct grace_ledger *ledger)
{
    return *own_page_of(ledger);
}

struct grace_ledger *grace_ledger_attach(int fd)
{
    struct stat about;
    struct grace_ledger head;
    errno = EINVAL;
    if (fstat(fd, &about) != 0 ||
        pread(fd, &head, sizeof head, GRACE_LEDGER_RECORD) != (ssize_t)sizeof head ||
        head.magic != GRACE_LEDGER_MAGIC || head.hook_count > 1u << 20 ||
        about.st_size != (off_t)(GRACE_LEDGER_RECORD + size_for(head.hook_count))) {
        errno = EINVAL;
        return NULL;
    }
    return map_behind_own_page(fd, head.hook_count);
}

void grace_ledger_detach(struct grace_ledger *ledger)
{
    munmap(own_page_of(ledger), GRACE_LEDGER_RECORD + size_for(grace_ledger_room(ledger)));
}

int grace_ledger_read_record(int fd, struct grace_ledger_record *record)
{
    if (pread(fd, record, sizeof *record, 0) != (ssize_t)sizeof *record ||
        record->magic != GRACE_LEDGER_MAGIC || record->pid <= 0)
        return -EINVAL;
    record->boot_id[sizeof record->boot_id - 1] = '\0';
    record->program[sizeof record->program - 1] = '\0';
    record->config[sizeof record->config - 1] = '\0';
    return 0;
}

/* What of a record says who the owner is. */
struct name {
    uint32_t magic;
    int32_t pid;
    uint64_t start_time;
};
_Static_assert(offsetof(struct grace_ledger_record, pid) == offsetof(struct name, pid) &&
                   offsetof(struct grace_ledger_record, start_time) ==
                       offsetof(struct name, start_time),
               "as in the record");

int grace_ledger_rename_owner(int fd, int pid)
{
    const struct name name = {GRACE_LEDGER_MAGIC, pid, grace_process_born(pid)};
    long result = grace_kernel_pwrite(fd, &name, sizeof name, 0);
    if (result == (long)sizeof name)
        result = grace_kernel(SYS_fdatasync, fd);
    return result > 0 ? -EIO : (int)result;
}

int grace_ledger_rename_owner_at(const char *path, int leaving, int pid)
{
    struct name name = {0, 0, 0};
    long fd = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return (int)fd;
    bool is_ours = grace_kernel_pread(fd, &name, sizeof name, 0) == (long)sizeof name &&
                   name.magic == GRACE_LEDGER_MAGIC && name.pid == leaving;
    int result = is_ours ? grace_ledger_rename_owner((int)fd, pid) : -EINVAL;
    grace_kernel(SYS_close, fd);
    return result;
}

/* A line of /proc/PID/maps. */
struct mapping {
    unsigned long long start, end, inode;
    unsigned major, minor;
};

typedef bool is_wanted(const struct mapping *mapping, const void *what);

/* The first one of a process that is wanted. */
static bool find_mapping(int pid, is_wanted *is_it, const void *what, struct mapping *mapping)
{
    char path[32], line[4608];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    while (maps != NULL && !found && fgets(line, sizeof line, maps) != NULL)
        found = sscanf(line, "%llx-%llx %*s %*s %x:%x %llu", &mapping->start, &mapping->end,
                       &mapping->major, &mapping->minor, &mapping->inode) == 5 &&
                is_it(mapping, what);
    if (maps != NULL)
        fclose(maps);
    return found;
}

static bool covers(const struct mapping *mapping, const void *address)
{
    return mapping->start <= (uintptr_t)address && (uintptr_t)address < mapping->end;
}

static bool is_of_same_file(const struct mapping *mapping, const void *other)
{
    const struct mapping *name = other;
    return mapping->inode == name->inode && mapping->major == name->major &&
           mapping->minor == name->minor;
}

/* Maps are compared with a map of ours: on btrfs, and where overlayfs lies over several file
 * systems or the kernel is older than 6.8, fstat tells of another device or inode. */
bool grace_ledger_is_mapped_by(int fd, int pid)
{
    struct mapping ours, theirs;
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return false;
    bool known = find_mapping(grace_getpid(), covers, page, &ours);
    munmap(page, 1);
    return known && find_mapping(pid, is_of_same_file, &ours, &theirs);
}
