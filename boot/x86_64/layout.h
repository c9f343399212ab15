/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the loader puts what it writes itself, below 128 KiB of guest memory.
 *
 *	0x00000  real-mode vectors, BIOS data: never touched
 *	0x01000  GDT
 *	0x02000  boot_params ("zero page")
 *	0x03000  setup_data: seed for the guest's random numbers
 *	0x04000  hvm_start_info, module list, memory map (PVH)
 *	0x05000  PML4
 *	0x06000  PDPT
 *	0x07000  four page directories: the first 4 GiB by 2 MiB pages
 *	0x0b000  free
 *	0x10000  command line, up to 64 KiB
 *	0x20000  end
 *
 * Kernels and initrds keep away from all of it. The first MiB is reserved by
 * Linux once it runs, after it has copied what it needs. The ACPI tables, at
 * 0xe0000, are not the loader's.
 */
#ifndef BOOT_X86_64_LAYOUT_H
#define BOOT_X86_64_LAYOUT_H

#include "hull/util.h"

enum {
	BOOT_GDT = 0x1000,
	BOOT_PARAMS = 0x2000,
	BOOT_SEED = 0x3000,
	BOOT_START_INFO = 0x4000,
	BOOT_PML4 = 0x5000,
	BOOT_PDPT = 0x6000,
	BOOT_PD = 0x7000,
	BOOT_PD_COUNT = 4,
	BOOT_CMDLINE = 0x10000,
	BOOT_CMDLINE_MAX = 0x10000, /* with the NUL */
	BOOT_DATA_END = 0x20000,

	BOOT_PAGE = 4096,
	BOOT_HUGE_PAGE = 2 << 20, /* what kernels are aligned to at least */
};

/* The page tables map this much, so kernels stay below. */
#define BOOT_MAPPED GIB(BOOT_PD_COUNT)

_Static_assert(BOOT_PD + BOOT_PD_COUNT * BOOT_PAGE <= BOOT_CMDLINE, "boot data overlap");
_Static_assert(BOOT_CMDLINE + BOOT_CMDLINE_MAX <= BOOT_DATA_END, "boot data overlap");

#endif
