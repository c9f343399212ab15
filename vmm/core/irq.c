/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt lines as eventfds; see irq.h. */
#include "hull/irq.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "hull/util.h"

int irq_line_init(struct irq_line *line, struct err *err)
{
	line->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (line->fd < 0)
		return err_errno(err, -errno, "eventfd for an interrupt");
	line->connected = true;
	return 0;
}

void irq_line_finish(struct irq_line *line)
{
	if (line && line->connected)
		fd_close(&line->fd);
	if (line)
		line->connected = false;
}

void irq_raise(const struct irq_line *line)
{
	/* EAGAIN means that the counter is full: the line is pulsed already. */
	if (line && line->connected)
		eventfd_write(line->fd, 1);
}
