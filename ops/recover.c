/*
 * grace recover: what owners that are gone still owe.
 *
 * With `state_dir` the ledger of each owner is a file. It stays when owner and guardian were killed
 * together or the machine lost its power. This runs what such files say is owed, and removes them.
 * It takes no config from a file: only files of the configs that it was given are looked at, and
 * what runs is what those configs name.
 *
 * A hook that had begun counts as run: half of its work may be done.
 */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "count_stop.h"
#include "grace.h"
#include "hooks/kernel.h"
#include "hooks/log.h"
#include "keeper.h"

struct recover {
    bool quiet;
    unsigned recovered; /* owners whose debts are settled now */
    unsigned failed;    /* hooks that failed, and files that could not be used */
};

static const struct argp_option options[] = {
    {"quiet", 'q', NULL, 0, "Say nothing on standard output", 0}, {NULL, 0, NULL, 0, NULL, 0}};

/* ---- one file ------------------------------------------------------------------------------ */

static void complain(struct recover *recover, const char *path, const char *why)
{
    fprintf(stderr, "grace recover: %s: %s\n", path, why);
    recover->failed++;
}

/* Half of their work may be done: that is for a person to find out. Returns how many. */
static unsigned tell_of_begun(const struct grace_keeper *keeper)
{
    unsigned begun = 0;
    for (size_t i = 0; i < keeper->plan->hook_count; i++) {
        if (keeper->hooks[i].kind == GRACE_HOOK_INSIDE ||
            grace_ledger_state(keeper->ledger, i) != GRACE_HOOK_TAKEN)
            continue;
        begun++;
        grace_log(GRACE_LOG_WARNING, "recover",
                  "hook \"%s\" had begun when all was killed, and is not run again",
                  keeper->plan->hooks[i].name);
    }
    return begun;
}

static void forget(struct recover *recover, const char *path)
{
    if (unlink(path) != 0)
        complain(recover, path, strerror(errno));
}

static void settle(struct recover *recover, const char *path,
                   const struct grace_ledger_record *record, struct grace_ledger *ledger)
{
    struct grace_keeper keeper;
    if (atomic_load(&ledger->stage) == GRACE_STAGE_DISMISSED) {
        forget(recover, path);
        return;
    }
    struct grace_error error = {.size = sizeof error};
    if (grace_keeper_open(&keeper, record->config, record->program, ledger, record->pid, &error) !=
        0) {
        complain(recover, path, error.text);
        return;
    }
    grace_log_setup(&keeper.plan->log, record->program);
    grace_log_speak_for(record->pid);
    keeper.gone = true;
    keeper.began_ms = grace_kernel_now_ms();
    grace_keeper_read_cause(&keeper);
    if (keeper.cause == GRACE_CAUSE_NONE)
        keeper.cause = GRACE_CAUSE_KILLED; /* it had no time to say anything */
    keeper.deadline_ms = grace_kernel_now_ms() + keeper.plan->deadline_ms;
    unsigned begun = tell_of_begun(&keeper);
    grace_keeper_run_all(&keeper);
    grace_keeper_count(&keeper);
    forget(recover, path);
    recover->recovered++;
    recover->failed += keeper.failed + keeper.skipped;
    if (recover->quiet)
        return;
    printf("%s (pid %d): %u done, %u failed, %u not run", record->program, record->pid, keeper.done,
           keeper.failed, keeper.skipped);
    if (begun > 0)
        printf(", %u begun before and not run again", begun);
    putchar('\n');
}

/* A file that somebody else could write to says what he likes: it is none of ours. */
static const char *distrust(int fd)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return strerror(errno);
    if (!S_ISREG(about.st_mode))
        return "not a regular file; left alone";
    if (about.st_uid != geteuid() || (about.st_mode & 022))
        return "belongs to, or may be written by, another user; left alone";
    return NULL;
}

/* Whether the ledger is for us now. The guardian holds the lock as long as it lives, and so does
 * another grace recover; when that one is through, the file has no name any more. */
static bool take(int fd)
{
    struct stat about;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &about) == 0 && about.st_nlink > 0;
}

