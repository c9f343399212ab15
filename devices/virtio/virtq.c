/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split virtqueue (virtio 1.2, 2.7), device side; see virtq.h.
 *
 *     desc  (16-byte aligned)                 one entry
 *     +----+----+----+-- ... --+              0       8     12     14    16
 *     | 0  | 1  | 2  |  size-1 |              +-------+------+------+------+
 *     +----+----+----+-- ... --+              | addr  | len  | flags| next |
 *                                             +-------+------+------+------+
 *     avail, "driver area" (2-byte aligned)
 *     0       2       4                       4 + 2 x size
 *     +-------+-------+-----+-----+-- ... --+-------------+
 *     | flags |  idx  | r 0 | r 1 |         | used_event  |
 *     +-------+-------+-----+-----+-- ... --+-------------+
 *        |       |       '- heads of chains       '- "interrupt me after this entry of used"
 *        |       '- where the driver writes next, mod 2^16
 *        '- NO_INTERRUPT; only without EVENT_IDX
 *
 *     used, "device area" (4-byte aligned)
 *     0       2       4                       4 + 8 x size
 *     +-------+-------+---------+---------+-- ... --+-------------+
 *     | flags |  idx  | id, len | id, len |         | avail_event |
 *     +-------+-------+---------+---------+-- ... --+-------------+
 *        |       |       '- head, bytes written     '- "kick me after this entry of avail"
 *        |       '- where the device writes next, mod 2^16
 *        '- NO_NOTIFY; only without EVENT_IDX
 *
 *     avail:   ...taken | next_avail ... available ... | idx        idx - next_avail <= size
 *     used:    ...given back | next_used = idx                      next_avail - next_used = in flight
 *
 * Other vCPUs write to all of that while it is read. An index is loaded with
 * acquire and stored with release; a value is loaded once; a descriptor is
 * copied as a whole before anything of it is looked at.
 */
#include "hull/virtq.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "hull/util.h"

enum {
	DESC_BYTES = 16,
	RING_FLAGS = 0,
	RING_IDX = 2,
	RING_ENTRIES = 4,
	AVAIL_ENTRY = 2,
	USED_ENTRY = 8,
};

#define FIELD(kind_, tag_, member_, max_) STATE_FIELD(struct virtq_state, kind_, tag_, 1, member_, max_, 0)

static const struct state_field virtq_fields[] = {
	FIELD(STATE_U64, 1, desc, UINT64_MAX),
	FIELD(STATE_U64, 2, driver, UINT64_MAX),
	FIELD(STATE_U64, 3, device, UINT64_MAX),
	FIELD(STATE_U16, 4, size, UINT16_MAX),
	FIELD(STATE_U8, 5, ready, 1),
	FIELD(STATE_U16, 6, next_avail, UINT16_MAX),
	FIELD(STATE_U16, 7, next_used, UINT16_MAX),
	FIELD(STATE_U16, 8, signalled, UINT16_MAX),
};

const struct state_table virtq_state_table = {
	.name = "virtqueue",
	.version = 1,
	.count = ARRAY_SIZE(virtq_fields),
	.fields = virtq_fields,
	.size = sizeof(struct virtq_state),
};

/* A descriptor, copied from the guest. */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* A chain while it is walked. */
struct walk {
	const struct virtq *vq;
	struct iovec *iov;
	unsigned cap;
	unsigned count; /* descriptors so far */
	bool writing;   /* a writable one was among them */
	struct virtq_chain chain;
};

/* The areas are aligned (virtq_start()), and so is everything of 16 bits in them. */
static uint16_t load16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED);
}

static uint16_t load16_acquire(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *p, uint16_t val)
{
	__atomic_store_n((uint16_t *)(void *)p, val, __ATOMIC_RELAXED);
}

static void store16_release(uint8_t *p, uint16_t val)
{
	__atomic_store_n((uint16_t *)(void *)p, val, __ATOMIC_RELEASE);
}

static const uint8_t *used_event(const struct virtq *vq)
{
	return vq->avail + RING_ENTRIES + (size_t)vq->st.size * AVAIL_ENTRY;
}

static uint8_t *avail_event(const struct virtq *vq)
{
	return vq->used + RING_ENTRIES + (size_t)vq->st.size * USED_ENTRY;
}

static bool is_taken(const struct virtq *vq, uint16_t head)
{
	return vq->taken[head / 8] >> (head % 8) & 1;
}

/* Changes whether `head` is taken. */
static void flip_taken(struct virtq *vq, uint16_t head)
{
	vq->taken[head / 8] ^= (uint8_t)(1u << (head % 8));
}

static void forget_areas(struct virtq *vq)
{
	vq->st.ready = 0;
	vq->desc = NULL;
	vq->avail = NULL;
	vq->used = NULL;
	vq->in_flight = 0;
	vq->kicks_off = false;
	memset(vq->taken, 0, sizeof(vq->taken));
}

