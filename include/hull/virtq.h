/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A split virtqueue, device side (virtio 1.2, 2.7):
 *
 *   desc   size x 16 bytes, read by the device, 16-byte aligned
 *            +0 u64 addr   +8 u32 len   +12 u16 flags (NEXT, WRITE, INDIRECT)   +14 u16 next
 *   avail  6 + 2 x size bytes, read by the device, 2-byte aligned      ("driver area")
 *            +0 u16 flags (NO_INTERRUPT)   +2 u16 idx   +4 u16 ring[size]   then u16 used_event
 *   used   6 + 8 x size bytes, written by the device, 4-byte aligned   ("device area")
 *            +0 u16 flags (NO_NOTIFY)      +2 u16 idx   +4 {u32 id, u32 len} ring[size]   then u16
 * avail_event
 *
 * Indices run freely modulo 2^16. idx is loaded with acquire and stored with
 * release; every other guest value is fetched once, checked, and used from the
 * copy. Nothing that the driver does makes a function here read or write
 * outside the three areas and what mem_ptr() grants.
 *
 * Lock: the device's, held in every function here.
 */
#ifndef HULL_VIRTQ_H
#define HULL_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hull/mem.h"
#include "hull/state.h"

enum { VIRTQ_MAX_SIZE = 1024 };

/* What a snapshot holds of a queue; also what the driver sets before `ready`. */
struct virtq_state {
	uint64_t desc; /* guest physical addresses of the three areas */
	uint64_t driver;
	uint64_t device;
	uint16_t size;       /* entries, a power of two */
	uint8_t ready;       /* 0 or 1 */
	uint16_t next_avail; /* next entry of the avail ring to take */
	uint16_t next_used;  /* next entry of the used ring to fill */
	uint16_t signalled;  /* next_used when an interrupt was last considered */
};

extern const struct state_table virtq_state_table;

struct virtq {
	struct virtq_state st;
	uint16_t max_size; /* what the device offers, set by the owner */
	bool event_idx;    /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;     /* VIRTIO_F_INDIRECT_DESC was negotiated */
	bool kicks_off;    /* the driver was told not to kick */
	const struct guest_mem *mem;
	const uint8_t *desc; /* host addresses of the areas; NULL unless ready */
	const uint8_t *avail;
	uint8_t *used;
	uint16_t in_flight;                /* chains taken and not given back */
	uint8_t taken[VIRTQ_MAX_SIZE / 8]; /* bit per head in flight */
};

/*
 * One request: `iov` has first what the device reads, then what it writes.
 * Neighbours in host memory are joined, so entries are not descriptors.
 */
struct virtq_chain {
	uint16_t head;
	bool bad;           /* some address is not RAM: its entry has a NULL iov_base */
	unsigned readable;  /* entries of iov */
	unsigned writable;  /* entries after them */
	uint64_t read_len;  /* bytes of all readable entries */
	uint64_t write_len; /* bytes of all writable entries */
};

/* Not ready, addresses zero, size `max_size`. */
void virtq_reset(struct virtq *vq);

/*
 * Makes the queue ready with the addresses and the size in vq->st. Errors: -EINVAL (size 0,
 * above max_size or no power of two; an area misaligned, not RAM, or overlapping another).
 */
int virtq_start(struct virtq *vq, const struct guest_mem *mem);

/* The same after vq->st was loaded from a snapshot. -EINVAL also: indices that are too far apart. */
int virtq_restart(struct virtq *vq, const struct guest_mem *mem);

/* Not ready any more; addresses, size and indices stay. */
void virtq_stop(struct virtq *vq);

/*
 * Somebody else (vhost) has served the ring, has nothing of it in flight, and would have
 * taken entry `next_avail` next: goes on from there, and from where the used ring ends.
 * Ignored when the queue is not ready.
 */
void virtq_go_on(struct virtq *vq, uint16_t next_avail);

/*
 * Takes the next available chain, with at most `cap` entries of `iov`.
 * Returns 1, 0 (nothing available or not ready), or -EBADMSG: the driver broke
 * the ring, and the device needs a reset. Broken is: avail idx ahead by more than
 * the size; a head or next past the table; a chain longer than the queue, or
 * than `cap`; a head that is in flight already; a readable descriptor after a
 * writable one; INDIRECT without the feature, nested, with NEXT, or of a wrong
 * length. An address outside RAM breaks one chain only (ret_chain->bad).
 */
int virtq_pop(struct virtq *vq, struct iovec *iov, unsigned cap, struct virtq_chain *ret_chain);

/*
 * Takes the chain of `head` again, which had been taken and not given back when the queue was stopped:
 * what waits for long outlives that. As virtq_pop() otherwise; -EBADMSG also when it is taken.
 */
int virtq_retake(struct virtq *vq, uint16_t head, struct iovec *iov, unsigned cap,
		 struct virtq_chain *ret_chain);

/* Gives a chain back, `written` bytes of its writable part filled. Ignored when the queue is not ready. */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t written);

/* A chain and how much of its writable part was filled, bytes. */
struct virtq_used {
	uint16_t head;
	uint32_t written;
};

/* Gives `n` chains back at once: the driver sees all of them or none yet. */
void virtq_push_all(struct virtq *vq, const struct virtq_used *used, unsigned n);

/*
 * Takes the last pop back: `head` is the next available chain again. Only what was
 * popped last, and not pushed; so several, in reverse order. Ignored when not ready.
 */
void virtq_unpop(struct virtq *vq, uint16_t head);

/*
 * True when the driver wants an interrupt for what was pushed since the last call:
 * the caller raises it. Nothing new, nothing wanted.
 */
bool virtq_needs_interrupt(struct virtq *vq);

/* Asks the driver not to kick while the device looks at the ring anyway. A hint. */
void virtq_kicks_off(struct virtq *vq);

/*
 * Asks for a kick when anything becomes available from now on: what a device does
 * last when it has emptied the queue, else there may be none. True when something
 * is available already: look once more.
 */
bool virtq_kicks_on(struct virtq *vq);

#endif
