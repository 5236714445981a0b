#include "harness_transactions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KILLS      6
#define BARE_KILLS 100 /* until one is cut */

static unsigned wanted_kills(void)
{
    const char *value = getenv("TRANSACTION_KILLS");
    return value != NULL ? (unsigned)atoi(value) : 0;
}

TCase *transaction_case(Suite *suite, const char *name)
{
    TCase *group = story_case(suite, name);
    tcase_set_timeout(group, 300 + wanted_kills() * 20);
    return group;
}

struct process *start_committer(enum way way, const char *const *argv)
{
    const char *words[32] = {product("grace"), "run", "--db", "--config", here("grace.conf"), "--"};
    size_t count = way == BARE ? 0 : 6;
    for (size_t i = 0; argv[i] != NULL && count < 31; i++)
        words[count++] = argv[i];
    words[count] = NULL;
    return launch(&(struct launch){.way = BARE, .argv = words});
}

/* What the file says last. */
static const char *last_line(void)
{
    char *all = contents("file");
    size_t length = strlen(all);
    if (length > 0 && all[length - 1] == '\n')
        all[length - 1] = '\0';
    const char *last = strrchr(all, '\n');
    return last == NULL ? all : last + 1;
}

/* Whether the kill fell inside: the file does not say that the last one is done, or the table does
 * not hold it, or more. */
static bool is_cut(query_function *query, const char **seen)
{
    const char *last = last_line();
    long done = strncmp(last, "done ", 5) == 0 ? atol(last + 5) : -1;
    long rows = 0, highest = 0;
    char *answer = query("SELECT count(*), max(n) FROM t");
    bool answered = sscanf(answer, "%ld%*[|\t ]%ld", &rows, &highest) == 2;
    *seen = text("file: %s; table: %s", last, answer);
    if (!answered)
        return strcmp(last, "") != 0; /* the table is empty */
    return done != highest || rows != 2 * done;
}

/* One life of it. */
static bool is_cut_by_a_kill(enum way way, const struct committer *committer, query_function *query,
                             const char **seen)
{
    query("DELETE FROM t");
    write_file("file", "%s", "");
    struct process *process = start_committer(way, committer->argv);
    wait_ready(process);
    unsigned moment = (unsigned)rand() % 60;
    let_pass(moment);
    expect_status(stop_with(process, SIGTERM), KILLED(SIGTERM));
    bool cut = is_cut(query, seen);
    *seen = text("%s after %u ms; %s\n%s", *seen, moment, committer->name, contents(process->err));
    return cut;
}

void expect_none_cut(const struct committer *committer, query_function *query)
{
    const char *given = getenv("TRANSACTION_SEED"), *seen = "";
    unsigned seed = given != NULL ? (unsigned)atoi(given) : (unsigned)time(NULL);
    unsigned wanted = wanted_kills(), cut = 0, bare = 0, inside = 0;
    srand(seed);
    /* PHP has a handler for SIGTERM that sends it again. */
    config("drain = { when = \"always\"; timeout = \"30s\"; }; deadline = \"60s\";");
    while (wanted > 0 ? bare < wanted : cut == 0 && bare < BARE_KILLS) {
        cut += is_cut_by_a_kill(BARE, committer, query, &seen);
        bare++;
    }
    expect(cut > 0, "bare, %u kills, seed %u", bare, seed);
    unsigned kills = wanted > 0 ? wanted : KILLS;
    for (unsigned i = 0; i < kills; i++) {
        inside = is_cut_by_a_kill(GRACED, committer, query, &seen);
        expect(inside == 0, "kill %u, seed %u: %s", i, seed, seen);
    }
    if (wanted > 0)
        printf("%s: seed %u; bare %u of %u cut, under libgrace 0 of %u\n", committer->name, seed,
               cut, bare, kills);
}

void wait_transactions(const struct process *process, unsigned count)
{
    const char *wanted = text("\"transactions\":%u,", count);
    for (int64_t since = now_ms();; let_pass(5)) {
        struct process *asked =
            start(BARE, product("grace"), "status", "--json", text("%d", process->pid));
        wait_end(asked);
        if (strstr(contents(asked->out), wanted) != NULL)
            return;
        expect(now_ms() - since < STORY_LIMIT_MS, "%s%s", contents(asked->out),
               contents(process->err));
    }
}

struct process *stop_in_the_middle(const char *const *argv)
{
    /* With a guardian, which answers `grace status`. */
    config("drain = { timeout = \"30m\"; }; deadline = \"60m\"; hooks = (%s);",
           hook_command("A", "phase = \"cleanup\";"));
    struct process *process = start_committer(GRACED, argv);
    wait_ready(process);
    send_signal(process, SIGTERM);
    wait_transactions(process, 1);
    return process;
}

void expect_finished(struct process *process)
{
    write_file("go", "%s", "");
    expect_status(wait_end(process), KILLED(SIGTERM));
    expect(exists("done") && !exists("too_far"));
    expect(strstr(contents(process->err), "0 transactions cut") != NULL, "%s",
           contents(process->err));
    shell("rm -f go done");
}

void expect_nothing_to_finish(const char *const *argv)
{
    config("drain = { timeout = \"30m\"; }; deadline = \"60m\";");
    struct process *process = start_committer(GRACED, argv);
    wait_ready(process);
    expect_status(stop_with(process, SIGTERM), KILLED(SIGTERM));
    expect(strstr(contents(process->err), "0 transactions cut") != NULL, "%s",
           contents(process->err));
}
