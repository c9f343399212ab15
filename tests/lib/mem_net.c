/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network back end in memory; see mem_net.h. */
#include "mem_net.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"

static struct mem_net *to_mem(struct net_backend *b)
{
	return container_of(b, struct mem_net, backend);
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool is_telling(const struct mem_net *m, unsigned pair)
{
	if (!m->listening[pair])
		return false;
	for (unsigned i = m->inbox_first; i < m->inbox_end; i++) {
		if (m->inbox[i].pair == pair)
			return true;
	}
	return false;
}

static void tell_later(struct mem_net *m)
{
	if (m->loop)
		loop_post(m->loop, &m->task);
}

static void tell(struct loop_task *task)
{
	struct mem_net *m = container_of(task, struct mem_net, task);

	for (unsigned p = 0; p < m->backend.pairs; p++) {
		const struct net_client *client = m->backend.client;

		if (client && m->writable_due[p]) {
			m->writable_due[p] = false;
			client->writable(client->arg, p);
		}
		if (client && is_telling(m, p)) {
			m->tells++;
			client->readable(client->arg, p);
		}
	}
	for (unsigned p = 0; p < m->backend.pairs; p++) {
		if (m->backend.client && is_telling(m, p))
			tell_later(m);
	}
}

/* ---- from the device ---- */

static uint64_t gather(const struct iovec *iov, unsigned count, uint8_t *buf)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		check(iov[i].iov_base && iov[i].iov_len <= NET_MAX_PACKET - len);
		memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

/* What the kernel believes of a header, and what it answers with EINVAL. */
static void check_header(const struct mem_net *m, const uint8_t *packet, uint64_t len)
{
	struct virtio_net_hdr_v1 h;

	memcpy(&h, packet, sizeof(h));
	check(len >= NET_HDR_BYTES + 14);
	len -= NET_HDR_BYTES;
	check(!(h.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM));
	if (h.flags) {
		check(m->features & UINT64_C(1) << VIRTIO_NET_F_CSUM);
		check((uint64_t)h.csum_start + h.csum_offset + 2 <= len);
	}
	check(h.hdr_len <= len);
	check(h.gso_type == VIRTIO_NET_HDR_GSO_NONE || h.gso_size);
}

static int mem_send(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count)
{
	static uint8_t buf[NET_MAX_PACKET];
	struct mem_net *m = to_mem(b);
	struct mem_net_packet *p = &m->sent[m->sent_count];
	uint64_t len;

	check(pair < m->pairs && count > 0 && iov[0].iov_len == NET_HDR_BYTES);
	if (m->send_error)
		return m->send_error;
	if (m->room == 0) {
		m->writable_due[pair] = true;
		return -EAGAIN;
	}
	m->room--;
	m->taken++;
	len = gather(iov, count, buf);
	check_header(m, buf, len);
	if (m->sent_count < MEM_NET_SENT && !m->forget) {
		*p = (struct mem_net_packet){.pair = pair, .len = (uint32_t)len, .data = malloc(len)};
		check(p->data);
		memcpy(p->data, buf, len);
		m->sent_count++;
	}
	return 0;
}

static void mem_commit(struct net_backend *b, unsigned pair)
{
	struct mem_net *m = to_mem(b);

	(void)pair;
	m->commits++;
	m->taken = 0;
}

/* As readv(2): what finds no room is lost. */
static uint32_t scatter(const struct iovec *iov, unsigned count, const uint8_t *data, uint32_t len)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t n = min_u64(iov[i].iov_len, len - done);

		check(iov[i].iov_base);
		memcpy(iov[i].iov_base, data + done, n);
		done += (uint32_t)n;
	}
	return done;
}

static void remove_packet(struct mem_net *m, unsigned i)
{
	free(m->inbox[i].data);
	memmove(&m->inbox[m->inbox_first + 1], &m->inbox[m->inbox_first],
		(i - m->inbox_first) * sizeof(m->inbox[0]));
	m->inbox_first++;
}

static ssize_t mem_receive(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count)
{
	struct mem_net *m = to_mem(b);

	check(pair < m->pairs && count > 0 && count <= 1024);
	m->receives++;
	if (m->receive_error)
		return m->receive_error;
	for (unsigned i = m->inbox_first; i < m->inbox_end; i++) {
		uint32_t n;

		if (m->inbox[i].pair != pair)
			continue;
		n = scatter(iov, count, m->inbox[i].data, m->inbox[i].len);
		remove_packet(m, i);
		return n;
	}
	return -EAGAIN;
}

static void mem_listen(struct net_backend *b, unsigned pair, bool on)
{
	struct mem_net *m = to_mem(b);

	m->listening[pair] = on;
	if (is_telling(m, pair))
		tell_later(m);
}

static void mem_set_features(struct net_backend *b, uint64_t features)
{
	struct mem_net *m = to_mem(b);

	m->features = features;
	m->features_set++;
}

static int mem_set_pairs(struct net_backend *b, unsigned pairs)
{
	struct mem_net *m = to_mem(b);

	check(pairs >= 1 && pairs <= b->pairs);
	if (m->pairs_error)
		return m->pairs_error;
	m->pairs = pairs;
	return 0;
}

static void mem_close(struct net_backend *b)
{
	(void)b;
}

/* ---- for tests ---- */

void mem_net_init(struct mem_net *m, unsigned pairs)
{
	static const struct net_ops ops = {
		.send = mem_send,
		.commit = mem_commit,
		.receive = mem_receive,
		.listen = mem_listen,
		.set_features = mem_set_features,
		.set_pairs = mem_set_pairs,
		.close = mem_close,
	};

	memset(m, 0, sizeof(*m));
	m->task.run = tell;
	m->room = UINT32_MAX;
	m->pairs = 1;
	m->backend = (struct net_backend){.ops = &ops, .pairs = pairs, .link_up = true};
}

void mem_net_clear(struct mem_net *m)
{
	for (unsigned i = 0; i < m->sent_count; i++)
		free(m->sent[i].data);
	m->sent_count = 0;
}

void mem_net_finish(struct mem_net *m)
{
	mem_net_clear(m);
	for (unsigned i = m->inbox_first; i < m->inbox_end; i++)
		free(m->inbox[i].data);
	m->inbox_first = 0;
	m->inbox_end = 0;
}

void mem_net_arrive(struct mem_net *m, unsigned pair, const void *packet, uint32_t len)
{
	struct mem_net_packet *p;

	if (m->inbox_end == MEM_NET_INBOX) {
		memmove(m->inbox, m->inbox + m->inbox_first,
			(m->inbox_end - m->inbox_first) * sizeof(m->inbox[0]));
		m->inbox_end -= m->inbox_first;
		m->inbox_first = 0;
	}
	check(m->inbox_end < MEM_NET_INBOX);
	p = &m->inbox[m->inbox_end++];
	*p = (struct mem_net_packet){.pair = pair, .len = len, .data = malloc(len)};
	check(p->data);
	memcpy(p->data, packet, len);
	if (is_telling(m, pair))
		tell_later(m);
}

void mem_net_flood(struct mem_net *m, unsigned pair, const void *packet, uint32_t len, unsigned count)
{
	while (count-- > 0)
		mem_net_arrive(m, pair, packet, len);
}

void mem_net_let_go(struct mem_net *m, unsigned room)
{
	m->room = room;
	tell_later(m);
}

void mem_net_link(struct mem_net *m, bool up)
{
	const struct net_client *client = m->backend.client;

	m->backend.link_up = up;
	loop_lock(m->loop);
	if (client)
		client->link(client->arg, up);
	loop_unlock(m->loop);
}
