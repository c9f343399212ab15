/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring walk under any driver: the input is a program of one-byte operations
 * with operands, on a queue in 12 KiB of RAM. Whatever a chain gives must be RAM;
 * what is beyond it has no access rights.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hull/mem.h"
#include "hull/util.h"
#include "hull/virtq.h"

enum {
	RAM = 0x1000, /* guest address */
	RAM_SIZE = 0x3000,
	MAX_SIZE = 64,
	CAP = 48,
	MAX_OPS = 4096,
};

struct target {
	struct guest_mem mem;
	struct virtq vq;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* A quick layout of `size` entries with room for data behind. */
static void start(struct target *t, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	virtq_reset(&t->vq);
	t->vq.event_idx = how & 1;
	t->vq.indirect = how & 2;
	t->vq.st.size = how & 4 ? fuzz_u16(in) : (uint16_t)(1u << (how >> 3) % 8);
	t->vq.st.desc = RAM;
	t->vq.st.driver = RAM + 0x400;
	t->vq.st.device = RAM + 0x500;
	if (how & 0x80) {
		t->vq.st.desc = RAM + fuzz_u16(in);
		t->vq.st.driver = RAM + fuzz_u16(in);
		t->vq.st.device = RAM + fuzz_u16(in);
	}
	t->vq.st.next_avail = fuzz_u16(in);
	t->vq.st.next_used = t->vq.st.next_avail;
	if (virtq_start(&t->vq, &t->mem) == 0) {
		uint8_t *avail = mem_ptr(&t->mem, t->vq.st.driver, 4);

		require(t->vq.st.size <= MAX_SIZE && (t->vq.st.size & (t->vq.st.size - 1)) == 0);
		store_le16(avail + 2, t->vq.st.next_avail);
	}
}

static void use_chain(const struct target *t, const struct iovec *iov, const struct virtq_chain *chain)
{
	uint64_t lens[2] = {0, 0};
	bool bad = false;

	require(chain->readable + chain->writable <= CAP &&
		chain->readable + chain->writable <= t->vq.st.size);
	for (unsigned i = 0; i < chain->readable + chain->writable; i++) {
		uint8_t *p = iov[i].iov_base;

		require(iov[i].iov_len > 0);
		lens[i >= chain->readable] += iov[i].iov_len;
		bad |= !p;
		if (!p)
			continue;
		require(iov[i].iov_len <= RAM_SIZE * (uint64_t)MAX_SIZE);
		(void)*(volatile uint8_t *)p;
		(void)*(volatile uint8_t *)(p + iov[i].iov_len - 1);
		if (i >= chain->readable)
			p[iov[i].iov_len - 1] ^= 1;
	}
	require(chain->read_len == lens[0] && chain->write_len == lens[1]);
	require(!bad || chain->bad);
}

static void take(struct target *t)
{
	struct iovec iov[CAP];
	struct virtq_chain chain;
	uint16_t before = t->vq.st.next_avail;
	int r = virtq_pop(&t->vq, iov, CAP, &chain);

	require(r == 1 ? t->vq.st.next_avail == (uint16_t)(before + 1) : t->vq.st.next_avail == before);
	require(r == 1 || r == 0 || r == -EBADMSG);
	require(t->vq.in_flight <= t->vq.st.size);
	if (r == 1)
		use_chain(t, iov, &chain);
}

/* Makes a head available as an honest driver would. */
static void make_available(struct target *t, uint16_t head)
{
	uint8_t *avail;
	uint16_t idx;

	if (!t->vq.st.ready)
		return;
	avail = mem_ptr(&t->mem, t->vq.st.driver, 4);
	idx = load_le16(avail + 2);
	store_le16(avail + 4 + 2ul * (idx & (t->vq.st.size - 1u)), head);
	store_le16(avail + 2, (uint16_t)(idx + 1));
}

/* A descriptor of the table, mostly with plausible values. */
static void write_desc(struct target *t, struct fuzz_input *in)
{
	uint8_t *p = mem_ptr(&t->mem, RAM + fuzz_u8(in) % MAX_SIZE * 16ul, 16);

	store_le64(p, RAM + fuzz_u16(in));
	store_le32(p + 8, fuzz_u16(in));
	store_le16(p + 12, fuzz_u8(in));
	store_le16(p + 14, fuzz_u8(in));
}

static void write_ram(struct target *t, struct fuzz_input *in)
{
	uint16_t off = fuzz_u16(in) % RAM_SIZE;
	size_t len = min_u64(fuzz_u8(in), RAM_SIZE - off);

	fuzz_bytes(in, mem_ptr(&t->mem, RAM + off, len), len);
}

static void step(struct target *t, struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 9) {
	case 0:
		start(t, in);
		break;
	case 1:
		write_desc(t, in);
		break;
	case 2:
		make_available(t, fuzz_u8(in));
		break;
	case 3:
		take(t);
		break;
	case 4:
		virtq_push(&t->vq, fuzz_u8(in), fuzz_u16(in));
		break;
	case 5:
		virtq_needs_interrupt(&t->vq);
		break;
	case 6:
		virtq_kicks_off(&t->vq);
		break;
	case 7:
		virtq_kicks_on(&t->vq);
		break;
	case 8:
		write_ram(t, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct target t; /* RAM stays mapped from one input to the next */
	struct fuzz_input in = {.data = data, .left = size};

	if (!t.mem.count && mem_add_ram(&t.mem, RAM, RAM_SIZE, NULL) < 0)
		abort();
	memset(mem_ptr(&t.mem, RAM, RAM_SIZE), 0, RAM_SIZE);
	t.vq = (struct virtq){.max_size = MAX_SIZE};
	virtq_reset(&t.vq);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		step(&t, &in);
	return 0;
}
