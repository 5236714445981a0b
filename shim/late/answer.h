/*
 * The bytes that the target sends on one connection, seen as HTTP/1.x answers: what has to go out
 * in their place so that each answer says "Connection: close". A pure state machine: no system
 * call, no allocation, no clock. How it reads an answer: answer.c.
 *
 * None of these functions is thread-safe for one and the same connection; all are
 * async-signal-safe.
 */
#ifndef GRACE_SHIM_LATE_ANSWER_H
#define GRACE_SHIM_LATE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The first bytes of a header line that are looked at; what matters is shorter. */
#define GRACE_ANSWER_LINE 96

enum grace_answer_state {
    GRACE_ANSWER_BEGIN,      /* right here an answer begins, or none does */
    GRACE_ANSWER_STATUS,     /* within "HTTP/1.1 200 " */
    GRACE_ANSWER_REASON,     /* the rest of that line */
    GRACE_ANSWER_HEAD,       /* header lines */
    GRACE_ANSWER_HEAD_END,   /* the last LF of the head */
    GRACE_ANSWER_BODY,       /* `left` bytes */
    GRACE_ANSWER_CHUNK_SIZE, /* chunked: the size; the rest of its line; the data; the LF after it
                              */
    GRACE_ANSWER_CHUNK_LINE,
    GRACE_ANSWER_CHUNK_DATA,
    GRACE_ANSWER_CHUNK_END,
    GRACE_ANSWER_TRAILER,
    GRACE_ANSWER_MIDDLE,  /* somewhere in an answer, with no knowing where it ends */
    GRACE_ANSWER_THROUGH, /* nothing that concerns us, until the connection is closed */
};

/* Bytes that go out before the next one of the caller's. */
enum grace_answer_emit { GRACE_EMIT_NONE, GRACE_EMIT_CLOSE, GRACE_EMIT_HELD };

struct grace_answer {
    uint64_t left;   /* bytes of the body, or of the chunk, still to come */
    uint16_t code;   /* the answer's status */
    uint8_t state;   /* enum grace_answer_state */
    uint8_t back;    /* state to go back to when what looked like a beginning is none */
    uint8_t matched; /* bytes of the status line that matched */
    uint8_t length;  /* bytes in `line` */
    uint8_t emit;    /* enum grace_answer_emit */
    uint8_t emitted; /* bytes of it that are out */
    bool any;        /* an answer was recognised on this connection */
    bool between;    /* BEGIN behind an answer whose end was known: stray line ends may precede */
    bool untouched;  /* of the body nothing was sent yet */
    bool holding;    /* the bytes in `line` are not out yet: the line may have to go */
    bool dropping;   /* the rest of this line goes */
    bool dropped;    /* the line before this one went */
    bool says_close; /* the head says so itself, or we did */
    bool has_length, bad_length, is_chunked, other_coding;
    char line[GRACE_ANSWER_LINE]; /* the header line so far, cut to this size */
};

/* A new connection. `sent_before`: something was sent on it already, so that the next bytes may be
 * anything's middle. */
void grace_answer_start(struct grace_answer *answer, bool sent_before);

/* Whether the client has sent something since the last bytes went out to it. */
enum grace_answer_fresh { GRACE_FRESH_NO, GRACE_FRESH_YES, GRACE_FRESH_UNKNOWN };

/* A call of the target's is about to send, beginning with byte `first`. When grace_answer_asks says
 * that it matters, the answer to the above decides whether this call may begin an answer. */
bool grace_answer_asks(const struct grace_answer *answer, char first);
void grace_answer_look(struct grace_answer *answer, enum grace_answer_fresh fresh);

/* Whether grace_answer_asks may say so at the next call. */
bool grace_answer_will_ask(const struct grace_answer *answer);

/*
 * What goes out for bytes of the caller's: pieces of its memory, of constants and of this struct,
 * which must stay where it is until they were sent. When there are many pieces, `taken` is less
 * than what was given, and the rest is for a plan of its own.
 */
#define GRACE_ANSWER_PIECES  64
#define GRACE_ANSWER_SCRATCH 512
struct grace_answer_plan {
    struct iovec pieces[GRACE_ANSWER_PIECES];
    size_t count;
    size_t total; /* bytes to send */
    size_t taken; /* bytes of the caller's that are done with when all is sent */
    bool edited;  /* false: the pieces are the caller's bytes as they are */
    struct grace_answer after;
    size_t scratch_used;
    char scratch[GRACE_ANSWER_SCRATCH];
};

/* Plan for the caller's bytes behind the first `from`. Changes nothing but the plan. */
void grace_answer_plan(const struct grace_answer *answer, const struct iovec *bytes, size_t count,
                       size_t from, struct grace_answer_plan *plan);

/*
 * The kernel took `sent` bytes of the plan, which was made for the same arguments. Returns how many
 * bytes of the caller's that makes: never all while something of ours is still to go out, so that
 * whoever sends until all is sent has sent that, too. It may be 0 though something was sent.
 */
size_t grace_answer_advance(struct grace_answer *answer, const struct iovec *bytes, size_t count,
                            size_t from, const struct grace_answer_plan *plan, size_t sent);

/*
 * For bytes that go out unseen (sendfile): first what is owed, bytes held back or half of our line.
 * Returns its length, 0 when nothing is; after it was sent, grace_answer_paid. Then
 * grace_answer_unseen with the number of bytes that went.
 */
size_t grace_answer_owed(const struct grace_answer *answer, const char **bytes);
void grace_answer_paid(struct grace_answer *answer, size_t sent);
void grace_answer_unseen(struct grace_answer *answer, uint64_t sent);

/* Bytes went out of which not even that is known. */
void grace_answer_give_up(struct grace_answer *answer);

/* ---- within: answer_head.c ----------------------------------------------------------------- */

/* What to do with a byte. Again: the state has changed, and the byte is to be looked at anew. */
enum grace_answer_step { GRACE_STEP_PASS, GRACE_STEP_KEEP, GRACE_STEP_AGAIN };

/* One byte of a head, behind the status line. */
enum grace_answer_step grace_answer_head(struct grace_answer *answer, char byte);

#endif
