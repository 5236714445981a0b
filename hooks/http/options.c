#include "options.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "hooks/parts/secret.h"

#define REDIRECTS_MAX 20

/* "200", "200-299" or "2xx". */
static int parse_expected(struct grace_http *http, const char *text, struct grace_error *error)
{
    int from, to, end = 0;
    if (sscanf(text, "%3d%n", &from, &end) == 1 && text[end] == '\0')
        to = from;
    else if (sscanf(text, "%3d-%3d%n", &from, &to, &end) != 2 || text[end] != '\0') {
        if (!isdigit((unsigned char)text[0]) || strcasecmp(text + 1, "xx") != 0)
            from = to = 0;
        else
            to = (from = (text[0] - '0') * 100) + 99;
    }
    if (from < 100 || to > 599 || from > to)
        return grace_error_set(error,
                               "option \"expect\" has \"%.40s\"; expected a status as \"200\", a "
                               "range as \"200-299\", or a class as \"2xx\"",
                               text);
    if (http->expected_count == GRACE_HTTP_EXPECTED_MAX)
        return grace_error_set(error, "option \"expect\" has too many; at most %d",
                               GRACE_HTTP_EXPECTED_MAX);
    http->expected[http->expected_count].from = from;
    http->expected[http->expected_count++].to = to;
    return 0;
}

static int read_expected(struct grace_http *http, const struct grace_options *options,
                         struct grace_error *error)
{
    static const char *const usual[] = {"200-299", NULL};
    const char *const *list = grace_option_list(options, "expect");
    if (list == NULL)
        list = usual;
    http->expected_words = list[0] != NULL && list[1] == NULL ? list[0] : "one of `expect`";
    for (; *list != NULL; list++) {
        if (parse_expected(http, *list, error) != 0)
            return -1;
    }
    if (http->expected_count == 0)
        return grace_error_set(error, "option \"expect\" is empty; expected a status as \"200\"");
    return 0;
}

static int read_escape(struct grace_http *http, const struct grace_options *options,
                       struct grace_error *error)
{
    const char *escape = grace_option_string(options, "escape", "json");
    if (strcmp(escape, "json") == 0)
        http->escape = GRACE_ESCAPE_JSON;
    else if (strcmp(escape, "url") == 0)
        http->escape = GRACE_ESCAPE_URL;
    else if (strcmp(escape, "none") == 0)
        http->escape = GRACE_ESCAPE_NONE;
    else
        return grace_error_set(
            error, "option \"escape\" is \"%.40s\"; expected \"json\", \"url\" or \"none\"",
            escape);
    return 0;
}

/* What can be said of a URL before its ${…} are known. Never shows it: it may hold a password. */
static int check_url(const char *url, struct grace_error *error)
{
    if (url == NULL)
        return grace_error_set(error, "option \"url\" is missing; expected http://… or https://…");
    if (strncmp(url, "${", 2) == 0)
        return 0;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return grace_error_set(error, "option \"url\" is of another kind; expected http://… or "
                                      "https://…");
    size_t host = strcspn(url, ":") + 3;
    if (memchr(url + host, '@', strcspn(url + host, "/?#")) != NULL)
        return grace_error_set(error, "option \"url\" has a user in it; expected it in `user`, and "
                                      "the password in a file that `password_file` names");
    if (strstr(url, "${") != NULL)
        return 0;
    CURLU *parts = curl_url();
    CURLUcode wrong = parts != NULL ? curl_url_set(parts, CURLUPART_URL, url, 0) : CURLUE_OK;
    curl_url_cleanup(parts);
    if (wrong != CURLUE_OK)
        return grace_error_set(error, "option \"url\" is no URL: %s", curl_url_strerror(wrong));
    return 0;
}

