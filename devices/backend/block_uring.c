/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of io_uring.
 *
 * One io_uring_enter() starts all that was queued; what can end at once has ended
 * when it returns and is taken from the completion queue right there. For the rest
 * the loop watches the ring's own descriptor, level-triggered: it is readable as
 * long as the completion queue has entries, and taking these needs no system call.
 *
 * The queues cannot overflow: there are never more attempts than the submission
 * queue has entries, and the completion queue has twice as many.
 *
 * The file is registered, which saves a reference count per request. Buffers are
 * not: that would pin the guest's memory. No IORING_SETUP_SINGLE_ISSUER, as a kick
 * may come from a vCPU's thread.
 *
 * System calls: io_uring_setup and io_uring_register at creation, io_uring_enter. A ring has no
 * more opcodes than are needed here; a kernel that cannot keep it to these (before Linux 5.10) has
 * no io_uring for us.
 */
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block_engine.h"
#include "hull/syscalls.h"
#include "hull/util.h"

struct block_uring {
	struct io_engine engine;
	struct io_engine_config config;
	struct io_uring ring;
	bool ring_ready;
	bool registered; /* descriptor 0 of the ring is config.fd */
	struct loop_io io;
};

/* An entry of the submission queue has 32 bits for it; what is left out is a short transfer. */
static unsigned first_len(const struct block_attempt *a)
{
	return (unsigned)min_u64(a->iov->iov_len, GIB(1));
}

static void prepare(const struct block_attempt *a, struct io_uring_sqe *sqe, int fd)
{
	switch (a->method) {
	case BLOCK_PREADV:
		if (a->iov_count == 1)
			io_uring_prep_read(sqe, fd, a->iov->iov_base, first_len(a), a->offset);
		else
			io_uring_prep_readv(sqe, fd, a->iov, a->iov_count, a->offset);
		break;
	case BLOCK_PWRITEV:
		if (a->iov_count == 1)
			io_uring_prep_write(sqe, fd, a->iov->iov_base, first_len(a), a->offset);
		else
			io_uring_prep_writev(sqe, fd, a->iov, a->iov_count, a->offset);
		break;
	case BLOCK_FDATASYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, fd, a->mode, (off_t)a->offset, (off_t)a->len);
		break;
	}
}

static void uring_submit(struct io_engine *e, struct block_attempt *a)
{
	struct block_uring *u = container_of(e, struct block_uring, engine);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	assert(sqe); /* entries in use are attempts in flight, and the queue is as long as their limit */
	prepare(a, sqe, u->registered ? 0 : u->config.fd);
	if (u->registered)
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, a);
}

/* Hands back what is in the completion queue now. */
static void reap(struct block_uring *u)
{
	struct io_uring_cqe *cqe;

	if (io_uring_cq_has_overflow(&u->ring))
		io_uring_get_events(&u->ring);
	while (io_uring_cq_ready(&u->ring) && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct block_attempt *a = io_uring_cqe_get_data(cqe);
		int64_t result = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		block_raw_attempted(u->config.raw, a, result);
	}
}

static bool uring_commit(struct io_engine *e)
{
	struct block_uring *u = container_of(e, struct block_uring, engine);

	if (io_uring_sq_ready(&u->ring))
		io_uring_submit(&u->ring);
	reap(u);
	return io_uring_sq_ready(&u->ring) == 0;
}

static void uring_wait(struct io_engine *e)
{
	struct block_uring *u = container_of(e, struct block_uring, engine);

	io_uring_submit_and_wait(&u->ring, 1);
	reap(u);
}

static void ring_readable(struct loop_io *io, uint32_t events)
{
	struct block_uring *u = container_of(io, struct block_uring, io);

	(void)events;
	block_raw_ready(u->config.raw);
}

static int init_ring(struct block_uring *u)
{
	/* Completions wait until the thread enters the kernel next: nothing interrupts it for them. */
	int r = io_uring_queue_init(BLOCK_IN_FLIGHT, &u->ring,
				    IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN);

	if (r == -EINVAL) /* before Linux 5.19 */
		r = io_uring_queue_init(BLOCK_IN_FLIGHT, &u->ring, IORING_SETUP_R_DISABLED);
	u->ring_ready = r == 0;
	return r;
}

