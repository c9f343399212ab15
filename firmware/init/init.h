/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's first stage: PID 1 of the small initramfs that hull makes for --root, for
 * COMMAND and for --agent. It loads modules and mounts the root, and hands over to its init, or,
 * as the agent, stays and runs what the host asks for.
 *
 *	/init            this program
 *	/root.conf       lines of words; \040, \134 and \012 are a space, a backslash and a newline in them:
 *	                 "device PATH" or "tag NAME" (the root; neither: this initramfs), "mode ro|rw|cow",
 *	                 "fstype NAME", "dhcp INTERFACE", "dir PATH", "hostname NAME", "share TAG PATH ro|rw",
 *	                 "command" (it is the agent), "agent" (an agent beside the root's init)
 *	/modules/order   names of the files in /modules, in the order of loading
 *	/modules/NAME    uncompressed modules
 *
 * It runs in the guest, with the guest's own words as input: what is trusted
 * here is trusted by nobody else.
 */
#ifndef INIT_H
#define INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WORD_MAX = 1024,
	PATH_WORD_MAX = 4096,
	TAG_MAX = 37, /* with its end: 36 bytes at most (virtio 1.2, 5.11.4) */
	SHARES_MAX = 16,
	IF_NAME_MAX = 15,
};

#define RESOLV_CONF "/resolv.conf" /* of this stage: what the DHCP server said */

/* A directory of the host. */
struct share {
	char tag[TAG_MAX];
	char path[PATH_WORD_MAX]; /* in the root */
	bool read_only;
};

struct settings {
	char device[WORD_MAX];
	char tag[WORD_MAX];      /* of the root's share: then there is no device; "" both: the initramfs */
	char fstype[WORD_MAX];   /* "": try what the kernel knows */
	char flags[WORD_MAX];    /* for mount's last argument */
	char init[WORD_MAX];     /* "": the usual places */
	char dhcp[WORD_MAX];     /* the interface with a DHCP server; "": none */
	char dir[PATH_WORD_MAX]; /* of the root: it is to be there whatever is mounted; "": none */
	char hostname[WORD_MAX]; /* "": as the kernel has it */
	bool read_only;
	bool cow; /* changes go to memory: an overlay */
	bool command;
	bool agent;
	struct share shares[SHARES_MAX];
	unsigned share_count;
};

/* One line on the console. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * One line on the console, then the end of PID 1: the kernel panics, which hull reports. If hull waits for
 * COMMAND's agent, it is told instead, and the machine is powered off: nothing is wrong with the guest then.
 */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A whole file, NUL-terminated, in memory that is never freed; "" when it cannot be read. */
char *read_file(const char *path);

/* Takes /root.conf's text, then that of the kernel's command line, which wins (settings.c). */
void parse_settings(struct settings *ret, const char *conf, const char *cmdline);

/*
 * Loads what /modules/order names, and frees it (modules.c). Without signatures unless the kernel insists on
 * them, or `with_signature`.
 */
void load_modules(bool with_signature);

/* The length of a module without the signature at its end, if it has one. */
size_t module_unsigned_len(const uint8_t *module, size_t len);

/* Mounts one of the kernel's own file systems; says why when it cannot (mounts.c). */
void mount_kernel(const char *type, const char *dir);

/* Makes a directory and those above it: 0 also when it is there, or -errno (mounts.c). */
int make_dirs(const char *path);

/* In the root: what nobody else mounts in COMMAND mode; settings->dir stays in sight (mounts.c). */
void mount_for_command(const struct settings *settings);

/* In the root: the host's directories (mounts.c). */
void mount_shares(const struct settings *settings);

/* Whether there is a root to be mounted: else this initramfs is it. */
static inline bool has_root(const struct settings *settings)
{
	return settings->tag[0] || settings->device[0];
}

/* Waits for the device, or takes the share, and mounts it at `target` (root.c). */
void mount_root(const struct settings *settings, const char *target);

/* Loopback, and the interface of settings->dhcp; says why when it cannot (net.c). */
void start_network(const struct settings *settings);

/*
 * The first interface with the address `old`, if there is one, gets `fresh`. When it is `dhcp`, and its link
 * is up, the DHCP server is asked again, and addresses, route and name servers become what it says (net.c).
 * -ETIMEDOUT: it does not answer; -errno.
 */
int change_mac(const uint8_t old[static 6], const uint8_t fresh[static 6], const char *dhcp);

/*
 * Shows the name servers in the root at `target` (net.c). False: there they are a link, and
 * write_name_servers() must do it.
 */
bool show_name_servers(const char *target);

/*
 * In the root of COMMAND mode: /etc/resolv.conf is a link to a file that a service would write to /run, which
 * is memory: does so with `text` (net.c).
 */
void write_name_servers(const char *text);

/* Makes `target` the root; /dev, /proc and /sys go along, to directories that are made if `make` (root.c). */
void switch_root(const char *target, bool make);

#endif
