/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio block device (virtio 1.2, 5.2); parameters in virtio_blk.h.
 *
 * A request, however the driver cuts it into descriptors:
 *
 *   readable  | type u32 | ioprio u32 | sector u64 |  data of OUT, segment of DISCARD ...  |
 *   writable                                       |  data of IN and GET_ID  | status u8   |
 *
 *   kick -> take() -> begin_*() -> back end -> request_done() -> used ring
 *                        |                          |
 *                        '---- end_now() ----->     '-> parked, when the host's disk is full
 *
 * One round takes what is available, starts it in one go, and raises one interrupt
 * for all that has ended meanwhile.
 *
 * Each request has a slot. Slots are one mapping of which only those pages come to
 * be that are used: the slot freed last is taken first, and the few entries of iov
 * of a small request are in the slot itself.
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#include "hull/virtio_blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hull/util.h"
#include "iov.h"

enum {
	SECTOR = 512,
	HEADER_BYTES = sizeof(struct virtio_blk_outhdr),
	SEGMENT_BYTES = sizeof(struct virtio_blk_discard_write_zeroes),
	STATUS_BYTES = 1,
	IOVS = VIRTIO_BLK_QUEUE_SIZE, /* no chain has more descriptors */
	SMALL_IOVS = 4,
	SEG_MAX = VIRTIO_BLK_QUEUE_SIZE - 2, /* beside header and status */

	/* One request may take as much as this at once, and has one segment. */
	ZEROES_MAX_SECTORS = 1 << 21, /* 1 GiB */

	MASS_STORAGE_CLASS = 0x018000,
};

struct slot {
	struct block_request req;
	struct slot *next; /* of `unused` or `parked` */
	uint8_t *status;   /* in guest memory; NULL: the driver gave no room for it */
	uint32_t written;  /* bytes, when the request succeeds */
	uint16_t head;
	uint8_t queue;
	struct virtio_blk *blk;
	struct iovec small[SMALL_IOVS];
};

struct virtio_blk {
	struct virtio_dev dev;
	struct block_backend *backend;
	struct virtio_blk_config config;
	const char *name;
	uint8_t serial[VIRTIO_BLK_SERIAL];
	bool pause_on_enospc;

	struct slot *slots; /* a mapping of map_bytes, followed by the large iovs */
	size_t map_bytes;
	unsigned slot_count;
	unsigned slots_touched; /* those from here on were never used */
	struct slot *unused;
	struct slot *parked; /* found no space; oldest last */
	bool full;           /* MACHINE_DISK_FULL was reported, and resume not called since */

	uint32_t dirty;     /* bit per queue: something was pushed and not signalled */
	uint64_t io_errors; /* requests that the back end failed */
	struct log_limit io_limit;
	struct log_limit guest_limit;
	struct iovec iov[IOVS]; /* the chain that is being looked at */
};

/* A chain as the driver built it, and what has been fetched of it. */
struct request {
	struct virtq_chain chain;
	unsigned queue;
	uint8_t *status;
	uint32_t type;
	uint64_t sector;
	uint64_t data_len; /* bytes after the header, or before the status */
};

static struct virtio_blk *to_blk(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_blk, dev);
}

/* ---- slots ---- */

static int map_slots(struct virtio_blk *blk, unsigned count)
{
	size_t bytes = count * (sizeof(struct slot) + IOVS * sizeof(struct iovec));
	void *p =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	blk->slots = p;
	blk->map_bytes = bytes;
	blk->slot_count = count;
	return 0;
}

/* There are as many slots as entries of all queues. */
static struct slot *take_slot(struct virtio_blk *blk)
{
	struct slot *slot = blk->unused;

	if (slot)
		blk->unused = slot->next;
	else if (blk->slots_touched < blk->slot_count)
		slot = &blk->slots[blk->slots_touched++];
	return slot;
}

static void give_slot(struct virtio_blk *blk, struct slot *slot)
{
	slot->next = blk->unused;
	blk->unused = slot;
}

/* Room for `n` entries of iov, until the slot is given back. */
static struct iovec *slot_iov(struct virtio_blk *blk, struct slot *slot, unsigned n)
{
	struct iovec *large = (struct iovec *)(void *)(blk->slots + blk->slot_count);

