/*
 * Every order of events around a ledger, by the real functions that move it.
 *
 * Conductors, the guardian and recoverers are little step machines: one step is one call that reads
 * or moves the ledger, or one thing that happens (a hook begins to run, a process is killed). A
 * search goes through all orders of steps, each world that comes up once. In every one of them a
 * hook runs at most once; and where a keeper outlives the owner to its own end, every hook ran
 * exactly once but for those that were written off, or whose runner was killed while it had them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/ledger.h"
#include "tests/suite.h"

enum { HOOKS_MAX = 2, AGENTS_MAX = 5 };

enum kind { CONDUCTOR, GUARDIAN, RECOVERER };

/* Where an agent stands. A conductor goes through the hooks as shim/conductor.c does; a keeper as
 * ops/guardian.c and ops/keeper.c. */
enum step {
    LOOK,      /* the next hook: is it owed, and how shall it be run */
    ASK,       /* conductor: leave it to the guardian */
    WAIT,      /* … and look whether it is over */
    LIVES,     /* … or the guardian gone */
    TAKE_BACK, /* … then it is ours again */
    SKIP,      /* conductor: write it off */
    CLAIM,
    BEGIN, /* it is ours: it runs now */
    FINISH,
    END
};

struct agent {
    uint8_t kind, step, hook;
    uint8_t dead;
    uint8_t all; /* a keeper: the owner is gone, everything owed is to be run */
};

/* All that the future depends on. */
struct world {
    uint8_t state[HOOKS_MAX];
    uint8_t runs[HOOKS_MAX];
    uint8_t written_off[HOOKS_MAX], died_with[HOOKS_MAX];
    uint8_t owner_gone, cut;
    struct agent agents[AGENTS_MAX];
};

static struct {
    size_t hooks, agents;
    bool guardian_may_die, owner_may_be_killed, may_be_cut, may_skip, in_order;
} setting;

static union {
    struct grace_ledger ledger;
    char room[sizeof(struct grace_ledger) + HOOKS_MAX * sizeof(struct grace_ledger_hook)];
} shared;
#define LEDGER (&shared.ledger)

/* ---- worlds seen --------------------------------------------------------------------------- */

static struct world *seen;
static size_t seen_count, seen_room, endings;

static size_t hash_of(const struct world *world)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < sizeof *world; i++)
        hash = (hash ^ ((const uint8_t *)world)[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 29);
}

/* An empty place has a hook count beyond any in its last agent. */
static bool is_new(const struct world *world)
{
    if (seen_room == 0) {
        seen_room = 1u << 19;
        seen = malloc(seen_room * sizeof *seen);
        ck_assert_ptr_nonnull(seen);
    }
    if (seen_count == 0)
        memset(seen, 0xff, seen_room * sizeof *seen);
    for (size_t at = hash_of(world) % seen_room;; at = (at + 1) % seen_room) {
        if (seen[at].owner_gone == 0xff) {
            seen[at] = *world;
            ck_assert_uint_lt(++seen_count, seen_room / 2);
            return true;
        }
        if (memcmp(&seen[at], world, sizeof *world) == 0)
            return false;
    }
}

static void load(const struct world *world)
{
    for (size_t i = 0; i < HOOKS_MAX; i++)
        atomic_store(&LEDGER->hooks[i].state, world->state[i]);
}

static void save(struct world *world)
{
    for (size_t i = 0; i < HOOKS_MAX; i++)
        world->state[i] = (uint8_t)atomic_load(&LEDGER->hooks[i].state);
}

/* ---- one step ------------------------------------------------------------------------------ */

static bool guardian_lives(const struct world *world)
{
    for (size_t i = 0; i < setting.agents; i++)
        if (world->agents[i].kind == GUARDIAN && !world->agents[i].dead &&
            world->agents[i].step != END)
            return true;
    return false;
}

static void next_hook(struct agent *agent)
{
    agent->step = LOOK;
    agent->hook++;
}

static void begin_to_run(struct world *world, struct agent *agent)
{
    for (size_t i = 0; setting.in_order && i < agent->hook; i++)
        ck_assert_msg(!grace_ledger_owes(LEDGER, i), "hook %u before hook %zu", agent->hook, i);
    ck_assert_msg(++world->runs[agent->hook] == 1, "hook %u runs twice", agent->hook);
    agent->step = FINISH;
}

/* What is the same for all: taking a hook and running it. */
static void run_hook(struct world *world, struct agent *agent)
{
    if (agent->step == CLAIM) {
        if (grace_ledger_claim(LEDGER, agent->hook))
            agent->step = BEGIN;
        else
            next_hook(agent);
    } else if (agent->step == BEGIN) {
        begin_to_run(world, agent);
    } else {
        grace_ledger_finish(LEDGER, agent->hook, 0, 0, 1);
        next_hook(agent);
    }
}

