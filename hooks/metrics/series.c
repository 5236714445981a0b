/*
 * A number is kept under its name and labels as they stand in the file. Since nobody but this
 * writes the file, and always in the same form, the text is the key.
 */
#include "series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/utf8.h"

struct grace_series {
    struct grace_series *next;
    double value;
    size_t family; /* index into families */
    char key[];    /* name{labels} */
};

static const struct {
    const char *name, *type, *help;
} families[] = {
    {"libgrace_stops_total", "counter", "Stops of the program, by cause."},
    {"libgrace_hooks_total", "counter", "Hooks of stops, by how they went."},
    {"libgrace_connections_total", "counter",
     "Connections open at the begin of a stop, by what became of them."},
    {"libgrace_stop_duration_seconds", "summary", "Time from the begin of a stop to its end."},
    {"libgrace_last_stop_duration_seconds", "gauge", "How long the last stop took."},
    {"libgrace_last_stop_timestamp_seconds", "gauge", "When the last stop ended, in Unix time."},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

/* The family that a key belongs to; FAMILIES: none. */
static size_t family_of(const char *key)
{
    size_t length = strcspn(key, "{ \t");
    for (size_t i = 0; i < FAMILIES; i++) {
        size_t name = strlen(families[i].name);
        if (length < name || memcmp(key, families[i].name, name) != 0)
            continue;
        const char *rest = key + name;
        size_t tail = length - name;
        int summary = strcmp(families[i].type, "summary") == 0;
        if ((!summary && tail == 0) || (summary && tail == 4 && memcmp(rest, "_sum", 4) == 0) ||
            (summary && tail == 6 && memcmp(rest, "_count", 6) == 0))
            return i;
    }
    return FAMILIES;
}

/* The number under a key; made when it is not there. NULL: memory is short. */
static struct grace_series *find(struct grace_series_set *set, const char *key, size_t family)
{
    struct grace_series **at = &set->first;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->key, key) == 0)
            return *at;
    size_t size = strlen(key) + 1;
    struct grace_series *series = calloc(1, sizeof *series + size);
    if (series == NULL) {
        set->short_of_memory = 1;
        return NULL;
    }
    series->family = family;
    memcpy(series->key, key, size);
    *at = series;
    return series;
}

/* ---- reading ------------------------------------------------------------------------------- */

static size_t parse_line(struct grace_series_set *set, char *line)
{
    char *blank = strrchr(line, ' '), *end;
    size_t family = family_of(line);
    if (blank == NULL || family == FAMILIES || blank[-1] != '}')
        return 0;
    double value = strtod(blank + 1, &end);
    if (end == blank + 1 || *end != '\0' || !isfinite(value) || value < 0)
        return 0;
    *blank = '\0';
    struct grace_series *series = find(set, line, family);
    if (series != NULL)
        series->value = value;
    return 1;
}

size_t grace_series_parse(struct grace_series_set *set, char *text)
{
    size_t count = 0;
    for (char *rest, *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        count += parse_line(set, line);
    return count;
}

/* ---- counting ------------------------------------------------------------------------------ */

/* Room for a program's name of 255 bytes, each of them escaped. */
#define LABEL_MAX 600

/* A label's value: what is no UTF-8 would have the whole file refused. */
static void escape(const char *text, char label[LABEL_MAX])
{
    size_t at = 0;
    while (*text != '\0' && at < LABEL_MAX - 6) {
        size_t length = grace_utf8_length(text);
        if (*text == '\\' || *text == '"')
            label[at++] = '\\';
        if (length == 0)
            label[at++] = '?';
        for (size_t i = 0; i < length; i++)
            label[at++] = text[i];
        text += length > 0 ? length : 1;
    }
    label[at] = '\0';
}

/* The number NAME{program="…"} or NAME{program="…",LABEL="VALUE"}; a place to write to without
 * effect when memory is short. */
static double *number(struct grace_series_set *set, const char *name, const struct grace_stop *stop,
                      const char *label, const char *value)
{
    static double nowhere;
    char program[LABEL_MAX], key[LABEL_MAX + 128];
    escape(stop->program, program);
    if (label == NULL)
        snprintf(key, sizeof key, "%s{program=\"%s\"}", name, program);
    else
        snprintf(key, sizeof key, "%s{program=\"%s\",%s=\"%s\"}", name, program, label, value);
    struct grace_series *series = find(set, key, family_of(key));
    return series != NULL ? &series->value : &nowhere;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void grace_series_count(struct grace_series_set *set, const struct grace_stop *stop)
{
    static const char *const causes[] = {"signal",     "exit",  "return", "_exit",
                                         "quick_exit", "crash", "killed"};
    /* All of them from the first time on: rate() wants to see the zero before the one. */
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        *number(set, "libgrace_stops_total", stop, "cause", causes[i]) +=
            strcmp(causes[i], stop->cause) == 0;
    *number(set, "libgrace_hooks_total", stop, "result", "done") += stop->hooks_done;
    *number(set, "libgrace_hooks_total", stop, "result", "failed") += stop->hooks_failed;
    *number(set, "libgrace_hooks_total", stop, "result", "not_run") += stop->hooks_skipped;
    *number(set, "libgrace_connections_total", stop, "result", "finished") +=
        stop->connections_finished;
    *number(set, "libgrace_connections_total", stop, "result", "cut") += stop->connections_cut;
    double seconds = (double)stop->duration_ms / 1e3;
    *number(set, "libgrace_stop_duration_seconds_sum", stop, NULL, NULL) += seconds;
    *number(set, "libgrace_stop_duration_seconds_count", stop, NULL, NULL) += 1;
    *number(set, "libgrace_last_stop_duration_seconds", stop, NULL, NULL) = seconds;
    *number(set, "libgrace_last_stop_timestamp_seconds", stop, NULL, NULL) = now();
}

/* ---- writing ------------------------------------------------------------------------------- */

void grace_series_print(const struct grace_series_set *set, FILE *stream)
{
    for (size_t i = 0; i < FAMILIES; i++) {
        fprintf(stream, "# HELP %s %s\n", families[i].name, families[i].help);
        fprintf(stream, "# TYPE %s %s\n", families[i].name, families[i].type);
        for (const struct grace_series *at = set->first; at != NULL; at = at->next)
            if (at->family == i)
                fprintf(stream, "%s %.15g\n", at->key, at->value);
    }
}

void grace_series_free(struct grace_series_set *set)
{
    while (set->first != NULL) {
        struct grace_series *next = set->first->next;
        free(set->first);
        set->first = next;
    }
}