void virtq_reset(struct virtq *vq)
{
	forget_areas(vq);
	vq->st = (struct virtq_state){.size = vq->max_size};
}

static bool overlap(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

int virtq_start(struct virtq *vq, const struct guest_mem *mem)
{
	const struct virtq_state *st = &vq->st;
	size_t desc_len = (size_t)st->size * DESC_BYTES;
	size_t avail_len = RING_ENTRIES + (size_t)st->size * AVAIL_ENTRY + sizeof(uint16_t);
	size_t used_len = RING_ENTRIES + (size_t)st->size * USED_ENTRY + sizeof(uint16_t);
	const uint8_t *desc, *avail;
	uint8_t *used;

	forget_areas(vq);
	if (st->size == 0 || st->size > vq->max_size || (st->size & (st->size - 1)))
		return -EINVAL;
	if (st->desc % VRING_DESC_ALIGN_SIZE || st->driver % VRING_AVAIL_ALIGN_SIZE ||
	    st->device % VRING_USED_ALIGN_SIZE)
		return -EINVAL;
	desc = mem_ptr(mem, st->desc, desc_len);
	avail = mem_ptr(mem, st->driver, avail_len);
	used = mem_ptr(mem, st->device, used_len);
	if (!desc || !avail || !used)
		return -EINVAL;
	if (overlap(desc, desc_len, avail, avail_len) || overlap(desc, desc_len, used, used_len) ||
	    overlap(avail, avail_len, used, used_len))
		return -EINVAL;
	vq->mem = mem;
	vq->desc = desc;
	vq->avail = avail;
	vq->used = used;
	vq->st.ready = 1;
	return 0;
}

int virtq_restart(struct virtq *vq, const struct guest_mem *mem)
{
	const uint16_t in_flight = (uint16_t)(vq->st.next_avail - vq->st.next_used);

	return in_flight > vq->st.size ? -EINVAL : virtq_start(vq, mem);
}

void virtq_stop(struct virtq *vq)
{
	forget_areas(vq);
}

void virtq_go_on(struct virtq *vq, uint16_t next_avail)
{
	if (!vq->desc)
		return;
	vq->st.next_avail = next_avail;
	vq->st.next_used = load16_acquire(vq->used + RING_IDX);
	vq->st.signalled = vq->st.next_used;
}

static struct desc fetch_desc(const uint8_t *p)
{
	struct desc d;

	_Static_assert(sizeof(d) == DESC_BYTES, "a descriptor is copied as it is");
	memcpy(&d, p, sizeof(d));
	/* From here on the copy counts: the compiler must not read the guest's again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return d;
}

/* Adds the buffer of `d` to the chain. */
static int add_buffer(struct walk *w, const struct desc *d)
{
	struct virtq_chain *c = &w->chain;
	bool write = d->flags & VRING_DESC_F_WRITE;
	unsigned n = c->readable + c->writable;
	struct iovec *last = n ? &w->iov[n - 1] : NULL;
	uint8_t *p;

	if (!write && w->writing)
		return -EBADMSG;
	w->writing = write;
	if (d->len == 0)
		return 0;
	p = mem_ptr(w->vq->mem, d->addr, d->len);
	if (!p)
		c->bad = true;
	*(write ? &c->write_len : &c->read_len) += d->len;
	/* The last entry has the same direction, unless this one is the first to be written. */
	if (p && last && last->iov_base && write == (c->writable > 0) &&
	    (uint8_t *)last->iov_base + last->iov_len == p) {
		last->iov_len += d->len;
		return 0;
	}
	if (n == w->cap)
		return -EBADMSG;
	w->iov[n] = (struct iovec){.iov_base = p, .iov_len = d->len};
	if (write)
		c->writable++;
	else
		c->readable++;
	return 0;
}

/*
 * Walks the table of `n` descriptors at `table` from entry `at`. Returns 1 when a
 * descriptor with INDIRECT ended it, which is in *ret_indirect then, or 0.
 */
static int walk_table(struct walk *w, const uint8_t *table, unsigned n, unsigned at,
		      struct desc *ret_indirect)
{
	for (unsigned left = n; left > 0; left--) {
		struct desc d;
		int r;

		if (at >= n)
			return -EBADMSG;
		d = fetch_desc(table + (size_t)at * DESC_BYTES);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!ret_indirect || (d.flags & VRING_DESC_F_NEXT))
				return -EBADMSG;
			*ret_indirect = d;
			return 1;
		}
		if (w->count++ == w->vq->st.size)
			return -EBADMSG;
		r = add_buffer(w, &d);
		if (r < 0)
			return r;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		at = d.next;
	}
	return -EBADMSG; /* more steps than entries: a loop */
}