/* Whether somebody still owes this himself: the process that the record names, or one to which it
 * handed over while no guardian was there to write that down. Its pid may be another's by now, and
 * in the ledger may be any number: what counts is that it has this file mapped. */
static bool has_owner(const struct grace_ledger_record *record, struct grace_ledger *ledger, int fd)
{
    int owner = atomic_load(&ledger->owner);
    return grace_ledger_owner_lives(record) ||
           (owner != record->pid && owner > 0 && grace_ledger_is_mapped_by(fd, owner));
}

static void look_into(struct recover *recover, const char *path, const char *config, int fd)
{
    struct grace_ledger_record record;
    struct grace_ledger *ledger;
    if (grace_ledger_read_record(fd, &record) != 0 || (ledger = grace_ledger_attach(fd)) == NULL) {
        complain(recover, path, "not a ledger, or not a whole one; remove it if you know why");
        return;
    }
    /* The lock last: a guardian that has just been started must find it free. */
    if (strcmp(record.config, config) == 0 && !has_owner(&record, ledger, fd) && take(fd))
        settle(recover, path, &record, ledger);
    grace_ledger_detach(ledger);
}

static void look_at(struct recover *recover, const char *path, const char *config)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        if (errno == ELOOP)
            complain(recover, path, "a symbolic link; left alone");
        else if (errno != ENOENT) /* another grace recover was faster */
            complain(recover, path, strerror(errno));
        return;
    }
    const char *why = distrust(fd);
    if (why != NULL)
        complain(recover, path, why);
    else
        look_into(recover, path, config, fd);
    close(fd);
}

/* ---- all of them --------------------------------------------------------------------------- */

static int is_ledger(const struct dirent *entry)
{
    return grace_ledger_has_name(entry->d_name);
}

static void recover_folder(struct recover *recover, const char *folder, const char *config)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_ledger, alphasort);
    if (count < 0) {
        if (errno != ENOENT)
            complain(recover, folder, strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (length > 0 && (size_t)length < sizeof path)
            look_at(recover, path, config);
        free(entries[i]);
    }
    free(entries);
}

static void recover_config(struct recover *recover, const char *config)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_read(config, &problems);
    if (plan == NULL) {
        char text[1024] = "cannot be read";
        if (problems.count > 0)
            grace_problem_format(&problems.list[0], text, sizeof text);
        complain(recover, config, text);
    } else if (plan->state_dir != NULL) {
        recover_folder(recover, plan->state_dir, plan->file);
    }
    grace_plan_free(plan);
    grace_problems_free(&problems);
}

static void recover_all(struct recover *recover)
{
    const char *given = getenv("GRACE_CONFIG");
    glob_t found;
    if (given != NULL && *given != '\0')
        recover_config(recover, given);
    if (glob("/etc/grace/*.conf", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            recover_config(recover, found.gl_pathv[i]);
        globfree(&found);
    }
}

/* ---- the command --------------------------------------------------------------------------- */

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct recover *recover = state->input;
    switch (key) {
    case 'q':
        recover->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        recover_config(recover, argument);
        return 0;
    case ARGP_KEY_NO_ARGS:
        recover_all(recover);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    options,
    parse_option,
    "[CONFIG...]",
    "Run the hooks that programs which are gone still owe: killed together with their guardian, or "
    "by a power loss.\v"
    "Looks into the state_dir of each CONFIG; without one, of $GRACE_CONFIG and of every "
    "/etc/grace/*.conf. Programs that live, or whose guardian lives, are left alone. Exit status: "
    "0 when nothing is owed any more, 64 for wrong usage, 75 when a hook failed or a file could "
    "not be used.",
    NULL,
    NULL,
    NULL};

int grace_recover_main(int argc, char **argv)
{
    struct recover recover = {.quiet = false};
    argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &recover);
    if (recover.recovered == 0 && recover.failed == 0 && !recover.quiet)
        puts("nothing is owed");
    return recover.failed == 0 ? EX_OK : EX_TEMPFAIL;
}
