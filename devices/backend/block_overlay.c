/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk over another, which stays as it is; see hull/block.h.
 *
 * A bit per block of 4 KiB says whether the block is in `top`. A bit is set when what is in top has
 * become the block's content, and never goes again, so that nothing old comes back.
 *
 *   READ            one run of blocks after the other, from base or top
 *   WRITE, ZEROES   the first and the last block, when they are covered in part and not in top, are
 *                   copied there; then all of the request goes to top; then the bits are set
 *   DISCARD         as ZEROES, for whole blocks alone
 *   FLUSH           top's
 *
 * While a block is copied up nobody else may write to it: of two writes that touch the same block,
 * one of which has blocks to copy, the later one waits. Others may be done in any order, as the disk's
 * user must not count on one. Reads never wait: until a bit is set, base has what is to be read.
 *
 * The children end requests inside their own callbacks. That only puts the operation into
 * `ready`; all else happens in run(), which is the only place that calls `done`.
 *
 * Lock: that of the loop, held in every function here.
 */
#include "block_overlay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hull/util.h"

enum {
	/* Rounds before other objects of the loop get their turn. */
	ROUNDS = 4,
};

static struct block_overlay *to_overlay(struct block_backend *b)
{
	return container_of(b, struct block_overlay, backend);
}

/* ---- operations ---- */

static struct overlay_op *take_op(struct block_overlay *o)
{
	struct overlay_op *op = o->unused;

	if (op)
		o->unused = op->next;
	else
		op = malloc(sizeof(*op));
	if (!op)
		return NULL;
	memset(op, 0, sizeof(*op));
	op->overlay = o;
	o->in_flight++;
	return op;
}

static void give_op(struct block_overlay *o, struct overlay_op *op)
{
	free(op->copy);
	op->copy = NULL;
	op->next = o->unused;
	o->unused = op;
	o->in_flight--;
}

bool overlay_is_writer(enum block_op op)
{
	return op != BLOCK_READ && op != BLOCK_FLUSH;
}

static void remove_writer(struct block_overlay *o, const struct overlay_op *op)
{
	unsigned i = 0;

	while (o->writers[i] != op)
		i++;
	o->writer_count--;
	memmove(&o->writers[i], &o->writers[i + 1], (o->writer_count - i) * sizeof(struct overlay_op *));
	o->look_again = true;
}

static void end_request(struct block_overlay *o, struct block_request *req, int result)
{
	o->ended = true;
	req->done(req, result);
}

void overlay_op_end(struct overlay_op *op, int result)
{
	struct block_overlay *o = op->overlay;
	struct block_request *req = op->req;

	if (overlay_is_writer(req->op))
		remove_writer(o, op);
	give_op(o, op);
	end_request(o, req, result);
}

void overlay_op_ready(struct overlay_op *op)
{
	struct overlay_op_list *ready = &op->overlay->ready;

	op->next = NULL;
	if (!ready->head)
		ready->tail = &ready->head;
	*ready->tail = op;
	ready->tail = &op->next;
}

/* ---- who waits for whom ---- */

/* True when writer `index` touches a block of an older one, and either has blocks to copy up. */
static bool must_wait(const struct block_overlay *o, unsigned index)
{
	const struct overlay_op *op = o->writers[index];
	uint64_t block;
	const bool copies = overlay_find_partial(op, &block);

	for (unsigned i = 0; i < index; i++) {
		const struct overlay_op *other = o->writers[i];

		if (op->start / OVERLAY_BLOCK < overlay_blocks(other->end) &&
		    other->start / OVERLAY_BLOCK < overlay_blocks(op->end) &&
		    (copies || overlay_find_partial(other, &block)))
			return true;
	}
	return false;
}

/* ---- starts ---- */

/* Says why a request is not even started, 0: it ends well at once, or 1: it is to be started. */
static int check(const struct block_overlay *o, const struct block_request *req)
{
	if (req->op == BLOCK_FLUSH)
		return 1;
	if (!range_fits(req->offset, req->len, o->backend.size))
		return -EIO;
	if (req->op == BLOCK_DISCARD && !o->top->can_discard)
		return 0; /* leaving everything as it is is allowed */
	return req->len != 0;
}

