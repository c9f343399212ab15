/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw disks: the same cases over every engine, with and without O_DIRECT, and with
 * faults put between the kernel and the back end.
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
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/block.h"
#include "hull/util.h"
#include "rig.h"

enum {
	DISK = 4 << 20,
	OPS = BLOCK_WRITE_ZEROES + 1,
	ATTEMPTS = 4096,
	IO_IOVS = 320,
	MS = 1000000,
};

struct variant {
	const char *name;
	enum block_engine engine;
	bool direct;
};

static const struct variant variants[] = {
	{"io_uring", BLOCK_ENGINE_IO_URING, false}, {"io_uring, direct", BLOCK_ENGINE_IO_URING, true},
	{"aio, direct", BLOCK_ENGINE_AIO, true},    {"sync", BLOCK_ENGINE_SYNC, false},
	{"sync, direct", BLOCK_ENGINE_SYNC, true},
};

/* Replaces the results of attempts `from` to `to` (counted from 0) of one operation. */
struct fault {
	bool on;
	unsigned from;
	unsigned to;
	int64_t result; /* negative: instead of the kernel's; positive: at most so many bytes */
};

struct attempt_seen {
	enum block_op op;
	uint64_t offset;
	uint64_t len;
};

struct fx {
	const struct variant *variant;
	struct loop loop;
	char path[256];
	int fd;
	struct block_backend *b;
	struct block_faults faults;
	struct fault fault[OPS];
	unsigned count[OPS]; /* attempts so far */
	struct attempt_seen seen[ATTEMPTS];
	unsigned seen_count;
	unsigned dones;
	unsigned batches;
	unsigned parallel_flushes; /* attempts to flush that had begun, when one ended */
	bool submitting;
	char why[160];
};

struct io {
	struct block_request req;
	struct iovec iov[IO_IOVS];
	struct fx *fx;
	unsigned done;
	int result;
	void (*then)(struct io *io);
};

static int64_t on_result(void *arg, enum block_op op, uint64_t offset, uint64_t len, int64_t result)
{
	struct fx *fx = arg;
	const struct fault *f = &fx->fault[op];
	unsigned n = fx->count[op]++;

	assert_true(fx->seen_count < ATTEMPTS);
	fx->seen[fx->seen_count++] = (struct attempt_seen){op, offset, len};
	if (!f->on || n < f->from || n > f->to)
		return result;
	if (f->result > 0 && result > 0)
		return result < f->result ? result : f->result;
	return f->result;
}

static void on_done(struct block_request *req, int result)
{
	struct io *io = container_of(req, struct io, req);

	loop_assert_held(&io->fx->loop);
	assert_false(io->fx->submitting);
	io->done++;
	io->result = result;
	io->fx->dones++;
	if (io->then)
		io->then(io);
}

static void on_batch(void *arg)
{
	((struct fx *)arg)->batches++;
}

static int open_disk(const char *path, bool direct, bool read_only)
{
	return open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (direct ? O_DIRECT : 0));
}

static int create_raw(struct fx *fx, bool read_only, bool discard, struct err *err)
{
	const struct block_raw_params params = {
		.fd = fx->fd,
		.path = fx->path,
		.read_only = read_only,
		.direct = fx->variant->direct,
		.discard = discard,
		.engine = fx->variant->engine,
		.faults = &fx->faults,
	};
	int r = block_raw_create(&fx->b, &fx->loop, &params, fx->why, err);

	if (r == 0) {
		fx->b->batch_done = on_batch;
		fx->b->batch_arg = fx;
	}
	return r;
}

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 9) * 13 + (offset >> 20) + 1);
}

static void fill(uint8_t *p, uint64_t offset, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		p[i] = pattern(offset + i);
}

static void check_filled(const uint8_t *p, uint64_t offset, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++) {
		if (p[i] != pattern(offset + i))
			fail_msg("byte %llu of the disk differs", (unsigned long long)(offset + i));
	}
}

static void make_file(struct fx *fx, uint64_t size)
{
	const char *dir = getenv("TMPDIR");
	uint8_t *p = malloc(DISK);
	int fd;

	snprintf(fx->path, sizeof(fx->path), "%s/hull-disk-XXXXXX", dir ? dir : ".");
	fd = mkostemp(fx->path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_non_null(p);
	fill(p, 0, DISK);
	assert_int_equal(fd_pwrite_full(fd, p, size < DISK ? size : DISK, 0), 0);
	free(p);
	close(fd);
}

static struct fx *fx_new(const struct variant *variant)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->variant = variant;
	fx->faults = (struct block_faults){on_result, fx};
	assert_int_equal(loop_init(&fx->loop, NULL), 0);
	manual_clock_set(1);
	fx->loop.now = manual_clock;
	return fx;
}

static void fx_free(struct fx *fx)
{
	loop_lock(&fx->loop);
	if (fx->b)
		fx->b->ops->close(fx->b);
	assert_true(fx->loop.ios == &fx->loop.wake_io && !fx->loop.timers);
	loop_unlock(&fx->loop);
	if (fx->fd > 0)
		close(fx->fd);
	if (fx->path[0])
		unlink(fx->path);
	loop_finish(&fx->loop);
	free(fx);
}

