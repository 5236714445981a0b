/* hooks/plugin.h, hooks/hook.h: finding, recognising, loading and configuring plugins. */
#include "../suite.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/hook.h"
#include "hooks/log.h"
#include "hooks/plugin.h"

extern char **environ;

static struct grace_error error;
static char path[PATH_MAX];

/* A file of the build under test. */
static const char *built(const char *name)
{
    static char buffer[4][PATH_MAX];
    static unsigned turn;
    const char *folder = getenv("GRACE_BUILD");
    char *result = buffer[turn++ % 4];
    snprintf(result, PATH_MAX, "%s/%s", folder != NULL ? folder : "build", name);
    return result;
}

/* ---- finding ------------------------------------------------------------------------------- */

static void make_file(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

START_TEST(finds_plugins_beside_libgrace_and_the_command)
{
    char folder[] = "/tmp/grace-plugin-XXXXXX", origin[64], expected[128], command[256];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    const char *const places[] = {"bin/hooks", "bin/grace/hooks",
                                  "bin/../lib/" GRACE_MULTIARCH "/grace/hooks"};
    snprintf(origin, sizeof origin, "%s/bin", folder);
    for (size_t i = 3; i-- > 0;) {
        snprintf(command, sizeof command, "mkdir -p %s/bin && mkdir -p %s/%s", folder, folder,
                 places[i]);
        ck_assert_int_eq(system(command), 0);
        snprintf(expected, sizeof expected, "%s/%s/some.so", folder, places[i]);
        make_file(expected);
        ck_assert_int_eq(grace_plugin_find(origin, "some", path, sizeof path, &error), 0);
        ck_assert_str_eq(path, expected);
    }
    ck_assert_int_eq(grace_plugin_find("/nowhere", expected, path, sizeof path, &error), 0);
    ck_assert_str_eq(path, expected);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(says_where_it_looked)
{
    ck_assert_int_eq(grace_plugin_find("/nowhere", "some", path, sizeof path, &error), -1);
    ck_assert_msg(strstr(error.text, "no some.so in /nowhere/hooks, /nowhere/grace/hooks") != NULL,
                  "%s", error.text);
    ck_assert_int_eq(grace_plugin_find("/nowhere", "./some.so", path, sizeof path, &error), -1);
    ck_assert_str_eq(error.text, "plugin ./some.so not found");
    static char longer[600];
    memset(longer, 'x', sizeof longer - 1);
    ck_assert_int_eq(grace_plugin_find(longer, longer, path, sizeof path, &error), -1);
    longer[0] = '/';
    ck_assert_int_eq(grace_plugin_find("/", longer, path, 100, &error), -1);
}
END_TEST

/* ---- recognising --------------------------------------------------------------------------- */

static const struct {
    const char *file;
    const char *words; /* NULL: fine */
    uint32_t flags;
} files[] = {
    {"hooks/flush.so", NULL, GRACE_HOOK_IN_PROCESS},
    {"tests/hooks/unit_kinds.so", NULL, GRACE_HOOK_IN_PROCESS},
    {"tests/hooks/unit_external.so", NULL, GRACE_HOOK_EXTERNAL},
    {"tests/hooks/story_throw.so", NULL, GRACE_HOOK_IN_PROCESS},
    {"tests/hooks/unit_other_abi.so", "is built for plugin ABI 2; this libgrace has 1", 0},
    {"tests/hooks/unit_no_constant.so", "no initialised constant", 0},
    {"tests/hooks/unit_no_hook.so", "exports no `grace_hook`", 0},
    {"tests/hooks/absent.so", "cannot open plugin", 0},
    {"obj/hooks/text.o", "no shared object", 0},
    {"tests/hooks", "no regular file", 0},
};

START_TEST(knows_a_plugin_without_loading_it)
{
    uint32_t flags = 99;
#if !defined(__x86_64__) /* cross-built */
    if (strcmp(files[_i].file, "tests/hooks/story_throw.so") == 0)
        skip("%s is in C++, which is built for this machine's own architecture only",
             files[_i].file);
#endif
    int result = grace_plugin_peek(built(files[_i].file), &flags, &error);
    if (files[_i].words == NULL) {
        ck_assert_msg(result == 0, "%s", error.text);
        ck_assert_uint_eq(flags, files[_i].flags);
    } else {
        ck_assert_int_eq(result, -1);
        ck_assert_msg(strstr(error.text, files[_i].words) != NULL, "%s", error.text);
    }
}
END_TEST

struct image {
    unsigned char *bytes;
    size_t size;
};

static struct image read_image(const char *file)
{
    struct image image;
    struct stat status;
    int fd = open(file, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    image.size = (size_t)status.st_size;
    image.bytes = malloc(image.size);
    ck_assert_int_eq(read(fd, image.bytes, image.size), (ssize_t)image.size);
    close(fd);
    return image;
}

static int peek_image(const struct image *image, size_t size, uint32_t *flags)
{
    char memory[64];
    int fd = memfd_create("plugin", 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, image->bytes, size), (ssize_t)size);
    snprintf(memory, sizeof memory, "/proc/self/fd/%d", fd);
    int result = grace_plugin_peek(memory, flags, &error);
    close(fd);
    return result;
}

/* Old linkers wrote DT_HASH only. */
START_TEST(knows_a_plugin_by_either_hash_table)
{
    const char *const styles[] = {"sysv", "gnu", "both"};
    char command[PATH_MAX], file[] = "/tmp/grace-hash-XXXXXX";
    uint32_t flags = 99;
    int fd = mkstemp(file);
    close(fd);
    snprintf(command, sizeof command,
             GRACE_CC " -shared -fPIC -s -Wl,--hash-style=%s -Ihooks -o %s "
                      "tests/programs/hooks/unit_external.c",
             styles[_i], file);
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(grace_plugin_peek(file, &flags, &error) == 0, "%s", error.text);
    ck_assert_uint_eq(flags, GRACE_HOOK_EXTERNAL);
    struct image image = read_image(file);
    uint32_t seed = 1;
    for (int i = 0; i < 500; i++) {
        seed = seed * 1664525 + 1013904223;
        image.bytes[(seed >> 8) % image.size] ^= (unsigned char)(1u << (seed & 7));
        peek_image(&image, image.size, &flags);
    }
    free(image.bytes);
    unlink(file);
}
END_TEST

START_TEST(a_short_file_is_refused_at_every_length)
{
    struct image image = read_image(built("tests/hooks/unit_external.so"));
    uint32_t flags;
    ck_assert_int_eq(peek_image(&image, image.size, &flags), 0);
    for (size_t size = 0; size < image.size; size += size < 1024 ? 1 : 127)
        if (peek_image(&image, size, &flags) != 0)
            ck_assert_uint_gt(strlen(error.text), 10);
    ck_assert_int_eq(peek_image(&image, 0, &flags), -1);
    ck_assert_int_eq(peek_image(&image, 64, &flags), -1);
    free(image.bytes);
}
END_TEST

/* Whatever is in the file: an answer, no crash, no endless loop. Sanitizers see the rest. */
START_TEST(hostile_files_do_no_harm)
{
    static const unsigned char values[] = {0x00, 0xff, 0x7f, 0x80, 0x01, 0xfe};
    struct image good = read_image(built("tests/hooks/unit_external.so"));
    struct image bad = {malloc(good.size), good.size};
    uint32_t flags, seed = 20260101;
    for (int round = 0; round < 6000; round++) {
        memcpy(bad.bytes, good.bytes, good.size);
        for (int i = 0; i < 1 + round % 8; i++) {
            seed = seed * 1664525 + 1013904223;
            /* Half of the changes into the headers, where they matter most. */
            size_t limit = seed & 0x100 ? 1024 : good.size;
            size_t at = (seed >> 9) % limit;
            size_t run = seed & 0x200 ? 1 : 8;
            for (size_t k = at; k < at + run && k < good.size; k++)
                bad.bytes[k] = values[(seed >> 3) % sizeof values];
        }
        peek_image(&bad, bad.size, &flags);
    }
    free(good.bytes);
    free(bad.bytes);
}
END_TEST

/* ---- options ------------------------------------------------------------------------------- */

#define STRING(name, text)                                                                         \
    {                                                                                              \
        name, GRACE_OPTION_STRING, {.string = (text)}, 7                                           \
    }

static const char *const words[] = {"a", "b", NULL};

static const struct {
    struct grace_option_plan options[7];
    size_t count;
    const char *expected; /* what run() tells, or the error of the load */
    bool fails;
} configs[] = {
    {{{NULL}}, 0, "none -1 -1.50 -1 -1 given=0", false},
    {{STRING("string", "x"),
      {"int", GRACE_OPTION_INT, {.integer = INT64_MIN}, 1},
      {"float", GRACE_OPTION_FLOAT, {.real = 2.25}, 1},
      {"bool", GRACE_OPTION_BOOL, {.boolean = true}, 1},
      STRING("duration", "1m30s"),
      STRING("given", "x"),
      {"list", GRACE_OPTION_LIST, {.list = words}, 1}},
     7,
     "x -9223372036854775808 2.25 1 90000 given=1 a b",
     false},
    {{{"float", GRACE_OPTION_INT, {.integer = 3}, 1}, STRING("list", "one")},
     2,
     "none -1 3.00 -1 -1 given=0 one",
     false},
    {{STRING("strnig", "x")},
     1,
     "unknown option \"strnig\" (line 7): plugin kinds knows string, int, float, bool, "
     "duration, list, given, refuse",
     true},
    {{{"string", GRACE_OPTION_INT, {.integer = 3}, 4}},
     1,
     "option \"string\" (line 4) is a whole number; expected a string",
     true},
    {{{"int", GRACE_OPTION_FLOAT, {.real = 3}, 4}},
     1,
     "option \"int\" (line 4) is a number; expected a whole number",
     true},
    {{STRING("bool", "yes")},
     1,
     "option \"bool\" (line 7) is a string; expected true or false",
     true},
    {{{"list", GRACE_OPTION_BOOL, {.boolean = 1}, 4}},
     1,
     "option \"list\" (line 4) is true or false; expected a list of strings",
     true},
    {{STRING("float", "1")}, 1, "option \"float\" (line 7) is a string; expected a number", true},
    {{STRING("duration", "30")},
     1,
     "option \"duration\" (line 7) is \"30\"; expected a duration with its unit, as \"30s\" or "
     "\"250ms\"",
     true},
    {{{"duration", GRACE_OPTION_INT, {.integer = 30}, 4}},
     1,
     "option \"duration\" (line 4) is a whole number; expected a duration with its unit, as "
     "\"30s\" or "
     "\"250ms\"",
     true},
    {{STRING("refuse", "why not"), STRING("unknown", "")}, 2, "refused: why not", true},
};

START_TEST(hands_options_over_and_refuses_wrong_ones)
{
    struct grace_hook_plan plan = {.name = "k",
                                   .plugin = "kinds",
                                   .options = configs[_i].options,
                                   .option_count = configs[_i].count};
    struct grace_plugin plugin;
    int result = grace_plugin_load(&plugin, built("tests/hooks/unit_kinds.so"), &plan, &error);
    ck_assert_msg(result == (configs[_i].fails ? -1 : 0), "%s", error.text);
    if (result == 0)
        ck_assert_int_eq(plugin.hook->run(plugin.state, NULL, &error), -1);
    ck_assert_str_eq(error.text, configs[_i].expected);
    grace_plugin_release(&plugin);
}
END_TEST

START_TEST(says_why_a_plugin_cannot_be_loaded)
{
    struct grace_hook_plan plan = {.name = "k", .plugin = "kinds"};
    struct grace_plugin plugin;
    const char *const rows[][2] = {
        {"tests/hooks/absent.so", "cannot open shared object file"},
        {"tests/hooks/unit_no_hook.so", "undefined symbol: grace_hook"},
        {"tests/hooks/unit_other_abi.so", "plugin ABI 2"},
        {"tests/hooks/unit_no_constant.so", "plugin ABI 0"},
        {"tests/hooks/unit_no_server.so", "it says that it serves, and has no grace_hook_server"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_int_eq(grace_plugin_load(&plugin, built(rows[i][0]), &plan, &error), -1);
        ck_assert_msg(strstr(error.text, rows[i][1]) != NULL, "%s", error.text);
        ck_assert_ptr_null(plugin.hook);
        grace_plugin_release(&plugin);
    }
}
END_TEST

/* ---- from the plan to what runs ------------------------------------------------------------ */

static struct grace_loaded_hook *load(const char *plugin, const char *user, bool inside)
{
    static struct grace_plan plan = {.file = "/etc/grace/x.conf"};
    static struct grace_hook_plan hook_plan;
    struct grace_hook_places places = {.origin = getenv("GRACE_BUILD"),
                                       .executable = "/bin/true",
                                       .environment = environ,
                                       .load = inside};
    if (places.origin == NULL)
        places.origin = "build";
    hook_plan = (struct grace_hook_plan){.name = "h", .plugin = plugin, .user = user};
    static struct grace_loaded_hook hook;
    grace_hook_load(&hook, &plan, &hook_plan, &places);
    return &hook;
}

START_TEST(an_external_plugin_becomes_a_command_of_ours)
{
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s", built("tests/hooks/unit_external.so"));
    struct grace_loaded_hook *hook = load(file, NULL, true);
    ck_assert_int_eq(hook->kind, GRACE_HOOK_EXTERNAL_PLUGIN);
    ck_assert_ptr_null(hook->plugin.hook);
    const char *const expected[] = {"/bin/true", "run-hook", "/etc/grace/x.conf", "h", file};
    for (size_t i = 0; i < 5; i++)
        ck_assert_str_eq(hook->command.argv[i], expected[i]);
    ck_assert_ptr_null(hook->command.argv[5]);
    grace_hook_unload(hook);
}
END_TEST

START_TEST(an_in_process_plugin_is_loaded_only_when_asked)
{
    struct grace_loaded_hook *hook = load("flush", NULL, false);
    ck_assert_msg(hook->kind == GRACE_HOOK_INSIDE, "%s", hook->error.text);
    ck_assert_ptr_null(hook->plugin.hook);
    grace_hook_unload(hook);
    hook = load("flush", NULL, true);
    ck_assert_int_eq(hook->kind, GRACE_HOOK_INSIDE);
    ck_assert_str_eq(hook->plugin.hook->name, "flush");
    grace_hook_unload(hook);
    hook = load("flush", "nobody", true);
    ck_assert_int_eq(hook->kind, GRACE_HOOK_BROKEN);
    ck_assert_ptr_nonnull(strstr(hook->error.text, "cannot run as user nobody"));
    grace_hook_unload(hook);
    hook = load("absent", NULL, true);
    ck_assert_int_eq(hook->kind, GRACE_HOOK_BROKEN);
    ck_assert_ptr_nonnull(strstr(hook->error.text, "\"absent\" not found"));
    grace_hook_unload(hook);
}
END_TEST

/* ---- grace run-hook ------------------------------------------------------------------------ */

static const struct {
    const char *options, *hook;
    enum grace_outcome outcome;
    int detail;
    const char *words;
} runs[] = {
    {"mode = \"print\";", "ext", GRACE_OUTCOME_DONE, 0,
     "warning: legacyd ext stop signal pid=42 signo=15 status=-1 sender=7/0 attempt=2 core=0 "
     "time=1"},
    {"mode = \"fail\";", "ext", GRACE_OUTCOME_STATUS, 1, "hook \"ext\": failed as asked"},
    {"mode = \"exit\";", "ext", GRACE_OUTCOME_STATUS, 9, NULL},
    {"moed = \"x\";", "ext", GRACE_OUTCOME_STATUS, 78, "unknown option \"moed\""},
    {"", "other", GRACE_OUTCOME_STATUS, 78, "has no hook \"other\" with a plugin"},
};

static int64_t remaining(void *context)
{
    (void)context;
    return 4000;
}

START_TEST(an_external_plugin_runs_in_a_process_of_its_own)
{
    char folder[] = "/tmp/grace-run-XXXXXX", config[64], log[64], text[65536] = "";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(config, sizeof config, "%s/x.conf", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    FILE *file = fopen(config, "w");
    fprintf(file, "hooks = ( { name = \"ext\"; plugin = \"%s\"; options = { %s }; } );\n",
            realpath(built("tests/hooks/unit_external.so"), path), runs[_i].options);
    fclose(file);
    struct grace_log_plan log_plan = {.sink = GRACE_LOG_FILE, .path = log, .level = GRACE_LOG_INFO};
    grace_log_setup(&log_plan, "prog");

    const char *const argv[] = {built("grace"), "run-hook", config, runs[_i].hook, path, NULL};
    struct grace_command command;
    struct grace_command_result result;
    static struct grace_environment environment;
    struct grace_stop stop = {.size = sizeof stop,
                              .program = "legacyd",
                              .hook = "ext",
                              .phase = "stop",
                              .cause = "signal",
                              .pid = 42,
                              .signo = 15,
                              .exit_status = -1,
                              .sender_pid = 7,
                              .sender_uid = 0,
                              .attempt = 2,
                              .remaining_ms = remaining};
    ck_assert_int_eq(grace_command_prepare(&command, "ext", argv, NULL, environ, &error), 0);
    grace_command_run(&command, grace_environment_fill(&environment, environ, &stop), 20000,
                      &result);
    int fd = open(log, O_RDONLY);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
        close(fd);
    ck_assert_msg(result.outcome == runs[_i].outcome && result.detail == runs[_i].detail,
                  "%d %d %s", (int)result.outcome, result.detail, text);
    if (runs[_i].words != NULL)
        ck_assert_msg(strstr(text, runs[_i].words) != NULL, "%s", text);
    ck_assert_ptr_null(strstr(text, "too much detail"));
    grace_command_release(&command);
    unlink(config);
    unlink(log);
    rmdir(folder);
}
END_TEST

/* ---- the public header --------------------------------------------------------------------- */

START_TEST(the_header_is_all_that_a_plugin_needs)
{
    const char *const compilers[] = {
        GRACE_CC " -std=c11 -pedantic -pedantic-errors",
        "c++ -std=c++11 -pedantic -pedantic-errors",
        "c++ -std=c++20 -pedantic -pedantic-errors",
    };
    /* The plugin that the header shows in its first comment, as it stands there. */
    char command[1024];
    const char *language = _i == 0 ? "c" : "c++";
    snprintf(command, sizeof command,
             "{ echo 'int save_everything(long long);'; "
             "sed -n '/^ \\*     #include <grace_hook.h>/,/^ \\*     };/s/^ \\*//p' "
             "hooks/grace_hook.h; } | %s -Wall -Wextra -Werror -Wshadow -Ihooks -x %s "
             "-fsyntax-only -",
             compilers[_i], language);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("plugin");
    TCase *cases = tcase_create("plugin");
    tcase_add_test(cases, finds_plugins_beside_libgrace_and_the_command);
    tcase_add_test(cases, says_where_it_looked);
    tcase_add_loop_test(cases, knows_a_plugin_without_loading_it, 0,
                        (int)(sizeof files / sizeof files[0]));
    tcase_add_loop_test(cases, knows_a_plugin_by_either_hash_table, 0, 3);
    tcase_add_test(cases, a_short_file_is_refused_at_every_length);
    tcase_add_test(cases, hostile_files_do_no_harm);
    tcase_add_loop_test(cases, hands_options_over_and_refuses_wrong_ones, 0,
                        (int)(sizeof configs / sizeof configs[0]));
    tcase_add_test(cases, says_why_a_plugin_cannot_be_loaded);
    tcase_add_test(cases, an_external_plugin_becomes_a_command_of_ours);
    tcase_add_test(cases, an_in_process_plugin_is_loaded_only_when_asked);
    tcase_add_loop_test(cases, an_external_plugin_runs_in_a_process_of_its_own, 0,
                        (int)(sizeof runs / sizeof runs[0]));
    tcase_add_loop_test(cases, the_header_is_all_that_a_plugin_needs, 0, 3);
    suite_add_tcase(tests, cases);
    return tests;
}
