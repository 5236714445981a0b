/*
 * main() of every test program. Prints what failed or was skipped and, as its last line,
 * "N passed, N failed, N skipped", which tests/run adds up.
 */
#include "suite.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* How long a test may take, in seconds: far more than any needs on a busy machine. Check's own
 * default is four. */
#define LIMIT_S "300"

/* Tests run in forked children: skips are told to the parent through this pipe, a line each. */
static int skips[2];

void skip(const char *format, ...)
{
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(reason, sizeof reason - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof reason - 2)
        length = (int)sizeof reason - 2;
    reason[length++] = '\n';
    if (write(skips[1], reason, (size_t)length) != length)
        abort();
    exit(0);
}

bool emulated(void)
{
    return getenv("EMULATOR") != NULL;
}

void not_emulated(const char *why)
{
    if (emulated())
        skip("%s %s", getenv("EMULATOR"), why);
}

bool endings_are_kept(void)
{
    struct utsname kernel;
    int major = 0, minor = 0;
    uname(&kernel);
    sscanf(kernel.release, "%d.%d", &major, &minor);
    return !emulated() && (major > 6 || (major == 6 && minor >= 15));
}

void not_where_threads_mix(void)
{
    const char *emulator = getenv("EMULATOR");
    if (emulator != NULL && strncmp(emulator, "qemu-i386 ", 10) == 0)
        not_emulated("gives a thread another's variables after a signal (%gs)");
}

int main(int argc, char **argv)
{
    if (pipe2(skips, O_CLOEXEC) != 0)
        return 2;
    fcntl(skips[0], F_SETFL, O_NONBLOCK);
    setenv("CK_DEFAULT_TIMEOUT", LIMIT_S, 0);
    SRunner *runner = srunner_create(suite());
    /* One test by name: PROGRAM TCASE, through Check's own CK_RUN_CASE. */
    if (argc > 1)
        setenv("CK_RUN_CASE", argv[1], 1);
    srunner_run_all(runner, CK_ENV);
    int run = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner), skipped = 0;
    srunner_free(runner);

    char buffer[65536];
    for (ssize_t n; (n = read(skips[0], buffer, sizeof buffer)) > 0;) {
        for (ssize_t i = 0, start = 0; i < n; i++) {
            if (buffer[i] != '\n')
                continue;
            printf("%s: skipped: %.*s\n", argv[0], (int)(i - start), buffer + start);
            start = i + 1;
            skipped++;
        }
    }
    printf("%d passed, %d failed, %d skipped\n", run - failed - skipped, failed, skipped);
    return failed == 0 ? 0 : 1;
}
