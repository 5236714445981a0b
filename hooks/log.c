/* How a line of the log is put together. Where it goes: log_sink.c. */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include "kernel.h"
#include "log_sink.h"

/* Long enough for a JSON line without escapes; below PIPE_BUF, so that a pipe takes it whole or not
 * at all. */
#define LINE_MAX_BYTES 4000

#define ELLIPSIS      "\xe2\x80\xa6"
#define ELLIPSIS_SIZE 3

/* Written by setup, before `ready`; constant afterwards. */
static struct {
    struct grace_log_plan plan;
    const char *program;
    atomic_int pid;    /* whose lines these are; 0: our own. Relaxed: it stands alone */
    atomic_bool ready; /* release in setup, acquire at each use */
} settings;

void grace_log_setup(const struct grace_log_plan *plan, const char *program)
{
    settings.plan = *plan;
    settings.program = program != NULL ? program : "?";
    grace_log_stderr_setup();
    atomic_store_explicit(&settings.ready, true, memory_order_release);
}

void grace_log_speak_for(int pid)
{
    atomic_store_explicit(&settings.pid, pid, memory_order_relaxed);
}

bool grace_log_wants(enum grace_log_level level)
{
    return atomic_load_explicit(&settings.ready, memory_order_acquire) &&
           level <= settings.plan.level;
}

/* ---- collecting ---------------------------------------------------------------------------- */

void grace_log_begin(struct grace_log_line *line, enum grace_log_level level, const char *event)
{
    line->level = level;
    int pid = atomic_load_explicit(&settings.pid, memory_order_relaxed);
    line->pid = pid != 0 ? pid : grace_getpid();
    line->event = event;
    /* Room is kept for the mark that says something is missing. */
    grace_text_start(&line->message, line->message_buffer,
                     sizeof line->message_buffer - ELLIPSIS_SIZE);
    grace_text_start(&line->fields, line->fields_buffer, sizeof line->fields_buffer);
}

void grace_log_say(struct grace_log_line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    grace_text_format_list(&line->message, format, arguments);
    va_end(arguments);
}

/* Take back a field that did not fit, so that what there is stays JSON. */
static void drop_field(struct grace_text *fields, size_t start)
{
    fields->length = start;
    fields->buffer[start] = '\0';
    fields->cut = 0;
}

static void begin_field(struct grace_text *fields, const char *name)
{
    grace_text_add(fields, ",\"");
    grace_text_add_json(fields, name, strlen(name));
    grace_text_add(fields, "\":");
}

void grace_log_field(struct grace_log_line *line, const char *name, const char *value)
{
    struct grace_text *fields = &line->fields;
    size_t start = fields->length;
    begin_field(fields, name);
    if (value == NULL) {
        grace_text_add(fields, "null");
    } else {
        grace_text_add_char(fields, '"');
        /* The value may use all but what closes it. */
        const size_t closing = ELLIPSIS_SIZE + 1;
        if (fields->length + closing >= fields->size)
            fields->cut = 1;
        if (!fields->cut) {
            fields->size -= closing;
            grace_text_add_json(fields, value, strlen(value));
            fields->size += closing;
            bool shortened = fields->cut;
            fields->cut = 0;
            grace_text_add(fields, shortened ? ELLIPSIS "\"" : "\"");
        }
    }
    if (fields->cut)
        drop_field(fields, start);
}

void grace_log_number(struct grace_log_line *line, const char *name, int64_t value)
{
    size_t start = line->fields.length;
    begin_field(&line->fields, name);
    grace_text_add_signed(&line->fields, value);
    if (line->fields.cut)
        drop_field(&line->fields, start);
}

/* ---- formats ------------------------------------------------------------------------------- */

static const char *level_name(enum grace_log_level level)
{
    switch (level) {
    case GRACE_LOG_ERROR:
        return "error";
    case GRACE_LOG_WARNING:
        return "warning";
    case GRACE_LOG_INFO:
        return "info";
    default:
        return "debug";
    }
}

/* syslog(3)'s priorities: err, warning, info, debug. */
static unsigned priority(enum grace_log_level level)
{
    switch (level) {
    case GRACE_LOG_ERROR:
        return 3;
    case GRACE_LOG_WARNING:
        return 4;
    case GRACE_LOG_INFO:
        return 6;
    default:
        return 7;
    }
}

