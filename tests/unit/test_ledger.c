/*
 * The ledger's states and its file: every move from every state, as the diagram in hooks/ledger.h
 * draws it, and what is taken for a ledger and what is not. How those who share one get along:
 * test_ledger_walk.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/command.h"
#include "hooks/ledger.h"
#include "tests/suite.h"

#define FINGERPRINT UINT64_C(0x1234567890abcdef)

static struct grace_ledger *new_ledger(size_t hooks, int *fd)
{
    struct grace_ledger *ledger =
        grace_ledger_create(hooks, FINGERPRINT, "prog", "/etc/prog.conf", NULL, NULL, 0, fd);
    ck_assert_ptr_nonnull(ledger);
    return ledger;
}

/* ---- the diagram --------------------------------------------------------------------------- */

enum move { ASK, GIVE_BACK, CLAIM, SKIP, FINISH, MOVES };
#define STATES (GRACE_HOOK_SKIPPED + 1)
#define STAY   STATES

/* Where each move leads; STAY: it is refused. */
static const int diagram[STATES][MOVES] = {
    [GRACE_HOOK_OWED] = {GRACE_HOOK_ASKED, STAY, GRACE_HOOK_TAKEN, GRACE_HOOK_SKIPPED, STAY},
    [GRACE_HOOK_ASKED] = {STAY, GRACE_HOOK_OWED, GRACE_HOOK_TAKEN, GRACE_HOOK_SKIPPED, STAY},
    [GRACE_HOOK_TAKEN] = {STAY, STAY, STAY, STAY, GRACE_HOOK_DONE},
    [GRACE_HOOK_DONE] = {STAY, STAY, STAY, STAY, STAY},
    [GRACE_HOOK_SKIPPED] = {STAY, STAY, STAY, STAY, STAY},
};

static bool make(enum move move, struct grace_ledger *ledger, size_t hook)
{
    switch (move) {
    case ASK:
        return grace_ledger_ask(ledger, hook);
    case GIVE_BACK:
        return grace_ledger_give_back(ledger, hook);
    case CLAIM:
        return grace_ledger_claim(ledger, hook);
    case SKIP:
        return grace_ledger_skip(ledger, hook);
    default:
        grace_ledger_finish(ledger, hook, GRACE_OUTCOME_STATUS, 7, 2);
        return grace_ledger_state(ledger, hook) == GRACE_HOOK_DONE;
    }
}

START_TEST(each_move_from_each_state_is_as_the_diagram_says)
{
    int fd, from = _i / MOVES;
    enum move move = (enum move)(_i % MOVES);
    struct grace_ledger *ledger = new_ledger(3, &fd);
    atomic_store(&ledger->hooks[1].state, (uint32_t)from);
    int expected = diagram[from][move];
    bool moved = make(move, ledger, 1);
    if (expected == STAY) {
        ck_assert_int_eq(grace_ledger_state(ledger, 1), from);
        ck_assert(!moved || move == FINISH); /* which returns nothing */
    } else {
        ck_assert_int_eq(grace_ledger_state(ledger, 1), expected);
        ck_assert(moved);
    }
    ck_assert_int_eq(grace_ledger_state(ledger, 0), GRACE_HOOK_OWED);
    ck_assert_int_eq(grace_ledger_state(ledger, 2), GRACE_HOOK_OWED);
}
END_TEST

START_TEST(a_hook_waits_to_be_taken_while_it_is_owed_or_asked)
{
    int fd;
    struct grace_ledger *ledger = new_ledger(1, &fd);
    for (uint32_t state = 0; state < STATES; state++) {
        atomic_store(&ledger->hooks[0].state, state);
        ck_assert_int_eq(grace_ledger_owes(ledger, 0),
                         state == GRACE_HOOK_OWED || state == GRACE_HOOK_ASKED);
    }
}
END_TEST