/* Of a discard whole blocks count: the rest may stay as it is. */
static void shrink_discard(struct overlay_op *op)
{
	const uint64_t size = op->overlay->backend.size;

	op->start = min_u64(align_up(op->start, OVERLAY_BLOCK), size);
	if (op->end != size)
		op->end = align_down(op->end, OVERLAY_BLOCK);
	if (op->end < op->start)
		op->end = op->start;
}

static void start_request(struct block_overlay *o, struct block_request *req)
{
	int r = check(o, req);
	struct overlay_op *op = r > 0 ? take_op(o) : NULL;

	if (!op) {
		end_request(o, req, r > 0 ? -ENOMEM : r);
		return;
	}
	op->req = req;
	op->start = req->offset;
	op->end = req->offset + req->len;
	if (!overlay_is_writer(req->op)) {
		overlay_op_begin(op);
		return;
	}
	if (req->op == BLOCK_DISCARD)
		shrink_discard(op);
	o->writers[o->writer_count++] = op;
	if (op->start == op->end)
		overlay_op_end(op, 0);
	else if (!must_wait(o, o->writer_count - 1))
		overlay_op_begin(op);
}

static void start_waiting(struct block_overlay *o)
{
	while (o->waiting && o->in_flight < OVERLAY_IN_FLIGHT) {
		struct block_request *req = o->waiting;

		o->waiting = req->next;
		start_request(o, req);
	}
}

/* Those that had to wait for others. What ends here, with -ENOMEM, makes us look again. */
static void start_writers(struct block_overlay *o)
{
	if (!o->look_again)
		return;
	o->look_again = false;
	for (unsigned i = 0; i < o->writer_count; i++) {
		if (!o->writers[i]->started && !must_wait(o, i))
			overlay_op_begin(o->writers[i]);
	}
}

static void step_ready(struct block_overlay *o)
{
	struct overlay_op *op = o->ready.head;

	o->ready.head = NULL;
	while (op) {
		struct overlay_op *next = op->next;

		overlay_op_next(op);
		op = next;
	}
}

static bool has_work(const struct block_overlay *o)
{
	return o->ready.head || o->look_again || (o->waiting && o->in_flight < OVERLAY_IN_FLIGHT);
}

/* Starts what can be started and ends what has ended. */
static void run(struct block_overlay *o)
{
	if (o->running)
		return;
	o->running = true;
	for (unsigned i = 0; i < ROUNDS && (i == 0 || has_work(o)); i++) {
		step_ready(o);
		start_writers(o);
		start_waiting(o);
		o->base->ops->commit(o->base);
		o->top->ops->commit(o->top);
	}
	if (has_work(o))
		loop_timer_set(o->loop, &o->timer, loop_now(o->loop));
	o->running = false;
	o->backend.unflushed = o->top->unflushed;
	if (o->ended) {
		o->ended = false;
		if (o->backend.batch_done)
			o->backend.batch_done(o->backend.batch_arg);
	}
}

/* A child has ended some. */
static void child_batch(void *arg)
{
	run(arg);
}

static void timer_expired(struct loop_timer *timer)
{
	run(container_of(timer, struct block_overlay, timer));
}

/* ---- the back end ---- */

static void overlay_submit(struct block_backend *b, struct block_request *req)
{
	struct block_overlay *o = to_overlay(b);

	req->progress = 0;
	req->next = NULL;
	if (!o->waiting)
		o->waiting_tail = &o->waiting;
	*o->waiting_tail = req;
	o->waiting_tail = &req->next;
}

static void overlay_commit(struct block_backend *b)
{
	run(to_overlay(b));
}

static void overlay_drain(struct block_backend *b)
{
	struct block_overlay *o = to_overlay(b);

	run(o);
	while (o->in_flight || o->waiting) {
		o->base->ops->drain(o->base);
		o->top->ops->drain(o->top);
		run(o);
	}
	loop_timer_cancel(o->loop, &o->timer);
}

static void overlay_close(struct block_backend *b)
{
	struct block_overlay *o = to_overlay(b);

	loop_timer_cancel(o->loop, &o->timer);
	o->base->ops->close(o->base);
	o->top->ops->close(o->top);
	while (o->unused) {
		struct overlay_op *op = o->unused;

		o->unused = op->next;
		free(op);
	}
	munmap(o->map, o->map_bytes);
	free(o);
}

