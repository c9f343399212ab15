/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console stream over two descriptors of the host: a terminal, pipes, files.
 * Their flags and terminal modes stay as they are; both remain the caller's.
 *
 * Output goes through a sink (see sink.h): bounded, never blocking; a device that
 * asks for room loses none of it while the reader reads. Input is read
 * as the device takes it, so that a host that floods it is held back. A regular
 * file is read on demand; the end of input ends reading, not the machine. While
 * the process is in the background of its terminal, nothing is read; in the
 * foreground again, reading goes on after half a second at most. SIGTTIN must be
 * ignored for that.
 *
 * in_fd should be non-blocking. Where it is not, and another process reads from
 * the same pipe or terminal, reading may block in a race for the same bytes; that
 * is made improbable, and for sockets impossible.
 *
 * Escapes, when the input is a terminal in raw mode:
 *   Ctrl-a x       the `quit` callback
 *   Ctrl-a h       a short help on the output
 *   Ctrl-a Ctrl-a  sends one Ctrl-a
 *   Ctrl-a other   sends both, so that a Ctrl-a meant for the guest is not lost
 * They work as well while the guest takes no input: what a person types then is
 * kept up to a limit, and dropped after a second without a reader.
 *
 * Thread: all functions are called with the lock of the loop held, or while the
 * loop does not run; but dropped, flush and tail may be called from any thread
 * once the loop and the vCPUs have stopped.
 */
#ifndef HULL_STREAM_STDIO_H
#define HULL_STREAM_STDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/loop.h"
#include "hull/stream.h"
#include "hull/syscalls.h"

struct stream_stdio;

enum { STREAM_STDIO_TAIL = 8192 }; /* bytes of output that are kept */

struct stream_stdio_config {
	int in_fd;               /* -1: no input */
	int out_fd;              /* -1: output is watched, and goes nowhere */
	bool escape;             /* in_fd is a terminal: recognise the escape key */
	syscall_confine confine; /* for the thread that writes (sink.h) */
	/* Optional, all called with the lock of the loop held; they must not block. */
	void (*quit)(void *arg);  /* Ctrl-a x, each time */
	void (*panic)(void *arg); /* the first line in which the guest's kernel says that it panicked */
	void (*first_output)(void *arg); /* before the first byte of output */
	void (*output)(void *arg);       /* at any output */
	void *arg;
};

/* Makes the stream. Errors: -ENOMEM, -errno of watching in_fd. */
int stream_stdio_create(struct stream_stdio **ret_stdio, struct loop *loop,
			const struct stream_stdio_config *config, struct err *err);

/* Waits until the thread that writes has its filter: once, before a guest runs. NULL is fine. */
void stream_stdio_await(struct stream_stdio *s);

/* What a device is given; lives as long as the object. */
struct stream *stream_stdio_stream(struct stream_stdio *s);

/* Copies the last bytes of output, at most `cap` and STREAM_STDIO_TAIL, and returns their number. */
size_t stream_stdio_tail(const struct stream_stdio *s, void *buf, size_t cap);

/* Bytes of output that the descriptor did not take in time. */
uint64_t stream_stdio_dropped(const struct stream_stdio *s);

/*
 * Waits until the output is written, and gives up after `timeout_ms` without
 * progress; returns the bytes that are not written.
 */
size_t stream_stdio_flush(struct stream_stdio *s, unsigned timeout_ms);

/* NULL is fine. No device may use the stream any more. */
void stream_stdio_destroy(struct stream_stdio *s);

#endif
