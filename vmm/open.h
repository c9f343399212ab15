/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a configuration to open descriptors: the only place of `hull run` that
 * opens paths. Everything after it works on what is here.
 */
#ifndef HULL_VMM_OPEN_H
#define HULL_VMM_OPEN_H

#include <stdbool.h>

#include "hull/boot.h"
#include "hull/config.h"
#include "hull/err.h"
#include "hull/snapshot.h"
#include "open_disk.h"
#include "open_net.h"
#include "open_share.h"

struct resources {
	int kvm;
	int log;                  /* where hull's messages go: a file, or stderr */
	int console_in;           /* -1: none */
	int console_out;          /* -1: none */
	bool console_is_terminal; /* console_in is one */
	uint16_t console_cols;    /* of the terminal; 0: none, or unknown */
	uint16_t console_rows;
	int port_listen[CONFIG_MAX_PORTS]; /* listening sockets: those of the configuration's ports */
	const char *port_paths[CONFIG_MAX_PORTS];
	unsigned port_count;
	int vsock_listen; /* a listening socket, or -1 */
	char vsock_path[CONFIG_MAX_SOCKET];
	struct boot_file kernel;
	struct boot_file initrds[CONFIG_MAX_INITRDS + 1]; /* those of the configuration, then hull's own */
	unsigned initrd_count;
	struct disk_file disks[CONFIG_MAX_DISKS]; /* those of the configuration, in their order */
	unsigned disk_count;
	struct net_file nets[CONFIG_MAX_NETS]; /* those of the configuration */
	unsigned net_count;
	struct share_file shares[CONFIG_MAX_SHARES]; /* those of the configuration */
	unsigned share_count;
	int decoded;               /* a decoded kernel, or -1 */
	struct snapshot *snapshot; /* NULL: the machine boots; else its state (not closed here), and */
	int memory;                /* its memory; else -1 */
	int ready;                 /* gets a byte when the guest begins to run; -1: nobody waits */
	int starter; /* of a copy: readable when it is to go on, and hung up before when it is to end; else -1
		      */
	char kernel_path[4096];
};

/* Opens everything `config` names. Errors name the path or the option. */
int resources_open(struct resources *ret_res, const struct vm_config *config, struct err *err);

/* Opens kernel, initrds, disks and shared directories only, and locks no disk: what --dry-run checks. */
int resources_open_files(struct resources *ret_res, const struct vm_config *config, struct err *err);

/* For open_restore.c: nothing is open; shared directories; what needs no file of the machine's own. */
void resources_init(struct resources *ret_res);
/* `same`: see share_file_open(), one for each; NULL: any. */
int resources_open_shares(struct resources *res, const struct vm_config *config, const int *same,
			  struct err *err);
int resources_open_host(struct resources *res, const struct vm_config *config, struct err *err);

/* Closes what is open; zeroed and half-open objects are fine. */
void resources_close(struct resources *res);

#endif
