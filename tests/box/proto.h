/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream between tests/box/run.c (outside) and tests/box/init.c (PID 1 of
 * the emulated host): one virtio-serial port, both ways, in frames.
 *
 * One ordered stream instead of one port per descriptor: the exit status comes
 * after the last byte of output by construction, so that nothing is lost when
 * QEMU is ended, and end of file and flow control need no further channel.
 *
 * Both ends are built from this tree for the same machine, hence host byte
 * order and no version.
 */
#ifndef BOX_PROTO_H
#define BOX_PROTO_H

#include <stdint.h>

struct box_frame {
	uint32_t len; /* bytes of payload that follow */
	uint32_t type;
};

enum box_frame_type {
	/* outside → box */
	BOX_START = 1, /* NUL-terminated strings, see below */
	BOX_IN,        /* bytes for COMMAND's standard input; none: end of file */
	BOX_WINCH,     /* struct box_winsize */

	/* box → outside */
	BOX_UP,     /* COMMAND is about to start */
	BOX_OUT,    /* bytes of COMMAND's standard output */
	BOX_ERR,    /* bytes of COMMAND's standard error */
	BOX_CREDIT, /* uint32_t: so many more bytes of BOX_IN are welcome */
	BOX_EXIT,   /* uint32_t: exit status of COMMAND, as a shell gives it */
	BOX_FAIL,   /* text: why the box could not be set up */
};

/* First character of a string of BOX_START, which tells what the rest is. */
#define BOX_S_DIR    'd' /* current directory */
#define BOX_S_OUT    'o' /* directory that 9p tag out<n> holds, n counted from 0 */
#define BOX_S_KERNEL 'k' /* directory that scripts/kernel made for this kernel */
#define BOX_S_UID    'u' /* run COMMAND as this user (decimal); without: root */
#define BOX_S_TTY    't' /* give COMMAND a terminal */
#define BOX_S_ENV    'e' /* NAME=VALUE */
#define BOX_S_ARG    'a' /* argv[n] */

struct box_winsize {
	uint16_t rows, columns;
};

/* Frames of output are at most this long; one write to the port takes no more. */
#define BOX_CHUNK 32768
/* Standard input that may be under way without COMMAND having taken it. */
#define BOX_IN_WINDOW 262144
/* Longest BOX_START: more than execve() accepts. */
#define BOX_START_MAX (16u << 20)

#endif