static int setup(void **state)
{
	struct fx *fx = fx_new(*state);

	make_file(fx, DISK);
	fx->fd = open_disk(fx->path, fx->variant->direct, false);
	assert_true(fx->fd >= 0);
	assert_int_equal(create_raw(fx, false, true, NULL), 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	fx_free(*state);
	return 0;
}

/* Closes the back end and makes another one. */
static void reopen(struct fx *fx, bool read_only, bool discard)
{
	loop_lock(&fx->loop);
	fx->b->ops->close(fx->b);
	loop_unlock(&fx->loop);
	close(fx->fd);
	fx->fd = open_disk(fx->path, fx->variant->direct, read_only);
	assert_int_equal(create_raw(fx, read_only, discard, NULL), 0);
}

static void set_fault(struct fx *fx, enum block_op op, unsigned from, unsigned to, int64_t result)
{
	fx->fault[op] = (struct fault){true, from, to, result};
}

static struct io *io_new(struct fx *fx, enum block_op op, uint64_t offset, void *buf, uint64_t len)
{
	struct io *io = calloc(1, sizeof(*io));

	assert_non_null(io);
	io->fx = fx;
	io->req = (struct block_request){.op = op, .offset = offset, .len = len, .done = on_done};
	if (buf) {
		io->iov[0] = (struct iovec){buf, len};
		io->req.iov = io->iov;
		io->req.iov_count = 1;
	}
	return io;
}

/* Lock held. */
static void submit(struct io *io)
{
	io->fx->submitting = true;
	io->fx->b->ops->submit(io->fx->b, &io->req);
	io->fx->submitting = false;
}

static void commit(struct fx *fx)
{
	loop_lock(&fx->loop);
	fx->b->ops->commit(fx->b);
	loop_unlock(&fx->loop);
}

static void submit_unlocked(struct io *io)
{
	loop_lock(&io->fx->loop);
	submit(io);
	loop_unlock(&io->fx->loop);
}

/* Runs the loop until `dones` requests have ended. What waits for a time finds it has come. */
static void run_until(struct fx *fx, unsigned dones)
{
	for (unsigned i = 0; fx->dones < dones; i++) {
		assert_true(i < 20000);
		manual_clock_set(manual_clock() + 10 * MS);
		assert_int_equal(loop_run_once(&fx->loop, 1000), 0);
	}
	assert_int_equal(fx->dones, dones);
}

static int finish(struct io *io)
{
	int result = io->result;

	assert_int_equal(io->done, 1);
	free(io);
	return result;
}

/* One request from start to end. */
static int do_io(struct fx *fx, struct io *io)
{
	unsigned dones = fx->dones + 1;

	submit_unlocked(io);
	commit(fx);
	run_until(fx, dones);
	return finish(io);
}

static int do_rw(struct fx *fx, enum block_op op, uint64_t offset, void *buf, uint64_t len)
{
	return do_io(fx, io_new(fx, op, offset, buf, len));
}

static int do_zeroes(struct fx *fx, enum block_op op, uint64_t offset, uint64_t len, bool unmap)
{
	struct io *io = io_new(fx, op, offset, NULL, len);

	io->req.unmap = unmap;
	return do_io(fx, io);
}

static int do_flush(struct fx *fx)
{
	return do_io(fx, io_new(fx, BLOCK_FLUSH, 0, NULL, 0));
}

static uint8_t *buffer(uint64_t len)
{
	uint8_t *p = aligned_alloc(4096, align_up(len, 4096));

	assert_non_null(p);
	memset(p, 0, len);
	return p;
}

/* What the file holds, past the back end. */
static uint8_t *file_content(const struct fx *fx, uint64_t offset, uint64_t len)
{
	uint8_t *p = buffer(len);
	int fd = open(fx->path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_pread_full(fd, p, len, (off_t)offset), 0);
	close(fd);
	return p;
}

static void check_zero(const uint8_t *p, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++) {
		if (p[i])
			fail_msg("byte %llu is not zero", (unsigned long long)i);
	}
}

/* The file holds the pattern, but zeroes in [offset, offset + len). */
static void check_file(const struct fx *fx, uint64_t offset, uint64_t len)
{
	uint8_t *p = file_content(fx, 0, DISK);

	check_filled(p, 0, offset);
	check_zero(p + offset, len);
	check_filled(p + offset + len, offset + len, DISK - offset - len);
	free(p);
}

