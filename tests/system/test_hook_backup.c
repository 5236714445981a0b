/*
 * The plugin `backup`: what it copies is all there and as it was at one moment, however the tree
 * changes meanwhile; what can be seen in the folder of backups is always whole, whatever is killed
 * and whenever the disk is full.
 */
#include "harness.h"
#include "harness_hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* With /bin/sh, in the story's directory. */
#define shell(...)        (system(text("cd '%s' || exit; %s", story_directory(), text(__VA_ARGS__))))
#define expect_shell(...) expect(shell(__VA_ARGS__) == 0)

/* What a shell command says, without the end of its last line. */
static char *said(const char *command)
{
    expect_shell("{ %s; } > said 2>&1", command);
    char *words = contents("said");
    size_t length = strlen(words);
    if (length > 0 && words[length - 1] == '\n')
        words[length - 1] = '\0';
    return words;
}

#define BACKUPS "ls to | tr '\\n' ' '"
#define NEWEST  "$(ls -d to/* | tail -n 1)"

static char *hook_backup(const char *options, const char *more)
{
    return text("{ name = \"backup\"; plugin = \"backup\"; timeout = \"1m\"; phase = \"cleanup\"; "
                "options = { to = \"%s\"; %s }; %s }",
                here("to"), options, more);
}

static char *from_tree(void)
{
    return text("from = \"%s\";", here("tree"));
}

/* The hook as the runner runs it, without a target around it. */
static struct process *begin_backup(void)
{
    environment("GRACE_REMAINING_MS", "60000");
    return start(BARE, product("grace"), "run-hook", here("grace.conf"), "backup",
                 product("hooks/backup.so"));
}

static struct process *back_up(const char *options, int status)
{
    config("hooks = (%s);", hook_backup(options, ""));
    struct process *hook = begin_backup();
    expect_status(wait_end(hook), EXITED(status));
    return hook;
}

/* All that there is to know about a tree, but for the bytes and the times of reading. */
#define LOOK_AT                                                                                    \
    "find %s -mindepth 1 ! -type p ! -type s -printf '%%P %%y %%m %%U:%%G %%n %%s %%T@ "           \
    "%%l\\n' | sort; (cd %s; getfattr -R -h -d -m - . 2>&1 | sed 's/^# file: //')"

static void expect_same_tree(const char *original, const char *copy)
{
    expect_shell("diff -r --no-dereference %s %s", original, copy);
    char *look_original = said(text(LOOK_AT, original, original));
    expect_text(said(text(LOOK_AT, copy, copy)), look_original);
}

static const char make_tree[] =
    "umask 022; mkdir -p tree/sub/deep tree/closed tree/empty; cd tree;"
    "echo one > one; printf 'no end' > sub/two; : > sub/nothing; echo x > 'od d\nname';"
    "seq 200000 > sub/deep/large; ln sub/two sub/deep/two; ln sub/two another;"
    "truncate -s 80M sparse; printf x | dd of=sparse bs=1 seek=50000000 conv=notrunc 2>/dev/null;"
    "printf y >> sparse; truncate -s 81M sparse;"
    "ln -s /etc/passwd out; ln -s absent dangling; ln -s sub inside;"
    "chmod 4751 one; chmod 600 sub/nothing; chmod 1777 empty;"
    "echo secret > closed/file; chmod 0555 closed; setfattr -n user.colour -v blue one sub;"
    "touch -h -d 1999-12-31T23:59:59.123456789Z one out sub empty;"
    "[ $(id -u) != 0 ] || { chown 1234:4321 sub/two closed; chmod 0 sub/deep/large; };"
    "mkfifo fifo";

/* ---- what is copied -------------------------------------------------------------------------- */

/* From one file system to another the kernel may not copy by itself, so the bytes go through us. */
START_TEST(a_tree_is_copied_with_all_that_belongs_to_it)
{
    expect_shell("%s", make_tree);
    if (_i == 1)
        expect_shell("mkdir /dev/shm/grace-to.$PPID; ln -s /dev/shm/grace-to.$PPID to");
    config("log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s);", here("log"),
           hook_backup(from_tree(), ""));
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
    wait_all_gone();
    expect(strstr(contents("log"), "hook \"backup\" (cleanup) done") != NULL, "%s",
           contents("log"));
    expect(strstr(contents("log"), "1 sockets, fifos or devices not copied") != NULL);
    expect_text(said("ls to/ | grep -Ec '^000001-[0-9]{8}T[0-9]{6}Z$'"), "1");
    expect_shell("rm tree/fifo; touch -h -d 1999-12-31T23:59:59.123456789Z tree to/0*/tree");
    if (_i == 0)
        expect_same_tree("tree", "to/0*/tree");
    else
        expect_shell("diff -r --no-dereference tree to/0*/tree");
    expect_text(said("[ $(du -k to/0*/tree/sparse | cut -f 1) -lt 100 ] && echo few"), "few");
    expect_text(said("stat -c %a to/0*"), "700");
    if (_i == 1)
        expect_shell("chmod -R u+w to/; rm -r /dev/shm/grace-to.$PPID");
}
END_TEST

