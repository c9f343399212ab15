/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets up every virtio device that is plugged in as a PCI function and gives each queue
 * one chain or a few: disks write, flush, read, discard; a share creates a file and
 * fills it; sockets connect; memory goes back. It waits for answers, but not for
 * ever, prints a line for each device, and powers off: what devices answer is for the
 * tests of each; here hosts fail under them.
 */
#include "guest.inc"

#define PATIENCE 20000

/* Each function has a BAR and a page for the rings and buffers of each of 16 queues. */
#define RAM     0x1000000
#define ENTRIES 16
#define AVAIL   0x400
#define USED    0x600
#define REPLY   0x800

#define NEXT  1
#define WRITE 2

#define NET     0x1041
#define BLOCK   0x1042
#define CONSOLE 0x1043
#define RNG     0x1044
#define BALLOON 0x1045
#define VSOCK   0x1053
#define FS      0x105a

	.section .data
	.balign 8
packet: /* to the network: a header of virtio's and a frame */
	.skip 12
	.byte 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6
	.skip 46
packet_end:
line:
	.ascii "a line\n"
line_end:
	.balign 8
connect: /* struct virtio_vsock_hdr: from 5 to port 7 of the host */
	.quad 5, 2
	.long 9, 7, 0
	.word 1, 1
	.long 0, 4096, 0
connect_end:
page:
	.long (RAM + 0x800000) >> 12
page_end:

	/* A request of FUSE: fuse request OPCODE, NODE, BODY... */
	.macro fuse label, opcode, node
	.balign 8
\label:
	.long \label\()_end - \label, \opcode
	.quad 1, \node
	.long 0, 0, 1, 0
	.endm

	fuse fuse_init, 26, 0
	.long 7, 38, 0x10000, 0
	.skip 48
fuse_init_end:
	fuse fuse_getattr, 3, 1
	.quad 0, 0
fuse_getattr_end:
	fuse fuse_lookup, 1, 1
	.asciz "here"
fuse_lookup_end:
	fuse fuse_mkdir, 9, 1
	.long 0755, 0
	.asciz "dir"
fuse_mkdir_end:
	fuse fuse_statfs, 17, 1
fuse_statfs_end:
	fuse fuse_create, 35, 1
	.long 2, 0644, 0, 0 /* O_RDWR */
	.asciz "new"
fuse_create_end:
	fuse fuse_write, 16, 2
write_handle:
	.quad 0, 0
	.long 8, 0
	.quad 0
	.long 2, 0
	.ascii "contents"
fuse_write_end:
	fuse fuse_read, 15, 2
read_handle:
	.quad 0, 0
	.long 64, 0
	.quad 0
	.long 2, 0
fuse_read_end:
	fuse fuse_fsync, 20, 2
fsync_handle:
	.quad 0
	.long 0, 0
fuse_fsync_end:
	fuse fuse_release, 18, 2
release_handle:
	.quad 0
	.long 2, 0
	.quad 0
fuse_release_end:
	fuse fuse_unlink, 10, 1
	.asciz "new"
fuse_unlink_end:

	.macro entry label
	.long \label, \label\()_end - \label
	.endm
fuse_requests:
	entry fuse_init
	entry fuse_getattr
	entry fuse_lookup
	entry fuse_mkdir
	entry fuse_statfs
	entry fuse_create
	entry fuse_write
	entry fuse_read
	entry fuse_fsync
#ifndef HOLD
	entry fuse_release
	entry fuse_unlink
#endif
	.long 0

	/* Of disks: type, flags of the data, bytes of data. */
block_requests:
	.long 1, 0, 4096     /* out */
	.long 4, -1, 0       /* flush: no data */
	.long 0, WRITE, 4096 /* in */
	.long 8, WRITE, 20   /* identity */
	.long 11, 0, 16      /* discard */
	.long 13, 0, 16      /* zeroes */
	.long 1, 0, 4096
	.long -1
segment:
	.quad 64
	.long 8, 0

	/* Of others: the device, its queues to be written by the host, and what is read. */
kinds:
	.long NET, 1, packet, packet_end - packet
	.long CONSOLE, 5, line, line_end - line
	.long RNG, 1, line, 0
	.long BALLOON, 0, page, page_end - page
	.long VSOCK, 5, connect, connect_end - connect
	.long 0

used_before:
	.word 0

	.text
	mode_32

/* In what follows EBX is the function's configuration space, EDI its BAR, EBP its rings. */

