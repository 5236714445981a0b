/* The config key `metrics`: one more stop in the file that it names. */
#ifndef GRACE_OPS_COUNT_STOP_H
#define GRACE_OPS_COUNT_STOP_H

#include "keeper.h"

/* Count the stop of a keeper whose work is done, unless the config names no file or somebody has
 * counted it already. A failure is a line in the log. */
void grace_keeper_count(const struct grace_keeper *keeper);

/* grace count-stop PATH: the same for a target without a guardian. It is told of the stop in its
 * environment, as a hook's command is. Not for people. */
int grace_count_stop_main(int argc, char **argv);

#endif
