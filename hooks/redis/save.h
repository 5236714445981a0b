/* Having Redis write its data to disk, and being sure that it did. */
#ifndef GRACE_HOOKS_REDIS_SAVE_H
#define GRACE_HOOKS_REDIS_SAVE_H

#include "link.h"

enum grace_redis_when { GRACE_REDIS_ALWAYS, GRACE_REDIS_IF_CHANGED, GRACE_REDIS_NEVER };

struct grace_redis_saving {
    enum grace_redis_when when;
    bool background;  /* BGSAVE and wait, rather than SAVE */
    int64_t pause_ms; /* hold up those who write from before the save; 0: not */
};

/*
 * Save. A save that is under way already is waited for first. Done is when Redis says so and its
 * LASTSAVE has changed, or may be of the same second. Returns 0, or -1 with the error set; writers
 * go on then.
 */
int grace_redis_save(struct grace_redis_link *link, const struct grace_redis_saving *saving,
                     const struct grace_stop *stop, struct grace_error *error);

#endif