/* The table that `d` points to (2.7.5.3). Its WRITE flag means nothing. */
static int walk_indirect(struct walk *w, const struct desc *d)
{
	const uint8_t *table;

	if (!w->vq->indirect || d->len == 0 || d->len % DESC_BYTES || d->len / DESC_BYTES > w->vq->st.size)
		return -EBADMSG;
	table = mem_ptr(w->vq->mem, d->addr, d->len);
	if (!table) {
		w->chain.bad = true;
		return 0;
	}
	return walk_table(w, table, d->len / DESC_BYTES, 0, NULL);
}

static int take_chain(struct virtq *vq, uint16_t head, struct iovec *iov, unsigned cap,
		      struct virtq_chain *ret_chain)
{
	struct walk w = {.vq = vq, .iov = iov, .cap = cap, .chain.head = head};
	struct desc indirect;
	int r;

	if (head >= vq->st.size || is_taken(vq, head))
		return -EBADMSG;
	r = walk_table(&w, vq->desc, vq->st.size, head, &indirect);
	if (r > 0)
		r = walk_indirect(&w, &indirect);
	if (r < 0)
		return r;
	flip_taken(vq, head);
	vq->in_flight++;
	*ret_chain = w.chain;
	return 1;
}

int virtq_pop(struct virtq *vq, struct iovec *iov, unsigned cap, struct virtq_chain *ret_chain)
{
	uint16_t ready, head;
	int r;

	if (!vq->desc)
		return 0;
	ready = (uint16_t)(load16_acquire(vq->avail + RING_IDX) - vq->st.next_avail);
	if (ready == 0)
		return 0;
	if (ready > vq->st.size)
		return -EBADMSG;
	head = load16(vq->avail + RING_ENTRIES +
		      (size_t)(vq->st.next_avail & (vq->st.size - 1)) * AVAIL_ENTRY);
	r = take_chain(vq, head, iov, cap, ret_chain);
	if (r > 0)
		vq->st.next_avail++;
	return r;
}

int virtq_retake(struct virtq *vq, uint16_t head, struct iovec *iov, unsigned cap,
		 struct virtq_chain *ret_chain)
{
	return vq->desc ? take_chain(vq, head, iov, cap, ret_chain) : 0;
}

/* Writes the used entry of `head`, which the driver does not look at before idx moves. */
static void put_used(struct virtq *vq, uint16_t head, uint32_t written)
{
	uint8_t *entry;

	if (head >= vq->st.size || !is_taken(vq, head))
		return;
	flip_taken(vq, head);
	vq->in_flight--;
	entry = vq->used + RING_ENTRIES + (size_t)(vq->st.next_used & (vq->st.size - 1)) * USED_ENTRY;
	store_le32(entry, head);
	store_le32(entry + 4, written);
	vq->st.next_used++;
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t written)
{
	virtq_push_all(vq, &(struct virtq_used){.head = head, .written = written}, 1);
}

void virtq_push_all(struct virtq *vq, const struct virtq_used *used, unsigned n)
{
	if (!vq->desc || n == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		put_used(vq, used[i].head, used[i].written);
	store16_release(vq->used + RING_IDX, vq->st.next_used);
}

void virtq_unpop(struct virtq *vq, uint16_t head)
{
	if (!vq->desc || head >= vq->st.size || !is_taken(vq, head))
		return;
	flip_taken(vq, head);
	vq->in_flight--;
	vq->st.next_avail--;
}

bool virtq_needs_interrupt(struct virtq *vq)
{
	uint16_t new = vq->st.next_used;
	uint16_t old = vq->st.signalled;

	if (!vq->desc || new == old)
		return false;
	vq->st.signalled = new;
	/*
	 * The driver stores used_event (or its flag), then looks at idx once more; here
	 * idx was stored, and now used_event is looked at. With a full barrier on both
	 * sides, one of them sees the other (2.7.10.1).
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vq->event_idx)
		return !(load16(vq->avail + RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	/* Is used_event one of the entries old, ..., new - 1? All modulo 2^16. */
	return (uint16_t)(new - load16(used_event(vq)) - 1) < (uint16_t)(new - old);
}

void virtq_kicks_off(struct virtq *vq)
{
	if (!vq->desc)
		return;
	vq->kicks_off = true;
	/* With EVENT_IDX nothing is to be done: the driver passes avail_event once only. */
	if (!vq->event_idx)
		store16(vq->used + RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}

bool virtq_kicks_on(struct virtq *vq)
{
	if (!vq->desc)
		return false;
	vq->kicks_off = false;
	if (vq->event_idx)
		store16(avail_event(vq), vq->st.next_avail);
	else
		store16(vq->used + RING_FLAGS, 0);
	/* As in virtq_needs_interrupt(), with the sides exchanged (2.7.13.4.1). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16(vq->avail + RING_IDX) != vq->st.next_avail;
}
