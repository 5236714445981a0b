/* What stories about the plugins that ship with libgrace are written with. */
#ifndef GRACE_TESTS_HARNESS_HOOKS_H
#define GRACE_TESTS_HARNESS_HOOKS_H

#include "harness.h"

/* A hook of the config: the plugin NAME of the build, called NAME, with the options' text. `more`
 * is further settings, as in "phase = \"announce\";". */
char *hook_shipped(const char *plugin, const char *options, const char *more);

/* Fails unless `grace check` refuses these options, says all of the words, and names the file and
 * the line at which the hook stands. */
void expect_refused(const char *plugin, const char *options, const char *words);

/* Fails unless it refuses them without showing these words. */
void expect_refused_silently(const char *plugin, const char *options, const char *words);

/* Fails unless `grace check` takes them. */
void expect_taken(const char *plugin, const char *options);

/* Start program `worker` under the config, and end it by the signal, which it dies of. */
struct process *stop_worker(int signo);

/* Until the story's processes are gone, then: the worker's log has the words, or has not. */
#define expect_logged(process, words) expect_logged_at(__FILE__, __LINE__, process, words, true)
#define expect_not_logged(process, words)                                                          \
    expect_logged_at(__FILE__, __LINE__, process, words, false)
void expect_logged_at(const char *file, int line, const struct process *process, const char *words,
                      bool expected);

/* A file with a mode. */
char *secret_file(const char *name, const char *secret, unsigned mode);

/* Run a shell script in the story's directory; fails unless it succeeds. Returns what it wrote. */
char *shell(const char *script);

/* Certificates, made once in a story: ca.pem; server.pem and server.key for "localhost" and
 * 127.0.0.1; away.pem and away.key for "elsewhere"; client.pem and client.key for "legacyd";
 * other.pem, which signed none of them. */
void make_certificates(void);

#endif
