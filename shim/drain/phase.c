/*
 * The phase drain: nothing in flight is lost.
 *
 *   hold       the target serves on, until load balancers have noticed
 *   closing    no new connection begins; those that wait are accepted (listeners.c)
 *   watching   idle connections are half-closed, those with something in flight left alone
 *              (connections.c), HTTP answers say that they are the last (answer.c)
 *   databases  once no request is in flight that may need one, no transaction begins; those that
 *              are under way go on (shim/database.h, where libgrace-db.so is loaded)
 *   the end    nothing is left, or the time is up
 *
 * Closing and watching go on side by side, step by step: nothing here waits for the target. How
 * often is looked depends on what a look costs: at most a twenty-fifth of the time goes into it.
 */
#include "shim/drain.h"

#include <string.h>

#include "addresses.h"
#include "children.h"
#include "connections.h"
#include "diag.h"
#include "hooks/log.h"
#include "hooks/room.h"
#include "listeners.h"
#include "shim/answers.h"
#include "shim/database.h"
#include "shim/raw.h"
#include "socket.h"

#define LOOK_COST_SHARE  40
#define LOOK_AT_LEAST_US 2000
#define LOOK_AT_MOST_US  3000000
#define GLANCE_US        10000   /* how soon the end of all connections is noticed between looks */
#define UNKNOWN_MOST_US  1000000 /* how long what may be a request is one, late in the drain */
#define LOOK_CALM_US     20000   /* between looks, when nothing has changed for some time */

/* How long there has to be no connection for a hold to end early. */
#define HOLD_QUIET_MS 1000

static struct {
    _Atomic uint32_t begun;
    const struct grace_drain_how *how;
    struct grace_listeners_count listeners;
    struct grace_connections_count connections;
    uint64_t began_us, changed_us;
    uint64_t look_us; /* what the last look cost */
    uint32_t bell;    /* as it was at the last look */
    bool has_database, gate_closed;
    struct grace_database_count database;
    unsigned transactions_cut;
} drain;

static const struct grace_drain_plan *plan(void)
{
    return &grace_shim.plan->drain;
}

/* ---- databases ----------------------------------------------------------------------------- */

static const struct grace_database *database(void)
{
    bool is_there = &grace_database != NULL;
    return is_there && grace_database.version == GRACE_DATABASE_VERSION ? &grace_database : NULL;
}

static bool has_database(void)
{
    return database() != NULL && database()->has_work();
}

/* What is accepted may need a transaction of its own: it comes first, for most of the time. */
static void look_at_database(uint64_t elapsed_us, bool any_request)
{
    if (!drain.has_database)
        return;
    if (!drain.gate_closed && any_request && elapsed_us < (uint64_t)plan()->timeout_ms * 750)
        return;
    if (!drain.gate_closed)
        database()->begin();
    drain.gate_closed = true;
    database()->look(grace_answers_thread(), &drain.database);
}

static bool is_database_at_rest(void)
{
    return !drain.has_database ||
           (drain.gate_closed && drain.database.transactions + drain.database.at_work == 0);
}

static void tell_cut(const struct grace_database_cut *cut)
{
    struct grace_log_line line;
    drain.transactions_cut++;
    grace_log_begin(&line, GRACE_LOG_WARNING, "transaction-cut");
    grace_log_say(&line, "%s%s%s%s: %s for %llu.%llus of the drain, and cut", cut->library,
                  cut->database[0] != '\0' ? " \"" : "", cut->database,
                  cut->database[0] != '\0' ? "\"" : "", cut->state,
                  (unsigned long long)(cut->for_ms / 1000),
                  (unsigned long long)(cut->for_ms % 1000 / 100));
    grace_log_field(&line, "library", cut->library);
    grace_log_field(&line, "database", cut->database);
    grace_log_field(&line, "state", cut->state);
    grace_log_number(&line, "for_ms", (int64_t)cut->for_ms);
    grace_log_end(&line);
}

/* A target that goes on, be it only to its own handler, goes on with its database. */
static void leave_database(bool at_once)
{
    if (drain.gate_closed && at_once)
        database()->undo();
    else if (drain.gate_closed)
        database()->let_go();
    drain.gate_closed = false;
}

/* ---- what others can read ------------------------------------------------------------------ */

