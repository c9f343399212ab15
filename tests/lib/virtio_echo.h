/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio device that copies what it is given to read into what it is given to write: for tests. */
#ifndef HULL_TESTS_VIRTIO_ECHO_H
#define HULL_TESTS_VIRTIO_ECHO_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/virtio.h"
#include "virtio_driver.h"

enum {
	ECHO_FEATURE = 5,  /* an offered bit without a meaning */
	ECHO_MAX_IOV = 64, /* entries of a chain */
	ECHO_MAX_HELD = 1024,
	ECHO_MAX_QUEUES = VIRTIO_MAX_QUEUES,
	ECHO_CONFIG = 12, /* bytes: u64 magic, u32 that can be written */
};

#define ECHO_MAGIC UINT64_C(0x1122334455667788)

struct echo_params {
	unsigned queues;
	uint16_t size; /* of each, at most */
};

struct echo {
	struct virtio_dev dev;
	struct echo_params params;
	uint8_t config[ECHO_CONFIG];
	bool hold;   /* requests stay in flight until echo_release() */
	bool cancel; /* draining and freezing end what is held */
	struct {
		unsigned q;
		uint16_t head;
	} held[ECHO_MAX_HELD];
	unsigned held_count;
	unsigned kicks;    /* calls */
	unsigned resets;   /* calls */
	unsigned starts;   /* calls */
	unsigned restarts; /* of them: after a snapshot was loaded */
	unsigned freezes;  /* calls */
	unsigned thaws;    /* calls */
	bool give_away;    /* start() takes queue 0 from the loop, as for somebody else who serves it */
	unsigned moves;    /* of interrupts: calls */
	int irq_fds[ECHO_MAX_QUEUES]; /* of each queue, when its interrupt moved last */
	unsigned config_writes;
};

/* Its params are a struct echo_params. */
extern const struct virtio_type echo_type;

struct echo *echo_of(struct virtio_rig *rig);

/* Ends up to `count` of the requests held, the oldest first. */
void echo_release(struct virtio_rig *rig, unsigned count);

/* Sends a few bytes through queue 0 and checks that they come back. */
bool echo_roundtrip(struct virtio_rig *rig);

#endif
