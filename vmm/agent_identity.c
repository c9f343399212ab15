/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See agent_identity.h. */
#include "agent_identity.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "agent_frame.h"
#include "config_fields.h"
#include "hull/util.h"

enum {
	FRAMES = 6 + CONFIG_MAX_NETS,
	ORDER_BYTES = FRAMES * AGENT_HEADER + AGENT_MAX_HOSTNAME + AGENT_ID_DIGITS + AGENT_SEED_BYTES +
		      (int)sizeof(uint64_t) + CONFIG_MAX_NETS * (int)sizeof(struct agent_mac),
	TEXT_BYTES = AGENT_MAX_TEXT * 4 + 1,
};

enum talk_state { AWAITS_HELLO, AWAITS_ANSWER, ANSWERED };

/* One conversation. */
struct talk {
	int fd;
	uint64_t deadline_ns;
	enum talk_state state;
	struct agent_decoder decoder;
	int result;            /* once ANSWERED */
	char text[TEXT_BYTES]; /* of NOTE or FAILED; "": none */
};

/* ---- what is asked for ---- */

int agent_identity_make(struct agent_identity *ret_identity, const char *hostname)
{
	uint8_t id[AGENT_ID_DIGITS / 2];

	if (hostname && !config_is_name(hostname, AGENT_MAX_HOSTNAME))
		return -EINVAL;
	*ret_identity = (struct agent_identity){.set_clock = true};
	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id) ||
	    getrandom(ret_identity->seed, AGENT_SEED_BYTES, 0) != AGENT_SEED_BYTES)
		return errno ? -errno : -EIO;
	/* machine-id(5): a random UUID (RFC 9562, version 4), so that it is never zero either. */
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	for (unsigned i = 0; i < sizeof(id); i++)
		snprintf(ret_identity->machine_id + 2 * (size_t)i, 3, "%02x", id[i]);
	if (hostname)
		snprintf(ret_identity->hostname, sizeof(ret_identity->hostname), "%s", hostname);
	return 0;
}

static size_t put(uint8_t *to, enum agent_type type, const void *data, size_t len)
{
	agent_frame_header(to, type, (uint32_t)len);
	if (len > 0)
		memcpy(to + AGENT_HEADER, data, len);
	return AGENT_HEADER + len;
}

