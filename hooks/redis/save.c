#include "save.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* How often an unfinished save is looked at. */
#define LOOK_FIRST_MS 5
#define LOOK_MAX_MS   200

/* Redis' clock before a save is ordered, and when it had saved until then; both in seconds. */
struct before {
    int64_t time, saved;
};

/* What INFO says of saving. */
struct persistence {
    int64_t changes; /* since the last save */
    bool saving;
    bool rewriting; /* the append-only file: another child in whose time none can be begun */
    bool failed;    /* the last save in the background */
};

/* ---- asking --------------------------------------------------------------------------------- */

/* The number of a line "name:number" of INFO; -1 when there is none. */
static int64_t info_number(const char *info, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = info; (at = strstr(at, name)) != NULL; at += length) {
        if ((at == info || at[-1] == '\n') && at[length] == ':')
            return strtoll(at + length + 1, NULL, 10);
    }
    return -1;
}

static int unexpected(const char *command, const redisReply *reply, struct grace_error *error)
{
    return grace_error_set(error, "redis answers %.200s to %s",
                           reply->type == REDIS_REPLY_ERROR ? reply->str : "something else",
                           command);
}

static int look(struct grace_redis_link *link, struct persistence *now, struct grace_error *error)
{
    redisReply *reply = grace_redis_call(link, GRACE_REDIS_WORDS("INFO", "persistence"), error);
    if (reply == NULL)
        return -1;
    int result = 0;
    *now = (struct persistence){0};
    if (reply->type == REDIS_REPLY_STRING) {
        now->changes = info_number(reply->str, "rdb_changes_since_last_save");
        now->saving = info_number(reply->str, "rdb_bgsave_in_progress") == 1;
        now->rewriting = info_number(reply->str, "aof_rewrite_in_progress") == 1;
        now->failed = strstr(reply->str, "rdb_last_bgsave_status:ok") == NULL;
    } else {
        result = unexpected("INFO", reply, error);
    }
    freeReplyObject(reply);
    return result;
}

/* A command that answers with a number of seconds: LASTSAVE, or TIME's first part. */
static int64_t seconds_of(struct grace_redis_link *link, const char *command,
                          struct grace_error *error)
{
    redisReply *reply = grace_redis_call(link, GRACE_REDIS_WORDS(command), error);
    int64_t seconds = -1;
    if (reply == NULL)
        return -1;
    if (reply->type == REDIS_REPLY_INTEGER)
        seconds = reply->integer;
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
             reply->element[0]->type == REDIS_REPLY_STRING)
        seconds = strtoll(reply->element[0]->str, NULL, 10);
    else
        unexpected(command, reply, error);
    freeReplyObject(reply);
    return seconds;
}

/* Until no save (nor, where it matters, rewrite) is under way. */
static int wait_until_idle(struct grace_redis_link *link, bool rewrite_matters,
                           struct persistence *now, struct grace_error *error)
{
    for (int pause = LOOK_FIRST_MS;; pause = pause < LOOK_MAX_MS / 2 ? pause * 2 : LOOK_MAX_MS) {
        if (look(link, now, error) != 0)
            return -1;
        if (!now->saving && !(rewrite_matters && now->rewriting))
            return 0;
        if (grace_redis_left_ms(link) <= pause)
            return grace_error_set(error, "redis has not saved all in time; it goes on in the "
                                          "background as long as it lives");
        poll(NULL, 0, pause);
    }
}

/* ---- telling why not ------------------------------------------------------------------------ */

/* Redis says "ERR", whatever it was; a full disk is what it mostly is. */
static void add_folder(struct grace_redis_link *link, struct grace_error *error)
{
    struct grace_error unused = {.size = sizeof unused};
    char why[200];
    redisReply *reply = grace_redis_call(link, GRACE_REDIS_WORDS("CONFIG", "GET", "dir"), &unused);
    if (reply == NULL)
        return;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING) {
        const char *folder = reply->element[1]->str;
        struct statvfs space;
        snprintf(why, sizeof why, "%.199s", error->text);
        if (grace_redis_is_local(link) && statvfs(folder, &space) == 0)
            grace_error_set(error, "%s; its folder is %.150s, with %" PRIu64 " KiB free", why,
                            folder, (uint64_t)space.f_bavail * space.f_frsize / 1024);
        else
            grace_error_set(error, "%s; its folder is %.150s", why, folder);
    }
    freeReplyObject(reply);
}

/* ---- saving --------------------------------------------------------------------------------- */

static bool says_busy(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR &&
           (strstr(reply->str, "in progress") != NULL || strstr(reply->str, "active") != NULL);
}

