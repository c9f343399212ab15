/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run` that name networks, for config.c. Pure functions on values. */
#ifndef HULL_VMM_CONFIG_NET_H
#define HULL_VMM_CONFIG_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/config.h"
#include "hull/err.h"

/*
 * -n, --net none|user|tap=IFNAME|fd=N[,KEY=VALUE...]: adds a network device, or says that
 * there is none. Errors: -EINVAL, naming `option` and the word at fault.
 */
int config_apply_net(struct vm_config *c, const char *option, const char *value, struct err *err);

/* -p, --publish [ADDR:]HOST:GUEST[/tcp|udp]: adds a port. Errors: -EINVAL. */
int config_apply_publish(struct vm_config *c, const char *option, const char *value, struct err *err);

/*
 * After all options: the network that published ports imply; ids and queues that were not
 * given. The disks' ids are known by now. Errors: -EINVAL: --net none together with others, an
 * id is not unique, too many networks.
 */
int config_finish_nets(struct vm_config *c, struct err *err);

/* True for the address of one card. */
bool config_is_mac(const uint8_t mac[static 6]);

/* True for what may be the name of an interface of Linux. */
bool config_is_ifname(const char *name);

/* True for the address of a published port in the form that --publish leaves: its normal one, or "". */
bool config_is_publish_address(const char *text);

/* The words of --net for a kind, and of vhost=; "auto" when it was not given. */
const char *config_net_kind(enum net_kind kind);
const char *config_vhost_choice(enum vhost_choice choice);

#endif