START_TEST(a_state_that_does_not_exist_is_never_run)
{
    int fd;
    struct grace_ledger *ledger = new_ledger(1, &fd);
    const uint32_t strange[] = {STATES, 77, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        atomic_store(&ledger->hooks[0].state, strange[i]);
        ck_assert_int_eq(grace_ledger_state(ledger, 0), GRACE_HOOK_SKIPPED);
        ck_assert(!grace_ledger_owes(ledger, 0));
        ck_assert(!grace_ledger_claim(ledger, 0) && !grace_ledger_ask(ledger, 0));
    }
}
END_TEST

START_TEST(how_a_hook_ended_is_kept)
{
    int fd;
    struct grace_ledger *ledger = new_ledger(1, &fd);
    ck_assert(grace_ledger_claim(ledger, 0));
    grace_ledger_finish(ledger, 0, GRACE_OUTCOME_SIGNAL, 9, 3);
    ck_assert_uint_eq(atomic_load(&ledger->hooks[0].outcome), GRACE_OUTCOME_SIGNAL);
    ck_assert_int_eq(atomic_load(&ledger->hooks[0].detail), 9);
    ck_assert_uint_eq(atomic_load(&ledger->hooks[0].attempts), 3);
}
END_TEST

/* 8 processes reach for each of 2,000 hooks at once. */
START_TEST(of_many_processes_one_takes_a_hook)
{
    enum { HOOKS = 2000, PROCESSES = 8 };
    int fd;
    struct grace_ledger *ledger = new_ledger(HOOKS, &fd);
    uint32_t *taken = mmap(NULL, PROCESSES * sizeof *taken, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() != 0)
            continue;
        for (size_t hook = 0; hook < HOOKS; hook++) {
            if (i % 2 == 0)
                grace_ledger_ask(ledger, hook);
            if (grace_ledger_claim(ledger, hook))
                taken[i]++;
        }
        _exit(0);
    }
    uint32_t sum = 0;
    while (wait(NULL) > 0)
        continue;
    for (int i = 0; i < PROCESSES; i++)
        sum += taken[i];
    ck_assert_uint_eq(sum, HOOKS);
}
END_TEST

/* ---- the file ------------------------------------------------------------------------------ */

START_TEST(a_new_ledger_owes_all_its_hooks)
{
    int fd;
    struct grace_ledger *ledger = new_ledger(70, &fd);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(atomic_load(&ledger->owner), getpid());
    ck_assert_int_eq(atomic_load(&ledger->guardian), 0);
    ck_assert_uint_eq(atomic_load(&ledger->stage), GRACE_STAGE_RUNNING);
    struct grace_ledger *other = grace_ledger_attach(fd);
    ck_assert_ptr_nonnull(other);
    ck_assert_uint_eq(other->hook_count, 70);
    ck_assert_uint_eq(other->fingerprint, FINGERPRINT);
    for (size_t i = 0; i < 70; i++)
        ck_assert(grace_ledger_owes(other, i));
    ck_assert(grace_ledger_claim(ledger, 69)); /* one memory */
    ck_assert_int_eq(grace_ledger_state(other, 69), GRACE_HOOK_TAKEN);
    grace_ledger_detach(other);
}
END_TEST

START_TEST(a_ledger_in_memory_keeps_its_size)
{
    int fd;
    new_ledger(5, &fd);
    ck_assert_int_ne(ftruncate(fd, 0), 0);
    ck_assert_int_ne(ftruncate(fd, 1 << 20), 0);
}
END_TEST

