#include "plan_print.h"

#include <stdlib.h>
#include <string.h>

#include "config/duration.h"
#include "config/utf8.h"
#include "json.h"

#define BOLD  "\033[1m"
#define PLAIN "\033[0m"

static uint64_t total_ms(const struct grace_plan *plan)
{
    uint64_t total = 0;
    for (enum grace_phase phase = 0; phase < GRACE_PHASES; phase++)
        total += grace_phase_longest_ms(plan, phase);
    return total;
}

/* ---- the table ------------------------------------------------------------------------------ */

/* Text for one line of a terminal: bytes that are no printable character become '?'. */
static void put_text(const char *text, FILE *to)
{
    while (*text != '\0') {
        size_t bytes = grace_utf8_length(text);
        if (bytes == 0) {
            fputc('?', to);
            text++;
            continue;
        }
        fwrite(text, 1, bytes, to);
        text += bytes;
    }
}

/* How many columns put_text() takes, for letters as wide as they are in most scripts. */
static int columns(const char *text)
{
    int count = 0;
    for (; *text != '\0'; count++) {
        size_t bytes = grace_utf8_length(text);
        text += bytes == 0 ? 1 : bytes;
    }
    return count;
}

static void put_padded(const char *text, int width, FILE *to)
{
    put_text(text, to);
    fprintf(to, "%*s  ", width - columns(text), "");
}

/* An argument as a shell would need it, so that it shows where one ends. */
static void put_argument(const char *argument, FILE *to)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "@%+=:,./_-";
    if (*argument != '\0' && strspn(argument, plain) == strlen(argument)) {
        put_text(argument, to);
        return;
    }
    fputc('\'', to);
    for (; *argument != '\0'; argument++) {
        char letter[2] = {*argument, '\0'};
        if (*argument == '\'')
            fputs("'\\''", to);
        else if ((unsigned char)*argument >= 0x80)
            fputc(*argument, to);
        else
            put_text(letter, to);
    }
    fputc('\'', to);
}

static void put_causes(uint32_t causes, FILE *to)
{
    const char *separator = "  [only on ";
    uint32_t all = (GRACE_CAUSE_BIT(GRACE_CAUSES) - 1) & ~GRACE_CAUSE_BIT(GRACE_CAUSE_NONE);
    if (causes == all)
        return;
    for (enum grace_cause cause = GRACE_CAUSE_NONE + 1; cause < GRACE_CAUSES; cause++) {
        if (!(causes & GRACE_CAUSE_BIT(cause)))
            continue;
        fprintf(to, "%s%s", separator, grace_cause_name(cause));
        separator = ", ";
    }
    fputc(']', to);
}

static void put_what(const struct grace_hook_plan *hook, const struct grace_hook_note *note,
                     FILE *to)
{
    if (hook->plugin != NULL) {
        fputs("plugin ", to);
        put_text(hook->plugin, to);
        fprintf(to, " (%s)", note->kind);
    } else {
        for (size_t i = 0; hook->command[i] != NULL; i++) {
            if (i > 0)
                fputc(' ', to);
            put_argument(hook->command[i], to);
        }
    }
    if (hook->user != NULL) {
        fputs("  [as ", to);
        put_text(hook->user, to);
        fputc(']', to);
    }
    put_causes(hook->causes, to);
    if (hook->abort_on_failure)
        fputs("  [failure skips to the end]", to);
}

static void put_duration(const struct grace_hook_plan *hook, FILE *to)
{
    char once[32], sum[32], text[96];
    grace_duration_format(hook->timeout_ms, once, sizeof once);
    grace_duration_format(grace_hook_longest_ms(hook), sum, sizeof sum);
    if (hook->retries == 0)
        snprintf(text, sizeof text, "%s", once);
    else
        snprintf(text, sizeof text, "%s x %u = %s", once, hook->retries + 1, sum);
    put_padded(text, 14, to);
}

static int widest_name(const struct grace_plan *plan)
{
    int widest = (int)strlen("(requests in flight)");
    for (size_t i = 0; i < plan->hook_count; i++)
        if (columns(plan->hooks[i].name) > widest)
            widest = columns(plan->hooks[i].name);
    return widest;
}

static void put_drain(const struct grace_plan *plan, int width, FILE *to)
{
    char hold[32], timeout[32], sum[32];
    if (plan->drain.when == GRACE_DRAIN_NEVER)
        return;
    grace_duration_format(plan->drain.hold_ms, hold, sizeof hold);
    grace_duration_format(plan->drain.timeout_ms, timeout, sizeof timeout);
    grace_duration_format((uint64_t)plan->drain.hold_ms + plan->drain.timeout_ms, sum, sizeof sum);
    put_padded("drain", 8, to);
    put_padded("(requests in flight)", width, to);
    put_padded(sum, 14, to);
    fprintf(to, "hold %s, then at most %s\n", hold, timeout);
}