static uint64_t allocated(const struct fx *fx)
{
	struct stat st;

	assert_int_equal(stat(fx->path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* ---- cases ---- */

static void test_geometry(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(fx->b->size, DISK);
	assert_true(fx->b->block_size == 512 || (fx->variant->direct && fx->b->block_size == 4096));
	assert_true(fx->b->physical_size >= fx->b->block_size);
	assert_false(fx->b->read_only);
	assert_non_null(strstr(fx->why, fx->variant->engine == BLOCK_ENGINE_AIO    ? "aio"
					: fx->variant->engine == BLOCK_ENGINE_SYNC ? "sync"
										   : "io_uring"));
}

static void test_read(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(64 << 10);

	assert_int_equal(do_rw(fx, BLOCK_READ, 8192, p, 64 << 10), 0);
	check_filled(p, 8192, 64 << 10);
	memset(p, 0, 4096);
	assert_int_equal(do_rw(fx, BLOCK_READ, DISK - 4096, p, 4096), 0);
	check_filled(p, DISK - 4096, 4096);
	free(p);
}

static void test_write(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(16 << 10);

	assert_int_equal(do_rw(fx, BLOCK_WRITE, 1 << 20, p, 16 << 10), 0);
	check_file(fx, 1 << 20, 16 << 10);
	assert_int_equal(do_flush(fx), 0);
	assert_int_equal(fx->count[BLOCK_FLUSH], 1);
	free(p);
}

/* Splits `buf` into pieces of the given lengths, again and again. */
static void split(struct io *io, uint8_t *buf, uint64_t len, const unsigned *lens, unsigned n)
{
	unsigned i = 0;

	while (len) {
		uint64_t part = min_u64(lens[i % n], len);

		assert_true(i < IO_IOVS);
		io->iov[i] = (struct iovec){buf, part};
		buf += part;
		len -= part;
		i++;
	}
	io->req.iov_count = i;
}

/* Every shape of scattered memory: aligned or not, empty entries, many. The iov is as it was at the end. */
static void test_iov_patterns(void **state)
{
	static const unsigned lens[][4] = {
		{4096, 4096, 4096, 4096}, {512, 1024, 512, 2048}, {1, 511, 3, 4093},
		{0, 7, 0, 5000},          {100, 1, 99, 312},
	};
	struct fx *fx = *state;
	const uint64_t len = 32 << 10;
	uint8_t *p = buffer(len + 1);

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		for (unsigned shift = 0; shift < 2; shift++) {
			struct io *io = io_new(fx, BLOCK_READ, 4096, p + shift, len);
			struct iovec copy[IO_IOVS];

			split(io, p + shift, len, lens[i], 4);
			memcpy(copy, io->iov, sizeof(copy));
			memset(p, 0, len + 1);
			set_fault(fx, BLOCK_READ, fx->count[BLOCK_READ], fx->count[BLOCK_READ] + 1,
				  4096 + 512);
			submit_unlocked(io);
			commit(fx);
			run_until(fx, fx->dones + !io->done);
			assert_memory_equal(copy, io->iov, sizeof(copy));
			assert_int_equal(finish(io), 0);
			check_filled(p + shift, 4096, len);

			io = io_new(fx, BLOCK_WRITE, 65536, p + shift, len);
			split(io, p + shift, len, lens[i], 4);
			fill(p + shift, 65536 + i, len);
			assert_int_equal(do_io(fx, io), 0);
			assert_int_equal(do_rw(fx, BLOCK_READ, 65536, p + shift, len), 0);
			check_filled(p + shift, 65536 + i, len);
		}
	}
	free(p);
}

/* Host fault 4: a transfer goes on from where it got. */
static void test_fault_4_short(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(64 << 10);
	const uint64_t whole = fx->b->block_size;

	set_fault(fx, BLOCK_READ, 0, 2, (int64_t)(8 * whole));
	assert_int_equal(do_rw(fx, BLOCK_READ, 4096, p, 64 << 10), 0);
	check_filled(p, 4096, 64 << 10);
	assert_int_equal(fx->count[BLOCK_READ], 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fx->seen[i].offset, 4096 + i * 8 * whole);
	assert_int_equal(fx->seen[3].len, (64 << 10) - 24 * whole);

	memset(p, 0, 64 << 10);
	set_fault(fx, BLOCK_WRITE, 0, 1, (int64_t)whole);
	assert_int_equal(do_rw(fx, BLOCK_WRITE, 8192, p, 64 << 10), 0);
	assert_int_equal(fx->count[BLOCK_WRITE], 3);
	assert_int_equal(fx->seen[6].offset, 8192 + 2 * whole);
	check_file(fx, 8192, 64 << 10);
	free(p);
}

/* However much a request asks for, and of the same memory: each call of the kernel does a bounded part. */
static void test_hostile_large(void **state)
{
	enum { CALL = 2 << 20, LEN = 3 << 20 };
	static const unsigned lens[][4] = {
		{LEN, LEN, LEN, LEN},
		{0, 0, LEN, 0},
		{1 << 20, 1 << 20, 1 << 20, 1 << 20},
		{4096, LEN - 4096, LEN - 4096, 4096},
	};
	struct fx *fx = *state;
	uint8_t *p = buffer(LEN);

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		struct io *io = io_new(fx, BLOCK_READ, 4096, p, LEN);
		struct iovec copy[IO_IOVS];

		memset(p, 0, LEN);
		split(io, p, LEN, lens[i], 4);
		memcpy(copy, io->iov, sizeof(copy));
		fx->seen_count = 0;
		submit_unlocked(io);
		commit(fx);
		run_until(fx, fx->dones + !io->done);
		assert_memory_equal(copy, io->iov, sizeof(copy));
		assert_int_equal(finish(io), 0);
		check_filled(p, 4096, LEN);
		assert_true(fx->seen_count >= 2);
		for (unsigned k = 0; k < fx->seen_count; k++)
			assert_true(fx->seen[k].len > 0 && fx->seen[k].len <= CALL);
	}
	memset(p, 0, LEN);
	fx->seen_count = 0;
	assert_int_equal(do_rw(fx, BLOCK_WRITE, 0, p, LEN), 0);
	assert_true(fx->seen_count >= 2);
	check_file(fx, 0, LEN);
	free(p);
}

/* Many large requests: the loop gets its turn before all of them have been copied. */
static void test_hostile_large_and_many(void **state)
{
	enum { COUNT = 64, LEN = 3 << 20, ONE_TURN = 4 * (34 << 20) };
	struct fx *fx = *state;
	uint8_t *p = buffer(LEN);
	struct io *io[COUNT];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < COUNT; i++) {
		io[i] = io_new(fx, BLOCK_READ, 4096, p, LEN);
		submit_unlocked(io[i]);
	}
	commit(fx);
	for (unsigned i = 0; i < fx->seen_count; i++)
		bytes += fx->seen[i].len;
	assert_true(bytes <= ONE_TURN);
	run_until(fx, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(finish(io[i]), 0);
	check_filled(p, 4096, LEN);
	free(p);
}

/* With O_DIRECT only whole blocks count; without, every byte does. */
static void test_fault_4_odd_short(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(16 << 10);
	bool direct = fx->variant->direct;

	set_fault(fx, BLOCK_READ, 0, 0, 4096 + 100);
	assert_int_equal(do_rw(fx, BLOCK_READ, 0, p, 16 << 10), 0);
	check_filled(p, 0, 16 << 10);
	assert_int_equal(fx->seen[1].offset, direct ? 4096 : 4096 + 100);
	free(p);
}

static void test_fault_4_eintr_eagain(void **state)
{
	static const int codes[] = {-EINTR, -EAGAIN, -ECANCELED};
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);

	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		for (unsigned times = 1; times < 8; times++) {
			unsigned reads = fx->count[BLOCK_READ];

			set_fault(fx, BLOCK_READ, reads, reads + times - 1, codes[i]);
			memset(p, 0, 4096);
			assert_int_equal(do_rw(fx, BLOCK_READ, 4096, p, 4096), 0);
			check_filled(p, 4096, 4096);
			assert_int_equal(fx->count[BLOCK_READ], reads + times + 1);
		}
	}
	set_fault(fx, BLOCK_FLUSH, 0, 5, -EINTR);
	assert_int_equal(do_flush(fx), 0);
	assert_int_equal(fx->count[BLOCK_FLUSH], 7);
	free(p);
}

