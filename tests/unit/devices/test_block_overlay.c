/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk over another: random requests, many at once, against an array of bytes, on every engine and
 * with faults; and, over disks in memory that wait for the test, what happens when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "hull/block.h"
#include "hull/util.h"
#include "mem_block.h"
#include "rig.h"

enum {
	BLOCK = 4096,
	DISK = 600 << 10,
	MAX_LEN = 48 << 10,
	SLOTS = 24, /* requests at once */
	IOVS = 8,
	MS = 1000000,
};

/* ---- random requests over files ---- */

struct variant {
	const char *name;
	enum block_engine base, top;
	bool direct; /* both */
	uint64_t size;
};

static const struct variant variants[] = {
	{"io_uring", BLOCK_ENGINE_IO_URING, BLOCK_ENGINE_IO_URING, false, DISK + 1536},
	{"sync", BLOCK_ENGINE_SYNC, BLOCK_ENGINE_SYNC, false, DISK + 512},
	{"aio", BLOCK_ENGINE_AIO, BLOCK_ENGINE_AIO, true, DISK},
	{"sync over io_uring", BLOCK_ENGINE_IO_URING, BLOCK_ENGINE_SYNC, false, DISK - 512},
	{"io_uring over aio", BLOCK_ENGINE_AIO, BLOCK_ENGINE_IO_URING, true, DISK},
};

struct fx;

struct slot {
	struct block_request req;
	struct iovec iov[IOVS], saved[IOVS];
	struct fx *fx;
	uint8_t *buf; /* MAX_LEN */
	bool busy;
	unsigned dones;
	int result;
};

struct fx {
	const struct variant *variant;
	struct loop loop;
	struct block_backend *b, *base, *top;
	int fds[2];
	uint64_t size;
	unsigned align; /* of requests */
	uint8_t *base_data;
	uint8_t *model;
	bool *unknown; /* bytes that a failed write has left in whatever state */
	struct slot slots[SLOTS];
	unsigned in_flight;
	unsigned fault_every; /* one of so many attempts fails; 0: none */
	uint32_t fault_seed;  /* engines may have threads of their own: not rand() */
	struct block_faults faults;
	bool submitting;
	bool stop;
	unsigned ended_since_batch;
	unsigned failed;
	uint64_t random;
};

static unsigned draw(struct fx *fx, unsigned n)
{
	fx->random = fx->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(fx->random >> 33) % n;
}

static int64_t on_result(void *arg, enum block_op op, uint64_t offset, uint64_t len, int64_t result)
{
	struct fx *fx = arg;
	static const int codes[] = {-EIO, -ENOSPC, -EINTR, -EAGAIN};

	(void)offset;
	(void)len;
	fx->fault_seed = fx->fault_seed * 1664525 + 1013904223;
	if (op == BLOCK_FLUSH || !fx->fault_every || (fx->fault_seed >> 8) % fx->fault_every)
		return result;
	if (op == BLOCK_READ && result > BLOCK && fx->fault_seed >> 31)
		return BLOCK; /* short */
	return codes[(fx->fault_seed >> 24) % ARRAY_SIZE(codes)];
}

static int unnamed_in(const char *dir, uint64_t size)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/hull-overlay-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -1;
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* In memory, if O_DIRECT goes there (Linux 6.6): a real disk's flushes take long. */
static int unnamed(bool direct, uint64_t size)
{
	const char *dir = getenv("TMPDIR");
	int fd = unnamed_in("/dev/shm", size);

	if (fd >= 0 && direct && (getenv("HULL_HEAVY") || fcntl(fd, F_SETFL, O_DIRECT) < 0))
		fd_close(&fd);
	if (fd < 0)
		fd = unnamed_in(dir ? dir : ".", size);
	assert_true(fd >= 0);
	return fd;
}

static int make_raw(struct fx *fx, unsigned which, struct block_backend **ret)
{
	const struct block_raw_params params = {
		.fd = fx->fds[which],
		.path = which ? "top" : "base",
		.read_only = which == 0,
		.direct = fx->variant->direct,
		.discard = which == 1,
		.engine = which ? fx->variant->top : fx->variant->base,
		.faults = &fx->faults,
	};
	char why[160];

	if (fx->variant->direct && fcntl(fx->fds[which], F_SETFL, O_DIRECT) < 0)
		return -errno;
	return block_raw_create(ret, &fx->loop, &params, why, NULL);
}

static void on_batch(void *arg)
{
	struct fx *fx = arg;

	loop_assert_held(&fx->loop);
	assert_true(fx->ended_since_batch > 0);
	fx->ended_since_batch = 0;
}

