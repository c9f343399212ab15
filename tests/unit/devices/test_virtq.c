/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split queue: small ones exhaustively, against a model that is written the
 * other way round; the rules for chains one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_ring.h>

#include "hull/util.h"
#include "hull/virtq.h"

enum {
	NEXT = VRING_DESC_F_NEXT,
	WRITE = VRING_DESC_F_WRITE,
	INDIRECT = VRING_DESC_F_INDIRECT,

	RAM = 0x10000, /* guest address */
	RAM_SIZE = 0x20000,
	DESC = RAM,
	AVAIL = RAM + 0x4000,
	USED = RAM + 0x6000,
	TABLE = RAM + 0xa000, /* indirect descriptors */
	DATA = RAM + 0x10000,
	CAP = 64,
};

struct fixture {
	struct guest_mem mem;
	struct virtq vq;
	struct iovec iov[CAP];
	struct virtq_chain chain;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(mem_add_ram(&f.mem, RAM, RAM_SIZE, NULL), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	mem_finish(&((struct fixture *)*state)->mem);
	return 0;
}

static uint8_t *ram(struct fixture *f, uint64_t gpa)
{
	return mem_ptr(&f->mem, gpa, 1);
}

/* An empty queue of `size` entries, indices at `start`. */
static void start(struct fixture *f, uint16_t size, uint16_t index)
{
	f->vq.max_size = size;
	virtq_reset(&f->vq);
	f->vq.st.desc = DESC;
	f->vq.st.driver = AVAIL;
	f->vq.st.device = USED;
	f->vq.st.next_avail = index;
	f->vq.st.next_used = index;
	f->vq.st.signalled = index;
	assert_int_equal(virtq_start(&f->vq, &f->mem), 0);
	store_le16(ram(f, AVAIL), 0);
	store_le16(ram(f, AVAIL + 2), index);
	store_le16(ram(f, USED), 0);
	store_le16(ram(f, USED + 2), index);
}

static void desc_at(struct fixture *f, uint64_t gpa, uint64_t addr, uint32_t len, unsigned flags,
		    unsigned next)
{
	uint8_t *p = ram(f, gpa);

	store_le64(p, addr);
	store_le32(p + 8, len);
	store_le16(p + 12, (uint16_t)flags);
	store_le16(p + 14, (uint16_t)next);
}

static void desc(struct fixture *f, unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
	desc_at(f, DESC + 16 * (uint64_t)i, addr, len, flags, next);
}

static uint16_t avail_idx(struct fixture *f)
{
	return load_le16(ram(f, AVAIL + 2));
}

static void avail(struct fixture *f, unsigned head)
{
	uint16_t idx = avail_idx(f);

	store_le16(ram(f, AVAIL + 4 + 2ul * (idx % f->vq.st.size)), (uint16_t)head);
	store_le16(ram(f, AVAIL + 2), (uint16_t)(idx + 1));
}

static int pop(struct fixture *f)
{
	return virtq_pop(&f->vq, f->iov, CAP, &f->chain);
}

/* Makes the chain at `head` available, takes it, and gives back what can be. */
static int try_chain(struct fixture *f, unsigned head)
{
	int r;

	avail(f, head);
	r = pop(f);
	if (r == 1)
		virtq_push(&f->vq, f->chain.head, 0);
	else
		store_le16(ram(f, AVAIL + 2), f->vq.st.next_avail);
	return r;
}

/* ---- exhaustive ---- */

/* Every value that the driver can store in idx, seen from every place of the ring and both wraps. */
static void test_every_avail_idx(void **state)
{
	static const uint16_t bases[] = {0, 1, 2, 3, 0x7ffe, 0x8000, 0xfffc, 0xfffd, 0xfffe, 0xffff};
	struct fixture *f = *state;

	for (uint16_t size = 1; size <= 4; size *= 2) {
		for (unsigned b = 0; b < ARRAY_SIZE(bases); b++) {
			start(f, size, bases[b]);
			desc(f, 0, DATA, 1, 0, 0);
			memset(ram(f, AVAIL + 4), 0, 8);
			for (unsigned idx = 0; idx < 0x10000; idx++) {
				unsigned ahead = (idx + 0x10000 - bases[b]) % 0x10000;

				f->vq.st.next_avail = bases[b];
				store_le16(ram(f, AVAIL + 2), (uint16_t)idx);
				assert_int_equal(pop(f), ahead == 0 ? 0 : ahead <= size ? 1 : -EBADMSG);
				if (ahead >= 1 && ahead <= size)
					virtq_push(&f->vq, 0, 0);
				else
					assert_int_equal(f->vq.st.next_avail, bases[b]);
			}
		}
	}
}

/* 2^16 + some requests: each comes from its slot, goes to its slot, and moves both indices by one. */
static void test_every_index(void **state)
{
	struct fixture *f = *state;

	for (uint16_t size = 1; size <= 4; size *= 2) {
		start(f, size, 0);
		for (unsigned i = 0; i < size; i++)
			desc(f, i, DATA, 1, 0, 0);
		for (unsigned n = 0; n < 0x10000 + 8; n++) {
			unsigned head = n * 3 % size;
			const uint8_t *elem = ram(f, USED + 4 + 8ul * (n % size));

			avail(f, head);
			assert_int_equal(pop(f), 1);
			assert_int_equal(f->chain.head, head);
			assert_int_equal(f->vq.in_flight, 1);
			assert_int_equal(pop(f), 0);
			virtq_push(&f->vq, (uint16_t)head, n);
			assert_int_equal(load_le32(elem), head);
			assert_int_equal(load_le32(elem + 4), n);
			assert_int_equal(load_le16(ram(f, USED + 2)), (n + 1) & 0xffff);
			assert_int_equal(f->vq.in_flight, 0);
		}
	}
}

/* What a chain should be, by the rules. */
struct model {
	int result;
	unsigned readable, writable;
};

struct model_desc {
	unsigned flags, next;
};

/* INDIRECT descriptors of this test refer to a table of one readable and one writable buffer. */
static struct model model_chain(const struct model_desc *d, unsigned size, unsigned head, bool indirect)
{
	static const struct model broken = {.result = -EBADMSG};
	struct model m = {.result = 1};
	bool seen[4] = {false};
	bool more = true;

