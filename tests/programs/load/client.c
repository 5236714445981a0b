/* The clients: each connects, asks, reads the answer, and is one of the kinds of load.h. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum state { UNUSED, CONNECTING, ASKING, READING, RESTING, DONE };

struct client {
    enum kind kind;
    enum state state;
    bool answered;     /* has had an answer, on any connection */
    bool kept;         /* this connection has carried a whole answer */
    size_t sent;       /* bytes of the request */
    int64_t begun;     /* when the request was sent */
    int64_t wake;      /* RESTING: when to go on; 0: never */
    int number, place; /* place: in `resting`, or -1 */
    struct link link;
    struct answer *answer;
};

/* A request that may have been raced: decided at the end. */
struct doubt {
    int64_t when;
    enum kind kind;
};

struct result result;
static struct client *clients, probe, **resting;
static long client_count, begun_count, answered_count, resting_count;
static bool stopping;
static int epoll = -1;
static struct doubt *doubts;
static size_t doubt_count;
static uint32_t *latencies;
static size_t latency_count;
static char requests[KINDS][1024];

static const char *const kind_names[KINDS] = {"fresh", "steady", "pausing",
                                              "idle",  "silent", "long"};

int clients_epoll(void)
{
    return epoll;
}

/* ---- resting -----------------------------------------------------------------------------------
 */

static void unrest(struct client *client)
{
    if (client->place < 0)
        return;
    struct client *last = resting[--resting_count];
    resting[client->place] = last;
    last->place = client->place;
    client->place = -1;
}

/* `most` microseconds; 0: for good. */
static void rest(struct client *client, int64_t time)
{
    client->state = RESTING;
    client->wake = time > 0 ? now_us() + time : 0;
    if (time > 0 && client->place < 0) {
        client->place = (int)resting_count;
        resting[resting_count++] = client;
    }
}

static bool comes_back(const struct client *client)
{
    return client->kind == FRESH || client->kind == STEADY || client->kind == PAUSING ||
           (client->kind != LONG && !client->answered);
}

static void leave(struct client *client, int64_t pause)
{
    link_close(&client->link);
    client->kept = false;
    if (comes_back(client) && !stopping)
        rest(client, pause);
    else
        client->state = DONE;
}

/* ---- what becomes of a request -----------------------------------------------------------------
 */

static void tell(const struct client *client, const char *what, int number)
{
    if (!options.verbose)
        return;
    int64_t now = now_us();
    fprintf(stderr,
            "load: %s: %s client %d%s, %zu bytes of the answer, %.1f ms after it was sent, %.1f ms "
            "after the signal: %s\n",
            what, kind_names[client->kind], client->number, client->kept ? ", kept" : "",
            client->answer->got, (double)(now - client->begun) / 1e3,
            server.killed > 0 ? (double)(now - server.killed) / 1e3 : -1.0,
            number == 0 ? "end" : strerror(number));
}

static void lose(struct client *client, int number)
{
    tell(client, "lost", number);
    result.lost++;
    result.lost_by[client->kind]++;
}

/* The connection ended before the answer did. */
static void on_broken(struct client *client, int number)
{
    bool reset = number == ECONNRESET || number == EPIPE || link_was_reset(&client->link);
    if (client == &probe)
        leave(client, 10000);
    else if (client->state == CONNECTING || (client->sent == 0 && !client->kept)) {
        result.refused += server.killed > 0 || options.command == NULL;
        leave(client, 5000);
    } else if (client->state == RESTING || client->sent == 0) {
        result.closed++;
        leave(client, 1000);
    } else if (client->kept && reset && client->answer->got == 0) {
        tell(client, "raced?", number);
        doubts = realloc(doubts, (doubt_count + 1) * sizeof *doubts);
        if (doubts == NULL)
            abort();
        doubts[doubt_count++] = (struct doubt){.when = now_us(), .kind = client->kind};
        leave(client, 1000);
    } else {
        lose(client, number);
        leave(client, 1000);
    }
}

