/* How the status of a target is shown: to people, and as JSON. */
#ifndef GRACE_OPS_STATUS_PRINT_H
#define GRACE_OPS_STATUS_PRINT_H

#include <stdio.h>

#include "control.h"

/* A process id in text; 0 when it is none. */
int grace_pid_parse(const char *text);

/* Say on stderr why there is no answer for this process, and what to do. */
void grace_complain_unwatched(const char *subcommand, int pid);

/* "stopping", with the signal: "stopping (SIGTERM)". */
void grace_status_stage(const struct grace_control_status *status, char *buffer, size_t size);

/* "3 busy, 5 idle, 9 finished; 2 listeners closed; at most 8.2s more"; "" without a drain. */
void grace_status_drain(const struct grace_control_status *status, char *buffer, size_t size);

/* All of one, in a few lines and a table of hooks; or as one object. */
void grace_status_print(const struct grace_control_status *status, FILE *to);
void grace_status_json(const struct grace_control_status *status, FILE *to);

/* A line for each; or an array of objects. */
void grace_status_list_table(const struct grace_control_status *list, size_t count, FILE *to);
void grace_status_list_json(const struct grace_control_status *list, size_t count, FILE *to);

#endif
