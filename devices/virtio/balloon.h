/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The balloon between its files: balloon.c has queues, configuration and life, balloon_pages.c
 * the pages that go back to the host.
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#ifndef HULL_DEVICES_VIRTIO_BALLOON_H
#define HULL_DEVICES_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>

#include "hull/virtio_balloon.h"

enum {
	BALLOON_INFLATE, /* roles of queues */
	BALLOON_DEFLATE,
	BALLOON_STATS,
	BALLOON_HINT,
	BALLOON_REPORT,
	BALLOON_ROLES,

	BALLOON_QUEUE_SIZE = 128, /* Linux wants 32 at least for reporting */
	BALLOON_PAGE = 1 << VIRTIO_BALLOON_PFN_SHIFT,
};

/* What a snapshot holds. `config` is what the driver sees. */
struct balloon_state {
	struct virtio_balloon_config config;
	uint32_t last_cmd;   /* used for hinting so far */
	uint8_t poison_set;  /* the driver wrote poison_val */
	uint8_t hinting;     /* the driver has sent the current command, and not the stop yet */
	uint8_t stats_asked; /* the chain was given back, and has not come again */
};

struct balloon {
	struct virtio_dev dev;
	struct balloon_state st;
	uint64_t reported;            /* bytes */
	uint64_t done[BALLOON_ROLES]; /* bytes of the next chain that earlier rounds have dealt with */
	int64_t work; /* left in this round: a page number, or 64 KiB of free pages, is a unit */
	void (*stats_done)(void *arg, const struct virtio_balloon_stats *stats);
	void *stats_arg;
	void (*hint_done)(void *arg);
	void *hint_arg;
	struct log_limit limit;
	struct iovec iov[BALLOON_QUEUE_SIZE]; /* the chain that is being looked at */
};

/*
 * Gives back the pages that the readable part of the chain in b->iov names. Goes on at *done,
 * a count of bytes. False: there is more to do in the next round.
 */
bool balloon_inflate(struct balloon *b, const struct virtq_chain *chain, uint64_t *done);

/* The same for the whole pages in the writable part; *ret_bytes: how much went now. */
bool balloon_free_pages(struct balloon *b, const struct virtq_chain *chain, uint64_t *done,
			uint64_t *ret_bytes);

#endif
