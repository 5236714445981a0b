/*
 * Calls redirected late: in the program itself, in libraries bound at once, lazily, never yet, in
 * tables of pointers, in objects that come and go; and taken back, as it was.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../suite.h"

typedef int call(void);

/* A function of the program's own (it is exported) that merely has the name of one of libc's that
 * is redirected. */
__pid_t getpgid(__pid_t pid)
{
    return pid + 1;
}

static const char *const kinds[] = {"eager", "lazy", "noplt"};
static const char *const calls[] = {"call_directly", "call_by_constant", "call_by_variable"};
#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static void *load_as(const char *name, int flags)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/objects/%s.so", getenv("GRACE_BUILD"), name);
    void *object = dlopen(path, flags);
    ck_assert_msg(object != NULL, "%s", dlerror());
    return object;
}

static void *load(const char *kind)
{
    char name[64];
    snprintf(name, sizeof name, "caller_%s", kind);
    return load_as(name, RTLD_LAZY | RTLD_LOCAL);
}

static int result_of(void *object, const char *name)
{
    call *function = (call *)dlsym(object, name);
    ck_assert_msg(function != NULL, "%s", dlerror());
    return function();
}

static void *redirector;

static void setup(void)
{
    redirector = load_as("redirector", RTLD_NOW | RTLD_LOCAL);
}

static int apply(void)
{
    return result_of(redirector, "redirector_apply");
}

static int undo(void)
{
    return result_of(redirector, "redirector_undo");
}

static void expect_all(void *object, int expected)
{
    for (int i = 0; i < COUNT(calls); i++)
        ck_assert_msg(result_of(object, calls[i]) == expected, "%s: %d, not %d", calls[i],
                      result_of(object, calls[i]), expected);
}

START_TEST(a_library_is_redirected_and_back)
{
    void *object = load(kinds[_i]);
    expect_all(object, getpgrp());
    int group = getpgrp();
    ck_assert_int_ge(apply(), 3);
    expect_all(object, -7);
    ck_assert_int_eq(result_of(object, "call_own"), 42);
    ck_assert_int_ge(undo(), 3);
    expect_all(object, group);
    ck_assert_int_eq(undo(), 0);
}
END_TEST

START_TEST(a_call_that_was_never_made_is_redirected_and_back)
{
    void *object = load(kinds[_i]);
    apply();
    expect_all(object, -7);
    undo();
    expect_all(object, getpgrp());
}
END_TEST

START_TEST(an_object_that_is_loaded_later_is_redirected_by_the_next_call)
{
    int group = getpgrp();
    apply();
    apply();
    void *object = load(kinds[_i]);
    ck_assert_int_eq(result_of(object, "call_directly"), group);
    ck_assert_int_ge(apply(), 1);
    expect_all(object, -7);
    apply();
    ck_assert_int_eq(apply(), 0);
    undo();
    expect_all(object, group);
}
END_TEST

START_TEST(an_object_that_goes_meanwhile_is_no_trouble)
{
    void *object = load(kinds[_i]);
    apply();
    expect_all(object, -7);
    dlclose(object);
    undo();
    apply();
    object = load(kinds[_i]);
    apply();
    expect_all(object, -7);
}
END_TEST

START_TEST(the_program_itself_is_redirected_and_back)
{
    int group = _i == 0 ? getpgrp() : -1; /* the second time: never called before */
    apply();
    ck_assert_int_eq(getpgrp(), -7);
    undo();
    ck_assert_int_gt(getpgrp(), 0);
    ck_assert(group == -1 || group == getpgrp());
}
END_TEST

START_TEST(its_own_calls_and_those_of_libgrace_are_left_alone)
{
    void *object = load_as("libgrace-caller", RTLD_LAZY | RTLD_LOCAL);
    apply();
    ck_assert_int_gt(result_of(redirector, "call_directly"), 0);
    ck_assert_int_gt(result_of(object, "call_directly"), 0);
    ck_assert_int_eq(getpgrp(), -7);
}
END_TEST

/* What the program put there itself stays. */
START_TEST(memory_is_as_read_only_as_before)
{
    void *object = load("eager");
    char before[1 << 16] = "", after[1 << 16] = "";
    for (int round = 0; round < 2; round++) {
        FILE *maps = fopen("/proc/self/maps", "r");
        char *text = round == 0 ? before : after, line[512];
        size_t length = 0;
        while (fgets(line, sizeof line, maps) != NULL)
            if (strstr(line, ".so") != NULL) {
                memcpy(text + length, line, strlen(line) + 1);
                length += strlen(line);
            }
        fclose(maps);
        apply();
        expect_all(object, -7);
    }
    ck_assert_str_eq(before, after);
}
END_TEST

/* ---- while others run ---------------------------------------------------------------------- */

static atomic_bool over;

static void *call_all_the_time(void *object)
{
    call *function = (call *)dlsym(object, "call_directly");
    for (long wrong = 0;;) {
        int result = function();
        wrong += result != -7 && result <= 0;
        if (atomic_load(&over))
            return (void *)wrong;
    }
}

static void *load_all_the_time(void *unused)
{
    (void)unused;
    while (!atomic_load(&over))
        for (int i = 0; i < COUNT(kinds); i++) {
            void *object = load(kinds[i]);
            if (result_of(object, "call_directly") == 0)
                return (void *)1;
            dlclose(object);
        }
    return NULL;
}

START_TEST(threads_that_call_and_load_meanwhile_never_notice)
{
    pthread_t callers[COUNT(kinds)], loader;
    void *wrong;
    for (int i = 0; i < COUNT(kinds) - 1; i++)
        pthread_create(&callers[i], NULL, call_all_the_time, load(kinds[i]));
    pthread_create(&loader, NULL, load_all_the_time, NULL);
    for (int i = 0; i < 300; i++) {
        apply();
        undo();
    }
    atomic_store(&over, true);
    for (int i = 0; i < COUNT(kinds) - 1; i++) {
        pthread_join(callers[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    pthread_join(loader, &wrong);
    ck_assert_ptr_null(wrong);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("redirect");
    TCase *tests = tcase_create("redirect");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_loop_test(tests, a_library_is_redirected_and_back, 0, COUNT(kinds));
    tcase_add_loop_test(tests, a_call_that_was_never_made_is_redirected_and_back, 0, COUNT(kinds));
    tcase_add_loop_test(tests, an_object_that_is_loaded_later_is_redirected_by_the_next_call, 0,
                        COUNT(kinds));
    tcase_add_loop_test(tests, an_object_that_goes_meanwhile_is_no_trouble, 0, COUNT(kinds));
    tcase_add_loop_test(tests, the_program_itself_is_redirected_and_back, 0, 2);
    tcase_add_test(tests, its_own_calls_and_those_of_libgrace_are_left_alone);
    tcase_add_test(tests, memory_is_as_read_only_as_before);
    tcase_add_test(tests, threads_that_call_and_load_meanwhile_never_notice);
    suite_add_tcase(all, tests);
    return all;
}
