/*
 * A libFuzzer target: whatever is in a ledger's file, the guardian and `grace recover` take nothing
 * from it but numbers, each within its bounds, and run no hook twice. No hook here can run: what
 * they name does not exist.
 *
 * An input is, in this order: a byte of switches, the hooks' states, the beginning of the record,
 * the ledger. Zeros follow where it is short, so that a small one reaches everything.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/plan.h"
#include "hooks/kernel.h"
#include "hooks/ledger.h"
#include "hooks/successor.h"
#include "ops/grace.h"
#include "ops/keeper.h"

#define HOOKS 3

/* Some of a ledger must be right for the rest to be looked at. */
enum { RIGHT_RECORD = 1, RIGHT_LEDGER = 2, WHOLE_PAGE = 4, NO_TIME = 8, RUN_FIRST = 16 };

struct file {
    union {
        struct grace_ledger_record record;
        char page[GRACE_LEDGER_RECORD];
    };
    union {
        struct grace_ledger ledger;
        char memory[sizeof(struct grace_ledger) + HOOKS * sizeof(struct grace_ledger_hook)];
    };
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In the command it tells where plugins are. There are none. */
const char *grace_own_folder(char *buffer, size_t size)
{
    snprintf(buffer, size, "/nonexistent");
    return buffer;
}

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}
#define REQUIRE(condition) require(condition, #condition)

/* ---- the file -------------------------------------------------------------------------------- */

static void take(void *to, size_t most, const uint8_t **data, size_t *size)
{
    size_t length = *size < most ? *size : most;
    memcpy(to, *data, length);
    *data += length;
    *size -= length;
}

static int make_file(const uint8_t *data, size_t size, unsigned switches)
{
    static struct file file;
    memset(&file, 0, sizeof file);
    if (switches & WHOLE_PAGE) /* no string has an end */
        memset(file.page, 'x', sizeof file.page);
    take(&file.ledger.hooks, HOOKS * sizeof(struct grace_ledger_hook), &data, &size);
    take(&file.page, offsetof(struct grace_ledger_record, boot_id) + 8, &data, &size);
    take(&file.memory, sizeof(struct grace_ledger), &data, &size);
    if (switches & RIGHT_RECORD)
        file.record.magic = GRACE_LEDGER_MAGIC;
    if (switches & RIGHT_LEDGER) {
        file.ledger.magic = GRACE_LEDGER_MAGIC;
        file.ledger.hook_count = HOOKS;
    }
    file.ledger.forks = file.ledger.forked; /* or each input waits for a fork that never comes */

    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("ledger", MFD_CLOEXEC);
    REQUIRE(ftruncate(fd, sizeof file + size) == 0); /* what is too much stays: zeros */
    REQUIRE(pwrite(fd, &file, sizeof file, 0) == (ssize_t)sizeof file);
    return fd;
}

/* ---- what reads it --------------------------------------------------------------------------- */

static void read_record(int fd)
{
    struct grace_ledger_record record;
    if (grace_ledger_read_record(fd, &record) != 0)
        return;
    REQUIRE(record.pid > 0);
    REQUIRE(memchr(record.boot_id, '\0', sizeof record.boot_id) != NULL);
    REQUIRE(memchr(record.program, '\0', sizeof record.program) != NULL);
    REQUIRE(memchr(record.config, '\0', sizeof record.config) != NULL);
    grace_ledger_owner_lives(&record);
}

