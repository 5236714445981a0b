/*
 * The guardian by itself, with a ledger that this test makes up: one that fits its config, one of
 * another config, and files with anything in them. Under a sanitizer it is the guardian that is
 * watched. What it does for real targets: tests/system/test_guardian*.c.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/fingerprint.h"
#include "config/plan.h"
#include "hooks/ledger.h"
#include "tests/suite.h"

#define LIMIT_MS 60000

static char directory[] = "/tmp/grace-guardian.XXXXXX";
static char config_path[PATH_MAX], order_path[PATH_MAX], command_path[PATH_MAX];
static pid_t owner;
static int owner_fd;

static void write_config(const char *names)
{
    FILE *file = fopen(config_path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "deadline = \"1s\";\nhooks = (\n");
    for (const char *name = names; *name != '\0'; name++)
        fprintf(file, "{ name = \"%c\"; command = [\"/bin/sh\", \"-c\", \"echo %c >> %s\"]; }%s\n",
                *name, *name, order_path, name[1] != '\0' ? "," : "");
    fprintf(file, ");\n");
    fclose(file);
}

static void set_up(void)
{
    const char *build = getenv("GRACE_BUILD");
    snprintf(command_path, sizeof command_path, "%s/grace", build != NULL ? build : "build");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(config_path, sizeof config_path, "%s/grace.conf", directory);
    snprintf(order_path, sizeof order_path, "%s/order", directory);
    write_config("CBA");
    owner = fork();
    if (owner == 0)
        for (;;)
            pause();
    owner_fd = pidfd_open(owner, 0);
    ck_assert_int_ge(owner_fd, 0);
}

static void tear_down(void)
{
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    unlink(config_path);
    unlink(order_path);
    rmdir(directory);
}

static uint64_t fingerprint(void)
{
    struct grace_problems problems = GRACE_PROBLEMS_EMPTY;
    struct grace_plan *plan = grace_plan_read(config_path, &problems);
    ck_assert_ptr_nonnull(plan);
    uint64_t result = grace_plan_fingerprint(plan);
    grace_plan_free(plan);
    grace_problems_free(&problems);
    return result;
}

/* As libgrace.so starts it; what it says goes to the file of that name. -1: closed. */
static pid_t start_guardian(int ledger_fd)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)owner);
    pid_t child = fork();
    if (child != 0)
        return child;
    int ledger = ledger_fd < 0 ? -1 : fcntl(ledger_fd, F_DUPFD, 10);
    int watched = fcntl(owner_fd, F_DUPFD, 10);
    dup2(watched, 4);
    close(3);
    if (ledger >= 0)
        dup2(ledger, 3);
    close_range(5, ~0u, 0);
    execl(command_path, "grace-guardian", config_path, "prog", pid, (char *)NULL);
    _exit(126);
}

