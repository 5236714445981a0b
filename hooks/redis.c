/*
 * The plugin "redis": has a Redis server save its data, and runs commands there.
 *
 *     { name = "save"; phase = "announce"; plugin = "redis";
 *       options = { url = "redis://127.0.0.1"; save = "always"; }; }
 *
 * External: hiredis and OpenSSL never enter the target.
 */
#include "grace_hook.h"

#include <stdlib.h>
#include <string.h>

#include "parts/expand.h"
#include "parts/patience.h"
#include "parts/secret.h"
#include "redis/link.h"
#include "redis/save.h"
#include "redis/words.h"

#define PAUSE_MAX_MS (INT64_C(10) * 60 * 1000)

struct redis {
    const char *url, *user, *password_file, *ca, *cert, *key;
    const char *const *commands;
    struct grace_redis_saving saving;
};

/* ---- options -------------------------------------------------------------------------------- */

static int read_when(struct redis *redis, const struct grace_options *options,
                     struct grace_error *error)
{
    const char *usual = redis->commands != NULL ? "never" : "always";
    const char *when = grace_option_string(options, "save", usual);
    if (strcmp(when, "always") == 0)
        redis->saving.when = GRACE_REDIS_ALWAYS;
    else if (strcmp(when, "if-changed") == 0)
        redis->saving.when = GRACE_REDIS_IF_CHANGED;
    else if (strcmp(when, "never") == 0)
        redis->saving.when = GRACE_REDIS_NEVER;
    else
        return grace_error_set(
            error, "option \"save\" is \"%.40s\"; expected \"always\", \"if-changed\" or \"never\"",
            when);
    return 0;
}

static int read_mode(struct redis *redis, const struct grace_options *options,
                     struct grace_error *error)
{
    const char *mode = grace_option_string(options, "mode", "SAVE");
    redis->saving.background = strcmp(mode, "BGSAVE") == 0;
    if (!redis->saving.background && strcmp(mode, "SAVE") != 0)
        return grace_error_set(
            error, "option \"mode\" is \"%.40s\"; expected \"SAVE\" or \"BGSAVE\"", mode);
    redis->saving.pause_ms = grace_option_duration_ms(options, "pause", 0);
    if (redis->saving.pause_ms > PAUSE_MAX_MS)
        return grace_error_set(error, "option \"pause\" is longer than 10m");
    return 0;
}

static int check_commands(const struct redis *redis, struct grace_error *error)
{
    for (const char *const *at = redis->commands; at != NULL && *at != NULL; at++) {
        char **words = grace_redis_split(*at, error);
        int wrong = words == NULL;
        for (size_t i = 0; !wrong && words[i] != NULL; i++)
            wrong = grace_expand_check("commands", words[i], error) != 0;
        grace_redis_free_words(words);
        if (wrong)
            return -1;
    }
    return 0;
}

/* As far as it can be, before the values are known. */
static int check_url(const struct redis *redis, struct grace_error *error)
{
    struct grace_redis_place place = {.text = NULL};
    if (grace_expand_check("url", redis->url, error) != 0)
        return -1;
    if (strstr(redis->url, "${") != NULL)
        return 0;
    int result = grace_redis_parse_url(&place, redis->url, error);
    if (result == 0 && !place.tls && (redis->ca != NULL || redis->cert != NULL))
        result = grace_error_set(error, "options \"ca\" and \"cert\" are for rediss://");
    free(place.text);
    return result;
}

static int check_options(const struct redis *redis, struct grace_error *error)
{
    if (check_url(redis, error) != 0 || check_commands(redis, error) != 0)
        return -1;
    if (redis->saving.when == GRACE_REDIS_NEVER && redis->commands == NULL)
        return grace_error_set(error,
                               "nothing to do: save is \"never\", and there are no commands");
    if (redis->user != NULL && redis->password_file == NULL)
        return grace_error_set(error, "option \"user\" needs \"password_file\"");
    if (redis->key != NULL && redis->cert == NULL)
        return grace_error_set(error, "option \"key\" needs \"cert\", the certificate it is of");
    if (redis->password_file != NULL &&
        grace_secret_check("password_file", redis->password_file, error) != 0)
        return -1;
    return redis->key != NULL ? grace_secret_check("key", redis->key, error) : 0;
}

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL)
        return grace_error_set(error, "out of memory");
    redis->url = grace_option_string(options, "url", "redis://127.0.0.1");
    redis->user = grace_option_string(options, "user", NULL);
    redis->password_file = grace_option_string(options, "password_file", NULL);
    redis->ca = grace_option_string(options, "ca", NULL);
    redis->cert = grace_option_string(options, "cert", NULL);
    redis->key = grace_option_string(options, "key", NULL);
    redis->commands = grace_option_list(options, "commands");
    if (read_when(redis, options, error) == 0 && read_mode(redis, options, error) == 0 &&
        check_options(redis, error) == 0) {
        *state = redis;
        return 0;
    }
    free(redis);
    return -1;
}

