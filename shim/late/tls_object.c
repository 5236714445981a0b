/*
 * What is known of OpenSSL's objects, by their addresses.
 *
 * Nobody tells when an object goes and another takes its address: the random that the server has
 * sent in its handshake tells one connection from the next. The table is small and holds what was
 * used last. An object that is not in it is as good as new, and of such a one three things are to
 * be known before a byte is added:
 *   - It serves HTTP/1.x, or nothing says otherwise: not a client's, no other protocol chosen in
 *     the handshake (ALPN), over a descriptor that was accepted here, if there is one.
 *   - OpenSSL holds back nothing of a call that is to be repeated. That is certain where writing
 *     never fails half-way: into memory (event loops that do their own sending), and on a
 *     descriptor that blocks. Elsewhere the first call passes as it is, and when it has succeeded
 *     nothing is held back.
 *   - An answer begins there, and no body's middle that looks like one: answer.c has the rules.
 *     Whether the client has sent something since, OpenSSL's own count of the bytes that it has
 *     read tells; before we have seen it, the kernel.
 * Where the kernel itself encrypts (kTLS), the answers are edited on their way into it.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "../drain.h"
#include "../raw.h"
#include "connection.h"
#include "hooks/room.h"
#include "tls.h"

#define OBJECTS 4096
#define AROUND  16 /* places that an object may have */

/* As in <openssl/bio.h>, of every version. */
#define BIO_CTRL_GET_KTLS_SEND 73
#define BIO_C_GET_FD           105
#define BIO_TYPE_DESCRIPTOR    0x100
#define BIO_TYPE_MEM           0x401

static struct {
    char *_Atomic list;
    _Atomic uint64_t uses;
    _Atomic uint32_t round;    /* grows with each beginning */
    _Atomic bool is_finishing; /* only what was begun is handed out */
} table GRACE_ROOM(tls_objects);

static struct grace_tls_object *object_at(char *list, size_t place)
{
    return (struct grace_tls_object *)(void *)(list + place % OBJECTS * GRACE_TLS_OBJECT);
}