/* Parts of base are holes, others zeroes. */
static void fill_base(struct fx *fx)
{
	for (uint64_t at = 0; at < fx->size; at += 512) {
		const uint64_t part = min_u64(512, fx->size - at);

		if (at / (40 << 10) % 4 == 1)
			continue;
		if (at / (8 << 10) % 5 != 2) {
			for (uint64_t i = 0; i < part; i++)
				fx->base_data[at + i] = (uint8_t)(1 + draw(fx, 255));
		}
		assert_int_equal(fd_pwrite_full(fx->fds[0], fx->base_data + at, part, (off_t)at), 0);
	}
	memcpy(fx->model, fx->base_data, fx->size);
}

static struct fx *fx_new(const struct variant *variant)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->variant = variant;
	fx->size = variant->size;
	fx->random = 7;
	fx->faults = (struct block_faults){on_result, fx};
	fx->base_data = calloc(1, fx->size);
	fx->model = calloc(1, fx->size);
	fx->unknown = calloc(fx->size, sizeof(bool));
	assert_true(fx->base_data && fx->model && fx->unknown);
	assert_int_equal(loop_init(&fx->loop, NULL), 0);
	manual_clock_set(1);
	fx->loop.now = manual_clock;
	for (unsigned i = 0; i < 2; i++)
		fx->fds[i] = unnamed(variant->direct, fx->size);
	for (unsigned i = 0; i < SLOTS; i++) {
		fx->slots[i].fx = fx;
		fx->slots[i].buf = aligned_alloc(BLOCK, MAX_LEN);
		assert_non_null(fx->slots[i].buf);
	}
	fill_base(fx);
	return fx;
}

static void fx_free(struct fx *fx)
{
	loop_lock(&fx->loop);
	if (fx->b)
		fx->b->ops->close(fx->b);
	assert_true(fx->loop.ios == &fx->loop.wake_io && !fx->loop.timers);
	loop_unlock(&fx->loop);
	for (unsigned i = 0; i < SLOTS; i++)
		free(fx->slots[i].buf);
	close(fx->fds[0]);
	close(fx->fds[1]);
	loop_finish(&fx->loop);
	free(fx->base_data);
	free(fx->model);
	free(fx->unknown);
	free(fx);
}

/* False: an engine is not to be had here. */
static bool fx_open(struct fx *fx)
{
	struct block_backend *base = NULL, *top = NULL;

	if (make_raw(fx, 0, &base) < 0 || !base)
		return false;
	if (make_raw(fx, 1, &top) < 0) {
		loop_lock(&fx->loop);
		base->ops->close(base);
		loop_unlock(&fx->loop);
		return false;
	}
	assert_int_equal(block_overlay_create(&fx->b, &fx->loop, base, top, NULL), 0);
	fx->base = base;
	fx->top = top;
	fx->b->batch_done = on_batch;
	fx->b->batch_arg = fx;
	fx->align = fx->b->block_size;
	return true;
}

static bool is_write(enum block_op op)
{
	return op != BLOCK_READ && op != BLOCK_FLUSH;
}

/* What a write that has ended well leaves. */
static void apply(struct fx *fx, const struct slot *s)
{
	uint64_t from = s->req.offset, to = s->req.offset + s->req.len;

	if (s->req.op == BLOCK_WRITE) {
		memcpy(fx->model + from, s->buf, s->req.len);
	} else {
		if (s->req.op == BLOCK_DISCARD) {
			if (!fx->b->can_discard)
				return;
			from = align_up(from, BLOCK);
			to = to == fx->size ? to : align_down(to, BLOCK);
		}
		if (from < to)
			memset(fx->model + from, 0, to - from);
	}
	if (from < to)
		memset(fx->unknown + from, 0, to - from);
}

static void check_bytes(const struct fx *fx, const uint8_t *p, uint64_t offset, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++) {
		if (!fx->unknown[offset + i] && p[i] != fx->model[offset + i])
			fail_msg("byte %llu is %u, not %u", (unsigned long long)(offset + i), p[i],
				 fx->model[offset + i]);
	}
}

static void resubmit(struct slot *s)
{
	struct block_backend *b = s->fx->b;

	s->busy = true;
	s->fx->in_flight++;
	b->ops->submit(b, &s->req);
	b->ops->commit(b);
}

static void on_done(struct block_request *req, int result)
{
	struct slot *s = container_of(req, struct slot, req);
	struct fx *fx = s->fx;

	loop_assert_held(&fx->loop);
	assert_false(fx->submitting);
	assert_true(s->busy);
	assert_memory_equal(s->iov, s->saved, sizeof(s->iov));
	s->busy = false;
	s->dones++;
	s->result = result;
	fx->in_flight--;
	fx->ended_since_batch++;
	if (result == 0 && req->op == BLOCK_READ)
		check_bytes(fx, s->buf, req->offset, req->len);
	else if (result == 0 && is_write(req->op))
		apply(fx, s);
	if (result == 0)
		return;
	fx->failed++;
	assert_true(result == -EIO || result == -ENOSPC);
	assert_true(fx->fault_every);
	if (is_write(req->op))
		memset(fx->unknown + req->offset, 1, req->len);
	if (result == -ENOSPC && is_write(req->op) && !fx->stop)
		resubmit(s);
}

