#include <string.h>

#include "config/signals.h"
#include "inspect.h"
#include "json.h"

static const char *linkage_of(const struct grace_program *program)
{
    if (!program->known)
        return "unknown";
    if (program->elf.interp[0] != '\0')
        return "dynamic";
    return program->elf.dynamic ? "static-pie" : "static";
}

static const char *reason_of(const struct grace_inspection *inspection)
{
    if (inspection->verdict == GRACE_VERDICT_CANNOT_RUN)
        return inspection->program.why;
    return inspection->verdict == GRACE_VERDICT_OUTSIDE ? inspection->program.obstacle : NULL;
}

/* ---- for people ----------------------------------------------------------------------------- */

static void put_verdict(const struct grace_inspection *inspection, bool colour, FILE *to)
{
    static const struct {
        const char *words, *colour;
    } verdicts[] = {{"will work", "\033[32m"},
                    {"will work, but see below", "\033[32m"},
                    {"cannot be preloaded: ", "\033[33m"},
                    {"cannot be executed: ", "\033[31m"}};
    const char *reason = reason_of(inspection);
    fprintf(to, "%s%s: %s%s%s\n", colour ? verdicts[inspection->verdict].colour : "",
            inspection->program.base, verdicts[inspection->verdict].words,
            reason != NULL ? reason : "", colour ? "\033[0m" : "");
}

static void put_signals(const char *name, uint64_t set, FILE *to)
{
    char buffer[GRACE_SIGNAL_NAME_MAX];
    fprintf(to, "  %-12s", name);
    for (int signo = 1; signo <= 64; signo++)
        if (set & GRACE_SIGNAL_BIT(signo))
            fprintf(to, " %s", grace_signal_name(signo, buffer));
    fputs(set == 0 ? " none\n" : "\n", to);
}

static void put_program(const struct grace_program *program, FILE *to)
{
    char machine[32];
    fprintf(to, "  %-12s", "executable");
    for (size_t i = 0; i < program->steps; i++)
        fprintf(to, "%s%s", i == 0 ? " " : ", by ", program->step[i]);
    fputc('\n', to);
    if (program->known) {
        fprintf(to, "  %-12s %s, %s%s%s\n", "linkage", linkage_of(program),
                grace_elf_machine_name(program->elf.machine, machine, sizeof machine),
                program->elf.interp[0] != '\0' ? ", loader " : "", program->elf.interp);
        fprintf(to, "  %-12s %s\n", "libc", grace_elf_libc(&program->elf));
    }
    if (program->runtime != NULL)
        fprintf(to, "  %-12s %s\n", "runtime", program->runtime);
    if (program->set_user || program->set_group || program->capabilities)
        fprintf(to, "  %-12s%s%s%s\n", "rights", program->set_user ? " set-user-ID" : "",
                program->set_group ? " set-group-ID" : "",
                program->capabilities ? " file capabilities" : "");
}

static void put_process(const struct grace_process *process, FILE *to)
{
    fprintf(to, "  %-12s %d, %u thread%s\n", "process", process->pid, process->threads,
            process->threads == 1 ? "" : "s");
    put_signals("catches", process->caught, to);
    put_signals("blocks", process->blocked, to);
    put_signals("ignores", process->ignored, to);
    if (!process->seen)
        return;
    fprintf(to, "  %-12s %s\n", "libgrace", process->has_libgrace ? "loaded" : "not loaded");
    fprintf(to, "  %-12s %s\n", "config", process->config[0] != '\0' ? process->config : "none");
    if (process->guardian != 0)
        fprintf(to, "  %-12s %d\n", "guardian", process->guardian);
    for (size_t i = 0; i < process->listener_count && i < GRACE_PROCESS_LISTENERS; i++)
        fprintf(to, "  %-12s %s, %u connection%s\n", "listens", process->listeners[i].address,
                process->listeners[i].connections,
                process->listeners[i].connections == 1 ? "" : "s");
    if (process->others > 0)
        fprintf(to, "  %-12s %u, not through a listener of its own\n", "connections",
                process->others);
}

