/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run`; see config.h. One row per option, one function per kind of value. */
#include "hull/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_command.h"
#include "config_disk.h"
#include "config_fields.h"
#include "config_misc.h"
#include "config_net.h"
#include "config_options.h"
#include "config_sandbox.h"
#include "config_share.h"
#include "hull/arch.h"
#include "hull/util.h"

/* Slots of the PCI bus, without that of its bridge. */
enum { PCI_PLACES = 31 };

int config_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMGT";
	unsigned shift = 0;
	uint64_t n = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return -ERANGE;
	}
	if (*text) {
		const char *s = strchr(suffixes, toupper((unsigned char)*text));

		if (!s)
			return -EINVAL;
		shift = 10 * (unsigned)(s - suffixes + 1);
		text++;
	}
	if (*text)
		return -EINVAL;
	if (n == 0)
		return -EINVAL;
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_bytes = n << shift;
	return 0;
}

int config_parse_seconds(const char *text, uint64_t *ret_ns)
{
	const double ten_years = 10 * 366 * 86400.0;
	uint64_t ns;
	char *end;
	double s;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return -EINVAL;
	if (strspn(text, "0123456789.") != strlen(text))
		return -EINVAL;
	s = strtod(text, &end);
	if (*end || !(s > 0) || s > ten_years)
		return -EINVAL;
	ns = (uint64_t)(s * 1e9);
	if (ns == 0)
		return -EINVAL;
	*ret_ns = ns;
	return 0;
}

static int apply_kernel(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)option;
	(void)err;
	c->kernel = value;
	return 0;
}

static int apply_initrd(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (c->initrd_count == CONFIG_MAX_INITRDS)
		return err_set(err, -EINVAL, "%s: at most %d initrds", option, CONFIG_MAX_INITRDS);
	c->initrds[c->initrd_count++] = value;
	return 0;
}

static int apply_append(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	size_t used = strlen(c->append);
	int n = snprintf(c->append + used, sizeof(c->append) - used, "%s%s", used ? " " : "", value);

	if (n < 0 || used + (size_t)n >= sizeof(c->append))
		return err_set(err, -EINVAL, "%s: the kernel command line is longer than %d bytes", option,
			       CONFIG_MAX_APPEND - 1);
	return 0;
}

static int apply_cpus(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	uint64_t n;

	if (config_parse_number(value, 1, CONFIG_MAX_CPUS, &n) < 0)
		return err_set(err, -EINVAL, "%s %s: expected a number of vCPUs from 1 to %d", option, value,
			       CONFIG_MAX_CPUS);
	c->cpus = (unsigned)n;
	return 0;
}

static int apply_memory(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	uint64_t bytes;

	if (config_parse_size(value, &bytes) < 0)
		return err_set(err, -EINVAL, "%s %s: expected a size such as 512M or 2G", option, value);
	if (bytes < CONFIG_MIN_MEMORY)
		return err_set(err, -EINVAL, "%s %s: a guest needs at least 32M%s", option, value,
			       isdigit((unsigned char)value[strlen(value) - 1])
				       ? " (a number without K, M, G or T counts bytes)"
				       : "");
	if (bytes % 4096 != 0)
		return err_set(err, -EINVAL, "%s %s: expected a multiple of 4K", option, value);
	c->memory = bytes;
	return 0;
}

static int apply_transport(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (strcmp(value, "pci") == 0)
		c->transport = TRANSPORT_PCI;
	else if (strcmp(value, "mmio") == 0)
		c->transport = TRANSPORT_MMIO;
	else
		return err_set(err, -EINVAL, "%s %s: expected pci or mmio", option, value);
	return 0;
}

int config_apply_timeout(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (config_parse_seconds(value, &c->timeout_ns) < 0)
		return err_set(err, -EINVAL, "%s %s: expected a number of seconds above 0", option, value);
	return 0;
}

int config_apply_name(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	if (!config_is_name(value, CONFIG_MAX_NAME - 1))
		return err_set(
			err, -EINVAL,
			"%s %s: expected up to %d letters, digits, '.', '_' and '-', the first a letter "
			"or digit",
			option, value, CONFIG_MAX_NAME - 1);
	snprintf(c->name, sizeof(c->name), "%s", value);
	c->name_given = true;
	return 0;
}

int config_apply_log(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)option;
	(void)err;
	c->log = value;
	return 0;
}

int config_apply_verbose(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)value;
	if (c->log_level == LOG_ERROR)
		return err_set(err, -EINVAL, "%s: not together with -q", option);
	c->log_level = LOG_INFO;
	return 0;
}

int config_apply_quiet(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)value;
	if (c->log_level == LOG_INFO)
		return err_set(err, -EINVAL, "%s: not together with -v", option);
	c->log_level = LOG_ERROR;
	return 0;
}

int config_apply_dry_run(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	(void)option;
	(void)value;
	(void)err;
	c->dry_run = true;
	return 0;
}

static const struct config_option rows[] = {
	{"kernel", 'k', "a bzImage, vmlinux or FIT image", apply_kernel},
	{"initrd", 'i', "a cpio archive", apply_initrd},
	{"append", 'a', "words for the kernel command line", apply_append},
	{"cpus", 'c', "a number of vCPUs", apply_cpus},
	{"memory", 'm', "a size such as 512M", apply_memory},
	{"disk", 'd', "a disk image, PATH[,ro][,id=ID]...", config_apply_disk},
	{"root", 0, "a directory or disk image, PATH[,ro|rw|cow]", config_apply_root},
	{"share", 0, "DIR:PATH[,ro][,cache=auto|writeback|long]", config_apply_share},
	{"workdir", 0, "a path of the guest", config_apply_workdir},
	{"env", 0, "NAME or NAME=VALUE", config_apply_env},
	{"user", 0, "a user of the guest, by name or number", config_apply_user},
	{"tty", 't', NULL, config_apply_tty},
	{"no-tty", 0, NULL, config_apply_no_tty},
	{"agent", 0, NULL, config_apply_agent},
	{"boot-timeout", 0, "a number of seconds", config_apply_boot_timeout},
	{"net", 'n', "none, user, tap=IFNAME or fd=N", config_apply_net},
	{"publish", 'p', "[ADDR:]HOST:GUEST[/tcp|udp], such as 8080:80", config_apply_publish},
	{"transport", 0, "pci or mmio", apply_transport},
	{"console", 0, "serial, virtio[,port=NAME:SOCKET]... or none", config_apply_console},
	{"vsock", 0, "CID[,path=SOCKET], with a CID of 3 or more", config_apply_vsock},
	{"balloon", 0, "a size such as 256M, or off", config_apply_balloon, config_is_balloon_value},
	{"rng", 0, "on or off", config_apply_rng},
	{"watchdog", 0, "reset, poweroff or exit", config_apply_watchdog},
	{"sandbox", 0, "on, off or strict", config_apply_sandbox},
	{"uid", 0, "the number of a user other than root", config_apply_uid},
	{"timeout", 0, "a number of seconds", config_apply_timeout},
	{"grace", 0, "a number of seconds", config_apply_grace},
	{"name", 0, "a name", config_apply_name},
	{"log", 0, "a file", config_apply_log},
	{"verbose", 'v', NULL, config_apply_verbose},
	{"quiet", 'q', NULL, config_apply_quiet},
	{"dry-run", 0, NULL, config_apply_dry_run},
};

void config_set_defaults(struct vm_config *c)
{
	c->cpus = 1;
	c->memory = CONFIG_DEFAULT_MEMORY;
	c->console = CONSOLE_SERIAL;
	c->balloon.on = true;
	c->watchdog = WATCHDOG_NONE;
	c->sandbox = (struct config_sandbox){.mode = SANDBOX_ON, .uid = CONFIG_DEFAULT_UID};
	c->grace_ns = CONFIG_DEFAULT_GRACE_NS;
	c->log_level = LOG_WARN;
	snprintf(c->name, sizeof(c->name), "hull-%ld", (long)getpid());
}

/*
 * Each PCI function costs a boot some 250 exits. Memory that goes back to the host is
 * worth them to everybody; random numbers only where the machine is more than a kernel
 * and an initramfs: its CPU has an instruction for them.
 */
static void choose_rng(struct vm_config *c)
{
	bool others = c->disk_count || c->share_count || c->net_count || c->console == CONSOLE_VIRTIO ||
		      c->vsock.cid || c->watchdog != WATCHDOG_NONE;

	if (!c->rng_given)
		c->rng = others;
}

/* The watchdog is a PCI function on either transport. */
int config_check_places(const struct vm_config *c, struct err *err)
{
	bool mmio = c->transport == TRANSPORT_MMIO;
	unsigned n = c->disk_count + c->share_count + c->net_count + (c->console == CONSOLE_VIRTIO) +
		     (c->vsock.cid != 0) + c->rng + c->balloon.on + (!mmio && c->watchdog != WATCHDOG_NONE);
	unsigned max = mmio ? ARCH_VIRTIO_MMIO_MAX : PCI_PLACES;
	bool idle = c->rng || c->balloon.on;

	if (n <= max)
		return 0;
	return err_set(err, -EINVAL, "--transport %s: takes at most %u devices, and there are %u%s",
		       mmio ? "mmio" : "pci", max, n, idle ? " (--rng off and --balloon off make room)" : "");
}

/* What no option alone can know. */
static int check_combinations(const struct vm_config *c, struct err *err)
{
	int r = config_check_ports(c, err);

	if (r == 0)
		r = config_check_balloon(c, err);
	if (r == 0)
		r = config_check_sandbox(c, err);
	return r < 0 ? r : config_check_places(c, err);
}

/* What all options together come to, in an order: each step reads what those before it have set. */
static int finish(struct vm_config *c, struct err *err)
{
	int r = config_finish_command(c, err);

	if (r == 0)
		r = config_finish_disks(c, err);
	if (r == 0)
		r = config_finish_nets(c, err);
	if (r < 0)
		return r;
	config_finish_shares(c);
	choose_rng(c);
	return check_combinations(c, err);
}

int config_parse(int argc, char *const argv[], struct vm_config *config, struct err *err)
{
	static const struct config_options options = {rows, ARRAY_SIZE(rows), "run"};
	int r;

	config_set_defaults(config);
	r = config_take_words(&options, argc, argv, NULL, config, err);
	return r == 0 ? finish(config, err) : r;
}

void config_copy(struct vm_config *to, const struct vm_config *from)
{
	memcpy(to, from, offsetof(struct vm_config, append));
	memcpy(to->append, from->append, strlen(from->append));
	to->root = from->root;
	memcpy(to->disks, from->disks, from->disk_count * sizeof(from->disks[0]));
	memcpy(to->shares, from->shares, from->share_count * sizeof(from->shares[0]));
}
