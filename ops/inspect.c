/*
 * grace inspect: will libgrace work for this program, and what would be seen of a process?
 *
 * A verdict first, in one line, then what it rests on. It starts nothing and changes nothing.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/signals.h"
#include "grace.h"
#include "inspect.h"

struct arguments {
    const char *what;
    bool json;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Print everything as one JSON object", 0}, {NULL, 0, NULL, 0, NULL, 0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->what != NULL)
            argp_error(state, "more than one program");
        arguments->what = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no program or process is given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    options,
    parse_option,
    "PROGRAM|PID",
    "Say whether libgrace works for a program, and what it would see of a process.\v"
    "A number is a process; ./123 is a program. Exit status: 0 when it works, 64 for wrong usage, "
    "66 when there is no such program or process, 69 when libgrace cannot be in it, 77 when it may "
    "not be executed or looked at.",
    NULL,
    NULL,
    NULL};

/* ---- what is to be said -----------------------------------------------------------------------
 */

__attribute__((format(printf, 2, 3))) static void note(struct grace_inspection *inspection,
                                                       const char *format, ...)
{
    va_list arguments;
    if (inspection->note_count == GRACE_INSPECTION_NOTES)
        return;
    va_start(arguments, format);
    vsnprintf(inspection->notes[inspection->note_count++], sizeof inspection->notes[0], format,
              arguments);
    va_end(arguments);
}

static void judge_runtime(struct grace_inspection *inspection)
{
    const char *runtime = inspection->program.runtime;
    if (runtime == NULL)
        return;
    if (strcmp(runtime, "shell") == 0)
        note(inspection, "a shell runs it: what it starts is not the owner; name the program that "
                         "is meant in `programs`, or start it with exec");
    else if (strcmp(runtime, "Go") == 0)
        note(inspection, "Go's runtime handles every signal: TERM and QUIT are announced first "
                         "(`chain`), and drained with drain.when = \"always\"");
    else if (strcmp(runtime, "Java") == 0)
        note(inspection, "the JVM handles TERM, INT and HUP itself and ends by exit: hooks of the "
                         "phase stop run then; drain.when = \"always\" drains before");
}

static const char *name_of(int signo, char buffer[GRACE_SIGNAL_NAME_MAX])
{
    return grace_signal_name(signo, buffer);
}

/* What a process does with the usual stop signals; with libgrace in it they show its handlers. */
static void judge_signals(struct grace_inspection *inspection)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    const struct grace_process *process = &inspection->process;
    char name[GRACE_SIGNAL_NAME_MAX];
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        uint64_t bit = GRACE_SIGNAL_BIT(stops[i]);
        bool chained = stops[i] == SIGTERM || stops[i] == SIGQUIT;
        if (process->ignored & bit)
            note(inspection, "it ignores %s, and goes on doing so", name_of(stops[i], name));
        else if (process->blocked & bit)
            note(inspection,
                 "it blocks %s, to wait for it or to read it from a descriptor: that "
                 "works%s",
                 name_of(stops[i], name), chained ? "" : "; it is its own affair (not in `chain`)");
        else if ((process->caught & bit) && !process->has_libgrace)
            note(inspection, "it handles %s itself: %s", name_of(stops[i], name),
                 chained ? "announce hooks run before its handler (`chain`)"
                         : "left alone, it may mean something else");
    }
}

static void judge_process(struct grace_inspection *inspection)
{
    const struct grace_process *process = &inspection->process;
    judge_signals(inspection);
    if (!process->seen) {
        note(inspection, "it belongs to another user: only its signals are known");
        return;
    }
    if (process->has_libgrace)
        note(inspection, "libgrace is in it; SigCgt shows its handlers");
    if (process->listener_count > 0)
        note(inspection, "a drain would see %zu listening socket%s and %u accepted connection%s",
             process->listener_count, process->listener_count == 1 ? "" : "s", process->accepted,
             process->accepted == 1 ? "" : "s");
}

static int judge(struct grace_inspection *inspection)
{
    const struct grace_program *program = &inspection->program;
    if (program->error != 0) {
        inspection->verdict = GRACE_VERDICT_CANNOT_RUN;
        return program->error == ENOENT || program->error == ESRCH ? EX_NOINPUT : EX_NOPERM;
    }
    if (program->obstacle[0] != '\0') {
        inspection->verdict = GRACE_VERDICT_OUTSIDE;
        note(inspection, "`grace run` leads its stop from outside: external hooks run; in-process "
                         "hooks and drain do not");
    } else {
        if (!program->known && inspection->process.pid == 0)
            note(inspection, "it may be executed and not be read: how it is linked is not known");
        judge_runtime(inspection);
        if (program->by_shell)
            note(inspection, "it has no #! line: `grace run` starts it by /bin/sh, as shells do");
    }
    if (inspection->process.pid != 0)
        judge_process(inspection);
    if (inspection->verdict != GRACE_VERDICT_OUTSIDE)
        inspection->verdict =
            inspection->note_count > 0 ? GRACE_VERDICT_WORKS_BUT : GRACE_VERDICT_WORKS;
    return inspection->verdict == GRACE_VERDICT_OUTSIDE ? EX_UNAVAILABLE : EX_OK;
}

static int inspect_process(struct grace_inspection *inspection, int pid)
{
    int result = grace_process_look(pid, &inspection->process);
    if (result != 0) {
        fprintf(stderr, "grace inspect: process %d: %s\n", pid, strerror(-result));
        return result == -ESRCH ? EX_NOINPUT : EX_NOPERM;
    }
    grace_program_examine_process(&inspection->program, pid);
    if (inspection->process.program[0] != '\0')
        memcpy(inspection->program.base, inspection->process.program,
               sizeof inspection->program.base);
    int error = inspection->program.error;
    if (error == 0)
        return EX_OK;
    fprintf(stderr, "grace inspect: process %d: %s\n", pid,
            error == ENOENT ? "a kernel thread, or it has ended" : strerror(error));
    return error == ENOENT ? EX_NOINPUT : EX_NOPERM;
}

int grace_inspect_main(int argc, char **argv)
{
    static struct grace_inspection inspection;
    struct arguments arguments = {.what = NULL};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    bool is_pid =
        *arguments.what != '\0' && strspn(arguments.what, "0123456789") == strlen(arguments.what);
    int status = EX_OK;
    if (is_pid)
        status = inspect_process(&inspection, atoi(arguments.what));
    else
        grace_program_examine(&inspection.program, arguments.what, true);
    if (status != EX_OK)
        return status;
    status = judge(&inspection);
    if (arguments.json)
        grace_inspection_print_json(&inspection, stdout);
    else
        grace_inspection_print(&inspection, grace_may_colour(stdout), stdout);
    return fflush(stdout) != 0 || ferror(stdout) ? EX_IOERR : status;
}
