#include "termination.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/signals.h"
#include "hooks/command.h"

struct message {
    char text[4096];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct message *message, const char *format,
                                                      ...)
{
    size_t room = sizeof message->text - message->length;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(message->text + message->length, room, format, arguments);
    va_end(arguments);
    if (written > 0)
        message->length += (size_t)written < room ? (size_t)written : room - 1;
}

static void add_ending(struct message *message, const char *program, int status)
{
    char name[GRACE_SIGNAL_NAME_MAX];
    if (!WIFSIGNALED(status)) {
        add(message, "%s exited with status %d", program, WEXITSTATUS(status));
        return;
    }
    grace_signal_name(WTERMSIG(status), name);
    add(message, "%s was killed by SIG%s%s", program, name,
        WCOREDUMP(status) ? " (core dumped)" : "");
}

static void add_hooks(struct message *message, const struct grace_plan *plan,
                      const struct grace_ledger *ledger)
{
    unsigned done = 0, failed = 0, owed = 0;
    for (size_t i = 0; i < plan->hook_count; i++) {
        enum grace_hook_state state = grace_ledger_state(ledger, i);
        bool well = atomic_load(&ledger->hooks[i].outcome) == GRACE_OUTCOME_DONE;
        done += state == GRACE_HOOK_DONE && well;
        failed += state == GRACE_HOOK_TAKEN || (state == GRACE_HOOK_DONE && !well);
        owed += state != GRACE_HOOK_DONE && state != GRACE_HOOK_TAKEN;
    }
    add(message, "; hooks: %u done, %u failed, %u not run", done, failed, owed);
    for (size_t i = 0; i < plan->hook_count; i++) {
        enum grace_hook_state state = grace_ledger_state(ledger, i);
        if (state == GRACE_HOOK_DONE &&
            atomic_load(&ledger->hooks[i].outcome) != GRACE_OUTCOME_DONE)
            add(message, "\nhook \"%s\" (%s) failed", plan->hooks[i].name,
                grace_phase_name(plan->hooks[i].phase));
    }
}

int grace_termination_write(const char *path, const char *program, int wait_status,
                            const struct grace_plan *plan, const struct grace_ledger *ledger)
{
    struct message message = {.length = 0};
    add_ending(&message, program, wait_status);
    if (ledger != NULL)
        add_hooks(&message, plan, ledger);
    add(&message, "\n");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return -errno;
    ssize_t written = write(fd, message.text, message.length);
    int result = written == (ssize_t)message.length ? 0 : written < 0 ? -errno : -ENOSPC;
    close(fd);
    return result;
}
