/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code at the processor's reset vector, f000:fff0 in real mode, where a PC
 * has its BIOS: it resets the machine. Kernels that know no better way to reboot
 * jump there; without it they would run through empty memory for ever.
 */
#ifndef HULL_FIRMWARE_RESET_VECTOR_H
#define HULL_FIRMWARE_RESET_VECTOR_H

#include <stdint.h>

enum {
	RESET_VECTOR = 0xffff0, /* guest physical */
	RESET_VECTOR_SIZE = 16,
};

/* Writes code that writes `value` to `port` to `code`, which is the memory at RESET_VECTOR. */
void reset_vector_write(uint8_t code[static RESET_VECTOR_SIZE], uint16_t port, uint8_t value);

#endif
