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
 * A snapshot wants all that was taken to have ended: then the rings say what is the case. What
 * waits for space does not end, and no snapshot is made; see virtio_blk_is_full().
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#include "blk.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hull/util.h"
#include "iov.h"

enum {
	HEADER_BYTES = sizeof(struct virtio_blk_outhdr),
	SEGMENT_BYTES = sizeof(struct virtio_blk_discard_write_zeroes),
	STATUS_BYTES = 1,

	MASS_STORAGE_CLASS = 0x018000,
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
	size_t bytes = count * (sizeof(struct blk_slot) + BLK_IOVS * sizeof(struct iovec));
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
static struct blk_slot *take_slot(struct virtio_blk *blk)
{
	struct blk_slot *slot = blk->unused;

	if (slot)
		blk->unused = slot->next;
	else if (blk->slots_touched < blk->slot_count)
		slot = &blk->slots[blk->slots_touched++];
	return slot;
}

static void give_slot(struct virtio_blk *blk, struct blk_slot *slot)
{
	slot->next = blk->unused;
	blk->unused = slot;
}

/* Room for `n` entries of iov, until the slot is given back. */
static struct iovec *slot_iov(struct virtio_blk *blk, struct blk_slot *slot, unsigned n)
{
	struct iovec *large = (struct iovec *)(void *)(blk->slots + blk->slot_count);

	return n <= BLK_SMALL_IOVS ? slot->small : large + (size_t)(slot - blk->slots) * BLK_IOVS;
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

static void end_slot(struct virtio_blk *blk, struct blk_slot *slot, uint8_t status)
{
	/* After a reset the memory is the driver's again. */
	if (!blk->dev.resetting) {
		*slot->status = status;
		push(blk, slot->queue, slot->head, status == VIRTIO_BLK_S_OK ? slot->written : STATUS_BYTES);
	}
	give_slot(blk, slot);
	virtio_end(&blk->dev);
}

/*
 * Whether what waits for space is in flight: it is not, so that a reset does not wait for it, but
 * for a freeze it is. Whoever waits for that is told.
 */
static void count_parked(struct virtio_blk *blk, bool count)
{
	if (blk->parked_counted == count)
		return;
	blk->parked_counted = count;
	if (count)
		virtio_begin(&blk->dev);
	else
		virtio_end(&blk->dev);
	loop_signal(blk->dev.env.loop);
}

/* Keeps a request until resume(). A reset forgets it. */
static void park(struct virtio_blk *blk, struct blk_slot *slot)
{
	const struct machine_listener *events = &blk->dev.env.events;

	slot->next = blk->parked;
	blk->parked = slot;
	if (!blk->full) {
		blk->full = true;
		if (events->fn) /* says so, too */
			events->fn(events->arg, MACHINE_DISK_FULL);
	}
	count_parked(blk, blk->dev.frozen);
	virtio_end(&blk->dev);
}

static void note_error(struct virtio_blk *blk, const struct blk_slot *slot, int result)
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
	struct blk_slot *slot = container_of(req, struct blk_slot, req);
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
static struct blk_slot *make_slot(struct virtio_blk *blk, const struct request *r, const struct iovec *from,
				  unsigned count, uint64_t skip)
{
	struct blk_slot *slot = take_slot(blk);
	uint64_t left = r->data_len;
	unsigned n = 0;

	if (!slot)
		return NULL;
	*slot = (struct blk_slot){
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

static void submit(struct virtio_blk *blk, struct blk_slot *slot, enum block_op op, uint64_t offset,
		   uint64_t len)
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

	return len % BLK_SECTOR == 0 && sector < capacity && len / BLK_SECTOR <= capacity - sector;
}

static void begin_in(struct virtio_blk *blk, struct request *r)
{
	struct blk_slot *slot;

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
	submit(blk, slot, BLOCK_READ, r->sector * BLK_SECTOR, r->data_len);
}

static void begin_out(struct virtio_blk *blk, struct request *r)
{
	struct blk_slot *slot = NULL;

	if (!blk->backend->read_only && is_on_disk(blk, r->sector, r->data_len))
		slot = make_slot(blk, r, blk->iov, r->chain.readable, HEADER_BYTES);
	if (slot)
		submit(blk, slot, BLOCK_WRITE, r->sector * BLK_SECTOR, r->data_len);
	else
		end_now(blk, r, VIRTIO_BLK_S_IOERR, 0);
}

static void begin_flush(struct virtio_blk *blk, struct request *r)
{
	struct blk_slot *slot;

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
	if (sectors > BLK_ZEROES_MAX_SECTORS || !range_fits(sector, sectors, blk->config.capacity))
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
	struct blk_slot *slot = NULL;

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
	submit(blk, slot, op, sector * BLK_SECTOR, (uint64_t)sectors * BLK_SECTOR);
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

			r = virtq_pop(vq, blk->iov, BLK_IOVS, &chain);
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
		struct blk_slot *slot = blk->parked;

		blk->parked = slot->next;
		give_slot(blk, slot);
	}
	count_parked(blk, false);
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
	struct blk_slot *list = NULL;

	blk->full = false;
	while (blk->parked) { /* oldest first */
		struct blk_slot *slot = blk->parked;

		blk->parked = slot->next;
		slot->next = list;
		list = slot;
	}
	while (list) {
		struct blk_slot *slot = list;

		list = slot->next;
		virtio_begin(dev);
		blk->backend->ops->submit(blk->backend, &slot->req);
	}
	count_parked(blk, false);
	blk->backend->ops->commit(blk->backend);
}

/* Nothing was taken ahead, and what was taken ends by itself. */
static void blk_freeze(struct virtio_dev *dev)
{
	struct virtio_blk *blk = to_blk(dev);

	count_parked(blk, blk->parked);
}

static void blk_thaw(struct virtio_dev *dev)
{
	count_parked(to_blk(dev), false);
}

bool virtio_blk_is_full(const struct virtio_dev *dev)
{
	return container_of(dev, const struct virtio_blk, dev)->parked;
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
	blk_fill_config(blk, params->queues);
	dev->offered |= blk_features(blk->backend, params->queues);
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
	.freeze = blk_freeze,
	.thaw = blk_thaw,
	.save = blk_save,
	.load = blk_load,
	.resume = blk_resume,
	.destroy = blk_destroy,
	.feature_names = blk_feature_names,
};
