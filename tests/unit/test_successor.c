/*
 * Who is written down as a child of the owner's, and who of them takes over: with all places taken,
 * with dead ones in the list, and with a living process that has only the number of a dead one.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/ledger.h"
#include "hooks/process.h"
#include "hooks/successor.h"
#include "tests/suite.h"

static struct grace_ledger *ledger;
static pid_t living[4];

static void set_up(void)
{
    ledger = grace_ledger_create_anonymous(1, 1);
    ck_assert_ptr_nonnull(ledger);
    for (size_t i = 0; i < sizeof living / sizeof living[0]; i++) {
        living[i] = fork();
        if (living[i] == 0)
            for (;;)
                pause();
    }
}

static void tear_down(void)
{
    for (size_t i = 0; i < sizeof living / sizeof living[0]; i++) {
        kill(living[i], SIGKILL);
        waitpid(living[i], NULL, 0);
    }
}

static bool any(int pid, const void *unused)
{
    (void)unused;
    return pid > 0;
}

/* As a child does, forked as the order-th of the whole tree by a process of that lineage. */
static struct grace_lineage add(int pid, const struct grace_lineage *parent, uint32_t order)
{
    struct grace_lineage lineage = *parent;
    lineage.orders[lineage.depth++] = order;
    atomic_store(&ledger->forked, order);
    atomic_store(&ledger->forks, order - 1);
    grace_successor_begin(ledger, pid, &lineage);
    return lineage;
}

static const struct grace_lineage top = {.depth = 0};

/* Numbers above any that the kernel gives. */
static int dead(uint32_t number)
{
    return (int)(0x600000 + number);
}

static unsigned places_taken(void)
{
    unsigned taken = 0;
    for (int i = 0; i < GRACE_LEDGER_CHILDREN; i++)
        taken += atomic_load(&ledger->children[i]) != 0;
    return taken;
}

static int appointed(void)
{
    return grace_successor_appoint(ledger, (int)getpid(), any, NULL);
}

START_TEST(who_left_leaves_no_place_behind)
{
    for (uint32_t i = 1; i <= 100000; i++) {
        add(dead(i), &top, i);
        ck_assert(grace_successor_remove(ledger, dead(i)));
    }
    ck_assert_uint_eq(places_taken(), 0);
    ck_assert_uint_eq(atomic_load(&ledger->forks), 100000);
}
END_TEST

/* Killed, they leave without a word. */
START_TEST(places_of_the_dead_are_found_again)
{
    for (uint32_t i = 1; i <= 100000; i++)
        add(dead(i), &top, i);
    ck_assert_uint_eq(places_taken(), GRACE_LEDGER_CHILDREN);
    ck_assert_int_eq(appointed(), 0);
    add(living[0], &top, 100001);
    ck_assert_int_eq(appointed(), living[0]);
}
END_TEST

/* The daemon has more workers than there are places, and its elder helper lives. */
START_TEST(however_many_workers_there_are_the_daemon_stays)
{
    add(living[0], &top, 1);
    struct grace_lineage daemon_lineage = add(living[1], &top, 2);
    for (uint32_t i = 3; i < 500; i++)
        add(i == 100 ? living[2] : i == 499 ? living[3] : dead(i), &daemon_lineage, i);
    ck_assert_int_eq(appointed(), living[1]);
    ck_assert_int_eq(atomic_load(&ledger->owner), living[1]);
}
END_TEST

/* And once it is the owner, those of before it are forgotten first. */
START_TEST(what_does_not_descend_from_the_owner_is_forgotten_first)
{
    struct grace_lineage daemon_lineage = add(living[0], &top, 1);
    for (uint32_t i = 2; i <= GRACE_LEDGER_CHILDREN; i++)
        add(dead(i), &top, i);
    ck_assert(grace_successor_appoint_pid(ledger, (int)getpid(), living[0]));
    add(dead(100), &top, 100);
    add(living[1], &daemon_lineage, 101);
    add(living[2], &daemon_lineage, 102);
    ck_assert(grace_successor_is_child(ledger, living[1]));
    ck_assert_int_eq(grace_successor_appoint(ledger, living[0], any, NULL), living[2]);
}
END_TEST

/* It has the number, and began after the dead one was written down. */
START_TEST(a_later_process_with_the_same_number_takes_nothing_over)
{
    add(living[0], &top, 1);
    atomic_store(&ledger->written[0], grace_process_born(living[0]) - 1);
    ck_assert_int_eq(appointed(), 0);
    atomic_store(&ledger->written[0], grace_process_born(living[0]));
    ck_assert_int_eq(appointed(), living[0]);
}
END_TEST

