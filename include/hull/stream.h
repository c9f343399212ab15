/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A byte stream behind a character device (serial port, console): what the
 * device implements against, and what a back end provides.
 *
 * Contract: all functions are called with the lock of the device's loop held.
 * Nothing blocks, and no callback comes from within write, read or room.
 */
#ifndef HULL_STREAM_H
#define HULL_STREAM_H

#include <stdbool.h>
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
	/*
	 * Optional: without it, nothing can be waited for. Bytes that write() takes now without
	 * dropping; SIZE_MAX when nobody is there who could get them late. After 0, `drained` is
	 * called once there is room, each time that the reader makes progress.
	 */
	size_t (*room)(struct stream *s);
	/* Optional: without it, always. Whether somebody is at the other end. */
	bool (*is_connected)(struct stream *s);
};

struct stream {
	const struct stream_ops *ops;
	/* Set by the device: called, lock held, when input may be read again. NULL: no one listens. */
	void (*input)(void *dev);
	/* Likewise, after room() has given 0, when there is room. */
	void (*drained)(void *dev);
	/* Likewise, when what is_connected() gives has changed. */
	void (*connected)(void *dev, bool on);
	void *dev;
};

#endif
