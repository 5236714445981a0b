/*
 * The plugin "http": one request, by libcurl.
 *
 *     { name = "deregister"; phase = "announce"; plugin = "http";
 *       options = { method = "PUT"; url = "http://127.0.0.1:8500/v1/agent/service/deregister/web1";
 * }; }
 *
 * External: libcurl never enters the target. Nothing comes from the environment but what ${…}
 * names: no proxy, no netrc. A redirect is an answer like any other unless `redirects` allows them.
 */
#include "grace_hook.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/options.h"
#include "parts/patience.h"
#include "parts/secret.h"
#include "text.h"

static int configure(const struct grace_options *options, void **state, struct grace_error *error)
{
    struct grace_http *http = calloc(1, sizeof *http);
    if (http == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(http);
        return grace_error_set(error, "libcurl cannot be set up");
    }
    if (grace_http_read_options(http, options, error) == 0) {
        *state = http;
        return 0;
    }
    free(http);
    return -1;
}

/* ---- one request ---------------------------------------------------------------------------- */

/* What a request is made of, and what came of it. */
struct request {
    CURL *curl;
    char *url, *body, *password, *bearer;
    struct curl_slist *headers;
    char curl_error[CURL_ERROR_SIZE];
    char answer[160]; /* how the answer's body begins */
    size_t answer_length;
};

static size_t keep_answer(char *data, size_t unused, size_t length, void *argument)
{
    struct request *request = argument;
    size_t room = sizeof request->answer - request->answer_length;
    size_t kept = length < room ? length : room;
    (void)unused;
    memcpy(request->answer + request->answer_length, data, kept);
    request->answer_length += kept;
    return length;
}

static int add_header(struct request *request, const char *header, struct grace_error *error)
{
    struct curl_slist *longer = curl_slist_append(request->headers, header);
    if (longer == NULL)
        return grace_error_set(error, "out of memory");
    request->headers = longer;
    return 0;
}

static int has_header(const struct request *request, const char *name)
{
    for (const struct curl_slist *at = request->headers; at != NULL; at = at->next) {
        if (strncasecmp(at->data, name, strlen(name)) == 0 && at->data[strlen(name)] == ':')
            return 1;
    }
    return 0;
}

/* A value as "a: b" at the front of a URL is the user's own way to name the server: as it is. */
static char *expand_url(const char *url, struct grace_error *error)
{
    const char *rest = strncmp(url, "${", 2) == 0 ? strchr(url, '}') + 1 : url;
    char *front = grace_expand_part("url", url, (size_t)(rest - url), GRACE_ESCAPE_NONE, error);
    char *back = front != NULL ? grace_expand("url", rest, GRACE_ESCAPE_URL, error) : NULL;
    char *whole = NULL;
    if (back != NULL && asprintf(&whole, "%s%s", front, back) < 0)
        whole = NULL;
    free(front);
    free(back);
    return whole;
}

static int add_headers(struct request *request, const struct grace_http *http,
                       struct grace_error *error)
{
    for (const char *const *at = http->headers; at != NULL && *at != NULL; at++) {
        char *header = grace_expand("headers", *at, GRACE_ESCAPE_LINE, error);
        int failed = header == NULL || add_header(request, header, error) != 0;
        free(header);
        if (failed)
            return -1;
    }
    if (http->headers_file != NULL) {
        char *secret = grace_secret_read("headers_file", http->headers_file, error);
        int failed = secret == NULL;
        if (secret != NULL && (secret[0] == ':' || strchr(secret, ':') == NULL))
            failed = grace_error_set(error, "headers_file: %s holds no \"Name: value\"",
                                     http->headers_file);
        failed = failed || add_header(request, secret, error) != 0;
        grace_secret_free(secret);
        if (failed)
            return -1;
    }
    if (http->body != NULL && !has_header(request, "Content-Type") &&
        add_header(request,
                   http->escape == GRACE_ESCAPE_JSON  ? "Content-Type: application/json"
                   : http->escape == GRACE_ESCAPE_URL ? "Content-Type: "
                                                        "application/x-www-form-urlencoded"
                                                      : "Content-Type: text/plain",
                   error) != 0)
        return -1;
    return add_header(request, "Expect:", error);
}

static int prepare(struct request *request, const struct grace_http *http,
                   struct grace_error *error)
{
    request->curl = curl_easy_init();
    if (request->curl == NULL)
        return grace_error_set(error, "libcurl gives no handle");
    request->url = expand_url(http->url, error);
    if (request->url == NULL)
        return -1;
    if (http->body != NULL &&
        (request->body = grace_expand("body", http->body, http->escape, error)) == NULL)
        return -1;
    if (http->password_file != NULL && (request->password = grace_secret_read(
                                            "password_file", http->password_file, error)) == NULL)
        return -1;
    if (http->bearer_file != NULL &&
        (request->bearer = grace_secret_read("bearer_file", http->bearer_file, error)) == NULL)
        return -1;
    return add_headers(request, http, error);
}

