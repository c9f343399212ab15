/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One FUSE request in a chain (virtio 1.2, 5.11.6):
 *
 *	read by us       struct fuse_in_header, a struct of the opcode, names or data
 *	written by us    struct fuse_out_header, a struct of the opcode or data
 *
 * The header is copied once. Of the rest each byte is copied once, too, or goes straight between guest memory
 * and a file. Nothing is believed about how the driver cut the chain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"
#include "session.h"

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- bytes ---- */

/* Skips `len` bytes, that are there. */
static void skip(struct iovec **iov, unsigned *count, size_t len)
{
	while (len > 0) {
		size_t n = min_size(len, (*iov)->iov_len);

		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
		len -= n;
		if ((*iov)->iov_len == 0) {
			(*iov)++;
			(*count)--;
		}
	}
}

int request_take(struct request *r, void *dst, size_t len)
{
	uint8_t *to = dst;

	if (len > r->in_left)
		return -EINVAL;
	r->in_left -= len;
	while (len > 0) {
		size_t n = min_size(len, r->in_iov->iov_len);

		memcpy(to, r->in_iov->iov_base, n);
		skip(&r->in_iov, &r->in_count, n);
		to += n;
		len -= n;
	}
	return 0;
}

/* Copies without taking: the bytes may be others when they are taken. Returns how many. */
static size_t peek(const struct request *r, void *dst, size_t len)
{
	uint8_t *to = dst;
	size_t done = 0;

	len = min_size(len, r->in_left);
	for (unsigned i = 0; done < len; i++) {
		size_t n = min_size(len - done, r->in_iov[i].iov_len);

		memcpy(to + done, r->in_iov[i].iov_base, n);
		done += n;
	}
	return done;
}

int request_take_string(struct request *r, char *dst, size_t cap)
{
	size_t n = peek(r, dst, cap);
	const char *end = memchr(dst, '\0', n);
	size_t len;

	if (!end)
		return n == cap ? -ENAMETOOLONG : -EINVAL;
	len = (size_t)(end - dst) + 1;
	r->in_left -= len;
	skip(&r->in_iov, &r->in_count, len);
	return 0;
}

int request_add(struct request *r, const void *src, size_t len)
{
	if (len > sizeof(r->reply) - r->reply_len || len > r->out_room - r->reply_len - r->data_len)
		return -EINVAL;
	memcpy(r->reply + r->reply_len, src, len);
	r->reply_len += len;
	return 0;
}

/* At most `cap` entries for `len` bytes of `from` behind its first `off`, which is inside. */
static unsigned slice(const struct iovec *from, unsigned count, size_t off, struct iovec *iov, unsigned cap,
		      size_t len, size_t *ret_len)
{
	unsigned n = 0;

	*ret_len = 0;
	for (unsigned i = 0; i < count && n < cap && len > 0; i++) {
		size_t part;

		if (off >= from[i].iov_len) {
			off -= from[i].iov_len;
			continue;
		}
		part = min_size(len, from[i].iov_len - off);
		iov[n++] = (struct iovec){.iov_base = (uint8_t *)from[i].iov_base + off, .iov_len = part};
		off = 0;
		len -= part;
		*ret_len += part;
	}
	return n;
}

unsigned request_in_data(const struct request *r, struct iovec *iov, unsigned cap, size_t len,
			 size_t *ret_len)
{
	return slice(r->in_iov, r->in_count, 0, iov, cap, min_size(len, r->in_left), ret_len);
}

unsigned request_out_data(const struct request *r, struct iovec *iov, unsigned cap, size_t len,
			  size_t *ret_len)
{
	size_t used = r->reply_len + r->data_len;

	return slice(r->out_iov, r->out_count, used, iov, cap, min_size(len, r->out_room - used), ret_len);
}

/* Copies to `iov` behind its first `off` bytes; there is room. */
static void store(const struct iovec *iov, unsigned count, size_t off, const void *src, size_t len)
{
	const uint8_t *from = src;

	for (unsigned i = 0; i < count && len > 0; i++) {
		size_t n;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		n = min_size(len, iov[i].iov_len - off);
		memcpy((uint8_t *)iov[i].iov_base + off, from, n);
		off = 0;
		from += n;
		len -= n;
	}
}

int request_put(struct request *r, const void *src, size_t len)
{
	size_t used = r->reply_len + r->data_len;

	if (len > r->out_room - used)
		return -EINVAL;
	store(r->out_iov, r->out_count, used, src, len);
	r->data_len += len;
	return 0;
}

/* ---- answers ---- */

