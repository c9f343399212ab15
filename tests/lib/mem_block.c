/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block back end in memory; see mem_block.h. */
#include "mem_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"

static struct mem_block *to_mem(struct block_backend *b)
{
	return container_of(b, struct mem_block, backend);
}

static void append(struct block_request **list, struct block_request *req)
{
	while (*list)
		list = &(*list)->next;
	req->next = NULL;
	*list = req;
}

static struct block_request *take(struct block_request **list)
{
	struct block_request *req = *list;

	if (req)
		*list = req->next;
	return req;
}

static void mem_submit(struct block_backend *b, struct block_request *req)
{
	struct mem_block *m = to_mem(b);

	if (m->call_count < MEM_BLOCK_CALLS)
		m->calls[m->call_count] = (struct mem_block_call){req->op, req->offset, req->len, req->unmap};
	m->call_count++;
	m->count[req->op]++;
	m->in_flight++;
	append(&m->submitted, req);
}

/* Copies between the disk and all of the request's iov, which must be `len` bytes. */
static int transfer(struct mem_block *m, const struct block_request *req)
{
	uint8_t *p = m->data + req->offset;
	uint64_t left = req->len;

	for (unsigned i = 0; i < req->iov_count; i++) {
		if (req->iov[i].iov_len > left || !req->iov[i].iov_base)
			abort(); /* the device broke the contract */
		if (req->op == BLOCK_READ)
			memcpy(req->iov[i].iov_base, p, req->iov[i].iov_len);
		else
			memcpy(p, req->iov[i].iov_base, req->iov[i].iov_len);
		p += req->iov[i].iov_len;
		left -= req->iov[i].iov_len;
	}
	if (left)
		abort();
	return 0;
}

static int perform(struct mem_block *m, const struct block_request *req)
{
	if (m->fail_count[req->op]) {
		m->fail_count[req->op]--;
		return m->fail_with[req->op];
	}
	if (req->op == BLOCK_FLUSH)
		return 0;
	if (!range_fits(req->offset, req->len, m->backend.size) || (req->offset | req->len) % 512)
		abort(); /* the device let through what it must not */
	if (m->backend.read_only && req->op != BLOCK_READ)
		abort();
	if (req->op == BLOCK_READ || req->op == BLOCK_WRITE)
		return transfer(m, req);
	memset(m->data + req->offset, 0, req->len);
	return 0;
}

static unsigned end(struct mem_block *m, struct block_request **list, unsigned max)
{
	struct block_request *req;
	unsigned n = 0;

	while (n < max && (req = take(list)) != NULL) {
		m->in_flight--;
		n++;
		req->done(req, perform(m, req));
		if (m->on_done)
			m->on_done(m->on_done_arg);
	}
	return n;
}

static void tell_batch(struct mem_block *m, unsigned n)
{
	if (n && m->backend.batch_done)
		m->backend.batch_done(m->backend.batch_arg);
}

static void mem_commit(struct block_backend *b)
{
	struct mem_block *m = to_mem(b);
	unsigned n = 0;

	if (m->running || !m->submitted)
		return;
	m->commits++;
	if (m->hold) {
		while (m->submitted)
			append(&m->held, take(&m->submitted));
		return;
	}
	m->running = true;
	n = end(m, &m->submitted, UINT32_MAX);
	m->running = false;
	tell_batch(m, n);
}

unsigned mem_block_release(struct mem_block *m, unsigned max)
{
	unsigned n = end(m, &m->held, max);

	tell_batch(m, n);
	return n;
}

static void mem_drain(struct block_backend *b)
{
	struct mem_block *m = to_mem(b);

	m->hold = false;
	while (m->held || m->submitted) {
		mem_block_release(m, UINT32_MAX);
		mem_commit(b);
	}
}

static void mem_close(struct block_backend *b)
{
	(void)b;
}

void mem_block_init(struct mem_block *m, uint64_t size)
{
	static const struct block_ops ops = {
		.submit = mem_submit, .commit = mem_commit, .drain = mem_drain, .close = mem_close};

	memset(m, 0, sizeof(*m));
	m->data = calloc(1, size);
	if (!m->data)
		abort();
	m->backend = (struct block_backend){
		.ops = &ops, .size = size, .can_discard = true, .block_size = 512, .physical_size = 4096};
}

void mem_block_finish(struct mem_block *m)
{
	free(m->data);
	m->data = NULL;
}

void mem_block_fail(struct mem_block *m, enum block_op op, unsigned times, int result)
{
	m->fail_count[op] = times;
	m->fail_with[op] = result;
}