static int look_at_clock(struct grace_redis_link *link, struct before *before,
                         struct grace_error *error)
{
    before->saved = seconds_of(link, "LASTSAVE", error);
    if (before->saved < 0)
        return -1;
    before->time = seconds_of(link, "TIME", error);
    return before->time < 0 ? -1 : 0;
}

/* Have it begin, and with SAVE end: again as long as another save came in between. */
static int order(struct grace_redis_link *link, const struct grace_redis_saving *saving,
                 struct before *before, struct grace_error *error)
{
    const char *command = saving->background ? "BGSAVE" : "SAVE";
    struct persistence now = {0};
    for (;;) {
        if (wait_until_idle(link, saving->background, &now, error) != 0 ||
            look_at_clock(link, before, error) != 0)
            return -1;
        redisReply *reply = grace_redis_call(link, GRACE_REDIS_WORDS(command), error);
        if (reply == NULL)
            return -1;
        bool busy = says_busy(reply);
        int result = reply->type == REDIS_REPLY_STATUS || busy ? 0 : -1;
        if (result != 0)
            grace_error_set(error, "redis cannot save: it answers \"%.100s\" to %s",
                            reply->type == REDIS_REPLY_ERROR ? reply->str : "?", command);
        freeReplyObject(reply);
        if (result != 0)
            add_folder(link, error);
        if (!busy)
            return result;
    }
}

/*
 * LASTSAVE is of time(2), which is up to a tick behind the clock of TIME, so that a save at the
 * beginning of a second may be told as of the one before. And a clock can be set back: one that has
 * changed is of this save, whatever it says.
 */
static int verify(struct grace_redis_link *link, const struct grace_redis_saving *saving,
                  const struct before *before, struct grace_error *error)
{
    struct persistence now = {0};
    if (saving->background) {
        if (wait_until_idle(link, false, &now, error) != 0)
            return -1;
        if (now.failed) {
            grace_error_set(error, "redis could not save in the background: "
                                   "rdb_last_bgsave_status says so");
            add_folder(link, error);
            return -1;
        }
    }
    int64_t last = seconds_of(link, "LASTSAVE", error);
    if (last < 0)
        return -1;
    if (last == before->saved && last < before->time - 1)
        return grace_error_set(
            error, "redis says that it saved, but its LASTSAVE is %" PRId64 " s older than that",
            before->time - last);
    return 0;
}

static int save(struct grace_redis_link *link, const struct grace_redis_saving *saving,
                struct grace_error *error)
{
    struct before before;
    if (order(link, saving, &before, error) != 0)
        return -1;
    return verify(link, saving, &before, error);
}

/* What is acknowledged is in the save then. An old Redis cannot: the save is worth more. */
static bool hold_writers(struct grace_redis_link *link, int64_t pause_ms,
                         const struct grace_stop *stop)
{
    struct grace_error error = {.size = sizeof error};
    char time[24];
    snprintf(time, sizeof time, "%" PRId64, pause_ms);
    redisReply *reply =
        grace_redis_call(link, GRACE_REDIS_WORDS("CLIENT", "PAUSE", time, "WRITE"), &error);
    bool held = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (!held)
        grace_stop_log(stop, GRACE_HOOK_WARNING,
                       "redis does not hold up writers (it is older than 6.2, or its user may not "
                       "use CLIENT): what is written during the save may be lost");
    if (reply != NULL)
        freeReplyObject(reply);
    return held;
}

static void let_writers_go_on(struct grace_redis_link *link)
{
    struct grace_error error = {.size = sizeof error};
    redisReply *reply = grace_redis_call(link, GRACE_REDIS_WORDS("CLIENT", "UNPAUSE"), &error);
    if (reply != NULL)
        freeReplyObject(reply);
}

int grace_redis_save(struct grace_redis_link *link, const struct grace_redis_saving *saving,
                     const struct grace_stop *stop, struct grace_error *error)
{
    struct persistence now = {0};
    if (saving->when == GRACE_REDIS_NEVER)
        return 0;
    bool held = saving->pause_ms > 0 && hold_writers(link, saving->pause_ms, stop);
    if (saving->when == GRACE_REDIS_IF_CHANGED) {
        if (look(link, &now, error) != 0)
            return -1;
        if (now.changes == 0 && !now.failed) {
            grace_stop_log(stop, GRACE_HOOK_INFO, "nothing has changed since the last save");
            return 0;
        }
    }
    int result = save(link, saving, error);
    if (result != 0 && held)
        let_writers_go_on(link);
    return result;
}
