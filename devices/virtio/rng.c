/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio entropy device (virtio 1.2, 5.4): the driver makes buffers available, and
 * they come back with random bytes.
 *
 * The host's generator is shared with everybody, so that the guest has a bucket of
 * tokens, one for each byte: 64 KiB at most, refilled at 1 MiB a second. A request
 * takes what there is, 64 KiB at most, and says how much that was. With too few
 * tokens the ring is left alone, and a timer goes on with it. A reset does not fill the
 * bucket, and a snapshot does not hold it: a restored device starts with a full one.
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#include "hull/virtio_rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"

enum {
	QUEUE_SIZE = 64,
	BUCKET = 64 << 10, /* bytes */
	MIN_COST = 64,     /* of a request: system calls cost, too */
	LOW = 4096,        /* an empty bucket is waited for until it has as much as this again */

	OTHER_CLASS = 0xff0000,
};

/* Of one token: 1 MiB a second, rounded up. */
static const uint64_t token_ns = 954;

struct virtio_rng {
	struct virtio_dev dev;
	ssize_t (*fill)(void *buf, size_t len);
	uint32_t tokens;
	uint64_t refilled_ns; /* up to when tokens were given */
	struct loop_timer timer;
	struct log_limit bad_limit;
	struct iovec iov[QUEUE_SIZE]; /* the chain that is being looked at */
};

static struct virtio_rng *to_rng(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_rng, dev);
}

static ssize_t fill_random(void *buf, size_t len)
{
	return getrandom(buf, len, 0);
}

/* ---- the bucket ---- */

static void refill(struct virtio_rng *rng)
{
	const uint64_t earned = (loop_now(rng->dev.env.loop) - rng->refilled_ns) / token_ns;

	rng->refilled_ns += earned * token_ns;
	rng->tokens = (uint32_t)min_u64(BUCKET, rng->tokens + min_u64(earned, BUCKET));
}

static void spend(struct virtio_rng *rng, uint32_t bytes)
{
	rng->tokens -= (uint32_t)min_u64(rng->tokens, max_u64(bytes, MIN_COST));
}

/* True when the next request may be taken; else the timer does it. */
static bool may_take(struct virtio_rng *rng)
{
	if (rng->timer.armed)
		return false;
	refill(rng);
	if (rng->tokens >= MIN_COST)
		return true;
	loop_timer_set(rng->dev.env.loop, &rng->timer,
		       rng->refilled_ns + (uint64_t)(LOW - rng->tokens) * token_ns);
	return false;
}

/* ---- requests ---- */

/* Fills the buffer, as much as `len` bytes of it. Returns how much that was. */
static uint32_t fill_buffer(struct virtio_rng *rng, uint8_t *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = rng->fill(buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (uint32_t)done;
}

/* Returns the bytes that the chain in rng->iov got. What the driver wants to be read is not looked at. */
static uint32_t serve(struct virtio_rng *rng, const struct virtq_chain *chain)
{
	uint32_t left = rng->tokens, written = 0;

	if (chain->bad || chain->write_len == 0) {
		if (rng->dev.env.log)
			log_guest(rng->dev.env.log, &rng->bad_limit, "virtio-rng: a request without room");
		return 0;
	}
	for (unsigned i = 0; i < chain->writable && left; i++) {
		const struct iovec *v = &rng->iov[chain->readable + i];
		uint32_t want = (uint32_t)min_u64(left, v->iov_len);
		uint32_t got = fill_buffer(rng, v->iov_base, want);

		written += got;
		left -= got;
		if (got < want)
			break;
	}
	return written;
}

static void rng_kick(struct virtio_dev *dev, unsigned q)
{
	struct virtio_rng *rng = to_rng(dev);
	struct virtq *vq = &dev->queues[q].vq;
	unsigned budget = vq->st.size;
	int r = 0;

	do {
		virtq_kicks_off(vq);
		while (budget && may_take(rng)) {
			struct virtq_chain chain;
			uint32_t written;

			r = virtq_pop(vq, rng->iov, QUEUE_SIZE, &chain);
			if (r <= 0)
				break;
			budget--;
			written = serve(rng, &chain);
			spend(rng, written);
			virtq_push(vq, chain.head, written);
		}
		virtio_interrupt(dev, q);
	} while (r == 0 && budget && !rng->timer.armed && virtq_kicks_on(vq));
	if (r < 0)
		virtio_broken(dev, "the driver broke the ring");
	else if (!budget && !rng->timer.armed)
		virtio_kick_later(dev, q);
}

static void timer_expired(struct loop_timer *timer)
{
	struct virtio_rng *rng = container_of(timer, struct virtio_rng, timer);

	if (rng->dev.queues[0].vq.st.ready && virtio_running(&rng->dev))
		rng_kick(&rng->dev, 0);
}

/* ---- life ---- */

static void rng_reset(struct virtio_dev *dev)
{
	struct virtio_rng *rng = to_rng(dev);

	loop_timer_cancel(dev->env.loop, &rng->timer);
}

static int rng_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	const struct virtio_rng_params *params = arg;
	struct virtio_rng *rng = to_rng(dev);

	(void)err;
	rng->fill = params && params->fill ? params->fill : fill_random;
	rng->tokens = BUCKET;
	rng->refilled_ns = loop_now(dev->env.loop);
	rng->timer.expired = timer_expired;
	dev->queue_count = 1;
	dev->queues[0].vq.max_size = QUEUE_SIZE;
	return 0;
}

const struct virtio_type virtio_rng_type = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.pci_class = OTHER_CLASS,
	.size = sizeof(struct virtio_rng),
	.create = rng_create,
	.kick = rng_kick,
	.reset = rng_reset,
	.destroy = rng_reset,
};

const struct syscall_rule rng_syscalls[] = {
	{SYS_getrandom, ROLE_MAIN, {{0}}, "random numbers of the host", NULL},
	{0},
};
