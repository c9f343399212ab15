/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What moves packets and sockets in a machine: for each network device a back end, a
 * virtio-net device and a transport; the vsock device; all on one loop of their own
 * with the thread "hull-net".
 *
 * Thread: the builder's, but for what is said otherwise.
 */
#ifndef HULL_VMM_MACHINE_NETS_H
#define HULL_VMM_MACHINE_NETS_H

#include "hull/err.h"
#include "machine.h"
#include "saved_config.h"

/* Makes machine->nets; nothing without networks and vsock. */
int machine_nets_build(struct machine *machine, struct err *err);

/* Starts the thread. NULL is fine here and below. */
int machine_nets_start(struct machine_nets *nets, struct err *err);

/* Waits until it is ready for a guest (io_thread_await()). */
void machine_nets_await(struct machine_nets *nets);

/*
 * The supervisor's answer to a guest that connects to a port of the host: a socket, which
 * is taken over, or -errno. Main loop's lock.
 */
void machine_nets_vsock_connected(struct machine_nets *nets, uint64_t token, int fd);

/* Connects `fd`, which is taken over, to `port` of the guest. NULL is fine. Main loop's lock. */
void machine_nets_vsock_open(struct machine_nets *nets, uint32_t port, int fd);

/* Writes what has passed into the log, a line for each device. Any thread. */
void machine_nets_status(struct machine_nets *nets);

/* Ends the thread. No vCPU runs. */
void machine_nets_stop(struct machine_nets *nets);

/* Notes addresses and queues for a snapshot. NULL is fine. */
void machine_nets_describe(const struct machine_nets *nets, struct saved_extra *extra);

#endif