START_TEST(several_sources_and_single_files)
{
    expect_shell("mkdir -p tree link/real; echo 1 > tree/x; echo 2 > file; echo 3 > link/real/y;"
                 "ln -s link/real named");
    back_up(text("from = [\"%s\", \"%s\", \"%s\"];", here("tree"), here("file"), here("named")), 0);
    expect_text(said("cd to/0*; find . -type f | sort | tr '\\n' ' '"),
                "./file ./named/y ./tree/x ");
}
END_TEST

/* By the commands that the man page gives. */
START_TEST(a_compressed_backup_is_restored_as_the_man_page_says)
{
    expect_shell("%s", make_tree);
    expect_shell("chmod u+r tree/sub/deep/large; rm tree/fifo; chmod u+w tree/closed");
    back_up(text("%s compress = \"zstd\"; level = 1;", from_tree()), 0);
    expect_text(said("find to -type f ! -name '*.zst'"), "");
    expect_text(
        said("[ $(du -k " NEWEST "/tree/sub/deep/large.zst | cut -f 1) -lt 700 ] && echo few"),
        "few");
    expect_shell("cp -a " NEWEST "/tree restored && "
                 "find restored -type f -name '*.zst' -exec zstd -q -d -f --rm {} +");
    expect_shell("diff -r --no-dereference tree restored");
}
END_TEST

START_TEST(the_folder_of_backups_may_lie_in_the_tree)
{
    expect_shell("mkdir tree; echo 1 > tree/x; ln -s tree/backups to; mkdir tree/backups");
    back_up(from_tree(), 0);
    back_up(from_tree(), 0);
    expect_text(said("cd " NEWEST "; find . -mindepth 1 | sort | tr '\\n' ' '"),
                "./tree ./tree/x ");
}
END_TEST

START_TEST(a_user_without_rights_copies_what_it_may)
{
    if (geteuid() != 0)
        skip("needs root, to become somebody else");
    expect_shell("chmod 755 .; mkdir home; cp %s %s home; mkdir -p home/tree/closed; cd home;"
                 "echo 1 > tree/closed/x; setfacl -m u:daemon:rx tree/closed; chmod 555 "
                 "tree/closed; chmod 6755 tree/closed/x;"
                 "chown -R nobody: .",
                 product("grace"), product("hooks/backup.so"));
    write_file("home/c.conf",
               "hooks = ({ name = \"backup\"; plugin = \"backup\"; options = { "
               "from = \"%s\"; to = \"%s\"; keep = 1; }; });",
               here("home/tree"), here("home/to"));
    environment("GRACE_REMAINING_MS", "60000");
    for (int i = 0; i < 3; i++) { /* old ones with closed folders go, too */
        struct process *hook = launch(
            &(struct launch){.way = BARE,
                             .argv = ARGV(here("home/grace"), "run-hook", here("home/c.conf"),
                                          "backup", here("home/backup.so")),
                             .user = "nobody"});
        expect_status(wait_end(hook), EXITED(0));
    }
    expect_same_tree("home/tree", "home/to/000003*/tree");
    expect_text(said("ls -A home/to | wc -l"), "1");
    expect_shell("chown root home/tree/closed/x; chmod 600 home/tree/closed/x");
    struct process *hook =
        launch(&(struct launch){.way = BARE,
                                .argv = ARGV(here("home/grace"), "run-hook", here("home/c.conf"),
                                             "backup", here("home/backup.so")),
                                .user = "nobody"});
    expect_status(wait_end(hook), EXITED(1));
    expect(strstr(contents(hook->err), "tree/closed/x: Permission denied") != NULL);
    expect_text(said("ls -A home/to | wc -l"), "1");
}
END_TEST

/* ---- generations ----------------------------------------------------------------------------- */