static void add_padded(struct grace_text *out, unsigned number, unsigned digits)
{
    for (unsigned scale = digits == 4 ? 1000 : digits == 3 ? 100 : 10; scale > 0; scale /= 10)
        grace_text_add_char(out, (char)('0' + number / scale % 10));
}

/*
 * RFC 3339 in UTC. gmtime_r is not async-signal-safe, so the date is worked out here: years are
 * counted from March, so that the leap day comes last, in cycles of 400 years of 146097 days.
 */
void grace_log_add_time(struct grace_text *out, int64_t seconds, unsigned milliseconds)
{
    int64_t days = seconds / 86400;
    unsigned rest = (unsigned)(seconds % 86400);
    int64_t shifted = days + 719468; /* days since 0000-03-01 */
    int64_t cycle = shifted / 146097;
    unsigned day_of_cycle = (unsigned)(shifted % 146097);
    unsigned year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 - day_of_cycle / 146096) / 365;
    unsigned day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    unsigned month_from_march = (5 * day_of_year + 2) / 153;
    unsigned day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    unsigned year = (unsigned)(cycle * 400) + year_of_cycle + (month <= 2);

    add_padded(out, year, 4);
    grace_text_add_char(out, '-');
    add_padded(out, month, 2);
    grace_text_add_char(out, '-');
    add_padded(out, day, 2);
    grace_text_add_char(out, 'T');
    add_padded(out, rest / 3600, 2);
    grace_text_add_char(out, ':');
    add_padded(out, rest / 60 % 60, 2);
    grace_text_add_char(out, ':');
    add_padded(out, rest % 60, 2);
    grace_text_add_char(out, '.');
    add_padded(out, milliseconds, 3);
    grace_text_add_char(out, 'Z');
}

static void add_json_string(struct grace_text *out, const char *value, size_t length)
{
    grace_text_add_char(out, '"');
    grace_text_add_json(out, value, length);
    grace_text_add_char(out, '"');
}

/*
 * The message with room left for what comes after it: cut with "…" rather than losing the line's
 * end. Escapes make a message longer than its own buffer, which is how it can fail to fit.
 */
static void add_message(struct grace_text *out, const struct grace_text *message, size_t after,
                        void (*add)(struct grace_text *, const char *, size_t))
{
    out->size -= after + ELLIPSIS_SIZE;
    add(out, message->buffer, message->length);
    out->size += after + ELLIPSIS_SIZE;
    if (out->cut) {
        out->cut = 0;
        grace_text_add(out, ELLIPSIS);
    }
}

static void format_json(const struct grace_log_line *line, struct grace_text *out)
{
    struct timespec now = {0, 0};
    grace_kernel(SYS_clock_gettime, CLOCK_REALTIME, &now);
    grace_text_add(out, "{\"time\":\"");
    grace_log_add_time(out, now.tv_sec, (unsigned)(now.tv_nsec / 1000000));
    grace_text_format(out, "\",\"level\":\"%s\",\"program\":", level_name(line->level));
    add_json_string(out, settings.program, strnlen(settings.program, 256));
    grace_text_format(out, ",\"pid\":%d,\"event\":", line->pid);
    add_json_string(out, line->event, strlen(line->event));
    grace_text_add(out, ",\"message\":\"");
    add_message(out, &line->message, line->fields.length + 3, grace_text_add_json);
    grace_text_add_char(out, '"');
    grace_text_add_bytes(out, line->fields.buffer, line->fields.length);
    grace_text_add_char(out, '}');
}

static void format_text(const struct grace_log_line *line, struct grace_text *out)
{
    if (line->level <= GRACE_LOG_WARNING)
        grace_text_format(out, "%s: ", level_name(line->level));
    add_message(out, &line->message, 1, grace_text_add_printable);
}

static void add_program(struct grace_text *out, int pid)
{
    grace_text_add_printable(out, settings.program, strnlen(settings.program, 256));
    grace_text_format(out, "[%d]: ", pid);
}

/* A journal field's name from ours: "duration_ms" becomes GRACE_DURATION_MS. */
static void add_journal_name(struct grace_text *out, const char *name, size_t length)
{
    grace_text_add(out, "GRACE_");
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            c = '_';
        grace_text_add_char(out, c);
    }
    grace_text_add_char(out, '=');
}

