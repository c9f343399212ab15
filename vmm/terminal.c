/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's terminal; see terminal.h. */
#include "terminal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hull/util.h"

void terminal_init(struct terminal *t, int fd)
{
	*t = (struct terminal){.fd = fd};
	if (tcgetattr(fd, &t->saved) < 0)
		t->fd = -1;
}

/* In the background the terminal is the shell's. One that is not the controlling one has no shell. */
static bool is_ours(const struct terminal *t)
{
	pid_t foreground = tcgetpgrp(t->fd);

	return foreground < 0 || foreground == getpgrp();
}

static void set(const struct terminal *t, const struct termios *mode)
{
	while (tcsetattr(t->fd, TCSANOW, mode) < 0 && errno == EINTR)
		;
}

void terminal_raw(struct terminal *t)
{
	struct termios mode = t->saved;

	if (t->fd < 0 || !is_ours(t))
		return;
	cfmakeraw(&mode);
	if (!t->raw_output)
		mode.c_oflag |= OPOST; /* hull's own lines appear on it as well */
	mode.c_cc[VMIN] = 1;
	mode.c_cc[VTIME] = 0;
	set(t, &mode);
	t->raw = true;
}

void terminal_restore(struct terminal *t)
{
	if (t->fd < 0 || !t->raw)
		return;
	if (is_ours(t))
		set(t, &t->saved);
	t->raw = false;
}

bool terminal_size(uint16_t *ret_cols, uint16_t *ret_rows)
{
	static const int fds[] = {STDOUT_FILENO, STDIN_FILENO};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		struct winsize size;

		if (ioctl(fds[i], TIOCGWINSZ, &size) < 0)
			continue;
		*ret_cols = size.ws_col;
		*ret_rows = size.ws_row;
		return size.ws_col > 0 && size.ws_row > 0;
	}
	return false;
}
