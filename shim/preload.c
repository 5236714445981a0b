/*
 * The constructor: decides whether this process becomes the owner, and gets everything ready that
 * a stop will need, so that a stop neither allocates, looks up nor loads.
 *
 * It fails open: whatever goes wrong is one line in the log, and the target runs as if libgrace
 * were not there.
 */
#include "shim.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drain.h"
#include "hooks/log.h"
#include "hooks/strings.h"
#include "hooks/text.h"
#include "object.h"
#include "raw.h"
#include "resume.h"

static const char *origin; /* the folder of the library */
static char program_name[256];

static const char *value_of(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; *environment != NULL; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* The name that the user knows the program by: for a script that is the script, not its
 * interpreter. */
static void learn_program(void)
{
    const char *path = (const char *)getauxval(AT_EXECFN);
    struct grace_text text;
    grace_text_start(&text, program_name, sizeof program_name);
    grace_text_add(&text, path == NULL ? "unknown" : base_name(path));
    grace_shim.program = program_name;
}

static bool learn_library(void)
{
    grace_shim.library = grace_object_own_name();
    return grace_shim.library != NULL;
}

static bool learn_origin(void)
{
    char *path = grace_strings_room(PATH_MAX);
    if (path == NULL || realpath(grace_shim.library, path) == NULL)
        return false;
    grace_shim.library = grace_strings_keep(path);
    char *folder = grace_strings_room(PATH_MAX);
    if (folder == NULL)
        return false;
    strcpy(folder, path);
    *strrchr(folder, '/') = '\0';
    origin = grace_strings_keep(folder);
    return true;
}

/* Where plugins and the grace command are. Only hooks need them: a start without is faster. */
static void learn_places(void)
{
    if (origin != NULL || !learn_origin())
        return;
    char *command = grace_strings_room(PATH_MAX);
    if (command == NULL)
        return;
    /* Beside the library in a build, in bin/ when installed in lib/<multiarch>/. */
    static const char *const places[] = {"/grace", "/../../bin/grace", "/../bin/grace"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct grace_text text;
        grace_text_start(&text, command, PATH_MAX);
        grace_text_add(&text, origin);
        grace_text_add(&text, places[i]);
        struct stat status; /* an installed library has a folder of this name beside it */
        if (stat(command, &status) == 0 && S_ISREG(status.st_mode) && access(command, X_OK) == 0) {
            grace_shim.command = grace_strings_keep(command);
            return;
        }
    }
}

/* ---- the plan ------------------------------------------------------------------------------ */

static void complain(const struct grace_problems *problems, const char *file)
{
    grace_log_setup(&grace_plan_default()->log, grace_shim.program);
    char text[GRACE_LOG_MESSAGE_MAX];
    const struct grace_problem *first = NULL;
    for (size_t i = 0; i < problems->count && first == NULL; i++)
        if (problems->list[i].severity == GRACE_FATAL)
            first = &problems->list[i];
    if (first == NULL)
        return;
    grace_problem_format(first, text, sizeof text);
    if (problems->fatal > 1)
        grace_log(GRACE_LOG_ERROR, "config",
                  "%s; and %zu more (see: grace check %s). "
                  "The program runs without libgrace.",
                  text, problems->fatal - 1, file);
    else
        grace_log(GRACE_LOG_ERROR, "config", "%s. The program runs without libgrace.", text);
}

static bool read_plan(char *const *environment)
{
    char path[PATH_MAX];
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    int found = grace_plan_find(value_of(environment, "GRACE_CONFIG"), grace_shim.program, path,
                                sizeof path);
    if (found > 0)
        grace_shim.plan = grace_plan_read(path, &problems);
    else if (found == 0)
        grace_shim.plan = grace_plan_default();
    if (grace_shim.plan == NULL)
        complain(&problems, path);
    grace_problems_free(&problems);
    return grace_shim.plan != NULL;
}

/* ---- hooks --------------------------------------------------------------------------------- */

/* The environment as it is now, in memory that the target does not know: programs overwrite the
 * original one to change how ps shows them. */
static char *const *copy_environment(char *const *environment)
{
    size_t count = 0, bytes = 0;
    for (; environment[count] != NULL; count++)
        bytes += strlen(environment[count]) + 1;
    char **copy = malloc((count + 1) * sizeof *copy + bytes);
    if (copy == NULL)
        return NULL;
    char *to = (char *)(copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(environment[i]) + 1;
        copy[i] = memcpy(to, environment[i], size);
        to += size;
    }
    copy[count] = NULL;
    return copy;
}

static bool load_hooks(char *const *environment)
{
    size_t count = grace_shim.plan->hook_count;
    if (grace_shim.plan->file != NULL)
        learn_places();
    if (grace_shim.plan->file == NULL) /* no config: no hook, and nobody who needs an environment */
        return true;
    grace_shim.hooks = calloc(count + 1, sizeof *grace_shim.hooks);
    grace_shim.environment = copy_environment(environment);
    if (grace_shim.hooks == NULL || grace_shim.environment == NULL)
        return false;
    const struct grace_hook_places places = {
        .origin = origin,
        .executable = grace_shim.command,
        .environment = grace_shim.environment,
        .load = true,
    };
    for (size_t i = 0; i < count; i++) {
        const struct grace_hook_plan *plan = &grace_shim.plan->hooks[i];
        if (grace_hook_load(&grace_shim.hooks[i], grace_shim.plan, plan, &places) != 0)
            grace_log(GRACE_LOG_WARNING, "config", "%s:%u: hook \"%s\" will fail: %s", plan->file,
                      plan->line, plan->name, grace_shim.hooks[i].error.text);
    }
    return true;
}

/* ---- whether there is anything to do ------------------------------------------------------- */

/*
 * Whether the program's calls reach us. They do not when we came too late, by dlopen: then the
 * symbols of libc's own stand before ours. Nor can they be passed on in a libc that is not GNU's:
 * there we are loaded (every reference that it could not resolve is weak) and stay out of the way.
 */
extern const char *gnu_get_libc_version(void) __attribute__((weak));

/* As the loader has bound it for everybody: dlsym would cost each start its own page faults. */
extern const char first_start_main[] __asm__("__libc_start_main");

static bool is_in_front(void)
{
    if (gnu_get_libc_version == NULL)
        return false;
    return grace_object_is_own((uintptr_t)first_start_main) ||
           /* others that are preloaded may stand before us for that */
           grace_object_is_own((uintptr_t)dlsym(RTLD_DEFAULT, "sigset")) ||
           grace_object_is_own((uintptr_t)dlsym(RTLD_DEFAULT, "sigignore"));
}

/* ---- the constructor ----------------------------------------------------------------------- */

/* The grace command sees to what others owe and owes nothing itself, though it may have their
 * environment: a unit's Environment= is for its ExecStopPost= too. */
static bool is_grace_itself(void)
{
    struct stat own, command;
    if (strcmp(grace_shim.program, "grace") != 0)
        return false;
    learn_places();
    return grace_shim.command != NULL && stat("/proc/self/exe", &own) == 0 &&
           stat(grace_shim.command, &command) == 0 && own.st_ino == command.st_ino &&
           own.st_dev == command.st_dev;
}

/* `programs` names who may become the owner: by base name or path, as it was executed. */
static bool may_own(void)
{
    const char *const *name = grace_shim.plan->programs;
    const char *path = (const char *)getauxval(AT_EXECFN);
    char executable[PATH_MAX];
    if (is_grace_itself())
        return false;
    if (name == NULL)
        return true;
    ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
    executable[length < 0 ? 0 : length] = '\0';
    for (; *name != NULL; name++) {
        if (strchr(*name, '/') == NULL &&
            (strcmp(*name, grace_shim.program) == 0 || strcmp(*name, base_name(executable)) == 0))
            return true;
        if (strcmp(*name, executable) == 0 || (path != NULL && strcmp(*name, path) == 0))
            return true;
    }
    return false;
}

static void become_owner(char **environment)
{
    int guardian = grace_environment_take_guardian(environment);
    grace_environment_hide(environment, grace_shim.library);
    if (!load_hooks(environment) || !grace_owed_prepare(guardian)) {
        grace_log(GRACE_LOG_ERROR, "start", "out of memory. The program runs without libgrace.");
        return;
    }
    grace_count_prepare();
    grace_safepoint_setup();
    grace_stop_setup();
    grace_children_setup();
    grace_drain_setup();
    grace_resume_setup();
    atomic_store_explicit(&grace_shim.process, grace_getpid(), memory_order_release);
    grace_dispositions_adopt();
}

static bool is_disabled(char *const *environment)
{
    const char *value = value_of(environment, "GRACE_DISABLE");
    return getauxval(AT_SECURE) != 0 || (value != NULL && strcmp(value, "1") == 0);
}

/* Where every program has libgrace (/etc/ld.so.preload), also what a hook runs and what that
 * starts: each would owe hooks of its own, whose commands would owe hooks, without end. A hook that
 * starts a program under libgrace says so by LD_PRELOAD. */
static bool is_of_a_hook(char *const *environment)
{
    return value_of(environment, "GRACE_HOOK") != NULL &&
           !grace_environment_preloads(environment, grace_shim.library);
}

__attribute__((constructor)) static void construct(int argc, char **argv, char **environment)
{
    (void)argc;
    GRACE_KEEP_ERRNO;
    if (!is_in_front() || is_disabled(environment) || !learn_library() || is_of_a_hook(environment))
        return;
    grace_shim.stack_end = (const char *)getauxval(AT_EXECFN);
    (void)argv;
    learn_program();
    if (!read_plan(environment)) {
        grace_environment_hide(environment, grace_shim.library);
        return;
    }
    grace_log_setup(&grace_shim.plan->log, grace_shim.program);
    if (may_own())
        become_owner(environment);
}
