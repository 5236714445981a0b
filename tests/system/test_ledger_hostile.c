/*
 * A target that writes whatever it likes into the ledger: its guardian neither crashes nor stays
 * behind, and runs nothing but what the config names, none of it twice. HOSTILE_SECONDS=60 for a
 * longer attack, HOSTILE_SEED=… for the same one.
 */
#include "harness_guardian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned number_in(const char *variable, unsigned otherwise)
{
    const char *value = getenv(variable);
    return value != NULL ? (unsigned)strtoul(value, NULL, 10) : otherwise;
}

static const char *const names[] = {"A", "B", "C", "D", "E", "INSIDE"};
#define NAMES (sizeof names / sizeof names[0])

/* Every kind and phase; what says "abort" and what is tried again, too. */
static void with_hooks(const char *settings)
{
    config("%s\nhooks = (%s, %s, %s, %s, %s, %s);", settings,
           hook_command("A", "phase = \"cleanup\";"), hook_command("B", ""),
           hook_command("C", "phase = \"announce\";"), hook_command("D", "phase = \"drain\";"),
           hook_command("E", "causes = [\"killed\", \"crash\"];"), hook_plugin("INSIDE", ""));
}

/* Every line of "order" is a hook's name, and none is there twice. */
static void expect_sane(const char *about)
{
    const char *order = contents("order");
    size_t known = 0;
    for (size_t i = 0; i < NAMES; i++) {
        unsigned times = 0;
        for (const char *line = order; *line != '\0'; line += strcspn(line, "\n") + 1)
            times += strncmp(line, text("%s\n", names[i]), strlen(names[i]) + 1) == 0;
        expect(times <= 1, "%s ran twice; %s", names[i], about);
        known += times;
    }
    expect(known == count_of(order, "\n"), "%s", about);
}

/* For so long in all, each target for a part of it: the first moments of a guardian count too. */
static void attack(const char *settings, unsigned each_ms)
{
    unsigned seed = number_in("HOSTILE_SEED", (unsigned)time(NULL)), targets = 0;
    int64_t end = now_ms() + number_in("HOSTILE_SECONDS", 3) * 1000 / 3;
    with_hooks(settings);
    do {
        write_file("order", "%s", "");
        unsigned its_seed = seed + targets++;
        const char *about = text("HOSTILE_SEED=%u, %u ms", its_seed, each_ms);
        struct process *target =
            start(GRACED, program("guardian_hostile"), text("%u", its_seed), text("%u", each_ms));
        expect(wait_end(target) == KILLED(SIGKILL), "%s: %s", status_words(target->status), about);
        wait_all_gone(); /* the guardian ends by itself */
        expect_sane(about);
    } while (now_ms() < end && targets < 250); /* as many as one story has room for */
    printf("ledger attacked in %u targets, %u ms each, HOSTILE_SEED=%u and on\n", targets, each_ms,
           seed);
    fflush(stdout);
}

START_TEST(random_bytes_for_a_moment)
{
    attack("", 20);
}
END_TEST

START_TEST(random_bytes_for_a_while)
{
    attack("", number_in("HOSTILE_SECONDS", 3) * 1000 / 6);
}
END_TEST

START_TEST(random_bytes_where_the_deadline_is_enforced)
{
    attack(text("enforce = true;\ndeadline = \"100ms\";\npidfile = \"%s\";", here("pid")), 300);
}
END_TEST

START_TEST(the_guardian_named_as_the_owner)
{
    with_hooks("");
    struct process *target = start(GRACED, program("guardian_hostile"), "name-guardian", "200");
    expect_status(wait_end(target), KILLED(SIGKILL));
    expect_sane("it watches itself");
    wait_all_gone();
    expect(count_of(contents("order"), "A\n") == 1);
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("hostile ledger");
    TCase *group = story_case(all, "attacks");
    tcase_add_test(group, random_bytes_for_a_moment);
    tcase_add_test(group, random_bytes_for_a_while);
    tcase_add_test(group, random_bytes_where_the_deadline_is_enforced);
    tcase_add_test(group, the_guardian_named_as_the_owner);
    return all;
}