	return n <= SMALL_IOVS ? slot->small : large + (size_t)(slot - blk->slots) * IOVS;
}

/* ---- ends ---- */

static void push(struct virtio_blk *blk, unsigned q, uint16_t head, uint32_t written)
{
	virtq_push(&blk->dev.queues[q].vq, head, written);
	blk->dirty |= 1u << q;
}

/* Signals all that was pushed since the last time. */
static void interrupt(struct virtio_blk *blk)
{
	uint32_t dirty = blk->dirty;

	blk->dirty = 0;
	for (unsigned q = 0; dirty; q++, dirty >>= 1) {
		if (dirty & 1)
			virtio_interrupt(&blk->dev, q);
	}
}

static void batch_done(void *arg)
{
	interrupt(arg);
}

/* Ends a request that never had a slot. */
static void end_now(struct virtio_blk *blk, const struct request *r, uint8_t status, uint32_t data)
{
	if (r->status)
		*r->status = status;
	push(blk, r->queue, r->chain.head, r->status ? data + STATUS_BYTES : 0);
}

static void end_slot(struct virtio_blk *blk, struct slot *slot, uint8_t status)
{
	/* After a reset the memory is the driver's again. */
	if (!blk->dev.resetting) {
		*slot->status = status;
		push(blk, slot->queue, slot->head, status == VIRTIO_BLK_S_OK ? slot->written : STATUS_BYTES);
	}
	give_slot(blk, slot);
	virtio_end(&blk->dev);
}

/* Keeps a request until resume(). It is not in flight meanwhile: a reset forgets it. */
static void park(struct virtio_blk *blk, struct slot *slot)
{
	const struct machine_listener *events = &blk->dev.env.events;

	slot->next = blk->parked;
	blk->parked = slot;
	if (!blk->full) {
		blk->full = true;
		if (events->fn) /* says so, too */
			events->fn(events->arg, MACHINE_DISK_FULL);
	}
	virtio_end(&blk->dev);
}

static void note_error(struct virtio_blk *blk, const struct slot *slot, int result)
{
	static const char *const names[] = {"read", "write", "flush", "discard", "write of zeroes"};

	blk->io_errors++;
	if (blk->dev.env.log)
		log_guest(blk->dev.env.log, &blk->io_limit, "%s: a %s failed: %s", blk->name,
			  names[slot->req.op], strerrordesc_np(-result));
}

static bool is_write(enum block_op op)
{
	return op == BLOCK_WRITE || op == BLOCK_WRITE_ZEROES;
}

