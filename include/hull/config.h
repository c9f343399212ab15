/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of a machine as the user gave it: values only. Parsing and
 * checking open nothing and know nothing of the host.
 */
#ifndef HULL_CONFIG_H
#define HULL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/block.h"
#include "hull/err.h"
#include "hull/log.h"

enum {
	CONFIG_MAX_INITRDS = 16,
	CONFIG_MAX_APPEND = 8192,
	CONFIG_MAX_NAME = 64,
	CONFIG_MAX_CPUS = 64,
	CONFIG_MAX_DISKS = 16, /* the root image is one of them */
	CONFIG_MAX_QUEUES = 16,
	CONFIG_MAX_PATH = 4096, /* with the NUL */
	CONFIG_MAX_ID = 20,     /* bytes of a disk's or NIC's id, and of a serial number */
	CONFIG_MAX_NETS = 8,
	CONFIG_MAX_PUBLISHED = 64,
	CONFIG_MAX_PORTS = 7,    /* of the virtio console, beside the console itself */
	CONFIG_MAX_SOCKET = 108, /* bytes of a Unix socket's path, with the NUL */
	CONFIG_MAX_MTU = 65535,
	CONFIG_MAX_SHARES = 16, /* the root directory is one of them */
	CONFIG_MAX_ENV = 256,
	CONFIG_MAX_USER = 64, /* bytes of --user, with the NUL */
	CONFIG_MIN_MTU = 68,
	CONFIG_DEFAULT_UID = 65534, /* nobody */
};

#define CONFIG_MIN_MEMORY     (UINT64_C(32) << 20)
#define CONFIG_DEFAULT_MEMORY (UINT64_C(512) << 20)

#define CONFIG_DEFAULT_GRACE_NS (UINT64_C(10) * 1000000000)

#define CONFIG_DEFAULT_BOOT_TIMEOUT_NS (UINT64_C(60) * 1000000000)

enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO, CONSOLE_NONE };

enum transport_kind { TRANSPORT_PCI, TRANSPORT_MMIO };

/* What the guest may do with its root: write, not write, write what is gone at the end. */
enum root_mode { ROOT_RW, ROOT_RO, ROOT_COW };

struct config_disk {
	char path[CONFIG_MAX_PATH];
	char id[CONFIG_MAX_ID + 1];     /* unique; "disk0", "disk1", ...; "root" */
	char serial[CONFIG_MAX_ID + 1]; /* printable; as the id unless given */
	bool read_only;
	bool direct; /* past the host's page cache; implied by engine=aio */
	bool discard;
	bool pause_on_enospc;
	enum block_engine engine;
	unsigned queues; /* 1 to CONFIG_MAX_QUEUES; one per vCPU unless given */
};

/*
 * --root: an image is also the first of the disks, with the id "root"; a directory the first of
 * the shares, with the tag "root". Which of the two is known once somebody has looked: until
 * config_root_is_directory() it is taken for an image.
 */
struct config_root {
	char path[CONFIG_MAX_PATH]; /* "": not given */
	enum root_mode mode;
	bool mode_given;
	bool directory;
};

enum share_cache { SHARE_CACHE_AUTO, SHARE_CACHE_LONG, SHARE_CACHE_WRITEBACK };

/* --share, or --root DIR. */
struct config_share {
	char path[CONFIG_MAX_PATH];   /* on the host */
	char target[CONFIG_MAX_PATH]; /* in the guest, absolute, no "..", "." or "//"; "/" for the root */
	char tag[16];                 /* "root", "share0", "share1", ... */
	bool read_only;
	enum share_cache cache;
};

/* How the processes that the guest may break are confined (vmm/sandbox/sandbox.h). */
enum sandbox_mode {
	SANDBOX_ON,     /* with all layers that the host gives */
	SANDBOX_STRICT, /* with all layers, or not at all */
	SANDBOX_OFF,    /* hardly: descriptors and capabilities */
};

struct config_sandbox {
	enum sandbox_mode mode;
	uint32_t uid;   /* as root: user and group that the worker becomes */
	bool uid_given; /* else it is CONFIG_DEFAULT_UID */
};

enum tty_choice { TTY_AUTO, TTY_ON, TTY_OFF };

/* What follows "--", and how it is run. */
struct config_command {
	char *const *argv; /* NULL: no COMMAND; not ended by NULL */
	unsigned argc;
	const char *env[CONFIG_MAX_ENV]; /* NAME=VALUE; NAME alone: the value that hull itself has */
	unsigned env_count;
	const char *workdir;        /* NULL: the caller's, if the guest has it */
	char user[CONFIG_MAX_USER]; /* "": root */
	enum tty_choice tty;        /* AUTO: when stdin and stdout are terminals */
	uint64_t boot_timeout_ns;   /* without a sign of life; more than 0 with COMMAND, else 0 */
};

enum net_kind { NET_USER, NET_TAP, NET_FD };
enum vhost_choice { VHOST_AUTO, VHOST_ON, VHOST_OFF };