static int check_header(const char *header, struct grace_error *error)
{
    size_t name = strcspn(header, ":");
    int is_token = name > 0 && header[name] == ':';
    for (size_t i = 0; i < name; i++)
        is_token = is_token && (isalnum((unsigned char)header[i]) ||
                                strchr("!#$%&'*+-.^_`|~", header[i]) != NULL);
    if (!is_token || strpbrk(header, "\r\n") != NULL)
        return grace_error_set(error, "option \"headers\" has \"%.*s…\"; expected \"Name: value\"",
                               (int)(name < 40 ? name : 40), header);
    if (strncasecmp(header, "Authorization:", 14) == 0 ||
        strncasecmp(header, "Proxy-Authorization:", 20) == 0)
        return grace_error_set(error,
                               "option \"headers\" has a secret, %.*s; expected it in a "
                               "file that `bearer_file`, `password_file` or "
                               "`headers_file` names",
                               (int)name, header);
    return grace_expand_check("headers", header, error);
}

static int check_method(const char *method, struct grace_error *error)
{
    for (const char *at = method; *at != '\0'; at++) {
        if (!isupper((unsigned char)*at))
            return grace_error_set(
                error, "option \"method\" is \"%.40s\"; expected a name as \"GET\" or \"PUT\"",
                method);
    }
    return *method != '\0' ? 0 : grace_error_set(error, "option \"method\" is empty");
}

static int check_files(const struct grace_http *http, struct grace_error *error)
{
    const struct {
        const char *option, *path;
    } secrets[] = {{"password_file", http->password_file},
                   {"bearer_file", http->bearer_file},
                   {"headers_file", http->headers_file},
                   {"key", http->key}};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (secrets[i].path != NULL &&
            grace_secret_check(secrets[i].option, secrets[i].path, error) != 0)
            return -1;
    }
    return 0;
}

static int check_together(const struct grace_http *http, struct grace_error *error)
{
    if (strchr(http->proxy, '@') != NULL)
        return grace_error_set(error, "option \"proxy\" has a user in it; expected a proxy that "
                                      "asks for none");
    if ((http->user != NULL) != (http->password_file != NULL))
        return grace_error_set(error, "options \"user\" and \"password_file\" need each other");
    if (http->bearer_file != NULL && http->user != NULL)
        return grace_error_set(error, "options \"bearer_file\" and \"user\" are two ways to say "
                                      "who asks; expected one");
    if (http->key != NULL && http->cert == NULL)
        return grace_error_set(error, "option \"key\" needs \"cert\", the certificate it is of");
    if (http->redirects < 0 || http->redirects > REDIRECTS_MAX)
        return grace_error_set(error, "option \"redirects\" is %ld; expected 0 to %d",
                               http->redirects, REDIRECTS_MAX);
    return 0;
}

static void read_options(struct grace_http *http, const struct grace_options *options)
{
    http->url = grace_option_string(options, "url", NULL);
    http->body = grace_option_string(options, "body", NULL);
    http->method = grace_option_string(options, "method", http->body != NULL ? "POST" : "GET");
    http->headers = grace_option_list(options, "headers");
    http->headers_file = grace_option_string(options, "headers_file", NULL);
    http->redirects = (long)grace_option_int(options, "redirects", 0);
    http->unix_socket = grace_option_string(options, "unix_socket", NULL);
    http->proxy = grace_option_string(options, "proxy", "");
    http->ca = grace_option_string(options, "ca", NULL);
    http->cert = grace_option_string(options, "cert", NULL);
    http->key = grace_option_string(options, "key", NULL);
    http->user = grace_option_string(options, "user", NULL);
    http->password_file = grace_option_string(options, "password_file", NULL);
    http->bearer_file = grace_option_string(options, "bearer_file", NULL);
}

static int check_options(const struct grace_http *http, struct grace_error *error)
{
    if (check_url(http->url, error) != 0 || grace_expand_check("url", http->url, error) != 0 ||
        check_method(http->method, error) != 0 ||
        (http->body != NULL && grace_expand_check("body", http->body, error) != 0))
        return -1;
    for (const char *const *header = http->headers; header != NULL && *header != NULL; header++) {
        if (check_header(*header, error) != 0)
            return -1;
    }
    return check_together(http, error) != 0 || check_files(http, error) != 0 ? -1 : 0;
}

int grace_http_read_options(struct grace_http *http, const struct grace_options *options,
                            struct grace_error *error)
{
    read_options(http, options);
    if (read_escape(http, options, error) != 0 || read_expected(http, options, error) != 0)
        return -1;
    return check_options(http, error);
}