	for (unsigned i = head; more; i = d[i].next) {
		bool write = d[i < size ? i : 0].flags & WRITE;

		if (i >= size || seen[i])
			return broken;
		seen[i] = true;
		more = d[i].flags & NEXT;
		if (d[i].flags & INDIRECT) {
			if (!indirect || more || m.writable || m.readable + 2 > size)
				return broken;
			m.readable++;
			m.writable++;
			return m;
		}
		if (!write && m.writable)
			return broken;
		*(write ? &m.writable : &m.readable) += 1;
	}
	return m;
}

static void check_model(struct fixture *f, const struct model_desc *d, unsigned size, unsigned head)
{
	struct model m = model_chain(d, size, head, f->vq.indirect);
	int r = try_chain(f, head);

	if (r != m.result)
		fail_msg("size %u head %u: %d instead of %d", size, head, r, m.result);
	assert_int_equal(f->vq.in_flight, 0);
	if (r != 1)
		return;
	assert_int_equal(f->chain.readable, m.readable);
	assert_int_equal(f->chain.writable, m.writable);
	assert_int_equal(f->chain.read_len, 8 * m.readable);
	assert_int_equal(f->chain.write_len, 8 * m.writable);
	assert_false(f->chain.bad);
}

/* All flags and all next, in and just out of reach, of all descriptors. */
static void every_chain(struct fixture *f, uint16_t size, bool indirect)
{
	const unsigned kinds = 8 * (size + 1u);
	struct model_desc d[4] = {{0, 0}};
	unsigned long total = 1;

	start(f, size, 0xfff0);
	f->vq.indirect = indirect;
	for (unsigned i = 0; i < size; i++)
		total *= kinds;
	desc_at(f, TABLE, DATA + 0x100, 8, NEXT, 1);
	desc_at(f, TABLE + 16, DATA + 0x200, 8, WRITE, 0);
	for (unsigned long n = 0; n < total; n++) {
		unsigned long rest = n;

		for (unsigned i = 0; i < size; i++, rest /= kinds) {
			d[i].flags = rest % 8;
			d[i].next = (unsigned)(rest % kinds / 8);
			if (d[i].flags & INDIRECT)
				desc(f, i, TABLE, 32, d[i].flags, d[i].next);
			else
				desc(f, i, DATA + 16ul * i, 8, d[i].flags, d[i].next);
		}
		/* With four entries, one head is all of them under other names. */
		for (unsigned head = 0; head < (size == 4 ? 1u : size); head++)
			check_model(f, d, size, head);
	}
	for (unsigned head = size; head < 0x10000; head++)
		assert_int_equal(try_chain(f, head), -EBADMSG);
}

static void test_every_chain(void **state)
{
	for (uint16_t size = 1; size <= 4; size *= 2) {
		every_chain(*state, size, true);
		if (size < 4)
			every_chain(*state, size, false);
	}
}

/* ---- events ---- */

/* What needs an interrupt, counted one by one: used_event is among the entries old, ..., new - 1. */
static bool model_event(uint16_t old, unsigned pushed, uint16_t event)
{
	for (unsigned i = 0; i < pushed; i++) {
		if ((uint16_t)(old + i) == event)
			return true;
	}
	return false;
}

static void check_event(struct fixture *f, uint16_t old, unsigned pushed, uint16_t event)
{
	f->vq.st.signalled = old;
	f->vq.st.next_used = (uint16_t)(old + pushed);
	store_le16(ram(f, AVAIL + 4 + 2ul * f->vq.st.size), event);
	assert_int_equal(virtq_needs_interrupt(&f->vq), model_event(old, pushed, event));
	assert_false(virtq_needs_interrupt(&f->vq)); /* once */
}

static void test_used_event(void **state)
{
	static const uint16_t olds[] = {0, 1, 0x7fff, 0x8000, 0xfffc, 0xffff};
	struct fixture *f = *state;

	for (uint16_t size = 1; size <= 4; size *= 2) {
		start(f, size, 0);
		f->vq.event_idx = true;
		for (unsigned pushed = 0; pushed <= size; pushed++) {
			for (unsigned old = 0; old < 0x10000; old++) {
				for (int near = -2; near <= 6; near++)
					check_event(f, (uint16_t)old, pushed, (uint16_t)((int)old + near));
			}
			for (unsigned i = 0; i < ARRAY_SIZE(olds); i++) {
				for (unsigned event = 0; event < 0x10000; event++)
					check_event(f, olds[i], pushed, (uint16_t)event);
			}
		}
	}
}

static void test_no_interrupt_flag(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0);
	desc(f, 0, DATA, 1, 0, 0);
	assert_false(virtq_needs_interrupt(&f->vq)); /* nothing new */
	try_chain(f, 0);
	assert_true(virtq_needs_interrupt(&f->vq));
	assert_false(virtq_needs_interrupt(&f->vq));
	store_le16(ram(f, AVAIL), VRING_AVAIL_F_NO_INTERRUPT);
	try_chain(f, 0);
	assert_false(virtq_needs_interrupt(&f->vq));
	/* The flag says nothing when there is EVENT_IDX. */
	f->vq.event_idx = true;
	store_le16(ram(f, AVAIL + 4 + 2 * 4), 2);
	try_chain(f, 0);
	assert_true(virtq_needs_interrupt(&f->vq));
}

