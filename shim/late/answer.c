/*
 * Reading the bytes that the target sends as HTTP/1.x answers.
 *
 * Most bytes pass as they come, also those that are looked at: a status line passes while it is
 * matched, so that answers written byte by byte work. In the head of a final answer a line that
 * says keep-alive, and nothing else, is left out; its first bytes are held back until it is known
 * what it is (answer_head.c). Where the head ends, "Connection: close" goes out before the empty
 * line, unless the head has said so: then the answer stays as it is, byte for byte, in whatever
 * pieces it was written.
 *
 * To know where the next answer begins the body is followed: by its length, by its chunks, none for
 * 204 and 304. Three things cannot be known from the bytes; each has a rule, and each rule can only
 * err to the side of leaving an answer alone:
 *   - The connection was in the middle of an answer when the drain began; or an answer says nothing
 *     of its length; or more follows than it said. Then (MIDDLE) an answer begins where a call
 *     begins with a whole status line and the client has sent something since the last bytes: the
 *     next request. What it has sent is asked of the kernel (TCP); where the kernel does not know
 *     (Unix sockets), the status line suffices until a first answer was recognised.
 *   - An answer to HEAD names a length, and nothing follows. So, while no byte of the body was
 *     sent, the same rule holds for a call that begins with a status line, but it takes a kernel
 *     that knows: a body may begin with those words. (Announced as chunked it is plain: no size
 *     begins with "H".)
 *   - The first bytes on a connection are no status line: another protocol. It is never looked at
 *     again.
 * 101 ends HTTP on a connection; other informational answers (1xx) pass as they are.
 *
 * What the kernel takes of a plan may end anywhere, within our line too. Bytes of ours always stand
 * directly before a byte of the caller's, and that one is told as sent only when it is: the caller
 * comes back with it, and what is left of ours goes first.
 */
#include "answer.h"

#include <limits.h>
#include <string.h>

static const char close_line[] = "Connection: close\r\n";
static const char version[] = "HTTP/1.";

void grace_answer_start(struct grace_answer *answer, bool sent_before)
{
    memset(answer, 0, sizeof *answer);
    answer->state = sent_before ? GRACE_ANSWER_MIDDLE : GRACE_ANSWER_BEGIN;
    answer->back = sent_before ? GRACE_ANSWER_MIDDLE : GRACE_ANSWER_THROUGH;
}

bool grace_answer_will_ask(const struct grace_answer *answer)
{
    return answer->state == GRACE_ANSWER_MIDDLE ||
           (answer->state == GRACE_ANSWER_BODY && answer->untouched);
}

bool grace_answer_asks(const struct grace_answer *answer, char first)
{
    return first == version[0] && grace_answer_will_ask(answer);
}

void grace_answer_look(struct grace_answer *answer, enum grace_answer_fresh fresh)
{
    bool is_middle = answer->state == GRACE_ANSWER_MIDDLE;
    if (!grace_answer_will_ask(answer) || fresh == GRACE_FRESH_NO ||
        (fresh == GRACE_FRESH_UNKNOWN && (!is_middle || answer->any)))
        return;
    answer->back = answer->state;
    answer->state = GRACE_ANSWER_BEGIN;
    answer->between = false;
}

/* ---- a byte at a time ---------------------------------------------------------------------- */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static enum grace_answer_step now(struct grace_answer *answer, enum grace_answer_state state)
{
    answer->state = (uint8_t)state;
    return GRACE_STEP_PASS;
}

static enum grace_answer_step lost(struct grace_answer *answer)
{
    answer->state = GRACE_ANSWER_MIDDLE;
    return GRACE_STEP_AGAIN;
}

/* What looked like a beginning is none. Its bytes that have passed were the body's. */
static enum grace_answer_step no_beginning(struct grace_answer *answer)
{
    answer->state = answer->back;
    if (answer->state == GRACE_ANSWER_BODY) {
        bool is_over = answer->left == answer->matched,
             is_too_much = answer->left < answer->matched;
        answer->untouched = answer->matched == 0;
        answer->left -= is_too_much ? answer->left : answer->matched;
        answer->back = GRACE_ANSWER_MIDDLE;
        answer->between = true;
        if (is_over || is_too_much)
            answer->state = is_over ? GRACE_ANSWER_BEGIN : GRACE_ANSWER_MIDDLE;
    }
    answer->matched = 0;
    return GRACE_STEP_AGAIN;
}