/* True when the bytes belong to a request in flight, so that a new one would not know what it sees. */
static bool is_taken(const struct fx *fx, enum block_op op, uint64_t offset, uint64_t len)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct slot *s = &fx->slots[i];

		if (s->busy && s->req.op != BLOCK_FLUSH && (is_write(op) || is_write(s->req.op)) &&
		    offset < s->req.offset + s->req.len && s->req.offset < offset + len)
			return true;
	}
	return false;
}

/* Cuts the slot's buffer into some pieces, perhaps empty or of odd lengths. */
static void make_iov(struct fx *fx, struct slot *s)
{
	uint64_t at = 0;
	unsigned n = 0;

	memset(s->iov, 0, sizeof(s->iov));
	while (at < s->req.len && n + 1 < IOVS) {
		uint64_t part = draw(fx, 3) ? 512 * (1 + draw(fx, 24)) : draw(fx, 9000);

		part = min_u64(part, s->req.len - at);
		s->iov[n++] = (struct iovec){s->buf + at, part};
		at += part;
	}
	if (at < s->req.len)
		s->iov[n++] = (struct iovec){s->buf + at, s->req.len - at};
	memcpy(s->saved, s->iov, sizeof(s->iov));
	s->req.iov = s->iov;
	s->req.iov_count = n;
}

static enum block_op draw_op(struct fx *fx)
{
	static const enum block_op ops[] = {
		BLOCK_READ,  BLOCK_READ,  BLOCK_READ,  BLOCK_READ,         BLOCK_WRITE,   BLOCK_WRITE,
		BLOCK_WRITE, BLOCK_WRITE, BLOCK_WRITE, BLOCK_WRITE_ZEROES, BLOCK_DISCARD,
	};

	return draw(fx, 15) ? ops[draw(fx, ARRAY_SIZE(ops))] : BLOCK_FLUSH;
}

/* Submits a request unless others are at the same place. Lock held. */
static void submit_random(struct fx *fx, struct slot *s)
{
	const unsigned units = (unsigned)(fx->size / fx->align);
	const enum block_op op = draw_op(fx);
	const unsigned max = draw(fx, 4) ? 3 * BLOCK : MAX_LEN;
	/* Some places are busier, so that blocks are shared. */
	uint64_t offset = (uint64_t)draw(fx, draw(fx, 2) ? units : 128) * fx->align;
	uint64_t len = (1 + (uint64_t)draw(fx, max / fx->align)) * fx->align;

	if (draw(fx, 3) == 0) /* whole blocks */
		offset = align_down(offset, BLOCK), len = align_up(len, BLOCK);
	if (draw(fx, 20) == 0) /* the end */
		offset = fx->size > len ? fx->size - len : 0;
	len = op == BLOCK_FLUSH ? 0 : min_u64(min_u64(len, MAX_LEN), fx->size - offset);
	if (op != BLOCK_FLUSH && is_taken(fx, op, offset, len))
		return;
	s->req = (struct block_request){
		.op = op, .offset = offset, .len = len, .unmap = draw(fx, 2), .done = on_done};
	for (uint64_t i = 0; op == BLOCK_WRITE && i < len; i++)
		s->buf[i] = (uint8_t)(offset + i * 31 + fx->random);
	memset(s->iov, 0, sizeof(s->iov));
	memcpy(s->saved, s->iov, sizeof(s->iov));
	if (op == BLOCK_READ || op == BLOCK_WRITE)
		make_iov(fx, s);
	s->busy = true;
	s->dones = 0;
	fx->in_flight++;
	fx->submitting = true;
	fx->b->ops->submit(fx->b, &s->req);
	fx->submitting = false;
}

static void turn(struct fx *fx, int timeout_ms)
{
	manual_clock_set(manual_clock() + 10 * MS);
	assert_int_equal(loop_run_once(&fx->loop, timeout_ms), 0);
}

static void go(struct fx *fx, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		const unsigned most = draw(fx, 4) ? SLOTS : 2;

		loop_lock(&fx->loop);
		for (unsigned k = 0; k < SLOTS && fx->in_flight < most; k++) {
			if (!fx->slots[k].busy)
				submit_random(fx, &fx->slots[k]);
		}
		fx->b->ops->commit(fx->b);
		loop_unlock(&fx->loop);
		turn(fx, fx->in_flight == SLOTS ? 1000 : 0);
	}
}

static void finish(struct fx *fx)
{
	fx->stop = true;
	for (unsigned i = 0; fx->in_flight; i++) {
		assert_true(i < 20000);
		turn(fx, 1000);
	}
	loop_lock(&fx->loop);
	fx->b->ops->drain(fx->b);
	loop_unlock(&fx->loop);
}