static size_t put_clock(uint8_t *to)
{
	struct timespec now;
	uint8_t body[sizeof(uint64_t)];

	clock_gettime(CLOCK_REALTIME, &now);
	store_le64(body, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	return put(to, AGENT_CLOCK, body, sizeof(body));
}

/* All frames, one behind the other: the time is that of now. */
static size_t make_order(const struct agent_identity *id, uint8_t to[static ORDER_BYTES])
{
	static const uint8_t no_seed[AGENT_SEED_BYTES];
	size_t len = 0;

	if (id->hostname[0])
		len += put(to + len, AGENT_HOSTNAME, id->hostname, strnlen(id->hostname, AGENT_MAX_HOSTNAME));
	if (id->machine_id[0])
		len += put(to + len, AGENT_MACHINE_ID, id->machine_id, AGENT_ID_DIGITS);
	if (memcmp(id->seed, no_seed, sizeof(no_seed)) != 0)
		len += put(to + len, AGENT_SEED, id->seed, AGENT_SEED_BYTES);
	for (unsigned i = 0; i < id->mac_count && i < CONFIG_MAX_NETS; i++)
		len += put(to + len, AGENT_MAC, &id->macs[i], sizeof(id->macs[i]));
	if (id->set_clock)
		len += put_clock(to + len);
	return len + put(to + len, AGENT_IDENTIFY, NULL, 0);
}

/* ---- the connection ---- */

/* 0, or -ETIMEDOUT. */
static int wait_for(const struct talk *t, short events)
{
	struct pollfd p = {.fd = t->fd, .events = events};

	for (;;) {
		const uint64_t now = monotonic_ns();
		const uint64_t left = t->deadline_ns > now ? t->deadline_ns - now : 0;
		const struct timespec ts = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
		const int n = left > 0 ? ppoll(&p, 1, &ts, NULL) : 0;

		/* Nothing more is taken from one who always has something to say. */
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

/* A connection that has ended is no error here: the answer may be in it, and else it is missed. */
static int send_order(const struct talk *t, const struct agent_identity *id)
{
	uint8_t order[ORDER_BYTES];
	const size_t len = make_order(id, order);
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < len) {
		const ssize_t n = send(t->fd, order + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			at += (size_t)n;
		else if (errno == EAGAIN)
			r = wait_for(t, POLLOUT);
		else if (errno != EINTR)
			break;
	}
	explicit_bzero(order, sizeof(order)); /* the seed is the guest's alone */
	return r;
}

/* ---- the answer ---- */

static int take_answer(struct talk *t, const struct agent_piece *p, struct err *err)
{
	const size_t skip = sizeof(struct agent_failed);

	if (p->type == AGENT_NOTE && !t->text[0]) {
		text_escape(t->text, sizeof(t->text), (const char *)p->data, p->len);
		return 0;
	}
	t->state = ANSWERED;
	if (p->type == AGENT_DONE) {
		t->result = t->text[0] ? 1 : 0;
		if (t->result > 0 && err)
			snprintf(err->msg, sizeof(err->msg), "%.*s", (int)sizeof(err->msg) - 1, t->text);
		return 0;
	}
	if (p->type != AGENT_FAILED)
		return err_set(err, -EPROTO,
			       "the agent in the guest does not keep to the protocol: a frame out of turn");
	text_escape(t->text, sizeof(t->text), (const char *)p->data + skip, p->len - skip);
	return err_set(err, -EREMOTEIO, "the guest cannot become another machine: %s", t->text);
}

static int take_piece(struct talk *t, const struct agent_piece *p, const struct agent_identity *id,
		      struct err *err)
{
	int r;

	if (t->state == ANSWERED)
		return 0;
	if (t->state == AWAITS_ANSWER)
		return take_answer(t, p, err);
	if (p->type != AGENT_HELLO)
		return err_set(err, -EPROTO,
			       "the agent in the guest does not keep to the protocol: it did not say hello");
	if (load_le32(p->data) != AGENT_VERSION)
		return err_set(err, -EPROTO, "the agent in the guest is of another version of hull");
	t->state = AWAITS_ANSWER;
	r = send_order(t, id);
	return r < 0 ? err_set(err, r, "the agent in the guest does not listen: %s", strerror(-r)) : 0;
}

static int take_bytes(struct talk *t, const uint8_t *p, size_t len, const struct agent_identity *id,
		      struct err *err)
{
	int r = 0;

	while (len > 0 && r == 0) {
		struct agent_piece piece;
		size_t used = 0;

		r = agent_decoder_take(&t->decoder, p, len, &piece, &used);
		if (r < 0)
			return err_set(
				err, -EPROTO,
				"the agent in the guest does not keep to the protocol: a frame that is none");
		p += used;
		len -= used;
		if (r > 0)
			r = take_piece(t, &piece, id, err);
	}
	return r;
}

static int ended(const struct talk *t, struct err *err)
{
	if (t->state == AWAITS_HELLO)
		return err_set(err, -ENOTCONN, "no agent answers in the guest");
	return err_set(
		err, -ECONNRESET,
		"the agent in the guest left without an answer: it is of a hull that cannot copy machines, or "
		"the guest has ended");
}

int agent_identify(int fd, const struct agent_identity *identity, uint64_t timeout_ns, struct err *err)
{
	struct talk t = {.fd = fd, .deadline_ns = monotonic_ns() + timeout_ns};
	uint8_t in[1024];

	while (t.state != ANSWERED) {
		ssize_t n;
		int r = wait_for(&t, POLLIN);

		if (r < 0)
			return err_set(err, r, "the agent in the guest does not answer: %s", strerror(-r));
		n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return ended(&t, err);
		r = n < 0 ? 0 : take_bytes(&t, in, (size_t)n, identity, err);
		if (r < 0)
			return r;
	}
	return t.result;
}