/* What never stops asking for another try ends, and does not spin: all but a few wait for the timer. */
static void test_fault_4_eagain_for_ever(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);
	struct io *io = io_new(fx, BLOCK_READ, 0, p, 4096);

	set_fault(fx, BLOCK_READ, 0, UINT32_MAX, -EAGAIN);
	submit_unlocked(io);
	commit(fx);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(loop_run_once(&fx->loop, 10), 0);
	assert_true(fx->count[BLOCK_READ] < 10);
	run_until(fx, 1);
	assert_int_equal(finish(io), -EIO);
	assert_true(fx->count[BLOCK_READ] < 1000);
	fx->fault[BLOCK_READ].on = false;
	assert_int_equal(do_rw(fx, BLOCK_READ, 0, p, 4096), 0);
	free(p);
}

/* Host fault 2: one request fails, the others do not. */
static void test_fault_2_eio(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(16 << 10);
	struct io *io[4];
	unsigned failed = 0;

	set_fault(fx, BLOCK_WRITE, 1, 1, -EIO);
	for (unsigned i = 0; i < 4; i++) {
		io[i] = io_new(fx, BLOCK_WRITE, i * 4096, p + i * 4096, 4096);
		submit_unlocked(io[i]);
	}
	commit(fx);
	run_until(fx, 4);
	for (unsigned i = 0; i < 4; i++) {
		int result = finish(io[i]);

		assert_true(result == 0 || result == -EIO);
		failed += result != 0;
	}
	assert_int_equal(failed, 1);
	set_fault(fx, BLOCK_READ, 0, 0, -EIO);
	assert_int_equal(do_rw(fx, BLOCK_READ, 0, p, 4096), -EIO);
	assert_int_equal(do_rw(fx, BLOCK_READ, 1 << 20, p, 4096), 0);
	assert_int_equal(do_rw(fx, BLOCK_WRITE, 0, p, 4096), 0);
	assert_int_equal(do_flush(fx), 0);
	free(p);
}

/* Host fault 1: a write that found no space can be submitted again as it is. */
static void test_fault_1_enospc(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(16 << 10);
	struct io *io = io_new(fx, BLOCK_WRITE, 4096, p, 16 << 10);
	const struct iovec iov = io->iov[0];

	/* Half of it is written before. */
	set_fault(fx, BLOCK_WRITE, 0, 0, 8192);
	submit_unlocked(io);
	fx->fault[BLOCK_WRITE] = (struct fault){true, 0, 0, 8192};
	commit(fx);
	run_until(fx, 1);
	assert_int_equal(io->result, 0);
	for (unsigned i = 0; i < 2; i++) {
		unsigned n = fx->count[BLOCK_WRITE];

		set_fault(fx, BLOCK_WRITE, n, n, i ? -EDQUOT : -ENOSPC);
		submit_unlocked(io);
		commit(fx);
		run_until(fx, i + 2);
		assert_int_equal(io->result, -ENOSPC);
		assert_memory_equal(&iov, &io->iov[0], sizeof(iov));
	}
	submit_unlocked(io);
	commit(fx);
	run_until(fx, 4);
	assert_int_equal(io->result, 0);
	check_file(fx, 4096, 16 << 10);
	free(io);
	set_fault(fx, BLOCK_WRITE, fx->count[BLOCK_WRITE], UINT32_MAX, -EFBIG);
	assert_int_equal(do_rw(fx, BLOCK_WRITE, 0, p, 4096), -EIO);
	free(p);
}

/* Host fault 3: after a failed fdatasync() there is no success, whatever the kernel says. */
static void test_fault_3_failed_flush(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);
	unsigned seen;

	assert_int_equal(do_rw(fx, BLOCK_WRITE, 0, p, 4096), 0);
	set_fault(fx, BLOCK_FLUSH, 0, 0, -EIO);
	assert_int_equal(do_flush(fx), -EIO);
	seen = fx->seen_count;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(do_flush(fx), -EIO);
		assert_int_equal(do_rw(fx, BLOCK_WRITE, 4096, p, 4096), -EIO);
		assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, 4096, 4096, false), -EIO);
		assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 4096, 4096, true), -EIO);
	}
	assert_int_equal(fx->seen_count, seen);
	assert_int_equal(do_rw(fx, BLOCK_READ, 8192, p, 4096), 0);
	check_filled(p, 8192, 4096);
	check_file(fx, 0, 4096);
	free(p);
}

/* At the end of the machine is asked: has anything been written that was not flushed? */
static void test_unflushed(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);

	assert_int_equal(do_rw(fx, BLOCK_READ, 0, p, 4096), 0);
	assert_false(fx->b->unflushed);
	assert_int_equal(do_rw(fx, BLOCK_WRITE, 0, p, 4096), 0);
	assert_true(fx->b->unflushed);
	assert_int_equal(do_flush(fx), 0);
	assert_false(fx->b->unflushed);
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 4096, 4096, true), 0);
	assert_true(fx->b->unflushed);
	assert_int_equal(do_flush(fx), 0);
	set_fault(fx, BLOCK_FLUSH, fx->count[BLOCK_FLUSH], UINT32_MAX, -EIO);
	assert_int_equal(do_flush(fx), -EIO);
	assert_true(fx->b->unflushed);
	free(p);
}

