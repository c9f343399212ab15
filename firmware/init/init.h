/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's first stage: PID 1 of the small initramfs that hull makes for
 * --root IMAGE. It loads modules, mounts the root and hands over to its init.
 *
 *	/init            this program
 *	/root.conf       lines "device PATH", "mode ro|rw|cow", "fstype NAME", "dhcp INTERFACE"
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

enum { WORD_MAX = 1024 };

#define RESOLV_CONF "/resolv.conf" /* of this stage: what the DHCP server said */

struct settings {
	char device[WORD_MAX];
	char fstype[WORD_MAX]; /* "": try what the kernel knows */
	char flags[WORD_MAX];  /* for mount's last argument */
	char init[WORD_MAX];   /* "": the usual places */
	char dhcp[WORD_MAX];   /* the interface with a DHCP server; "": none */
	bool read_only;
	bool cow; /* changes go to memory: an overlay */
};

/* One line on the console. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line on the console, then the end of PID 1: the kernel panics, which hull reports. */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A whole file, NUL-terminated, in memory that is never freed; "" when it cannot be read. */
char *read_file(const char *path);

/* Takes /root.conf, then the kernel's command line, which wins (settings.c). */
void read_settings(struct settings *ret);

/* Loads what /modules/order names, and frees it (modules.c). */
void load_modules(void);

/* Waits for the device and mounts it at `target` (root.c). */
void mount_root(const struct settings *settings, const char *target);

/* Configures the interface of settings->dhcp; says why when it cannot (net.c). */
void start_network(const struct settings *settings);

/* Shows the name servers in the root at `target` (net.c). */
void show_name_servers(const char *target);

/* Makes `target` the root; /dev, /proc and /sys go along (root.c). */
void switch_root(const char *target);

#endif