/* The chain goes back, with an answer unless nothing is said. */
static void answer(struct fs *fs, struct call *call, int result, bool no_reply)
{
	struct fs_queue *q = &fs->queues[call->r.queue];
	struct request *r = &call->r;
	struct fuse_out_header out = {.unique = r->in.unique, .error = result};
	uint32_t written = 0;

	if (call->can_reply && !no_reply) {
		if (result < 0)
			r->reply_len = r->data_len = 0;
		out.len = (uint32_t)(sizeof(out) + r->reply_len + r->data_len);
		store(r->out_iov, r->out_count, 0, r->reply, r->reply_len);
		store(call->header, call->header_parts, 0, &out, sizeof(out));
		written = out.len;
	}
	virtq_push(&q->vq, call->head, written);
	queue_interrupt(q);
}

void request_finish(struct fs *fs, struct request *r, int result)
{
	struct call *call = container_of(r, struct call, r);
	struct fs_queue *q = &fs->queues[r->queue];

	answer(fs, call, result, false);
	free(call);
	queue_later_done(q);
}

/* The array that the chain's bytes are in is for the next request. */
static void forget_bytes(struct request *r)
{
	r->in_count = 0;
	r->in_left = 0;
	r->out_count = 0;
	r->out_room = 0;
}

/* The request stays, without the chain's bytes. */
static void keep(struct fs *fs, struct call *call)
{
	struct request *r = &call->r;

	forget_bytes(r);
	fs->queues[r->queue].later++;
	fs->call = fs->spare;
	fs->spare = NULL;
}

/* Takes the answer's header off the writable part. */
static void take_header_room(struct call *call, uint64_t write_len)
{
	struct request *r = &call->r;
	size_t got;

	call->can_reply = write_len >= sizeof(struct fuse_out_header);
	if (!call->can_reply)
		return;
	call->header_parts = slice(r->out_iov, r->out_count, 0, call->header, FS_HEADER_PARTS,
				   sizeof(struct fuse_out_header), &got);
	skip(&r->out_iov, &r->out_count, sizeof(struct fuse_out_header));
	r->out_room = (size_t)(write_len - sizeof(struct fuse_out_header));
}

void request_pause(struct request *r)
{
	struct call *call = container_of(r, struct call, r);

	call->can_reply = false;
	call->header_parts = 0;
}

int request_resume(struct fs *fs, struct request *r)
{
	struct call *call = container_of(r, struct call, r);
	struct virtq_chain chain;
	int result = virtq_retake(&fs->queues[r->queue].vq, call->head, fs->iov, VIRTQ_MAX_SIZE, &chain);

	if (result <= 0)
		return -EBADMSG;
	r->out_iov = fs->iov + chain.readable;
	r->out_count = chain.writable;
	if (!chain.bad)
		take_header_room(call, chain.write_len);
	forget_bytes(r);
	return 0;
}

uint16_t request_head(const struct request *r)
{
	return container_of(r, const struct call, r)->head;
}

struct request *request_put_off(struct fs *fs, unsigned queue, uint16_t head, uint64_t unique,
				uint64_t nodeid)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->head = head;
	call->r.queue = queue;
	call->r.in.opcode = FUSE_SETLKW;
	call->r.in.unique = unique;
	call->r.in.nodeid = nodeid;
	fs->queues[queue].later++;
	return &call->r;
}

static int run(struct fs *fs, struct call *call, const struct virtq_chain *chain, bool *ret_no_reply)
{
	struct request *r = &call->r;

	*ret_no_reply = chain->bad;
	if (chain->bad || request_take(r, &r->in, sizeof(r->in)) < 0) {
		/* Nobody knows what it was: the chain goes back empty. */
		*ret_no_reply = true;
		return 0;
	}
	if (!fs->spare)
		fs->spare = malloc(sizeof(*fs->spare));
	if (!fs->spare)
		return -ENOMEM;
	if (r->in.len != chain->read_len || r->in.total_extlen != 0)
		return -EINVAL;
	return table_run(fs, r, ret_no_reply);
}

int call_next(struct fs *fs, struct fs_queue *q)
{
	struct call *call = fs->call;
	struct request *r = &call->r;
	struct virtq_chain chain;
	bool no_reply;
	int result = virtq_pop(&q->vq, fs->iov, VIRTQ_MAX_SIZE, &chain);

	if (result <= 0)
		return result;
	fs->requests++;
	r->queue = q->index;
	r->in = (struct fuse_in_header){0};
	r->in_iov = fs->iov;
	r->in_count = chain.readable;
	r->in_left = chain.read_len;
	r->out_iov = fs->iov + chain.readable;
	r->out_count = chain.writable;
	r->out_room = 0;
	r->reply_len = 0;
	r->data_len = 0;
	call->head = chain.head;
	call->header_parts = 0;
	if (chain.bad)
		call->can_reply = false;
	else
		take_header_room(call, chain.write_len);
	result = run(fs, call, &chain, &no_reply);
	if (result == FS_LATER)
		keep(fs, call);
	else
		answer(fs, call, result, no_reply);
	return 1;
}