/* Host fault 6: memory of the guest's that is not there fails the request, and nothing else. */
static void test_fault_6_memory_lost(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);
	uint8_t *lost = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(lost, MAP_FAILED);
	assert_int_equal(do_rw(fx, BLOCK_READ, 0, lost, 4096), -EFAULT);
	assert_int_equal(do_rw(fx, BLOCK_READ, 4096, p, 4096), 0);
	check_filled(p, 4096, 4096);
	assert_int_equal(do_flush(fx), 0);
	munmap(lost, 4096);
	free(p);
}

/* The kernel tells an error once: whoever waits for a flush at that time must hear of it as well. */
static void test_fault_3_parallel_flushes(void **state)
{
	struct fx *fx = *state;
	struct io *io[8];

	set_fault(fx, BLOCK_FLUSH, 0, 0, -ENOSPC);
	for (unsigned i = 0; i < 8; i++) {
		io[i] = io_new(fx, BLOCK_FLUSH, 0, NULL, 0);
		submit_unlocked(io[i]);
		if (i % 2)
			commit(fx);
	}
	run_until(fx, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(finish(io[i]), -EIO);
	assert_int_equal(fx->count[BLOCK_FLUSH], 1);
}

/* Flushes that wait share one fdatasync(). */
static void test_flushes_together(void **state)
{
	struct fx *fx = *state;
	struct io *io[16];

	for (unsigned i = 0; i < 16; i++) {
		io[i] = io_new(fx, BLOCK_FLUSH, 0, NULL, 0);
		submit_unlocked(io[i]);
	}
	commit(fx);
	run_until(fx, 16);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(finish(io[i]), 0);
	assert_int_equal(fx->count[BLOCK_FLUSH], 1);
	assert_int_equal(do_flush(fx), 0);
	assert_int_equal(fx->count[BLOCK_FLUSH], 2);
}

/* Host fault 5. */
static void test_fault_5_truncated(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(64 << 10);

	assert_int_equal(truncate(fx->path, 1 << 20), 0);
	assert_int_equal(do_rw(fx, BLOCK_READ, 2 << 20, p, 4096), -EIO);
	assert_int_equal(do_rw(fx, BLOCK_READ, (1 << 20) - 4096, p, 64 << 10), -EIO);
	assert_int_equal(do_rw(fx, BLOCK_READ, (1 << 20) - 4096, p, 4096), 0);
	check_filled(p, (1 << 20) - 4096, 4096);
	assert_int_equal(truncate(fx->path, (1 << 20) + 100), 0);
	assert_int_equal(do_rw(fx, BLOCK_READ, 1 << 20, p, 4096), -EIO);
	assert_int_equal(truncate(fx->path, 0), 0);
	assert_int_equal(do_rw(fx, BLOCK_READ, 0, p, 4096), -EIO);
	free(p);
}

static void test_discard(void **state)
{
	struct fx *fx = *state;
	uint64_t before = allocated(fx);

	if (!fx->b->can_discard) {
		print_message("this file system makes no holes\n");
		skip();
	}
	assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, 1 << 20, 2 << 20, false), 0);
	assert_true(allocated(fx) + (1 << 20) < before);
	check_file(fx, 1 << 20, 2 << 20);
	/* Where it cannot be done, it is done by leaving everything as it is. */
	set_fault(fx, BLOCK_DISCARD, 1, 1, -EOPNOTSUPP);
	assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, 0, 4096, false), 0);
	assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, 4096, 4096, false), 0);
	assert_int_equal(fx->count[BLOCK_DISCARD], 2);
}

static void test_write_zeroes(void **state)
{
	struct fx *fx = *state;
	uint64_t before = allocated(fx);

	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 1 << 20, 1 << 20, false), 0);
	check_file(fx, 1 << 20, 1 << 20);
	assert_true(allocated(fx) + (512 << 10) > before);
	if (!fx->b->can_discard)
		return;
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 2 << 20, 1 << 20, true), 0);
	check_file(fx, 1 << 20, 2 << 20);
	assert_true(allocated(fx) + (512 << 10) < before);
}

/* Neither holes nor zeroed ranges: zeroes are written, in pieces, and what follows goes there at once. */
static void test_write_zeroes_by_hand(void **state)
{
	struct fx *fx = *state;
	uint64_t len = (1 << 20) + 4096;
	unsigned n = 1 + fx->b->can_discard;

	set_fault(fx, BLOCK_WRITE_ZEROES, 0, n - 1, -EOPNOTSUPP);
	/* The first ones were really done: undo that. */
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 1 << 20, 4096, true), 0);
	assert_int_equal(fx->count[BLOCK_WRITE_ZEROES], n + 1);
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 1 << 20, len, false), 0);
	assert_int_equal(fx->count[BLOCK_WRITE_ZEROES], n + 1 + 5);
	assert_int_equal(fx->seen[fx->seen_count - 1].len, 4096);
	check_file(fx, 1 << 20, len);
	set_fault(fx, BLOCK_WRITE_ZEROES, fx->count[BLOCK_WRITE_ZEROES] + 1, UINT32_MAX, -ENOSPC);
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 1 << 20, len, false), -ENOSPC);
	fx->fault[BLOCK_WRITE_ZEROES].on = false;
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 1 << 20, 2 << 20, true), 0);
	check_file(fx, 1 << 20, 2 << 20);
}

/* discard=off: nothing of the file's space is freed. */
static void test_discard_off(void **state)
{
	struct fx *fx = *state;
	uint64_t before = allocated(fx);

	reopen(fx, false, false);
	assert_false(fx->b->can_discard);
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 1 << 20, 2 << 20, true), 0);
	check_file(fx, 1 << 20, 2 << 20);
	assert_true(allocated(fx) + (512 << 10) > before);
}