static void test_kicks_by_event(void **state)
{
	struct fixture *f = *state;

	for (uint16_t size = 1; size <= 4; size *= 2) {
		const uint8_t *event;

		start(f, size, 0);
		f->vq.event_idx = true;
		event = ram(f, USED + 4 + 8ul * size);
		for (unsigned i = 0; i < 0x10000; i++) {
			f->vq.st.next_avail = (uint16_t)i;
			store_le16(ram(f, AVAIL + 2), (uint16_t)i);
			virtq_kicks_off(&f->vq);
			assert_int_equal(load_le16(ram(f, USED)), 0);
			assert_false(virtq_kicks_on(&f->vq));
			assert_int_equal(load_le16(event), i);
			store_le16(ram(f, AVAIL + 2), (uint16_t)(i + 1));
			assert_true(virtq_kicks_on(&f->vq));
			assert_int_equal(load_le16(event), i);
		}
	}
}

static void test_kicks_by_flag(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0);
	virtq_kicks_off(&f->vq);
	assert_int_equal(load_le16(ram(f, USED)), VRING_USED_F_NO_NOTIFY);
	avail(f, 0);
	assert_true(virtq_kicks_on(&f->vq));
	assert_int_equal(load_le16(ram(f, USED)), 0);
	assert_int_equal(load_le16(ram(f, USED + 4 + 8 * 4)), 0); /* avail_event is not there */
}