/* The disk as a snapshot sees it, and that base is what it was. */
static void check_all(struct fx *fx)
{
	uint8_t *p = aligned_alloc(BLOCK, align_up(fx->size, BLOCK));
	uint64_t at = 0;
	int fd = unnamed(false, 0);

	assert_non_null(p);
	fx->fault_every = 0;
	assert_int_equal(fx->b->ops->peek(fx->b, p, 0, fx->size), 0);
	check_bytes(fx, p, 0, fx->size);
	while (at < fx->size) {
		uint64_t start, end;

		assert_int_equal(fx->b->ops->next_data(fx->b, at, &start, &end), 0);
		assert_true(start >= at && start <= fx->size);
		assert_true(start == fx->size || (start % BLOCK == 0 && end > start && end <= fx->size));
		for (; at < start; at++)
			assert_true(fx->unknown[at] || fx->model[at] == 0);
		at = end;
	}
	assert_int_equal(block_copy(fx->b, fd, NULL, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), fx->size);
	assert_int_equal(fd_pread_full(fd, p, fx->size, 0), 0);
	check_bytes(fx, p, 0, fx->size);
	assert_int_equal(fcntl(fx->fds[0], F_SETFL, 0), 0);
	assert_int_equal(fd_pread_full(fx->fds[0], p, fx->size, 0), 0);
	assert_memory_equal(p, fx->base_data, fx->size);
	close(fd);
	free(p);
}

static void run_random(const struct variant *variant, unsigned rounds, unsigned faults, uint64_t seed)
{
	struct fx *fx = fx_new(variant);

	fx->random = seed;
	if (!fx_open(fx)) {
		fx_free(fx);
		print_message("%s is not to be had here\n", variant->name);
		skip();
	}
	fx->fault_every = faults;
	go(fx, rounds);
	finish(fx);
	assert_int_equal(fx->failed > 0, faults > 0);
	assert_int_equal(fx->b->unflushed, fx->top->unflushed);
	check_all(fx);
	fx_free(fx);
}

static unsigned heavy(unsigned n)
{
	return getenv("HULL_HEAVY") ? 2 * n : n;
}

static void test_random(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		run_random(*state, heavy(100), 0, seed);
}

static void test_random_faults(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		run_random(*state, heavy(100), 25, seed);
}

/* ---- over disks in memory ---- */

enum { MEM = 1 << 20, MEM_IO = 64 << 10 };

struct mx {
	struct loop loop;
	struct mem_block base, top;
	struct block_backend *b;
	unsigned dones, batches;
};

struct io {
	struct block_request req;
	struct iovec iov;
	struct mx *mx;
	unsigned done;
	int result;
	unsigned repeat; /* is submitted again from `done` */
	uint8_t buf[MEM_IO];
};

static void mx_batch(void *arg)
{
	((struct mx *)arg)->batches++;
}

static int mx_setup(void **state)
{
	struct mx *mx = calloc(1, sizeof(*mx));

	assert_non_null(mx);
	assert_int_equal(loop_init(&mx->loop, NULL), 0);
	manual_clock_set(1);
	mx->loop.now = manual_clock;
	mem_block_init(&mx->base, MEM);
	mem_block_init(&mx->top, MEM);
	mx->base.backend.read_only = true;
	memset(mx->base.data, 'b', MEM);
	assert_int_equal(block_overlay_create(&mx->b, &mx->loop, &mx->base.backend, &mx->top.backend, NULL),
			 0);
	mx->b->batch_done = mx_batch;
	mx->b->batch_arg = mx;
	loop_lock(&mx->loop);
	*state = mx;
	return 0;
}

static int mx_teardown(void **state)
{
	struct mx *mx = *state;

	mx->b->ops->close(mx->b);
	assert_null(mx->loop.timers);
	for (uint64_t i = 0; i < MEM; i++)
		assert_int_equal(mx->base.data[i], 'b');
	mem_block_finish(&mx->base);
	mem_block_finish(&mx->top);
	loop_unlock(&mx->loop);
	loop_finish(&mx->loop);
	free(mx);
	return 0;
}

static void mx_done(struct block_request *req, int result)
{
	struct io *io = container_of(req, struct io, req);

	io->done++;
	io->result = result;
	io->mx->dones++;
	if (io->repeat) {
		io->repeat--;
		io->mx->b->ops->submit(io->mx->b, req);
		io->mx->b->ops->commit(io->mx->b);
	}
}

/* Submits a request of bytes `c`. */
static struct io *start(struct mx *mx, enum block_op op, uint64_t offset, uint64_t len, char c)
{
	struct io *io = calloc(1, sizeof(*io));

	assert_non_null(io);
	assert_true(len <= MEM_IO || op == BLOCK_WRITE_ZEROES || op == BLOCK_DISCARD);
	memset(io->buf, c, sizeof(io->buf));
	io->mx = mx;
	io->iov = (struct iovec){io->buf, len};
	io->req = (struct block_request){
		.op = op, .offset = offset, .len = len, .iov = &io->iov, .iov_count = 1, .done = mx_done};
	mx->b->ops->submit(mx->b, &io->req);
	assert_int_equal(io->done, 0);
	return io;
}

