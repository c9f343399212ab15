/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of hostile guests share (docs/hostile.md): a device under attack, an
 * honest neighbour on the same loop, and what is checked after every case.
 *
 * A case runs once for each device and transport that it names. It attacks after
 * hostile_begin() and ends with hostile_check(); both may be repeated.
 *
 * Everything runs on the test's thread, unless a test says otherwise.
 */
#ifndef HULL_TESTS_HOSTILE_H
#define HULL_TESTS_HOSTILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem_block.h"
#include "virtio_driver.h"
#include "virtio_echo.h"

enum {
	ON_BLK = 1 << 0,
	ON_ECHO = 1 << 1,
	ON_PCI = 1 << 2,
	ON_MMIO = 1 << 3,
	ON_ALL = ON_BLK | ON_ECHO | ON_PCI | ON_MMIO,

	HOSTILE_QUEUES = 2,
	HOSTILE_SIZE = 256, /* entries of each queue */
	HOSTILE_DISK = 1 << 20,
	HOSTILE_UNWRITTEN = 0xee, /* a status byte that the device has not written */

	/* What request `head` uses, from hostile_place() on. */
	HOSTILE_HEADER = 0,
	HOSTILE_STATUS = 16,
	HOSTILE_BUFFER = 512,
	HOSTILE_BUFFER_SIZE = 512,
	HOSTILE_STRIDE = 4096,
};

struct hostile {
	struct virtio_rig rig; /* under attack */
	struct virtio_rig neighbour;
	struct mem_block disk;
	bool blk;         /* virtio-blk over `disk`, else the echo device */
	uint8_t *ram;     /* where guest address 0 would be */
	uint8_t *scratch; /* RIG_RAM_SIZE bytes for a test's use */
	struct sink *sink;
	int log_fd;
	uint64_t start_ns;
	uint64_t resident; /* bytes, before the attack */
};

struct hostile_case {
	const char *name;
	CMUnitTestFunction fn; /* *state is a struct hostile * */
	unsigned where;        /* ON_* */
};

/* Runs the cases, each on all devices and transports that it names. Returns a status for main(). */
int hostile_run(const char *group, const struct hostile_case *cases, unsigned count);

/* `heavy` when HULL_HEAVY is in the environment, else `light`. */
unsigned hostile_times(unsigned light, unsigned heavy);

/* A reset and a new start, with all features and queues; nothing is held. */
void hostile_begin(struct hostile *h);

/* All that the catalogue wants to hold after a case; the device has been started again. */
void hostile_check(struct hostile *h);

/* The device noticed a broken ring: it needs a reset and said so. Then hostile_check(). */
void hostile_check_broken(struct hostile *h);

/* ---- honest requests ---- */

/* Where request `head` has its buffers: a guest address. */
uint64_t hostile_place(unsigned head);
/* Descriptors that a request takes. */
unsigned hostile_descs(const struct hostile *h);
/* Writes a request into the table, from descriptor `head` on: the disk's first sector, or an echo. */
void hostile_request(struct hostile *h, unsigned q, unsigned head);
/* One honest request from kick to end, without a new start. */
bool hostile_roundtrip(struct virtio_rig *rig);
/* The neighbour answers within `rounds` rounds of the loop. */
bool hostile_neighbour_answers(struct hostile *h, unsigned rounds);

/* Requests stay in flight from now on, until they are released. */
void hostile_hold(struct hostile *h, bool hold);
unsigned hostile_held(struct hostile *h);
void hostile_release(struct hostile *h, unsigned count);

/* ---- measures ---- */

/* What the device under attack says goes into memory from now on. hostile_run() does both. */
void hostile_open_log(struct hostile *h);
void hostile_close_log(struct hostile *h);
uint64_t hostile_log_bytes(struct hostile *h);

#endif
