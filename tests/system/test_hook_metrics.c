/*
 * Stops counted for Prometheus, by the config key `metrics` and by the plugin of that name: under
 * every cause, by whoever is last, in a file that Prometheus can read at any moment.
 */
#include "harness.h"
#include "harness_hooks.h"
#include "harness_ledger.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define METRICS    "m.prom"
#define SERIES_MAX 512

/* ---- the text format, as Prometheus reads it ------------------------------------------------- */

/* https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4. Stricter than that
 * where promtool check metrics is: each family has its help and type, in one piece. */
struct exposition {
    char *family, *type;
    char *families[64];
    size_t family_count;
    char *series[SERIES_MAX];
    size_t series_count;
};

static char *take_name(const char **at)
{
    const char *begin = *at;
    while (isalnum((unsigned char)**at) || **at == '_' || **at == ':')
        ++*at;
    expect(*at > begin && !isdigit((unsigned char)*begin), "no name at \"%s\"", begin);
    return text("%.*s", (int)(*at - begin), begin);
}

static void take(const char **at, const char *expected)
{
    expect(strncmp(*at, expected, strlen(expected)) == 0, "not \"%s\" but \"%s\"", expected, *at);
    *at += strlen(expected);
}

static void take_label(const char **at)
{
    take_name(at);
    take(at, "=\"");
    for (; **at != '"'; ++*at) {
        expect(**at != '\0', "a label without an end");
        if (**at == '\\')
            expect(strchr("\\\"n", *++*at) != NULL, "\\%c is no escape", **at);
    }
    ++*at;
}

static void add_once(char **list, size_t *count, size_t max, char *entry)
{
    for (size_t i = 0; i < *count; i++)
        expect(strcmp(list[i], entry) != 0, "%s twice", entry);
    expect(*count < max);
    list[(*count)++] = entry;
}

static void check_sample(struct exposition *all, const char *line)
{
    const char *at = line;
    char *name = take_name(&at), *end;
    const char *suffix = strcmp(all->type, "summary") == 0 && strstr(name, "_sum") ? "_sum"
                         : strcmp(all->type, "summary") == 0                       ? "_count"
                                                                                   : "";
    expect_text(name, text("%s%s", all->family, suffix));
    if (*at == '{') {
        do {
            ++at;
            take_label(&at);
        } while (*at == ',');
        take(&at, "}");
    }
    add_once(all->series, &all->series_count, SERIES_MAX, text("%.*s", (int)(at - line), line));
    take(&at, " ");
    strtod(at, &end);
    expect(end > at && *end == '\0', "no number at \"%s\"", at);
}

static void check_comment(struct exposition *all, const char *line)
{
    const char *at = line;
    if (strncmp(line, "# HELP ", 7) == 0) {
        at += 7;
        all->family = take_name(&at);
        take(&at, " ");
        all->type = text("%s", "");
        add_once(all->families, &all->family_count, 64, all->family);
        return;
    }
    take(&at, text("# TYPE %s ", all->family));
    all->type = text("%s", at);
    expect(strstr("counter gauge summary", at) != NULL, "%s", at);
    expect((strcmp(at, "counter") == 0) == (strstr(all->family, "_total") != NULL));
}

static void check_exposition(const char *name)
{
    struct exposition all = {.family = text("%s", ""), .type = text("%s", "")};
    char *whole = contents(name), *rest;
    expect(whole[0] != '\0', "%s is not there", name);
    expect(whole[strlen(whole) - 1] == '\n');
    struct process *utf8 = start(BARE, "iconv", "-f", "UTF-8", "-t", "UTF-8", here("%s", name));
    expect_status(wait_end(utf8), EXITED(0));
    for (char *line = strtok_r(whole, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] == '#')
            check_comment(&all, line);
        else
            check_sample(&all, line);
    }
    expect(all.family_count == 6 && all.series_count >= 16);
}

/* The value of NAME{program="…",LABEL="VALUE"}; -1 when it is not there. */
static double value_of(const char *file, const char *series)
{
    char *whole = contents(file), *at = strstr(whole, text("\n%s ", series));
    return at != NULL ? strtod(at + strlen(series) + 2, NULL) : -1;
}

static double value(const char *name, const char *of, const char *label)
{
    return value_of(METRICS, *label == '\0' ? text("%s{program=\"%s\"}", name, of)
                                            : text("%s{program=\"%s\",%s}", name, of, label));
}

static double stops(const char *of, const char *cause)
{
    return value("libgrace_stops_total", of, text("cause=\"%s\"", cause));
}

