/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What makes a copy of a machine another machine, done in a process of its own, as files and DHCP may take
 * long. */
#ifndef INIT_IDENTITY_H
#define INIT_IDENTITY_H

#include <stdbool.h>

#include "command.h"
#include "frames.h"

/*
 * Starts to do what `identity` says, as far as it goes; *ret has the process, and no streams. `dhcp` is the
 * interface that was configured by start_network(), or "". False: *failure says why not.
 */
bool identity_start(const struct identity *identity, const char *dhcp, struct command *ret,
		    struct command_failure *failure);

enum identity_end {
	IDENTITY_BUSY,  /* it is not known yet */
	IDENTITY_NOTES, /* the text is worth a NOTE; ask again */
	IDENTITY_DONE,
	IDENTITY_FAILED, /* the text says why; the rest was tried all the same */
};

/* To be called when command->start is readable or the process has ended, until it says one of the last two.
 */
enum identity_end identity_ended(struct command *command, struct command_failure *ret);

#endif
