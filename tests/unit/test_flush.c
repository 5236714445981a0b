/* hooks/flush_stdio.h and the plugin `flush`: what stdio holds is written, and nobody is waited
 * for. */
#include "../suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hooks/flush_stdio.h"
#include "hooks/plugin.h"

static char folder[] = "/tmp/grace-flush-XXXXXX";
static char paths[2][64];
static struct grace_flushed flushed;

static void set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int i = 0; i < 2; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%d", folder, i);
    fflush(stdout);
}

static void tear_down(void)
{
    for (int i = 0; i < 2; i++)
        unlink(paths[i]);
    rmdir(folder);
}

static long file_size(int i)
{
    struct stat status;
    ck_assert_int_eq(stat(paths[i], &status), 0);
    return (long)status.st_size;
}

static FILE *written(int i)
{
    FILE *file = fopen(paths[i], "w");
    ck_assert_ptr_nonnull(file);
    fputs("held back", file);
    ck_assert_int_eq(file_size(i), 0);
    return file;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Wait for something that must come about, for as long as a slow machine may need. */
#define eventually(condition)                                                                      \
    do {                                                                                           \
        double until = seconds() + 20;                                                             \
        while (!(condition) && seconds() < until)                                                  \
            usleep(1000);                                                                          \
        ck_assert(condition);                                                                      \
    } while (0)

START_TEST(writes_what_every_stream_holds)
{
    written(0);
    written(1);
    errno = 4711;
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 1000, &flushed);
    ck_assert_int_eq(errno, 4711);
    ck_assert_int_eq(file_size(0), 9);
    ck_assert_int_eq(file_size(1), 9);
    ck_assert_uint_eq(flushed.flushed, 2);
    ck_assert_uint_eq(flushed.skipped + flushed.stuck + flushed.failed, 0);
}
END_TEST

START_TEST(writes_more_streams_than_it_takes_at_once)
{
    FILE *files[700];
    char name[96];
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "%s/many%d", folder, i);
        files[i] = fopen(name, "w");
        ck_assert_ptr_nonnull(files[i]);
        unlink(name);
        fputs("held back", files[i]);
    }
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 1000, &flushed);
    ck_assert_uint_eq(flushed.flushed, 700);
    for (int i = 0; i < 700; i++) {
        struct stat status;
        ck_assert_int_eq(fstat(fileno(files[i]), &status), 0);
        ck_assert_int_eq(status.st_size, 9);
    }
}
END_TEST

START_TEST(leaves_input_as_it_is)
{
    FILE *file = written(0);
    fputs("\nsecond line\n", file);
    fclose(file);
    char line[64];
    file = fopen(paths[0], "r");
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    off_t offset = lseek(fileno(file), 0, SEEK_CUR);
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 1000, &flushed);
    ck_assert_int_eq(lseek(fileno(file), 0, SEEK_CUR), offset);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    ck_assert_str_eq(line, "second line\n");
    ck_assert_uint_eq(flushed.flushed, 0);
}
END_TEST

static atomic_int stage;

static void *hold(void *file)
{
    flockfile(file);
    atomic_store(&stage, 1);
    while (atomic_load(&stage) == 1)
        usleep(1000);
    funlockfile(file);
    return NULL;
}

START_TEST(passes_over_a_stream_that_another_thread_holds)
{
    pthread_t thread;
    FILE *held = written(0);
    written(1);
    ck_assert_int_eq(pthread_create(&thread, NULL, hold, held), 0);
    eventually(atomic_load(&stage) == 1);
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 1000, &flushed);
    ck_assert_int_eq(file_size(0), 0);
    ck_assert_int_eq(file_size(1), 9);
    ck_assert_uint_eq(flushed.flushed, 1);
    ck_assert_uint_eq(flushed.skipped, 1);
}
END_TEST

/* Until the other stream is written, and longer than nobody asked for. */
static void *hold_for_a_while(void *file)
{
    flockfile(file);
    atomic_store(&stage, 1);
    while (file_size(1) != 9)
        usleep(1000);
    usleep(2 * GRACE_FLUSH_BUSY_MS * 1000);
    funlockfile(file);
    return NULL;
}

START_TEST(waits_as_long_as_asked_for_a_stream_in_use)
{
    pthread_t thread;
    FILE *held = written(0);
    written(1);
    ck_assert_int_eq(pthread_create(&thread, NULL, hold_for_a_while, held), 0);
    eventually(atomic_load(&stage) == 1);
    grace_flush_stdio(100000, 100000, &flushed);
    ck_assert_int_eq(file_size(0), 9);
    ck_assert_uint_eq(flushed.flushed, 2);
    ck_assert_uint_eq(flushed.skipped, 0);
    pthread_join(thread, NULL);
}
END_TEST

/* As a thread inside fflush(NULL) does. */
extern void _IO_list_lock(void);
extern void _IO_list_unlock(void);

static void *hold_list(void *unused)
{
    _IO_list_lock();
    atomic_store(&stage, 1);
    while (atomic_load(&stage) == 1)
        usleep(1000);
    _IO_list_unlock();
    return unused;
}

static void *flush_all(void *unused)
{
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 1000, &flushed);
    return unused;
}