/* ---- getting in ----------------------------------------------------------------------------- */

/* One command that must be answered with OK. `what` says what it was for. */
static int expect_ok(struct grace_redis_link *link, const char *const *words, const char *what,
                     struct grace_error *error)
{
    redisReply *reply = grace_redis_call(link, words, error);
    if (reply == NULL)
        return -1;
    int result = 0;
    if (reply->type == REDIS_REPLY_ERROR)
        result = grace_error_set(error, "%s: redis answers %.200s", what, reply->str);
    freeReplyObject(reply);
    return result;
}

static int authenticate(struct grace_redis_link *link, const struct redis *redis, const char *user,
                        struct grace_error *error)
{
    char what[320];
    if (redis->password_file == NULL)
        return 0;
    char *password = grace_secret_read("password_file", redis->password_file, error);
    if (password == NULL)
        return -1;
    snprintf(what, sizeof what, "user %.60s with the password in %.200s",
             user != NULL ? user : "default", redis->password_file);
    int result = user != NULL
                     ? expect_ok(link, GRACE_REDIS_WORDS("AUTH", user, password), what, error)
                     : expect_ok(link, GRACE_REDIS_WORDS("AUTH", password), what, error);
    grace_secret_free(password);
    return result;
}

/* One question that any server answers who lets us in. */
static int greet(struct grace_redis_link *link, const struct redis *redis,
                 const struct grace_redis_place *place, struct grace_error *error)
{
    const char *user = redis->user != NULL ? redis->user : place->user;
    if (authenticate(link, redis, user, error) != 0 ||
        expect_ok(link, GRACE_REDIS_WORDS("PING"),
                  redis->password_file == NULL ? "without a password_file" : "after AUTH",
                  error) != 0)
        return -1;
    return place->database == NULL ? 0
                                   : expect_ok(link, GRACE_REDIS_WORDS("SELECT", place->database),
                                               "the database that `url` names", error);
}

/* ---- the work ------------------------------------------------------------------------------- */

/* Values are put into words, so that none of them can become two. */
static int expand_words(char **words, struct grace_error *error)
{
    for (; *words != NULL; words++) {
        char *word = grace_expand("commands", *words, GRACE_ESCAPE_NONE, error);
        if (word == NULL)
            return -1;
        free(*words);
        *words = word;
    }
    return 0;
}

static int run_command(struct grace_redis_link *link, const char *line, size_t number,
                       struct grace_error *error)
{
    char what[80];
    char **words = grace_redis_split(line, error);
    int result = words == NULL || expand_words(words, error) != 0 ? -1 : 0;
    if (result == 0) {
        snprintf(what, sizeof what, "command %zu, %.40s", number, words[0]);
        result = expect_ok(link, (const char *const *)words, what, error);
    }
    grace_redis_free_words(words);
    return result;
}

/* One that fails keeps neither those behind it nor the save from being done; it is told at the end.
 */
static int run_commands(struct grace_redis_link *link, const struct redis *redis,
                        const struct grace_stop *stop, struct grace_error *error)
{
    int result = 0;
    size_t number = 0;
    for (const char *const *at = redis->commands; at != NULL && *at != NULL; at++) {
        struct grace_error now = {.size = sizeof now};
        if (run_command(link, *at, ++number, &now) == 0)
            continue;
        if (result == 0)
            *error = now;
        else
            grace_stop_log(stop, GRACE_HOOK_ERROR, now.text);
        result = -1;
    }
    return result;
}

static int work(struct grace_redis_link *link, const struct redis *redis,
                const struct grace_stop *stop, struct grace_error *error)
{
    struct grace_error save_error = {.size = sizeof save_error};
    int commands = run_commands(link, redis, stop, error);
    int saved = grace_redis_save(link, &redis->saving, stop, &save_error);
    if (saved != 0 && commands != 0)
        grace_stop_log(stop, GRACE_HOOK_ERROR, error->text);
    if (saved != 0)
        *error = save_error;
    return commands != 0 || saved != 0 ? -1 : 0;
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct redis *redis = state;
    struct grace_redis_place place = {.ca = redis->ca, .cert = redis->cert, .key = redis->key};
    char *url = grace_expand("url", redis->url, GRACE_ESCAPE_NONE, error);
    int result = url != NULL ? grace_redis_parse_url(&place, url, error) : -1;
    free(url);
    if (result != 0)
        return -1;
    struct grace_redis_link *link = grace_redis_open(&place, grace_patience_ms(stop), error);
    if (link == NULL || greet(link, redis, &place, error) != 0)
        result = -1;
    else
        result = work(link, redis, stop, error);
    grace_redis_close(link);
    free(place.text);
    return result;
}

static void release(void *state)
{
    free(state);
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI,
    sizeof grace_hook,
    GRACE_HOOK_EXTERNAL,
    0,
    "redis",
    "has a Redis server save its data, and runs commands there",
    configure,
    run,
    release,
};