/* What this kernel's io_uring can do of what we need; 0: not the least. */
static unsigned find_methods(struct block_uring *u)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
	unsigned methods = 0;

	if (probe && io_uring_opcode_supported(probe, IORING_OP_READ) &&
	    io_uring_opcode_supported(probe, IORING_OP_WRITE))
		methods = BLOCK_PREADV | BLOCK_PWRITEV | BLOCK_FDATASYNC;
	if (methods && io_uring_opcode_supported(probe, IORING_OP_FALLOCATE))
		methods |= BLOCK_FALLOCATE;
	io_uring_free_probe(probe);
	return methods;
}

/*
 * From here on the ring reads, writes, flushes and frees this one file, if that is registered, and
 * does nothing else: it would be a way around the filters of system calls (hull/syscalls.h).
 */
static int restrict_ring(struct block_uring *u)
{
	static const uint8_t ops[] = {
		IORING_OP_NOP,    IORING_OP_READ,  IORING_OP_READV,     IORING_OP_WRITE,
		IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
	};
	struct io_uring_restriction only[ARRAY_SIZE(ops) + 2] = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		only[n].opcode = IORING_RESTRICTION_SQE_OP;
		only[n++].sqe_op = ops[i];
	}
	only[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	only[n++].sqe_flags = IOSQE_FIXED_FILE;
	if (u->registered) {
		only[n].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
		only[n++].sqe_flags = IOSQE_FIXED_FILE;
	}
	/* Debian's liburing (2.3) declares functions for these, and has none. */
	if (syscall(SYS_io_uring_register, u->ring.ring_fd, IORING_REGISTER_RESTRICTIONS, only, n) < 0 ||
	    syscall(SYS_io_uring_register, u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return -errno;
	return 0;
}

/* One request that does nothing, as a filter may allow to make rings and not to use them. */
static int try_ring(struct block_uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	struct io_uring_cqe *cqe;
	int r;

	io_uring_prep_nop(sqe);
	if (u->registered)
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	r = io_uring_submit_and_wait(&u->ring, 1);
	if (r < 0)
		return r;
	r = io_uring_wait_cqe(&u->ring, &cqe);
	if (r == 0)
		io_uring_cqe_seen(&u->ring, cqe);
	return r;
}

static void uring_destroy(struct io_engine *e)
{
	struct block_uring *u = container_of(e, struct block_uring, engine);

	loop_io_del(u->config.loop, &u->io);
	if (u->ring_ready)
		io_uring_queue_exit(&u->ring);
	free(u);
}

static int start(struct block_uring *u)
{
	int r = init_ring(u);

	if (r < 0)
		return r;
	u->engine.methods = find_methods(u);
	if (!u->engine.methods)
		return -ENOSYS;
	u->registered = io_uring_register_files(&u->ring, &u->config.fd, 1) == 0;
	r = restrict_ring(u);
	if (r == 0)
		r = try_ring(u);
	if (r < 0)
		return r;
	u->io = (struct loop_io){.fd = u->ring.ring_fd, .events = EPOLLIN, .ready = ring_readable};
	return loop_io_add(u->config.loop, &u->io);
}

static int uring_create(struct io_engine **ret_engine, const struct io_engine_config *config, struct err *err)
{
	struct block_uring *u = calloc(1, sizeof(*u));
	int r = -ENOMEM;

	if (u) {
		u->engine.ops = &block_uring_ops;
		u->config = *config;
		r = start(u);
	}
	if (r < 0) {
		if (u)
			uring_destroy(&u->engine);
		return err_errno(err, r, "io_uring");
	}
	*ret_engine = &u->engine;
	return 0;
}

const struct io_engine_ops block_uring_ops = {
	.name = "io_uring",
	.create = uring_create,
	.submit = uring_submit,
	.commit = uring_commit,
	.wait = uring_wait,
	.destroy = uring_destroy,
};

const struct syscall_rule block_uring_syscalls[] = {
	{SYS_io_uring_enter, ROLE_IO, {{0}}, "requests of disks", NULL},
	{0},
};
