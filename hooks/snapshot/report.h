/*
 * A report about a process, section by section, each as far as the kernel tells: of a process that
 * is gone there is nothing but what the stop itself knows.
 *
 *   snapshot.c   the options, the file, the order of the sections
 *   report.c     headings, lines, whole files; what may be a secret
 *   process.c    what it is, its memory, limits and cgroup
 *   threads.c    its threads, and their stacks in the kernel
 *   stacks.c     their stacks in the program, by eu-stack
 *   files.c      what it has open
 *   sockets.c    what its sockets are connected to
 */
#ifndef GRACE_HOOKS_SNAPSHOT_REPORT_H
#define GRACE_HOOKS_SNAPSHOT_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "hooks/grace_hook.h"

struct grace_report {
    FILE *out;
    int pid;
    const struct grace_stop *stop;
};

/* ---- report.c ------------------------------------------------------------------------------ */

/* "== TITLE" with an empty line before it. */
void grace_report_section(struct grace_report *report, const char *title);

/* A line of the section; control characters of what it shows become dots. */
void grace_report_line(struct grace_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The file /proc/PID/NAME (or an absolute path), line by line behind `indent`; the reason when it
 * cannot be read. With `only` (ended by NULL) just the lines that begin so. */
void grace_report_file(struct grace_report *report, const char *name, const char *indent,
                       const char *const *only);

/* A small file as one line; "" when it cannot be read. */
void grace_report_read(const struct grace_report *report, const char *name, char *text,
                       size_t size);

/* Whether a name is one that holds a secret, such as DB_PASSWORD or --api-key. */
int grace_report_is_secret(const char *name);

/* Whether a value speaks of secrets within, as "host=db password=x" does. */
int grace_report_holds_secret(const char *value);

/* Take the user and the password out of URLs; stars stand for them. */
void grace_report_hide_in_urls(char *text);

/* ---- sections ------------------------------------------------------------------------------ */

void grace_report_process(struct grace_report *report);
void grace_report_memory(struct grace_report *report);
void grace_report_limits(struct grace_report *report);
void grace_report_cgroup(struct grace_report *report);
void grace_report_threads(struct grace_report *report);
void grace_report_stacks(struct grace_report *report, int64_t limit_ms);
void grace_report_files(struct grace_report *report);

/* ---- sockets.c ----------------------------------------------------------------------------- */

struct grace_sockets; /* those of the process' network namespace, by inode */
struct grace_sockets *grace_sockets_read(const struct grace_report *report);
const char *grace_sockets_find(const struct grace_sockets *sockets, uint64_t inode);
void grace_sockets_free(struct grace_sockets *sockets);

#endif