static int end_of(pid_t child)
{
    int status, fd = pidfd_open(child, 0);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    if (poll(&end, 1, LIMIT_MS) != 1) {
        kill(child, SIGKILL);
        ck_abort_msg("the guardian does not end");
    }
    close(fd);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static const char *order(void)
{
    static char text[256];
    FILE *file = fopen(order_path, "r");
    size_t length = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

static struct grace_ledger *make_ledger(size_t hooks, uint64_t of, int *fd)
{
    struct grace_ledger *ledger =
        grace_ledger_create(hooks, of, "prog", config_path, NULL, NULL, 0, fd);
    ck_assert_ptr_nonnull(ledger);
    atomic_store(&ledger->owner, (int32_t)owner);
    return ledger;
}

static int32_t wait_answer(struct grace_ledger *ledger)
{
    while (atomic_load(&ledger->guardian) == 0)
        grace_ledger_wait(&ledger->answered, 0, 100);
    return atomic_load(&ledger->guardian);
}

/* ---- a ledger of its config ---------------------------------------------------------------- */

START_TEST(it_runs_what_is_owed_when_the_owner_is_killed)
{
    int fd;
    struct grace_ledger *ledger = make_ledger(3, fingerprint(), &fd);
    pid_t guardian = start_guardian(fd);
    ck_assert_int_eq(wait_answer(ledger), guardian);
    ck_assert(grace_ledger_claim(ledger, 1)); /* somebody took B and died */
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    ck_assert_int_eq(end_of(guardian), EX_OK);
    ck_assert_str_eq(order(), "A\nC\n");
    ck_assert_int_eq(grace_ledger_state(ledger, 0), GRACE_HOOK_DONE);
    ck_assert_int_eq(grace_ledger_state(ledger, 1), GRACE_HOOK_TAKEN);
}
END_TEST

START_TEST(it_runs_what_it_is_asked_for)
{
    int fd;
    struct grace_ledger *ledger = make_ledger(3, fingerprint(), &fd);
    pid_t guardian = start_guardian(fd);
    wait_answer(ledger);
    ck_assert(grace_ledger_ask(ledger, 2));
    grace_ledger_ring(&ledger->asked);
    for (uint32_t seen; grace_ledger_state(ledger, 2) != GRACE_HOOK_DONE;) {
        seen = atomic_load(&ledger->answered);
        grace_ledger_wait(&ledger->answered, seen, 100);
    }
    ck_assert_str_eq(order(), "A\n");
    kill(owner, SIGKILL);
    ck_assert_int_eq(end_of(guardian), EX_OK);
    ck_assert_str_eq(order(), "A\nB\nC\n");
}
END_TEST

/* Dead before the guardian even began. */
START_TEST(an_owner_that_is_gone_already)
{
    int fd;
    make_ledger(3, fingerprint(), &fd);
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    ck_assert_int_eq(end_of(start_guardian(fd)), EX_OK);
    ck_assert_str_eq(order(), "A\nB\nC\n");
}
END_TEST

/* ---- one that is not ----------------------------------------------------------------------- */

static void is_refused(int fd, const struct grace_ledger *ledger)
{
    ck_assert_int_eq(end_of(start_guardian(fd)), EX_CONFIG << 8);
    if (ledger != NULL)
        ck_assert_int_eq(atomic_load(&ledger->guardian), -1);
    ck_assert_str_eq(order(), "");
}

START_TEST(a_config_that_was_replaced_in_between)
{
    int fd;
    struct grace_ledger *ledger = make_ledger(3, fingerprint(), &fd);
    write_config("CXA");
    is_refused(fd, ledger);
}
END_TEST

START_TEST(a_config_that_is_gone)
{
    int fd;
    struct grace_ledger *ledger = make_ledger(3, fingerprint(), &fd);
    unlink(config_path);
    is_refused(fd, ledger);
}
END_TEST

START_TEST(a_config_that_was_broken)
{
    int fd;
    struct grace_ledger *ledger = make_ledger(3, fingerprint(), &fd);
    FILE *file = fopen(config_path, "a");
    fprintf(file, "nonsense = ;\n");
    fclose(file);
    is_refused(fd, ledger);
}
END_TEST

START_TEST(a_ledger_of_more_or_fewer_hooks)
{
    static const size_t counts[] = {0, 2, 4, 1000};
    int fd;
    struct grace_ledger *ledger = make_ledger(counts[_i], fingerprint(), &fd);
    is_refused(fd, ledger);
}
END_TEST

START_TEST(no_ledger_at_all)
{
    is_refused(-1, NULL);
    int null = open("/dev/null", O_RDWR);
    is_refused(null, NULL);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    is_refused(ends[0], NULL);
}
END_TEST

/* ---- anything at all ----------------------------------------------------------------------- */

/* A file that looks like a ledger of the config in all but what a target could change. */
static int random_ledger(uint64_t of)
{
    int fd;
    struct grace_ledger *made = make_ledger(3, of, &fd);
    uint32_t *words = (uint32_t *)made;
    size_t count = (sizeof *made + 3 * sizeof made->hooks[0]) / sizeof *words;
    for (size_t i = 0; i < count; i++) {
        bool head = i < offsetof(struct grace_ledger, owner) / sizeof *words;
        if (random() % (head ? 30 : 2) == 0)
            words[i] =
                random() % 2 == 0 ? (uint32_t)random() % 6 : (uint32_t)random() * 2654435761u;
    }
    return fd;
}

static bool runs_nothing_twice(void)
{
    const char *ran = order();
    for (const char *name = "ABC"; *name != '\0'; name++) {
        const char *first = strchr(ran, *name);
        if (first != NULL && strchr(first + 1, *name) != NULL)
            return false;
    }
    return strspn(ran, "ABC\n") == strlen(ran);
}

START_TEST(random_ledgers_do_no_harm)
{
    unsigned seed = (unsigned)getpid(), served = 0;
    uint64_t of = fingerprint();
    printf("guardian, random ledgers: seed %u\n", seed);
    fflush(stdout);
    srandom(seed);
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    for (int i = 0; i < 60; i++) {
        int fd = random_ledger(of), status = end_of(start_guardian(fd));
        ck_assert_msg(status == EX_OK || status == EX_CONFIG << 8, "status %x, round %d", status,
                      i);
        ck_assert_msg(runs_nothing_twice(), "round %d ran %s", i, order());
        served += status == EX_OK;
        unlink(order_path);
        close(fd);
    }
    ck_assert_uint_gt(served, 5);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("guardian by itself");
    TCase *group = tcase_create("ledgers");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_add_test(group, it_runs_what_is_owed_when_the_owner_is_killed);
    tcase_add_test(group, it_runs_what_it_is_asked_for);
    tcase_add_test(group, an_owner_that_is_gone_already);
    tcase_add_test(group, a_config_that_was_replaced_in_between);
    tcase_add_test(group, a_config_that_is_gone);
    tcase_add_test(group, a_config_that_was_broken);
    tcase_add_loop_test(group, a_ledger_of_more_or_fewer_hooks, 0, 4);
    tcase_add_test(group, no_ledger_at_all);
    tcase_add_test(group, random_ledgers_do_no_harm);
    suite_add_tcase(all, group);
    return all;
}