/* ---- chains, rule by rule ---- */

static void test_join(void **state)
{
	struct fixture *f = *state;

	start(f, 8, 0);
	desc(f, 0, DATA, 16, NEXT, 1);
	desc(f, 1, DATA + 16, 16, NEXT, 2);
	desc(f, 2, DATA + 40, 8, NEXT, 3);         /* a gap */
	desc(f, 3, DATA + 48, 8, NEXT | WRITE, 4); /* a neighbour, of the other direction */
	desc(f, 4, DATA + 56, 8, NEXT | WRITE, 5);
	desc(f, 5, DATA + 64, 0, NEXT | WRITE, 6);
	desc(f, 6, DATA + 64, 1, WRITE, 0);
	avail(f, 0);
	assert_int_equal(virtq_pop(&f->vq, f->iov, 3, &f->chain), 1);
	assert_int_equal(f->chain.readable, 2);
	assert_int_equal(f->chain.writable, 1);
	assert_int_equal(f->chain.read_len, 40);
	assert_int_equal(f->chain.write_len, 17);
	assert_ptr_equal(f->iov[0].iov_base, ram(f, DATA));
	assert_int_equal(f->iov[0].iov_len, 32);
	assert_ptr_equal(f->iov[1].iov_base, ram(f, DATA + 40));
	assert_int_equal(f->iov[1].iov_len, 8);
	assert_ptr_equal(f->iov[2].iov_base, ram(f, DATA + 48));
	assert_int_equal(f->iov[2].iov_len, 17);
	virtq_push(&f->vq, 0, 0);
	/* One entry too few. */
	avail(f, 0);
	assert_int_equal(virtq_pop(&f->vq, f->iov, 2, &f->chain), -EBADMSG);
}

static void test_not_ram(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{0, 1},
		{RAM - 1, 1},
		{RAM - 1, 2},
		{RAM + RAM_SIZE, 1},
		{RAM + RAM_SIZE - 1, 2},
		{RAM, UINT32_MAX},
		{UINT64_MAX, 1},
		{UINT64_MAX, UINT32_MAX},
		{UINT64_MAX - 15, 16},
		{UINT64_C(1) << 63, 16},
	};
	struct fixture *f = *state;

	start(f, 4, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		desc(f, 0, DATA, 8, NEXT, 1);
		desc(f, 1, bad[i].addr, bad[i].len, NEXT | WRITE, 2);
		desc(f, 2, DATA + 8, 1, WRITE, 0);
		avail(f, 0);
		assert_int_equal(pop(f), 1);
		assert_true(f->chain.bad);
		assert_int_equal(f->chain.readable, 1);
		assert_int_equal(f->chain.writable, 2);
		assert_int_equal(f->chain.write_len, (uint64_t)bad[i].len + 1);
		assert_non_null(f->iov[0].iov_base);
		assert_null(f->iov[1].iov_base);
		assert_ptr_equal(f->iov[2].iov_base, ram(f, DATA + 8));
		virtq_push(&f->vq, 0, 0);
	}
	/* The next chain is none the worse. */
	desc(f, 0, DATA, 8, 0, 0);
	avail(f, 0);
	assert_int_equal(pop(f), 1);
	assert_false(f->chain.bad);
}

static void test_huge_lengths(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0);
	for (unsigned i = 0; i < 4; i++)
		desc(f, i, DATA, UINT32_MAX, WRITE | (i < 3 ? NEXT : 0u), i + 1);
	avail(f, 0);
	assert_int_equal(pop(f), 1);
	assert_true(f->chain.bad);
	assert_int_equal(f->chain.write_len, 4 * (uint64_t)UINT32_MAX);
}

static void test_zero_length(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0);
	for (unsigned i = 0; i < 4; i++)
		desc(f, i, 0, 0, i < 3 ? NEXT : 0, i + 1);
	avail(f, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.readable + f->chain.writable, 0);
	assert_false(f->chain.bad);
	virtq_push(&f->vq, 0, 0);
	/* They count as descriptors, and have a direction. */
	desc(f, 3, 0, 0, NEXT, 0);
	assert_int_equal(try_chain(f, 0), -EBADMSG);
	desc(f, 0, 0, 0, NEXT | WRITE, 1);
	desc(f, 1, 0, 0, 0, 0);
	assert_int_equal(try_chain(f, 0), -EBADMSG);
}