/* ---- two doors ------------------------------------------------------------------------------- */

static char *by_key(void)
{
    return text("metrics = \"%s\";\n", here(METRICS));
}

static char *by_plugin(void)
{
    return text("hooks = ({ name = \"count\"; phase = \"cleanup\"; plugin = \"metrics\"; "
                "options = { path = \"%s\"; }; });\n",
                here(METRICS));
}

static char *(*const doors[])(void) = {by_key, by_plugin};
static const char *const guardians[] = {"", "guardian = \"off\";\n"};

static const struct {
    const char *ending, *cause;
    bool only_guarded; /* nobody inside sees it */
} endings[] = {
    {"return-3", "return", false},       {"exit", "exit", false},         {"_exit", "_exit", false},
    {"quick_exit", "quick_exit", false}, {"raise-term", "signal", false}, {"abort", "crash", true},
    {"raise-kill", "killed", true},
};
#define ENDINGS (sizeof endings / sizeof endings[0])

START_TEST(each_ending_is_counted_under_its_cause)
{
    const char *cause = endings[_i % (int)ENDINGS].cause;
    for (unsigned door = 0; door < 2; door++) {
        for (unsigned guardian = 0; guardian < 2; guardian++) {
            if (guardian == 1 && endings[_i].only_guarded)
                continue;
            unlink(here(METRICS));
            config("%s%s", guardians[guardian], doors[door]());
            run(GRACED, program("ender"), endings[_i].ending);
            run(GRACED, program("ender"), endings[_i].ending);
            wait_all_gone();
            check_exposition(METRICS);
            expect(stops("ender", cause) == 2, "%s", contents(METRICS));
            expect(count_of(contents(METRICS), "libgrace_stops_total{") == 7);
            expect(count_of(contents(METRICS), "\"} 2\n") >= 1);
            expect(value("libgrace_stop_duration_seconds_count", "ender", "") == 2);
            double last = value("libgrace_last_stop_timestamp_seconds", "ender", "");
            double now = (double)time(NULL);
            expect(last > now - 120 && last < now + 2, "%f", last);
        }
    }
}
END_TEST

START_TEST(hooks_are_counted_by_how_they_went)
{
    for (unsigned guardian = 0; guardian < 2; guardian++) {
        unlink(here(METRICS));
        config("%s%shooks = (%s, %s, %s, %s, %s);", guardians[guardian], by_key(),
               hook_command("never", ""), hook_plugin("never-inside", ""),
               hook_script("fails", "exit 3", "on_failure = \"abort\";"),
               hook_command("other-cause", "causes = [\"killed\"];"), hook_plugin("inside", ""));
        struct process *worker = start(GRACED, program("worker"), "poll");
        wait_ready(worker);
        expect_status(stop_with(worker, SIGTERM), KILLED(SIGTERM));
        wait_all_gone();
        check_exposition(METRICS);
        expect(value("libgrace_hooks_total", "worker", "result=\"done\"") == 1);
        expect(value("libgrace_hooks_total", "worker", "result=\"failed\"") == 1);
        expect(value("libgrace_hooks_total", "worker", "result=\"not_run\"") == 2);
    }
}
END_TEST

START_TEST(the_duration_is_that_of_the_stop)
{
    config("%shooks = (%s);", by_key(), hook_script("waits", "sleep 0.5", ""));
    struct process *worker = start(GRACED, program("worker"), "poll");
    wait_ready(worker);
    int64_t began = now_ms();
    stop_with(worker, SIGTERM);
    wait_all_gone();
    double most = (double)(now_ms() - began) / 1000;
    double took = value("libgrace_last_stop_duration_seconds", "worker", "");
    expect(took >= 0.5 && took <= most, "%f of %f", took, most);
    expect(value("libgrace_stop_duration_seconds_sum", "worker", "") == took);
}
END_TEST

/* A handler of the target's own, which ends it by exit(): the stop began with the signal. */
START_TEST(a_stop_by_the_targets_own_handler_is_counted_once)
{
    config("%s", by_key());
    struct process *server = start(GRACED, "/usr/bin/python3", "-c",
                                   "import signal, sys, time\n"
                                   "signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))\n"
                                   "print('ready', flush=True)\n"
                                   "time.sleep(3600)\n");
    wait_ready(server);
    expect_status(stop_with(server, SIGTERM), EXITED(0));
    wait_all_gone();
    const char *name = strstr(contents(METRICS), "python3.") ? "python3.11" : "python3";
    expect(stops(name, "signal") == 1, "%s", contents(METRICS));
    expect(value("libgrace_stop_duration_seconds_count", name, "") == 1);
}
END_TEST

