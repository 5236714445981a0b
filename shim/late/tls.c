/*
 * SSL_write and SSL_write_ex, edited.
 *
 * OpenSSL sends nothing of a call, or says that it wants it repeated: with the same bytes, at the
 * same address unless the target has allowed it to move (SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER). So
 * what goes out in place of the target's bytes lies in the object's own memory until OpenSSL has
 * taken it, and a repeated call finds out from the object what OpenSSL was given.
 *
 * A call goes out in parts: what is edited, a few thousand bytes with the answer's head, is a copy;
 * what needs no edit is the target's memory. Without SSL_MODE_ENABLE_PARTIAL_WRITE a call has
 * succeeded when all of it is sent: what went before is remembered, as OpenSSL itself does. With it
 * the first part that was sent is the result.
 *
 * A target that repeats a call with other bytes than it has to is refused by OpenSSL, as ever.
 */
#include "tls.h"

#include <string.h>

/* As in <openssl/ssl.h>, of every version. */
#define CTRL_MODE     33
#define MODE_PARTIAL  0x1
#define MODE_MOVING   0x2
#define PART_OF_BYTES (GRACE_TLS_COPY - GRACE_ANSWER_SCRATCH)

struct call {
    const struct grace_tls_library *openssl;
    void *ssl;
    const char *bytes;
    size_t length;
    bool is_ex;
};

/* Make the call with these bytes. */
static int make(const struct call *call, const char *bytes, size_t length, size_t *written)
{
    if (call->is_ex)
        return call->openssl->write_ex(call->ssl, bytes, length, written);
    int result = call->openssl->write(call->ssl, bytes, (int)length);
    *written = result > 0 ? (size_t)result : 0;
    return result;
}

static bool has_mode(const struct call *call, long mode)
{
    return (call->openssl->ctrl(call->ssl, CTRL_MODE, 0, NULL) & mode) != 0;
}

static void copy_pieces(struct grace_tls_object *object, const struct grace_answer_plan *plan)
{
    object->copied = 0;
    for (size_t i = 0; i < plan->count; i++) {
        memcpy(object->copy + object->copied, plan->pieces[i].iov_base, plan->pieces[i].iov_len);
        object->copied += plan->pieces[i].iov_len;
    }
}

/* What is to be sent next. `bytes`: of the caller's, up to where the plan goes at most. */
static void plan_part(struct grace_tls_object *object, const struct call *call, struct iovec *bytes,
                      struct grace_answer_plan *plan)
{
    size_t rest = call->length - object->done;
    bool is_repeated = object->pending > 0;
    *bytes = (struct iovec){(void *)(uintptr_t)call->bytes, call->length};
    if (is_repeated && object->pending < rest)
        bytes->iov_len = object->done + object->pending;
    grace_answer_plan(&object->answer, bytes, 1, object->done, plan);
    if (is_repeated)
        return;
    if ((plan->edited || plan->taken < rest) && rest > PART_OF_BYTES) {
        bytes->iov_len = object->done + PART_OF_BYTES;
        grace_answer_plan(&object->answer, bytes, 1, object->done, plan);
    }
    object->pending = plan->taken;
    object->bytes = call->bytes;
    if (plan->edited)
        copy_pieces(object, plan);
}

/* Whether a call is the one that was to be repeated, as far as our copy stands for its bytes. */
static bool is_repetition(const struct grace_tls_object *object, const struct call *call)
{
    return object->copied == 0 || (call->length >= object->done + object->pending &&
                                   (call->bytes == object->bytes || has_mode(call, MODE_MOVING)));
}

static int send_part(struct grace_tls_object *object, const struct call *call)
{
    struct grace_answer_plan plan;
    struct iovec bytes;
    plan_part(object, call, &bytes, &plan);
    size_t sent = 0, rest = call->length - object->done;
    const char *from = object->copied > 0 ? object->copy : call->bytes + object->done;
    size_t length = object->copied > 0       ? object->copied
                    : object->pending < rest ? object->pending
                                             : rest;
    if (object->copied > 0 || plan.total > 0) { /* or all of it is held back */
        int result = make(call, from, length, &sent);
        if (result <= 0)
            return result;
        grace_tls_sent(object, call->openssl);
    }
    object->pending = object->copied = 0;
    object->done += grace_answer_advance(&object->answer, &bytes, 1, object->done, &plan, sent);
    return 1;
}

static int send_edited(struct grace_tls_object *object, const struct call *call, size_t *written)
{
    if (!is_repetition(object, call)) {
        grace_answer_give_up(&object->answer);
        object->done = object->pending = object->copied = 0;
        return make(call, call->bytes, call->length, written);
    }
    if (object->done == 0 && object->pending == 0)
        grace_tls_look(object, call->openssl, call->bytes[0]);
    while (object->done < call->length) {
        int result = send_part(object, call);
        if (result <= 0)
            return result;
        if (object->done > 0 && has_mode(call, MODE_PARTIAL))
            break;
    }
    *written = object->done;
    object->done = 0;
    return 1;
}

/* The first call that is seen may repeat one that was not: it passes, and what follows is known. */
static int send_unknown(struct grace_tls_object *object, const struct call *call, size_t *written)
{
    int result = make(call, call->bytes, call->length, written);
    object->is_clean = result > 0;
    if (result > 0)
        grace_tls_sent(object, call->openssl);
    return result;
}

static int send_call(const struct call *call, size_t *written)
{
    struct grace_tls_object *object =
        call->length == 0 ? NULL : grace_tls_take(call->openssl, call->ssl);
    if (object == NULL)
        return make(call, call->bytes, call->length, written);
    int result =
        object->is_clean ? send_edited(object, call, written) : send_unknown(object, call, written);
    grace_tls_give_back(object);
    return result;
}

int grace_tls_write(const struct grace_tls_library *openssl, void *ssl, const void *bytes,
                    int length)
{
    if (length < 0)
        return openssl->write(ssl, bytes, length);
    size_t written = 0;
    int result = send_call(&(struct call){openssl, ssl, bytes, (size_t)length, false}, &written);
    return result > 0 ? (int)written : result;
}

int grace_tls_write_ex(const struct grace_tls_library *openssl, void *ssl, const void *bytes,
                       size_t length, size_t *written)
{
    return send_call(&(struct call){openssl, ssl, bytes, length, true}, written);
}
