#include "serve_hook.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "hooks/log.h"
#include "hooks/plugin.h"

/* Who stops a whole group or cgroup stops the target: what serves beside it sees the stop through.
 */
static void ignore_stops(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_IGN);
}

/* Nothing of the target's stays open in us for as long as it lives. */
static void let_go_of_stdio(void *unused)
{
    (void)unused;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, 1);
    dup2(null, 2);
    close(null);
}

static void log_line(void *context, int level, const char *text)
{
    const struct grace_hook_plan *hook = context;
    static const enum grace_log_level levels[] = {GRACE_LOG_ERROR, GRACE_LOG_WARNING,
                                                  GRACE_LOG_INFO, GRACE_LOG_DEBUG};
    if (level >= 0 && level <= GRACE_HOOK_DEBUG)
        grace_log(levels[level], "server", "hook \"%s\": %s", hook->name, text);
}

int grace_serve_hook(const struct grace_plan *plan, const struct grace_hook_plan *hook,
                     const char *file, const char *program, int pid)
{
    struct grace_error error = {.size = sizeof error};
    struct grace_plugin plugin;
    ignore_stops();
    prctl(PR_SET_NAME, "grace-server");
    grace_log_setup(&plan->log, program);
    grace_log_speak_for(pid);
    struct grace_service service = {.size = sizeof service,
                                    .stop_fd = fcntl(0, F_DUPFD_CLOEXEC, 3),
                                    .context = (void *)(uintptr_t)hook,
                                    .started = let_go_of_stdio,
                                    .log = log_line};
    if (grace_plugin_load(&plugin, file, hook, &error) != 0) {
        log_line(service.context, GRACE_HOOK_ERROR, error.text);
        return EX_CONFIG;
    }
    int failed = plugin.server != NULL && plugin.server->serve(plugin.state, &service, &error) != 0;
    if (failed)
        log_line(service.context, GRACE_HOOK_ERROR, error.text);
    grace_plugin_release(&plugin);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
