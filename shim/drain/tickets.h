/* Whether what was sent last on a connection may have been no answer, but the session tickets of
 * TLS. See tickets.c. */
#ifndef GRACE_SHIM_DRAIN_TICKETS_H
#define GRACE_SHIM_DRAIN_TICKETS_H

struct tcp_info;

enum grace_tickets {
    GRACE_TICKETS_NO,    /* it was an answer, if anything was sent */
    GRACE_TICKETS_MAYBE, /* a few answers would look the same */
    GRACE_TICKETS_LIKELY /* hardly anything else looks so */
};

/* By what the kernel knows of an accepted TCP connection on which something was sent after what was
 * received last; whether there is TLS at all is another question. A pure function. */
enum grace_tickets grace_tickets_seem(const struct tcp_info *info);

#endif