static void note_answer(struct client *client)
{
    int64_t now = now_us();
    if (latency_count % 4096 == 0) {
        latencies = realloc(latencies, (latency_count + 4096) * sizeof *latencies);
        if (latencies == NULL)
            abort();
    }
    latencies[latency_count++] = (uint32_t)(now - client->begun);
    result.whole++;
    result.after += server.killed > 0;
    result.last_answer = now;
    server.cpu_answered = server_cpu();
}

static void on_whole(struct client *client)
{
    bool close = client->answer->close || client->kind == FRESH;
    if (client == &probe) {
        answer_fixed();
        stopping = true; /* no second one */
    } else {
        note_answer(client);
    }
    if (!client->answered)
        answered_count++;
    client->answered = true;
    client->kept = true;
    client->sent = 0;
    *client->answer = (struct answer){0};
    if (close)
        leave(client, 1);
    else if (stopping)
        leave(client, 0);
    else if (client->kind == PAUSING)
        rest(client, 1 + (int64_t)(drand48() * 2000 * (double)options.pause));
    else if (client->kind == STEADY)
        client->state = ASKING;
    else
        rest(client, 0);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static void connect_link(struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = client};
    client->sent = 0;
    client->kept = false;
    *client->answer = (struct answer){0};
    client->state = CONNECTING;
    if (link_open(&client->link, client->number) != 0)
        on_broken(client, errno);
    else if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->link.fd, &event) != 0)
        abort();
}

/* Returns whether there is more to do at once. */
static bool go_on_connecting(struct client *client, uint32_t events)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client->link.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        on_broken(client, error);
        return false;
    }
    if (!(events & EPOLLOUT) && client->link.tls == NULL)
        return false;
    int secure = link_secure(&client->link);
    if (secure < 0)
        on_broken(client, EPROTO);
    if (secure <= 0)
        return false;
    client->state = ASKING;
    if (client->kind == SILENT) {
        client->answered = true;
        answered_count++;
        rest(client, 0);
    }
    return client->kind != SILENT;
}

static bool go_on_asking(struct client *client)
{
    const char *request = requests[client->kind];
    size_t length = strlen(request);
    if (client->sent == 0 && link_has_ended(&client->link)) {
        on_broken(client, 0);
        return false;
    }
    if (client->sent == 0)
        client->begun = now_us();
    ssize_t put = link_write(&client->link, request + client->sent, length - client->sent);
    if (put < 0 && errno == EAGAIN)
        return false;
    if (put <= 0) {
        on_broken(client, put == 0 ? EPIPE : errno);
        return false;
    }
    result.sent += client->sent == 0 && client != &probe;
    client->sent += (size_t)put;
    if (client->sent == length)
        client->state = READING;
    return true;
}

static bool go_on_reading(struct client *client)
{
    char bytes[65536];
    ssize_t got = link_read(&client->link, bytes, sizeof bytes);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0) {
        int number = got < 0 ? errno : 0;
        if (client->state == READING && got == 0 && answer_end(client->answer) == WHOLE)
            on_whole(client);
        else
            on_broken(client, number);
        return false;
    }
    enum verdict verdict =
        client->state == READING ? answer_take(client->answer, bytes, (size_t)got) : WRONG;
    if (verdict == WRONG) {
        result.wrong++;
        tell(client, "wrong", 0);
        leave(client, 1000);
    } else if (verdict == WHOLE) {
        on_whole(client);
    }
    return client->link.fd >= 0;
}

static void happen(struct client *client, uint32_t events)
{
    if (client->state == CONNECTING && !go_on_connecting(client, events))
        return;
    for (;;) {
        bool more = client->state == ASKING                                ? go_on_asking(client)
                    : client->state == READING || client->state == RESTING ? go_on_reading(client)
                                                                           : false;
        if (!more || client->link.fd < 0)
            return;
    }
}

