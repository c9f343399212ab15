/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doorbells: guest addresses of which a write pulses an eventfd without an exit
 * to user space (KVM's ioeventfd). Provided by the machine, used by transports.
 *
 * Thread: any; attaching may take milliseconds.
 */
#ifndef HULL_DOORBELL_H
#define HULL_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

struct doorbell {
	uint64_t gpa;
	unsigned len;   /* width of the write in bytes: 2 or 4; 0: any, or just 2 on a host that needs one */
	bool has_match; /* only writes of `match`; needs a len */
	uint32_t match;
	int fd;
};

struct doorbells;

struct doorbells_ops {
	/* Returns 0 or -errno. Without a doorbell, a write is an exit and still works. */
	int (*attach)(struct doorbells *d, const struct doorbell *bell);
	/* With what was given to attach. */
	void (*detach)(struct doorbells *d, const struct doorbell *bell);
};

struct doorbells {
	const struct doorbells_ops *ops;
};

#endif
