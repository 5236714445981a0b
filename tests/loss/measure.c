/* One stop of one server, by the load generator. */
#include "loss.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define WORDS 64
#define WORD  1024

/* A command line that is being put together. */
struct words {
    char *word[WORDS + 1];
    char text[WORDS][WORD];
    size_t count;
    const struct loss_place *place;
    int port;
};

int loss_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        abort();
    close(listener);
    return ntohs(address.sin_port);
}

static void replace(char *word, size_t size, const char *name, const char *value)
{
    char copy[WORD];
    for (char *at; (at = strstr(word, name)) != NULL;) {
        snprintf(copy, sizeof copy, "%.*s%s%s", (int)(at - word), word, value, at + strlen(name));
        snprintf(word, size, "%s", copy);
    }
}

static void add(struct words *words, const char *text)
{
    char port[16];
    if (words->count == WORDS)
        abort();
    char *word = words->text[words->count];
    words->word[words->count++] = word;
    snprintf(port, sizeof port, "%d", words->port);
    snprintf(word, WORD, "%s", text);
    replace(word, WORD, "@PORT", port);
    replace(word, WORD, "@BUILD", words->place->build);
    replace(word, WORD, "@DIR", words->place->directory);
}

static void add_all(struct words *words, const char *const *more)
{
    for (size_t i = 0; more[i] != NULL; i++)
        add(words, more[i]);
}

static void write_config(const struct loss_row *row, const struct loss_place *place)
{
    char path[512];
    snprintf(path, sizeof path, "%s/loss.conf", place->directory);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        abort();
    fprintf(file, "log = { to = \"file\"; path = \"%s/grace.log\"; level = \"debug\"; };\n",
            place->directory);
    if (row->drain != NULL)
        fprintf(file, "drain = { %s };\n", row->drain);
    fclose(file);
}

/* Its output goes to `out`, or away. */
static pid_t begin(struct words *words, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (out >= 0) {
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    } else {
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    }
    pid_t pid;
    if (posix_spawnp(&pid, words->word[0], &actions, NULL, words->word, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static double figure(const char *line, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(line, key);
    return at != NULL ? strtod(at + strlen(key), NULL) : 0;
}

static bool read_report(FILE *output, struct loss *loss)
{
    char line[sizeof loss->line];
    bool reported = false;
    while (fgets(line, sizeof line, output) != NULL) {
        if (strcmp(line, "ready\n") == 0 || reported)
            continue;
        snprintf(loss->line, sizeof loss->line, "%s", line);
        reported = line[0] == '{';
    }
    const struct {
        const char *name;
        double *into;
    } figures[] = {
        {"sent", &loss->sent},       {"whole", &loss->whole},
        {"lost", &loss->lost},       {"refused", &loss->refused},
        {"raced", &loss->raced},     {"closed", &loss->closed},
        {"left", &loss->left},       {"wrong", &loss->wrong},
        {"after", &loss->after},     {"p50_us", &loss->p50_us},
        {"p99_us", &loss->p99_us},   {"last_answer_ms", &loss->last_answer_ms},
        {"stop_ms", &loss->stop_ms}, {"ending_ms", &loss->ending_ms},
        {"cpu_ms", &loss->cpu_ms},   {"cpu_later_ms", &loss->cpu_later_ms},
        {"status", &loss->status},
    };
    for (size_t i = 0; reported && i < sizeof figures / sizeof figures[0]; i++)
        *figures[i].into = figure(loss->line, figures[i].name);
    return reported;
}

static bool run_load(struct words *words, struct loss *loss)
{
    int ends[2], status = 1;
    *loss = (struct loss){.line = "no report\n"};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t pid = begin(words, ends[1]);
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    bool reported = pid > 0 && output != NULL && read_report(output, loss);
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (output != NULL)
        fclose(output);
    return reported && status == 0;
}

bool loss_measure(const struct loss_row *row, bool graced, const struct loss_place *place,
                  struct loss *loss)
{
    struct words words = {.place = place, .port = loss_free_port()};
    struct words second = {.place = place, .port = words.port};
    write_config(row, place);
    add(&words, "@BUILD/tests/programs/load");
    add_all(&words, (const char *const[]){"--log", "@DIR/server.log", NULL});
    if (graced)
        add_all(&words, (const char *const[]){"--preload", "@BUILD/libgrace.so", "--config",
                                              "@DIR/loss.conf", NULL});
    add_all(&words, row->load);
    add(&words, row->target);
    add(&words, "--");
    add_all(&words, row->command);
    add_all(&second, row->second);
    pid_t other = second.count > 0 ? begin(&second, -1) : 0;
    bool measured = run_load(&words, loss);
    if (other > 0 && kill(other, SIGKILL) == 0)
        waitpid(other, NULL, 0);
    return measured;
}
