/* Where the log's lines go. Part of the log: others use log.h. All async-signal-safe but setup. */
#ifndef GRACE_HOOKS_LOG_SINK_H
#define GRACE_HOOKS_LOG_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

/* Remember what stderr is. Called once, by grace_log_setup. */
void grace_log_stderr_setup(void);

/* Each writes one line that is ready, newline included for the first two, and returns 0; or -1 when
 * it went nowhere. */
int grace_log_to_stderr(const char *line, size_t length);
int grace_log_to_file(const char *path, const char *line, size_t length);
int grace_log_to_syslog(const char *datagram, size_t length);
int grace_log_to_journal(const char *datagram, size_t length);

/* 2026-07-31T12:34:56.789Z. In log.c; here for its test. `seconds` since 1970, not before. */
void grace_log_add_time(struct grace_text *out, int64_t seconds, unsigned milliseconds);

#endif
