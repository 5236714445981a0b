/* The plan itself: its memory, its defaults, its names, and where its file is found. */
#include "plan.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "reader.h"

/* How a plan lies in memory: at the start of its own arena. */
struct block {
    struct grace_arena arena;
    struct grace_plan plan;
};

static struct block *block_of(const struct grace_plan *plan)
{
    return (struct block *)((uintptr_t)plan - offsetof(struct block, plan));
}

static const struct grace_plan defaults = {
    .deadline_ms = 30000,
    .signals = GRACE_SIGNAL_BIT(SIGTERM) | GRACE_SIGNAL_BIT(SIGINT) | GRACE_SIGNAL_BIT(SIGHUP) |
               GRACE_SIGNAL_BIT(SIGQUIT),
    .chain = GRACE_SIGNAL_BIT(SIGTERM) | GRACE_SIGNAL_BIT(SIGQUIT),
    .daemonize = true,
    .log = {.level = GRACE_LOG_INFO},
    .drain = {.timeout_ms = 20000, .idle_ms = 100, .http = true},
};

struct grace_plan *grace_plan_new(struct grace_arena **arena)
{
    struct grace_arena fresh = {.chunks = NULL};
    struct block *block = grace_arena_take(&fresh, sizeof *block);
    if (block == NULL)
        return NULL;
    block->arena = fresh;
    block->plan = defaults;
    *arena = &block->arena;
    return &block->plan;
}

void grace_plan_seal(struct grace_plan *plan)
{
    grace_arena_seal(&block_of(plan)->arena);
}

const struct grace_plan *grace_plan_default(void)
{
    return &defaults;
}

void grace_plan_free(const struct grace_plan *plan)
{
    if (plan != NULL && plan != &defaults)
        grace_arena_free(&block_of(plan)->arena);
}

static bool exists(const char *path)
{
    int saved = errno;
    bool there = access(path, F_OK) == 0;
    errno = saved;
    return there;
}

/* Without snprintf, which costs a start more than the rest of the search. */
static int join(char *path, size_t size, const char *const parts[], size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(parts[i]);
        if (length >= size - used)
            return -ENAMETOOLONG;
        memcpy(path + used, parts[i], length);
        used += length;
    }
    path[used] = '\0';
    return 1;
}

int grace_plan_find(const char *given, const char *program, char *path, size_t size)
{
    if (given != NULL && given[0] != '\0')
        return join(path, size, &given, 1);
    const char *const names[] = {program, "grace"};
    for (size_t i = 0; i < 2; i++) {
        const char *const parts[] = {"/etc/grace/", names[i], ".conf"};
        int result = join(path, size, parts, 3);
        if (result < 0 || (names[i][0] != '\0' && exists(path)))
            return result;
    }
    return 0;
}

const char *grace_phase_name(enum grace_phase phase)
{
    static const char *const names[] = {"announce", "drain", "stop", "cleanup"};
    return (unsigned)phase < GRACE_PHASES ? names[phase] : "?";
}

const char *grace_cause_name(enum grace_cause cause)
{
    static const char *const names[] = {"none",  "signal",     "exit",  "return",
                                        "_exit", "quick_exit", "crash", "killed"};
    return (unsigned)cause < GRACE_CAUSES ? names[cause] : "?";
}
