/* Telling a person how a stop goes: a line for each thing that happens, and on a terminal one more
 * that changes in place. */
#ifndef GRACE_OPS_PROGRESS_H
#define GRACE_OPS_PROGRESS_H

#include <stdbool.h>

#include "control.h"

struct grace_progress {
    struct grace_control_status seen; /* the last that was told of */
    bool known;
    bool live;    /* there is a terminal */
    bool pending; /* the changing line stands there */
    bool quiet;
};

/* On stdout, or nothing at all when quiet. */
void grace_progress_start(struct grace_progress *progress, bool quiet);

/* Tell what is new. Takes status->hooks over. */
void grace_progress_tell(struct grace_progress *progress, struct grace_control_status *status);

/* Take the changing line away, before something else is printed. */
void grace_progress_clear(struct grace_progress *progress);

/* Free what it keeps. */
void grace_progress_end(struct grace_progress *progress);

#endif
