/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of virtio-vsock: vsock.c (the device, packets from the guest),
 * vsock_rx.c (packets to the guest), vsock_connection.c (connections and their ends),
 * vsock_stream.c (bytes from the guest to the host), vsock_listen.c (connections from
 * the host).
 *
 *   guest REQUEST ----> CONNECTING --- a socket ---> OPEN ---- ends ----> freed
 *   host accept ---> HELLO --- CONNECT ---> REQUESTED --- RESPONSE ---^   |
 *                                              guest RST, bytes kept ---> ORPHAN
 *
 * A connection has no queue of packets for the guest: it has bits in `pending`, and a
 * place among those that wait for their turn. So nothing a guest does makes it grow.
 *
 * Sockets are watched edge by edge: `readable` is what is known of them, and nothing is
 * asked of epoll while the guest gives no credit.
 *
 * A snapshot stops none of that: while the device is frozen, packets wait on either side, and what
 * the host says or accepts is dealt with as ever. A copy of the guest has a device without
 * connections, and is told so by an event.
 *
 * Lock: that of dev.env.loop, held in every function here.
 */
#ifndef HULL_VIRTIO_VSOCK_PRIVATE_H
#define HULL_VIRTIO_VSOCK_PRIVATE_H

#include <linux/virtio_config.h>
#include <linux/virtio_vsock.h>

#include "hull/virtio_vsock.h"

enum {
	VSOCK_RX = 0,
	VSOCK_TX = 1,
	VSOCK_EVENT = 2,
	VSOCK_QUEUES = 3,
	VSOCK_QUEUE_SIZE = 256,

	VSOCK_HEADER = sizeof(struct virtio_vsock_hdr),
	VSOCK_MAX_PAYLOAD = 64 << 10, /* bytes of one packet */
	VSOCK_ROUND_PACKETS = 256,    /* in one go: others want their turn, too */
	VSOCK_ROUND_BYTES = 2 << 20,  /* likewise */
	VSOCK_TURN_BYTES = 64 << 10,  /* of one connection, before the next has its turn */
	VSOCK_BATCH = 32,             /* packets filled by one system call */
	VSOCK_BATCH_IOVS = 256,       /* a batch with as many pieces takes no further chain */
	VSOCK_BUCKETS = 1024,         /* of the table of connections, a power of two */
	VSOCK_RESETS = 1024,          /* RST packets that wait */
	VSOCK_STRAY_RESETS = 256,     /* of which for packets of no connection */
	VSOCK_HALF_OPEN = 128,        /* connections from the host without a CONNECT line */
	VSOCK_LINE = 32,              /* bytes of it */
	VSOCK_FIRST_PORT = 1 << 30,   /* of the host, for connections that it opens */
	VSOCK_SPARE_BUFFERS = 16,     /* kept for the next that needs one */
	VSOCK_BOTH = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND,
};

_Static_assert(VSOCK_HEADER == 44, "virtio 1.2, 5.10.6");

enum vsock_stage {
	VSOCK_FREE,
	VSOCK_HELLO,      /* from the host: the CONNECT line is awaited */
	VSOCK_REQUESTED,  /* from the host: the guest's answer is awaited */
	VSOCK_CONNECTING, /* from the guest: the host's answer is awaited */
	VSOCK_OPEN,
	VSOCK_ORPHAN, /* the guest has done with it: what is kept still goes to the host */
};

/* What is to be sent to the guest: bits of `pending`. */
enum {
	VSOCK_SEND_REQUEST = 1 << 0,
	VSOCK_SEND_RESPONSE = 1 << 1,
	VSOCK_SEND_CREDIT = 1 << 2,
	VSOCK_SEND_SHUTDOWN = 1 << 3,
};

struct virtio_vsock;

struct vsock_connection {
	struct virtio_vsock *vs;
	struct vsock_connection *next; /* in its bucket, or of those unused */
	struct vsock_connection *turn_next, *turn_prev;
	uint64_t token; /* never used twice */
	uint32_t host_port;
	uint32_t guest_port;
	enum vsock_stage stage;
	bool waits; /* for its turn */
	bool quiet; /* the host is not told that the guest has accepted */
	uint8_t pending;

	struct loop_io io; /* the socket; fd -1: none, or not any more */
	struct loop_timer timer;
	uint64_t timer_ns;      /* for so long */
	uint32_t timer_fwd_cnt; /* fwd_cnt when it was set */
	bool readable;          /* the socket may have bytes, or its end */
	bool hung_up;           /* it is shut down in both directions */
	bool ended;             /* no more bytes for the guest */
	bool deaf;              /* the host takes no more bytes */
	bool write_shut;
	uint8_t guest_shutdown; /* VIRTIO_VSOCK_SHUTDOWN_*, said by the guest */
	uint8_t host_shutdown;  /* said to the guest, or pending */

	/* Bytes sent to the guest, and what it said last (5.10.6.3); all modulo 2^32. */
	uint32_t tx_cnt;
	uint32_t peer_buf_alloc;
	uint32_t peer_fwd_cnt;

	/* Bytes got from the guest, those that have gone to the host, and what we said last. */
	uint32_t rx_cnt;
	uint32_t fwd_cnt;
	uint32_t told_fwd_cnt;
	uint32_t buffer; /* VIRTIO_VSOCK_BUFFER, or VIRTIO_VSOCK_WIDE */
	uint8_t *kept;   /* a ring of so many bytes; NULL: nothing is kept */
	uint32_t kept_first;
	uint32_t kept_len; /* always rx_cnt - fwd_cnt */
};

