/*
 * The plugin `unlink` against a next instance that writes its pid file at the same moment: whatever
 * the order, that one survives.
 */
#include "../suite.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks/plugin.h"

#define SPINS 100000 /* about as long as the hook takes */

/* Above every pid: nothing runs under it. */
#define TARGET 4194305
#define NEXT   4194306

static char folder[] = "/tmp/grace-unlink-XXXXXX";
static char pid_file[64], beside[64];
static pthread_barrier_t barrier;

static void set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(pid_file, sizeof pid_file, "%s/d.pid", folder);
    snprintf(beside, sizeof beside, "%s/d.new", folder);
}

static void tear_down(void)
{
    unlink(pid_file);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else is left */
}

static void put(const char *path, int pid)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d\n", pid);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, (size_t)length), length);
    close(fd);
}

static int got(void)
{
    char text[16] = "";
    int fd = open(pid_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ck_assert_int_ge(read(fd, text, sizeof text - 1), 0);
    close(fd);
    return atoi(text);
}

/* A little later from round to round, over the time that the hook takes; and now and then until it
 * has removed the old one. */
static void wait_a_bit(unsigned round)
{
    if (round % 16 == 0)
        while (access(pid_file, F_OK) == 0)
            sched_yield();
    for (volatile unsigned i = 0; i < round * 37 % SPINS; i++)
        ;
}

static void *write_in_place(void *rounds)
{
    for (unsigned round = 0; round < *(const unsigned *)rounds; round++) {
        pthread_barrier_wait(&barrier);
        wait_a_bit(round);
        put(pid_file, NEXT);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void *replace(void *rounds)
{
    for (unsigned round = 0; round < *(const unsigned *)rounds; round++) {
        put(beside, NEXT);
        pthread_barrier_wait(&barrier);
        wait_a_bit(round);
        ck_assert_int_eq(rename(beside, pid_file), 0);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

/* The first has the narrower window. */
static const struct {
    void *(*writer)(void *);
    unsigned rounds;
} writers[] = {{write_in_place, 300}, {replace, 100}};

static int64_t remaining(void *context)
{
    (void)context;
    return 5000;
}

static void drop_line(void *context, int level, const char *text)
{
    (void)context, (void)level, (void)text;
}

static void load(struct grace_plugin *plugin)
{
    static char path[PATH_MAX];
    static struct grace_option_plan option;
    static struct grace_hook_plan plan = {
        .name = "u", .plugin = "unlink", .options = &option, .option_count = 1};
    struct grace_error error;
    const char *build = getenv("GRACE_BUILD");
    option = (struct grace_option_plan){"path", GRACE_OPTION_STRING, {.string = pid_file}, 1};
    snprintf(path, sizeof path, "%s/hooks/unlink.so", build != NULL ? build : "build");
    ck_assert_msg(grace_plugin_load(plugin, path, &plan, &error) == 0, "%s", error.text);
}

START_TEST(a_new_pid_file_survives_at_any_moment)
{
    struct grace_plugin plugin;
    struct grace_error error;
    struct grace_stop stop = {
        .size = sizeof stop, .pid = TARGET, .gone = 1, .remaining_ms = remaining, .log = drop_line};
    pthread_t thread;
    unsigned rounds = writers[_i].rounds;
    load(&plugin);
    ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, writers[_i].writer, &rounds), 0);
    for (unsigned round = 0; round < rounds; round++) {
        put(pid_file, TARGET);
        pthread_barrier_wait(&barrier);
        ck_assert_msg(plugin.hook->run(plugin.state, &stop, &error) == 0, "%s", error.text);
        pthread_barrier_wait(&barrier);
        ck_assert_msg(got() == NEXT, "round %u: %d", round, got());
        pthread_barrier_wait(&barrier);
    }
    pthread_join(thread, NULL);
    grace_plugin_release(&plugin);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("unlink");
    TCase *cases = tcase_create("unlink");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, a_new_pid_file_survives_at_any_moment, 0, 2);
    suite_add_tcase(tests, cases);
    return tests;
}
