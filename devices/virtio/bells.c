/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doorbells of queues; see bells.h. */
#include "bells.h"

void bells_attach(struct bells *b, const struct virtio_dev *dev, unsigned q, const struct doorbell *bell)
{
	if (!b->doorbells)
		return;
	b->bells[q] = *bell;
	b->bells[q].fd = dev->queues[q].kick_fd;
	b->attached[q] = b->doorbells->ops->attach(b->doorbells, &b->bells[q]) == 0;
}

void bells_detach(struct bells *b)
{
	for (unsigned q = 0; q < VIRTIO_MAX_QUEUES; q++) {
		if (b->attached[q])
			b->doorbells->ops->detach(b->doorbells, &b->bells[q]);
		b->attached[q] = false;
	}
}
