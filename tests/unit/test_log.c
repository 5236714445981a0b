/* hooks/log.h: what a line looks like, where it lands, and that it harms nobody. */
#include "../suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "hooks/log.h"

/* Check runs each test in a child of its own: descriptor 2 may be changed at will. */

static char folder[] = "/tmp/grace-log-XXXXXX";
static char path[64];
static struct grace_log_plan plan;

static void set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    plan = (struct grace_log_plan){.sink = GRACE_LOG_STDERR, .level = GRACE_LOG_INFO};
}

static void tear_down(void)
{
    unlink(path);
    rmdir(folder);
}

static int open_log(int flags)
{
    int fd = open(path, flags | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void become_stderr(int fd)
{
    ck_assert_int_eq(dup2(fd, 2), 2);
    if (fd != 2)
        close(fd);
}

static const char *content(void)
{
    static char buffer[65536];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd >= 0 ? read(fd, buffer, sizeof buffer - 1) : 0;
    close(fd);
    buffer[length > 0 ? length : 0] = '\0';
    return buffer;
}

static const char *text_line(const char *words)
{
    static char line[2048];
    snprintf(line, sizeof line, "libgrace: prog[%d]: %s\n", (int)getpid(), words);
    return line;
}

START_TEST(writes_nothing_before_setup)
{
    become_stderr(open_log(O_WRONLY));
    grace_log(GRACE_LOG_ERROR, "test", "words");
    ck_assert_str_eq(content(), "");
    ck_assert(!grace_log_wants(GRACE_LOG_ERROR));
}
END_TEST

START_TEST(writes_text_lines_of_wanted_levels)
{
    become_stderr(open_log(O_WRONLY));
    grace_log_setup(&plan, "prog");
    errno = 4711;
    grace_log(GRACE_LOG_INFO, "test", "%s %d", "words", 5);
    ck_assert_int_eq(errno, 4711);
    ck_assert_str_eq(content(), text_line("words 5"));
    grace_log(GRACE_LOG_DEBUG, "test", "not wanted");
    ck_assert_str_eq(content(), text_line("words 5"));
    ftruncate(2, 0);
    lseek(2, 0, SEEK_SET);
    grace_log(GRACE_LOG_WARNING, "test", "two\nlines\x1b");
    ck_assert_str_eq(content(), text_line("warning: two\\nlines\\x1b"));
}
END_TEST

START_TEST(writes_json_with_fields)
{
    plan.format = GRACE_LOG_JSON;
    become_stderr(open_log(O_WRONLY));
    grace_log_setup(&plan, "pro\"g");
    struct grace_log_line line;
    grace_log_begin(&line, GRACE_LOG_ERROR, "hook");
    grace_log_say(&line, "it \"%s\"", "says");
    grace_log_field(&line, "hook", "sa\\ve");
    grace_log_field(&line, "none", NULL);
    grace_log_number(&line, "ms", -12);
    grace_log_end(&line);
    char expected[512];
    const char *written = content();
    /* {"time":"2026-07-31T12:34:56.789Z", … */
    ck_assert_int_eq(strncmp(written, "{\"time\":\"2", 10), 0);
    ck_assert_int_eq(written[32], 'Z');
    snprintf(expected, sizeof expected,
             "\",\"level\":\"error\",\"program\":\"pro\\\"g\",\"pid\":%d,\"event\":\"hook\","
             "\"message\":\"it \\\"says\\\"\",\"hook\":\"sa\\\\ve\",\"none\":null,\"ms\":-12}\n",
             (int)getpid());
    ck_assert_str_eq(written + 33, expected);
}
END_TEST

/* Not a parser: quotes are balanced, and the line ends as an object does. */
static void check_json_line(const char *line)
{
    int quoted = 0;
    size_t length = strlen(line);
    ck_assert_uint_lt(length, 4096);
    ck_assert_str_eq(line + length - 2, "}\n");
    for (const char *c = line; *c != '\0'; c++) {
        if (*c == '\\')
            c++;
        else if (*c == '"')
            quoted = !quoted;
        else
            ck_assert(!quoted || (unsigned char)*c >= 0x20);
    }
    ck_assert(!quoted);
}

START_TEST(cuts_what_is_too_long_and_says_so)
{
    static char longer[8000];
    plan.format = _i & 1 ? GRACE_LOG_JSON : GRACE_LOG_TEXT;
    memset(longer, _i & 2 ? '\x01' : 'y', sizeof longer - 1);
    become_stderr(open_log(O_WRONLY | O_APPEND));
    grace_log_setup(&plan, "prog");
    struct grace_log_line line;
    grace_log_begin(&line, GRACE_LOG_ERROR, "hook");
    grace_log_say(&line, "%s", longer);
    grace_log_field(&line, "first", longer);
    grace_log_field(&line, "second", longer);
    grace_log_number(&line, "third", 3);
    grace_log_end(&line);
    const char *written = content();
    ck_assert_ptr_nonnull(strstr(written, "…"));
    ck_assert_ptr_eq(strchr(written, '\n'), written + strlen(written) - 1);
    if (plan.format == GRACE_LOG_JSON)
        check_json_line(written);
}
END_TEST

START_TEST(does_not_write_to_what_took_stderrs_number)
{
    char other[80];
    snprintf(other, sizeof other, "%s.db", path);
    become_stderr(open_log(O_WRONLY | O_APPEND));
    grace_log_setup(&plan, "prog");
    close(2);
    ck_assert_int_eq(open(other, O_RDWR | O_CREAT, 0600), 2);
    grace_log(GRACE_LOG_INFO, "test", "words");
    struct stat status;
    ck_assert_int_eq(stat(other, &status), 0);
    unlink(other);
    ck_assert_int_eq(status.st_size, 0);
    /* … but to the file that stderr was. */
    ck_assert_str_eq(content(), text_line("words"));
}
END_TEST

START_TEST(reopens_only_the_same_file)
{
    char moved[80];
    snprintf(moved, sizeof moved, "%s.1", path);
    become_stderr(open_log(O_WRONLY | O_APPEND));
    grace_log_setup(&plan, "prog");
    close(2);
    ck_assert_int_eq(rename(path, moved), 0);
    close(open_log(O_WRONLY));
    grace_log(GRACE_LOG_INFO, "test", "words");
    ck_assert_str_eq(content(), "");
    ck_assert_int_eq(fcntl(2, F_GETFD), -1);
    unlink(moved);
}
END_TEST

START_TEST(reopens_a_terminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(grantpt(master), 0);
    ck_assert_int_eq(unlockpt(master), 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct termios raw;
    tcgetattr(terminal, &raw);
    cfmakeraw(&raw);
    tcsetattr(terminal, TCSANOW, &raw);
    become_stderr(terminal);
    int keep = fcntl(2, F_DUPFD, 10);
    grace_log_setup(&plan, "prog");
    close(2);
    grace_log(GRACE_LOG_INFO, "test", "words");
    char buffer[256] = "";
    ck_assert_int_gt(read(master, buffer, sizeof buffer - 1), 0);
    ck_assert_str_eq(buffer, text_line("words"));
    close(keep);
}
END_TEST

/* So many that no test has the time to wait for each of them for as long as the log would for one.
 */
#define MANY_LINES 5000

START_TEST(survives_a_terminal_that_is_held)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_eq(grantpt(master), 0);
    ck_assert_int_eq(unlockpt(master), 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    become_stderr(terminal);
    grace_log_setup(&plan, "prog");
    ck_assert_int_eq(tcflow(2, TCOOFF), 0); /* Ctrl-S */
    for (int i = 0; i < MANY_LINES; i++)
        grace_log(GRACE_LOG_INFO, "test", "words that nobody sees, %d", i);
}
END_TEST

START_TEST(loses_lines_rather_than_wait_for_a_reader)
{
    int ends[2];
    if (_i < 2)
        ck_assert_int_eq(pipe2(ends, _i == 0 ? 0 : O_NONBLOCK), 0);
    else
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    become_stderr(ends[1]);
    grace_log_setup(&plan, "prog");
    for (int i = 0; i < MANY_LINES; i++)
        grace_log(GRACE_LOG_INFO, "test", "a line of some length, so that this is soon full: %d",
                  i);
    /* What got through is whole lines. */
    static char all[1 << 20];
    ssize_t length = read(ends[0], all, sizeof all);
    ck_assert_int_gt(length, 1000);
    if (_i < 2)
        ck_assert_int_eq(all[length - 1], '\n');
}
END_TEST

static volatile sig_atomic_t pipe_signals;
static void count_pipe_signal(int signo)
{
    (void)signo;
    pipe_signals++;
}

START_TEST(raises_no_sigpipe)
{
    int ends[2];
    if (_i == 0)
        ck_assert_int_eq(pipe(ends), 0);
    else
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    signal(SIGPIPE, count_pipe_signal);
    become_stderr(ends[1]);
    close(ends[0]);
    grace_log_setup(&plan, "prog");
    grace_log(GRACE_LOG_INFO, "test", "words");
    ck_assert_int_eq(pipe_signals, 0);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    ck_assert(!sigismember(&mask, SIGPIPE));
}
END_TEST

START_TEST(leaves_the_programs_own_pending_sigpipe)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    sigset_t blocked, pending;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGPIPE);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    become_stderr(ends[1]);
    close(ends[0]);
    raise(SIGPIPE);
    grace_log_setup(&plan, "prog");
    grace_log(GRACE_LOG_INFO, "test", "words");
    sigpending(&pending);
    ck_assert(sigismember(&pending, SIGPIPE));
}
END_TEST

START_TEST(appends_to_a_file_and_keeps_nothing_open)
{
    plan.sink = GRACE_LOG_FILE;
    plan.path = path;
    grace_log_setup(&plan, "prog");
    int before = open("/dev/null", O_RDONLY);
    close(before);
    grace_log(GRACE_LOG_INFO, "test", "one");
    char first[2048];
    snprintf(first, sizeof first, "%s", text_line("one"));
    ck_assert_str_eq(content(), first);
    grace_log(GRACE_LOG_INFO, "test", "two");
    ck_assert_str_eq(content() + strlen(first), text_line("two"));
    int after = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(after, before);
}
END_TEST

START_TEST(falls_back_to_stderr)
{
    become_stderr(open_log(O_WRONLY | O_APPEND));
    plan.sink = _i == 0 ? GRACE_LOG_FILE : _i == 1 ? GRACE_LOG_SYSLOG : GRACE_LOG_JOURNAL;
    plan.path = "/nonexistent/folder/log";
    if ((_i == 1 && access("/dev/log", F_OK) == 0) ||
        (_i == 2 && access("/run/systemd/journal/socket", F_OK) == 0))
        skip("this machine has a system log");
    grace_log_setup(&plan, "prog");
    grace_log(GRACE_LOG_INFO, "test", "words");
    ck_assert_str_eq(content(), text_line("words"));
}
END_TEST

static void *write_lines(void *number)
{
    for (int i = 0; i < 200; i++)
        grace_log(GRACE_LOG_INFO, "test", "thread %d line %d", *(int *)number, i);
    return NULL;
}

START_TEST(lines_of_several_threads_stay_whole)
{
    become_stderr(open_log(O_WRONLY | O_APPEND));
    grace_log_setup(&plan, "prog");
    pthread_t threads[4];
    int numbers[4];
    for (int i = 0; i < 4; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    int lines = 0, thread, line, pid;
    char end;
    FILE *file = fopen(path, "r");
    char buffer[256];
    while (fgets(buffer, sizeof buffer, file) != NULL) {
        ck_assert_int_eq(
            sscanf(buffer, "libgrace: prog[%d]: thread %d line %d%c", &pid, &thread, &line, &end),
            4);
        ck_assert_int_eq(end, '\n');
        lines++;
    }
    ck_assert_int_eq(lines, 800);
}
END_TEST

Suite *suite(void)
{
    Suite *tests = suite_create("log");
    TCase *cases = tcase_create("log");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, writes_nothing_before_setup);
    tcase_add_test(cases, writes_text_lines_of_wanted_levels);
    tcase_add_test(cases, writes_json_with_fields);
    tcase_add_loop_test(cases, cuts_what_is_too_long_and_says_so, 0, 4);
    tcase_add_test(cases, does_not_write_to_what_took_stderrs_number);
    tcase_add_test(cases, reopens_only_the_same_file);
    tcase_add_test(cases, reopens_a_terminal);
    tcase_add_test(cases, survives_a_terminal_that_is_held);
    tcase_add_loop_test(cases, loses_lines_rather_than_wait_for_a_reader, 0, 3);
    tcase_add_loop_test(cases, raises_no_sigpipe, 0, 2);
    tcase_add_test(cases, leaves_the_programs_own_pending_sigpipe);
    tcase_add_test(cases, appends_to_a_file_and_keeps_nothing_open);
    tcase_add_loop_test(cases, falls_back_to_stderr, 0, 3);
    tcase_add_test(cases, lines_of_several_threads_stay_whole);
    suite_add_tcase(tests, cases);
    return tests;
}