void grace_inspection_print(const struct grace_inspection *inspection, bool colour, FILE *to)
{
    put_verdict(inspection, colour, to);
    for (size_t i = 0; i < inspection->note_count; i++)
        fprintf(to, "  - %s\n", inspection->notes[i]);
    if (inspection->program.steps > 0)
        put_program(&inspection->program, to);
    if (inspection->process.pid != 0)
        put_process(&inspection->process, to);
}

/* ---- for machines --------------------------------------------------------------------------- */

static void put_field(const char *name, const char *text, FILE *to)
{
    fprintf(to, "\"%s\":", name);
    grace_json_put(text, to);
    fputc(',', to);
}

static void put_flag(const char *name, bool value, FILE *to)
{
    fprintf(to, "\"%s\":%s,", name, value ? "true" : "false");
}

static void put_set(const char *name, uint64_t set, FILE *to)
{
    char buffer[GRACE_SIGNAL_NAME_MAX];
    const char *separator = "";
    fprintf(to, "\"%s\":[", name);
    for (int signo = 1; signo <= 64; signo++) {
        if (!(set & GRACE_SIGNAL_BIT(signo)))
            continue;
        fprintf(to, "%s\"%s\"", separator, grace_signal_name(signo, buffer));
        separator = ",";
    }
    fputs("],", to);
}

static void put_json_program(const struct grace_program *program, FILE *to)
{
    char machine[32];
    const struct grace_elf *elf = &program->elf;
    fputs("\"steps\":[", to);
    for (size_t i = 0; i < program->steps; i++) {
        fputs(i == 0 ? "" : ",", to);
        grace_json_put(program->step[i], to);
    }
    fputs("],", to);
    put_field("linkage", linkage_of(program), to);
    put_field("loader", elf->interp[0] != '\0' ? elf->interp : NULL, to);
    put_field("libc", program->known ? grace_elf_libc(elf) : NULL, to);
    put_field("machine",
              program->known ? grace_elf_machine_name(elf->machine, machine, sizeof machine) : NULL,
              to);
    put_field("runtime", program->runtime, to);
    put_flag("set_user_id", program->set_user, to);
    put_flag("set_group_id", program->set_group, to);
    put_flag("file_capabilities", program->capabilities, to);
}

static void put_json_process(const struct grace_process *process, FILE *to)
{
    fprintf(to, "\"pid\":%d,\"threads\":%u,", process->pid, process->threads);
    put_set("catches", process->caught, to);
    put_set("blocks", process->blocked, to);
    put_set("ignores", process->ignored, to);
    if (!process->seen)
        return;
    put_flag("libgrace", process->has_libgrace, to);
    put_field("config", process->config[0] != '\0' ? process->config : NULL, to);
    fprintf(to, "\"guardian\":%d,\"listeners\":[", process->guardian);
    for (size_t i = 0; i < process->listener_count && i < GRACE_PROCESS_LISTENERS; i++) {
        fputs(i == 0 ? "{\"address\":" : ",{\"address\":", to);
        grace_json_put(process->listeners[i].address, to);
        fprintf(to, ",\"connections\":%u}", process->listeners[i].connections);
    }
    fprintf(to, "],\"accepted_connections\":%u,\"other_connections\":%u,", process->accepted,
            process->others);
}

void grace_inspection_print_json(const struct grace_inspection *inspection, FILE *to)
{
    static const char *const verdicts[] = {"works", "works-but", "cannot-be-preloaded",
                                           "cannot-be-executed"};
    fputc('{', to);
    put_field("program", inspection->program.base, to);
    put_field("verdict", verdicts[inspection->verdict], to);
    put_field("reason", reason_of(inspection), to);
    put_json_program(&inspection->program, to);
    if (inspection->process.pid != 0)
        put_json_process(&inspection->process, to);
    fputs("\"notes\":[", to);
    for (size_t i = 0; i < inspection->note_count; i++) {
        fputs(i == 0 ? "" : ",", to);
        grace_json_put(inspection->notes[i], to);
    }
    fputs("]}\n", to);
}
