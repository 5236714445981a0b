/*
 * Sending what a call asked for, edited.
 *
 * Where nothing is to be edited the call is made as it is. Otherwise it is made with other pieces
 * of memory, and its result is told in the caller's own bytes. A call that the kernel takes only
 * part of returns short, as it would; only where that part was all ours, and 0 would be no result
 * of such a call, it is made again for the rest: a call that does not block says EAGAIN then.
 */
#include "outgoing.h"

#include <errno.h>

#include "connection.h"

static size_t length_of(const struct grace_outgoing *call)
{
    size_t length = 0;
    for (size_t i = 0; i < call->count; i++)
        length += call->bytes[i].iov_len;
    return length;
}

static char first_of(const struct grace_outgoing *call)
{
    for (size_t i = 0; i < call->count; i++)
        if (call->bytes[i].iov_len > 0)
            return *(const char *)call->bytes[i].iov_base;
    return '\0';
}

static struct grace_connection *take(const struct grace_outgoing *call, bool *busy)
{
    *busy = false;
    struct grace_connection *connection =
        grace_connection_take(call->fd, (call->flags & MSG_DONTWAIT) != 0, busy);
    if (connection == NULL && *busy)
        errno = EAGAIN;
    return connection;
}

static ssize_t make(const struct grace_outgoing *call, const struct grace_answer_plan *plan,
                    bool is_all)
{
    if (!plan->edited && is_all)
        return call->whole(call);
    /* All of it is held back, or goes. */
    return plan->count == 0 ? 0 : call->pieces(call, plan->pieces, plan->count);
}

static ssize_t send_edited(struct grace_connection *connection, const struct grace_outgoing *call)
{
    struct grace_answer *answer = &connection->answer;
    size_t length = length_of(call), done = 0;
    grace_connection_look(connection, call->fd, first_of(call));
    while (done < length) {
        struct grace_answer_plan plan;
        grace_answer_plan(answer, call->bytes, call->count, done, &plan);
        grace_connection_before(connection, call->fd, &plan.after);
        ssize_t sent = make(call, &plan, plan.taken == length);
        if (sent < 0 || (sent == 0 && plan.total > 0))
            return done > 0 ? (ssize_t)done : sent;
        if (sent > 0)
            grace_connection_sent(connection);
        done += grace_answer_advance(answer, call->bytes, call->count, done, &plan, (size_t)sent);
        if ((size_t)sent < plan.total && done > 0)
            break;
    }
    return (ssize_t)done;
}

ssize_t grace_outgoing_send(const struct grace_outgoing *call)
{
    bool busy;
    if (length_of(call) == 0)
        return call->whole(call);
    struct grace_connection *connection = take(call, &busy);
    if (connection == NULL)
        return busy ? -1 : call->whole(call);
    ssize_t result = send_edited(connection, call);
    grace_connection_give_back(connection);
    return result;
}

/* ---- bytes that nobody sees ---------------------------------------------------------------- */

static bool pay(struct grace_connection *connection, const struct grace_outgoing *call)
{
    const char *bytes;
    size_t length;
    while ((length = grace_answer_owed(&connection->answer, &bytes)) > 0) {
        struct iovec piece = {(void *)(uintptr_t)bytes, length};
        ssize_t sent = call->pieces(call, &piece, 1);
        if (sent <= 0)
            return false;
        grace_answer_paid(&connection->answer, (size_t)sent);
    }
    return true;
}

static ssize_t send_unseen(struct grace_connection *connection, const struct grace_outgoing *call,
                           bool is_known)
{
    struct grace_answer after = connection->answer;
    if (!pay(connection, call))
        return -1;
    grace_answer_unseen(&after, 1);
    grace_connection_before(connection, call->fd, &after);
    ssize_t sent = call->whole(call);
    if (sent > 0)
        grace_connection_sent(connection);
    if (sent > 0 && is_known)
        grace_answer_unseen(&connection->answer, (uint64_t)sent);
    else if (sent > 0)
        grace_answer_give_up(&connection->answer);
    return sent;
}

ssize_t grace_outgoing_unseen(const struct grace_outgoing *call, bool is_known)
{
    bool busy;
    struct grace_connection *connection = take(call, &busy);
    if (connection == NULL)
        return busy ? -1 : call->whole(call);
    ssize_t result = send_unseen(connection, call, is_known);
    grace_connection_give_back(connection);
    return result;
}