static struct io *start_now(struct mx *mx, enum block_op op, uint64_t offset, uint64_t len, char c)
{
	struct io *io = start(mx, op, offset, len, c);

	mx->b->ops->commit(mx->b);
	return io;
}

/* What took many rounds goes on in the loop's next turn. */
static void next_turn(struct mx *mx)
{
	loop_unlock(&mx->loop);
	manual_clock_set(manual_clock() + MS);
	assert_int_equal(loop_run_once(&mx->loop, 0), 0);
	loop_lock(&mx->loop);
}

static int end(struct io *io)
{
	int result;

	if (!io->done)
		next_turn(io->mx);
	result = io->result;
	assert_int_equal(io->done, 1);
	free(io);
	return result;
}

static int do_io(struct mx *mx, enum block_op op, uint64_t offset, uint64_t len, char c)
{
	return end(start_now(mx, op, offset, len, c));
}

/* The disk holds `c` in [from, to). */
static void check_disk(struct mx *mx, uint64_t from, uint64_t to, char c)
{
	struct io *io = start_now(mx, BLOCK_READ, from, to - from, 'x');

	assert_int_equal(io->done, 1);
	assert_int_equal(io->result, 0);
	for (uint64_t i = 0; i < to - from; i++)
		assert_int_equal(io->buf[i], c);
	free(io);
}

/* Nothing of base is read where it need not be, and nothing is copied twice. */
static void test_copies_up(void **state)
{
	struct mx *mx = *state;

	assert_int_equal(do_io(mx, BLOCK_WRITE, BLOCK, 2 * BLOCK, 'w'), 0);
	assert_int_equal(mx->base.call_count, 0);
	assert_int_equal(mx->top.call_count, 1);
	assert_int_equal(do_io(mx, BLOCK_WRITE, BLOCK + 512, 512, 'v'), 0);
	assert_int_equal(mx->base.call_count, 0);
	assert_int_equal(do_io(mx, BLOCK_WRITE, 8 * BLOCK - 512, 2 * BLOCK, 'u'), 0);
	assert_int_equal(mx->base.count[BLOCK_READ], 2);
	assert_int_equal(mx->base.calls[0].offset, 7 * BLOCK);
	assert_int_equal(mx->base.calls[1].offset, 9 * BLOCK);
	assert_int_equal(mx->base.calls[0].len, BLOCK);
	assert_int_equal(do_io(mx, BLOCK_WRITE, 9 * BLOCK + 2048, 512, 't'), 0);
	assert_int_equal(mx->base.count[BLOCK_READ], 2);
	check_disk(mx, 0, BLOCK, 'b');
	check_disk(mx, BLOCK, BLOCK + 512, 'w');
	check_disk(mx, BLOCK + 512, BLOCK + 1024, 'v');
	check_disk(mx, BLOCK + 1024, 3 * BLOCK, 'w');
	check_disk(mx, 3 * BLOCK, 8 * BLOCK - 512, 'b');
	check_disk(mx, 8 * BLOCK - 512, 10 * BLOCK - 512 - BLOCK, 'u');
	check_disk(mx, 9 * BLOCK - 512 + BLOCK, 10 * BLOCK, 'b');
}

/* A read is one request for each run, and waits for nobody. */
static void test_reads(void **state)
{
	struct mx *mx = *state;
	struct io *write, *read;

	assert_int_equal(do_io(mx, BLOCK_WRITE, 2 * BLOCK, BLOCK, 'w'), 0);
	mx->top.call_count = 0;
	read = start_now(mx, BLOCK_READ, 512, 4 * BLOCK, 'x');
	assert_int_equal(read->done, 1);
	assert_int_equal(mx->base.call_count, 2);
	assert_int_equal(mx->top.call_count, 1);
	assert_int_equal(mx->base.calls[0].len, 2 * BLOCK - 512);
	assert_int_equal(mx->top.calls[0].offset, 2 * BLOCK);
	assert_int_equal(mx->base.calls[1].len, BLOCK + 512);
	assert_int_equal(read->iov.iov_len, 4 * BLOCK);
	assert_ptr_equal(read->iov.iov_base, read->buf);
	for (unsigned i = 0; i < 4 * BLOCK; i++)
		assert_int_equal(read->buf[i], i >= 2 * BLOCK - 512 && i < 3 * BLOCK - 512 ? 'w' : 'b');
	free(read);
	mx->top.hold = true;
	write = start_now(mx, BLOCK_WRITE, 8 * BLOCK, BLOCK, 'w');
	check_disk(mx, 8 * BLOCK, 9 * BLOCK, 'b');
	assert_int_equal(write->done, 0);
	mx->top.hold = false;
	mem_block_release(&mx->top, 1);
	assert_int_equal(end(write), 0);
	check_disk(mx, 8 * BLOCK, 9 * BLOCK, 'w');
}

