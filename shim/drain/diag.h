/* What only the kernel's socket diagnostics tell (sock_diag(7)). See diag.c. Conductor only. */
#ifndef GRACE_SHIM_DRAIN_DIAG_H
#define GRACE_SHIM_DRAIN_DIAG_H

#include <stdbool.h>
#include <stdint.h>

/* How many handshakes of a local TCP port (of 0: any) have begun and are not complete; negative
 * errno when the kernel does not tell. */
int grace_diag_handshakes(int family, unsigned port);

/* How many connections wait in the backlog of a listening Unix socket, by its inode; negative errno
 * when the kernel does not tell. */
int grace_diag_unix_backlog(uint64_t inode);

/* Call visit(port, argument) for each TCP port that somebody listens at in this network namespace.
 * Returns 0 or a negative errno. */
int grace_diag_listening_ports(void (*visit)(unsigned port, void *argument), void *argument);

/* The same for each TCP connection in this network namespace: its local port, and the inode of the
 * socket (0: no process has it open any more). */
int grace_diag_connections(void (*visit)(unsigned port, uint64_t inode, void *argument),
                           void *argument);

#endif
