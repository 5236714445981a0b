/* What examples/ shows can be used as it stands. */
#include <glob.h>

#include "harness.h"

START_TEST(every_config_of_the_examples_passes_grace_check)
{
    glob_t found;
    expect(glob(text("%s/*/grace.conf", source("examples")), 0, NULL, &found) == 0);
    expect(found.gl_pathc >= 3, "%zu found", found.gl_pathc);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct process *grace = start(BARE, product("grace"), "check", found.gl_pathv[i]);
        wait_end(grace);
        expect(grace->status == EXITED(0), "%s: %s", found.gl_pathv[i], contents(grace->err));
    }
    globfree(&found);
}
END_TEST

Suite *suite(void)
{
    Suite *suite = suite_create("examples");
    tcase_add_test(story_case(suite, "examples"), every_config_of_the_examples_passes_grace_check);
    return suite;
}
