/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections of a saved configuration as structures: saved_config.c writes, saved_config_get.c reads. */
#ifndef HULL_VMM_SAVED_CONFIG_STATE_H
#define HULL_VMM_SAVED_CONFIG_STATE_H

#include <stdint.h>

#include "hull/config.h"

/* A section "config/disk15", with its NUL. */
enum { SAVED_NAME_BYTES = 24 };

/* Texts end with a NUL, flags are 0 or 1, enumerations those of config.h. */

struct saved_machine {
	char name[CONFIG_MAX_NAME]; /* for show */
	uint64_t memory;            /* bytes */
	uint64_t balloon_bytes;     /* that the machine was started with */
	uint32_t cpus;
	uint32_t vsock_cid; /* 0: none */
	uint8_t vsock_implied;
	uint8_t console;   /* enum console_kind */
	uint8_t transport; /* enum transport_kind */
	uint8_t balloon;
	uint8_t rng;
	uint8_t watchdog;  /* enum watchdog_action */
	uint8_t agent;     /* there is one: of COMMAND or --agent */
	uint8_t root_mode; /* enum root_mode */
	uint8_t root_directory;
	uint8_t disks, nets, shares, ports, published; /* how many sections of each there are */
};

struct saved_disk {
	char path[CONFIG_MAX_PATH]; /* for show */
	char id[CONFIG_MAX_ID + 1];
	char serial[CONFIG_MAX_ID + 1];
	uint8_t read_only;
	uint8_t discard;
	uint8_t pause_on_enospc;
	uint8_t queues;
	uint64_t bytes;
};

struct saved_net {
	char ifname[16]; /* for show */
	char id[CONFIG_MAX_ID + 1];
	uint8_t kind; /* enum net_kind */
	uint8_t mac[6];
	uint16_t mtu;  /* 0: not given */
	uint8_t pairs; /* of queues */
};

struct saved_share {
	char path[CONFIG_MAX_PATH]; /* for show */
	char target[CONFIG_MAX_PATH];
	char tag[16];
	uint8_t read_only;
	uint8_t cache; /* enum share_cache */
};

struct saved_port {
	char name[32];
};

struct saved_publish {
	char address[46];
	uint16_t host, guest;
	uint8_t udp;
};

/* "config/KINDn". */
void saved_config_name(char name[static SAVED_NAME_BYTES], const char *kind, unsigned index);

#endif