enum { CONDUCTOR_CHOICES = 3 };

/* `choice` is what the step cannot know: 0 goes on, 1 and 2 are the other ways out of a place.
 * False: there is no such way here, or the agent waits. */
static bool conductor_looks(const struct world *world, struct agent *agent, unsigned choice)
{
    if (agent->hook == setting.hooks) {
        agent->step = END;
        return choice == 0;
    }
    if (!grace_ledger_owes(LEDGER, agent->hook)) {
        next_hook(agent);
        return choice == 0;
    }
    if (choice == 1) { /* it cannot run: the deadline has passed, or a hook before it said abort */
        agent->step = SKIP;
        return setting.may_skip;
    }
    agent->step = ASK; /* with choice 2: it looked a moment before the guardian died */
    if (choice == 0 && !guardian_lives(world))
        agent->step = CLAIM;
    else if (choice == 0 && world->cut)
        next_hook(agent);
    return choice == 0 || (setting.guardian_may_die && !guardian_lives(world));
}

static bool step_conductor(struct world *world, struct agent *agent, unsigned choice)
{
    enum grace_hook_state state;
    if (agent->step == LOOK)
        return conductor_looks(world, agent, choice);
    if (choice != 0)
        return false;
    switch (agent->step) {
    case ASK:
        if (grace_ledger_ask(LEDGER, agent->hook))
            agent->step = WAIT;
        else
            next_hook(agent);
        return true;
    case WAIT:
        state = grace_ledger_state(LEDGER, agent->hook);
        if (state == GRACE_HOOK_DONE || state == GRACE_HOOK_SKIPPED || world->cut)
            next_hook(agent);
        else
            agent->step = LIVES;
        return true;
    case LIVES:
        agent->step = guardian_lives(world) ? WAIT : TAKE_BACK;
        return true;
    case TAKE_BACK:
        if (grace_ledger_give_back(LEDGER, agent->hook))
            agent->step = CLAIM;
        else
            next_hook(agent);
        return true;
    case SKIP:
        if (grace_ledger_skip(LEDGER, agent->hook))
            world->written_off[agent->hook] = 1;
        next_hook(agent);
        return true;
    default:
        run_hook(world, agent);
        return true;
    }
}

static bool is_wanted(const struct agent *agent, size_t hook)
{
    return agent->all ? grace_ledger_owes(LEDGER, hook)
                      : grace_ledger_state(LEDGER, hook) == GRACE_HOOK_ASKED;
}

static bool keeper_looks(const struct world *world, struct agent *agent)
{
    while (agent->hook < setting.hooks && !is_wanted(agent, agent->hook))
        agent->hook++;
    if (agent->hook < setting.hooks) {
        agent->step = CLAIM;
        return true;
    }
    if (agent->all) {
        agent->step = END;
        return true;
    }
    agent->hook = 0; /* through: look again when something happens */
    agent->all = world->owner_gone;
    return agent->all || is_wanted(agent, 0) || (setting.hooks > 1 && is_wanted(agent, 1));
}

static bool step_keeper(struct world *world, struct agent *agent, unsigned choice)
{
    if (choice != 0)
        return false;
    if (agent->kind == RECOVERER) {
        /* Keeps off while the owner lives, and while the guardian holds its lock. */
        if (!world->owner_gone || guardian_lives(world))
            return false;
        agent->all = 1;
    }
    if (agent->step == LOOK)
        return keeper_looks(world, agent);
    run_hook(world, agent);
    return true;
}

/* ---- what happens to them ------------------------------------------------------------------ */

static void die(struct world *world, struct agent *agent)
{
    agent->dead = 1;
    if (agent->step == BEGIN || agent->step == FINISH)
        world->died_with[agent->hook] = 1;
}

static bool kill_owner(struct world *world)
{
    if (world->owner_gone)
        return false;
    bool conductors_end = true;
    for (size_t i = 0; i < setting.agents; i++)
        if (world->agents[i].kind == CONDUCTOR)
            conductors_end = conductors_end && world->agents[i].step == END;
    if (!conductors_end && !setting.owner_may_be_killed)
        return false;
    world->owner_gone = 1;
    for (size_t i = 0; i < setting.agents; i++)
        if (world->agents[i].kind == CONDUCTOR)
            die(world, &world->agents[i]);
    return true;
}

static bool kill_keeper(struct world *world, size_t index)
{
    struct agent *agent = &world->agents[index];
    /* The last recoverer survives: somebody comes again, sooner or later. */
    bool may = agent->kind == GUARDIAN ? setting.guardian_may_die
                                       : agent->kind == RECOVERER && index != setting.agents - 1;
    if (!may || agent->dead || agent->step == END)
        return false;
    die(world, agent);
    return true;
}

