/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --console, --vsock, --balloon, --rng, --watchdog, --grace; see config_misc.h. */
#include "config_misc.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config_fields.h"
#include "hull/util.h"

enum { FIRST_BYTES = 64 };

/* virtio 1.2, 5.10.4: 0 to 2 are not for guests, and 2^32 - 1 is anyone. */
static const uint64_t min_cid = 3, max_cid = 4294967294;

/* ---- --console ---- */

static const char *const consoles[] = {
	[CONSOLE_SERIAL] = "serial",
	[CONSOLE_VIRTIO] = "virtio",
	[CONSOLE_NONE] = "none",
};

const char *config_console_kind(enum console_kind kind)
{
	return consoles[kind];
}

static int set_port(void *target, const char *value)
{
	struct vm_config *c = target;
	struct config_port *port = &c->ports[c->port_count];
	size_t len = strcspn(value, ":");
	char name[sizeof(port->name)];

	if (value[len] != ':' || len >= sizeof(name))
		return -EINVAL;
	memcpy(name, value, len);
	name[len] = '\0';
	if (!config_is_name(name, sizeof(name) - 1))
		return -EINVAL;
	if (config_set_socket(port->path, value + len + 1) < 0)
		return -EINVAL;
	memcpy(port->name, name, sizeof(port->name));
	c->port_count++;
	return 0;
}

static const struct config_key console_rows[] = {
	{"port",
	 "NAME:SOCKET, with 1 to 31 letters, digits, '.', '_' and '-' and a path of less than 108 bytes",
	 set_port, CONFIG_MAX_PORTS},
};

static const struct config_keys console_keys = {
	console_rows,
	ARRAY_SIZE(console_rows),
	" (a comma in a path is written as two)",
};

int config_apply_console(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	const char *rest = value;
	char first[FIRST_BYTES];
	unsigned seen = 0;
	int kind = -EINVAL;

	if (config_take_field(&rest, first, sizeof(first)))
		kind = config_find_word(first, consoles, ARRAY_SIZE(consoles));
	if (kind < 0)
		return err_set(err, -EINVAL, "%s %s: expected serial, virtio[,port=NAME:SOCKET]... or none",
			       option, value);
	c->console = (enum console_kind)kind;
	c->port_count = 0;
	return config_apply_fields(&console_keys, option, first, rest, c, &seen, err);
}

int config_check_ports(const struct vm_config *c, struct err *err)
{
	if (c->port_count > 0 && c->console != CONSOLE_VIRTIO)
		return err_set(err, -EINVAL, "--console %s: port=: expected only with virtio",
			       config_console_kind(c->console));
	for (unsigned i = 0; i < c->port_count; i++) {
		for (unsigned k = 0; k < i; k++) {
			if (strcmp(c->ports[i].name, c->ports[k].name) == 0)
				return err_set(err, -EINVAL, "--console virtio: two ports have the name '%s'",
					       c->ports[i].name);
			if (strcmp(c->ports[i].path, c->ports[k].path) == 0)
				return err_set(err, -EINVAL,
					       "--console virtio: two ports have the socket '%s'",
					       c->ports[i].path);
		}
	}
	return 0;
}

/* ---- --vsock ---- */

bool config_is_cid(uint64_t cid)
{
	return cid >= min_cid && cid <= max_cid;
}

static int set_path(void *target, const char *value)
{
	struct config_vsock *vsock = target;

	return config_set_socket(vsock->path, value);
}

static const struct config_key vsock_rows[] = {
	{"path", "the path of a socket, less than 108 bytes", set_path},
};

static const struct config_keys vsock_keys = {
	vsock_rows,
	ARRAY_SIZE(vsock_rows),
	" (a comma in a path is written as two)",
};

int config_apply_vsock(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_vsock vsock = {.cid = 0};
	const char *rest = value;
	char first[FIRST_BYTES];
	unsigned seen = 0;
	uint64_t cid = 0;
	int r;

	if (!config_take_field(&rest, first, sizeof(first)) ||
	    config_parse_number(first, min_cid, max_cid, &cid) < 0)
		return err_set(err, -EINVAL,
			       "%s %s: expected a CID from %" PRIu64 " to %" PRIu64
			       ", and perhaps ,path=SOCKET",
			       option, value, min_cid, max_cid);
	vsock.cid = (uint32_t)cid;
	r = config_apply_fields(&vsock_keys, option, first, rest, &vsock, &seen, err);
	if (r == 0)
		c->vsock = vsock;
	return r;
}

/* ---- the small devices ---- */

bool config_is_balloon_value(const char *word)
{
	return isdigit((unsigned char)word[0]) || strcmp(word, "off") == 0;
}

int config_apply_balloon(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	uint64_t bytes = 0;
	bool on = !value || strcmp(value, "off") != 0;

	if (value && on && strcmp(value, "0") != 0 && config_parse_size(value, &bytes) < 0)
		return err_set(err, -EINVAL, "%s %s: expected a size such as 256M, or off", option, value);
	if (bytes % 4096 != 0)
		return err_set(err, -EINVAL, "%s %s: expected a multiple of 4K", option, value);
	c->balloon = (struct config_balloon){.on = on, .bytes = bytes};
	return 0;
}

int config_check_balloon(const struct vm_config *c, struct err *err)
{
	uint64_t most = c->memory - CONFIG_MIN_MEMORY;
	bool even = most % MIB(1) == 0;

	if (c->balloon.bytes <= most)
		return 0;
	return err_set(err, -EINVAL,
		       "--balloon: expected at most %" PRIu64 "%s: 32M of the memory stay with the guest",
		       even ? most >> 20 : most >> 10, even ? "M" : "K");
}

int config_apply_rng(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (config_set_on_off(&c->rng, value) < 0)
		return err_set(err, -EINVAL, "%s %s: expected on or off", option, value);
	c->rng_given = true;
	return 0;
}

static const char *const actions[] = {"reset", "poweroff", "exit"};

const char *config_watchdog_action(enum watchdog_action action)
{
	return action == WATCHDOG_NONE ? NULL : actions[action - WATCHDOG_RESET];
}

int config_apply_watchdog(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	int i = config_find_word(value, actions, ARRAY_SIZE(actions));

	if (i < 0)
		return err_set(err, -EINVAL, "%s %s: expected reset, poweroff or exit", option, value);
	c->watchdog = (enum watchdog_action)(WATCHDOG_RESET + i);
	return 0;
}

int config_apply_grace(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (strcmp(value, "0") == 0)
		c->grace_ns = 0;
	else if (config_parse_seconds(value, &c->grace_ns) < 0)
		return err_set(err, -EINVAL, "%s %s: expected a number of seconds, or 0 to stop at once",
			       option, value);
	return 0;
}
