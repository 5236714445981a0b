/*
 * Session tickets, which look like an answer.
 *
 * A client of TLS 1.3 sends its first request with the end of the handshake, and the server sends
 * session tickets at once, while that request is still worked on: the kernel sees that something
 * was sent after what was received last. (In TLS 1.2 a client that starts early meets the same: the
 * end of the server's handshake comes behind its request.) So it is in the first exchange only:
 *
 *     from the client:  hello | end of the handshake | request
 *     from the server:  hello to end of the handshake, with certificates | tickets
 *
 * Each part is a segment of its own, and what is larger than a segment fills some before. The
 * client's last two may be one (Node's are). OpenSSL's tickets are one where a program sends what
 * OpenSSL wrote into memory (Node, asyncio), and each is one where OpenSSL sends; the second may
 * then wait for the client's acknowledgement, which takes up to 200 ms.
 *
 * An answer is another segment for the server, and plain HTTP sends no fewer than it receives. So
 * three that came and two that went are TLS. As many that went as came are an answered connection
 * as a rule, but may also be the request of a client that sends two parts in one, or tickets that
 * went one by one.
 */
#include "tickets.h"

#include <linux/tcp.h>
#include <stdbool.h>
#include <stdint.h>

/* No handshake takes less, with a request, and with tickets; and the server's not more. */
#define RECEIVED_LEAST 250
#define SENT_LEAST     300
#define SENT_MOST      10240
#define TICKETS_LEAST  80

/* How long a busy program may be about sending tickets. */
#define AT_ONCE_MS 1000

static bool may_be_first_exchange(const struct tcp_info *info)
{
    return info->tcpi_data_segs_in >= 2 && info->tcpi_data_segs_out >= 2 &&
           info->tcpi_bytes_received >= RECEIVED_LEAST && info->tcpi_bytes_sent >= SENT_LEAST &&
           info->tcpi_bytes_sent <= SENT_MOST && info->tcpi_snd_mss > 0 &&
           info->tcpi_last_data_recv < info->tcpi_last_data_sent + AT_ONCE_MS;
}

enum grace_tickets grace_tickets_seem(const struct tcp_info *info)
{
    if (!may_be_first_exchange(info))
        return GRACE_TICKETS_NO;
    uint64_t mss = info->tcpi_snd_mss, out = info->tcpi_data_segs_out;
    uint64_t parts = info->tcpi_data_segs_in - info->tcpi_bytes_received / mss; /* not full */
    uint64_t out_most = 2 + (info->tcpi_bytes_sent - TICKETS_LEAST) / mss;
    bool is_like_none = info->tcpi_data_segs_in > 2 && out == 2;
    if (is_like_none || (parts == 3 && out <= out_most))
        return GRACE_TICKETS_LIKELY;
    return parts <= 4 && out <= out_most + 1 ? GRACE_TICKETS_MAYBE : GRACE_TICKETS_NO;
}
