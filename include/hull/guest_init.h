/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's first stage (firmware/init/): a static ELF program, embedded in hull. */
#ifndef HULL_GUEST_INIT_H
#define HULL_GUEST_INIT_H

#include <stdint.h>

extern const uint8_t guest_init[];
extern const uint64_t guest_init_size; /* bytes */

#endif
