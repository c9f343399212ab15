/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio console between its files: console.c has the ports' bytes and the life of the
 * device, console_control.c the messages about ports (virtio 1.2, 5.3.6.2).
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#ifndef HULL_DEVICES_VIRTIO_CONSOLE_H
#define HULL_DEVICES_VIRTIO_CONSOLE_H

#include <linux/virtio_console.h>

#include "hull/virtio_console.h"

enum {
	CONSOLE_QUEUE_SIZE = 64,
	CONSOLE_PORT_QUEUES = 2,  /* of each port: receive, then transmit */
	CONSOLE_CONTROL_RX = 2,   /* queues of the control messages: to the driver */
	CONSOLE_CONTROL_TX = 3,   /* from it */
	CONSOLE_FIRST_QUEUES = 4, /* those of port 0, and of the control messages */
};

/*
 * Messages that wait for a buffer, a bit for each port and kind, in the order in which they
 * go out. What such a message says is looked up when it goes.
 */
enum console_message {
	CONSOLE_ADD = 1 << 0,
	CONSOLE_IS_CONSOLE = 1 << 1,
	CONSOLE_NAME = 1 << 2,
	CONSOLE_CLOSED = 1 << 3, /* the host's side is closed, */
	CONSOLE_OPENED = 1 << 4, /* and open again */
	CONSOLE_SIZE = 1 << 5,
	CONSOLE_MESSAGES = (1 << 6) - 1,
};

/* What a snapshot holds. Bits of masks are ports. */
struct console_state {
	struct virtio_console_config config; /* as the driver reads it */
	uint8_t device_ready;                /* 0 or 1: the driver wants to hear of ports */
	uint8_t ready;                       /* mask: the driver has the port */
	uint8_t guest_open;                  /* mask: something in the guest has opened it */
	uint8_t told_open;                   /* mask: the driver was told that the host's side is open */
	uint8_t pending[VIRTIO_CONSOLE_MAX_PORTS];  /* enum console_message, a mask for each port */
	uint64_t tx_done[VIRTIO_CONSOLE_MAX_PORTS]; /* bytes of the next chain of output that were taken */
};

struct virtio_console;

struct console_port {
	struct virtio_console *console;
	struct stream *stream; /* NULL: nothing connected, ever */
	char name[VIRTIO_CONSOLE_NAME];
	unsigned index;
	struct loop_timer stall; /* armed: output is held back, and the reader takes nothing */
	bool dropping;           /* for too long: it is not held back any more */
};

struct console_size {
	uint16_t cols, rows; /* 0: unknown */
};

struct virtio_console {
	struct virtio_dev dev;
	struct console_state st;
	struct console_size created; /* the terminal's size when the device was created */
	struct console_port ports[VIRTIO_CONSOLE_MAX_PORTS];
	unsigned port_count;
	struct log_limit bad_limit;
	struct iovec iov[CONSOLE_QUEUE_SIZE]; /* the chain that is being looked at */
};

/* True when the driver has agreed to several ports, and so to control messages. */
bool console_is_multiport(const struct virtio_console *con);

/* Takes what the port's stream has, as far as there are buffers for it. */
void console_serve_rx(struct console_port *port);

/* Serves the queues of the control messages. */
void console_control_rx(struct virtio_console *con);
void console_control_tx(struct virtio_console *con);

/* The driver hears of `what` about a port, if it has it. */
void console_post(struct console_port *port, enum console_message what);

/* Says that the driver made a chain that cannot be used. */
void console_note_bad(struct virtio_console *con);

#endif
