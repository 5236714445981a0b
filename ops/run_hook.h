/* The hidden subcommand that runs one external plugin; see run_hook.c. */
#ifndef GRACE_OPS_RUN_HOOK_H
#define GRACE_OPS_RUN_HOOK_H

/* argv: "run-hook", the config file, the hook's name, the plugin's file. Returns the exit status.
 */
int grace_run_hook_main(int argc, char **argv);

#endif