static void test_read_only(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);

	reopen(fx, true, true);
	assert_true(fx->b->read_only);
	assert_false(fx->b->can_discard);
	assert_int_equal(do_rw(fx, BLOCK_WRITE, 0, p, 4096), -EROFS);
	assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, 0, 4096, false), -EROFS);
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 0, 4096, true), -EROFS);
	assert_int_equal(do_flush(fx), 0);
	assert_int_equal(fx->seen_count, 0);
	assert_int_equal(do_rw(fx, BLOCK_READ, 4096, p, 4096), 0);
	check_filled(p, 4096, 4096);
	check_file(fx, DISK, 0);
	free(p);
}

/* A guest writes the header of another format: the disk stays what it is. */
static void test_hostile_46_format(void **state)
{
	static const char header[] = "QFI\xfb\0\0\0\3\0\0\0\0\0\0\1\0\0\0\0\13";
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);

	memcpy(p, header, sizeof(header));
	memcpy(p + 256, "/etc/shadow", 11);
	assert_int_equal(do_rw(fx, BLOCK_WRITE, 0, p, 4096), 0);
	reopen(fx, false, true);
	assert_int_equal(fx->b->size, DISK);
	memset(p, 0, 4096);
	assert_int_equal(do_rw(fx, BLOCK_READ, 0, p, 4096), 0);
	assert_memory_equal(p, header, sizeof(header));
	assert_memory_equal(p + 256, "/etc/shadow", 11);
	assert_int_equal(do_rw(fx, BLOCK_READ, 1 << 20, p, 4096), 0);
	check_filled(p, 1 << 20, 4096);
	free(p);
}

static void test_out_of_range(void **state)
{
	static const uint64_t offsets[] = {DISK, DISK - 2048, UINT64_MAX - 511, UINT64_C(1) << 63};
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);

	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		assert_int_equal(do_rw(fx, BLOCK_READ, offsets[i], p, 4096), -EIO);
		assert_int_equal(do_rw(fx, BLOCK_WRITE, offsets[i], p, 4096), -EIO);
		assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, offsets[i], 4096, false), -EIO);
		assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, offsets[i], 4096, true), -EIO);
	}
	assert_int_equal(do_rw(fx, BLOCK_READ, 0, p, 0), 0);
	assert_int_equal(do_zeroes(fx, BLOCK_WRITE_ZEROES, 4096, 0, true), 0);
	assert_int_equal(fx->seen_count, 0);
	check_file(fx, DISK, 0);
	free(p);
}

/* More than any queue holds, all at once; and their ends come in batches. */
static void test_many(void **state)
{
	enum { COUNT = 1000 };
	struct fx *fx = *state;
	struct io **io = calloc(COUNT, sizeof(struct io *));
	uint8_t *p = buffer(COUNT * 4096);

	assert_non_null(io);
	fill(p, 4096, COUNT * 4096); /* the pattern, moved by a page */
	for (unsigned i = 0; i < COUNT; i++) {
		io[i] = io_new(fx, BLOCK_WRITE, (uint64_t)i * 4096, p + i * 4096, 4096);
		submit_unlocked(io[i]);
	}
	commit(fx);
	run_until(fx, COUNT);
	assert_true(fx->batches >= 1 && fx->batches <= COUNT);
	memset(p, 0, COUNT * 4096);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(io[i]->result, 0);
		assert_int_equal(io[i]->done, 1);
		io[i]->done = 0;
		io[i]->req.op = BLOCK_READ;
		submit_unlocked(io[i]);
	}
	commit(fx);
	run_until(fx, 2 * COUNT);
	check_filled(p, 4096, COUNT * 4096);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(finish(io[i]), 0);
	free(io);
	free(p);
}

/* Ends that come together are told together. */
static void test_one_batch(void **state)
{
	struct fx *fx = *state;
	struct io *io[32];

	for (unsigned i = 0; i < 32; i++) {
		io[i] = io_new(fx, BLOCK_READ, DISK, NULL, 4096); /* ends without the kernel */
		submit_unlocked(io[i]);
	}
	assert_int_equal(fx->dones, 0);
	commit(fx);
	assert_int_equal(fx->dones, 32);
	assert_int_equal(fx->batches, 1);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(finish(io[i]), -EIO);
}

static void resubmit(struct io *io)
{
	if (io->done < 50) {
		submit(io);
		io->fx->b->ops->commit(io->fx->b);
	}
}

static void test_submit_from_done(void **state)
{
	struct fx *fx = *state;
	uint8_t *p = buffer(4096);
	struct io *io = io_new(fx, BLOCK_READ, 4096, p, 4096);

	io->then = resubmit;
	submit_unlocked(io);
	commit(fx);
	run_until(fx, 50);
	check_filled(p, 4096, 4096);
	free(io);
	free(p);
}

/* Without the loop, everything ends: also what is tried again, and what a `done` submits. */
static void test_drain(void **state)
{
	enum { COUNT = 600 };
	struct fx *fx = *state;
	struct io **io = calloc(COUNT, sizeof(struct io *));
	uint8_t *p = buffer(COUNT * 4096);

	assert_non_null(io);
	set_fault(fx, BLOCK_READ, 3, 20, -EAGAIN);
	for (unsigned i = 0; i < COUNT; i++) {
		enum block_op op = i % 50 == 49   ? BLOCK_WRITE_ZEROES
				   : i % 50 == 48 ? BLOCK_FLUSH
						  : BLOCK_READ;

		io[i] = io_new(fx, op, (uint64_t)i * 4096, op == BLOCK_READ ? p + i * 4096 : NULL,
			       op == BLOCK_FLUSH ? 0 : 4096);
		io[i]->then = i == 0 ? resubmit : NULL;
		submit_unlocked(io[i]);
		if (i == COUNT / 2)
			commit(fx);
	}
	loop_lock(&fx->loop);
	fx->b->ops->drain(fx->b);
	assert_null(fx->loop.timers);
	loop_unlock(&fx->loop);
	assert_int_equal(fx->dones, COUNT + 49);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(io[i]->result, 0);
		if (io[i]->req.op == BLOCK_READ)
			check_filled(p + i * 4096, (uint64_t)i * 4096, 4096);
		free(io[i]);
	}
	free(io);
	free(p);
}

