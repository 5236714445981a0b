/* The options of the plugin "http". */
#ifndef GRACE_HOOKS_HTTP_OPTIONS_H
#define GRACE_HOOKS_HTTP_OPTIONS_H

#include "hooks/grace_hook.h"
#include "hooks/parts/expand.h"

#define GRACE_HTTP_EXPECTED_MAX 32

/* Strings are the config's; NULL: not given. */
struct grace_http {
    const char *url, *method, *body, *unix_socket, *proxy, *ca, *cert, *key;
    const char *user, *password_file, *bearer_file, *headers_file;
    const char *const *headers;
    enum grace_escape escape; /* of values in the body */
    long redirects;
    struct {
        int from, to;
    } expected[GRACE_HTTP_EXPECTED_MAX];
    size_t expected_count;
    const char *expected_words;
};

/* Read and check them all. Returns 0, or -1 with the error set. */
int grace_http_read_options(struct grace_http *http, const struct grace_options *options,
                            struct grace_error *error);

#endif
