/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which system call comes next for a request to a raw disk; see block_attempt.h. */
#include "block_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"

enum {
	BOUNCE_BYTES = 256 << 10, /* at most; what is longer takes several attempts */
	PAGE_BYTES = 4096,

	/*
	 * One call transfers so much at most. The kernel may do all of it inside the call that
	 * starts it, while others wait for the loop, and a guest may name the same memory many times.
	 */
	TRANSFER_BYTES = 2 << 20,
};

/* Moves the attempt's place in the request's iov on by `n` bytes. */
static void advance(struct block_attempt *a, uint64_t n)
{
	const struct block_request *req = a->req;

	a->first_offset += n;
	while (a->first < req->iov_count && a->first_offset >= req->iov[a->first].iov_len)
		a->first_offset -= req->iov[a->first++].iov_len;
}

/* Copies `n` bytes between the bounce buffer and what is not done of the request's iov. */
static void copy_bounce(const struct block_attempt *a, uint64_t n, bool to_bounce)
{
	const struct block_request *req = a->req;
	uint64_t skip = a->first_offset;
	uint8_t *bounce = a->bounce;

	for (unsigned i = a->first; n && i < req->iov_count; i++) {
		uint64_t part = min_u64(n, req->iov[i].iov_len - skip);
		uint8_t *guest = (uint8_t *)req->iov[i].iov_base + skip;

		if (part && to_bounce)
			memcpy(bounce, guest, part);
		else if (part)
			memcpy(guest, bounce, part);
		bounce += part;
		n -= part;
		skip = 0;
	}
}

/* Makes the next part of the request go through memory of our own. */
static int plan_bounce(struct block_attempt *a, uint64_t left)
{
	uint64_t len = min_u64(left, BOUNCE_BYTES);

	if (!a->bounce) {
		a->bounce = aligned_alloc(PAGE_BYTES, align_up(len, PAGE_BYTES));
		if (!a->bounce)
			return -ENOMEM;
		memset(a->bounce, 0, len);
	}
	a->len = len;
	a->bounce_iov = (struct iovec){a->bounce, len};
	a->iov = &a->bounce_iov;
	a->iov_count = 1;
	return 0;
}

/* True when O_DIRECT can use the rest of the request's iov as it is. */
static bool is_aligned(const struct block_abilities *can, const struct block_attempt *a)
{
	const struct block_request *req = a->req;
	uint64_t skip = a->first_offset;

	for (unsigned i = a->first; i < req->iov_count; i++) {
		uint64_t base = (uintptr_t)req->iov[i].iov_base + skip;
		uint64_t len = req->iov[i].iov_len - skip;

		if (base & (can->limits.memory_align - 1) || len & (can->limits.offset_align - 1))
			return false;
		skip = 0;
	}
	return true;
}

/*
 * Plans a transfer straight from or to what is not done of the request's iov: whole
 * entries, or a part of the first.
 */
static void plan_entries(struct block_attempt *a)
{
	const struct block_request *req = a->req;
	uint64_t skip = a->first_offset;
	unsigned n = 0;

	a->iov = req->iov + a->first;
	for (a->len = 0; n < IOV_MAX && a->first + n < req->iov_count && a->len < TRANSFER_BYTES; n++) {
		uint64_t part = a->iov[n].iov_len - skip;

		if (a->len && part > TRANSFER_BYTES - a->len)
			break;
		a->len += part;
		skip = 0;
	}
	a->iov_count = n;
	a->skipped = a->first_offset != 0 || a->len > TRANSFER_BYTES;
	if (!a->skipped)
		return;
	a->len = min_u64(a->len, TRANSFER_BYTES);
	a->saved = a->iov[0];
	a->iov[0].iov_base = (uint8_t *)a->saved.iov_base + a->first_offset;
	a->iov[0].iov_len = min_u64(a->saved.iov_len - a->first_offset, a->len);
}

static int plan_transfer(const struct block_abilities *can, struct block_attempt *a, uint64_t left)
{
	struct block_request *req = a->req;
	int r;

	advance(a, 0); /* over empty entries */
	a->method = req->op == BLOCK_READ ? BLOCK_PREADV : BLOCK_PWRITEV;
	if ((a->offset | left) & (can->limits.offset_align - 1) || a->first >= req->iov_count)
		return -EIO;
	if (a->bounce || !is_aligned(can, a)) {
		r = plan_bounce(a, left);
		if (r == 0 && req->op == BLOCK_WRITE)
			copy_bounce(a, a->len, true);
		return r;
	}
	plan_entries(a);
	return 0;
}

static void plan_fallocate(struct block_attempt *a, int mode)
{
	a->method = BLOCK_FALLOCATE;
	a->mode = mode | FALLOC_FL_KEEP_SIZE;
	a->len = a->req->len;
}

int block_attempt_plan(const struct block_abilities *can, struct block_attempt *a)
{
	const struct block_request *req = a->req;
	uint64_t left = req->len - req->progress;

	a->offset = req->offset + req->progress;
	switch (req->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return plan_transfer(can, a, left);
	case BLOCK_FLUSH:
		a->method = BLOCK_FDATASYNC;
		return 0;
	case BLOCK_DISCARD:
		if (can->no_punch)
			return 1; /* leaving it all as it is is allowed */
		plan_fallocate(a, FALLOC_FL_PUNCH_HOLE);
		if (can->limits.device)
			a->method = BLOCK_IOCTL_DISCARD;
		return 0;
	default:
		break;
	}
	if (req->unmap && can->limits.can_discard && !can->no_punch) {
		plan_fallocate(a, FALLOC_FL_PUNCH_HOLE);
		return 0;
	}
	if (!can->no_zero_range) {
		plan_fallocate(a, FALLOC_FL_ZERO_RANGE);
		return 0;
	}
	a->method = BLOCK_PWRITEV;
	return plan_bounce(a, left);
}

void block_attempt_restore(struct block_attempt *a)
{
	if (a->skipped)
		a->iov[0] = a->saved;
	a->skipped = false;
}

void block_attempt_progress(struct block_attempt *a, uint64_t n)
{
	if (a->bounce && a->req->op == BLOCK_READ)
		copy_bounce(a, n, false);
	a->req->progress += n;
	if (a->req->op != BLOCK_WRITE_ZEROES)
		advance(a, n);
	a->tries = 0;
}

bool block_attempt_unsupported(struct block_abilities *can, const struct block_attempt *a)
{
	if (a->method == BLOCK_IOCTL_DISCARD ||
	    (a->method == BLOCK_FALLOCATE && a->mode & FALLOC_FL_PUNCH_HOLE))
		can->no_punch = true;
	else if (a->method == BLOCK_FALLOCATE)
		can->no_zero_range = true;
	else
		return false;
	return true;
}