/* ECX: the queue. One descriptor more is available, and the host is told. EAX: the first one. */
kick:
	push %edx
	movzwl AVAIL + 2(%ebp), %edx
	push %edx
	and $(ENTRIES - 1), %edx
	mov %ax, AVAIL + 4(%ebp, %edx, 2)
	pop %edx
	inc %edx
	mov USED + 2(%ebp), %ax
	mov %ax, used_before
	mov %dx, AVAIL + 2(%ebp)
	mov %cx, 0x3000(%edi, %ecx, 4)
	pop %edx
	ret

/* Until something is used. */
wait_used:
	push %eax
	push %ecx
	mov $PATIENCE, %ecx
1:	mov USED + 2(%ebp), %ax
	cmp used_before, %ax
	jne 2f
	pause
	loop 1b
2:	pop %ecx
	pop %eax
	ret

/* Descriptor EDX is ESI, EAX bytes, flags of the macro. */
	.macro descriptor flags
	shl $4, %edx
	mov %esi, (%ebp, %edx)
	movl $0, 4(%ebp, %edx)
	mov %eax, 8(%ebp, %edx)
	movl \flags, 12(%ebp, %edx)
	.endm

/* ECX: the queue. */
queue_page:
	mov %ebx, %ebp
	sub $ECAM, %ebp
	shl $1, %ebp
	mov %ecx, %eax
	shl $12, %eax
	lea RAM(%ebp, %eax), %ebp
	ret

start_queues:
	xor %ecx, %ecx
1:	cmp $16, %ecx
	jae 3f
	cmp 18(%edi), %cx
	jae 3f
	mov %cx, 22(%edi)
	cmpw $0, 24(%edi)
	je 2f
	call queue_page
	movw $ENTRIES, 24(%edi)
	mov %ebp, 32(%edi)
	movl $0, 36(%edi)
	lea AVAIL(%ebp), %eax
	mov %eax, 40(%edi)
	movl $0, 44(%edi)
	lea USED(%ebp), %eax
	mov %eax, 48(%edi)
	movl $0, 52(%edi)
	movw $1, 28(%edi)
2:	inc %ecx
	jmp 1b
3:	ret

/* Accepts VERSION_1 and, of a disk, what it can do. */
start_device:
	movw $6, 4(%ebx)
	movb $0, 20(%edi)
	movb $1, 20(%edi)
	movb $3, 20(%edi)
	xor %eax, %eax
	cmpw $BLOCK, 2(%ebx)
	jne 1f
	movl $0, 0(%edi)
	mov 4(%edi), %eax
	and $(1 << 9 | 1 << 13 | 1 << 14), %eax
1:	movl $0, 8(%edi)
	mov %eax, 12(%edi)
	movl $1, 8(%edi)
	movl $1, 12(%edi)
	movb $11, 20(%edi)
	call start_queues
	movb $15, 20(%edi)
	ret

/* A page of its own, 8 MiB above the rings. */
	.macro data_page to
	lea 0x800000(%ebp), \to
	.endm

use_disk:
	xor %ecx, %ecx
	call queue_page
	mov $block_requests, %edx
1:	cmpl $-1, (%edx)
	je 9f
	push %edx
	/* The header, in the page of the rings. */
	mov (%edx), %eax
	mov %eax, REPLY + 16(%ebp)
	movl $0, REPLY + 20(%ebp)
	movl $0, REPLY + 24(%ebp)
	movl $0, REPLY + 28(%ebp)
	data_page %esi
	cmpl $16, 8(%edx)
	jne 2f
	mov segment, %eax
	mov %eax, (%esi)
	movl $0, 4(%esi)
	movl $8, 8(%esi)
	movl $0, 12(%esi)
2:	push 8(%edx)
	push 4(%edx)
	lea REPLY + 16(%ebp), %esi
	mov $16, %eax
	mov $0, %edx
	descriptor $(NEXT | 1 << 16)
	pop %edx
	pop %eax
	cmp $-1, %edx
	je 3f
	data_page %esi
	or $(NEXT | 2 << 16), %edx
	mov %esi, 16(%ebp)
	movl $0, 20(%ebp)
	mov %eax, 24(%ebp)
	mov %edx, 28(%ebp)
	jmp 4f
3:	movl $(NEXT | 2 << 16), 12(%ebp)
4:	lea REPLY(%ebp), %esi
	mov $1, %eax
	mov $2, %edx
	descriptor $WRITE
	xor %eax, %eax
	call kick
	call wait_used
	pop %edx
	add $12, %edx
	jmp 1b
