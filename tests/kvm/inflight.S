/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Powers off with requests in flight: the disk in slot 1 is asked to write 64 times
 * 64 KiB, one after the other, and as soon as it has done the first the power goes.
 */
#include "guest.inc"

#define DISK (ECAM + (1 << 15))
#define BAR  NOWHERE

#define REQUESTS 64
#define ENTRIES  256
#define BYTES    0x10000
#define DESC     0x1000000
#define AVAIL    0x1010000
#define USED     0x1020000
#define HEADERS  0x1030000
#define STATUSES 0x1040000
#define BUFFER   0x1050000

#define NEXT  1
#define WRITE 2

	.text
	mode_32
	/* EBX: the request. Three descriptors: its header, the data, the status. */
build_request:
	mov %ebx, %edi
	shl $4, %edi
	movl $1, HEADERS(%edi) /* a write */
	mov %ebx, %eax
	shl $7, %eax /* of 128 sectors */
	mov %eax, HEADERS + 8(%edi)
	lea (%ebx, %ebx, 2), %ecx /* its first descriptor */
	mov %cx, AVAIL + 4(, %ebx, 2)
	mov %ecx, %esi
	shl $4, %esi
	lea HEADERS(%edi), %eax
	mov %eax, DESC(%esi)
	movl $16, DESC + 8(%esi)
	inc %ecx
	mov %ecx, %eax
	shl $16, %eax
	or $NEXT, %eax
	mov %eax, DESC + 12(%esi)
	movl $BUFFER, DESC + 16(%esi)
	movl $BYTES, DESC + 24(%esi)
	inc %ecx
	shl $16, %ecx
	or $NEXT, %ecx
	mov %ecx, DESC + 28(%esi)
	lea STATUSES(%ebx), %eax
	mov %eax, DESC + 32(%esi)
	movl $1, DESC + 40(%esi)
	movl $WRITE, DESC + 44(%esi)
	ret

guest_main:
	movl $BAR, DISK + 0x10
	movw $6, DISK + 4
	movb $1, BAR + 20
	movb $3, BAR + 20
	movl $1, BAR + 8
	movl $1, BAR + 12 /* VERSION_1 */
	movb $11, BAR + 20
	movw $0, BAR + 22
	movw $ENTRIES, BAR + 24
	movl $DESC, BAR + 32
	movl $AVAIL, BAR + 40
	movl $USED, BAR + 48
	movw $1, BAR + 28
	movb $15, BAR + 20
	mov $BUFFER, %edi
	mov $(BYTES / 4), %ecx
	mov $0x6c6c7568, %eax /* "hull" */
	rep stosl
	xor %ebx, %ebx
1:	call build_request
	inc %ebx
	cmp $REQUESTS, %ebx
	jb 1b
	movw $REQUESTS, AVAIL + 2
	movw $0, BAR + 0x3000
2:	cmpw $0, USED + 2
	je 2b
	power_off
