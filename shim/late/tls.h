/*
 * Answers inside TLS: OpenSSL's SSL_write and SSL_write_ex are redirected, as the calls that send
 * are, wherever the target's objects call them. Nothing of OpenSSL is linked; what is needed of it
 * is found in each library of it that is loaded (tls_library.c). The calls: tls.c. What is known of
 * each object that stands for a connection: tls_object.c.
 */
#ifndef GRACE_SHIM_LATE_TLS_H
#define GRACE_SHIM_LATE_TLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer.h"

/* From now on what is redirected is edited. Before the first grace_late_tls_apply. */
void grace_late_tls_begin(void);

/* Find OpenSSL where it is loaded, and redirect the calls to it; to be called again now and then.
 * In normal context, one thread at a time; takes the loader's locks. */
void grace_late_tls_apply(void);

/* Edit nothing more, and take the redirection back; it stays while an object has to be given the
 * rest of what was edited. As grace_late_tls_apply. */
void grace_late_tls_end(void);

/* Find out whether any TLS is loaded, if somebody has asked; as grace_late_tls_apply. */
void grace_late_tls_look(void);

/* Whether it is known that there is none. Where it is not known, that is asked for; sets
 * *is_asked_first where nobody did before. Async-signal-safe. */
bool grace_late_tls_is_absent(bool *is_asked_first);

/* ---- within -------------------------------------------------------------------------------- */

/* What is called of one OpenSSL, 1.1.1 or later. `ssl` is an SSL *, `bio` a BIO *. None of these
 * touches the error queue or fails, but the first two. */
struct grace_tls_library {
    int (*write)(void *ssl, const void *bytes, int length);
    int (*write_ex)(void *ssl, const void *bytes, size_t length, size_t *written);
    int (*is_server)(const void *ssl);
    int (*is_init_finished)(const void *ssl);
    size_t (*get_server_random)(const void *ssl, unsigned char *bytes, size_t size);
    void (*get0_alpn_selected)(const void *ssl, const unsigned char **name, unsigned *length);
    void *(*get_rbio)(const void *ssl);
    void *(*get_wbio)(const void *ssl);
    long (*ctrl)(void *ssl, int command, long number, void *argument);
    int (*bio_method_type)(const void *bio);
    uint64_t (*bio_number_read)(void *bio);
    long (*bio_ctrl)(void *bio, int command, long number, void *argument);
};

#define GRACE_TLS_RANDOM 32
#define GRACE_TLS_OBJECT 4096

struct grace_tls_object {
    _Atomic uint32_t owner;                    /* the thread that is in a call with it; 0: none */
    _Atomic(void *) ssl;                       /* NULL: room for one */
    unsigned char handshake[GRACE_TLS_RANDOM]; /* the server's random: an address is used again */
    uint64_t used;
    uint32_t round;
    bool is_clean;     /* OpenSSL holds nothing back of a call that was made before we saw any */
    uint64_t received; /* bytes from the client when something was last sent; holds with: */
    bool knows_received;

    /* A call that OpenSSL wants repeated. */
    const void *bytes; /* the caller's */
    size_t done;       /* of them, what has gone out */
    size_t pending;    /* and what OpenSSL was given next, as it is, or: */
    size_t copied;     /* edited; bytes in `copy` */

    struct grace_answer answer;
    char copy[];
};
#define GRACE_TLS_COPY (GRACE_TLS_OBJECT - offsetof(struct grace_tls_object, copy))

/* Memory for the objects. False: none is to be had. */
bool grace_tls_objects_make(void);
void grace_tls_objects_begin(void);
/* From now on only those are handed out of which something has still to be sent. Returns whether
 * there is none. */
bool grace_tls_objects_end(void);

/* The object, for this thread until it gives it back; NULL: what is written passes as it is. Keeps
 * errno and OpenSSL's error queue. */
struct grace_tls_object *grace_tls_take(const struct grace_tls_library *openssl, void *ssl);
void grace_tls_give_back(struct grace_tls_object *object);

/* The target is about to write, beginning with a byte; and something was written. */
void grace_tls_look(struct grace_tls_object *object, const struct grace_tls_library *openssl,
                    char first);
void grace_tls_sent(struct grace_tls_object *object, const struct grace_tls_library *openssl);

/* In place of OpenSSL's functions. */
int grace_tls_write(const struct grace_tls_library *openssl, void *ssl, const void *bytes,
                    int length);
int grace_tls_write_ex(const struct grace_tls_library *openssl, void *ssl, const void *bytes,
                       size_t length, size_t *written);

#endif
