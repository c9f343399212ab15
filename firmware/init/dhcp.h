/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small DHCP client, for net.c. */
#ifndef INIT_DHCP_H
#define INIT_DHCP_H

#include <stddef.h>
#include <stdint.h>

enum { DHCP_MAX_DNS = 3 };

/* What the server gave. Addresses in network order; 0: not said. */
struct dhcp_lease {
	uint32_t address;
	uint32_t mask;
	uint32_t router;
	uint32_t dns[DHCP_MAX_DNS];
	unsigned dns_count;
	unsigned mtu; /* bytes */
};

/* Asks on `interface`, which is up and has `mac`. 0, -ETIMEDOUT (nobody answers, some 15 s), -errno. */
int dhcp_get(const char *interface, const uint8_t mac[static 6], struct dhcp_lease *ret_lease);

#endif
