/* Stories about what is owed. */
#include "harness_ledger.h"
#include "harness_story.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *configure(const char *name, const char *more)
{
    char *path = here("%s", name);
    mkdir(here("state"), 0700);
    write_file(name, "state_dir = \"%s\";\n%s", here("state"), more);
    environment("GRACE_CONFIG", path);
    return path;
}

char *hooks_in_phases(void)
{
    return text("hooks = (\n  %s,\n  %s,\n  %s\n);\n", hook_command("A", "phase = \"announce\";"),
                hook_command("B", ""), hook_command("C", "phase = \"cleanup\";"));
}

/* ---- the files in state_dir ------------------------------------------------------------------ */

char *listing(const char *folder, const char *ending)
{
    char *names = text("%s", "");
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return names;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        size_t length = strlen(entry->d_name), last = strlen(ending);
        if (entry->d_name[0] != '.' && length >= last &&
            strcmp(entry->d_name + length - last, ending) == 0)
            names = text("%s%s%s", names, *names == '\0' ? "" : " ", entry->d_name);
    }
    closedir(directory);
    return names;
}

char *ledger_file(void)
{
    char *names = listing(here("state"), ".owed");
    expect(strchr(names, ' ') == NULL, "more than one ledger: %s", names);
    return *names == '\0' ? NULL : here("state/%s", names);
}

bool read_ledger(const char *path, struct on_disk *ledger)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    memset(ledger, 0, sizeof *ledger);
    bool whole =
        fd >= 0 &&
        pread(fd, &ledger->record, sizeof ledger->record, 0) == (ssize_t)sizeof ledger->record &&
        pread(fd, &ledger->head, sizeof ledger->head, GRACE_LEDGER_RECORD) ==
            (ssize_t)sizeof ledger->head &&
        ledger->head.hook_count <= MOST_HOOKS &&
        pread(fd, ledger->hooks, sizeof ledger->hooks,
              GRACE_LEDGER_RECORD + (off_t)sizeof ledger->head) >=
            (ssize_t)(ledger->head.hook_count * sizeof ledger->hooks[0]);
    if (fd >= 0)
        close(fd);
    return whole;
}

/* ---- owners and their guardians -------------------------------------------------------------- */

struct owner owner_of(struct process *process, bool guarded)
{
    struct owner owner = {.process = process};
    struct on_disk ledger;
    for (int64_t since = now_ms();;) {
        owner.ledger = ledger_file();
        if (owner.ledger != NULL && read_ledger(owner.ledger, &ledger)) {
            owner.guardian = atomic_load(&ledger.head.guardian);
            if (!guarded || owner.guardian > 0)
                return owner;
        }
        expect(!has_ended(process), "ended: %s", contents(process->err));
        expect(look_again(since), "no ledger, or no guardian");
    }
}

struct owner start_owner(bool guarded)
{
    return owner_of(start(GRACED, program("sleep"), text("%d", STORY_HANG_S)), guarded);
}

void kill_both(const struct owner *owner)
{
    if (owner->guardian > 0)
        kill(owner->guardian, SIGKILL);
    kill(owner->process->pid, SIGKILL);
    wait_end(owner->process);
    wait_all_gone();
}

struct owner start_and_kill_both(bool guarded)
{
    struct owner owner = start_owner(guarded);
    kill_both(&owner);
    expect_order("");
    expect(exists(owner.ledger));
    return owner;
}

struct process *recover(int expected)
{
    struct process *grace = start(BARE, product("grace"), "recover", getenv("GRACE_CONFIG"));
    wait_end(grace);
    expect_status(grace->status, expected);
    return grace;
}
