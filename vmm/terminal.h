/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's terminal: raw while a guest has it, as it was before otherwise. Supervisor only. */
#ifndef HULL_VMM_TERMINAL_H
#define HULL_VMM_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct terminal {
	int fd;               /* -1: none */
	struct termios saved; /* as the user had it */
	bool raw;
	bool raw_output; /* in raw mode output goes as it is, too */
};

/* Remembers the mode of `fd`; when it is not a terminal, all further calls do nothing. */
void terminal_init(struct terminal *t, int fd);

/*
 * Every key goes to the guest, Ctrl-C too; output keeps its newline translation unless raw_output. Not in
 * the background.
 */
void terminal_raw(struct terminal *t);

/* Back to the mode that the user had. */
void terminal_restore(struct terminal *t);

/* The size of the terminal on stdout, else of that on stdin. False: there is none, or it does not know. */
bool terminal_size(uint16_t *ret_cols, uint16_t *ret_rows);

#endif