START_TEST(the_last_ones_are_kept)
{
    expect_shell("mkdir -p tree to/mine; echo 1 > to/000001-not-one; touch to/.000001-x.partial");
    for (int i = 1; i <= 4; i++) {
        expect_shell("echo %d > tree/x", i);
        back_up(text("%s keep = 2;", from_tree()), 0);
    }
    expect_text(said("cat to/0*Z/tree/x | tr '\\n' ' '"), "3 4 ");
    expect_text(said("ls -A to | sed 's/-2.*Z/-time/' | sort | tr '\\n' ' '"),
                ".000001-x.partial 000001-not-one 000003-time 000004-time mine ");
}
END_TEST

/* The clock may go back: the number says what is newer. */
START_TEST(a_number_decides_which_is_newest)
{
    expect_shell("mkdir -p tree to/000007-20990101T000000Z to/000003-20990101T000000Z");
    back_up(text("%s keep = 2;", from_tree()), 0);
    expect_text(said("ls to | cut -c -6 | tr '\\n' ' '"), "000007 000008 ");
}
END_TEST

START_TEST(two_at_once_make_two)
{
    expect_shell("%s", make_tree);
    config("hooks = (%s);", hook_backup(from_tree(), ""));
    struct process *both[] = {begin_backup(), begin_backup()};
    for (int i = 0; i < 2; i++)
        expect_status(wait_end(both[i]), EXITED(0));
    expect_text(said("ls -A to | cut -c -6 | tr '\\n' ' '"), "000001 000002 ");
}
END_TEST

/* ---- a tree that changes --------------------------------------------------------------------- */

/* Each file of a backup holds the number of the first one, or from some file on the one before. */
static void expect_one_moment(void)
{
    expect_text(said("cd " NEWEST "/tree; for f in data*; do head -n 1 $f; done | uniq |"
                     "awk 'NR == 1 { first = $1 } NR == 2 && $1 != first - 1 { bad = 1 }"
                     "     END { print (NR > 2 || bad) ? \"torn\" : \"whole\" }'"),
                "whole");
    expect_text(said("cd " NEWEST "/tree; find . -name 'data*' ! -size 4096c"), "");
}

START_TEST(what_is_written_to_meanwhile_is_copied_as_it_was_at_one_moment)
{
    expect_shell("mkdir tree");
    struct process *writer = launch(&(struct launch){
        .way = BARE, .argv = ARGV(program("backup_writer")), .directory = here("tree")});
    wait_ready(writer);
    for (int i = 0; i < 6; i++) {
        back_up(
            text("%s tries = 200; keep = 2;%s", from_tree(), i % 2 ? " compress = \"none\";" : ""),
            0);
        expect_one_moment();
    }
    expect(!has_ended(writer));
    stop_with(writer, SIGKILL);
}
END_TEST

START_TEST(what_never_holds_still_is_no_backup_unless_asked_for)
{
    expect_shell("mkdir tree");
    struct process *writer = launch(&(struct launch){
        .way = BARE, .argv = ARGV(program("backup_writer"), "endless"), .directory = here("tree")});
    wait_ready(writer);
    struct process *hook = back_up(text("%s tries = 2;", from_tree()), 1);
    expect(strstr(contents(hook->err), "changed while it was copied, 2 times over") != NULL, "%s",
           contents(hook->err));
    expect_text(said("ls -A to"), "");
    hook = back_up(text("%s tries = 2; changing = \"warn\";", from_tree()), 0);
    expect(strstr(contents(hook->err), "warning: ") != NULL, "%s", contents(hook->err));
    expect_text(said("ls to/*/tree | grep -c data"), "16");
    stop_with(writer, SIGKILL);
}
END_TEST

/* Somebody who owns the tree swaps a folder for a symbolic link while root copies it. */
START_TEST(no_symbolic_link_leads_out_of_the_tree)
{
    expect_shell("mkdir -p tree/a tree/b outside; for i in 1 2 3 4; do echo inside > tree/a/f$i;"
                 "echo stolen > outside/f$i; done; ln -s ../outside tree/link");
    struct process *swapper =
        start(BARE, "/usr/bin/python3", "-c",
              "import ctypes, os\n"
              "libc = ctypes.CDLL(None)\n"
              "print('ready', flush=True)\n"
              "while True:\n"
              "    libc.renameat2(-100, b'tree/a', -100, b'tree/link', 2)\n"
              "    os.rename('tree/b', 'tree/c'); os.symlink('../outside', 'tree/b')\n"
              "    os.unlink('tree/b'); os.rename('tree/c', 'tree/b')\n");
    wait_ready(swapper);
    for (int i = 0; i < 25; i++)
        back_up(text("%s tries = 4; changing = \"warn\"; keep = 30;", from_tree()), 0);
    stop_with(swapper, SIGKILL);
    expect_text(said("find to -type f -exec grep -l stolen {} +; :"), "");
    expect(atoi(said("find to -type f -exec grep -l inside {} + | wc -l")) > 0);
}
END_TEST

