/* The addresses at which connections are accepted here. See addresses.c. Conductor only. */
#ifndef GRACE_SHIM_DRAIN_ADDRESSES_H
#define GRACE_SHIM_DRAIN_ADDRESSES_H

#include <stdbool.h>

/* Add a listener's address, or a TCP port; or have guessed, for want of a listener. */
void grace_drain_address_add(int listener);
void grace_drain_address_port(unsigned port, void *unused);
void grace_drain_address_guess(void);

bool grace_drain_address_has_port(unsigned port);

/* Whether answers in plain HTTP were seen at the local port of a TCP connection. */
bool grace_drain_address_is_plain(int fd);

void grace_drain_addresses_forget(void);

#endif
