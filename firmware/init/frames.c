/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See frames.h. */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t load_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store_u32(uint8_t *p, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

static bool length_fits(uint32_t type, uint32_t len)
{
	switch (type) {
	case AGENT_ARG:
		return len <= AGENT_MAX_WORD;
	case AGENT_ENV:
		return len >= 1 && len <= AGENT_MAX_WORD;
	case AGENT_USER:
		return len >= 1 && len <= AGENT_MAX_TEXT;
	case AGENT_DIR:
		return len >= 1 && len <= AGENT_MAX_PATH;
	case AGENT_RUN:
		return len == sizeof(struct agent_run);
	case AGENT_STDIN:
		return len <= AGENT_MAX_DATA;
	case AGENT_STDIN_END:
		return len == 0;
	case AGENT_RESIZE:
		return len == sizeof(struct agent_size);
	case AGENT_SIGNAL:
	case AGENT_CLOSED:
		return len == 4;
	case AGENT_HOSTNAME:
		return len >= 1 && len <= AGENT_MAX_HOSTNAME;
	case AGENT_MACHINE_ID:
		return len == AGENT_ID_DIGITS;
	case AGENT_SEED:
		return len >= 1 && len <= AGENT_MAX_SEED;
	case AGENT_CLOCK:
		return len == sizeof(uint64_t);
	case AGENT_MAC:
		return len == sizeof(struct agent_mac);
	case AGENT_IDENTIFY:
		return len == 0;
	default:
		return false;
	}
}

int frame_next(const uint8_t *buf, size_t have, struct frame *ret)
{
	struct frame frame;

	if (have < AGENT_HEADER)
		return 0;
	frame.type = load_u32(buf);
	frame.len = load_u32(buf + 4);
	frame.data = buf + AGENT_HEADER;
	if (!length_fits(frame.type, frame.len))
		return -EPROTO;
	if (have - AGENT_HEADER < frame.len)
		return 0;
	*ret = frame;
	return 1;
}

uint32_t frame_u32(const struct frame *frame, size_t at)
{
	return load_u32(frame->data + at);
}

struct agent_size frame_size(const struct frame *frame, size_t at)
{
	const uint8_t *p = frame->data + at;

	return (struct agent_size){.rows = (uint16_t)(p[0] | p[1] << 8),
				   .cols = (uint16_t)(p[2] | p[3] << 8)};
}

size_t frame_put(uint8_t *to, uint32_t type, const void *data, uint32_t len)
{
	store_u32(to, type);
	store_u32(to + 4, len);
	if (data && len > 0)
		memcpy(to + AGENT_HEADER, data, len);
	return AGENT_HEADER + (data ? len : 0);
}

size_t frame_put_u32(uint8_t *to, uint32_t type, uint32_t value)
{
	uint8_t bytes[4];

	store_u32(bytes, value);
	return frame_put(to, type, bytes, sizeof(bytes));
}

/* ---- what is to be run ---- */

static int copy_word(const struct frame *frame, char **ret)
{
	char *word;

	if (frame->len > 0 && memchr(frame->data, '\0', frame->len))
		return -EPROTO;
	word = malloc((size_t)frame->len + 1);
	if (!word)
		return -ENOMEM;
	memcpy(word, frame->data, frame->len);
	word[frame->len] = '\0';
	*ret = word;
	return 0;
}

/* The list has room for a NULL after its last word. */
static int add_word(struct request *request, char ***list, unsigned *count, const struct frame *frame)
{
	char **more;
	int r;

	if (request->arg_count + request->env_count >= AGENT_MAX_WORDS)
		return -EPROTO;
	if (request->too_long || request->bytes + frame->len + 1 > REQUEST_MAX) {
		request->too_long = true;
		return 0;
	}
	more = realloc(*list, (*count + 2) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	*list = more;
	r = copy_word(frame, &more[*count]);
	if (r < 0) {
		more[*count] = NULL;
		return r;
	}
	more[++*count] = NULL;
	request->bytes += frame->len + 1;
	return 0;
}

static int take_run(struct request *request, const struct frame *frame)
{
	uint32_t flags = frame_u32(frame, 0);

	if (flags & ~(uint32_t)(AGENT_TTY | AGENT_MAIN | AGENT_TRY_DIR) || request->arg_count == 0)
		return -EPROTO;
	request->run.flags = flags;
	request->run.size = frame_size(frame, 4);
	return 1;
}

int request_take(struct request *request, const struct frame *frame)
{
	switch (frame->type) {
	case AGENT_ARG:
		return add_word(request, &request->args, &request->arg_count, frame);
	case AGENT_ENV:
		if (frame->data[0] == '=')
			return -EPROTO;
		return add_word(request, &request->envs, &request->env_count, frame);
	case AGENT_USER:
		return request->user ? -EPROTO : copy_word(frame, &request->user);
	case AGENT_DIR:
		return request->dir ? -EPROTO : copy_word(frame, &request->dir);
	case AGENT_RUN:
		return take_run(request, frame);
	default:
		return -EPROTO;
	}
}

static void free_words(char **words, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(words[i]);
	free(words);
}

void request_free(struct request *request)
{
	free_words(request->args, request->arg_count);
	free_words(request->envs, request->env_count);
	free(request->user);
	free(request->dir);
	memset(request, 0, sizeof(*request));
}

bool request_is_empty(const struct request *request)
{
	return request->arg_count == 0 && request->env_count == 0 && !request->user && !request->dir;
}

/* ---- what the machine is to become ---- */

bool identity_has(uint32_t type)
{
	return type >= AGENT_HOSTNAME && type <= AGENT_IDENTIFY;
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int take_hostname(struct identity *identity, const struct frame *frame)
{
	const char *name = (const char *)frame->data;

	if (identity->hostname[0] || !is_alphanumeric(name[0]))
		return -EPROTO;
	for (uint32_t i = 0; i < frame->len; i++) {
		if (!is_alphanumeric(name[i]) && name[i] != '-' && name[i] != '.' && name[i] != '_')
			return -EPROTO;
	}
	memcpy(identity->hostname, name, frame->len);
	return 0;
}

static int take_machine_id(struct identity *identity, const struct frame *frame)
{
	bool zero = true;

	if (identity->machine_id[0])
		return -EPROTO;
	for (uint32_t i = 0; i < frame->len; i++) {
		uint8_t c = frame->data[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return -EPROTO;
		zero = zero && c == '0';
	}
	if (zero)
		return -EPROTO;
	memcpy(identity->machine_id, frame->data, frame->len);
	return 0;
}

static int take_seed(struct identity *identity, const struct frame *frame)
{
	if (identity->seed_len > 0)
		return -EPROTO;
	memcpy(identity->seed, frame->data, frame->len);
	identity->seed_len = frame->len;
	return 0;
}

static int take_clock(struct identity *identity, const struct frame *frame, uint64_t now_ns)
{
	uint64_t ns = frame_u32(frame, 0) | (uint64_t)frame_u32(frame, 4) << 32;

	if (identity->clock_ns > 0 || ns == 0 || ns > INT64_MAX)
		return -EPROTO;
	identity->clock_ns = ns;
	identity->clock_at_ns = now_ns;
	return 0;
}

static int take_mac(struct identity *identity, const struct frame *frame)
{
	static const uint8_t zero[6];
	struct agent_mac mac;

	memcpy(&mac, frame->data, sizeof(mac));
	if (identity->mac_count == AGENT_MAX_MACS || mac.fresh[0] & 1 ||
	    memcmp(mac.fresh, zero, sizeof(zero)) == 0)
		return -EPROTO;
	identity->macs[identity->mac_count++] = mac;
	return 0;
}

int identity_take(struct identity *identity, const struct frame *frame, uint64_t now_ns)
{
	identity->begun = true;
	switch (frame->type) {
	case AGENT_HOSTNAME:
		return take_hostname(identity, frame);
	case AGENT_MACHINE_ID:
		return take_machine_id(identity, frame);
	case AGENT_SEED:
		return take_seed(identity, frame);
	case AGENT_CLOCK:
		return take_clock(identity, frame, now_ns);
	case AGENT_MAC:
		return take_mac(identity, frame);
	case AGENT_IDENTIFY:
		return 1;
	default:
		return -EPROTO;
	}
}