static bool send_second_signal(struct world *world)
{
    if (!setting.may_be_cut || world->cut)
        return false;
    world->cut = 1;
    return true;
}

/* ---- the search ---------------------------------------------------------------------------- */

static void judge(const struct world *world)
{
    bool kept = false;
    for (size_t i = 0; i < setting.agents; i++)
        kept = kept || (world->agents[i].kind != CONDUCTOR && world->agents[i].step == END &&
                        !world->agents[i].dead);
    endings++;
    for (size_t i = 0; kept && i < setting.hooks; i++) {
        if (world->written_off[i])
            ck_assert_msg(world->runs[i] == 0, "hook %zu was written off and ran", i);
        else if (!world->died_with[i])
            ck_assert_msg(world->runs[i] == 1, "hook %zu ran %u times", i, world->runs[i]);
        ck_assert(!grace_ledger_owes(LEDGER, i));
    }
}

static void explore(const struct world *world);

static bool follow(const struct world *world, size_t index, unsigned choice)
{
    struct world next = *world;
    struct agent *agent = &next.agents[index];
    if (agent->dead || agent->step == END)
        return false;
    load(world);
    bool moved = agent->kind == CONDUCTOR ? step_conductor(&next, agent, choice)
                                          : step_keeper(&next, agent, choice);
    if (!moved)
        return false;
    save(&next);
    explore(&next);
    return true;
}

static bool happen(const struct world *world, bool (*event)(struct world *))
{
    struct world next = *world;
    if (!event(&next))
        return false;
    explore(&next);
    return true;
}

static void explore(const struct world *world)
{
    if (!is_new(world))
        return;
    bool moved = happen(world, kill_owner);
    happen(world, send_second_signal);
    for (size_t i = 0; i < setting.agents; i++) {
        struct world next = *world;
        if (kill_keeper(&next, i))
            explore(&next);
        for (unsigned choice = 0; choice < CONDUCTOR_CHOICES; choice++)
            moved = follow(world, i, choice) || moved;
    }
    if (!moved) {
        load(world);
        judge(world);
    }
}

static void walk(size_t hooks, const char *agents)
{
    struct world start = {.owner_gone = 0};
    setting.hooks = hooks;
    setting.agents = strlen(agents);
    LEDGER->magic = GRACE_LEDGER_MAGIC;
    LEDGER->hook_count = (uint32_t)hooks;
    for (size_t i = 0; i < setting.agents; i++)
        start.agents[i].kind = agents[i] == 'C'   ? CONDUCTOR
                               : agents[i] == 'G' ? GUARDIAN
                                                  : RECOVERER;
    explore(&start);
    printf("%zu hooks, %s: %zu worlds, %zu endings\n", hooks, agents, seen_count, endings);
    fflush(stdout);
    ck_assert_uint_gt(endings, 0);
}

START_TEST(one_conductor_and_its_guardian_run_each_hook_once_and_in_order)
{
    setting.owner_may_be_killed = setting.in_order = true;
    walk(2, "CG");
}
END_TEST

START_TEST(a_second_signal_changes_nothing)
{
    setting.owner_may_be_killed = setting.may_be_cut = setting.in_order = true;
    walk(2, "CG");
}
END_TEST

START_TEST(the_guardian_may_die_at_any_step)
{
    setting.guardian_may_die = setting.owner_may_be_killed = true;
    walk(2, "CGR");
}
END_TEST

START_TEST(recoverers_may_die_and_meet)
{
    setting.guardian_may_die = setting.owner_may_be_killed = true;
    walk(2, "CGRR");
}
END_TEST

START_TEST(two_conductors_and_all_that_can_happen)
{
    setting.guardian_may_die = setting.owner_may_be_killed = true;
    setting.may_be_cut = setting.may_skip = true;
    walk(1, "CCGRR");
}
END_TEST

START_TEST(two_hooks_two_conductors_and_all_that_can_happen)
{
    setting.guardian_may_die = setting.owner_may_be_killed = true;
    setting.may_be_cut = setting.may_skip = true;
    walk(2, "CCGR");
}
END_TEST

Suite *suite(void)
{
    Suite *all = suite_create("ledger walk");
    TCase *group = tcase_create("every order");
    tcase_add_test(group, one_conductor_and_its_guardian_run_each_hook_once_and_in_order);
    tcase_add_test(group, a_second_signal_changes_nothing);
    tcase_add_test(group, the_guardian_may_die_at_any_step);
    tcase_add_test(group, recoverers_may_die_and_meet);
    tcase_add_test(group, two_conductors_and_all_that_can_happen);
    tcase_add_test(group, two_hooks_two_conductors_and_all_that_can_happen);
    suite_add_tcase(all, group);
    return all;
}
