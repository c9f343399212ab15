/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-balloon (devices/virtio/balloon.c): memory that the guest gives back. Free
 * page reporting and deflating when the guest is out of memory are always offered.
 */
#ifndef HULL_VIRTIO_BALLOON_H
#define HULL_VIRTIO_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/virtio.h"

struct virtio_balloon_params {
	uint64_t target; /* bytes that the guest is asked to give back, a multiple of 4 KiB */
};

/* What the guest says of itself; all of it hostile. UINT64_MAX: not said. virtio 1.2, 5.5.6.4. */
struct virtio_balloon_stats {
	uint64_t free;              /* bytes */
	uint64_t total;             /* bytes */
	uint64_t available;         /* bytes */
	uint64_t caches;            /* bytes */
	uint64_t swap_in, swap_out; /* bytes */
	uint64_t major_faults, minor_faults;
};

extern const struct virtio_type virtio_balloon_type;

/* All below: device's lock. */

/* Changes the target: `bytes`, rounded down to 4 KiB, at most all RAM. The driver gets there as it can. */
void virtio_balloon_set_target(struct virtio_dev *dev, uint64_t bytes);

/*
 * Bytes: what the driver says that the balloon has, which may be any number; and what
 * free page reporting has given back to the host so far, the same page again each time.
 */
uint64_t virtio_balloon_actual(const struct virtio_dev *dev);
uint64_t virtio_balloon_reported(const struct virtio_dev *dev);

/*
 * Asks the guest for fresh statistics; `done` is called once with them, or never: when the
 * guest does not answer, or its driver is reset. Returns false, and calls nothing, when the
 * driver has not offered any. One question at a time: a new one takes the place of the old.
 */
bool virtio_balloon_ask(struct virtio_dev *dev,
			void (*done)(void *arg, const struct virtio_balloon_stats *stats), void *arg);

/*
 * Free page hinting: asks the driver to name all its free pages, which are given back to
 * the host; `done` is called once when it has named them, or never, as above. A new call
 * takes the place of the old. False: the driver has not accepted the feature, or is none.
 *
 * For guests that are known to keep what they name until then: virtio 1.2, 5.5.6.5, lets a
 * driver use a named page again before the device has seen its name, and Linux does so
 * when memory is short; what it writes there meanwhile is lost. Reporting has no such
 * gap, and gives back the same pages sooner or later.
 */
bool virtio_balloon_hint(struct virtio_dev *dev, void (*done)(void *arg), void *arg);

#endif