/* Three hooks of a config, as the guardian has them after the start. */
static void open_keeper(struct grace_keeper *keeper, struct grace_ledger *ledger)
{
    static const char config[] = "hooks = ("
                                 "{ name = \"a\"; command = [\"/nonexistent\"]; },"
                                 "{ name = \"b\"; command = [\"/nonexistent\"];"
                                 "  on_failure = \"abort\"; },"
                                 "{ name = \"c\"; command = [\"/nonexistent\"];"
                                 "  causes = [\"killed\", \"crash\"]; });";
    static struct grace_loaded_hook hooks[HOOKS];
    static struct grace_plan *plan;
    static bool ran[HOOKS];
    if (plan == NULL) {
        struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
        plan = grace_plan_parse(config, sizeof config - 1, "fuzz", &problems);
        REQUIRE(plan != NULL);
        grace_problems_free(&problems);
        for (size_t i = 0; i < HOOKS; i++)
            hooks[i] =
                (struct grace_loaded_hook){.plan = &plan->hooks[i], .kind = GRACE_HOOK_BROKEN};
    }
    memset(ran, 0, sizeof ran);
    *keeper = (struct grace_keeper){.plan = plan,
                                    .hooks = hooks,
                                    .ran = ran,
                                    .ledger = ledger,
                                    .program = "fuzz",
                                    .pid = 1,
                                    .status = -1,
                                    .gone = true};
}

static void read_cause(struct grace_keeper *keeper)
{
    grace_keeper_read_cause(keeper);
    REQUIRE(keeper->cause < GRACE_CAUSES && keeper->signo >= 0 && keeper->signo <= 64);
    REQUIRE(keeper->status >= -1 && keeper->status <= 255 && keeper->sender_pid >= 0);
    struct grace_stop stop = grace_keeper_describe(keeper);
    REQUIRE(stop.cause != NULL && stop.program == keeper->program);
    if (keeper->cause == GRACE_CAUSE_NONE)
        grace_keeper_set_ending(keeper, SIGKILL);
}

/* The guardian's account: each at most once, whatever the ledger says meanwhile. */
static void run_hooks(struct grace_ledger *ledger, unsigned switches)
{
    struct grace_keeper keeper;
    struct grace_keeper_run run;
    unsigned runs = 0;
    open_keeper(&keeper, ledger);
    read_cause(&keeper);
    keeper.deadline_ms = switches & NO_TIME ? 0 : UINT64_MAX;
    for (size_t i = 0; (switches & RUN_FIRST) && i < HOOKS; i++) {
        bool owed = grace_ledger_owes(ledger, i);
        bool ran = grace_keeper_run(&keeper, i, &run);
        REQUIRE(ran == owed);
        atomic_store(&ledger->hooks[i].state, GRACE_HOOK_OWED); /* it would have it run again */
        bool again = grace_keeper_run(&keeper, i, &run);
        REQUIRE(ran != again);
        runs++;
    }
    grace_keeper_run_all(&keeper);
    REQUIRE(keeper.done == 0 && runs + keeper.failed + keeper.skipped <= HOOKS);
    for (size_t i = 0; i < HOOKS; i++)
        REQUIRE(!grace_keeper_owes(&keeper, i) &&
                grace_ledger_state(ledger, i) <= GRACE_HOOK_SKIPPED);
}

static bool anybody(int pid, const void *unused)
{
    (void)unused;
    return pid > 0;
}

static void find_successor(struct grace_ledger *ledger)
{
    int owner = atomic_load(&ledger->owner);
    int pid = grace_successor_appoint(ledger, owner, anybody, NULL);
    REQUIRE(pid >= 0);
    if (pid != 0)
        REQUIRE(atomic_load(&ledger->owner) == pid);
    grace_successor_appoint_pid(ledger, atomic_load(&ledger->owner), 1);
    REQUIRE(atomic_load(&ledger->owner) == 1 && atomic_load(&ledger->next) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned switches = data[0];
    int fd = make_file(data + 1, size - 1, switches);
    read_record(fd);
    struct grace_ledger *ledger = grace_ledger_attach(fd);
    if (ledger == NULL)
        return 0;
    size_t room = grace_ledger_room(ledger);
    ledger->hook_count = UINT32_MAX; /* from here on the other side may write anything */
    REQUIRE(grace_ledger_room(ledger) == room);
    if (room == HOOKS)
        run_hooks(ledger, switches);
    find_successor(ledger);
    grace_ledger_detach(ledger);
    return 0;
}
