/*
 * Who is still at work.
 *
 * When the last transaction is over the thread that had it may still have to write down elsewhere
 * what it has just committed. Nothing says so but the thread itself: it goes on. So a drain with
 * connections is over when no thread of the target's can be doing that: each waits at the gate, or
 * has been asleep in the kernel for a while, every time that it was looked at. One that has used a
 * connection since the drain began is given longer than one that has not; one that never sleeps and
 * was never seen using one is not waited for for ever.
 */
#include "db.h"

#include <fcntl.h>
#include <string.h>

#define THREADS 4096

#define ASLEEP_MS      200  /* … for as long as this, of a thread that was not seen */
#define ASLEEP_SEEN_MS 1000 /* … of one that was */
#define UNSEEN_MOST_MS 3000 /* how long one that was not seen is waited for at all */

/* Since when a thread has been asleep, by a hash of its id. Two that share a place only make each
 * other look awake. */
static struct {
    uint64_t began_ms;
    uint64_t look;
    struct {
        int32_t thread;
        uint64_t since_ms, look;
    } asleep[THREADS];
} threads;

_Atomic int32_t grace_db_own_thread;

void grace_db_threads_forget(void)
{
    memset(&threads, 0, sizeof threads);
}

/* The state letter of /proc/self/task/TID/stat; 0: it is gone. */
static char state_of(const char *thread)
{
    char path[64] = "/proc/self/task/", stat[256];
    size_t length = strlen(path), id = strlen(thread);
    if (id > 16)
        return 0;
    memcpy(path + length, thread, id);
    memcpy(path + length + id, "/stat", 6);
    long fd = grace_kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    long got = grace_kernel(SYS_read, fd, stat, sizeof stat - 1);
    grace_kernel(SYS_close, fd);
    if (got <= 0)
        return 0;
    stat[got] = '\0';
    const char *behind_name = strrchr(stat, ')');
    return behind_name == NULL || behind_name[1] == '\0' ? 0 : behind_name[2];
}

/* How long it has been asleep at each look. */
static uint64_t asleep_for(int32_t thread, char state, uint64_t now)
{
    size_t place = (uint32_t)thread % THREADS;
    bool sleeps = strchr("StTXZ", state) != NULL;
    if (!sleeps || threads.asleep[place].thread != thread ||
        threads.asleep[place].look + 1 != threads.look) {
        threads.asleep[place].thread = thread;
        threads.asleep[place].since_ms = now;
    }
    threads.asleep[place].look = sleeps ? threads.look : 0;
    return now - threads.asleep[place].since_ms;
}

static bool is_at_work(int32_t thread, const char *name, uint64_t now)
{
    char state = state_of(name);
    if (state == 0)
        return false;
    uint64_t slept = asleep_for(thread, state, now);
    if (grace_db_was_seen(thread))
        return slept < ASLEEP_SEEN_MS;
    return slept < ASLEEP_MS && now - threads.began_ms < UNSEEN_MOST_MS;
}

static int32_t number_of(const char *digits)
{
    int32_t number = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++)
        number = number * 10 + (*digits - '0');
    return number;
}

unsigned grace_db_threads_at_work(int32_t helper, unsigned *parked)
{
    struct grace_kernel_listing listing;
    const char *name;
    unsigned count = 0;
    int32_t self = (int32_t)grace_kernel(SYS_gettid);
    uint64_t now = grace_kernel_now_ms();
    *parked = 0;
    threads.look++;
    if (threads.began_ms == 0)
        threads.began_ms = now;
    if (grace_kernel_list(&listing, "/proc/self/task") < 0)
        return 0;
    while ((name = grace_kernel_list_next(&listing)) != NULL) {
        int32_t thread = number_of(name);
        if (thread == self || thread == helper || thread == atomic_load(&grace_db_own_thread))
            continue;
        if (grace_db_is_parked(thread))
            ++*parked;
        else
            count += is_at_work(thread, name, now);
    }
    grace_kernel_list_end(&listing);
    return count;
}
