/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a disk over another does for one request; see block_overlay.h. */
#include <errno.h>
#include <stdlib.h>

#include "block_overlay.h"
#include "hull/util.h"

/* ---- the map ---- */

bool overlay_in_top(const struct block_overlay *o, uint64_t block)
{
	return o->map[block / OVERLAY_WORD_BITS] >> block % OVERLAY_WORD_BITS & 1;
}

uint64_t overlay_run_end(const struct block_overlay *o, uint64_t block, uint64_t limit)
{
	const uint64_t same = overlay_in_top(o, block) ? UINT64_MAX : 0;

	while (block < limit) {
		const uint64_t others =
			(o->map[block / OVERLAY_WORD_BITS] ^ same) >> block % OVERLAY_WORD_BITS;

		if (others)
			return min_u64(block + (unsigned)__builtin_ctzll(others), limit);
		block = align_down(block, OVERLAY_WORD_BITS) + OVERLAY_WORD_BITS;
	}
	return limit;
}

/* The blocks [from, to) are in top. */
static void set_blocks(struct block_overlay *o, uint64_t from, uint64_t to)
{
	while (from < to) {
		const uint64_t n = min_u64(to - from, OVERLAY_WORD_BITS - from % OVERLAY_WORD_BITS);

		o->map[from / OVERLAY_WORD_BITS] |= UINT64_MAX >> (OVERLAY_WORD_BITS - n)
									  << from % OVERLAY_WORD_BITS;
		from += n;
	}
}

uint64_t overlay_blocks(uint64_t bytes)
{
	return bytes / OVERLAY_BLOCK + (bytes % OVERLAY_BLOCK != 0);
}

uint64_t overlay_end_of(const struct block_overlay *o, uint64_t block)
{
	return min_u64(block * OVERLAY_BLOCK, o->backend.size);
}

/* ---- what children do ---- */

/* The request's iov as it was before cut_iov(). */
static void restore_iov(struct overlay_op *op)
{
	if (!op->cut)
		return;
	op->req->iov[op->cut_last] = op->saved_last;
	op->req->iov[op->first] = op->saved_first;
	op->cut = false;
}

static void child_done(struct block_request *child, int result)
{
	struct overlay_op *op = container_of(child, struct overlay_op, child);

	restore_iov(op);
	op->result = result;
	overlay_op_ready(op);
}

static void submit(struct overlay_op *op, enum overlay_step step, struct block_backend *child)
{
	op->step = step;
	op->child.done = child_done;
	child->ops->submit(child, &op->child);
}

/* Takes the next `n` bytes of the request's iov for the child, in place: few entries change. */
static void cut_iov(struct overlay_op *op, uint64_t n)
{
	struct iovec *iov = op->req->iov;
	const unsigned count = op->req->iov_count;
	unsigned last = op->first;

	op->child.iov = iov + op->first;
	op->child.iov_count = count - op->first;
	if (op->first == count)
		return; /* shorter than it should be: the child says so */
	op->saved_first = iov[last];
	iov[last].iov_base = (uint8_t *)iov[last].iov_base + op->first_offset;
	iov[last].iov_len -= op->first_offset;
	while (last + 1 < count && n > iov[last].iov_len)
		n -= iov[last++].iov_len;
	op->saved_last = iov[last];
	iov[last].iov_len = min_u64(iov[last].iov_len, n);
	op->child.iov_count = last + 1 - op->first;
	op->cut_last = last;
	op->cut = true;
}

/* Goes on by `n` bytes in the request's iov, and over empty entries. */
static void advance_iov(struct overlay_op *op, uint64_t n)
{
	const struct block_request *req = op->req;

	op->first_offset += n;
	while (op->first < req->iov_count && op->first_offset >= req->iov[op->first].iov_len)
		op->first_offset -= req->iov[op->first++].iov_len;
}

