/*
 * The HTTP server that tells health checkers whether to send anybody: 200 until the stop comes to
 * the hook, 503 from then on, whatever the path. It does nothing while nobody asks.
 */
#ifndef GRACE_HOOKS_READY_SERVER_H
#define GRACE_HOOKS_READY_SERVER_H

#include "address.h"

/* Serve until the service's descriptor ends. An address that another process still has (the
 * instance before) is waited for. Returns 0, or -1 with the error set. */
int grace_ready_serve(const struct grace_ready_address *address,
                      const struct grace_service *service, struct grace_error *error);

/* What the server answers, as a client sees it: 200, 503; 0: nobody answers; -1: something that is
 * not our server. Waits `patience_ms` at most. */
int grace_ready_ask(const struct grace_ready_address *address, int64_t patience_ms);

#endif