static void test_indirect(void **state)
{
	static const struct {
		uint32_t len;
		unsigned flags;
		int result;
	} cases[] = {
		{16, INDIRECT, 1},
		{16, INDIRECT | WRITE, 1}, /* WRITE is ignored */
		{64, INDIRECT, 1},
		{0, INDIRECT, -EBADMSG},
		{8, INDIRECT, -EBADMSG},
		{17, INDIRECT, -EBADMSG},
		{80, INDIRECT, -EBADMSG},
		{0xfffffff0, INDIRECT, -EBADMSG},
		{16, INDIRECT | NEXT, -EBADMSG},
	};
	struct fixture *f = *state;

	start(f, 4, 0);
	f->vq.indirect = true;
	desc_at(f, TABLE, DATA, 8, 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		desc(f, 0, TABLE, cases[i].len, cases[i].flags, 1);
		assert_int_equal(try_chain(f, 0), cases[i].result);
	}
	f->vq.indirect = false;
	desc(f, 0, TABLE, 16, INDIRECT, 0);
	assert_int_equal(try_chain(f, 0), -EBADMSG);
}

static void test_indirect_tables(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0);
	f->vq.indirect = true;
	/* An odd address will do. */
	desc(f, 0, TABLE + 3, 32, INDIRECT, 0);
	desc_at(f, TABLE + 3, DATA, 8, NEXT, 1);
	desc_at(f, TABLE + 3 + 16, DATA + 100, 8, WRITE, 0);
	assert_int_equal(try_chain(f, 0), 1);
	assert_int_equal(f->chain.readable, 1);
	assert_int_equal(f->chain.writable, 1);
	/* Nested; a next past the table; a loop in it. */
	desc_at(f, TABLE + 3, TABLE, 16, INDIRECT, 0);
	assert_int_equal(try_chain(f, 0), -EBADMSG);
	desc_at(f, TABLE + 3, DATA, 8, NEXT, 2);
	assert_int_equal(try_chain(f, 0), -EBADMSG);
	desc_at(f, TABLE + 3, DATA, 8, NEXT, 0);
	assert_int_equal(try_chain(f, 0), -EBADMSG);
	/* A table that is no RAM breaks that chain only. */
	desc(f, 0, RAM + RAM_SIZE - 16, 32, INDIRECT, 0);
	assert_int_equal(try_chain(f, 0), 1);
	assert_true(f->chain.bad);
	assert_int_equal(f->chain.readable + f->chain.writable, 0);
	desc(f, 0, UINT64_MAX - 15, 32, INDIRECT, 0);
	assert_int_equal(try_chain(f, 0), 1);
	assert_true(f->chain.bad);
	/* The longest chain: as many buffers as the queue has entries. */
	desc(f, 0, TABLE, 64, INDIRECT, 0);
	for (unsigned i = 0; i < 4; i++)
		desc_at(f, TABLE + 16ul * i, DATA + 100ul * i, 8, i < 3 ? NEXT : 0, i + 1);
	assert_int_equal(try_chain(f, 0), 1);
	assert_int_equal(f->chain.readable, 4);
	desc(f, 1, DATA, 1, NEXT, 0);
	assert_int_equal(try_chain(f, 1), -EBADMSG);
}

static void test_head_in_flight(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0);
	for (unsigned i = 0; i < 4; i++)
		desc(f, i, DATA, 1, 0, 0);
	avail(f, 2);
	assert_int_equal(pop(f), 1);
	avail(f, 2);
	assert_int_equal(pop(f), -EBADMSG);
	assert_int_equal(f->vq.in_flight, 1);
	virtq_push(&f->vq, 2, 0);
	assert_int_equal(pop(f), 1);
	/* What is not in flight is not given back. */
	virtq_push(&f->vq, 1, 0);
	virtq_push(&f->vq, 4, 0);
	virtq_push(&f->vq, 0xffff, 0);
	assert_int_equal(load_le16(ram(f, USED + 2)), 1);
	virtq_push(&f->vq, 2, 0);
	virtq_push(&f->vq, 2, 0);
	assert_int_equal(load_le16(ram(f, USED + 2)), 2);
	assert_int_equal(f->vq.in_flight, 0);
}

