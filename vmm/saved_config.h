/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a configuration a snapshot holds: all that the guest can see of its machine, and what a person
 * wants to know of the rest. Sections "machine", "config/diskN", "config/netN", "config/shareN",
 * "config/portN", "config/publishN" and "memory" (N from 0, in the order of vm_config).
 *
 * Not held: what is the host's alone (kernel, engines, vhost, sandbox, time limits, log) and COMMAND.
 *
 * Thread: any; objects belong to the caller.
 */
#ifndef HULL_VMM_SAVED_CONFIG_H
#define HULL_VMM_SAVED_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/config.h"
#include "hull/err.h"
#include "hull/snapshot.h"
#include "hull/state.h"

enum {
	SAVED_SHOWN = 256, /* bytes of a path to be shown, with the NUL */
	SAVED_IDENTITY_BYTES = 16,
};

/* What a snapshot holds of a machine and vm_config does not. */
struct saved_extra {
	uint64_t disk_bytes[CONFIG_MAX_DISKS]; /* as the guest sees them: whole sectors, more than 0 */
	uint8_t macs[CONFIG_MAX_NETS][6];      /* in use */
	unsigned pairs[CONFIG_MAX_NETS];       /* of queues, in use: 1 to CONFIG_MAX_QUEUES, and to cpus */
	/* From here on set by saved_config_get() alone, for messages: escaped, and cut when it is long. */
	char name[CONFIG_MAX_NAME]; /* of the machine that was saved */
	char disk_paths[CONFIG_MAX_DISKS][SAVED_SHOWN];
	char share_paths[CONFIG_MAX_SHARES][SAVED_SHOWN];
	char ifnames[CONFIG_MAX_NETS][SAVED_SHOWN]; /* "": it was no TAP device */
};

/* Adds the sections of `config`, but for "memory". Needs some 10 KiB of stack. */
void saved_config_put(struct snapshot_writer *writer, const struct vm_config *config,
		      const struct saved_extra *extra);

/*
 * `config` and `extra` are all zeroes. The configuration as config_parse() would leave it for such a machine,
 * without what is not held: there is neither kernel nor COMMAND, and the name is this process's. Paths of
 * disks, shares and sockets and names of TAP devices are "", descriptors -1: whoever restores binds them
 * anew. has_mac and queues_given are set, with what was in use, as the guest knows it.
 *
 * Everything is checked as options are. Errors: -EINVAL, -ENOMEM; what was made is of no use then.
 */
int saved_config_get(struct snapshot *snapshot, struct vm_config *config, struct saved_extra *extra,
		     struct err *err);

/* The section "memory": what the file beside `state` holds. */
struct saved_memory {
	uint64_t bytes;                     /* of RAM, and so of the file */
	uint8_t incremental;                /* 1: only pages that differ from those of `base` */
	uint8_t base[SAVED_IDENTITY_BYTES]; /* the snapshot that it belongs to; zeroes when there is none */
	uint8_t identity[SAVED_IDENTITY_BYTES]; /* of this snapshot: random */
};

void saved_memory_put(struct snapshot_writer *writer, const struct saved_memory *memory);

/* Errors: -EINVAL: also when the machine has not as much memory, or identities cannot be. */
int saved_memory_get(struct snapshot *snapshot, struct saved_memory *ret_memory, struct err *err);

/* The tables by which the sections are written, for those who walk all tables. */
extern const struct state_table saved_machine_table, saved_disk_table, saved_net_table, saved_share_table,
	saved_port_table, saved_publish_table, saved_memory_table;

/* True for bytes in one of these tables that are a text, for those who print them. */
bool saved_is_text(const struct state_table *table, const struct state_field *field);

#endif
