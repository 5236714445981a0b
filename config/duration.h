/* Durations as people write them: "30s", "250ms", "1m30s", "2h". */
#ifndef GRACE_CONFIG_DURATION_H
#define GRACE_CONFIG_DURATION_H

#include <stddef.h>
#include <stdint.h>

/* The longest duration a config may hold: one week. */
#define GRACE_DURATION_MAX_MS (UINT32_C(7) * 24 * 60 * 60 * 1000)

/*
 * Read a duration into milliseconds. Units are ms, s, m, h, in falling order, each once; a number
 * may have a decimal fraction ("1.5s"). Returns 0; -EINVAL for what is not a duration, a number
 * without a unit included; -ERANGE for one above GRACE_DURATION_MAX_MS.
 */
int grace_duration_parse(const char *text, uint32_t *milliseconds);

/* Write it as a person would ("1m30s", "250ms", "0s"). Returns the length; cut to size. */
size_t grace_duration_format(uint64_t milliseconds, char *buffer, size_t size);

#endif
