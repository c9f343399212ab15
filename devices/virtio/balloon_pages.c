/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The balloon: pages of the guest whose memory goes back to the host; see balloon.h.
 *
 * Page numbers are sorted in batches, so that neighbours go by one call. Pages outside RAM,
 * and those with rings of this device, stay as they are.
 */
#include "balloon.h"

#include <stdlib.h>

#include "hull/util.h"
#include "iov.h"

enum {
	PFN_BYTES = 4,
	/* Page numbers sorted at once. From 1 KiB on the C library's qsort() wants to know how much memory
	 * the host has, and sysinfo(2) is not permitted. */
	BATCH = 255,

	WORK_SHIFT = 16,  /* bytes of free pages to units of work */
	CHUNK = 16 << 20, /* bytes that go back by one call */
};

static bool overlap(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return b && a < b + b_len && b < a + a_len;
}

/* True when a ring of this device lies in [p, p + len): there the device would lose its own way. */
static bool has_ring(const struct balloon *b, const uint8_t *p, size_t len)
{
	for (unsigned q = 0; q < BALLOON_ROLES; q++) {
		const struct virtq *vq = &b->dev.queues[q].vq;
		const size_t n = vq->st.size;

		/* Descriptors of 16 bytes, entries of 2 and of 8, and 6 bytes around these (2.7). */
		if (overlap(p, len, vq->desc, 16 * n) || overlap(p, len, vq->avail, 6 + 2 * n) ||
		    overlap(p, len, vq->used, 6 + 8 * n))
			return true;
	}
	return false;
}

/* Pages in RAM, one after the other. */
struct run {
	uint8_t *start;
	uint64_t len;
};

static void give_back(struct balloon *b, const struct run *run)
{
	if (run->len)
		(void)mem_discard_ptr(b->dev.env.mem, run->start, run->len); /* else it stays as it is */
}

/* ---- inflating ---- */

static int compare_pfns(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void inflate_batch(struct balloon *b, uint32_t *pfns, unsigned n)
{
	struct run run = {.start = NULL};
	bool outside = false;

	qsort(pfns, n, sizeof(*pfns), compare_pfns);
	for (unsigned i = 0; i < n; i++) {
		uint64_t gpa = (uint64_t)pfns[i] << VIRTIO_BALLOON_PFN_SHIFT;
		uint8_t *p = mem_ptr(b->dev.env.mem, gpa, BALLOON_PAGE);

		outside |= !p;
		if (!p || (i > 0 && pfns[i] == pfns[i - 1]) || has_ring(b, p, BALLOON_PAGE))
			continue;
		if (run.len && p == run.start + run.len) {
			run.len += BALLOON_PAGE;
			continue;
		}
		give_back(b, &run);
		run = (struct run){p, BALLOON_PAGE};
	}
	give_back(b, &run);
	if (outside && b->dev.env.log)
		log_guest(b->dev.env.log, &b->limit, "virtio-balloon: the guest gave pages that are no RAM");
}

/* There are no more pages to give than RAM has. */
bool balloon_inflate(struct balloon *b, const struct virtq_chain *chain, uint64_t *done)
{
	const uint64_t most = mem_size(b->dev.env.mem) / BALLOON_PAGE * PFN_BYTES;
	const uint64_t end = align_down(min_u64(chain->read_len, most), PFN_BYTES);
	uint32_t pfns[BATCH];

	while (*done < end) {
		const size_t len = min_u64(end - *done, sizeof(pfns));

		if (b->work <= 0)
			return false;
		iov_fetch(b->iov, *done, pfns, len);
		inflate_batch(b, pfns, (unsigned)(len / PFN_BYTES));
		*done += len;
		b->work -= (int64_t)(len / PFN_BYTES);
	}
	return true;
}

/* ---- free pages ---- */

static uint8_t *page_up(uint8_t *p)
{
	return p + (-(uintptr_t)p & (BALLOON_PAGE - 1));
}

/* The whole pages of [p, p + len) from `skip` on, up to CHUNK; *ret_next is where the next time begins. */
static struct run next_run(uint8_t *p, uint64_t len, uint64_t skip, uint64_t *ret_next)
{
	uint8_t *start = page_up(p + skip);
	uint8_t *end = p + len - ((uintptr_t)(p + len) & (BALLOON_PAGE - 1));
	uint64_t pages = end > start ? (uint64_t)(end - start) : 0;

	*ret_next = len;
	if (pages > CHUNK) {
		/* As much less as makes the next one begin with a huge page. */
		pages = CHUNK - ((uintptr_t)(start + CHUNK) & (MEM_ALIGN - 1));
		*ret_next = (uint64_t)(start + pages - p);
	}
	return (struct run){start, pages};
}

/* No more bytes than RAM has: the rest would be named twice. */
bool balloon_free_pages(struct balloon *b, const struct virtq_chain *chain, uint64_t *done,
			uint64_t *ret_bytes)
{
	const uint64_t most = mem_size(b->dev.env.mem);
	uint64_t before = 0; /* bytes of the entries before this one */

	*ret_bytes = 0;
	for (unsigned i = chain->readable; i < chain->readable + chain->writable; i++) {
		const struct iovec *v = &b->iov[i];

		while (*done < most && *done - before < v->iov_len) {
			uint64_t next;
			struct run run = next_run(v->iov_base, v->iov_len, *done - before, &next);

			if (b->work <= 0)
				return false;
			if (!has_ring(b, run.start, run.len)) {
				give_back(b, &run);
				*ret_bytes += run.len;
			}
			*done = before + next;
			b->work -= 1 + (int64_t)(run.len >> WORK_SHIFT);
		}
		before += v->iov_len;
	}
	return true;
}