/* Of writes to one block, nobody's is lost to the copy of base, whoever comes first. */
static void test_same_block(void **state)
{
	static const enum block_op seconds[] = {BLOCK_WRITE, BLOCK_WRITE_ZEROES, BLOCK_DISCARD};
	struct mx *mx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(seconds); i++) {
		const uint64_t at = 16 * BLOCK * i;
		struct io *part, *whole, *other;

		mx->base.hold = true;
		part = start_now(mx, BLOCK_WRITE, at + 512, 512, 'p');
		whole = start_now(mx, seconds[i], at, BLOCK, 'w');
		other = start_now(mx, BLOCK_WRITE, at + BLOCK, BLOCK, 'o');
		assert_int_equal(part->done + whole->done, 0);
		assert_int_equal(end(other), 0); /* has nothing to do with it */
		assert_int_equal(mem_block_release(&mx->base, 9), 1);
		mx->base.hold = false;
		assert_int_equal(end(part), 0);
		assert_int_equal(end(whole), 0);
		/* The last is the one that waited. */
		check_disk(mx, at + 1024, at + BLOCK, seconds[i] == BLOCK_WRITE ? 'w' : 0);

		mx->top.hold = true;
		whole = start_now(mx, seconds[i], at + 4 * BLOCK, BLOCK, 'w');
		part = start_now(mx, BLOCK_WRITE, at + 5 * BLOCK - 512, 512, 'p');
		assert_int_equal(mx->top.in_flight, 1);
		mx->top.hold = false;
		mem_block_release(&mx->top, 1);
		assert_int_equal(end(whole), 0);
		assert_int_equal(end(part), 0);
		check_disk(mx, at + 4 * BLOCK, at + 5 * BLOCK - 512, seconds[i] == BLOCK_WRITE ? 'w' : 0);
		check_disk(mx, at + 5 * BLOCK - 512, at + 5 * BLOCK, 'p');
	}
}