struct config_net {
	enum net_kind kind;
	char ifname[16];            /* NET_TAP */
	int fd;                     /* NET_FD */
	char id[CONFIG_MAX_ID + 1]; /* unique; "net0", "net1", ... */
	bool has_mac;               /* else one is made up when the machine is built */
	bool new_mac;               /* after a restore: it is not the one that the snapshot has */
	uint8_t mac[6];
	unsigned mtu;      /* 0: not given */
	unsigned queues;   /* pairs, 1 to CONFIG_MAX_QUEUES; one per vCPU unless given, on a TAP; else 1 */
	bool queues_given; /* else it may be fewer: the TAP may have been made for one pair */
	enum vhost_choice vhost;
};

/* A port of the host that leads to one of the guest. */
struct config_publish {
	char address[46]; /* of the host, IPv4 or IPv6 as text; "": all */
	uint16_t host;    /* 1 to 65535 */
	uint16_t guest;   /* 1 to 65535 */
	bool udp;         /* else TCP */
};

/* A further port of the virtio console: /dev/virtio-ports/NAME, and a Unix socket of the host. */
struct config_port {
	char name[32];
	char path[CONFIG_MAX_SOCKET]; /* unique among the ports, as the name is */
};

struct config_vsock {
	uint32_t cid;                 /* 0: no vsock */
	char path[CONFIG_MAX_SOCKET]; /* "": NAME.vsock in the run directory */
	bool implied;                 /* by COMMAND or --agent: no socket of the host, path is "" */
};

struct config_balloon {
	bool on;
	uint64_t bytes; /* that the guest is asked to give back from the start */
};

/* What the end of the watchdog's patience does; WATCHDOG_NONE: there is no watchdog. */
enum watchdog_action { WATCHDOG_NONE, WATCHDOG_RESET, WATCHDOG_POWEROFF, WATCHDOG_EXIT };

struct vm_config {
	const char *kernel; /* NULL: the default is looked for when files are opened */
	const char *initrds[CONFIG_MAX_INITRDS];
	unsigned initrd_count;
	unsigned cpus;
	uint64_t memory; /* bytes, a multiple of 4 KiB */
	enum console_kind console;
	enum transport_kind transport;
	unsigned disk_count;
	unsigned share_count;
	struct config_command command;
	bool agent;                              /* --agent: without COMMAND, for `hull exec` */
	struct config_net nets[CONFIG_MAX_NETS]; /* in the order of eth0, eth1, ... */
	unsigned net_count;
	bool net_none;                                         /* --net none was given: there are none */
	struct config_publish published[CONFIG_MAX_PUBLISHED]; /* by the first NET_USER */
	unsigned published_count;
	struct config_port ports[CONFIG_MAX_PORTS]; /* with CONSOLE_VIRTIO */
	unsigned port_count;
	struct config_vsock vsock;
	struct config_balloon balloon; /* on unless --balloon off */
	bool rng; /* unless given: on when something else but the balloon is plugged in */
	bool rng_given;
	enum watchdog_action watchdog;
	struct config_sandbox sandbox;
	uint64_t timeout_ns; /* 0: none */
	uint64_t grace_ns;   /* from the power button to the end by force; 0: no button is pressed */
	char name[CONFIG_MAX_NAME];
	bool name_given;
	const char *log; /* file for hull's own messages; NULL: stderr */
	enum log_level log_level;
	bool dry_run;
	/* What is large, and mostly not used: pages that nobody writes to cost nothing. */
	char append[CONFIG_MAX_APPEND]; /* the user's words for the kernel, joined by spaces */
	struct config_root root;
	struct config_disk disks[CONFIG_MAX_DISKS];    /* in the order of /dev/vdX; the root comes first */
	struct config_share shares[CONFIG_MAX_SHARES]; /* the root directory comes first */
};

/*
 * Parses the words after `hull run` into `config`, which is all zeroes: best from calloc(), as it is 200 KiB,
 * of which few are touched. Strings point into `argv`. Errors: -EINVAL with one line that names the option
 * and what was expected; `config` is of no use then.
 */
int config_parse(int argc, char *const argv[], struct vm_config *config, struct err *err);

/* Copies what is used of `from` to `to`, which is all zeroes as for config_parse(). Words stay shared. */
void config_copy(struct vm_config *to, const struct vm_config *from);

/*
 * --root names a directory: it is no disk but a share, cow unless the user says otherwise. Right
 * after config_parse(); nothing happens when it is known already. Errors: -EINVAL: too many shares.
 */
int config_root_is_directory(struct vm_config *config, struct err *err);

/* That the bus, or the transport, has a place for each device. Errors: -EINVAL. */
int config_check_places(const struct vm_config *config, struct err *err);

/*
 * "512M" to bytes: a positive decimal number and an optional K, M, G or T
 * (powers of 1024). Errors: -EINVAL, -ERANGE.
 */
int config_parse_size(const char *text, uint64_t *ret_bytes);

/* "1.5" seconds to nanoseconds; more than 0, at most ten years. Errors: -EINVAL. */
int config_parse_seconds(const char *text, uint64_t *ret_ns);

#endif
