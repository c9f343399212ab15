/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of hull/agent.h as the host writes and reads them. Pure functions: what comes from the
 * guest may be anything, cut anywhere.
 */
#ifndef HULL_VMM_AGENT_FRAME_H
#define HULL_VMM_AGENT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/agent.h"

/* Writes the header of a frame of `type` with `len` bytes behind it. */
void agent_frame_header(uint8_t header[static AGENT_HEADER], enum agent_type type, uint32_t len);

/* The frames of the guest; starts zeroed. */
struct agent_decoder {
	uint8_t header[AGENT_HEADER];
	uint32_t header_len; /* bytes of it that are there */
	uint32_t type;       /* once the header is whole, as the next two */
	uint32_t left;       /* bytes of the frame that have not come */
	uint32_t body_len;
	uint8_t body[sizeof(struct agent_failed) + AGENT_MAX_TEXT]; /* of a frame that is taken whole */
};

struct agent_piece {
	uint32_t type;       /* enum agent_type, of those to the host */
	const uint8_t *data; /* valid until the next call, and while the input is */
	uint32_t len;
};

/*
 * Takes from the `len` bytes at `data`, as many as *ret_used says. Returns 1: *ret_piece is a whole
 * frame, with a length that its type may have, or a part (not empty) of STDOUT or STDERR; 0: all was
 * taken, and there is no more yet; -EBADMSG: an unknown type or a length that it may not have, and no
 * further call makes sense.
 */
int agent_decoder_take(struct agent_decoder *decoder, const uint8_t *data, size_t len,
		       struct agent_piece *ret_piece, size_t *ret_used);

#endif
