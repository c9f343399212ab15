/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of hull/agent.h; see agent_frame.h. */
#include "agent_frame.h"

#include <errno.h>
#include <string.h>

#include "hull/util.h"

void agent_frame_header(uint8_t header[static AGENT_HEADER], enum agent_type type, uint32_t len)
{
	store_le32(header, type);
	store_le32(header + 4, len);
}

static bool is_stream(uint32_t type)
{
	return type == AGENT_STDOUT || type == AGENT_STDERR;
}

/* The guest may send it, with so many bytes. */
static bool is_valid(uint32_t type, uint32_t len)
{
	switch (type) {
	case AGENT_HELLO:
	case AGENT_STARTED:
	case AGENT_CREDIT:
	case AGENT_EXITED:
		return len == sizeof(uint32_t);
	case AGENT_FAILED:
		return len >= sizeof(struct agent_failed) &&
		       len <= sizeof(struct agent_failed) + AGENT_MAX_TEXT;
	case AGENT_NOTE:
		return len >= 1 && len <= AGENT_MAX_TEXT;
	case AGENT_DONE:
		return len == 0;
	case AGENT_STDOUT:
	case AGENT_STDERR:
		return len <= AGENT_MAX_DATA;
	default:
		return false;
	}
}

/* Returns the bytes taken. */
static size_t take_header(struct agent_decoder *d, const uint8_t *data, size_t len)
{
	const size_t n = min_u64(len, AGENT_HEADER - d->header_len);

	memcpy(d->header + d->header_len, data, n);
	d->header_len += (uint32_t)n;
	if (d->header_len == AGENT_HEADER) {
		d->type = load_le32(d->header);
		d->left = load_le32(d->header + 4);
		d->body_len = 0;
	}
	return n;
}

/* 1 when there is a piece, 0 when the frame needs more bytes, or has none. */
static int take_body(struct agent_decoder *d, const uint8_t *data, uint32_t len,
		     struct agent_piece *ret_piece)
{
	const bool stream = is_stream(d->type);

	if (!stream && len)
		memcpy(d->body + d->body_len, data, len);
	d->body_len += len;
	d->left -= len;
	if (d->left == 0)
		d->header_len = 0;
	else if (!stream)
		return 0;
	*ret_piece = (struct agent_piece){
		.type = d->type,
		.data = stream ? data : d->body,
		.len = stream ? len : d->body_len,
	};
	return !stream || len > 0;
}

int agent_decoder_take(struct agent_decoder *d, const uint8_t *data, size_t len,
		       struct agent_piece *ret_piece, size_t *ret_used)
{
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < len) {
		uint32_t n;

		if (d->header_len < AGENT_HEADER) {
			at += take_header(d, data + at, len - at);
			if (d->header_len < AGENT_HEADER)
				break;
			if (!is_valid(d->type, d->left))
				return -EBADMSG;
		}
		n = (uint32_t)min_u64(d->left, len - at);
		r = take_body(d, data + at, n, ret_piece);
		at += n;
	}
	*ret_used = at;
	return r;
}
