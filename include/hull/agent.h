/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hull and its program in the guest (firmware/init/) say to each other over
 * vsock: one stream connection a command.
 *
 * COMMAND of `hull run`: the agent connects to port AGENT_PORT of the host (CID 2) once the
 * guest is ready, before anything of the user's runs there. Further commands (`hull exec`):
 * the host connects to port AGENT_PORT of the guest. After that all connections are alike:
 *
 *	agent -> host   HELLO
 *	host -> agent   ARG..., ENV..., USER, DIR: what to run; then RUN
 *	agent -> host   FAILED, and nothing more; or, behind a NOTE or none, STARTED
 *	agent -> host   CREDIT: so many bytes more of standard input will be taken
 *	host -> agent   STDIN, as credit allows, then STDIN_END; RESIZE, SIGNAL, CLOSED at any time
 *	agent -> host   STDOUT, STDERR (with a terminal STDOUT only), in the order in which they were read;
 *	                EXITED after the last of them, and nothing more
 *
 * Identity (`hull restore`, `hull fork`): a copy of a machine becomes another one. The host connects as for a
 *further command, and says
 *
 *	host -> agent   HOSTNAME, MACHINE_ID, SEED, CLOCK, each once or not at all, MAC...; then IDENTIFY
 *	agent -> host   FAILED, and nothing more; or, behind a NOTE or none, DONE, and nothing more
 *
 * All of it is tried, whatever fails; FAILED has the first failure. An agent of before ends the connection at
 *the first of these frames.
 *
 * A first stage that cannot give COMMAND its root or its shares says HELLO and FAILED in the agent's place.
 * Credit of a terminal is given back for each STDIN at once: so the host sees that the guest takes keys.
 *
 * The end of the connection: on the agent's side the command gets SIGHUP, then is killed; on
 * the host's side the guest has gone. In a machine that is restored all connections of before are reset
 *(virtio 1.2, 5.10.6.7): commands end as above, but for COMMAND of `hull run`, which goes on, without anybody
 *who hears it: its output is dropped, its input never ends, and when it has ended, the machine is powered
 *off.
 *
 * A frame is a header of 8 bytes and `len` bytes. All numbers are little-endian. Standard
 * input has credit so that nothing that is sent beside it ever waits for a command that does not
 * read. Both sides distrust: an unknown type, a length above what the type may have, or a frame
 * out of turn ends the connection.
 */
#ifndef HULL_AGENT_H
#define HULL_AGENT_H

#include <stdint.h>

enum {
	AGENT_PORT = 0x68756c6c, /* on either side */
	AGENT_HOST_CID = 2,
	AGENT_VERSION = 1,
	AGENT_HEADER = 8,               /* bytes of struct agent_header */
	AGENT_MAX_DATA = 64 << 10,      /* bytes of one STDIN, STDOUT or STDERR */
	AGENT_MAX_WORD = 128 << 10,     /* bytes of one ARG or ENV: Linux' own limit (MAX_ARG_STRLEN) */
	AGENT_MAX_WORDS = 4096,         /* ARGs and ENVs together */
	AGENT_MAX_TEXT = 512,           /* bytes of USER, FAILED, NOTE */
	AGENT_MAX_PATH = 4096,          /* bytes of DIR */
	AGENT_STDIN_WINDOW = 256 << 10, /* the most credit that there is at a time, bytes */
	AGENT_MAX_HOSTNAME = 64,        /* bytes: Linux' own limit */
	AGENT_ID_DIGITS = 32,           /* of MACHINE_ID */
	AGENT_MAX_SEED = 512,           /* bytes */
	AGENT_MAX_MACS = 64,            /* MACs together */
};

enum agent_type {
	/* To the agent. */
	AGENT_ARG = 1, /* a word of the command, without NUL; the first is the program, looked for in PATH */
	AGENT_ENV,     /* NAME=VALUE, or NAME alone: not in the environment */
	AGENT_USER,    /* name or number; once, or not at all: root */
	AGENT_DIR,     /* working directory; once, or not at all: the user's home, else / */
	AGENT_RUN,     /* struct agent_run */
	AGENT_STDIN,   /* bytes */
	AGENT_STDIN_END, /* empty */
	AGENT_RESIZE,    /* struct agent_size */
	AGENT_SIGNAL,    /* u32: a signal's number on Linux, for the command's process group */
	AGENT_CLOSED,    /* u32: 1 or 2: nobody reads that stream of the command any more */
	/* To the agent, of a machine's identity. */
	AGENT_HOSTNAME,   /* begins with a letter or digit; these, dots, dashes and underscores */
	AGENT_MACHINE_ID, /* of machine-id(5): 32 digits 0-9, a-f, not all of them 0 */
	AGENT_SEED,  /* random bytes, 8 bits of entropy each, for the kernel's generator, which is reseeded */
	AGENT_CLOCK, /* u64: nanoseconds since the epoch; a clock within 20 ms of it stays */
	AGENT_MAC,   /* struct agent_mac */
	AGENT_IDENTIFY, /* empty: do it */
	/* To the host. */
	AGENT_HELLO = 64, /* u32: AGENT_VERSION */
	AGENT_FAILED,     /* struct agent_failed, then a line of text: it could not be started */
	AGENT_STARTED,    /* u32: the process id in the guest */
	AGENT_CREDIT,     /* u32: bytes */
	AGENT_STDOUT,     /* bytes */
	AGENT_STDERR,     /* bytes */
	AGENT_EXITED,     /* u32: its status, 0 to 255, or 128 + the signal that killed it */
	AGENT_NOTE, /* a line of text: it starts, but not quite as asked for; once, before STARTED or DONE */
	AGENT_DONE, /* empty: the machine has the identity */
};

struct agent_header {
	uint32_t type; /* enum agent_type */
	uint32_t len;  /* of what follows, bytes */
};

struct agent_size {
	uint16_t rows;
	uint16_t cols;
};

enum { AGENT_TTY = 1, AGENT_MAIN = 2, AGENT_TRY_DIR = 4 };

struct agent_run {
	uint32_t flags; /* AGENT_TTY: a terminal of this size; AGENT_MAIN: COMMAND of `hull run`;
			 * AGENT_TRY_DIR: without DIR's directory the user's home will do */
	struct agent_size size;
};

/*
 * The interface with address `old`, the first if there are several, gets `fresh`; DHCP is asked again if
 * hull's agent had asked before. Nothing happens when no interface has it. The same address twice: only DHCP.
 */
struct agent_mac {
	uint8_t old[6];
	uint8_t fresh[6]; /* of one station, and not zero */
};

/*
 * AGENT_FAILED: `status` is 127 (no such program), 126 (cannot be executed), or 125 (user, directory, the
 * guest itself; always for IDENTIFY).
 */
struct agent_failed {
	uint32_t status;
};

#endif
