/* Whatever stands at a config's path, reading it ends, in time, with a plan or a problem. */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/plan.h"
#include "tests/suite.h"

static char folder[] = "/tmp/grace-config-XXXXXX";
static struct grace_problems problems;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    problems = GRACE_PROBLEMS_EMPTY;
}

static void teardown(void)
{
    char command[64];
    grace_problems_free(&problems);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void write_bytes(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
}

static void write_file(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

static void assert_problem(const char *file, unsigned line, const char *fragment)
{
    for (size_t i = 0; i < problems.count; i++)
        if (strcmp(problems.list[i].file, file) == 0 && problems.list[i].line == line &&
            strstr(problems.list[i].text, fragment) != NULL)
            return;
    for (size_t i = 0; i < problems.count; i++)
        printf("    %s:%u: %s\n", problems.list[i].file, problems.list[i].line,
               problems.list[i].text);
    ck_abort_msg("no problem at %s:%u says: %s", file, line, fragment);
}

/* Reading fails with exactly this one problem. */
static void assert_refused(const char *path, const char *file, unsigned line, const char *fragment)
{
    ck_assert_ptr_null(grace_plan_read(path, &problems));
    assert_problem(file, line, fragment);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_uint_eq(problems.fatal, 1);
    grace_problems_free(&problems);
}

static struct grace_plan *assert_read(const char *path)
{
    struct grace_plan *plan = grace_plan_read(path, &problems);
    for (size_t i = 0; i < problems.count; i++)
        printf("    %s:%u: %s\n", problems.list[i].file, problems.list[i].line,
               problems.list[i].text);
    ck_assert_ptr_nonnull(plan);
    ck_assert_uint_eq(problems.count, 0);
    return plan;
}

/* ---- what stands at the path ---------------------------------------------------------------- */

START_TEST(only_a_regular_file_is_read)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    ck_assert_int_eq(symlink("loop", "loop"), 0);
    assert_refused("fifo", "fifo", 0, "it is a FIFO or pipe; expected a regular file");
    assert_refused("socket", "socket", 0, "cannot open it: No such device or address");
    assert_refused(".", ".", 0, "it is a directory");
    assert_refused("/dev/zero", "/dev/zero", 0, "it is a device");
    assert_refused("/dev/tty0", "/dev/tty0", 0, "");
    assert_refused("loop", "loop", 0, "Too many levels of symbolic links");
    assert_refused("none", "none", 0, "cannot open it: No such file or directory");
    assert_refused("", "", 0, "cannot open it: No such file or directory");
    write_file("file", "");
    assert_refused("file/x", "file/x", 0, "Not a directory");
    char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_refused(longest, longest, 0, "File name too long");
    close(fd);
}
END_TEST

START_TEST(a_file_without_permission_is_said)
{
    write_file("secret", "");
    ck_assert_int_eq(chmod("secret", 0), 0);
    ck_assert_int_eq(chmod(".", 0755), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    assert_refused("secret", "secret", 0, "cannot open it: Permission denied");
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(a_file_that_is_too_large_is_refused)
{
    char *text = malloc(1024 * 1024 + 1);
    memset(text, '\n', 1024 * 1024 + 1);
    write_bytes("exact", text, 1024 * 1024);
    grace_plan_free(assert_read("exact"));
    write_bytes("above", text, 1024 * 1024 + 1);
    assert_refused("above", "above", 0, "it is larger than 1048576 bytes, too large for a config");
    int fd = open("sparse", O_CREAT | O_WRONLY, 0600);
    ck_assert_int_eq(ftruncate(fd, (off_t)1 << 40), 0);
    close(fd);
    assert_refused("sparse", "sparse", 0, "too large for a config");
    ck_assert_ptr_null(grace_plan_parse(text, 1024 * 1024 + 1, "memory", &problems));
    assert_problem("memory", 0, "too large for a config");
    free(text);
}
END_TEST

START_TEST(a_file_that_is_no_text_is_refused)
{
    write_bytes("zero", "deadline = \"3s\";\n# a\0b\n", 23);
    assert_refused("zero", "zero", 2, "a zero byte; expected a text file");
    write_bytes("string", "\n\npidfile = \"/a\0b\";", 19);
    assert_refused("string", "string", 3, "a zero byte; expected a text file");
    write_bytes("end", "\0", 1);
    assert_refused("end", "end", 1, "a zero byte; expected a text file");
}
END_TEST

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

START_TEST(no_descriptor_stays_open_and_nothing_is_printed)
{
    static const char *const texts[] = {
        "deadline = \"3s\";",
        "???",
        "@include \"other\"\n",
        "@include \"none\"\n",
        "@include \"config\"\n",
        "@include \"bad\"\n",
        "x = \"",
        "x = { ",
    };
    int before = open_descriptors();
    int out = open("output", O_CREAT | O_RDWR, 0600), kept_out = dup(1), kept_err = dup(2);
    write_file("other", "enforce = true;");
    write_file("bad", "enforce = ;");
    fflush(NULL);
    dup2(out, 1);
    dup2(out, 2);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_file("config", texts[i]);
        grace_plan_free(grace_plan_read("config", &problems));
    }
    grace_plan_free(grace_plan_read(".", &problems));
    fflush(NULL);
    dup2(kept_out, 1);
    dup2(kept_err, 2);
    off_t printed = lseek(out, 0, SEEK_END);
    close(out);
    close(kept_out);
    close(kept_err);
    ck_assert_int_eq(printed, 0);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* ---- texts made to hurt --------------------------------------------------------------------- */

static char *repeat(const char *before, const char *part, size_t count, const char *after)
{
    size_t length = strlen(part);
    char *text = malloc(strlen(before) + length * count + strlen(after) + 1), *to = text;
    to = stpcpy(to, before);
    for (size_t i = 0; i < count; i++)
        to = mempcpy(to, part, length);
    strcpy(to, after);
    return text;
}

static void assert_hurts_nobody(char *text, unsigned line, const char *fragment)
{
    problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_parse(text, strlen(text), "t", &problems);
    ck_assert_ptr_null(plan);
    assert_problem("t", line, fragment);
    grace_problems_free(&problems);
    free(text);
}

START_TEST(deep_nesting_is_refused)
{
    assert_hurts_nobody(repeat("", "a={", 100000, ""), 1, "brackets are nested deeper than 32");
    assert_hurts_nobody(repeat("a=", "(", 1000000, ""), 1, "brackets are nested deeper than 32");
    assert_hurts_nobody(repeat("a=", "[", 1000000, ""), 1, "brackets are nested deeper than 32");
    assert_hurts_nobody(repeat("", "}", 1000000, ""), 1, "this } closes nothing");
}
END_TEST

START_TEST(hooks_without_end_are_refused)
{
    assert_hurts_nobody(repeat("hooks=(", "{},", 340000, "{});"), 1,
                        "340001 hooks are too many; expected 16384 at most");
    assert_hurts_nobody(repeat("hooks=(", "{},", 16383, "{});"), 1, "hook 1: it has no name");
}
END_TEST

START_TEST(the_most_hooks_that_are_allowed_are_read)
{
    char *text = malloc(1024 * 1024), *to = stpcpy(text, "hooks=(");
    for (int i = 0; i < GRACE_HOOKS_MAX; i++)
        to += sprintf(to, "%s{name=\"h%d\";plugin=\"p\";user=\"nobody\";}", i == 0 ? "" : ",\n", i);
    strcpy(to, ");");
    struct grace_plan *plan = grace_plan_parse(text, strlen(text), "t", &problems);
    ck_assert_ptr_nonnull(plan);
    ck_assert_uint_eq(plan->hook_count, GRACE_HOOKS_MAX);
    ck_assert_uint_eq(plan->order[0], GRACE_HOOKS_MAX - 1);
    ck_assert_str_eq(plan->hooks[plan->order[0]].name, "h16383");
    ck_assert_uint_eq(plan->hooks[GRACE_HOOKS_MAX - 1].line, GRACE_HOOKS_MAX);
    grace_plan_free(plan);
    free(text);
}
END_TEST

START_TEST(long_series_and_strings_are_read_or_refused_in_time)
{
    char *keys = malloc(1024 * 1024), *to = keys;
    for (int i = 0; i < 100000; i++)
        to += sprintf(to, "k%d=1;", i);
    assert_hurts_nobody(keys, 1, "more than 256 settings in one group");
    assert_hurts_nobody(repeat("signals = [", "\"TERM\",", 140000, "\"X\"];"), 1,
                        "unknown signal \"X\"");
    assert_hurts_nobody(repeat("end = [", "1,", 500000, "1];"), 1, "end: expected");
    assert_hurts_nobody(repeat("end = ", "\"\\n\" ", 200000, ";"), 1, "end: expected");
    assert_hurts_nobody(repeat("end = \"", "\\\\", 500000, "\";"), 1, "end: expected");
    assert_hurts_nobody(
        repeat("hooks = ( { name = \"a\"; command = [\"", "x", 1000000, "\"]; timeout = 1; } );"),
        1, "timeout: a duration needs");
    assert_hurts_nobody(repeat("hooks = ( { name = \"", "a", 1000000, "\"; plugin = \"p\"; } );"),
                        1, "1 to 64 bytes");
    assert_hurts_nobody(repeat("", "k", 1000000, " = 1;"), 1, "unknown key \"kkkk");
    assert_hurts_nobody(repeat("end = ", "9", 1000000, ";"), 1, "does not fit into 64 bits");
    assert_hurts_nobody(repeat("end = ", "1.", 500000, ";"), 1, "syntax error");
    assert_hurts_nobody(repeat("", "/**/", 250000, "?"), 1, "syntax error");
    assert_hurts_nobody(repeat("", "\n", 1000000, "?"), 1000001, "syntax error");
    assert_hurts_nobody(repeat("", "@include \"/\"\n", 80000, ""), 1, "cannot include");
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) /* which needs terabytes of address space itself */
START_TEST(short_memory_is_a_problem_and_not_the_end)
{
    char *text = repeat("end = [", "1,", 500000, "1];");
    struct rlimit unlimited, limit;
    unsigned long pages = 0, inside = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &unlimited), 0);

    /* From almost nothing to almost enough: it falls short in another place each time. */
    for (unsigned long extra = 0; extra < 48; extra++) {
        limit = unlimited;
        limit.rlim_cur = pages * 4096 + extra * sizeof(void *) * 128 * 1024;
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
        if (extra == 0 &&
            mmap(NULL, 1 << 24, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            skip("a limit on memory is not kept here (RLIMIT_AS)");
        problems = GRACE_PROBLEMS_EMPTY;
        struct grace_plan *plan = grace_plan_parse(text, strlen(text), "t", &problems);
        setrlimit(RLIMIT_AS, &unlimited);
        ck_assert_ptr_null(plan);
        ck_assert_uint_eq(problems.fatal, 1);
        ck_assert_uint_eq(problems.count + problems.lost, 1);
        if (problems.count > 0)
            assert_problem("t", 0, "memory is short");
        inside += problems.count > 0 && strstr(problems.list[0].text, "cannot be read:") != NULL;
        grace_problems_free(&problems);
    }
    ck_assert_uint_gt(inside, 30); /* most of them within libconfig */
    free(text);
    grace_plan_free(grace_plan_parse("", 0, "t", &problems));
    ck_assert_uint_eq(problems.count, 0);
}
END_TEST
#endif

/* ---- includes and relative paths ------------------------------------------------------------ */

START_TEST(an_included_file_is_read_from_the_folder_of_the_config)
{
    ck_assert_int_eq(mkdir("conf", 0755), 0);
    write_file("conf/main.conf",
               "# one\n@include \"log.conf\"\nhooks = (\n"
               "  @include \"hooks.conf\"\n  ,\n  { name = \"z\"; plugin = \"p\"; } );\n");
    write_file("conf/log.conf", "log = { level = \"debug\"; };");
    write_file("conf/hooks.conf", "\n{ name = \"a\"; plugin = \"p\"; }");
    struct grace_plan *plan = assert_read("conf/main.conf");
    char expected[64];
    snprintf(expected, sizeof expected, "%s/conf/main.conf", folder);
    ck_assert_str_eq(plan->file, expected);
    ck_assert_str_eq(plan->name, "conf/main.conf");
    ck_assert_int_eq(plan->log.level, GRACE_LOG_DEBUG);
    ck_assert_uint_eq(plan->hook_count, 2);
    ck_assert_str_eq(plan->hooks[0].file, "conf/hooks.conf");
    ck_assert_uint_eq(plan->hooks[0].line, 2);
    ck_assert_str_eq(plan->hooks[1].file, "conf/main.conf");
    ck_assert_uint_eq(plan->hooks[1].line, 6);
    grace_plan_free(plan);
}
END_TEST

START_TEST(problems_of_an_included_file_have_its_name)
{
    char absolute[64];
    snprintf(absolute, sizeof absolute, "%s/b.conf", folder);
    write_file("a.conf", "\nenforce = 1;\n@include \"b.conf\"\nend = 300;");
    write_file("b.conf", "\n\nguardian = 1;");
    ck_assert_ptr_null(grace_plan_read("a.conf", &problems));
    ck_assert_uint_eq(problems.count, 3);
    assert_problem("a.conf", 2, "enforce:");
    assert_problem("b.conf", 3, "guardian:");
    assert_problem("a.conf", 4, "end:");
    grace_problems_free(&problems);

    write_file("b.conf", "\n\nguardian = ;");
    assert_refused("a.conf", "b.conf", 3, "syntax error");
    write_file("b.conf", "x = (\n");
    assert_refused("a.conf", "b.conf", 1, "the ( that opens here is never closed");
    write_file("b.conf", "enforce = true;");
    assert_refused("a.conf", "b.conf", 1, "twice in the same group");

    char text[128];
    snprintf(text, sizeof text, "@include \"%s\"\n", absolute);
    write_file("a.conf", text);
    grace_plan_free(assert_read("a.conf"));
    write_file("b.conf", "end = 300;");
    assert_refused("a.conf", absolute, 1, "end:");
}
END_TEST

START_TEST(what_cannot_be_included_is_said_at_the_include)
{
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    ck_assert_int_eq(mkdir("dir", 0755), 0);
    write_file("a.conf", "\n@include \"none\"\n");
    assert_refused("a.conf", "a.conf", 2, "cannot include \"none\": cannot open it: No such file");
    write_file("a.conf", "\n@include \"dir\"\n");
    assert_refused("a.conf", "a.conf", 2, "cannot include \"dir\": it is a directory");
    write_file("a.conf", "\n@include \"fifo\"\n");
    assert_refused("a.conf", "a.conf", 2, "cannot include \"fifo\": it is a FIFO");
    write_file("a.conf", "\n@include \"/dev/zero\"\n");
    assert_refused("a.conf", "a.conf", 2, "it is a device");
    write_file("a.conf", "\n@include \"\"\n");
    assert_refused("a.conf", "a.conf", 2, "cannot include \"\"");
}
END_TEST

START_TEST(includes_that_never_end_are_refused)
{
    write_file("a.conf", "@include \"a.conf\"\n");
    assert_refused("a.conf", "a.conf", 1, "cannot include \"a.conf\": it includes itself");
    write_file("a.conf", "@include \"b.conf\"\n");
    write_file("b.conf", "\n@include \"./a.conf\"\n");
    assert_refused("a.conf", "b.conf", 2, "cannot include \"./a.conf\": it includes itself");
    write_file("b.conf", "\n@include \"c.conf\"\n");
    write_file("c.conf", "\n\n@include \"b.conf\"\n");
    assert_refused("a.conf", "c.conf", 3, "it includes itself");

    for (int i = 0; i < 20; i++) {
        char name[16], text[32];
        snprintf(name, sizeof name, "n%d", i);
        snprintf(text, sizeof text, "@include \"n%d\"\n", i + 1);
        write_file(name, text);
    }
    assert_refused("n0", "n10", 1, "include file nesting too deep");

    write_file("empty", "");
    char *text = repeat("", "@include \"empty\"\n", 64, "");
    write_file("a.conf", text);
    free(text);
    grace_plan_free(assert_read("a.conf"));
    text = repeat("", "@include \"empty\"\n", 65, "");
    write_file("a.conf", text);
    free(text);
    assert_refused("a.conf", "a.conf", 65, "too many files are included");

    text = repeat("", "#3456789012345678901234567890123\n", 10000, "");
    write_file("large", text);
    free(text);
    write_file("a.conf", "@include \"large\"\n@include \"large\"\n@include \"large\"\n"
                         "@include \"large\"\n");
    assert_refused("a.conf", "a.conf", 4, "with it the config is larger than 1048576 bytes in all");
}
END_TEST

START_TEST(relative_paths_start_at_the_folder_of_the_config)
{
    char expected[64];
    ck_assert_int_eq(mkdir("conf", 0755), 0);
    write_file("conf/a.conf",
               "hooks = ( { name = \"a\"; command = [\"./bin/x\", \"./y\"]; },\n"
               "{ name = \"b\"; plugin = \"hooks/p.so\"; }, { name = \"c\"; command = [\"x\"]; },\n"
               "{ name = \"d\"; plugin = \"/p.so\"; }, { name = \"e\"; plugin = \"p\"; } );");
    struct grace_plan *plan = assert_read("./conf/a.conf");
    snprintf(expected, sizeof expected, "%s/conf/bin/x", folder);
    ck_assert_str_eq(plan->hooks[0].command[0], expected);
    ck_assert_str_eq(plan->hooks[0].command[1], "./y");
    snprintf(expected, sizeof expected, "%s/conf/hooks/p.so", folder);
    ck_assert_str_eq(plan->hooks[1].plugin, expected);
    ck_assert_str_eq(plan->hooks[2].command[0], "x");
    ck_assert_str_eq(plan->hooks[3].plugin, "/p.so");
    ck_assert_str_eq(plan->hooks[4].plugin, "p");
    grace_plan_free(plan);
    ck_assert_int_eq(chdir("conf"), 0);
    plan = assert_read("a.conf");
    snprintf(expected, sizeof expected, "%s/conf/a.conf", folder);
    ck_assert_str_eq(plan->file, expected);
    grace_plan_free(plan);
}
END_TEST

START_TEST(the_config_that_the_variable_names_comes_first)
{
    char path[64];
    ck_assert_int_eq(grace_plan_find("x/none.conf", "p", path, sizeof path), 1);
    ck_assert_str_eq(path, "x/none.conf");
    ck_assert_int_eq(grace_plan_find("x/none.conf", "p", path, 11), -36 /* -ENAMETOOLONG */);
    if (access("/etc/grace", F_OK) != 0) {
        ck_assert_int_eq(grace_plan_find(NULL, "p", path, sizeof path), 0);
        ck_assert_int_eq(grace_plan_find("", "p", path, sizeof path), 0);
    }
    ck_assert_int_eq(grace_plan_find(NULL, "p", path, 5), -36);
}
END_TEST

START_TEST(the_sample_config_is_right)
{
    struct grace_plan *plan = assert_read(GRACE_SOURCE "/config/grace.conf.example");
    ck_assert_uint_eq(plan->hook_count, 4);
    ck_assert_int_eq(plan->deliver[15], 3);
    grace_plan_review(plan, &problems);
    ck_assert_uint_eq(problems.count, 0);
    grace_plan_free(plan);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("config input");
    TCase *c = tcase_create("input");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, only_a_regular_file_is_read);
    tcase_add_test(c, a_file_without_permission_is_said);
    tcase_add_test(c, a_file_that_is_too_large_is_refused);
    tcase_add_test(c, a_file_that_is_no_text_is_refused);
    tcase_add_test(c, no_descriptor_stays_open_and_nothing_is_printed);
    tcase_add_test(c, deep_nesting_is_refused);
    tcase_add_test(c, hooks_without_end_are_refused);
    tcase_add_test(c, the_most_hooks_that_are_allowed_are_read);
    tcase_add_test(c, long_series_and_strings_are_read_or_refused_in_time);
#if !defined(__SANITIZE_ADDRESS__)
    tcase_add_test(c, short_memory_is_a_problem_and_not_the_end);
#endif
    tcase_add_test(c, an_included_file_is_read_from_the_folder_of_the_config);
    tcase_add_test(c, problems_of_an_included_file_have_its_name);
    tcase_add_test(c, what_cannot_be_included_is_said_at_the_include);
    tcase_add_test(c, includes_that_never_end_are_refused);
    tcase_add_test(c, relative_paths_start_at_the_folder_of_the_config);
    tcase_add_test(c, the_config_that_the_variable_names_comes_first);
    tcase_add_test(c, the_sample_config_is_right);
    suite_add_tcase(s, c);
    return s;
}