/* ---- for a copy ---- */

static int overlay_peek(struct block_backend *b, void *buf, uint64_t offset, size_t len)
{
	const struct block_overlay *o = to_overlay(b);
	const uint64_t end = offset + len;
	uint8_t *p = buf;
	int r = 0;

	while (offset < end && r == 0) {
		struct block_backend *child = overlay_in_top(o, offset / OVERLAY_BLOCK) ? o->top : o->base;
		const uint64_t stop =
			overlay_end_of(o, overlay_run_end(o, offset / OVERLAY_BLOCK, overlay_blocks(end)));

		r = child->ops->peek(child, p, offset, stop - offset);
		p += stop - offset;
		offset = stop;
	}
	return r;
}

/* As child->ops->next_data, which is optional. */
static int child_next_data(struct block_backend *child, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	*ret_start = from;
	*ret_end = child->size;
	return child->ops->next_data ? child->ops->next_data(child, from, ret_start, ret_end) : 0;
}

static int overlay_next_data(struct block_backend *b, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	const struct block_overlay *o = to_overlay(b);
	const uint64_t blocks = overlay_blocks(b->size);
	uint64_t block = from / OVERLAY_BLOCK;

	while (from < b->size && block < blocks) {
		struct block_backend *child = overlay_in_top(o, block) ? o->top : o->base;
		const uint64_t end = overlay_run_end(o, block, blocks);
		int r = child_next_data(child, block * OVERLAY_BLOCK, ret_start, ret_end);

		if (r < 0)
			return r;
		if (*ret_start < overlay_end_of(o, end)) {
			*ret_end = min_u64(*ret_end, overlay_end_of(o, end));
			return 0;
		}
		block = end;
	}
	*ret_start = *ret_end = b->size;
	return 0;
}

static const struct block_ops overlay_ops = {
	.submit = overlay_submit,
	.commit = overlay_commit,
	.drain = overlay_drain,
	.close = overlay_close,
	.peek = overlay_peek,
	.next_data = overlay_next_data,
};

static void init(struct block_overlay *o, struct loop *loop, struct block_backend *base,
		 struct block_backend *top)
{
	const uint64_t block_size = max_u64(base->block_size, top->block_size);

	o->backend = (struct block_backend){
		.ops = &overlay_ops,
		.size = base->size,
		.can_discard = top->can_discard,
		.block_size = (uint32_t)block_size,
		/* So that a guest that can asks for whole blocks of ours. */
		.physical_size =
			(uint32_t)max_u64(max_u64(base->physical_size, top->physical_size), OVERLAY_BLOCK),
		.optimal_io = top->optimal_io,
	};
	o->loop = loop;
	o->base = base;
	o->top = top;
	o->timer.expired = timer_expired;
	base->batch_done = top->batch_done = child_batch;
	base->batch_arg = top->batch_arg = o;
}

static int map_blocks(struct block_overlay *o, uint64_t size)
{
	void *p;

	o->map_bytes = (overlay_blocks(size) / OVERLAY_WORD_BITS + 1) * sizeof(*o->map);
	p = mmap(NULL, o->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		 0);
	if (p == MAP_FAILED)
		return -errno;
	o->map = p;
	return 0;
}

int block_overlay_create(struct block_backend **ret_backend, struct loop *loop, struct block_backend *base,
			 struct block_backend *top, struct err *err)
{
	struct block_overlay *o = calloc(1, sizeof(*o));
	int r = o ? map_blocks(o, base->size) : -ENOMEM;

	if (r < 0)
		err_errno(err, r, "a map of %" PRIu64 " bytes", base->size);
	else if (base->size != top->size || top->read_only)
		r = err_set(err, -EINVAL, "a disk of %" PRIu64 " bytes over one of %" PRIu64, top->size,
			    base->size);
	if (r < 0) {
		if (o && o->map)
			munmap(o->map, o->map_bytes);
		free(o);
		base->ops->close(base);
		top->ops->close(top);
		return r;
	}
	init(o, loop, base, top);
	*ret_backend = &o->backend;
	return 0;
}
