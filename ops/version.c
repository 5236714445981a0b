/* grace --version: what this build is, for bug reports. */
#include <gnu/libc-version.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "grace.h"
#include "hooks/grace_hook.h"
#include "hooks/ledger.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__x86_64__)
#define MACHINE "x86_64"
#elif defined(__aarch64__)
#define MACHINE "aarch64"
#elif defined(__i386__)
#define MACHINE "i386"
#endif

static void put_library(const char *name)
{
    char path[PATH_MAX];
    printf("%-16s %s\n", name,
           grace_find_library(name, path, sizeof path) ? path : "not installed");
}

void grace_print_version(void)
{
    printf("grace (libgrace) %s\n", GRACE_VERSION);
    printf("%-16s %s, %s\n", "built for", MACHINE, GRACE_MULTIARCH);
    printf("%-16s %s, glibc %d.%d\n", "built with", COMPILER, __GLIBC__, __GLIBC_MINOR__);
    printf("%-16s glibc %s\n", "runs with", gnu_get_libc_version());
    printf("%-16s plugin ABI %u, ledger %c%c%c%c\n", "formats", GRACE_HOOK_ABI,
           (char)(GRACE_LEDGER_MAGIC >> 24), (char)(GRACE_LEDGER_MAGIC >> 16 & 0xff),
           (char)(GRACE_LEDGER_MAGIC >> 8 & 0xff), (char)(GRACE_LEDGER_MAGIC & 0xff));
    put_library("libgrace.so");
    put_library("libgrace-db.so");
}