/*
 * The fields are JSON by now, our own and so well-formed: ,"name":"value" or ,"name":number.
 * Escaped quotes and backslashes become themselves again; other escapes stay, which keeps a value
 * on one line.
 */
static void add_journal_fields(struct grace_text *out, const struct grace_text *fields)
{
    const char *at = fields->buffer, *end = at + fields->length;
    while (end - at > 4) {
        const char *name = at + 2;
        const char *name_end = memchr(name, '"', (size_t)(end - name));
        if (name_end == NULL)
            return;
        add_journal_name(out, name, (size_t)(name_end - name));
        at = name_end + 2;
        bool quoted = at < end && *at == '"';
        for (at += quoted; at < end && *at != (quoted ? '"' : ','); at++) {
            if (*at == '\\' && at + 1 < end) {
                at++;
                if (*at != '"' && *at != '\\')
                    grace_text_add_char(out, '\\');
            }
            grace_text_add_char(out, *at);
        }
        at += quoted;
        grace_text_add_char(out, '\n');
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

static int send_to_journal(const struct grace_log_line *line, struct grace_text *out)
{
    grace_text_add(out, "MESSAGE=");
    grace_text_add_printable(out, line->message.buffer, line->message.length);
    out->cut = 0;
    grace_text_format(out, "\nPRIORITY=%u\nSYSLOG_IDENTIFIER=", priority(line->level));
    grace_text_add_printable(out, settings.program, strnlen(settings.program, 256));
    grace_text_format(out, "\nSYSLOG_PID=%d\nGRACE_EVENT=%s\n", line->pid, line->event);
    add_journal_fields(out, &line->fields);
    return grace_log_to_journal(out->buffer, out->length);
}

static int send_to_syslog(const struct grace_log_line *line, struct grace_text *out)
{
    grace_text_format(out, "<%u>", 3u << 3 | priority(line->level)); /* 3: daemon */
    add_program(out, line->pid);
    if (settings.plan.format == GRACE_LOG_JSON)
        format_json(line, out);
    else
        format_text(line, out);
    return grace_log_to_syslog(out->buffer, out->length);
}

static int send_line(const struct grace_log_line *line, struct grace_text *out, bool to_file)
{
    if (settings.plan.format == GRACE_LOG_JSON) {
        format_json(line, out);
    } else {
        grace_text_add(out, "libgrace: ");
        add_program(out, line->pid);
        format_text(line, out);
    }
    grace_text_add_char(out, '\n');
    if (to_file)
        return grace_log_to_file(settings.plan.path, out->buffer, out->length);
    return grace_log_to_stderr(out->buffer, out->length);
}

/* The plan's own sink; -1 when there is none but stderr, or when it failed. */
static int send_as_planned(const struct grace_log_line *line, struct grace_text *out)
{
    switch (settings.plan.sink) {
    case GRACE_LOG_FILE:
        return settings.plan.path != NULL ? send_line(line, out, true) : -1;
    case GRACE_LOG_SYSLOG:
        return send_to_syslog(line, out);
    case GRACE_LOG_JOURNAL:
        return send_to_journal(line, out);
    default:
        return -1;
    }
}

void grace_log_end(struct grace_log_line *line)
{
    if (!grace_log_wants(line->level))
        return;
    if (line->message.cut)
        memcpy(line->message.buffer + line->message.length, ELLIPSIS, ELLIPSIS_SIZE + 1);
    line->message.length = strlen(line->message.buffer);

    char buffer[LINE_MAX_BYTES];
    struct grace_text out;
    grace_text_start(&out, buffer, sizeof buffer);
    if (send_as_planned(line, &out) == 0)
        return;
    grace_text_start(&out, buffer, sizeof buffer);
    if (send_line(line, &out, false) == 0 || settings.plan.sink == GRACE_LOG_SYSLOG)
        return;
    grace_text_start(&out, buffer, sizeof buffer);
    send_to_syslog(line, &out);
}

void grace_log(enum grace_log_level level, const char *event, const char *format, ...)
{
    if (!grace_log_wants(level))
        return;
    struct grace_log_line line;
    grace_log_begin(&line, level, event);
    va_list arguments;
    va_start(arguments, format);
    grace_text_format_list(&line.message, format, arguments);
    va_end(arguments);
    grace_log_end(&line);
}