/* One connection with a request that is never answered, one that has had its answer. */
START_TEST(connections_are_counted_by_what_became_of_them)
{
    config("drain = { timeout = \"2s\"; };\n%s", by_key());
    write_file(
        "server.py", "%s",
        "import socket, threading, time\n"
        "def serve(client):\n"
        "    while True:\n"
        "        words = client.recv(100)\n"
        "        if not words: return client.close()\n"
        "        time.sleep(3600 if words == b'hang' else 0.05)\n"
        "        client.sendall(words)\n"
        "        if words == b'hello': print('answered', flush=True)\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print('ready', flush=True)\n"
        "print('port %d' % listener.getsockname()[1], flush=True)\n"
        "while True:\n"
        "    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()\n");
    struct process *server = start(GRACED, "/usr/bin/python3", here("server.py"));
    wait_ready(server);
    wait_contains(server->out, "port ");
    int port = atoi(strstr(contents(server->out), "port ") + 5);
    int answered = dial(port), hanging = dial(port);
    expect(write(hanging, "hang", 4) == 4 && write(answered, "hello", 5) == 5);
    wait_contains(server->out, "answered");
    char back[8];
    expect(read(answered, back, sizeof back) == 5);
    send_signal(server, SIGTERM);
    expect(read(answered, back, 1) == 0);
    close(answered); /* as clients do */
    expect_status(wait_end(server), KILLED(SIGTERM));
    wait_all_gone();
    check_exposition(METRICS);
    const char *name = strstr(contents(METRICS), "python3.") ? "python3.11" : "python3";
    expect(value("libgrace_connections_total", name, "result=\"cut\"") == 1, "%s",
           contents(METRICS));
    expect(value("libgrace_connections_total", name, "result=\"finished\"") == 1, "%s",
           contents(METRICS));
}
END_TEST

#define MANY 12

START_TEST(stops_at_the_same_moment_lose_no_count)
{
    struct process *all[MANY];
    config("%s%s", guardians[_i], by_key());
    for (int i = 0; i < MANY; i++)
        all[i] = start(GRACED, program("worker"), "poll");
    for (int i = 0; i < MANY; i++)
        wait_ready(all[i]);
    for (int i = 0; i < MANY; i++)
        send_signal(all[i], SIGTERM);
    for (int i = 0; i < MANY; i++)
        expect_status(wait_end(all[i]), KILLED(SIGTERM));
    wait_all_gone();
    check_exposition(METRICS);
    expect(stops("worker", "signal") == MANY, "%f", stops("worker", "signal"));
}
END_TEST

START_TEST(programs_share_a_file)
{
    /* Any name goes: with quotes, backslashes, a line's end, and bytes that are no UTF-8. */
    static const char *const names[] = {"plain",     "q\"uo\\te", "li\nne",
                                        "b\xc3\xa9", "bad\xff",   "a b} 7"};
    static const char *const labels[] = {"plain",     "q\\\"uo\\\\te", "li?ne",
                                         "b\xc3\xa9", "bad?",          "a b} 7"};
    config("%s", by_key());
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 6; i++) {
            symlink("/bin/true", here("%s", names[i]));
            expect_status(run(GRACED, here("%s", names[i])), EXITED(0));
            wait_all_gone();
        }
    }
    check_exposition(METRICS);
    for (size_t i = 0; i < 6; i++)
        expect(stops(labels[i], "return") + stops(labels[i], "exit") == 2, "%s: %s", labels[i],
               contents(METRICS));
}
END_TEST

/* Owner and guardian are killed together: nobody counts, until the ledger is settled. */
START_TEST(a_stop_that_nobody_saw_is_counted_when_it_is_recovered)
{
    CONFIGURE("%s%s", by_key(), hooks_in_phases());
    struct owner owner = start_and_kill_both(true);
    expect(!exists(METRICS));
    recover(EXITED(0));
    recover(EXITED(0));
    check_exposition(METRICS);
    const char *all = contents(METRICS);
    expect(count_of(all, "cause=\"killed\"} 1\n") == 1, "%s", all);
    expect(count_of(all, "result=\"done\"} 3\n") == 1, "%s", all);
    expect(owner.process->ended);
}
END_TEST

/* ---- what is there already ------------------------------------------------------------------- */