static enum grace_answer_step begin(struct grace_answer *answer, char byte)
{
    if (answer->between && (byte == '\r' || byte == '\n'))
        return GRACE_STEP_PASS;
    answer->matched = 0;
    if (byte != version[0])
        return no_beginning(answer);
    answer->matched = 1;
    return now(answer, GRACE_ANSWER_STATUS);
}

static enum grace_answer_step status_is_whole(struct grace_answer *answer, char byte)
{
    uint16_t code = answer->code;
    answer->any = true;
    answer->back = GRACE_ANSWER_MIDDLE;
    answer->left = 0;
    answer->length = 0;
    answer->holding = answer->dropping = answer->dropped = answer->says_close = false;
    answer->has_length = answer->bad_length = answer->is_chunked = answer->other_coding = false;
    if (code == 101)
        return now(answer, GRACE_ANSWER_THROUGH);
    return now(answer, byte == '\n' ? GRACE_ANSWER_HEAD : GRACE_ANSWER_REASON);
}

/* "HTTP/1.", the minor version, a space, three digits, and a space or the line's end. */
static enum grace_answer_step status(struct grace_answer *answer, char byte)
{
    unsigned at = answer->matched;
    enum { MINOR = sizeof version - 1, SPACE, HUNDREDS, TENS, ONES, BEHIND };
    bool fits = (at < MINOR && byte == version[at]) ||
                (at == MINOR && (byte == '0' || byte == '1')) || (at == SPACE && byte == ' ') ||
                (at == HUNDREDS && is_digit(byte) && byte != '0') ||
                ((at == TENS || at == ONES) && is_digit(byte)) ||
                (at == BEHIND && (byte == ' ' || byte == '\r' || byte == '\n'));
    if (!fits)
        return no_beginning(answer);
    if (at == BEHIND)
        return status_is_whole(answer, byte);
    if (at == HUNDREDS)
        answer->code = 0;
    if (at >= HUNDREDS)
        answer->code = (uint16_t)(answer->code * 10 + (byte - '0'));
    answer->matched++;
    return GRACE_STEP_PASS;
}

