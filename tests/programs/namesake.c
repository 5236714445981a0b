/*
 * A program that exports functions whose names others use too: libconfig's, as lighttpd and slapd
 * do, libgrace's own, and some of libc's. Whoever calls one of them by mistake ends the program.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MINE(name)                                                                                 \
    void name(void);                                                                               \
    void name(void)                                                                                \
    {                                                                                              \
        static const char words[] = #name " was called\n";                                         \
        if (write(2, words, sizeof words - 1) > 0)                                                 \
            _exit(88);                                                                             \
    }

MINE(config_init)
MINE(config_destroy)
MINE(config_read)
MINE(config_read_file)
MINE(config_read_string)
MINE(config_lookup)
MINE(config_root_setting)
MINE(config_setting_get_elem)
MINE(config_setting_get_member)
MINE(config_setting_get_string)
MINE(config_setting_length)
MINE(config_set_options)
MINE(config_set_include_dir)
MINE(libconfig_yyparse)
MINE(libconfig_yylex)
MINE(libconfig_scanctx_init)

MINE(grace_log)
MINE(grace_plan_read)
MINE(grace_plan_free)
MINE(grace_command_run)
MINE(grace_plugin_load)
MINE(grace_text_add)

MINE(error)
MINE(warn)
MINE(dprintf)
MINE(syslog)

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "stop") == 0) {
        if (write(1, "ready\n", 6) != 6)
            return 99;
        for (;;)
            pause();
    }
    return write(1, "main\n", 5) == 5 ? 3 : 99;
}