/* What a writer left that was killed, an old version's odd lines, and the mode that somebody set.
 */
START_TEST(counts_go_on_from_the_file_that_is_there)
{
    config("%s", by_key());
    run(GRACED, program("ender"), "return-3");
    wait_all_gone();
    write_file(METRICS,
               "%slibgrace_stops_total{program=\"ender\",cause=\"killed\"} NaN\n"
               "libgrace_unheard_of{} 3\nlibgrace_stops_total{program=\"x\"} many\n",
               contents(METRICS));
    write_file(".m.prom.new", "half of a fi");
    chmod(here(METRICS), 0640);
    run(GRACED, program("ender"), "return-3");
    wait_all_gone();
    check_exposition(METRICS);
    expect(stops("ender", "return") == 2);
    expect(!exists(".m.prom.new"));
    struct stat about;
    expect(stat(here(METRICS), &about) == 0 && (about.st_mode & 0777) == 0640);
}
END_TEST

static const struct {
    const char *make;  /* with /bin/sh, in the story's directory */
    const char *check; /* true afterwards */
    const char *words;
} obstacles[] = {
    {"echo precious > m.prom", "[ \"$(cat m.prom)\" = precious ]", "no file of libgrace's metrics"},
    {"mkfifo m.prom", "[ -p m.prom ]", "no file of libgrace's metrics"},
    {"echo precious > x; ln -s x m.prom", "[ -h m.prom ] && [ \"$(cat x)\" = precious ]",
     "a symbolic link"},
    {"mkdir m.prom", "[ -d m.prom ]", "no file of libgrace's metrics"},
};

START_TEST(what_is_no_metrics_file_is_left_as_it_is)
{
    expect(system(text("cd '%s' && %s", story_directory(), obstacles[_i].make)) == 0);
    for (unsigned door = 0; door < 2; door++) {
        config("log = { to = \"file\"; path = \"%s\"; };\n%s", here("log"), doors[door]());
        expect_status(run(GRACED, program("ender"), "return-3"), EXITED(3));
        wait_all_gone();
        expect(system(text("cd '%s' && %s", story_directory(), obstacles[_i].check)) == 0);
        expect(strstr(contents("log"), obstacles[_i].words) != NULL, "%s", contents("log"));
        unlink(here("log"));
    }
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_told)
{
    config("log = { to = \"file\"; path = \"%s\"; };\nmetrics = \"%s\";\n", here("log"),
           here("absent/m.prom"));
    expect_status(run(GRACED, program("ender"), "return-3"), EXITED(3));
    wait_all_gone();
    expect(strstr(contents("log"), "the stop is not counted: cannot open folder") != NULL, "%s",
           contents("log"));
}
END_TEST

/* ---- options --------------------------------------------------------------------------------- */

static const struct {
    const char *options, *words;
} refused[] = {
    {"", "option \"path\" is missing"},
    {"path = \"m.prom\";", "expected an absolute path"},
    {"path = \"/m.prom\"; mode = 3;", "unknown option \"mode\""},
    {"path = 3;", "expected a string"},
};

START_TEST(wrong_options_are_told_before_the_start)
{
    expect_refused("metrics", refused[_i].options, refused[_i].words);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("metrics");
    TCase *group = story_case(all, "counting");
    tcase_add_loop_test(group, each_ending_is_counted_under_its_cause, 0, (int)ENDINGS);
    tcase_add_test(group, hooks_are_counted_by_how_they_went);
    tcase_add_test(group, the_duration_is_that_of_the_stop);
    tcase_add_test(group, a_stop_by_the_targets_own_handler_is_counted_once);
    tcase_add_loop_test(group, stops_at_the_same_moment_lose_no_count, 0, 2);
    tcase_add_test(group, connections_are_counted_by_what_became_of_them);
    tcase_add_test(group, programs_share_a_file);
    tcase_add_test(group, a_stop_that_nobody_saw_is_counted_when_it_is_recovered);
    group = story_case(all, "files");
    tcase_add_test(group, counts_go_on_from_the_file_that_is_there);
    tcase_add_loop_test(group, what_is_no_metrics_file_is_left_as_it_is, 0,
                        (int)(sizeof obstacles / sizeof obstacles[0]));
    tcase_add_test(group, a_folder_that_is_not_there_is_told);
    group = story_case(all, "options");
    tcase_add_loop_test(group, wrong_options_are_told_before_the_start, 0,
                        (int)(sizeof refused / sizeof refused[0]));
    return all;
}