static void show(enum grace_drain_state state)
{
    struct grace_ledger *ledger = drain.how->ledger;
    if (ledger == NULL)
        return;
    atomic_store_explicit(&ledger->drain_listeners, drain.listeners.silent, memory_order_relaxed);
    atomic_store_explicit(&ledger->drain_busy, drain.connections.busy, memory_order_relaxed);
    atomic_store_explicit(&ledger->drain_idle, drain.connections.idle, memory_order_relaxed);
    atomic_store_explicit(&ledger->drain_finished, drain.connections.finished,
                          memory_order_relaxed);
    atomic_store_explicit(&ledger->drain_transactions, drain.database.transactions,
                          memory_order_relaxed);
    atomic_store_explicit(&ledger->drain, state, memory_order_release);
}

static void show_limit(uint64_t until_us)
{
    uint64_t until_ms = until_us / 1000;
    if (drain.how->ledger != NULL)
        atomic_store(&drain.how->ledger->drain_until_ms,
                     until_ms < drain.how->until_ms ? until_ms : drain.how->until_ms);
}

static void add_counts(struct grace_log_line *line)
{
    grace_log_number(line, "listeners_private", drain.listeners.private_ones);
    grace_log_number(line, "listeners_shared", drain.listeners.shared);
    grace_log_number(line, "busy", drain.connections.busy);
    grace_log_number(line, "idle", drain.connections.idle);
}

/* What is said at this level. */
static enum grace_log_level level_for(enum grace_log_level level)
{
    return drain.how->connections_only ? GRACE_LOG_DEBUG : level;
}

static void log_counts(enum grace_log_level wanted, const char *event, const char *what)
{
    struct grace_log_line line;
    enum grace_log_level level = level_for(wanted);
    if (!grace_log_wants(level))
        return;
    unsigned listeners = drain.listeners.private_ones + drain.listeners.shared;
    unsigned connections = drain.connections.busy + drain.connections.idle;
    grace_log_begin(&line, level, event);
    grace_log_say(&line,
                  "%s: %u listener%s (%u private, %u shared), %u connection%s (%u busy, %u idle)",
                  what, listeners, listeners == 1 ? "" : "s", drain.listeners.private_ones,
                  drain.listeners.shared, connections, connections == 1 ? "" : "s",
                  drain.connections.busy, drain.connections.idle);
    add_counts(&line);
    grace_log_end(&line);
}

static void log_end(const char *why_cut, unsigned cut)
{
    struct grace_log_line line;
    uint64_t ms = (grace_now_us() - drain.began_us) / 1000;
    bool is_loss = cut + drain.transactions_cut > 0;
    grace_log_begin(&line, level_for(is_loss ? GRACE_LOG_WARNING : GRACE_LOG_INFO), "drain-end");
    grace_log_say(&line, ms < 1000 ? "drained in %llums" : "drained in %llu.%llus",
                  (unsigned long long)(ms < 1000 ? ms : ms / 1000),
                  (unsigned long long)(ms % 1000 / 100));
    grace_log_say(&line, ": %u finished, %u cut", drain.connections.finished, cut);
    if (cut > 0)
        grace_log_say(&line, " (%u with something in flight, %u not accepted yet): %s",
                      drain.connections.busy, drain.listeners.waiting, why_cut);
    else if (grace_children_serve())
        grace_log_say(&line, "; children still serve connections: %s", why_cut);
    else if (drain.connections.idle > 0)
        grace_log_say(&line, "; %u idle ones left: %s", drain.connections.idle, why_cut);
    grace_log_number(&line, "duration_ms", (int64_t)ms);
    grace_log_number(&line, "finished", drain.connections.finished);
    if (drain.has_database)
        grace_log_say(&line, "; %u transaction%s cut", drain.transactions_cut,
                      drain.transactions_cut == 1 ? "" : "s");
    grace_log_number(&line, "cut", cut);
    if (drain.has_database)
        grace_log_number(&line, "transactions_cut", drain.transactions_cut);
    add_counts(&line);
    grace_log_end(&line);
}

/* ---- looking ------------------------------------------------------------------------------- */

