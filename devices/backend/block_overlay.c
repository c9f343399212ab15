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
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hull/block.h"
#include "hull/util.h"

enum {
	BLOCK = 4096,

	/* Operations at once; what is more waits. Each has one request to a child at a time. */
	IN_FLIGHT = 256,

	/* Rounds before other objects of the loop get their turn. */
	ROUNDS = 4,

	WORD_BITS = 64,
};

/* What the child's request is for. */
enum step {
	STEP_BEGIN,
	STEP_READ,  /* a run of blocks */
	STEP_FETCH, /* a block of base that is to be copied up */
	STEP_STORE, /* the same into top */
	STEP_LAST,  /* with its end the operation has ended */
};

struct overlay_op {
	struct block_overlay *overlay;
	struct overlay_op *next;   /* of `ready` or `unused` */
	struct block_request *req; /* is served; its `progress` counts bytes that were read */
	uint64_t start, end;       /* bytes that are read or written */
	enum step step;
	bool started;
	struct block_request child;
	int result; /* of `child` */

	/* Of a read: what is left of the request's iov, and what was changed for the current run. */
	unsigned first;
	uint64_t first_offset;
	unsigned cut_last;
	bool cut;
	struct iovec saved_first, saved_last;

	/* Of a write. */
	uint64_t block; /* is copied up */
	void *copy;     /* its content; NULL: not needed so far */
	struct iovec copy_iov;
};

struct op_list {
	struct overlay_op *head;
	struct overlay_op **tail; /* where the next one goes; unused when empty */
};

struct block_overlay {
	struct block_backend backend;
	struct loop *loop;
	struct block_backend *base;
	struct block_backend *top;
	uint64_t *map; /* of blocks, as above: a mapping of which only those pages come to be that are set */
	size_t map_bytes;

	struct block_request *waiting; /* not started, oldest first */
	struct block_request **waiting_tail;
	struct overlay_op *writers[IN_FLIGHT]; /* those that are no reads and flushes, oldest first */
	unsigned writer_count;
	bool look_again;      /* a writer that waits may perhaps start */
	struct op_list ready; /* whose child has ended */
	struct overlay_op *unused;
	unsigned in_flight; /* operations that are not in `unused` */
	struct loop_timer timer;
	bool running; /* run() is active, and sees what is submitted now */
	bool ended;   /* some `done` was called since batch_done */
};

static struct block_overlay *to_overlay(struct block_backend *b)
{
	return container_of(b, struct block_overlay, backend);
}

/* ---- the map ---- */

static bool in_top(const struct block_overlay *o, uint64_t block)
{
	return o->map[block / WORD_BITS] >> block % WORD_BITS & 1;
}

/* The end of the run of blocks, all in top or all not, that begins with `block`; at most `limit`. */
static uint64_t run_end(const struct block_overlay *o, uint64_t block, uint64_t limit)
{
	const uint64_t same = in_top(o, block) ? UINT64_MAX : 0;

	while (block < limit) {
		const uint64_t others = (o->map[block / WORD_BITS] ^ same) >> block % WORD_BITS;

		if (others)
			return min_u64(block + (unsigned)__builtin_ctzll(others), limit);
		block = align_down(block, WORD_BITS) + WORD_BITS;
	}
	return limit;
}

/* The blocks [from, to) are in top. */
static void set_blocks(struct block_overlay *o, uint64_t from, uint64_t to)
{
	while (from < to) {
		const uint64_t n = min_u64(to - from, WORD_BITS - from % WORD_BITS);

		o->map[from / WORD_BITS] |= UINT64_MAX >> (WORD_BITS - n) << from % WORD_BITS;
		from += n;
	}
}

static uint64_t block_count(uint64_t bytes)
{
	return bytes / BLOCK + (bytes % BLOCK != 0);
}

/* The end in bytes of what ends with the block before `block`. */
static uint64_t end_of_blocks(const struct block_overlay *o, uint64_t block)
{
	return min_u64(block * BLOCK, o->backend.size);
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

static bool is_writer(enum block_op op)
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

static void end_op(struct overlay_op *op, int result)
{
	struct block_overlay *o = op->overlay;
	struct block_request *req = op->req;

	if (is_writer(req->op))
		remove_writer(o, op);
	give_op(o, op);
	end_request(o, req, result);
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
	struct op_list *ready = &op->overlay->ready;

	restore_iov(op);
	op->result = result;
	op->next = NULL;
	if (!ready->head)
		ready->tail = &ready->head;
	*ready->tail = op;
	ready->tail = &op->next;
}

static void submit(struct overlay_op *op, enum step step, struct block_backend *child)
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
	const uint64_t end = run_end(o, at / BLOCK, block_count(op->end));
	const uint64_t len = min_u64(end * BLOCK, op->end) - at;

	op->child = (struct block_request){.op = BLOCK_READ, .offset = at, .len = len};
	cut_iov(op, len);
	submit(op, STEP_READ, in_top(o, at / BLOCK) ? o->top : o->base);
}

/* The next block that must be copied up before the operation can write. False: none. */
static bool find_partial(const struct overlay_op *op, uint64_t *ret_block)
{
	const struct block_overlay *o = op->overlay;

	*ret_block = op->start / BLOCK;
	if (op->start % BLOCK && !in_top(o, *ret_block))
		return true;
	*ret_block = op->end / BLOCK;
	return op->end % BLOCK && op->end != o->backend.size && !in_top(o, *ret_block);
}

