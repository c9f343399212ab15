/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the agent of a guest, a copy of another, who it is: hull/agent.h, "Identity". The guest is not
 * trusted: what it answers is checked, and its text escaped.
 */
#ifndef HULL_VMM_AGENT_IDENTITY_H
#define HULL_VMM_AGENT_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/agent.h"
#include "hull/config.h"
#include "hull/err.h"

enum { AGENT_SEED_BYTES = 64 };

struct agent_identity {
	char hostname[AGENT_MAX_HOSTNAME + 1];  /* "": stays as it is */
	char machine_id[AGENT_ID_DIGITS + 1];   /* "": stays as it is */
	uint8_t seed[AGENT_SEED_BYTES];         /* for the kernel's random numbers; all zero: none */
	struct agent_mac macs[CONFIG_MAX_NETS]; /* the same address twice: DHCP is asked again */
	unsigned mac_count;
	bool set_clock; /* to the host's, unless it is within 20 ms of that */
};

/*
 * A machine id and a seed that nobody else has, and `hostname` (NULL: stays); no addresses, and the clock is
 * set. Errors: -EINVAL, `hostname` is no name as config_is_name() knows them; -errno of getrandom(2).
 */
int agent_identity_make(struct agent_identity *ret_identity, const char *hostname);

/*
 * Says `identity` on `fd`, a fresh connection to the agent (control_client_exec()), and waits until it is so,
 * `timeout_ns` in all. `fd` stays the caller's and is of no further use. Returns 0; or 1: it is so, but for
 * what `err` says, a line for a warning. Errors: -ENOTCONN, no agent is there; -ECONNRESET, it left without
 * an answer: it is of an older hull, or the guest, which has just been restored, has reset its connections
 * (then another one will do); -ETIMEDOUT; -EREMOTEIO, it could not, and `err` says why; -EPROTO. Thread: any;
 * it blocks.
 */
int agent_identify(int fd, const struct agent_identity *identity, uint64_t timeout_ns, struct err *err);

#endif