static size_t place_of(const void *ssl)
{
    return (size_t)(((uint64_t)(uintptr_t)ssl >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 48);
}

static bool is_owing(const struct grace_tls_object *object)
{
    const char *bytes;
    return object->done > 0 || object->copied > 0 || grace_answer_owed(&object->answer, &bytes) > 0;
}

/* ---- a new one ----------------------------------------------------------------------------- */

/* -1: none that is known. */
static int descriptor_of(const struct grace_tls_library *openssl, void *bio)
{
    return openssl->bio_method_type(bio) & BIO_TYPE_DESCRIPTOR
               ? (int)openssl->bio_ctrl(bio, BIO_C_GET_FD, 0, NULL)
               : -1;
}

static bool may_serve_http(const struct grace_tls_library *openssl, void *ssl)
{
    const unsigned char *name = NULL;
    unsigned length = 0;
    void *bio = openssl->get_wbio(ssl);
    if (bio == NULL || !openssl->is_server(ssl) || !openssl->is_init_finished(ssl))
        return false;
    openssl->get0_alpn_selected(ssl, &name, &length);
    if (length > 0 && (length != 8 || memcmp(name, "http/1.", 7) != 0))
        return false;
    int fd = descriptor_of(openssl, bio);
    return openssl->bio_ctrl(bio, BIO_CTRL_GET_KTLS_SEND, 0, NULL) <= 0 &&
           (fd < 0 || grace_drain_is_accepted(fd));
}

static bool never_repeats(const struct grace_tls_library *openssl, void *bio)
{
    int fd = descriptor_of(openssl, bio);
    if (fd < 0)
        return openssl->bio_method_type(bio) == BIO_TYPE_MEM;
    long flags = grace_kernel(SYS_fcntl, fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

static void begin_object(struct grace_tls_object *object, const struct grace_tls_library *openssl,
                         void *ssl)
{
    openssl->get_server_random(ssl, object->handshake, sizeof object->handshake);
    object->round = atomic_load(&table.round);
    object->is_clean = never_repeats(openssl, openssl->get_wbio(ssl));
    object->knows_received = false;
    object->done = object->pending = object->copied = 0;
    grace_answer_start(&object->answer, true);
    atomic_store(&object->ssl, ssl);
}

/* ---- finding it ---------------------------------------------------------------------------- */

static bool own(struct grace_tls_object *object)
{
    uint32_t nobody = 0;
    return atomic_compare_exchange_strong_explicit(&object->owner, &nobody,
                                                   (uint32_t)grace_gettid(), memory_order_acquire,
                                                   memory_order_relaxed);
}

void grace_tls_give_back(struct grace_tls_object *object)
{
    /* Release: the next owner sees what this one wrote. */
    atomic_store_explicit(&object->owner, 0, memory_order_release);
}

static bool is_same(const struct grace_tls_object *object, const struct grace_tls_library *openssl,
                    void *ssl)
{
    unsigned char handshake[GRACE_TLS_RANDOM] = {0};
    openssl->get_server_random(ssl, handshake, sizeof handshake);
    return memcmp(handshake, object->handshake, sizeof handshake) == 0;
}

/* The least used place for a new one, owned; NULL: each has a call under way. */
static struct grace_tls_object *make_room(char *list, size_t place)
{
    struct grace_tls_object *least = NULL;
    for (size_t i = 0; i < AROUND; i++) {
        struct grace_tls_object *object = object_at(list, place + i);
        if (!own(object))
            continue;
        bool is_better = !is_owing(object) && (least == NULL || object->used < least->used);
        if (least != NULL && is_better)
            grace_tls_give_back(least);
        if (is_better)
            least = object;
        else
            grace_tls_give_back(object);
    }
    return least;
}

static struct grace_tls_object *find(char *list, void *ssl)
{
    for (size_t i = 0; i < AROUND; i++) {
        struct grace_tls_object *object = object_at(list, place_of(ssl) + i);
        if (atomic_load(&object->ssl) == ssl)
            return object;
    }
    return NULL;
}

static struct grace_tls_object *begin(char *list, struct grace_tls_object *known,
                                      const struct grace_tls_library *openssl, void *ssl)
{
    struct grace_tls_object *object = known;
    if (!may_serve_http(openssl, ssl)) {
        if (known != NULL)
            grace_tls_give_back(known);
        return NULL;
    }
    if (known == NULL && (object = make_room(list, place_of(ssl))) == NULL)
        return NULL;
    begin_object(object, openssl, ssl);
    /* After the object is there to be seen: whoever sets it looks at the objects afterwards. */
    if (!atomic_load(&table.is_finishing))
        return object;
    grace_tls_give_back(object);
    return NULL;
}

struct grace_tls_object *grace_tls_take(const struct grace_tls_library *openssl, void *ssl)
{
    char *list = atomic_load_explicit(&table.list, memory_order_acquire);
    if (list == NULL || ssl == NULL)
        return NULL;
    struct grace_tls_object *object = find(list, ssl);
    if (object != NULL && !own(object))
        return NULL; /* a handler over the call that has it; or two threads at once */
    bool is_on = !atomic_load(&table.is_finishing);
    bool goes_on = object != NULL && is_same(object, openssl, ssl) &&
                   (is_owing(object) || (is_on && object->round == atomic_load(&table.round)));
    if (!goes_on)
        object = begin(list, object, openssl, ssl);
    if (object != NULL)
        object->used = atomic_fetch_add(&table.uses, 1) + 1;
    return object;
}

/* ---- what the client has sent -------------------------------------------------------------- */

void grace_tls_look(struct grace_tls_object *object, const struct grace_tls_library *openssl,
                    char first)
{
    void *ssl = atomic_load(&object->ssl);
    if (!grace_answer_asks(&object->answer, first))
        return;
    int fd = descriptor_of(openssl, openssl->get_wbio(ssl));
    enum grace_answer_fresh fresh = GRACE_FRESH_UNKNOWN;
    if (object->knows_received)
        fresh = openssl->bio_number_read(openssl->get_rbio(ssl)) > object->received
                    ? GRACE_FRESH_YES
                    : GRACE_FRESH_NO;
    else if (fd >= 0)
        fresh = grace_connection_fresh(fd);
    grace_answer_look(&object->answer, fresh);
}

void grace_tls_sent(struct grace_tls_object *object, const struct grace_tls_library *openssl)
{
    object->received = openssl->bio_number_read(openssl->get_rbio(atomic_load(&object->ssl)));
    object->knows_received = true;
}

/* ---- all of them --------------------------------------------------------------------------- */

bool grace_tls_objects_make(void)
{
    if (atomic_load(&table.list) != NULL)
        return true;
    long memory =
        grace_kernel(GRACE_SYS_mmap, NULL, (size_t)OBJECTS * GRACE_TLS_OBJECT,
                     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (grace_kernel_failed(memory))
        return false;
    atomic_store_explicit(&table.list, (char *)memory, memory_order_release);
    return true;
}

void grace_tls_objects_begin(void)
{
    atomic_fetch_add(&table.round, 1);
    atomic_store(&table.is_finishing, false);
}

bool grace_tls_objects_end(void)
{
    char *list = atomic_load(&table.list);
    bool settled = true;
    atomic_store(&table.is_finishing, true);
    for (size_t i = 0; list != NULL && i < OBJECTS; i++) {
        struct grace_tls_object *object = object_at(list, i);
        if (atomic_load(&object->ssl) == NULL)
            continue;
        if (!own(object)) {
            settled = false;
            continue;
        }
        settled = settled && !is_owing(object);
        grace_tls_give_back(object);
    }
    return settled;
}
