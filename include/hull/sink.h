/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded ring in front of a descriptor that may block (a terminal, a pipe,
 * a slow disk): writers never block and never change the flags of a descriptor
 * that is shared with the caller's shell; what does not fit is dropped and
 * counted. A thread of its own drains the ring.
 *
 * Thread: sink_write() from any; the rest from the owner.
 */
#ifndef HULL_SINK_H
#define HULL_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/syscalls.h"

struct sink;

/*
 * Makes a sink of `capacity` bytes (a power of two, >= 4096) in front of `fd`,
 * which stays the caller's. `name` (at most 15 bytes) names the thread, which gets the filter of
 * ROLE_WRITER from `confine` (NULL: none), but may not have it yet: see sink_await(). Errors: -ENOMEM,
 * -EAGAIN.
 */
int sink_create(struct sink **ret_sink, int fd, size_t capacity, const char *name, syscall_confine confine,
		struct err *err);

/* Waits until the thread has its filter: once, before a guest runs. */
void sink_await(struct sink *sink);

/*
 * Puts as much of `buf` into the ring as fits, and returns that count; the
 * rest is dropped and counted. After the reader has gone (EPIPE, EIO) all is
 * dropped.
 */
size_t sink_write(struct sink *sink, const void *buf, size_t len);

/*
 * Bytes that sink_write() takes now without dropping. SIZE_MAX after the reader has
 * gone: nothing is worth waiting for. After 0, the eventfd of sink_set_event() gets 1
 * added once there is room, or the reader has gone.
 */
size_t sink_room(struct sink *sink);

/* See sink_room(). `event_fd` stays the caller's, and open as long as the sink; -1: none, as at first. */
void sink_set_event(struct sink *sink, int event_fd);

/* Bytes dropped so far. */
uint64_t sink_dropped(struct sink *sink);

/*
 * Waits until what is in the ring now has left it or the descriptor failed, and
 * gives up after `timeout_ms` without progress: the time starts again with each
 * piece (up to 4 KiB) that the descriptor took. Returns the bytes that are still
 * in the ring.
 */
size_t sink_flush(struct sink *sink, unsigned timeout_ms);

/*
 * Frees the sink, best after sink_flush(). While its thread is in the middle of a
 * write, stuck or just busy, nothing is waited for: the thread goes on, and sink
 * and thread are left to process exit. NULL is fine.
 */
void sink_destroy(struct sink *sink);

#endif
