#include "output.h"

#include <string.h>

#include "log.h"

void grace_output_start(struct grace_output *output, const char *hook, int pid)
{
    output->hook = hook;
    output->pid = pid;
    output->length = 0;
    output->lines = 0;
    output->taken = 0;
    output->cut = 0;
}

static void log_line(struct grace_output *output)
{
    size_t length = output->length;
    output->length = 0;
    output->lines++;
    if (length > 0 && output->line[length - 1] == '\r')
        length--;
    if (length == 0 || !grace_log_wants(GRACE_LOG_INFO))
        return;
    struct grace_log_line line;
    grace_log_begin(&line, GRACE_LOG_INFO, "hook-output");
    line.pid = output->pid;
    grace_log_say(&line, "hook \"%s\": ", output->hook);
    /* The log makes harmless what is no text. */
    grace_text_add_bytes(&line.message, output->line, length);
    grace_log_field(&line, "hook", output->hook);
    grace_log_end(&line);
}

static void add_char(struct grace_output *output, char c)
{
    if (c == '\n') {
        log_line(output);
        return;
    }
    if (output->length == sizeof output->line)
        log_line(output);
    output->line[output->length++] = c;
}

void grace_output_add(struct grace_output *output, const char *bytes, size_t length)
{
    size_t taken = 0;
    while (taken < length && output->taken < GRACE_OUTPUT_LIMIT &&
           output->lines < GRACE_OUTPUT_LINES_MAX) {
        add_char(output, bytes[taken++]);
        output->taken++;
    }
    output->cut += length - taken;
}

void grace_output_end(struct grace_output *output)
{
    log_line(output);
    if (output->cut == 0 || !grace_log_wants(GRACE_LOG_INFO))
        return;
    struct grace_log_line line;
    grace_log_begin(&line, GRACE_LOG_INFO, "hook-output-cut");
    line.pid = output->pid;
    grace_log_say(&line, "hook \"%s\": %llu more bytes of output were not logged", output->hook,
                  (unsigned long long)output->cut);
    grace_log_field(&line, "hook", output->hook);
    grace_log_number(&line, "bytes", (int64_t)output->cut);
    grace_log_end(&line);
}
