/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk in slot 1: its BAR goes where the guest puts it, and nowhere over what is there. */
#include "guest.inc"

#define DISK    (ECAM + (1 << 15))
#define COMMAND (DISK + 0x04)
#define BAR     (DISK + 0x10)

/* Offsets in the BAR: number of queues, configuration vector; first doorbell. */
#define QUEUES 18
#define VECTOR 16
#define NOTIFY 0x3000

/* RAM that is the guest's own; its image lies below. */
#define RAM 0x800000

	.macro move_bar to
	movl $\to, BAR
	.endm

	.macro expect_disk at, what
	movzwl \at + QUEUES, %eax
	expect "\what", cmp %ebp, %eax
	.endm

	.macro expect_nothing at, what
	movzwl \at + QUEUES, %eax
	expect "\what", cmp $0xffff, %eax
	.endm

guest_main:
	mov DISK, %eax
	expect "a disk in slot 1", cmp $0x10421af4, %eax
	movl $-1, BAR
	mov BAR, %eax
	expect "size of the BAR", cmp $0xffff8000, %eax
	move_bar NOWHERE
	movw $6, COMMAND
	movzwl NOWHERE + QUEUES, %ebp
	mov %ebp, %eax
	expect "a queue", cmp $1, %eax
	expect_nothing NOWHERE + 0x8000, "past the BAR"

	move_bar NOWHERE + 0x100000
	expect_nothing NOWHERE, "old place"
	expect_disk NOWHERE + 0x100000, "new place"
	movw $4, COMMAND
	expect_nothing NOWHERE + 0x100000, "decoding off"
	movw $6, COMMAND
	expect_disk NOWHERE + 0x100000, "decoding on"

	/* RAM wins, for what is read, what is written, and doorbells. */
	movl $0x12345678, RAM + VECTOR
	movl $0, RAM + NOTIFY
	move_bar RAM
	mov RAM + VECTOR, %eax
	expect "RAM under the BAR, read", cmp $0x12345678, %eax
	movw $0, RAM + VECTOR
	movw $0x55, RAM + NOTIFY
	mov RAM + NOTIFY, %eax
	expect "RAM under the doorbell", cmp $0x55, %eax
	expect_nothing NOWHERE + 0x100000, "BAR over RAM is nowhere else"

	/* So do the interrupt controllers and the configuration space itself. */
	mov LAPIC + 0x30, %ebx
	move_bar LAPIC
	mov LAPIC + 0x30, %eax
	expect "local APIC", cmp %ebx, %eax
	movl $1, IOAPIC
	mov IOAPIC + 0x10, %ebx
	move_bar IOAPIC
	mov IOAPIC + 0x10, %eax
	expect "I/O APIC", cmp %ebx, %eax
	move_bar ECAM
	mov DISK, %eax
	expect "configuration space", cmp $0x10421af4, %eax
	move_bar 0
	move_bar 0xffff8000

	/* Kicks of a queue that is not ready, from a doorbell that moves. */
	mov $64, %ecx
	mov $NOWHERE, %edi
1:	mov %edi, BAR
	movw $0, NOTIFY(%edi)
	movl $0, NOTIFY(%edi)
	movzwl QUEUES(%edi), %eax
	expect "moved again", cmp %ebp, %eax
	add $0x8000, %edi
	dec %ecx
	jnz 1b

	move_bar NOWHERE
	expect_disk NOWHERE, "home"
	movzwl NOWHERE + VECTOR, %eax
	expect "what was written to RAM is not the disk's", cmp $0xffff, %eax
	finish