/* The first option that libcurl refuses, if any. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        CURLcode refused_ = curl_easy_setopt(request->curl, option, value);                        \
        if (refused_ != CURLE_OK)                                                                  \
            return grace_error_set(error, "libcurl refuses %s: %s", #option,                       \
                                   curl_easy_strerror(refused_));                                  \
    } while (0)

static int set_ways(struct request *request, const struct grace_http *http,
                    struct grace_error *error)
{
    SET(CURLOPT_PROXY, http->proxy);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, http->redirects > 0 ? 1L : 0L);
    SET(CURLOPT_MAXREDIRS, http->redirects);
    if (http->unix_socket != NULL)
        SET(CURLOPT_UNIX_SOCKET_PATH, http->unix_socket);
    if (http->ca != NULL) {
        SET(CURLOPT_CAINFO, http->ca);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (http->cert != NULL) {
        SET(CURLOPT_SSLCERT, http->cert);
        SET(CURLOPT_SSLKEY, http->key != NULL ? http->key : http->cert);
    }
    return 0;
}

static int set_request(struct request *request, const struct grace_http *http,
                       struct grace_error *error)
{
    SET(CURLOPT_URL, request->url);
    if (strcmp(http->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (request->body != NULL || strcmp(http->method, "GET") != 0) {
        const char *body = request->body != NULL ? request->body : "";
        /* Even none has a length to be told: servers wait for it. */
        if (request->body != NULL || strcmp(http->method, "DELETE") != 0) {
            SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
            SET(CURLOPT_POSTFIELDS, body);
        }
        SET(CURLOPT_CUSTOMREQUEST, http->method);
    }
    if (request->body == NULL && !has_header(request, "Content-Type") &&
        add_header(request, "Content-Type:", error) != 0)
        return -1;
    SET(CURLOPT_HTTPHEADER, request->headers);
    if (request->password != NULL) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, http->user);
        SET(CURLOPT_PASSWORD, request->password);
    }
    if (request->bearer != NULL) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        SET(CURLOPT_XOAUTH2_BEARER, request->bearer);
    }
    return 0;
}

static int set_limits(struct request *request, const struct grace_stop *stop,
                      struct grace_error *error)
{
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)grace_patience_ms(stop));
    SET(CURLOPT_ERRORBUFFER, request->curl_error);
    SET(CURLOPT_WRITEFUNCTION, keep_answer);
    SET(CURLOPT_WRITEDATA, request);
    SET(CURLOPT_USERAGENT, "libgrace/" GRACE_VERSION);
    return 0;
}

/* ---- what came of it ------------------------------------------------------------------------ */

/* Where the request went, without what may be a secret: a user, and all behind a question mark. */
static void name_place(const struct grace_http *http, const char *url, char *place, size_t size)
{
    struct grace_text text;
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    grace_text_start(&text, place, size);
    grace_text_format(&text, "%s %.*s", http->method, (int)(host - url), url);
    if (at != NULL)
        host = at + 1;
    size_t length = strcspn(host, "?#");
    grace_text_add_printable(&text, host, length < 200 ? length : 200);
}

static int judge(const struct request *request, const struct grace_http *http, const char *place,
                 struct grace_error *error)
{
    long status = 0;
    char answer[4 * sizeof request->answer + 8];
    struct grace_text text;
    curl_easy_getinfo(request->curl, CURLINFO_RESPONSE_CODE, &status);
    for (size_t i = 0; i < http->expected_count; i++) {
        if (status >= http->expected[i].from && status <= http->expected[i].to)
            return 0;
    }
    grace_text_start(&text, answer, sizeof answer);
    grace_text_add_printable(&text, request->answer, request->answer_length);
    return grace_error_set(error, "%s: the answer is %ld, not %s%s%.200s", place, status,
                           http->expected_words, text.length > 0 ? ": " : "", answer);
}

static int perform(struct request *request, const struct grace_http *http,
                   const struct grace_stop *stop, struct grace_error *error)
{
    char place[512];
    if (set_ways(request, http, error) != 0 || set_request(request, http, error) != 0 ||
        set_limits(request, stop, error) != 0)
        return -1;
    name_place(http, request->url, place, sizeof place);
    CURLcode code = curl_easy_perform(request->curl);
    if (code == CURLE_OK)
        return judge(request, http, place, error);
    return grace_error_set(error, "%.250s: %s", place,
                           request->curl_error[0] != '\0' ? request->curl_error
                                                          : curl_easy_strerror(code));
}

static int run(void *state, const struct grace_stop *stop, struct grace_error *error)
{
    const struct grace_http *http = state;
    struct request request = {.curl = NULL};
    int result = prepare(&request, http, error);
    if (result == 0 && request.url != NULL)
        result = perform(&request, http, stop, error);
    curl_slist_free_all(request.headers);
    if (request.curl != NULL)
        curl_easy_cleanup(request.curl);
    free(request.url);
    free(request.body);
    grace_secret_free(request.password);
    grace_secret_free(request.bearer);
    return result;
}

static void release(void *state)
{
    free(state);
    curl_global_cleanup();
}

GRACE_HOOK_EXPORT const struct grace_hook grace_hook = {
    GRACE_HOOK_ABI, sizeof grace_hook,        GRACE_HOOK_EXTERNAL, 0,
    "http",         "makes one HTTP request", configure,           run,
    release,
};