/* A RST that waits for the guest. */
struct vsock_reset {
	uint64_t src_cid;
	uint32_t src_port;
	uint32_t dst_port;
	uint16_t type;
};

/* What a snapshot holds: no connection survives it. */
struct vsock_state {
	uint32_t next_port; /* of the host: one that the guest may remember is not used at once */
};

/* A chain of the receive queue, within a batch. */
struct vsock_chain {
	uint16_t head;
	unsigned iov;   /* first entry in rx_iov */
	uint32_t room;  /* bytes of payload, VSOCK_MAX_PAYLOAD at most */
	unsigned parts; /* entries of it in rx_parts */
};

struct virtio_vsock {
	struct virtio_dev dev;
	struct virtio_vsock_config config;
	struct vsock_host *host;
	uint32_t wide_port;
	struct vsock_state st;
	struct loop_io listen_io;       /* fd -1: none */
	struct loop_timer listen_timer; /* runs while the host has no descriptors left */
	unsigned half_open;
	bool in_tx;       /* packets of the guest are being looked at: what they cause is sent afterwards */
	bool reset_event; /* the guest is to be told that all connections are gone */

	struct vsock_connection *slots; /* a mapping: only pages that were used are there */
	unsigned slots_touched;
	unsigned count; /* connections in any stage */
	struct vsock_connection *unused;
	struct vsock_connection *buckets[VSOCK_BUCKETS];
	struct vsock_connection *first, *last; /* of those that wait for their turn */
	uint64_t tokens;

	uint8_t *spare[VSOCK_SPARE_BUFFERS];
	unsigned spare_count;

	struct vsock_reset resets[VSOCK_RESETS]; /* a ring */
	unsigned resets_first, resets_count;

	struct log_limit packet_limit;
	struct log_limit host_limit;
	struct iovec tx_iov[VSOCK_QUEUE_SIZE];
	struct iovec rx_iov[VSOCK_BATCH_IOVS + VSOCK_QUEUE_SIZE];
	struct iovec rx_parts[VSOCK_BATCH_IOVS + VSOCK_QUEUE_SIZE]; /* the same without the headers */
	struct vsock_chain rx_chains[VSOCK_BATCH];
};

/* True while there is a guest to talk to, though perhaps not now: the device may be frozen. */
static inline bool vsock_has_driver(const struct virtio_vsock *vs)
{
	const uint8_t stopped = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

	return vs->dev.started && !(vs->dev.st.status & stopped);
}

/* ---- vsock_connection.c ---- */

/* A connection without a socket and, yet, without ports; NULL: there are VIRTIO_VSOCK_MAX_CONNECTIONS. */
struct vsock_connection *vsock_new(struct virtio_vsock *vs, enum vsock_stage stage);
/* Forgets it at once, and closes its socket. */
void vsock_free(struct vsock_connection *c);
void vsock_free_all(struct virtio_vsock *vs);

/* From here on vsock_find() finds it by its ports. */
void vsock_enter(struct vsock_connection *c, uint32_t guest_port, uint32_t host_port);
struct vsock_connection *vsock_find(const struct virtio_vsock *vs, uint32_t guest_port, uint32_t host_port);
struct vsock_connection *vsock_find_token(struct virtio_vsock *vs, uint64_t token);

/* Gives it the socket `fd`, whatever the result. 0 or -errno. */
int vsock_watch(struct vsock_connection *c, int fd);
void vsock_set_timer(struct vsock_connection *c, uint64_t ns);
/* The guest could do nothing for a while: those that run start anew. */
void vsock_restart_timers(struct virtio_vsock *vs);

/* Answers with RST, and forgets the connection. */
void vsock_abort(struct vsock_connection *c);
/* The guest said RST. */
void vsock_reset_by_guest(struct vsock_connection *c);
/* Something has changed that may bring the end nearer. False: the connection is gone. */
bool vsock_settle(struct vsock_connection *c);

/* ---- vsock_stream.c ---- */

/*
 * Takes `len` bytes of the guest's, in `count` entries of `iov`, which is changed. False:
 * there was no credit for so many, and nothing was taken.
 */
bool vsock_take_bytes(struct vsock_connection *c, struct iovec *iov, unsigned count, uint32_t len);
/* The socket may take some of what is kept. */
void vsock_flush(struct vsock_connection *c);
/* Forgets what is kept. */
void vsock_drop_kept(struct vsock_connection *c);
void vsock_free_buffers(struct virtio_vsock *vs);

/* ---- vsock_rx.c ---- */

/* Puts it among those that wait for their turn, if there is anything for the guest. */
void vsock_wait_for_turn(struct vsock_connection *c);
void vsock_leave_turn(struct vsock_connection *c);
/* Without credit nothing is read, but an end needs none. False: the connection is gone. */
bool vsock_look_for_end(struct vsock_connection *c);
/* A RST for a connection, or for what is none (`stray`); dropped when too many wait already. */
void vsock_send_reset(struct virtio_vsock *vs, const struct vsock_reset *reset, bool stray);
/* Sends what waits, within a round's bounds. */
void vsock_rx_round(struct virtio_vsock *vs);

/* ---- vsock_listen.c ---- */

int vsock_listen_init(struct virtio_vsock *vs, struct err *err);
void vsock_listen_finish(struct virtio_vsock *vs);
/* Starts or stops accepting, as there is room. */
void vsock_listen_update(struct virtio_vsock *vs);
/* Bytes, or the end, of a connection in stage HELLO. It may be gone afterwards. */
void vsock_hello(struct vsock_connection *c);
/* The guest accepted: says so to the host. */
void vsock_say_ok(struct vsock_connection *c);

#endif
