/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Coalesced port writes: KVM keeps them in a ring of the VM, where each would be an exit to user
 * space, and they take effect, in their order, before the next exit of any vCPU is handled. For a
 * port that the guest writes often and of which it reads another one soon. Provided by the machine,
 * used by devices.
 *
 * Thread: any; switching may take milliseconds.
 */
#ifndef HULL_COALESCED_H
#define HULL_COALESCED_H

#include <stdbool.h>
#include <stdint.h>

struct coalesced;

struct coalesced_ops {
	/* Switches it on or off for one port. Returns 0 or -errno; without it a write is an exit and works.
	 */
	int (*set)(struct coalesced *c, uint16_t port, bool on);
	/* While a write takes effect: whether another one waits behind it. */
	bool (*more)(const struct coalesced *c);
	/* Has what waits in the ring handled soon, should no exit come. Nothing waits: does nothing. */
	void (*flush)(struct coalesced *c);
};

struct coalesced {
	const struct coalesced_ops *ops;
};

#endif
