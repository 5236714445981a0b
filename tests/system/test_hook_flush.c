/*
 * The plugin `flush`: a program with megabytes in stdio's buffers is killed at a random moment, and
 * everything that it had written by then is in the files when the next hook looks.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE 39

static volatile unsigned *taken;

static struct process *start_writer(enum way way, const char *files, const char *how)
{
    unlink(here("taken"));
    struct process *writer = start(way, program("flush_writer"), files, how);
    wait_ready(writer);
    int fd = open(here("taken"), O_RDONLY | O_CLOEXEC);
    taken = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    expect(taken != MAP_FAILED);
    return writer;
}

/* More than a megabyte in the buffers of all, and then some time. */
static void wait_for_megabytes(struct process *writer, int files)
{
    static unsigned seed;
    if (seed == 0)
        seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    for (int i = 0; i < files; i++)
        while (taken[i] * LINE < 1024 * 1024) {
            expect(!has_ended(writer));
            let_pass(1);
        }
    struct timespec time = {0, rand_r(&seed) % 30000000};
    nanosleep(&time, NULL);
}

static unsigned lines_in(const char *name)
{
    struct stat about;
    expect(stat(here("%s", name), &about) == 0, "%s", name);
    return (unsigned)(about.st_size / LINE);
}

/* Lines numbered from 0 on, nothing lost or twice. The last may be cut: what writes on to its end
 * fills its buffer and has it written out, in the middle of a line. */
static void expect_lines(const char *name)
{
    const char *all = contents(name);
    unsigned lines = lines_in(name);
    for (unsigned number = 0; number < lines; number++) {
        const char *line = all + (size_t)number * LINE;
        expect((unsigned)strtoul(line, NULL, 10) == number && line[LINE - 1] == '\n',
               "%s, line %u: %.50s", name, number, line);
    }
}

#define ROUNDS 3

static const struct {
    const char *files, *how;
} writers[] = {{"1", NULL}, {"8", NULL}, {"4", "threads"}};

START_TEST(what_was_written_is_in_the_files_when_the_next_hook_looks)
{
    int files = atoi(writers[_i].files);
    /* Hooks run from the last of the file to the first. */
    config("log = { to = \"file\"; path = \"%s\"; };\nhooks = (%s, { name = \"flush\"; plugin = "
           "\"flush\"; options = { sync = true; }; });",
           here("log"), hook_script("look", "for f in lines*; do wc -c < $f > seen.$f; done", ""));
    for (int round = 0; round < ROUNDS; round++) {
        unsigned before[16];
        struct process *writer = start_writer(GRACED, writers[_i].files, writers[_i].how);
        wait_for_megabytes(writer, files);
        for (int i = 0; i < files; i++)
            before[i] = taken[i];
        expect_status(stop_with(writer, SIGTERM), KILLED(SIGTERM));
        wait_all_gone();
        expect(strstr(contents("log"), "\"flush\" (stop) done") != NULL, "%s", contents("log"));
        for (int i = 0; i < files; i++) {
            unsigned seen = (unsigned)atoi(contents(text("seen.lines%d", i))) / LINE;
            expect(seen >= before[i], "lines%d: %u of %u", i, seen, before[i]);
            expect_lines(text("lines%d", i));
        }
        unlink(here("log"));
    }
}
END_TEST

/* The writer stops by itself before the buffer is full: one that writes on may spend nearly all of
 * its time in write(2), where the disk is slow, and loses nothing there. */
START_TEST(without_it_megabytes_are_lost)
{
    struct process *writer = start_writer(BARE, "1", "half");
    wait_for_megabytes(writer, 1);
    expect_status(stop_with(writer, SIGTERM), KILLED(SIGTERM));
    expect(lines_in("lines0") == 0);
}
END_TEST

/* fsync is seen from outside: by strace, on the file and on what the program wrote without stdio.
 */
START_TEST(sync_has_the_files_on_disk)
{
    for (int sync = 0; sync <= 1; sync++) {
        config("hooks = ({ name = \"flush\"; plugin = \"flush\"; options = { sync = %s; }; });",
               sync ? "true" : "false");
        unlink(here("trace"));
        struct process *shell = start(
            BARE, "strace", "-f", "-y", "-e", "trace=fsync", "-o", here("trace"), "/bin/sh", "-c",
            text("cd '%s'; exec env GRACE_CONFIG='%s' LD_PRELOAD='%s' /usr/bin/python3 -c \""
                 "import os, signal\n"
                 "kept = open('raw', 'wb', buffering=0); kept.write(b'x')\n"
                 "read = open('raw')\n"
                 "os.kill(os.getpid(), signal.SIGTERM); signal.pause()\"",
                 story_directory(), here("grace.conf"), product("libgrace.so")));
        wait_end(shell);
        expect(count_of(contents("trace"), "/raw>") == (sync ? 1 : 0), "%s", contents("trace"));
    }
}
END_TEST

START_TEST(wrong_options_are_told_before_the_start)
{
    config("hooks = ({ name = \"f\"; plugin = \"flush\"; options = { %s }; });",
           _i == 0 ? "sync = \"yes\";" : "snyc = true;");
    struct process *grace = start(BARE, product("grace"), "check", here("grace.conf"));
    expect_status(wait_end(grace), EXITED(78));
    expect(strstr(contents(grace->err),
                  _i == 0 ? "expected true or false" : "plugin flush knows sync") != NULL,
           "%s", contents(grace->err));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("flush");
    TCase *group = story_case(all, "flush");
    tcase_add_loop_test(group, what_was_written_is_in_the_files_when_the_next_hook_looks, 0,
                        (int)(sizeof writers / sizeof writers[0]));
    tcase_add_test(group, without_it_megabytes_are_lost);
    tcase_add_test(group, sync_has_the_files_on_disk);
    tcase_add_loop_test(group, wrong_options_are_told_before_the_start, 0, 2);
    return all;
}