/* How long a connection has to be quiet to be idle: less and less, up to half of the time. */
static uint64_t idle_us(uint64_t elapsed_us)
{
    uint64_t whole = (uint64_t)plan()->idle_ms * 1000;
    uint64_t half = (uint64_t)plan()->timeout_ms * 500;
    uint64_t left = elapsed_us < half
                        ? whole / 1000 * ((half - elapsed_us) / 1000) / (half / 1000 + 1) * 1000
                        : 0;
    return left < 1000 ? 1000 : left;
}

static void look(uint64_t elapsed_us, bool close_idle)
{
    uint64_t half_us = (uint64_t)plan()->timeout_ms * 500, quarter_us = half_us / 2;
    const struct grace_connections_look how = {
        .unknown_us = quarter_us < UNKNOWN_MOST_US ? quarter_us : UNKNOWN_MOST_US,
        .tickets_us = half_us,
        .idle_us = close_idle ? idle_us(elapsed_us) : (uint64_t)plan()->idle_ms * 1000,
        .close_idle = close_idle,
        .unknown_is_idle = close_idle && elapsed_us >= half_us,
    };
    struct grace_connections_count before = drain.connections;
    uint64_t began = grace_now_us();
    drain.bell = atomic_load(&grace_shim.ledger->answered);
    drain.connections = grace_connections_look(&how);
    drain.look_us = grace_now_us() - began;
    drain.listeners = grace_listeners_count();
    if (memcmp(&before, &drain.connections, sizeof before) != 0) {
        drain.changed_us = grace_now_us();
        log_counts(GRACE_LOG_DEBUG, "drain", "drain");
    }
}

/* Until the next look, until somebody rings, or until the end: `limit_us`, or the deadline. */
static void pause_between(uint64_t limit_us)
{
    if (limit_us > drain.how->until_ms * 1000)
        limit_us = drain.how->until_ms * 1000;
    _Atomic uint32_t *bell = &grace_shim.ledger->answered;
    uint64_t now = grace_now_us(), interval = drain.look_us * LOOK_COST_SHARE;
    uint64_t calm = (now - drain.changed_us) / 16;
    if (calm > LOOK_CALM_US)
        calm = LOOK_CALM_US;
    if (interval < LOOK_AT_LEAST_US)
        interval = LOOK_AT_LEAST_US;
    if (interval < calm)
        interval = calm;
    if (interval > LOOK_AT_MOST_US)
        interval = LOOK_AT_MOST_US;
    if (now + interval > limit_us)
        interval = limit_us > now ? limit_us - now : 0;
    for (uint64_t end = now + interval; now < end && atomic_load(bell) == drain.bell;
         now = grace_now_us()) {
        uint64_t left = end - now < GLANCE_US ? end - now : GLANCE_US;
        struct timespec time = {0, (long)left * 1000};
        grace_kernel(SYS_futex, bell, FUTEX_WAIT, drain.bell, &time, NULL, 0);
        if (grace_connections_seem_gone())
            return;
    }
}

static bool is_off(uint64_t now_us)
{
    return drain.how->is_off() || now_us / 1000 >= drain.how->until_ms;
}

static bool is_wanted_back(void)
{
    return drain.how->is_wanted_back != NULL && drain.how->is_wanted_back();
}

static bool any_connection(void)
{
    return drain.connections.busy + drain.connections.idle > 0;
}

/* ---- its parts ----------------------------------------------------------------------------- */

static void hold(void)
{
    uint64_t began = grace_now_us(), end = began + (uint64_t)plan()->hold_ms * 1000;
    uint64_t last_seen = began, quiet = (uint64_t)HOLD_QUIET_MS * 1000;
    if (plan()->hold_ms == 0 || drain.listeners.private_ones + drain.listeners.shared == 0)
        return;
    show_limit(end);
    log_counts(GRACE_LOG_INFO, "drain-hold", "serving on");
    for (uint64_t now; (now = grace_now_us()) < end && !is_off(now) && !is_wanted_back();) {
        look(0, false);
        show(GRACE_DRAIN_HOLD);
        if (any_connection())
            last_seen = now;
        if (now - last_seen >= quiet)
            break; /* whoever sent requests here does so no longer */
        pause_between(end);
    }
}

