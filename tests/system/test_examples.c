/*
 * Each folder of examples/ can be used as it stands: its config passes `grace check`, its script
 * `run` sees what it promises, prints what the folder's README shows, and leaves nothing behind.
 */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define MISSING 77 /* a script's exit status: a program that it needs is not there */

static glob_t folders;

/* The folder's name, and that of a file in it. */
static const char *example(int i)
{
    return strrchr(folders.gl_pathv[i], '/') + 1;
}

static char *file_of(int i, const char *name)
{
    return text("%s/%s", folders.gl_pathv[i], name);
}

START_TEST(its_config_passes_grace_check)
{
    struct process *grace = start(BARE, product("grace"), "check", file_of(_i, "grace.conf"));
    expect_status(wait_end(grace), EXITED(0));
}
END_TEST

/* What README.md shows beneath "$ ./run", and what was printed: without pids and times. */
static const char compare[] =
    "plain() { sed -E 's/\\[[0-9]+\\]/[PID]/g; s/\\b[0-9.]+(ms|s)\\b/TIME/g'; }\n"
    "sed -n '/^    \\$ \\.\\/run$/,/^[^ ]/s/^    //p' \"$1\" | sed 1d | plain > shown\n"
    "plain < \"$2\" > printed\n"
    "test -s shown && diff -u shown printed\n";

/* Names and times of change of all that is in the example's folder. */
static char *state_of(int i)
{
    struct process *find = start(BARE, "find", folders.gl_pathv[i], "-printf", "%p %T@\n");
    expect_status(wait_end(find), EXITED(0));
    return contents(find->out);
}

START_TEST(it_does_what_it_says_and_leaves_nothing)
{
    expect_status(run(BARE, "mkdir", "tmp"), EXITED(0));
    environment("TMPDIR", here("tmp"));
    environment("GRACE_BUILD", product(""));
    char *before = state_of(_i);
    struct process *script = start(BARE, "bash", file_of(_i, "run"));
    if (wait_end(script) == EXITED(MISSING))
        skip("examples/%s %s", example(_i), contents(script->err));
    expect_status(script->status, EXITED(0));
    wait_all_gone();
    struct process *left = start(BARE, "ls", "-A", here("tmp"));
    expect_status(wait_end(left), EXITED(0));
    expect_text(contents(left->out), "");
    expect_text(state_of(_i), before);
    struct process *differences =
        start(BARE, "sh", "-c", compare, "sh", file_of(_i, "README.md"), script->out);
    expect(wait_end(differences) == EXITED(0), "examples/%s/README.md shows something else:\n%s",
           example(_i), contents(differences->out));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("examples");
    TCase *group = story_case(all, "examples");
    if (glob(GRACE_SOURCE "/examples/*/", 0, NULL, &folders) != 0)
        exit(2);
    for (size_t i = 0; i < folders.gl_pathc; i++) /* "…/flask/": without the last slash */
        folders.gl_pathv[i][strlen(folders.gl_pathv[i]) - 1] = '\0';
    tcase_add_loop_test(group, its_config_passes_grace_check, 0, (int)folders.gl_pathc);
    tcase_add_loop_test(group, it_does_what_it_says_and_leaves_nothing, 0, (int)folders.gl_pathc);
    return all;
}