/* ---- nothing half ---------------------------------------------------------------------------- */

/* In a mount namespace of its own: a disk of 6 MiB. */
START_TEST(a_full_disk_leaves_the_older_ones_alone)
{
    if (geteuid() != 0)
        skip("needs root, to mount a small disk");
    expect_shell("mkdir tree to; echo kept > tree/x");
    config("hooks = (%s);",
           hook_backup(text("%s keep = 1; %s", from_tree(), _i == 1 ? "compress = \"zstd\";" : ""),
                       ""));
    environment("GRACE_REMAINING_MS", "60000");
    write_file("disk.sh",
               "set -e\n"
               "mount -t tmpfs -o size=6m none to\n"
               "backup() { %s run-hook grace.conf backup %s; }\n"
               "backup\n"
               "for i in 1 2 3 4 5 6 7 8 9; do head -c 1000000 /dev/urandom > tree/big$i; done\n"
               "if backup; then echo no failure; exit 1; fi\n"
               "[ \"$(ls -A to | cut -c -6)\" = 000001 ]\n"
               "cd to/0*/tree; if [ -e x.zst ]; then zstd -dcq x.zst; else cat x; fi; cd ../../..\n"
               "rm tree/big[3-9]\n"
               "backup\n"
               "ls -A to | cut -c -6\n"
               "umount to\n",
               product("grace"), product("hooks/backup.so"));
    struct process *disk = start(BARE, "unshare", "--mount", "sh", here("disk.sh"));
    expect_status(wait_end(disk), EXITED(0));
    expect_text(contents(disk->out), "kept\n000002\n");
    expect(count_of(contents(disk->err), "No space left on device") == 1, "%s",
           contents(disk->err));
}
END_TEST

/* Every backup that can be seen is whole. */
static void expect_whole_ones(void)
{
    expect_shell("for one in to/*; do [ ! -e \"$one\" ] || diff -r tree $one/tree || exit 1; done");
}

static void wait_at_random(void)
{
    static unsigned seed;
    if (seed == 0)
        seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    struct timespec time = {0, rand_r(&seed) % 25000000};
    nanosleep(&time, NULL);
}

#define MANY_FILES                                                                                 \
    "mkdir -p tree/a/b tree/c; for i in 1 2 3 4 5 6 7 8 9; do for d in a a/b c; do"                \
    " seq $((i * 3000)) > tree/$d/f$i; done; done"

START_TEST(a_hook_that_is_killed_leaves_nothing_half)
{
    unsigned cut = 0;
    expect_shell(MANY_FILES);
    config("hooks = (%s);", hook_backup(text("%s keep = 2;", from_tree()), ""));
    for (int i = 0; i < 40; i++) {
        struct process *hook = begin_backup();
        wait_at_random();
        send_signal(hook, SIGKILL);
        cut += wait_end(hook) == KILLED(SIGKILL);
        expect_whole_ones();
    }
    expect(cut > 5, "%u", cut);
    back_up(text("%s keep = 2;", from_tree()), 0);
    expect_whole_ones();
    expect_text(said("ls -A to | grep -c '^[.]'; :"), "0");
    expect(atoi(said("ls to | wc -l")) <= 2);
}
END_TEST

/* The guardian and its hook are killed while they make a backup of what a killed target left. */
START_TEST(a_guardian_that_is_killed_leaves_nothing_half)
{
    expect_shell(MANY_FILES);
    config("hooks = (%s);", hook_backup(text("%s keep = 2;", from_tree()), ""));
    for (int i = 0; i < 8; i++) {
        struct process *worker = start(GRACED, program("worker"), "poll");
        wait_ready(worker);
        pid_t guardian = guardian_pid();
        while (guardian == 0)
            guardian = guardian_pid();
        send_signal(worker, SIGKILL);
        expect_status(wait_end(worker), KILLED(SIGKILL));
        wait_at_random();
        kill(guardian, SIGKILL);
        kill_all_but_guardian();
        wait_all_gone();
        expect_whole_ones();
    }
    back_up(text("%s keep = 2;", from_tree()), 0);
    expect_whole_ones();
    expect_text(said("ls -A to | grep -c '^[.]'; :"), "0");
}
END_TEST