/* Returns why it ended before all was finished; NULL when all is. */
static const char *close_and_watch(void)
{
    uint64_t began = grace_now_us(), end = began + (uint64_t)plan()->timeout_ms * 1000;
    show_limit(end);
    if (grace_children_matter() && !drain.how->connections_only)
        grace_children_take_along(drain.how->signo);
    for (;;) {
        uint64_t now = grace_now_us();
        bool closed = grace_listeners_close(now, drain.how->signo);
        look(now - began, true);
        look_at_database(now - began, !closed || any_connection());
        show(GRACE_DRAIN_DRAINING);
        if (closed && !any_connection() && is_database_at_rest() && !grace_children_serve())
            return NULL;
        if (is_wanted_back())
            return "";
        if (is_off(now))
            return "it was cut short";
        if (now >= end)
            return "drain.timeout has passed";
        pause_between(end);
    }
}

/* Whether there is anything to drain. */
static bool prepare(void)
{
    bool listens = grace_listeners_find();
    if (drain.how->connections_only)
        grace_listeners_forget();
    if (!listens) {
        /* A child that serves one connection and closed the listener; a server of inetd's. */
        grace_diag_listening_ports(grace_drain_address_port, NULL);
        grace_drain_address_guess();
    }
    if (!grace_connections_begin())
        return false;
    drain.began_us = drain.changed_us = grace_now_us();
    memset(&drain.connections, 0, sizeof drain.connections);
    look(0, false);
    drain.gate_closed = false;
    drain.transactions_cut = 0;
    memset(&drain.database, 0, sizeof drain.database);
    drain.has_database = !drain.how->connections_only && has_database();
    return (listens && !drain.how->connections_only) || any_connection() || drain.has_database;
}

static void take_back(void)
{
    leave_database(true);
    grace_answers_undo();
    grace_listeners_put_back();
    grace_drain_addresses_forget();
    memset(&drain.listeners, 0, sizeof drain.listeners);
    memset(&drain.connections, 0, sizeof drain.connections);
    show(GRACE_DRAIN_NONE);
    atomic_store(&drain.begun, 0);
    grace_log(GRACE_LOG_WARNING, "drain-end",
              "the drain is taken back: the listeners are open again");
}

enum grace_drain_end grace_drain(const struct grace_drain_how *how)
{
    uint32_t no = 0;
    if (!grace_drain_has_work() || !atomic_compare_exchange_strong(&drain.begun, &no, 1))
        return GRACE_DRAIN_ENDED;
    drain.how = how;
    if (!prepare()) {
        grace_connections_end();
        return GRACE_DRAIN_ENDED;
    }
    hold();
    const char *why = "";
    if (!is_wanted_back()) {
        if (plan()->http)
            grace_answers_begin();
        log_counts(GRACE_LOG_INFO, "drain-begin", "draining");
        why = close_and_watch();
    }
    grace_connections_end();
    if (is_wanted_back()) {
        take_back();
        return GRACE_DRAIN_TAKEN_BACK;
    }
    unsigned cut = drain.connections.busy + drain.listeners.waiting;
    if (drain.gate_closed && !is_database_at_rest())
        database()->each_cut(tell_cut);
    if (how->goes_on)
        leave_database(false);
    log_end(why, cut);
    if (how->ledger != NULL)
        atomic_store(&how->ledger->drain_cut, cut);
    show(GRACE_DRAIN_OVER);
    grace_listeners_release();
    return GRACE_DRAIN_ENDED;
}

void grace_drain_forget(void)
{
    atomic_store(&drain.begun, 0);
}

GRACE_IN_CHILDREN bool grace_drain_has_begun(void)
{
    return atomic_load(&drain.begun) != 0;
}

/* ---- whether it is worth a thread ---------------------------------------------------------- */

static void look_for_work(int fd, void *found)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int type = *(bool *)found ? -1 : grace_socket_option(fd, SOL_SOCKET, SO_TYPE);
    if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
        return;
    *(bool *)found =
        grace_socket_listens(fd) || grace_kernel(SYS_getpeername, fd, &peer, &length) == 0;
}

bool grace_drain_has_work(void)
{
    bool found = false;
    if (plan()->when == GRACE_DRAIN_NEVER || atomic_load(&drain.begun) != 0)
        return false;
    if (has_database())
        return true;
    grace_kernel_each_descriptor(look_for_work, &found);
    return found;
}