static void read_run(struct overlay_op *op)
{
	struct block_overlay *o = op->overlay;
	const uint64_t at = op->start + op->req->progress;
	const uint64_t end = overlay_run_end(o, at / OVERLAY_BLOCK, overlay_blocks(op->end));
	const uint64_t len = min_u64(end * OVERLAY_BLOCK, op->end) - at;

	op->child = (struct block_request){.op = BLOCK_READ, .offset = at, .len = len};
	cut_iov(op, len);
	submit(op, OVERLAY_READ, overlay_in_top(o, at / OVERLAY_BLOCK) ? o->top : o->base);
}

bool overlay_find_partial(const struct overlay_op *op, uint64_t *ret_block)
{
	const struct block_overlay *o = op->overlay;

	*ret_block = op->start / OVERLAY_BLOCK;
	if (op->start % OVERLAY_BLOCK && !overlay_in_top(o, *ret_block))
		return true;
	*ret_block = op->end / OVERLAY_BLOCK;
	return op->end % OVERLAY_BLOCK && op->end != o->backend.size && !overlay_in_top(o, *ret_block);
}

static void fetch_block(struct overlay_op *op, uint64_t block)
{
	const uint64_t len = overlay_end_of(op->overlay, block + 1) - block * OVERLAY_BLOCK;

	if (!op->copy)
		op->copy = aligned_alloc(OVERLAY_BLOCK, OVERLAY_BLOCK);
	if (!op->copy) {
		overlay_op_end(op, -ENOMEM);
		return;
	}
	op->block = block;
	op->copy_iov = (struct iovec){op->copy, len};
	op->child = (struct block_request){.op = BLOCK_READ,
					   .offset = block * OVERLAY_BLOCK,
					   .len = len,
					   .iov = &op->copy_iov,
					   .iov_count = 1};
	submit(op, OVERLAY_FETCH, op->overlay->base);
}

static void store_block(struct overlay_op *op)
{
	op->child.op = BLOCK_WRITE;
	submit(op, OVERLAY_STORE, op->overlay->top);
}

/* All of the request, as every block of it is in top or is covered. */
static void write_all(struct overlay_op *op)
{
	const struct block_request *req = op->req;

	op->child = (struct block_request){.op = req->op,
					   .offset = op->start,
					   .len = op->end - op->start,
					   .iov = req->iov,
					   .iov_count = req->iov_count};
	/* Space is taken for nothing but data. */
	if (req->op != BLOCK_WRITE) {
		op->child.op = BLOCK_WRITE_ZEROES;
		op->child.unmap = true;
	}
	submit(op, OVERLAY_LAST, op->overlay->top);
}

static void write_next(struct overlay_op *op)
{
	uint64_t block;

	if (overlay_find_partial(op, &block))
		fetch_block(op, block);
	else
		write_all(op);
}

/* ---- steps ---- */

void overlay_op_begin(struct overlay_op *op)
{
	op->started = true;
	if (op->req->op == BLOCK_READ) {
		advance_iov(op, 0);
		read_run(op);
	} else if (op->req->op == BLOCK_FLUSH) {
		op->child = (struct block_request){.op = BLOCK_FLUSH};
		submit(op, OVERLAY_LAST, op->overlay->top);
	} else {
		write_next(op);
	}
}

static void run_read(struct overlay_op *op)
{
	op->req->progress += op->child.len;
	advance_iov(op, op->child.len);
	if (op->start + op->req->progress == op->end)
		overlay_op_end(op, 0);
	else
		read_run(op);
}

void overlay_op_next(struct overlay_op *op)
{
	struct block_overlay *o = op->overlay;

	if (op->result < 0) {
		overlay_op_end(op, op->result);
		return;
	}
	switch (op->step) {
	case OVERLAY_READ:
		run_read(op);
		break;
	case OVERLAY_FETCH:
		store_block(op);
		break;
	case OVERLAY_STORE:
		set_blocks(o, op->block, op->block + 1);
		o->look_again = true;
		write_next(op);
		break;
	case OVERLAY_LAST:
		if (overlay_is_writer(op->req->op))
			set_blocks(o, op->start / OVERLAY_BLOCK, overlay_blocks(op->end));
		overlay_op_end(op, 0);
		break;
	}
}