static void put_phase(const struct grace_plan *plan, const struct grace_hook_note *notes,
                      enum grace_phase phase, int width, FILE *to)
{
    char sum[32];
    for (size_t i = 0; i < plan->hook_count; i++) {
        const struct grace_hook_plan *hook = &plan->hooks[plan->order[i]];
        if (hook->phase != phase)
            continue;
        put_padded(grace_phase_name(phase), 8, to);
        put_padded(hook->name, width, to);
        put_duration(hook, to);
        put_what(hook, &notes[plan->order[i]], to);
        fputc('\n', to);
    }
    if (phase == GRACE_PHASE_DRAIN)
        put_drain(plan, width, to);
    uint64_t longest = grace_phase_longest_ms(plan, phase);
    if (longest == 0)
        return;
    grace_duration_format(longest, sum, sizeof sum);
    put_padded("", 8, to);
    put_padded("  at most", width, to);
    fprintf(to, "%s\n", sum);
}

void grace_plan_print(const struct grace_plan *plan, const struct grace_hook_note *notes,
                      bool colour, FILE *to)
{
    char total[32], deadline[32];
    int width = widest_name(plan);

    fputs(colour ? BOLD : "", to);
    put_padded("PHASE", 8, to);
    put_padded("HOOK", width, to);
    put_padded("AT MOST", 14, to);
    fprintf(to, "WHAT%s\n", colour ? PLAIN : "");
    for (enum grace_phase phase = 0; phase < GRACE_PHASES; phase++)
        put_phase(plan, notes, phase, width, to);
    grace_duration_format(total_ms(plan), total, sizeof total);
    grace_duration_format(plan->deadline_ms, deadline, sizeof deadline);
    fprintf(to, "total: %s at most; deadline: %s\n", total, deadline);
}

void grace_plan_print_platform(const struct grace_plan *plan, const struct grace_platform *platform,
                               uint32_t limit_ms, FILE *to)
{
    char limit[32], longest[32];
    grace_duration_format(limit_ms, limit, sizeof limit);
    grace_duration_format(grace_platform_longest_ms(plan), longest, sizeof longest);
    fprintf(to, "%s waits %s (%s); a stop is over after %s at most\n", platform->name, limit,
            platform->setting, longest);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void put_json_hook(const struct grace_hook_plan *hook, const struct grace_hook_note *note,
                          FILE *to)
{
    const char *separator = "";
    fprintf(to, "{\"phase\":\"%s\",\"name\":", grace_phase_name(hook->phase));
    grace_json_put(hook->name, to);
    fputs(",\"command\":", to);
    if (hook->command == NULL) {
        fputs("null", to);
    } else {
        fputc('[', to);
        for (size_t i = 0; hook->command[i] != NULL; i++) {
            fputs(i == 0 ? "" : ",", to);
            grace_json_put(hook->command[i], to);
        }
        fputc(']', to);
    }
    fputs(",\"plugin\":", to);
    grace_json_put(hook->plugin, to);
    fprintf(to, ",\"kind\":\"%s\",\"timeout_ms\":%u,\"retries\":%u,\"on_failure\":\"%s\",\"user\":",
            note->kind, hook->timeout_ms, hook->retries,
            hook->abort_on_failure ? "abort" : "continue");
    grace_json_put(hook->user, to);
    fputs(",\"causes\":[", to);
    for (enum grace_cause cause = GRACE_CAUSE_NONE + 1; cause < GRACE_CAUSES; cause++) {
        if (!(hook->causes & GRACE_CAUSE_BIT(cause)))
            continue;
        fprintf(to, "%s\"%s\"", separator, grace_cause_name(cause));
        separator = ",";
    }
    fputs("]}", to);
}

static void put_json_problems(const struct grace_problems *problems, FILE *to)
{
    fputs("\"problems\":[", to);
    for (size_t i = 0; i < problems->count; i++) {
        const struct grace_problem *problem = &problems->list[i];
        fprintf(to, "%s{\"severity\":\"%s\",\"file\":", i == 0 ? "" : ",",
                problem->severity == GRACE_WARNING ? "warning" : "error");
        grace_json_put(problem->file, to);
        fprintf(to, ",\"line\":%u,\"text\":", problem->line);
        grace_json_put(problem->text, to);
        fputc('}', to);
    }
    fprintf(to, "],\"problems_lost\":%zu", problems->lost);
}

void grace_plan_print_json(const struct grace_plan *plan, const struct grace_hook_note *notes,
                           const struct grace_platform *platform, uint32_t limit_ms,
                           const struct grace_problems *problems, FILE *to)
{
    fputc('{', to);
    if (plan != NULL) {
        fputs("\"file\":", to);
        grace_json_put(plan->file, to);
        fputs(",\"hooks\":[", to);
        for (size_t i = 0; i < plan->hook_count; i++) {
            fputs(i == 0 ? "" : ",", to);
            put_json_hook(&plan->hooks[plan->order[i]], &notes[plan->order[i]], to);
        }
        fputs("],\"phases_ms\":{", to);
        for (enum grace_phase phase = 0; phase < GRACE_PHASES; phase++)
            fprintf(to, "%s\"%s\":%llu", phase == 0 ? "" : ",", grace_phase_name(phase),
                    (unsigned long long)grace_phase_longest_ms(plan, phase));
        fprintf(to, "},\"total_ms\":%llu,\"deadline_ms\":%u,", (unsigned long long)total_ms(plan),
                plan->deadline_ms);
        if (platform != NULL)
            fprintf(to, "\"platform\":{\"name\":\"%s\",\"limit_ms\":%u,\"longest_ms\":%llu},",
                    platform->name, limit_ms, (unsigned long long)grace_platform_longest_ms(plan));
    }
    put_json_problems(problems, to);
    fputs("}\n", to);
}
