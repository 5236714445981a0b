/* The grace command: what its parts share. Each subcommand is a file of its own with one main. */
#ifndef GRACE_OPS_GRACE_H
#define GRACE_OPS_GRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Subcommands: argv[0] is "grace NAME" for messages. Each returns the exit status (sysexits.h). */
int grace_run_main(int argc, char **argv);
int grace_check_main(int argc, char **argv);
int grace_inspect_main(int argc, char **argv);
int grace_recover_main(int argc, char **argv);
int grace_ps_main(int argc, char **argv);
int grace_status_main(int argc, char **argv);
int grace_stop_main(int argc, char **argv);
int grace_new_hook_main(int argc, char **argv);

/* The folder of the running executable, where its plugins are looked for. Returns buffer, "" when
 * it is not known. */
const char *grace_own_folder(char *buffer, size_t size);

/* A library of ours: beside the command in a build, in lib/ when that is in bin/. Writes its path;
 * false when it is not there. */
bool grace_find_library(const char *name, char *path, size_t size);

/* What this build is, on stdout. */
void grace_print_version(void);

/* Whether a stream is a terminal on which a line may be changed in place. */
bool grace_is_terminal(FILE *stream);

/* Whether colour may be used on a stream: a terminal that is not dumb, and NO_COLOR not set. */
bool grace_may_colour(FILE *stream);

#endif