/* The driver never looks at used: there is no more in flight than there are heads. */
static void test_never_reaped(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0xfffe);
	for (unsigned i = 0; i < 4; i++) {
		desc(f, i, DATA, 1, 0, 0);
		avail(f, i);
		assert_int_equal(pop(f), 1);
	}
	assert_int_equal(f->vq.in_flight, 4);
	avail(f, 0);
	assert_int_equal(pop(f), -EBADMSG);
	assert_int_equal(f->vq.in_flight, 4);
}

static void test_not_ready(void **state)
{
	struct fixture *f = *state;
	uint8_t before[16];

	start(f, 4, 0);
	desc(f, 0, DATA, 1, 0, 0);
	avail(f, 0);
	assert_int_equal(pop(f), 1);
	memcpy(before, ram(f, USED), sizeof(before));
	virtq_stop(&f->vq);
	avail(f, 0);
	assert_int_equal(pop(f), 0);
	virtq_push(&f->vq, 0, 1);
	virtq_kicks_off(&f->vq);
	assert_false(virtq_kicks_on(&f->vq));
	assert_false(virtq_needs_interrupt(&f->vq));
	assert_memory_equal(before, ram(f, USED), sizeof(before));
	assert_int_equal(f->vq.st.desc, DESC);
	virtq_reset(&f->vq);
	assert_int_equal(f->vq.st.desc, 0);
	assert_int_equal(f->vq.st.size, 4);
	assert_int_equal(virtq_start(&f->vq, &f->mem), -EINVAL);
}

/* Takes everything that is available. Returns how many. */
static unsigned pop_all(struct fixture *f, uint16_t *ret_heads)
{
	unsigned n = 0;

	while (pop(f) == 1)
		ret_heads[n++] = f->chain.head;
	return n;
}

/* Several at once, in another order than taken, round both ends of the ring and of the index. */
static void test_push_all(void **state)
{
	static const uint16_t bases[] = {0, 2, 0x7fff, 0xfffd, 0xffff};
	static const struct virtq_used all[] = {{2, 20}, {0, 0}, {3, 30}, {1, UINT32_MAX}};
	struct fixture *f = *state;
	uint16_t heads[4];

	for (unsigned b = 0; b < ARRAY_SIZE(bases); b++) {
		start(f, 4, bases[b]);
		for (unsigned i = 0; i < 4; i++) {
			desc(f, i, DATA, 1, WRITE, 0);
			avail(f, i);
		}
		assert_int_equal(pop_all(f, heads), 4);
		virtq_push_all(&f->vq, all, 0);
		assert_int_equal(load_le16(ram(f, USED + 2)), bases[b]);
		virtq_push_all(&f->vq, all, 4);
		assert_int_equal(load_le16(ram(f, USED + 2)), (uint16_t)(bases[b] + 4));
		assert_int_equal(f->vq.in_flight, 0);
		for (unsigned i = 0; i < 4; i++) {
			const uint8_t *entry = ram(f, USED + 4 + 8ul * ((bases[b] + i) % 4));

			assert_int_equal(load_le32(entry), all[i].head);
			assert_int_equal(load_le32(entry + 4), all[i].written);
		}
		assert_true(virtq_needs_interrupt(&f->vq));
		assert_false(virtq_needs_interrupt(&f->vq));
	}
}

/* What is not in flight, or in flight no more, is left out; the others are given back. */
static void test_push_all_ignores(void **state)
{
	static const struct virtq_used used[] = {{1, 1}, {1, 2}, {3, 3}, {4, 4}, {0xffff, 5}, {0, 6}};
	struct fixture *f = *state;
	uint16_t heads[4];

	start(f, 4, 0);
	for (unsigned i = 0; i < 2; i++) {
		desc(f, i, DATA, 1, WRITE, 0);
		avail(f, i);
	}
	assert_int_equal(pop_all(f, heads), 2);
	virtq_push_all(&f->vq, used, ARRAY_SIZE(used));
	assert_int_equal(load_le16(ram(f, USED + 2)), 2);
	assert_int_equal(load_le32(ram(f, USED + 4)), 1);
	assert_int_equal(load_le32(ram(f, USED + 8)), 1);
	assert_int_equal(load_le32(ram(f, USED + 12)), 0);
	assert_int_equal(load_le32(ram(f, USED + 16)), 6);
	virtq_stop(&f->vq);
	virtq_push_all(&f->vq, used, 1);
	assert_int_equal(load_le16(ram(f, USED + 2)), 2);
}