/* Many small writes to few blocks: each block is copied up once. */
static void test_small_writes(void **state)
{
	enum { COUNT = 64 };
	struct mx *mx = *state;
	struct io *io[COUNT];

	mx->base.hold = true;
	for (unsigned i = 0; i < COUNT; i++)
		io[i] = start(mx, BLOCK_WRITE, (uint64_t)i * 512, 512, (char)('A' + i % 26));
	mx->b->ops->commit(mx->b);
	mx->base.hold = false;
	mem_block_release(&mx->base, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(end(io[i]), 0);
	assert_int_equal(mx->base.count[BLOCK_READ], COUNT * 512 / BLOCK);
	for (unsigned i = 0; i < COUNT; i++)
		check_disk(mx, (uint64_t)i * 512, (uint64_t)(i + 1) * 512, (char)('A' + i % 26));
}

static void test_zeroes(void **state)
{
	struct mx *mx = *state;

	assert_int_equal(do_io(mx, BLOCK_WRITE_ZEROES, BLOCK - 512, 2 * BLOCK, 0), 0);
	check_disk(mx, 0, BLOCK - 512, 'b');
	check_disk(mx, BLOCK - 512, 3 * BLOCK - 512, 0);
	check_disk(mx, 3 * BLOCK - 512, 4 * BLOCK, 'b');
	/* Once zero, never again what base has. */
	assert_int_equal(do_io(mx, BLOCK_DISCARD, 0, 4 * BLOCK, 0), 0);
	check_disk(mx, BLOCK - 512, 3 * BLOCK - 512, 0);
	assert_int_equal(do_io(mx, BLOCK_DISCARD, 8 * BLOCK - 512, 3 * BLOCK, 0), 0);
	check_disk(mx, 7 * BLOCK, 8 * BLOCK, 'b');
	check_disk(mx, 8 * BLOCK, 10 * BLOCK, 0);
	check_disk(mx, 10 * BLOCK, 11 * BLOCK, 'b');
	assert_int_equal(do_io(mx, BLOCK_DISCARD, 12 * BLOCK + 512, BLOCK, 0), 0);
	assert_int_equal(do_io(mx, BLOCK_DISCARD, MEM - 512, 512, 0), 0);
	check_disk(mx, 12 * BLOCK, 14 * BLOCK, 'b');
	check_disk(mx, MEM - BLOCK, MEM, 'b');
	assert_int_equal(mx->base.count[BLOCK_READ], 7); /* for the copies two, and for the checks */
	assert_int_equal(do_io(mx, BLOCK_WRITE_ZEROES, 0, MEM, 0), 0);
	check_disk(mx, 12 * BLOCK, 14 * BLOCK, 0);
	assert_int_equal(mx->base.count[BLOCK_READ], 7);

	mx->top.backend.can_discard = false;
	assert_int_equal(do_io(mx, BLOCK_WRITE, 0, BLOCK, 'w'), 0);
	assert_int_equal(do_io(mx, BLOCK_DISCARD, 0, BLOCK, 0), 0);
	check_disk(mx, 0, BLOCK, 'w');
}

static void test_flush(void **state)
{
	struct mx *mx = *state;

	assert_int_equal(do_io(mx, BLOCK_FLUSH, 0, 0, 0), 0);
	assert_int_equal(mx->base.call_count, 0);
	assert_int_equal(mx->top.count[BLOCK_FLUSH], 1);
	mem_block_fail(&mx->top, BLOCK_FLUSH, 1, -EIO);
	mx->top.backend.unflushed = true;
	assert_int_equal(do_io(mx, BLOCK_FLUSH, 0, 0, 0), -EIO);
	assert_true(mx->b->unflushed);
	mx->top.backend.unflushed = false;
	assert_int_equal(do_io(mx, BLOCK_FLUSH, 0, 0, 0), 0);
	assert_false(mx->b->unflushed);
}

/* Errors of any step end the request, spoil no other byte, and it can be submitted again. */
static void test_errors(void **state)
{
	static const struct {
		bool top;
		enum block_op op;
		unsigned skip;
	} rows[] = {{false, BLOCK_READ, 0},
		    {false, BLOCK_READ, 1},
		    {true, BLOCK_WRITE, 0},
		    {true, BLOCK_WRITE, 1},
		    {true, BLOCK_WRITE, 2}};
	struct mx *mx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint64_t at = 16 * BLOCK * i;
		struct mem_block *m = rows[i].top ? &mx->top : &mx->base;
		const unsigned before = m->count[rows[i].op];
		struct io *io = start(mx, BLOCK_WRITE, at + 512, 2 * BLOCK, 'w');

		mx->base.hold = mx->top.hold = true;
		mx->b->ops->commit(mx->b);
		for (unsigned k = 0; !io->done; k++) {
			assert_true(k < 20);
			if (m->held && m->held->op == rows[i].op &&
			    m->count[rows[i].op] == before + rows[i].skip + 1)
				mem_block_fail(m, rows[i].op, 1, -ENOSPC);
			if (!mem_block_release(&mx->base, 1) && !mem_block_release(&mx->top, 1))
				next_turn(mx);
		}
		assert_int_equal(io->result, -ENOSPC);
		mem_block_fail(m, rows[i].op, 0, 0);
		mx->base.hold = mx->top.hold = false;
		check_disk(mx, at, at + 512, 'b');
		check_disk(mx, at + 512 + 2 * BLOCK, at + 4 * BLOCK, 'b');
		io->done = 0;
		mx->b->ops->submit(mx->b, &io->req);
		mx->b->ops->commit(mx->b);
		assert_int_equal(end(io), 0);
		check_disk(mx, at, at + 512, 'b');
		check_disk(mx, at + 512, at + 512 + 2 * BLOCK, 'w');
		check_disk(mx, at + 512 + 2 * BLOCK, at + 4 * BLOCK, 'b');
	}
	mem_block_fail(&mx->base, BLOCK_READ, 1, -EIO);
	assert_int_equal(do_io(mx, BLOCK_READ, MEM - BLOCK, BLOCK, 0), -EIO);
	check_disk(mx, MEM - BLOCK, MEM, 'b');
}

static void test_out_of_range(void **state)
{
	static const uint64_t offsets[] = {MEM, MEM - 512, UINT64_MAX - 511, UINT64_C(1) << 63};
	static const enum block_op ops[] = {BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE_ZEROES, BLOCK_DISCARD};
	struct mx *mx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		for (unsigned k = 0; k < ARRAY_SIZE(ops); k++) {
			assert_int_equal(do_io(mx, ops[k], offsets[i], BLOCK, 0), -EIO);
			assert_int_equal(do_io(mx, ops[k], 0, 0, 0), 0);
		}
	}
	assert_int_equal(mx->base.call_count + mx->top.call_count, 0);
}

/* More than may be in flight: all end, and children never have more than that. */
static void test_many(void **state)
{
	enum { COUNT = 900, MOST = 256 };
	struct mx *mx = *state;
	struct io **io = calloc(COUNT, sizeof(struct io *));
	unsigned left = COUNT;

	assert_non_null(io);
	mx->base.hold = mx->top.hold = true;
	for (unsigned i = 0; i < COUNT; i++)
		io[i] = start(mx, i % 2 ? BLOCK_READ : BLOCK_WRITE, (uint64_t)(i * 7 % 1000) * 512, 512, 'w');
	mx->b->ops->commit(mx->b);
	for (unsigned i = 0; mx->dones < COUNT; i++) {
		assert_true(i < 100 * COUNT);
		assert_true(mx->base.in_flight + mx->top.in_flight <= MOST);
		if (!mem_block_release(&mx->base, 5) && !mem_block_release(&mx->top, 5))
			next_turn(mx);
	}
	for (unsigned i = 0; i < COUNT; i++, left--)
		assert_int_equal(end(io[i]), 0);
	assert_int_equal(left, 0);
	free(io);
}