static void fetch_block(struct overlay_op *op, uint64_t block)
{
	const uint64_t len = end_of_blocks(op->overlay, block + 1) - block * BLOCK;

	if (!op->copy)
		op->copy = aligned_alloc(BLOCK, BLOCK);
	if (!op->copy) {
		end_op(op, -ENOMEM);
		return;
	}
	op->block = block;
	op->copy_iov = (struct iovec){op->copy, len};
	op->child = (struct block_request){
		.op = BLOCK_READ, .offset = block * BLOCK, .len = len, .iov = &op->copy_iov, .iov_count = 1};
	submit(op, STEP_FETCH, op->overlay->base);
}

static void store_block(struct overlay_op *op)
{
	op->child.op = BLOCK_WRITE;
	submit(op, STEP_STORE, op->overlay->top);
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
	submit(op, STEP_LAST, op->overlay->top);
}

static void write_next(struct overlay_op *op)
{
	uint64_t block;

	if (find_partial(op, &block))
		fetch_block(op, block);
	else
		write_all(op);
}

/* ---- steps ---- */

static void begin(struct overlay_op *op)
{
	op->started = true;
	if (op->req->op == BLOCK_READ) {
		advance_iov(op, 0);
		read_run(op);
	} else if (op->req->op == BLOCK_FLUSH) {
		op->child = (struct block_request){.op = BLOCK_FLUSH};
		submit(op, STEP_LAST, op->overlay->top);
	} else {
		write_next(op);
	}
}

static void run_read(struct overlay_op *op)
{
	op->req->progress += op->child.len;
	advance_iov(op, op->child.len);
	if (op->start + op->req->progress == op->end)
		end_op(op, 0);
	else
		read_run(op);
}

static void next_step(struct overlay_op *op)
{
	struct block_overlay *o = op->overlay;

	if (op->result < 0) {
		end_op(op, op->result);
		return;
	}
	switch (op->step) {
	case STEP_BEGIN:
		begin(op);
		break;
	case STEP_READ:
		run_read(op);
		break;
	case STEP_FETCH:
		store_block(op);
		break;
	case STEP_STORE:
		set_blocks(o, op->block, op->block + 1);
		o->look_again = true;
		write_next(op);
		break;
	case STEP_LAST:
		if (is_writer(op->req->op))
			set_blocks(o, op->start / BLOCK, block_count(op->end));
		end_op(op, 0);
		break;
	}
}

/* True when writer `index` touches a block of an older one, and either has blocks to copy up. */
static bool must_wait(const struct block_overlay *o, unsigned index)
{
	const struct overlay_op *op = o->writers[index];
	uint64_t block;
	const bool copies = find_partial(op, &block);

	for (unsigned i = 0; i < index; i++) {
		const struct overlay_op *other = o->writers[i];

		if (op->start / BLOCK < block_count(other->end) &&
		    other->start / BLOCK < block_count(op->end) && (copies || find_partial(other, &block)))
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

	op->start = min_u64(align_up(op->start, BLOCK), size);
	if (op->end != size)
		op->end = align_down(op->end, BLOCK);
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
	if (!is_writer(req->op)) {
		begin(op);
		return;
	}
	if (req->op == BLOCK_DISCARD)
		shrink_discard(op);
	o->writers[o->writer_count++] = op;
	if (op->start == op->end)
		end_op(op, 0);
	else if (!must_wait(o, o->writer_count - 1))
		begin(op);
}

static void start_waiting(struct block_overlay *o)
{
	while (o->waiting && o->in_flight < IN_FLIGHT) {
		struct block_request *req = o->waiting;

		o->waiting = req->next;
		start_request(o, req);
	}
}

/* Those that had to wait for others. begin() may end one, with -ENOMEM. */
static void start_writers(struct block_overlay *o)
{
	if (!o->look_again)
		return;
	o->look_again = false;
	for (unsigned i = 0; i < o->writer_count; i++) {
		if (!o->writers[i]->started && !must_wait(o, i))
			begin(o->writers[i]);
	}
}

static void step_ready(struct block_overlay *o)
{
	struct overlay_op *op = o->ready.head;

	o->ready.head = NULL;
	while (op) {
		struct overlay_op *next = op->next;

		next_step(op);
		op = next;
	}
}

static bool has_work(const struct block_overlay *o)
{
	return o->ready.head || o->look_again || (o->waiting && o->in_flight < IN_FLIGHT);
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
		struct block_backend *child = in_top(o, offset / BLOCK) ? o->top : o->base;
		const uint64_t stop = end_of_blocks(o, run_end(o, offset / BLOCK, block_count(end)));

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
	const uint64_t blocks = block_count(b->size);
	uint64_t block = from / BLOCK;

	while (from < b->size && block < blocks) {
		struct block_backend *child = in_top(o, block) ? o->top : o->base;
		const uint64_t end = run_end(o, block, blocks);
		int r = child_next_data(child, block * BLOCK, ret_start, ret_end);

		if (r < 0)
			return r;
		if (*ret_start < end_of_blocks(o, end)) {
			*ret_end = min_u64(*ret_end, end_of_blocks(o, end));
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
		.physical_size = (uint32_t)max_u64(max_u64(base->physical_size, top->physical_size), BLOCK),
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

	o->map_bytes = (block_count(size) / WORD_BITS + 1) * sizeof(*o->map);
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
