/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The code at the reset vector; see reset_vector.h. */
#include "reset_vector.h"

#include <string.h>

#include "hull/util.h"

void reset_vector_write(uint8_t code[static RESET_VECTOR_SIZE], uint16_t port, uint8_t value)
{
	static const uint8_t text[] = {
		0xfa,             /* cli */
		0xba, 0x00, 0x00, /* mov dx, port */
		0xb0, 0x00,       /* mov al, value */
		0xee,             /* out dx, al */
		0xf4,             /* hlt */
		0xeb, 0xfd,       /* jmp to hlt */
	};

	_Static_assert(sizeof(text) <= RESET_VECTOR_SIZE, "the reset vector has 16 bytes");
	memset(code, 0, RESET_VECTOR_SIZE);
	memcpy(code, text, sizeof(text));
	store_le16(code + 2, port);
	code[5] = value;
}
