/*
 * The files of what is owed: there before main runs, gone after a normal end, and what happens when
 * they cannot be written, cannot be trusted, or do not fit the config.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness_ledger.h"

/* ---- there when it must be, and gone when it must be ----------------------------------------- */

/* The shortest main there is to look: ls. */
START_TEST(what_is_owed_is_in_the_folder_when_main_begins)
{
    CONFIGURE("guardian = \"%s\";\n%s", _i == 0 ? "auto" : "off", hooks_in_phases());
    struct process *ls = start(GRACED, "/bin/ls", here("state"));
    expect_status(wait_end(ls), EXITED(0));
    const char *seen = contents(ls->out);
    expect(count_of(seen, "\n") == 1 && count_of(seen, ".owed\n") == 1, "%s", seen);
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(without_external_hooks_there_is_no_file)
{
    CONFIGURE("hooks = ( %s );", hook_plugin("A", ""));
    struct process *ls = start(GRACED, "/bin/ls", here("state"));
    expect_status(wait_end(ls), EXITED(0));
    expect_text(contents(ls->out), "");
    expect_order("A");
}
END_TEST

/* Where `seen` has the words; fails when it has not. */
static const char *behind(const char *seen, const char *words)
{
    const char *found = strstr(seen, words);
    expect(found != NULL, "no %s in\n%s", words, seen);
    return found + strlen(words);
}

/* Power loss spares what the kernel was told to put on disk, and nothing else. */
START_TEST(it_is_put_on_disk_before_main_and_before_each_hook)
{
    CONFIGURE("%s", hooks_in_phases());
    write_file("said", "main is here\n");
    expect_status(run(BARE, "strace", "-f", "-qq", "-o", here("trace"), "-e",
                      "trace=fsync,msync,rename,execve,write", "-E",
                      text("LD_PRELOAD=%s", product("libgrace.so")), "/bin/cat", here("said")),
                  EXITED(0));
    expect_order("A B C");
    const char *at = behind(contents("trace"), "msync(");
    at = behind(at, "fsync(");
    at = behind(at, ".owed\")");
    at = behind(at, "fsync("); /* the folder */
    at = behind(at, "\"main is here");
    for (const char *hook = "ABC"; *hook != '\0'; hook++) {
        at = behind(at, "msync(");
        at = behind(at, text("echo %c", *hook));
    }
}
END_TEST

static const struct {
    const char *name;
    bool survives_guardian_off; /* nobody in the target sees this end */
} endings[] = {
    {"return-0", false},
    {"return-3", false},
    {"exit", false},
    {"_exit", false},
    {"_Exit", false},
    {"quick_exit", false},
    {"last-pthread_exit", false},
    {"exit-in-8-threads", false},
    {"exit-in-handler", false},
    {"_exit-in-handler", false},
    {"raise-term", false},
    {"kill-hup", false},
    {"handler-that-raises", false},
    {"abort", true},
    {"bad-pointer", true},
    {"raise-usr1", true},
    {"raise-kill", true},
};
enum { ENDINGS = sizeof endings / sizeof *endings };

START_TEST(after_the_end_no_file_is_left)
{
    const char *name = endings[_i % ENDINGS].name;
    bool guarded = _i < ENDINGS;
    CONFIGURE("guardian = \"%s\";\n%s", guarded ? "auto" : "off", hooks_in_phases());
    run(GRACED, program("ender"), name);
    wait_all_gone();
    if (!guarded && endings[_i % ENDINGS].survives_guardian_off) {
        expect_text(contents("order"), "");
        expect(ledger_file() != NULL);
        recover(EXITED(0));
    }
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

/* ---- not to be written ----------------------------------------------------------------------- */

/* The program runs, a warning says why there is no file, and the guardian does its work. */
static void expect_fallback(const struct launch *how, const char *why)
{
    struct process *target = launch(how);
    expect_status(wait_end(target), EXITED(0));
    expect_order("A B C");
    expect_says(target, "warning: cannot write to state_dir");
    expect_says(target, why);
    expect_text(contents(target->out), "main\n");
}

#define ECHO .way = GRACED, .argv = ARGV("/bin/echo", "main")

START_TEST(a_state_dir_that_is_missing_is_told)
{
    CONFIGURE("%s", hooks_in_phases());
    rmdir(here("state"));
    expect_fallback(&(struct launch){ECHO}, "No such file or directory");
    expect(!exists("state"));
    struct process *grace = recover(EXITED(0));
    expect_text(contents(grace->out), "nothing is owed\n");
}
END_TEST

START_TEST(a_state_dir_that_is_no_folder_is_told)
{
    CONFIGURE("%s", hooks_in_phases());
    rmdir(here("state"));
    write_file("state", "mine\n");
    expect_fallback(&(struct launch){ECHO}, "Not a directory");
    expect_text(contents("state"), "mine\n");
    expect_says(recover(UNSETTLED), "Not a directory");
}
END_TEST

START_TEST(a_state_dir_that_may_not_be_written_is_told)
{
    CONFIGURE("%s", hooks_in_phases());
    chmod(here("state"), geteuid() == 0 ? 0755 : 0500);
    expect_fallback(&(struct launch){ECHO, .user = geteuid() == 0 ? "nobody" : NULL},
                    "Permission denied");
}
END_TEST

/* A tiny file system; false when this machine does not let us. */
static bool mount_tiny(const char *options)
{
    return mount("tiny", here("state"), "tmpfs", 0, options) == 0;
}

/* With room for nothing, and for half of the file. */
START_TEST(a_full_state_dir_is_told_and_left_as_it_was)
{
    CONFIGURE("%s", hooks_in_phases());
    if (!mount_tiny("size=16k"))
        skip("no file system can be mounted here: %m");
    static const char page[4096];
    int fd = open(here("state/ballast"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    for (int pages = 4 - _i; pages > 0; pages--)
        expect(write(fd, page, sizeof page) == (ssize_t)sizeof page);
    close(fd);
    struct process *target = start(GRACED, "/bin/echo", "main");
    int status = wait_end(target);
    wait_all_gone();
    char *left = listing(here("state"), "");
    umount2(here("state"), MNT_DETACH);
    expect_status(status, EXITED(0));
    expect_says(target, "No space left on device");
    expect_text(left, "ballast");
    expect_order("A B C");
}
END_TEST

/* ---- not to be trusted ----------------------------------------------------------------------- */

static void give_away(const char *path)
{
    if (geteuid() != 0)
        skip("only root can give a file away");
    expect(chown(path, 65534, 65534) == 0);
}

static void let_group_write(const char *path)
{
    expect(chmod(path, 0620) == 0);
}

static void replace_by_link(const char *path)
{
    expect(rename(path, here("elsewhere")) == 0 && symlink(here("elsewhere"), path) == 0);
}

static void replace_by_folder(const char *path)
{
    expect(unlink(path) == 0 && mkdir(path, 0700) == 0);
}

static void replace_by_fifo(const char *path)
{
    expect(unlink(path) == 0 && mkfifo(path, 0600) == 0);
}

static void empty(const char *path)
{
    expect(truncate(path, 0) == 0);
}

static void truncate_record(const char *path)
{
    expect(truncate(path, 100) == 0);
}

static void truncate_hooks(const char *path)
{
    expect(truncate(path, GRACE_LEDGER_RECORD + (off_t)sizeof(struct grace_ledger) + 17) == 0);
}

static void lengthen(const char *path)
{
    expect(truncate(path, 1 << 20) == 0);
}

static void overwrite(const char *path, off_t from)
{
    unsigned char bytes[8192];
    struct stat about;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    srandom(4);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)random();
    expect(fd >= 0 && fstat(fd, &about) == 0);
    size_t size = (size_t)(about.st_size - from);
    expect(pwrite(fd, bytes, size, from) == (ssize_t)size);
    close(fd);
}

static void fill_with_random_bytes(const char *path)
{
    overwrite(path, 0);
}

static void fill_hooks_with_random_bytes(const char *path)
{
    overwrite(path, GRACE_LEDGER_RECORD);
}

static const struct {
    void (*spoil)(const char *path);
    const char *message;
} spoilt[] = {
    {give_away, "another user; left alone"},
    {let_group_write, "another user; left alone"},
    {replace_by_link, "symbolic link; left alone"},
    {replace_by_folder, "Is a directory"},
    {replace_by_fifo, "not a regular file; left alone"},
    {empty, "not a whole one"},
    {truncate_record, "not a whole one"},
    {truncate_hooks, "not a whole one"},
    {lengthen, "not a whole one"},
    {fill_with_random_bytes, "not a ledger"},
    {fill_hooks_with_random_bytes, "not a ledger"},
};
enum { SPOILT = sizeof spoilt / sizeof *spoilt };

START_TEST(a_file_that_cannot_be_trusted_is_told_and_nothing_runs)
{
    CONFIGURE("%s", hooks_in_phases());
    struct owner owner = start_and_kill_both(true);
    spoilt[_i].spoil(owner.ledger);
    struct process *grace = recover(UNSETTLED);
    expect_says(grace, owner.ledger);
    expect_says(grace, spoilt[_i].message);
    expect_order("");
    struct stat about;
    expect(lstat(owner.ledger, &about) == 0, "it is gone");
    /* The next start says so too, runs nothing of it, and goes on. */
    struct process *next = start(GRACED, "/bin/echo", "main");
    expect_status(wait_end(next), EXITED(0));
    expect_says(next, spoilt[_i].message);
    expect_order("A B C");
    expect(lstat(owner.ledger, &about) == 0, "it is gone");
}
END_TEST

/* Beside one that cannot be used, the others are settled. */
START_TEST(a_file_that_cannot_be_used_does_not_keep_the_others)
{
    CONFIGURE("%s", hooks_in_phases());
    start_and_kill_both(true);
    write_file("state/a.1.owed", "nonsense\n");
    write_file("state/z.1.owed", "nonsense\n");
    write_file("state/notes", "of the administrator\n");
    recover(UNSETTLED);
    expect_order("A B C");
    expect_text(listing(here("state"), "notes"), "notes");
}
END_TEST

/* What is not at all ours may be any bytes: whatever it says, only what the config names can run.
 */
START_TEST(random_states_of_hooks_run_nothing_twice)
{
    enum { ROUNDS = 40 };
    struct on_disk ledger;
    unsigned seed = (unsigned)now_ms();
    printf("seed %u\n", seed);
    srandom(seed);
    CONFIGURE("guardian = \"off\";\n%s", hooks_in_phases());
    for (int round = 0; round < ROUNDS; round++) {
        struct owner owner = start_and_kill_both(false);
        int fd = open(owner.ledger, O_RDWR | O_CLOEXEC);
        unsigned char bytes[sizeof ledger.head + 3 * sizeof ledger.hooks[0]];
        size_t kept = offsetof(struct grace_ledger, owner);
        for (size_t i = kept; i < sizeof bytes; i++)
            bytes[i] = random() % 3 == 0 ? (unsigned char)random() : 0;
        expect(pwrite(fd, bytes + kept, sizeof bytes - kept, GRACE_LEDGER_RECORD + (off_t)kept) ==
               (ssize_t)(sizeof bytes - kept));
        close(fd);
        recover(EXITED(0));
        wait_all_gone();
        for (const char *hook = "ABC"; *hook != '\0'; hook++)
            expect(count_of(contents("order"), text("%c", *hook)) <= 1, "seed %u, round %d", seed,
                   round);
        expect_nothing_left();
        write_file("order", "%s", "");
    }
}
END_TEST

/* ---- another config by then ------------------------------------------------------------------ */

START_TEST(after_a_change_of_hooks_the_file_is_kept)
{
    CONFIGURE("%s", hooks_in_phases());
    struct owner owner = start_and_kill_both(true);
    CONFIGURE("hooks = ( %s );", hook_command("X", ""));
    struct process *grace = recover(UNSETTLED);
    expect_says(grace, owner.ledger);
    expect_says(grace, "has other hooks now than when sleep");
    expect_order("");
    expect(exists(owner.ledger));
    /* A change of anything else is none. */
    CONFIGURE("deadline = \"29s\";\n%s", hooks_in_phases());
    recover(EXITED(0));
    expect_order("A B C");
    expect_nothing_left();
}
END_TEST

START_TEST(a_config_that_cannot_be_read_is_told_and_the_file_is_kept)
{
    CONFIGURE("%s", hooks_in_phases());
    struct owner owner = start_and_kill_both(true);
    CONFIGURE("%s", "deadline = 30;");
    struct process *grace = recover(UNSETTLED);
    expect_says(grace, "t.conf:2: error: ");
    expect_order("");
    expect(exists(owner.ledger));
}
END_TEST

Suite *suite(void)
{
    Suite *suite = suite_create("recover_files");
    TCase *life = story_case(suite, "life");
    tcase_add_loop_test(life, what_is_owed_is_in_the_folder_when_main_begins, 0, 2);
    tcase_add_test(life, without_external_hooks_there_is_no_file);
    tcase_add_test(life, it_is_put_on_disk_before_main_and_before_each_hook);
    tcase_add_loop_test(life, after_the_end_no_file_is_left, 0, 2 * ENDINGS);

    TCase *unwritten = story_case(suite, "unwritten");
    tcase_add_test(unwritten, a_state_dir_that_is_missing_is_told);
    tcase_add_test(unwritten, a_state_dir_that_is_no_folder_is_told);
    tcase_add_test(unwritten, a_state_dir_that_may_not_be_written_is_told);
    tcase_add_loop_test(unwritten, a_full_state_dir_is_told_and_left_as_it_was, 0, 2);

    TCase *untrusted = story_case(suite, "untrusted");
    tcase_add_loop_test(untrusted, a_file_that_cannot_be_trusted_is_told_and_nothing_runs, 0,
                        SPOILT);
    tcase_add_test(untrusted, a_file_that_cannot_be_used_does_not_keep_the_others);
    tcase_add_test(untrusted, random_states_of_hooks_run_nothing_twice);

    TCase *changed = story_case(suite, "changed");
    tcase_add_test(changed, after_a_change_of_hooks_the_file_is_kept);
    tcase_add_test(changed, a_config_that_cannot_be_read_is_told_and_the_file_is_kept);
    return suite;
}
