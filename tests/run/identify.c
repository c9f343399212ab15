/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes a running machine another one, as `hull restore` and `hull fork` do with a copy:
 *
 *	hull-identify NAME HOSTNAME [OLD-MAC NEW-MAC]
 *
 * Prints the machine id that it has given. Status 1: not done, 2: done with a warning.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent_identity.h"
#include "control_client.h"

static const uint64_t patience_ns = UINT64_C(60) * 1000000000;

static int parse_mac(const char *text, uint8_t mac[static 6])
{
	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		      &mac[4], &mac[5]) == 6
		       ? 0
		       : -1;
}

int main(int argc, char **argv)
{
	struct agent_identity id;
	struct err err = {0};
	int fd = -1;
	int r;

	if (argc != 3 && argc != 5)
		return 125;
	if (agent_identity_make(&id, argv[2]) < 0)
		return 125;
	if (argc == 5) {
		id.mac_count = 1;
		if (parse_mac(argv[3], id.macs[0].old) < 0 || parse_mac(argv[4], id.macs[0].fresh) < 0)
			return 125;
	}
	r = control_client_exec(argv[1], &fd, &err);
	if (r == 0)
		r = agent_identify(fd, &id, patience_ns, &err);
	if (fd >= 0)
		close(fd);
	if (err.msg[0])
		fprintf(stderr, "hull-identify: %s\n", err.msg);
	if (r >= 0)
		printf("%s\n", id.machine_id);
	return r < 0 ? 1 : r > 0 ? 2 : 0;
}
