/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest physical addresses of an x86-64 machine.
 *
 *   0x0000_0000  RAM; the loader's tables are below 0x9_f000
 *   0x0009_fc00  RAM that the guest is told to leave alone: the generation ID, 16 bytes
 *   0x000e_0000  ACPI tables
 *   0x0010_0000  RAM, up to 3 GiB
 *   0xc000_0000  PCI memory window, 32 bits
 *   0xe000_0000  PCI configuration space of bus 0 (ECAM)
 *   0xfeb0_0000  virtio-mmio devices, 4 KiB each
 *   0xfec0_0000  I/O APIC
 *   0xfee0_0000  local APICs
 *   0xfffb_c000  KVM's identity map and task state segment (Intel), 4 pages
 *   0x1_0000_0000  RAM, the rest
 *   above RAM    PCI memory window, 64 bits
 */
#ifndef HULL_X86_64_LAYOUT_H
#define HULL_X86_64_LAYOUT_H

#include <stdint.h>

#define LAYOUT_LOW_RAM_END  UINT64_C(0xc0000000)
#define LAYOUT_HIGH_RAM     UINT64_C(0x100000000)
#define LAYOUT_EBDA         UINT64_C(0x9fc00) /* end of what the guest may use below 1 MiB */
#define LAYOUT_GENERATION   LAYOUT_EBDA       /* in no table, and nothing that a guest may take back */
#define LAYOUT_TABLES       UINT64_C(0xe0000)
#define LAYOUT_TABLES_SIZE  UINT64_C(0x20000)
#define LAYOUT_MMIO32       UINT64_C(0xc0000000)
#define LAYOUT_MMIO32_SIZE  UINT64_C(0x20000000)
#define LAYOUT_ECAM         UINT64_C(0xe0000000)
#define LAYOUT_ECAM_SIZE    UINT64_C(0x100000) /* one bus */
#define LAYOUT_VIRTIO_MMIO  UINT64_C(0xfeb00000)
#define LAYOUT_IOAPIC       UINT64_C(0xfec00000)
#define LAYOUT_LAPIC        UINT64_C(0xfee00000)
#define LAYOUT_IDENTITY_MAP UINT64_C(0xfffbc000)
#define LAYOUT_TSS          UINT64_C(0xfffbd000) /* three pages */
#define LAYOUT_MMIO64_ALIGN UINT64_C(0x40000000)
#define LAYOUT_MMIO64_MAX   UINT64_C(0x1000000000) /* 64 GiB */

#endif