/* ---- what cannot be -------------------------------------------------------------------------- */

static const struct {
    const char *make, *from, *words;
} obstacles[] = {
    {":", "tree", "tree: No such file or directory"},
    {"mkfifo tree", "tree", "is neither a file nor a folder"},
    {"mkdir tree; rmdir to; echo x > to", "tree", "Not a directory"},
    {":", "to", "is the folder of backups itself"},
    {"ln -s absent tree", "tree", "tree: No such file or directory"},
};

START_TEST(what_cannot_be_copied_is_told)
{
    expect_shell("mkdir to; %s", obstacles[_i].make);
    struct process *hook = back_up(text("from = \"%s\";", here("%s", obstacles[_i].from)), 1);
    expect(strstr(contents(hook->err), obstacles[_i].words) != NULL, "%s", contents(hook->err));
    expect(count_of(contents(hook->err), "\n") == 1, "%s", contents(hook->err));
    expect_shell("[ ! -d to ] || [ -z \"$(ls -A to)\" ]");
}
END_TEST

#define GOOD "from = \"/a\"; to = \"/b\"; "

static const struct {
    const char *options, *words;
} refused[] = {
    {"to = \"/b\";", "option \"from\" is missing"},
    {"from = \"/a\";", "option \"to\" is missing"},
    {"from = \"a\"; to = \"/b\";", "option \"from\" has \"a\""},
    {"from = \"/a/\"; to = \"/b\";", "expected an absolute path that ends with a name"},
    {"from = \"/\"; to = \"/b\";", "expected an absolute path that ends with a name"},
    {"from = [\"/x/a\", \"/y/a\"]; to = \"/b\";", "have the same name"},
    {"from = \"/a\"; to = \"b\";", "option \"to\" has \"b\""},
    {GOOD "keep = 0;", "option \"keep\" is 0; expected 1 to"},
    {GOOD "tries = 0;", "option \"tries\" is 0"},
    {GOOD "compress = \"gzip\";", "expected \"none\" or \"zstd\""},
    {GOOD "compress = \"zstd\"; level = 20;", "option \"level\" is 20; expected 1 to 19"},
    {GOOD "level = 3;", "option \"level\" is for compress = \"zstd\""},
    {GOOD "changing = \"ignore\";", "expected \"fail\" or \"warn\""},
    {GOOD "kep = 3;", "unknown option \"kep\""},
};

START_TEST(wrong_options_are_told_before_the_start)
{
    expect_refused("backup", refused[_i].options, refused[_i].words);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("backup");
    TCase *group = story_case(all, "copies");
    tcase_add_loop_test(group, a_tree_is_copied_with_all_that_belongs_to_it, 0, 2);
    tcase_add_test(group, several_sources_and_single_files);
    tcase_add_test(group, a_compressed_backup_is_restored_as_the_man_page_says);
    tcase_add_test(group, the_folder_of_backups_may_lie_in_the_tree);
    tcase_add_test(group, a_user_without_rights_copies_what_it_may);
    group = story_case(all, "generations");
    tcase_add_test(group, the_last_ones_are_kept);
    tcase_add_test(group, a_number_decides_which_is_newest);
    tcase_add_test(group, two_at_once_make_two);
    group = story_case(all, "changes");
    tcase_add_test(group, what_is_written_to_meanwhile_is_copied_as_it_was_at_one_moment);
    tcase_add_test(group, what_never_holds_still_is_no_backup_unless_asked_for);
    tcase_add_test(group, no_symbolic_link_leads_out_of_the_tree);
    group = story_case(all, "nothing half");
    tcase_add_loop_test(group, a_full_disk_leaves_the_older_ones_alone, 0, 2);
    tcase_add_test(group, a_hook_that_is_killed_leaves_nothing_half);
    tcase_add_test(group, a_guardian_that_is_killed_leaves_nothing_half);
    group = story_case(all, "told");
    tcase_add_loop_test(group, what_cannot_be_copied_is_told, 0,
                        (int)(sizeof obstacles / sizeof obstacles[0]));
    tcase_add_loop_test(group, wrong_options_are_told_before_the_start, 0,
                        (int)(sizeof refused / sizeof refused[0]));
    return all;
}
