/*
 * A program with one thread may allocate in a signal handler over malloc: libc takes no lock then.
 * It goes on getting away with it in a stop, when it has threads of libgrace's beside it.
 */
#include "harness.h"

#define KILLS 12

static const char *const settings[] = {"", "drain = { when = \"always\"; };",
                                       "deliver = { TERM = \"QUIT\"; };"};

START_TEST(its_stop_handler_allocates)
{
    for (int i = 0; i < KILLS; i++) {
        write_file("order", "%s", "");
        config("%s\nhooks = (%s, %s, %s);", settings[_i],
               hook_command("A", "phase = \"announce\";"), hook_plugin("B", ""),
               hook_command("C", ""));
        struct process *target = start(GRACED, program("allocator"));
        wait_ready(target);
        expect_status(stop_with(target, SIGTERM), EXITED(7));
        expect_order("A C B");
    }
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("put off");
    TCase *group = story_case(all, "handlers over malloc");
    tcase_add_loop_test(group, its_stop_handler_allocates, 0, sizeof settings / sizeof settings[0]);
    return all;
}