static void request_done(struct block_request *req, int result)
{
	struct slot *slot = container_of(req, struct slot, req);
	struct virtio_blk *blk = slot->blk;

	if (result == -ENOSPC && is_write(req->op) && blk->pause_on_enospc && !blk->dev.resetting) {
		park(blk, slot);
		return;
	}
	if (result < 0)
		note_error(blk, slot, result);
	/* A driver that does not flush trusts each write (virtio 1.2, 5.2.6.2). */
	if (result == 0 && is_write(req->op) && !blk->dev.resetting &&
	    !virtio_has_feature(&blk->dev, VIRTIO_BLK_F_FLUSH)) {
		req->op = BLOCK_FLUSH;
		blk->backend->ops->submit(blk->backend, req);
		blk->backend->ops->commit(blk->backend);
		return;
	}
	end_slot(blk, slot, result == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
}

/* ---- requests ---- */

/*
 * Gives the request a slot, with the data of `r` in its iov: `count` entries from
 * `from` on, without the first `skip` bytes, r->data_len in total.
 */
static struct slot *make_slot(struct virtio_blk *blk, const struct request *r, const struct iovec *from,
			      unsigned count, uint64_t skip)
{
	struct slot *slot = take_slot(blk);
	uint64_t left = r->data_len;
	unsigned n = 0;

	if (!slot)
		return NULL;
	*slot = (struct slot){
		.blk = blk, .queue = (uint8_t)r->queue, .head = r->chain.head, .status = r->status};
	for (; count && skip >= from->iov_len; from++, count--)
		skip -= from->iov_len;
	slot->req.iov = slot_iov(blk, slot, count);
	for (unsigned i = 0; i < count && left; i++) {
		size_t part = min_u64(left, from[i].iov_len - skip);

		slot->req.iov[n++] = (struct iovec){(uint8_t *)from[i].iov_base + skip, part};
		left -= part;
		skip = 0;
	}
	slot->req.iov_count = n;
	slot->req.done = request_done;
	slot->written = STATUS_BYTES;
	return slot;
}

static void submit(struct virtio_blk *blk, struct slot *slot, enum block_op op, uint64_t offset, uint64_t len)
{
	slot->req.op = op;
	slot->req.offset = offset;
	slot->req.len = len;
	virtio_begin(&blk->dev);
	blk->backend->ops->submit(blk->backend, &slot->req);
}

/* True when `len` bytes from `sector` on are whole sectors of the disk. */
static bool is_on_disk(const struct virtio_blk *blk, uint64_t sector, uint64_t len)
{
	uint64_t capacity = blk->config.capacity;

	return len % SECTOR == 0 && sector < capacity && len / SECTOR <= capacity - sector;
}

static void begin_in(struct virtio_blk *blk, struct request *r)
{
	struct slot *slot;

	r->data_len = r->chain.write_len - STATUS_BYTES;
	if (!is_on_disk(blk, r->sector, r->data_len)) {
		end_now(blk, r, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	slot = make_slot(blk, r, blk->iov + r->chain.readable, r->chain.writable, 0);
	if (!slot) {
		end_now(blk, r, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	slot->written = (uint32_t)min_u64(r->chain.write_len, UINT32_MAX);
	submit(blk, slot, BLOCK_READ, r->sector * SECTOR, r->data_len);
}

static void begin_out(struct virtio_blk *blk, struct request *r)
{
	struct slot *slot = NULL;

	if (!blk->backend->read_only && is_on_disk(blk, r->sector, r->data_len))
		slot = make_slot(blk, r, blk->iov, r->chain.readable, HEADER_BYTES);
	if (slot)
		submit(blk, slot, BLOCK_WRITE, r->sector * SECTOR, r->data_len);
	else
		end_now(blk, r, VIRTIO_BLK_S_IOERR, 0);
}

static void begin_flush(struct virtio_blk *blk, struct request *r)
{
	struct slot *slot;

	r->data_len = 0;
	slot = make_slot(blk, r, NULL, 0, 0);
	if (slot)
		submit(blk, slot, BLOCK_FLUSH, 0, 0);
	else
		end_now(blk, r, VIRTIO_BLK_S_IOERR, 0);
}

/* What is wrong with a segment, or VIRTIO_BLK_S_OK. virtio 1.2, 5.2.6.2. */
static uint8_t check_segment(const struct virtio_blk *blk, uint32_t flags, uint32_t allowed, uint64_t sector,
			     uint32_t sectors)
{
	if (flags & ~allowed)
		return VIRTIO_BLK_S_UNSUPP;
	if (sectors > ZEROES_MAX_SECTORS || !range_fits(sector, sectors, blk->config.capacity))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* DISCARD and WRITE_ZEROES, which have one segment. */
static void begin_zeroes(struct virtio_blk *blk, struct request *r, enum block_op op, uint32_t allowed)
{
	uint8_t segment[SEGMENT_BYTES];
	uint8_t status = VIRTIO_BLK_S_IOERR;
	uint64_t sector = 0;
	uint32_t sectors = 0, flags = 0;
	struct slot *slot = NULL;

	if (!blk->backend->read_only && r->data_len == SEGMENT_BYTES) {
		iov_fetch(blk->iov, HEADER_BYTES, segment, sizeof(segment));
		sector = load_le64(segment);
		sectors = load_le32(segment + 8);
		flags = load_le32(segment + 12);
		status = check_segment(blk, flags, allowed, sector, sectors);
	}
	if (status == VIRTIO_BLK_S_OK && sectors) {
		r->data_len = 0;
		slot = make_slot(blk, r, NULL, 0, 0);
		if (!slot)
			status = VIRTIO_BLK_S_IOERR;
	}
	if (!slot) {
		end_now(blk, r, status, 0);
		return;
	}
	slot->req.unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	submit(blk, slot, op, sector * SECTOR, (uint64_t)sectors * SECTOR);
}

/* Puts the serial number, as much as there is room for, into the writable part. */
static void do_get_id(struct virtio_blk *blk, const struct request *r)
{
	const uint32_t n = (uint32_t)min_u64(VIRTIO_BLK_SERIAL, r->chain.write_len - STATUS_BYTES);

	iov_store(blk->iov + r->chain.readable, 0, blk->serial, n);
	end_now(blk, r, VIRTIO_BLK_S_OK, n);
}

static void begin(struct virtio_blk *blk, struct request *r)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		begin_in(blk, r);
		break;
	case VIRTIO_BLK_T_OUT:
		begin_out(blk, r);
		break;
	case VIRTIO_BLK_T_FLUSH:
		begin_flush(blk, r);
		break;
	case VIRTIO_BLK_T_GET_ID:
		do_get_id(blk, r);
		break;
	case VIRTIO_BLK_T_DISCARD:
		if (blk->backend->can_discard || blk->backend->read_only)
			begin_zeroes(blk, r, BLOCK_DISCARD, 0);
		else
			end_now(blk, r, VIRTIO_BLK_S_UNSUPP, 0);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		begin_zeroes(blk, r, BLOCK_WRITE_ZEROES, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
		break;
	default:
		end_now(blk, r, VIRTIO_BLK_S_UNSUPP, 0);
		break;
	}
}

/* The last byte of the writable part, or NULL when there is none or it is not RAM. */
static uint8_t *find_status(const struct virtio_blk *blk, const struct virtq_chain *chain)
{
	const struct iovec *last;

	if (!chain->writable)
		return NULL;
	last = &blk->iov[chain->readable + chain->writable - 1];
	return last->iov_base ? (uint8_t *)last->iov_base + last->iov_len - 1 : NULL;
}

/* Starts, or ends at once, the chain that is in blk->iov. */
static void take(struct virtio_blk *blk, unsigned q, const struct virtq_chain *chain)
{
	struct request r = {.chain = *chain, .queue = q, .status = find_status(blk, chain)};
	uint8_t header[HEADER_BYTES];

	if (!r.status && blk->dev.env.log)
		log_guest(blk->dev.env.log, &blk->guest_limit, "%s: the driver left no room for a status",
			  blk->name);
	if (!r.status || chain->bad || chain->read_len < HEADER_BYTES) {
		end_now(blk, &r, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	iov_fetch(blk->iov, 0, header, sizeof(header));
	r.type = load_le32(header);
	r.sector = load_le64(header + 8);
	r.data_len = chain->read_len - HEADER_BYTES;
	begin(blk, &r);
}

/*
 * Takes what is available, at most a queue's size in one round: other queues and
 * devices want their turn, too, and another vCPU may refill the ring all the time.
 */
static void blk_kick(struct virtio_dev *dev, unsigned q)
{
	struct virtio_blk *blk = to_blk(dev);
	struct virtq *vq = &dev->queues[q].vq;
	unsigned budget = vq->st.size;
	int r = 0;

	do {
		virtq_kicks_off(vq);
		while (budget) {
			struct virtq_chain chain;

			r = virtq_pop(vq, blk->iov, IOVS, &chain);
			if (r <= 0)
				break;
			budget--;
			take(blk, q, &chain);
		}
		blk->backend->ops->commit(blk->backend);
		interrupt(blk);
	} while (r == 0 && budget && virtq_kicks_on(vq));
	if (r < 0)
		virtio_broken(dev, "the driver broke the ring");
	else if (!budget)
		virtio_kick_later(dev, q);
}

/* ---- life ---- */

/* Forgets what waits for space: it is not in flight. */
static void blk_drain(struct virtio_dev *dev)
{
	struct virtio_blk *blk = to_blk(dev);

	while (blk->parked) {
		struct slot *slot = blk->parked;

		blk->parked = slot->next;
		give_slot(blk, slot);
	}
}

static void blk_reset(struct virtio_dev *dev)
{
	struct virtio_blk *blk = to_blk(dev);

	blk->dirty = 0;
	blk->full = false;
}

static void blk_resume(struct virtio_dev *dev)
{
	struct virtio_blk *blk = to_blk(dev);
	struct slot *list = NULL;

	blk->full = false;
	while (blk->parked) { /* oldest first */
		struct slot *slot = blk->parked;

		blk->parked = slot->next;
		slot->next = list;
		list = slot;
	}
	while (list) {
		struct slot *slot = list;

		list = slot->next;
		virtio_begin(dev);
		blk->backend->ops->submit(blk->backend, &slot->req);
	}
	blk->backend->ops->commit(blk->backend);
}

static uint8_t exponent(uint32_t power_of_two)
{
	return (uint8_t)__builtin_ctz(power_of_two);
}

/* virtio 1.2, 5.2.4. */
static void fill_config(struct virtio_blk *blk, unsigned queues)
{
	const struct block_backend *b = blk->backend;
	struct virtio_blk_config *c = &blk->config;

	c->capacity = b->size / SECTOR;
	c->seg_max = SEG_MAX;
	c->blk_size = b->block_size;
	c->physical_block_exp = exponent(b->physical_size / b->block_size);
	c->min_io_size = (uint16_t)(b->physical_size / b->block_size);
	c->opt_io_size = b->optimal_io / b->block_size;
	c->num_queues = (uint16_t)queues;
	if (b->can_discard) {
		c->max_discard_sectors = ZEROES_MAX_SECTORS;
		c->max_discard_seg = 1;
		c->discard_sector_alignment = b->physical_size / SECTOR;
	}
	if (!b->read_only) {
		c->max_write_zeroes_sectors = ZEROES_MAX_SECTORS;
		c->max_write_zeroes_seg = 1;
		c->write_zeroes_may_unmap = b->can_discard;
	}
}

static uint64_t find_features(const struct block_backend *b, unsigned queues)
{
	uint64_t features = virtio_bit(VIRTIO_BLK_F_SEG_MAX) | virtio_bit(VIRTIO_BLK_F_BLK_SIZE) |
			    virtio_bit(VIRTIO_BLK_F_TOPOLOGY) | virtio_bit(VIRTIO_BLK_F_FLUSH);

	if (queues > 1)
		features |= virtio_bit(VIRTIO_BLK_F_MQ);
	if (b->can_discard)
		features |= virtio_bit(VIRTIO_BLK_F_DISCARD);
	features |= b->read_only ? virtio_bit(VIRTIO_BLK_F_RO) : virtio_bit(VIRTIO_BLK_F_WRITE_ZEROES);
	return features;
}

static int blk_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	const struct virtio_blk_params *params = arg;
	struct virtio_blk *blk = to_blk(dev);
	int r;

	if (params->queues < 1 || params->queues > VIRTIO_BLK_MAX_QUEUES)
		return err_set(err, -EINVAL, "%s: %u queues; a disk has 1 to %d", params->name,
			       params->queues, VIRTIO_BLK_MAX_QUEUES);
	r = map_slots(blk, params->queues * VIRTIO_BLK_QUEUE_SIZE);
	if (r < 0)
		return err_errno(err, r, "%s", params->name);
	blk->backend = params->backend;
	blk->backend->batch_done = batch_done;
	blk->backend->batch_arg = blk;
	blk->name = params->name;
	memcpy(blk->serial, params->serial, strnlen(params->serial, VIRTIO_BLK_SERIAL));
	blk->pause_on_enospc = params->pause_on_enospc;
	fill_config(blk, params->queues);
	dev->offered |= find_features(blk->backend, params->queues);
	dev->config = &blk->config;
	dev->config_size = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
	dev->queue_count = params->queues;
	for (unsigned q = 0; q < params->queues; q++)
		dev->queues[q].vq.max_size = VIRTIO_BLK_QUEUE_SIZE;
	return 0;
}

static void blk_destroy(struct virtio_dev *dev)
{
	struct virtio_blk *blk = to_blk(dev);

	if (blk->backend)
		blk->backend->batch_done = NULL;
	if (blk->slots)
		munmap(blk->slots, blk->map_bytes);
}

const struct virtio_type virtio_blk_type = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.pci_class = MASS_STORAGE_CLASS,
	.size = sizeof(struct virtio_blk),
	.create = blk_create,
	.kick = blk_kick,
	.drain = blk_drain,
	.reset = blk_reset,
	.resume = blk_resume,
	.destroy = blk_destroy,
};