/* The rest is over. */
static void advance(struct client *client)
{
    unrest(client);
    if (stopping) {
        link_close(&client->link);
        client->state = DONE;
    } else if (client->link.fd < 0) {
        connect_link(client);
    } else {
        client->state = ASKING;
        happen(client, EPOLLOUT);
    }
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static void prepare(struct client *client, enum kind kind, int number)
{
    *client = (struct client){.kind = kind, .number = number, .place = -1, .link.fd = -1};
    client->answer = calloc(1, sizeof *client->answer);
    if (client->answer == NULL)
        abort();
}

static void prepare_requests(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        snprintf(requests[kind], sizeof requests[kind],
                 "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                 kind == LONG ? options.long_path : options.path,
                 kind == FRESH ? "Connection: close\r\n" : "");
}

void clients_prepare(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int kind = 0; kind < KINDS; kind++)
        client_count += options.clients[kind];
    clients = calloc((size_t)client_count + 1, sizeof *clients);
    resting = calloc((size_t)client_count + 1, sizeof *resting);
    if (epoll < 0 || clients == NULL || resting == NULL)
        abort();
    int number = 0;
    for (int kind = 0; kind < KINDS; kind++)
        for (long i = 0; i < options.clients[kind]; i++, number++)
            prepare(&clients[number], kind, number);
    prepare(&probe, FRESH, 0);
    prepare_requests();
}

void clients_probe(void)
{
    connect_link(&probe);
}

static long expected_answers(void)
{
    return begun_count == 0 ? 1 : 1 + client_count - options.clients[LONG];
}

bool clients_answered(void)
{
    return answered_count >= expected_answers();
}

static void begin_some(void)
{
    while (begun_count < client_count && begun_count - answered_count < CONNECTING_MOST) {
        struct client *client = &clients[begun_count++];
        if (client->kind != LONG)
            connect_link(client);
    }
}

void clients_begin(void)
{
    stopping = false;
    begin_some();
}

void clients_begin_long(void)
{
    for (long i = 0; i < client_count; i++)
        if (clients[i].kind == LONG)
            connect_link(&clients[i]);
}

void clients_stop(void)
{
    stopping = true;
}

bool clients_waiting(void)
{
    for (long i = 0; i < client_count; i++)
        if ((clients[i].state == ASKING || clients[i].state == READING) && clients[i].sent > 0)
            return true;
    return false;
}

static int64_t until_due(int64_t most)
{
    int64_t now = now_us(), least = most;
    for (long i = 0; i < resting_count; i++)
        if (resting[i]->wake - now < least)
            least = resting[i]->wake - now;
    return least > 0 ? least : 0;
}

static void advance_due(void)
{
    int64_t now = now_us();
    for (long i = resting_count - 1; i >= 0; i--)
        if (i < resting_count && resting[i]->wake <= now)
            advance(resting[i]);
}

void clients_wait(int64_t most)
{
    struct epoll_event events[64];
    int64_t time = until_due(most);
    struct timespec limit = {.tv_sec = time / 1000000, .tv_nsec = time % 1000000 * 1000};
    int count = epoll_pwait2(epoll, events, 64, &limit, NULL);
    for (int i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        if (client != NULL && client->link.fd >= 0)
            happen(client, events[i].events);
    }
    if (begun_count > 0 && !stopping)
        begin_some();
    advance_due();
}

bool clients_left(int port)
{
    for (long i = 0; i < client_count; i++) {
        if (clients[i].link.fd < 0 || link_port(&clients[i].link) != port)
            continue;
        result.left += clients[i].sent > 0;
        clients[i].state = DONE;
        return true;
    }
    return false;
}

void clients_end(int64_t end)
{
    for (long i = 0; i < client_count; i++)
        if ((clients[i].state == ASKING || clients[i].state == READING) && clients[i].sent > 0)
            lose(&clients[i], ETIMEDOUT);
    for (size_t i = 0; i < doubt_count; i++) {
        if (end == 0 || doubts[i].when < end - RACE_MARGIN_US) {
            result.raced++;
        } else {
            result.lost++;
            result.lost_by[doubts[i].kind]++;
        }
    }
}

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

int64_t latency(double part)
{
    if (latency_count == 0)
        return -1;
    qsort(latencies, latency_count, sizeof *latencies, by_size);
    return latencies[(size_t)((double)(latency_count - 1) * part)];
}