START_TEST(the_record_says_whose_it_is)
{
    int fd;
    struct grace_ledger_record record;
    char directory[] = "/tmp/grace-ledger.XXXXXX", path[4096];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert(!grace_ledger_any_in(directory));
    struct grace_ledger *ledger = grace_ledger_create(2, FINGERPRINT, "prog", "/etc/prog.conf",
                                                      directory, path, sizeof path, &fd);
    ck_assert_ptr_nonnull(ledger);
    ck_assert(grace_ledger_any_in(directory));
    ck_assert_int_eq(grace_ledger_read_record(fd, &record), 0);
    ck_assert_int_eq(record.pid, getpid());
    ck_assert_str_eq(record.program, "prog");
    ck_assert_str_eq(record.config, "/etc/prog.conf");
    ck_assert(grace_ledger_owner_lives(&record));
    record.start_time++; /* another process, that got the number later */
    ck_assert(!grace_ledger_owner_lives(&record));
    record.start_time--;
    record.boot_id[0] ^= 1;
    ck_assert(!grace_ledger_owner_lives(&record));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(a_state_dir_that_cannot_be_written_is_an_error)
{
    int fd;
    char path[4096];
    ck_assert_ptr_null(
        grace_ledger_create(2, FINGERPRINT, "prog", NULL, "/proc/nowhere", path, sizeof path, &fd));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static void expect_mapped_here_only(int fd)
{
    ck_assert(grace_ledger_is_mapped_by(fd, getpid()));
    ck_assert(!grace_ledger_is_mapped_by(fd, getppid()));
}

START_TEST(who_maps_it_is_told)
{
    int fd;
    new_ledger(2, &fd);
    expect_mapped_here_only(fd);
}
END_TEST

/* Over two file systems, where fstat and /proc/PID/maps call it differently: as btrfs does, and a
 * container's root before Linux 6.8. */
START_TEST(who_maps_it_is_told_on_an_overlay)
{
    static const char *const folders[] = {"lower", "upper", "work", "merged"};
    int fd;
    char path[4096];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip("no mount namespace of its own may be made here");
    ck_assert_int_eq(mount("top", "/tmp", "tmpfs", 0, NULL), 0);
    ck_assert_int_eq(chdir("/tmp"), 0);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        ck_assert_int_eq(mkdir(folders[i], 0755), 0);
    ck_assert_int_eq(mount("lower", "lower", "tmpfs", 0, NULL), 0);
    if (mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work") != 0)
        skip("no overlay may be mounted here");
    ck_assert_ptr_nonnull(
        grace_ledger_create(2, FINGERPRINT, "prog", NULL, "/tmp/merged", path, sizeof path, &fd));
    expect_mapped_here_only(fd);
}
END_TEST

/* ---- what is no ledger --------------------------------------------------------------------- */

START_TEST(a_file_of_another_size_is_no_ledger)
{
    int fd;
    new_ledger(3, &fd);
    size_t size = (size_t)lseek(fd, 0, SEEK_END);
    char *bytes = malloc(size + 64);
    ck_assert_int_eq(pread(fd, bytes, size, 0), (ssize_t)size);
    memset(bytes + size, 0, 64);
    for (size_t length = 0; length <= size + 64; length += length < 4000 ? 500 : 1) {
        int copy = memfd_create("copy", 0);
        ck_assert_int_eq(write(copy, bytes, length), (ssize_t)length);
        struct grace_ledger *ledger = grace_ledger_attach(copy);
        ck_assert_int_eq(ledger != NULL, length == size);
        if (ledger != NULL)
            grace_ledger_detach(ledger);
        close(copy);
    }
    free(bytes);
}
END_TEST

/* Random files, most of them with the right magic and a size near the right one: whatever attach
 * lets in can be walked from end to end. */
START_TEST(random_files_do_no_harm)
{
    unsigned seed = (unsigned)getpid();
    printf("ledger files: seed %u\n", seed);
    fflush(stdout);
    srandom(seed);
    unsigned let_in = 0;
    for (int round = 0; round < 20000; round++) {
        uint32_t
            words[(sizeof(struct grace_ledger) + 40 * sizeof(struct grace_ledger_hook)) / 4 + 4];
        size_t hooks = (size_t)random() % 40;
        struct grace_ledger *head = (struct grace_ledger *)words;
        size_t size = sizeof *head + hooks * sizeof head->hooks[0];
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            words[i] =
                random() % 4 == 0 ? (uint32_t)random() % 8 : (uint32_t)random() * 2654435761u;
        if (random() % 8 != 0)
            head->magic = GRACE_LEDGER_MAGIC;
        if (random() % 4 != 0)
            head->hook_count = (uint32_t)hooks;
        if (random() % 4 == 0)
            size += (size_t)random() % 16;
        int fd = memfd_create("random", 0);
        ck_assert_int_eq(pwrite(fd, words, size, GRACE_LEDGER_RECORD), (ssize_t)size);
        struct grace_ledger_record record;
        if (grace_ledger_read_record(fd, &record) == 0)
            grace_ledger_owner_lives(&record);
        struct grace_ledger *ledger = grace_ledger_attach(fd);
        if (ledger != NULL) {
            let_in++;
            for (size_t i = 0; i < hooks; i++) {
                bool owed = grace_ledger_owes(ledger, i);
                ck_assert_int_eq(grace_ledger_claim(ledger, i), owed);
                grace_ledger_finish(ledger, i, 0, 0, 1);
            }
            grace_ledger_detach(ledger);
        }
        close(fd);
    }
    ck_assert_uint_gt(let_in, 1000);
}
END_TEST

/* Whoever else has the memory may write any number into it, at any time. */
START_TEST(how_many_hooks_there_are_was_settled_when_it_was_attached)
{
    int fd;
    struct grace_ledger *made = new_ledger(3, &fd), *ledger = grace_ledger_attach(fd);
    ck_assert_ptr_nonnull(ledger);
    made->hook_count = 1u << 19;
    ck_assert_uint_eq(ledger->hook_count, 1u << 19);
    ck_assert_uint_eq(grace_ledger_room(ledger), 3);
    grace_ledger_detach(ledger); /* what lies behind it stays mapped */
    ck_assert_int_eq(grace_ledger_state(made, 2), GRACE_HOOK_OWED);
    ck_assert_ptr_null(grace_ledger_attach(fd));
}
END_TEST

/* ---- waiting ------------------------------------------------------------------------------- */

START_TEST(a_ring_wakes_another_process)
{
    int fd, status;
    struct grace_ledger *ledger = new_ledger(1, &fd);
    pid_t child = fork();
    if (child == 0) {
        while (atomic_load(&ledger->asked) == 0)
            grace_ledger_wait(&ledger->asked, 0, -1);
        _exit(3);
    }
    grace_ledger_ring(&ledger->asked);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 3);
    grace_ledger_wait(&ledger->asked, 0, -1); /* it has moved: returns at once */
    grace_ledger_wait(&ledger->asked, 1, 1);  /* the time is up */
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("ledger");
    TCase *group = tcase_create("states");
    tcase_add_loop_test(group, each_move_from_each_state_is_as_the_diagram_says, 0, STATES * MOVES);
    tcase_add_test(group, a_hook_waits_to_be_taken_while_it_is_owed_or_asked);
    tcase_add_test(group, a_state_that_does_not_exist_is_never_run);
    tcase_add_test(group, how_a_hook_ended_is_kept);
    tcase_add_test(group, of_many_processes_one_takes_a_hook);
    tcase_add_test(group, a_ring_wakes_another_process);
    suite_add_tcase(all, group);
    group = tcase_create("file");
    tcase_add_test(group, a_new_ledger_owes_all_its_hooks);
    tcase_add_test(group, a_ledger_in_memory_keeps_its_size);
    tcase_add_test(group, the_record_says_whose_it_is);
    tcase_add_test(group, a_state_dir_that_cannot_be_written_is_an_error);
    tcase_add_test(group, who_maps_it_is_told);
    tcase_add_test(group, who_maps_it_is_told_on_an_overlay);
    tcase_add_test(group, a_file_of_another_size_is_no_ledger);
    tcase_add_test(group, random_files_do_no_harm);
    tcase_add_test(group, how_many_hooks_there_are_was_settled_when_it_was_attached);
    suite_add_tcase(all, group);
    return all;
}