static int hex_value(char byte)
{
    if (is_digit(byte))
        return byte - '0';
    char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static enum grace_answer_step chunk_size(struct grace_answer *answer, char byte)
{
    int value = hex_value(byte);
    if (value >= 0 && answer->left < UINT64_MAX >> 8) {
        answer->left = answer->left * 16 + (uint64_t)value;
        answer->length = 1;
        answer->untouched = false;
        return GRACE_STEP_PASS;
    }
    if (byte == version[0] && answer->untouched) { /* it was an answer to HEAD */
        answer->state = GRACE_ANSWER_BEGIN;
        return GRACE_STEP_AGAIN;
    }
    if (answer->length == 0 || value >= 0 || strchr("; \t\r\n", byte) == NULL || byte == '\0')
        return lost(answer);
    answer->state = GRACE_ANSWER_CHUNK_LINE;
    return GRACE_STEP_AGAIN;
}

static enum grace_answer_step chunk_line(struct grace_answer *answer, char byte)
{
    if (byte != '\n')
        return GRACE_STEP_PASS;
    answer->length = 0;
    return now(answer, answer->left > 0 ? GRACE_ANSWER_CHUNK_DATA : GRACE_ANSWER_TRAILER);
}

static enum grace_answer_step chunk_end(struct grace_answer *answer, char byte)
{
    if (byte == '\r')
        return GRACE_STEP_PASS;
    return byte == '\n' ? now(answer, GRACE_ANSWER_CHUNK_SIZE) : lost(answer);
}

/* `between`: as after every answer whose end is known. */
static enum grace_answer_step trailer(struct grace_answer *answer, char byte)
{
    if (byte == '\n' && answer->length == 0) {
        answer->between = true;
        return now(answer, GRACE_ANSWER_BEGIN);
    }
    if (byte != '\r')
        answer->length = byte != '\n';
    return GRACE_STEP_PASS;
}

static enum grace_answer_step step(struct grace_answer *answer, char byte)
{
    switch ((enum grace_answer_state)answer->state) {
    case GRACE_ANSWER_BEGIN:
        return begin(answer, byte);
    case GRACE_ANSWER_STATUS:
        return status(answer, byte);
    case GRACE_ANSWER_REASON:
        return byte == '\n' ? now(answer, GRACE_ANSWER_HEAD) : GRACE_STEP_PASS;
    case GRACE_ANSWER_HEAD:
    case GRACE_ANSWER_HEAD_END:
        return grace_answer_head(answer, byte);
    case GRACE_ANSWER_CHUNK_SIZE:
        return chunk_size(answer, byte);
    case GRACE_ANSWER_CHUNK_LINE:
        return chunk_line(answer, byte);
    case GRACE_ANSWER_CHUNK_END:
        return chunk_end(answer, byte);
    case GRACE_ANSWER_TRAILER:
        return trailer(answer, byte);
    case GRACE_ANSWER_BODY:
    case GRACE_ANSWER_CHUNK_DATA:
    case GRACE_ANSWER_MIDDLE:
    case GRACE_ANSWER_THROUGH:
        break; /* these pass in bulk */
    }
    return GRACE_STEP_PASS;
}

/* Bytes that need no look each: how many of `length`. */
static size_t in_bulk(const struct grace_answer *answer, size_t length)
{
    if (answer->state == GRACE_ANSWER_MIDDLE || answer->state == GRACE_ANSWER_THROUGH)
        return length;
    if (answer->state == GRACE_ANSWER_BODY || answer->state == GRACE_ANSWER_CHUNK_DATA)
        return answer->left < length ? (size_t)answer->left : length;
    return 0;
}

static void bulk_went(struct grace_answer *answer, uint64_t length)
{
    if (answer->state != GRACE_ANSWER_BODY && answer->state != GRACE_ANSWER_CHUNK_DATA)
        return;
    answer->left -= length;
    answer->untouched = false;
    if (answer->left > 0)
        return;
    answer->between = true;
    answer->state =
        answer->state == GRACE_ANSWER_BODY ? GRACE_ANSWER_BEGIN : GRACE_ANSWER_CHUNK_END;
}

/* ---- bytes of ours ------------------------------------------------------------------------- */

size_t grace_answer_owed(const struct grace_answer *answer, const char **bytes)
{
    *bytes = answer->emit == GRACE_EMIT_CLOSE ? close_line : answer->line;
    size_t length = answer->emit == GRACE_EMIT_CLOSE                     ? sizeof close_line - 1
                    : answer->emit == GRACE_EMIT_HELD || answer->holding ? answer->length
                                                                         : 0;
    *bytes += answer->emitted;
    return length - answer->emitted;
}

void grace_answer_paid(struct grace_answer *answer, size_t sent)
{
    const char *bytes;
    if (sent < grace_answer_owed(answer, &bytes)) {
        if (answer->emit == GRACE_EMIT_NONE)
            answer->emit = GRACE_EMIT_HELD;
        answer->holding = false;
        answer->emitted = (uint8_t)(answer->emitted + sent);
        return;
    }
    answer->emit = GRACE_EMIT_NONE;
    answer->emitted = 0;
    answer->holding = false;
}

void grace_answer_unseen(struct grace_answer *answer, uint64_t sent)
{
    if (answer->state == GRACE_ANSWER_STATUS && answer->back == GRACE_ANSWER_BODY)
        no_beginning(answer);
    if (answer->state == GRACE_ANSWER_THROUGH || sent == 0)
        return;
    if (in_bulk(answer, SIZE_MAX) >= sent)
        bulk_went(answer, sent);
    else
        answer->state = answer->any || answer->back != GRACE_ANSWER_THROUGH ? GRACE_ANSWER_MIDDLE
                                                                            : GRACE_ANSWER_THROUGH;
}

void grace_answer_give_up(struct grace_answer *answer)
{
    answer->state = GRACE_ANSWER_THROUGH;
}

/* ---- a call's bytes ------------------------------------------------------------------------ */

/* Where the bytes of a plan go; in a second walk over the same bytes, how many of them went. */
struct walk {
    struct grace_answer *answer;
    struct grace_answer_plan *plan; /* NULL in the second walk */
    size_t budget;                  /* bytes that may still go out */
    const char *held;               /* the held bytes, where they all are in the caller's memory */
};

static void add_piece(struct grace_answer_plan *plan, const char *bytes, size_t length)
{
    struct iovec *last = plan->count > 0 ? &plan->pieces[plan->count - 1] : NULL;
    if (last != NULL && (const char *)last->iov_base + last->iov_len == bytes)
        last->iov_len += length;
    else
        plan->pieces[plan->count++] = (struct iovec){(void *)(uintptr_t)bytes, length};
    plan->total += length;
}

static void put(struct walk *walk, const char *bytes, size_t length)
{
    walk->budget -= length;
    if (walk->plan != NULL)
        add_piece(walk->plan, bytes, length);
}

static void put_ours(struct walk *walk)
{
    struct grace_answer *answer = walk->answer;
    struct grace_answer_plan *plan = walk->plan;
    const char *bytes;
    size_t length = grace_answer_owed(answer, &bytes);
    size_t fits = length < walk->budget ? length : walk->budget;
    walk->budget -= fits;
    if (plan != NULL && answer->emit == GRACE_EMIT_HELD && walk->held != NULL) {
        add_piece(plan, walk->held, length);
    } else if (plan != NULL) {
        /* The held bytes change as the walk goes on: what goes out is a copy. */
        char *copy = plan->scratch + plan->scratch_used;
        memcpy(copy, bytes, length);
        plan->scratch_used += length;
        plan->edited = true;
        add_piece(plan, copy, length);
    }
    walk->held = NULL;
    grace_answer_paid(answer, fits);
}

/* Room for the most that one more byte can add. */
static bool is_full(const struct walk *walk)
{
    return walk->budget == 0 ||
           (walk->plan != NULL &&
            (walk->plan->count + 2 > GRACE_ANSWER_PIECES ||
             walk->plan->scratch_used + GRACE_ANSWER_LINE > GRACE_ANSWER_SCRATCH));
}

/* The bytes of one piece of the caller's. Returns how many are done with. */
static size_t walk_piece(struct walk *walk, const char *bytes, size_t length)
{
    struct grace_answer *answer = walk->answer;
    size_t at = 0;
    walk->held = NULL;
    while (at < length && !is_full(walk)) {
        if (answer->emit != GRACE_EMIT_NONE) {
            put_ours(walk);
            continue;
        }
        size_t bulk = in_bulk(answer, length - at);
        if (bulk > walk->budget)
            bulk = walk->budget;
        if (bulk > 0) {
            put(walk, bytes + at, bulk);
            bulk_went(answer, bulk);
            at += bulk;
            continue;
        }
        bool was_holding = answer->holding && answer->length > 0;
        enum grace_answer_step done = step(answer, bytes[at]);
        if (done == GRACE_STEP_KEEP && answer->holding && !was_holding)
            walk->held = bytes + at;
        if (done == GRACE_STEP_PASS)
            put(walk, bytes + at, 1);
        if (done != GRACE_STEP_AGAIN)
            at++;
    }
    return at;
}

static size_t walk_bytes(struct walk *walk, const struct iovec *bytes, size_t count, size_t from)
{
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        if (from >= bytes[i].iov_len) {
            from -= bytes[i].iov_len;
            continue;
        }
        size_t length = bytes[i].iov_len - from;
        size_t done = walk_piece(walk, (const char *)bytes[i].iov_base + from, length);
        taken += done;
        if (done < length)
            break;
        from = 0;
    }
    return taken;
}

void grace_answer_plan(const struct grace_answer *answer, const struct iovec *bytes, size_t count,
                       size_t from, struct grace_answer_plan *plan)
{
    plan->count = plan->total = plan->scratch_used = 0;
    plan->edited = false;
    plan->after = *answer;
    struct walk walk = {.answer = &plan->after, .plan = plan, .budget = SIZE_MAX};
    plan->taken = walk_bytes(&walk, bytes, count, from);
    plan->edited = plan->edited || plan->total != plan->taken;
}

size_t grace_answer_advance(struct grace_answer *answer, const struct iovec *bytes, size_t count,
                            size_t from, const struct grace_answer_plan *plan, size_t sent)
{
    if (sent >= plan->total) {
        *answer = plan->after;
        return plan->taken;
    }
    struct walk walk = {.answer = answer, .budget = sent};
    return walk_bytes(&walk, bytes, count, from);
}