/* Without the loop everything ends: also what a `done` submits, and what waits for others. */
static void test_drain(void **state)
{
	enum { COUNT = 600 };
	struct mx *mx = *state;
	struct io **io = calloc(COUNT, sizeof(struct io *));

	assert_non_null(io);
	mx->base.hold = mx->top.hold = true;
	for (unsigned i = 0; i < COUNT; i++) {
		enum block_op op = i % 50 == 49 ? BLOCK_FLUSH : i % 3 ? BLOCK_WRITE : BLOCK_READ;

		io[i] = start(mx, op, op == BLOCK_FLUSH ? 0 : (uint64_t)(i % 40) * 512,
			      op == BLOCK_FLUSH ? 0 : 3 * BLOCK, 'w');
		io[i]->repeat = i == 1 ? 30 : 0;
		if (i == COUNT / 2)
			mx->b->ops->commit(mx->b);
	}
	mx->b->ops->drain(mx->b);
	assert_null(mx->loop.timers);
	assert_int_equal(mx->dones, COUNT + 30);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(io[i]->result, 0);
		free(io[i]);
	}
	free(io);
}

/* Ends that come together are told together. */
static void test_batch(void **state)
{
	struct mx *mx = *state;
	struct io *io[32];

	mx->base.hold = true;
	for (unsigned i = 0; i < 32; i++)
		io[i] = start(mx, BLOCK_READ, (uint64_t)i * BLOCK, BLOCK, 'x');
	mx->b->ops->commit(mx->b);
	assert_int_equal(mx->dones, 0);
	assert_int_equal(mx->batches, 0);
	mem_block_release(&mx->base, 32);
	assert_int_equal(mx->dones, 32);
	assert_int_equal(mx->batches, 1);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(end(io[i]), 0);
}

static void test_create_fails(void **state)
{
	struct loop loop;
	struct mem_block base, top;
	struct block_backend *b = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(loop_init(&loop, NULL), 0);
	mem_block_init(&base, MEM);
	mem_block_init(&top, MEM + 512);
	assert_int_equal(block_overlay_create(&b, &loop, &base.backend, &top.backend, &err), -EINVAL);
	assert_string_equal(err.msg, "a disk of 1049088 bytes over one of 1048576");
	base.backend.size = top.backend.size = UINT64_C(1) << 62;
	assert_int_equal(block_overlay_create(&b, &loop, &base.backend, &top.backend, &err), -ENOMEM);
	mem_block_finish(&base);
	mem_block_finish(&top);
	loop_finish(&loop);
}

static void test_geometry(void **state)
{
	struct mx *mx = *state;
	struct mem_block base, top;
	struct block_backend *b = NULL;

	assert_int_equal(mx->b->size, MEM);
	assert_int_equal(mx->b->block_size, 512);
	assert_true(mx->b->can_discard);
	assert_false(mx->b->read_only);
	mem_block_init(&base, MEM);
	mem_block_init(&top, MEM);
	base.backend.block_size = 4096;
	top.backend.can_discard = false;
	top.backend.physical_size = 512;
	base.backend.physical_size = 512;
	assert_int_equal(block_overlay_create(&b, &mx->loop, &base.backend, &top.backend, NULL), 0);
	assert_int_equal(b->block_size, 4096);
	assert_int_equal(b->physical_size, 4096);
	assert_false(b->can_discard);
	b->ops->close(b);
	mem_block_finish(&base);
	mem_block_finish(&top);
}

#define OVER_MEMORY(fn) cmocka_unit_test_setup_teardown(fn, mx_setup, mx_teardown)

int main(void)
{
	enum { RANDOM = 2 * ARRAY_SIZE(variants) };
	const struct CMUnitTest others[] = {
		OVER_MEMORY(test_copies_up),
		OVER_MEMORY(test_reads),
		OVER_MEMORY(test_same_block),
		OVER_MEMORY(test_small_writes),
		OVER_MEMORY(test_zeroes),
		OVER_MEMORY(test_flush),
		OVER_MEMORY(test_errors),
		OVER_MEMORY(test_many),
		OVER_MEMORY(test_out_of_range),
		OVER_MEMORY(test_drain),
		OVER_MEMORY(test_batch),
		OVER_MEMORY(test_geometry),
		cmocka_unit_test(test_create_fails),
	};
	static struct CMUnitTest tests[RANDOM + ARRAY_SIZE(others)];
	static char names[RANDOM][64];
	unsigned n = 0;

	for (unsigned v = 0; v < ARRAY_SIZE(variants); v++) {
		for (unsigned faults = 0; faults < 2; faults++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: random%s", variants[v].name,
				 faults ? "_faults" : "");
			tests[n] = (struct CMUnitTest){names[n], faults ? test_random_faults : test_random,
						       NULL, NULL, (void *)(uintptr_t)&variants[v]};
		}
	}
	memcpy(tests + n, others, sizeof(others));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