9:	ret

/* FUSE's requests, in the order of the table, on queue 1. */
use_share:
	mov $1, %ecx
	call queue_page
	mov $fuse_requests, %edx
1:	cmpl $0, (%edx)
	je 9f
	push %edx
	mov (%edx), %esi
	mov 4(%edx), %eax
	push %esi
	mov $0, %edx
	descriptor $(NEXT | 1 << 16)
	lea REPLY(%ebp), %esi
	mov $512, %eax
	mov $1, %edx
	descriptor $WRITE
	xor %eax, %eax
	call kick
	call wait_used
	pop %esi
	cmp $fuse_create, %esi
	jne 2f
	mov REPLY + 16(%ebp), %eax /* the node */
	mov %eax, fuse_write + 16
	mov %eax, fuse_read + 16
	mov %eax, fuse_fsync + 16
	mov %eax, fuse_release + 16
	mov REPLY + 144(%ebp), %eax /* the handle */
	mov %eax, write_handle
	mov %eax, read_handle
	mov %eax, fsync_handle
	mov %eax, release_handle
	mov REPLY + 148(%ebp), %eax
	mov %eax, write_handle + 4
	mov %eax, read_handle + 4
	mov %eax, fsync_handle + 4
	mov %eax, release_handle + 4
2:	pop %edx
	add $8, %edx
	jmp 1b
9:	ret

/* One buffer for each queue. */
use_others:
	mov $kinds, %edx
1:	cmpl $0, (%edx)
	je 9f
	movzwl 2(%ebx), %eax
	cmp (%edx), %eax
	je 2f
	add $16, %edx
	jmp 1b
2:	xor %ecx, %ecx
3:	cmp 18(%edi), %cx
	jae 9f
	cmp $6, %ecx
	jae 9f
	call queue_page
	bt %ecx, 4(%edx)
	jc 4f
	push %edx
	mov 8(%edx), %esi
	mov 12(%edx), %eax
	mov $0, %edx
	descriptor $0
	jmp 5f
4:	push %edx
	lea REPLY(%ebp), %esi
	mov $2048, %eax
	mov $0, %edx
	descriptor $WRITE
5:	pop %edx
	xor %eax, %eax
	call kick
	bt %ecx, 4(%edx)
	jnc 6f
	cmpw $RNG, 2(%ebx)
	jne 7f
6:	call wait_used
7:	inc %ecx
	jmp 3b
9:	ret

guest_main:
	print "begin\n"
	mov $(ECAM + (1 << 15)), %ebx
1:	cmpw $0x1af4, (%ebx)
	jne 9f
	mov %ebx, %edi
	sub $ECAM, %edi
	shl $1, %edi
	add $NOWHERE, %edi
	mov %edi, 0x10(%ebx)
	call start_device
	movzwl 2(%ebx), %eax
	print_hex %eax
	cmp $BLOCK, %ax
	jne 2f
	call use_disk
	jmp 4f
2:	cmp $FS, %ax
	jne 3f
	call use_share
	jmp 4f
3:	call use_others
4:	movzbl 20(%edi), %eax
	print_hex %eax
	print "\n"
9:	add $(1 << 15), %ebx
	cmp $(ECAM + (31 << 15)), %ebx
	jb 1b
#ifdef HOLD
	/* What the share says to a read of what is still open, for ever: the error and the first bytes. */
	mov $(ECAM + (1 << 15)), %ebx
1:	cmpw $FS, 2(%ebx)
	je 2f
	add $(1 << 15), %ebx
	jmp 1b
2:	mov %ebx, %edi
	sub $ECAM, %edi
	shl $1, %edi
	add $NOWHERE, %edi
3:	mov $1, %ecx
	call queue_page
	mov $fuse_read, %esi
	mov $(fuse_read_end - fuse_read), %eax
	mov $0, %edx
	descriptor $(NEXT | 1 << 16)
	lea REPLY(%ebp), %esi
	mov $512, %eax
	mov $1, %edx
	descriptor $WRITE
	xor %eax, %eax
	call kick
	call wait_used
	print "read "
	mov REPLY + 4(%ebp), %eax
	print_hex %eax
	mov REPLY + 16(%ebp), %eax
	print_hex %eax
	print "\n"
	mov $100000, %ecx
4:	pause
	loop 4b
	jmp 3b
#endif
	print "end\n"
	power_off