START_TEST(writes_stdout_before_it_waits_for_the_list)
{
    pthread_t holder, flusher;
    FILE *file = written(0);
    written(1);
    ck_assert_int_ge(dup2(fileno(file), STDOUT_FILENO), 0);
    fputs("from stdout", stdout);
    ck_assert_int_eq(pthread_create(&holder, NULL, hold_list, NULL), 0);
    eventually(atomic_load(&stage) == 1);
    ck_assert_int_eq(pthread_create(&flusher, NULL, flush_all, NULL), 0);
    eventually(file_size(0) == 11);
    ck_assert_int_eq(file_size(1), 0);
    atomic_store(&stage, 2);
    pthread_join(flusher, NULL);
    ck_assert_int_eq(file_size(0), 20);
    ck_assert_int_eq(file_size(1), 9);
    ck_assert_uint_eq(flushed.flushed, 3);
    pthread_join(holder, NULL);
}
END_TEST

START_TEST(does_not_wait_for_a_reader)
{
    int ends[2];
    char bytes[4096] = {0};
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    while (write(ends[1], bytes, sizeof bytes) > 0)
        continue;
    fcntl(ends[1], F_SETFL, 0);
    FILE *pipe_stream = fdopen(ends[1], "w");
    fputs("held back", pipe_stream);
    written(0);
    double begin = seconds();
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 300, &flushed);
    double took = seconds() - begin;
    ck_assert_msg(took > 0.2 && took < 5, "%f", took);
    ck_assert_uint_eq(flushed.stuck, 1);
    signal(SIGPIPE, SIG_IGN); /* exit() would wait for the reader */
    close(ends[0]);
    ck_assert_uint_eq(flushed.flushed, 1);
    ck_assert_int_eq(file_size(0), 9);
}
END_TEST

START_TEST(survives_a_reader_that_is_gone)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    FILE *pipe_stream = fdopen(ends[1], "w");
    fputs("held back", pipe_stream);
    close(ends[0]);
    grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 300, &flushed);
    ck_assert_uint_eq(flushed.failed, 1);
}
END_TEST

static atomic_bool enough;

static void *open_and_close(void *path)
{
    while (!atomic_load(&enough)) {
        FILE *file = fopen(path, "w");
        if (file == NULL)
            return (void *)1;
        fputs("held back", file);
        sched_yield(); /* so that it is seen with something in it */
        fclose(file);
    }
    return NULL;
}

START_TEST(streams_may_be_closed_meanwhile)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_close, paths[i]), 0);
    unsigned total = 0;
    for (int i = 0; i < 20000; i++) {
        grace_flush_stdio(GRACE_FLUSH_BUSY_MS, 1000, &flushed);
        total += flushed.flushed;
    }
    atomic_store(&enough, true);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_uint_gt(total, 0);
}
END_TEST

/* ---- the plugin ----------------------------------------------------------------------------- */

static int64_t remaining(void *context)
{
    (void)context;
    return 1000;
}

START_TEST(the_plugin_flushes_syncs_and_tells)
{
    char path[PATH_MAX];
    const char *build = getenv("GRACE_BUILD");
    snprintf(path, sizeof path, "%s/hooks/flush.so", build != NULL ? build : "build");
    const struct grace_option_plan option = {
        .name = "sync", .type = GRACE_OPTION_BOOL, .value = {.boolean = true}, .line = 1};
    struct grace_hook_plan plan = {
        .name = "flush", .plugin = "flush", .options = &option, .option_count = 1};
    struct grace_error error;
    struct grace_plugin plugin;
    struct grace_stop stop = {.size = sizeof stop, .remaining_ms = remaining};
    ck_assert_msg(grace_plugin_load(&plugin, path, &plan, &error) == 0, "%s", error.text);

    FILE *held = written(0);
    written(1);
    ck_assert_msg(plugin.hook->run(plugin.state, &stop, &error) == 0, "%s", error.text);
    ck_assert_int_eq(file_size(0), 9);

    pthread_t thread;
    fputs("more", held);
    ck_assert_int_eq(pthread_create(&thread, NULL, hold, held), 0);
    eventually(atomic_load(&stage) == 1);
    ck_assert_int_eq(plugin.hook->run(plugin.state, &stop, &error), -1);
    ck_assert_str_eq(error.text, "0 streams flushed, 1 not: 1 in use by another thread, 0 whose "
                                 "reader does not read, 0 that cannot be written");
    grace_plugin_release(&plugin);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("flush");
    TCase *cases = tcase_create("flush");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, writes_what_every_stream_holds);
    tcase_add_test(cases, writes_more_streams_than_it_takes_at_once);
    tcase_add_test(cases, leaves_input_as_it_is);
    tcase_add_test(cases, passes_over_a_stream_that_another_thread_holds);
    tcase_add_test(cases, waits_as_long_as_asked_for_a_stream_in_use);
    tcase_add_test(cases, writes_stdout_before_it_waits_for_the_list);
    tcase_add_test(cases, does_not_wait_for_a_reader);
    tcase_add_test(cases, survives_a_reader_that_is_gone);
    tcase_add_test(cases, streams_may_be_closed_meanwhile);
    tcase_add_test(cases, the_plugin_flushes_syncs_and_tells);
    suite_add_tcase(tests, cases);
    return tests;
}
