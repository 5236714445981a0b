/*
 * The log: one line when a stop begins, one per hook, one at the end, and whatever went wrong.
 *
 * No descriptor is kept open: the target could close it, or its children inherit it. Each line
 * opens what it writes to and closes it again. Writing never blocks for long (a reader that does
 * not read loses lines, the stop goes on), never raises SIGPIPE, and keeps errno. After
 * grace_log_setup everything here is async-signal-safe and thread-safe; it takes no lock and
 * allocates nothing. A line takes about 8 KiB of stack. Before grace_log_setup nothing is written.
 */
#ifndef GRACE_HOOKS_LOG_H
#define GRACE_HOOKS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "config/plan.h"
#include "text.h"

/* Longest message and longest set of fields of one line, in bytes. More is cut, with "…". */
#define GRACE_LOG_MESSAGE_MAX 1024
#define GRACE_LOG_FIELDS_MAX  1024

/* How long one sink that takes nothing may hold up its lines, all lines of this process together.
 */
#define GRACE_LOG_PATIENCE_MS 200

/*
 * Say where lines go. Remembers what stderr is now (device, inode, path), so that a line never
 * lands in a file that later got the number 2: when descriptor 2 is something else by then, the
 * remembered path is opened again where it has one (file, terminal), else the line goes to
 * /dev/log if that is there. A file or socket that cannot be opened falls back to stderr. A pipe
 * or terminal that nobody reads holds lines up for GRACE_LOG_PATIENCE_MS in all, then loses them.
 * The strings in `plan` and `program` must stay valid. Call once per process, before threads.
 */
void grace_log_setup(const struct grace_log_plan *plan, const char *program);

/* Lines are about the process `pid` from now on, whoever writes them. */
void grace_log_speak_for(int pid);

/* Whether a line at this level would be written. */
bool grace_log_wants(enum grace_log_level level);

/*
 * One line: begin, say (the words for people), any number of fields (for JSON and the journal),
 * end. In the text format a line is `libgrace: PROGRAM[PID]: WORDS`, warnings and errors with
 * `warning: ` or `error: ` before the words; in JSON it is one object with time (RFC 3339, UTC,
 * milliseconds), level, program, pid, event, message and the fields; in the journal the fields are
 * GRACE_<NAME>.
 */
struct grace_log_line {
    enum grace_log_level level;
    int pid; /* shown as the program's; set by grace_log_begin, may be changed before the end */
    const char *event; /* "stop-begin", "hook", "stop-end" …: stable names for machines */
    struct grace_text message;
    struct grace_text fields; /* ready JSON: ,"name":value */
    char message_buffer[GRACE_LOG_MESSAGE_MAX];
    char fields_buffer[GRACE_LOG_FIELDS_MAX];
};

void grace_log_begin(struct grace_log_line *line, enum grace_log_level level, const char *event);
void grace_log_say(struct grace_log_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void grace_log_field(struct grace_log_line *line, const char *name, const char *value);
void grace_log_number(struct grace_log_line *line, const char *name, int64_t value);
void grace_log_end(struct grace_log_line *line);

/* A line without fields, in one call. */
void grace_log(enum grace_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
