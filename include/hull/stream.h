/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A byte stream behind a character device (serial port, console): what the
 * device implements against, and what a back end provides.
 *
 * Contract: all functions are called with the lock of the device's loop held.
 * Nothing blocks.
 */
#ifndef HULL_STREAM_H
#define HULL_STREAM_H

#include <stddef.h>

struct stream;

struct stream_ops {
	/* Mandatory. Sends `len` bytes; what the other side cannot take is dropped and counted. */
	void (*write)(struct stream *s, const void *buf, size_t len);
	/*
	 * Mandatory. Takes up to `len` bytes of input and returns the count. After
	 * a return of less than `len`, `input` is called once more comes.
	 */
	size_t (*read)(struct stream *s, void *buf, size_t len);
};

struct stream {
	const struct stream_ops *ops;
	/* Set by the device: called, lock held, when input may be read again. NULL: no one listens. */
	void (*input)(void *dev);
	void *dev;
};

#endif