/* Takes some, gives the first of them back as used and the rest as not taken: they come again, in order. */
static void test_unpop(void **state)
{
	static const uint16_t bases[] = {0, 3, 0xfffe, 0xffff};
	struct fixture *f = *state;
	uint16_t heads[4], again[4];

	for (unsigned b = 0; b < ARRAY_SIZE(bases); b++) {
		start(f, 4, bases[b]);
		for (unsigned i = 0; i < 4; i++) {
			desc(f, i, DATA, 1, WRITE, 0);
			avail(f, 3 - i);
		}
		assert_int_equal(pop_all(f, heads), 4);
		virtq_push(&f->vq, heads[0], 1);
		for (unsigned i = 4; i-- > 1;)
			virtq_unpop(&f->vq, heads[i]);
		assert_int_equal(f->vq.in_flight, 0);
		assert_int_equal(f->vq.st.next_avail, (uint16_t)(bases[b] + 1));
		assert_int_equal(f->vq.st.next_used, (uint16_t)(bases[b] + 1));
		assert_true(virtq_kicks_on(&f->vq));
		assert_int_equal(pop_all(f, again), 3);
		assert_memory_equal(again, heads + 1, 3 * sizeof(again[0]));
	}
}

static void test_unpop_ignores(void **state)
{
	struct fixture *f = *state;

	start(f, 4, 0);
	desc(f, 2, DATA, 1, WRITE, 0);
	avail(f, 2);
	assert_int_equal(pop(f), 1);
	virtq_unpop(&f->vq, 1);
	virtq_unpop(&f->vq, 4);
	virtq_unpop(&f->vq, 0xffff);
	assert_int_equal(f->vq.st.next_avail, 1);
	assert_int_equal(f->vq.in_flight, 1);
	virtq_push(&f->vq, 2, 0);
	virtq_unpop(&f->vq, 2);
	assert_int_equal(f->vq.st.next_avail, 1);
	assert_int_equal(f->vq.in_flight, 0);
	avail(f, 2);
	assert_int_equal(pop(f), 1);
	virtq_stop(&f->vq);
	virtq_unpop(&f->vq, 2);
	assert_int_equal(f->vq.st.next_avail, 2);
}

/* Others served the ring up to somewhere, wraps included: entries, used idx and interrupts go on there. */
static void test_go_on(void **state)
{
	static const uint16_t places[] = {5, 8, 0xfffe, 0};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		uint16_t at = places[i];

		start(f, 8, 0);
		desc(f, 3, DATA, 1, 0, 0);
		store_le16(ram(f, AVAIL + 2), at);
		store_le16(ram(f, USED + 2), at);
		virtq_go_on(&f->vq, at);
		assert_int_equal(pop(f), 0);
		assert_false(virtq_needs_interrupt(&f->vq));
		avail(f, 3);
		assert_int_equal(pop(f), 1);
		virtq_push(&f->vq, 3, 0);
		assert_int_equal(load_le16(ram(f, USED + 2)), (uint16_t)(at + 1));
		assert_int_equal(load_le32(ram(f, USED + 4 + 8ul * (at % 8))), 3);
		assert_true(virtq_needs_interrupt(&f->vq));
	}
	virtq_reset(&f->vq);
	virtq_go_on(&f->vq, 5);
	assert_int_equal(f->vq.st.next_avail, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_every_avail_idx),
		CASE(test_every_index),
		CASE(test_every_chain),
		CASE(test_used_event),
		CASE(test_no_interrupt_flag),
		CASE(test_kicks_by_event),
		CASE(test_kicks_by_flag),
		CASE(test_join),
		CASE(test_not_ram),
		CASE(test_huge_lengths),
		CASE(test_zero_length),
		CASE(test_indirect),
		CASE(test_indirect_tables),
		CASE(test_head_in_flight),
		CASE(test_never_reaped),
		CASE(test_not_ready),
		CASE(test_push_all),
		CASE(test_push_all_ignores),
		CASE(test_unpop),
		CASE(test_unpop_ignores),
		CASE(test_go_on),
	};

	return cmocka_run_group_tests_name("virtq", tests, NULL, NULL);
}