/* ---- for a copy ---- */

/* Short reads, interruptions, and a disk whose end is no multiple of 4 KiB. */
static void test_peek(void **state)
{
	struct fx *fx = *state;
	const unsigned whole = fx->b->block_size;
	uint8_t *p = buffer(256 << 10);

	assert_int_equal(fx->b->ops->peek(fx->b, p, 8192, 256 << 10), 0);
	check_filled(p, 8192, 256 << 10);
	memset(p, 0, 256 << 10);
	fx->count[BLOCK_READ] = 0;
	fx->seen_count = 0;
	set_fault(fx, BLOCK_READ, 0, 2, (int64_t)whole + 100);
	assert_int_equal(fx->b->ops->peek(fx->b, p, 4096, 64 << 10), 0);
	check_filled(p, 4096, 64 << 10);
	assert_int_equal(fx->count[BLOCK_READ], 4);
	assert_int_equal(fx->seen[1].offset, 4096 + whole + (fx->variant->direct ? 0 : 100));
	set_fault(fx, BLOCK_READ, 4, 6, -EINTR);
	assert_int_equal(fx->b->ops->peek(fx->b, p, DISK - 4096, 4096), 0);
	check_filled(p, DISK - 4096, 4096);
	assert_int_equal(fx->count[BLOCK_READ], 8);
	set_fault(fx, BLOCK_READ, 8, 8, -EIO);
	assert_int_equal(fx->b->ops->peek(fx->b, p, 0, 4096), -EIO);

	assert_int_equal(truncate(fx->path, DISK - whole), 0);
	reopen(fx, true, false);
	memset(p, 0, 4096);
	assert_int_equal(fx->b->ops->peek(fx->b, p, DISK - 4096, 4096 - whole), 0);
	check_filled(p, DISK - 4096, 4096 - whole);
	assert_int_equal(truncate(fx->path, DISK - 8192), 0);
	assert_int_equal(fx->b->ops->peek(fx->b, p, DISK - 8192, 4096), -EIO);
	free(p);
}

static void check_next_data(struct fx *fx, uint64_t from, uint64_t start, uint64_t end)
{
	uint64_t s = 1, e = 1;

	assert_int_equal(fx->b->ops->next_data(fx->b, from, &s, &e), 0);
	assert_int_equal(s, start);
	if (s < fx->b->size)
		assert_int_equal(e, end);
}

static void test_next_data(void **state)
{
	enum { PART = 1 << 20 };
	struct fx *fx = *state;
	uint64_t start, end;

	if (!fx->b->can_discard) {
		print_message("this file system makes no holes\n");
		skip();
	}
	check_next_data(fx, 0, 0, DISK);
	check_next_data(fx, DISK - 4096, DISK - 4096, DISK);
	check_next_data(fx, DISK, DISK, DISK);
	assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, 0, PART, false), 0);
	assert_int_equal(do_zeroes(fx, BLOCK_DISCARD, 2 * PART, 2 * PART, false), 0);
	check_next_data(fx, 0, PART, 2 * PART);
	check_next_data(fx, PART, PART, 2 * PART);
	check_next_data(fx, PART + 8192, PART + 8192, 2 * PART);
	check_next_data(fx, 2 * PART, DISK, DISK);
	/* What is behind the disk's end is not of the disk; what is gone is no hole. */
	assert_int_equal(truncate(fx->path, 2 * DISK), 0);
	check_next_data(fx, 2 * PART, DISK, DISK);
	assert_int_equal(truncate(fx->path, DISK - 512), 0);
	assert_int_equal(fx->b->ops->next_data(fx->b, 2 * PART, &start, &end), -EIO);
	assert_int_equal(truncate(fx->path, 0), 0);
	assert_int_equal(fx->b->ops->next_data(fx->b, 0, &start, &end), -EIO);
}

/* Either it cannot be done here, or all is there. */
static void test_clone(void **state)
{
	struct fx *fx = *state;
	char path[300];
	int fd, r;

	snprintf(path, sizeof(path), "%s-clone", fx->path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	r = fx->b->ops->clone(fx->b, fd);
	if (r == 0) {
		uint8_t *p = buffer(DISK);

		assert_int_equal(fd_pread_full(fd, p, DISK, 0), 0);
		check_filled(p, 0, DISK);
		free(p);
	} else {
		assert_true(r == -EOPNOTSUPP || r == -EINVAL || r == -ENOTTY);
	}
	close(fd);
	unlink(path);
}

/* ---- without an engine ---- */

static void test_sizes(void **state)
{
	static const uint64_t sizes[] = {0, 1, 511, 513, 4096 * 3 + 100};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct fx *fx = fx_new(&variants[3]);
		struct err err = {0};
		char text[32];

		make_file(fx, sizes[i]);
		fx->fd = open_disk(fx->path, false, false);
		assert_int_equal(create_raw(fx, false, true, &err), -EINVAL);
		snprintf(text, sizeof(text), "%llu bytes", (unsigned long long)sizes[i]);
		assert_non_null(strstr(err.msg, fx->path));
		assert_non_null(strstr(err.msg, text));
		fx_free(fx);
	}
}