START_TEST(a_process_is_known_by_its_number_and_its_beginning)
{
    uint64_t born = grace_process_born(living[0]);
    ck_assert_uint_ne(born, 0);
    ck_assert(born <= grace_process_clock() && born + 100 * 3600 > grace_process_clock());
    ck_assert(grace_process_is(living[0], born) && grace_process_is(living[0], 0));
    ck_assert(!grace_process_is(living[0], born + 1) && !grace_process_is(living[0], born - 1));
    kill(living[0], SIGKILL);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)living[0], &info, WEXITED | WNOWAIT), 0);
    ck_assert(!grace_process_runs(living[0]) && !grace_process_is(living[0], 0)); /* a zombie */
    ck_assert(!grace_process_runs(dead(1)) && !grace_process_runs(0) && !grace_process_runs(-1));
}
END_TEST

static void *stay(void *unused)
{
    for (;;)
        pause();
    return unused;
}

START_TEST(a_process_whose_first_thread_has_ended_runs)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, stay, NULL);
        pthread_exit(NULL);
    }
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int looks = 0; state != 'Z' && looks < 20000; looks++) {
        FILE *file = fopen(path, "re");
        ck_assert(file != NULL && fscanf(file, "%*d %*s %c", &state) == 1);
        fclose(file);
        usleep(1000);
    }
    ck_assert_int_eq(state, 'Z');
    ck_assert(grace_process_runs(pid));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert(!grace_process_runs(pid));
}
END_TEST

/* A pid file that was there before: another instance's, or of a pid that came again. */
START_TEST(a_pid_file_names_nobody_who_is_older)
{
    char path[] = "/tmp/grace-pidfile-XXXXXX";
    int fd = mkstemp(path);
    dprintf(fd, " %d\n", living[0]);
    close(fd);
    ck_assert_int_eq(grace_successor_in_file(path, 0), living[0]);
    ck_assert_int_eq(grace_successor_in_file(path, grace_process_born(living[0])), living[0]);
    ck_assert_int_eq(grace_successor_in_file(path, grace_process_born(living[0]) + 1), 0);
    unlink(path);
    ck_assert_int_eq(grace_successor_in_file(path, 0), 0);
    ck_assert_int_eq(grace_successor_in_file(NULL, 0), 0);
}
END_TEST

/* A daemon that forks twice hands over twice, and the guardian may see the second one only: the
 * first process does not wait for what will not come. */
START_TEST(a_hand_over_is_followed_when_a_later_one_is)
{
    struct grace_lineage child = add(living[0], &top, 1);
    add(living[1], &child, 2);
    ck_assert(grace_successor_appoint_pid(ledger, (int)getpid(), living[0]));
    ck_assert(!grace_successor_is_followed(ledger, living[0]));
    atomic_store(&ledger->watched, living[0]);
    ck_assert(grace_successor_is_followed(ledger, living[0]));
    atomic_store(&ledger->watched, 0);
    ck_assert(grace_successor_appoint_pid(ledger, living[0], living[1]));
    ck_assert(!grace_successor_is_followed(ledger, living[0]));
    atomic_store(&ledger->watched, living[1]);
    ck_assert(grace_successor_is_followed(ledger, living[0]));
    ck_assert(grace_successor_is_followed(ledger, living[1]));
    atomic_store(&ledger->watched, living[2]);
    ck_assert(!grace_successor_is_followed(ledger, living[0]));
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("successor");
    TCase *group = tcase_create("successor");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_add_test(group, who_left_leaves_no_place_behind);
    tcase_add_test(group, places_of_the_dead_are_found_again);
    tcase_add_test(group, however_many_workers_there_are_the_daemon_stays);
    tcase_add_test(group, what_does_not_descend_from_the_owner_is_forgotten_first);
    tcase_add_test(group, a_later_process_with_the_same_number_takes_nothing_over);
    tcase_add_test(group, a_process_is_known_by_its_number_and_its_beginning);
    tcase_add_test(group, a_process_whose_first_thread_has_ended_runs);
    tcase_add_test(group, a_pid_file_names_nobody_who_is_older);
    tcase_add_test(group, a_hand_over_is_followed_when_a_later_one_is);
    suite_add_tcase(all, group);
    return all;
}