static void test_not_a_disk(void **state)
{
	static const char *const paths[] = {"/dev/null", "/"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		struct fx *fx = fx_new(&variants[3]);
		struct err err = {0};

		fx->fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		assert_int_equal(create_raw(fx, true, true, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "neither a file nor a block device"));
		fx_free(fx);
	}
}

static void test_aio_needs_direct(void **state)
{
	static const struct variant aio = {"aio", BLOCK_ENGINE_AIO, false};
	struct fx *fx = fx_new(&aio);
	struct err err = {0};

	(void)state;
	make_file(fx, DISK);
	fx->fd = open_disk(fx->path, false, false);
	assert_int_equal(create_raw(fx, false, true, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "needs direct"));
	fx_free(fx);
}

/* Makes a system call fail with EPERM, as container runtimes do. */
static void forbid(unsigned nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = {ARRAY_SIZE(code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		_exit(99);
}

/* What AUTO finds in a process that may not use the system call; in one of its own. 0: as expected. */
static int auto_without(unsigned nr, bool direct, const char *expected)
{
	static const struct variant any = {"auto", BLOCK_ENGINE_AUTO, false};
	static const struct variant any_direct = {"auto", BLOCK_ENGINE_AUTO, true};
	static const struct variant uring = {"io_uring", BLOCK_ENGINE_IO_URING, false};
	struct fx *fx = fx_new(direct ? &any_direct : &any);
	int status = -1;
	pid_t pid;

	make_file(fx, DISK);
	fx->fd = open_disk(fx->path, direct, false);
	if (fx->fd < 0) {
		fx_free(fx);
		return 0;
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint8_t *p = buffer(4096);
		struct err err = {0};

		forbid(nr);
		if (create_raw(fx, false, true, &err) < 0 || !strstr(fx->why, expected))
			_exit(1);
		if (do_rw(fx, BLOCK_READ, 4096, p, 4096) != 0 || p[0] != pattern(4096))
			_exit(2);
		fx->variant = &uring;
		if (create_raw(fx, false, true, &err) != -ENOTSUP || err.code != -ENOTSUP ||
		    !strstr(err.msg, fx->path))
			_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fx_free(fx);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

/* Host fault 29: io_uring is forbidden, or only its use is. */
static void test_fault_29_fallback(void **state)
{
	(void)state;
	assert_int_equal(auto_without(__NR_io_uring_setup, false, "engine sync, as there is no io_uring"), 0);
	assert_int_equal(auto_without(__NR_io_uring_enter, false, "engine sync, as there is no io_uring"), 0);
	assert_int_equal(auto_without(__NR_io_uring_setup, true, "engine aio, as there is no io_uring"), 0);
}

static void test_skipped(void **state)
{
	print_message("%s is not to be had here\n", ((const struct variant *)*state)->name);
	skip();
}

/* Whether an engine can be had here at all. */
static bool usable(const struct variant *variant)
{
	struct fx *fx = fx_new(variant);
	bool ok;

	make_file(fx, DISK);
	fx->fd = open_disk(fx->path, variant->direct, false);
	ok = fx->fd >= 0 && create_raw(fx, false, true, NULL) == 0;
	fx_free(fx);
	return ok;
}

static const struct {
	const char *name;
	CMUnitTestFunction fn;
} cases[] = {
	{"geometry", test_geometry},
	{"read", test_read},
	{"write", test_write},
	{"iov_patterns", test_iov_patterns},
	{"fault_1_enospc", test_fault_1_enospc},
	{"fault_2_eio", test_fault_2_eio},
	{"fault_3_failed_flush", test_fault_3_failed_flush},
	{"fault_3_parallel_flushes", test_fault_3_parallel_flushes},
	{"unflushed", test_unflushed},
	{"fault_4_short", test_fault_4_short},
	{"fault_4_odd_short", test_fault_4_odd_short},
	{"fault_4_eintr_eagain", test_fault_4_eintr_eagain},
	{"fault_4_eagain_for_ever", test_fault_4_eagain_for_ever},
	{"fault_5_truncated", test_fault_5_truncated},
	{"fault_6_memory_lost", test_fault_6_memory_lost},
	{"hostile_large", test_hostile_large},
	{"hostile_large_and_many", test_hostile_large_and_many},
	{"flushes_together", test_flushes_together},
	{"discard", test_discard},
	{"discard_off", test_discard_off},
	{"write_zeroes", test_write_zeroes},
	{"write_zeroes_by_hand", test_write_zeroes_by_hand},
	{"read_only", test_read_only},
	{"hostile_46_format", test_hostile_46_format},
	{"out_of_range", test_out_of_range},
	{"many", test_many},
	{"one_batch", test_one_batch},
	{"submit_from_done", test_submit_from_done},
	{"drain", test_drain},
	{"peek", test_peek},
	{"next_data", test_next_data},
	{"clone", test_clone},
};

int main(void)
{
	enum { COUNT = ARRAY_SIZE(variants) * ARRAY_SIZE(cases) };
	const struct CMUnitTest common[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_not_a_disk),
		cmocka_unit_test(test_aio_needs_direct),
		cmocka_unit_test(test_fault_29_fallback),
	};
	static struct CMUnitTest tests[COUNT + ARRAY_SIZE(common)];
	static char names[COUNT][64];
	unsigned n = 0;

	for (unsigned v = 0; v < ARRAY_SIZE(variants); v++) {
		bool ok = usable(&variants[v]);

		for (unsigned c = 0; c < ARRAY_SIZE(cases); c++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", variants[v].name, cases[c].name);
			tests[n] = (struct CMUnitTest){names[n], ok ? cases[c].fn : test_skipped,
						       ok ? setup : NULL, ok ? teardown : NULL,
						       (void *)(uintptr_t)&variants[v]};
		}
	}
	memcpy(tests + n, common, sizeof(common));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
