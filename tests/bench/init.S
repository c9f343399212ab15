/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest init: one line on the console, then power-off; with WAIT, it
 * stays. No C library, as that would ask the CPU for its caches dozens of times,
 * an exit each.
 */
	.globl _start
	.text
_start:
	mov $1, %eax			/* write(1, line, length) */
	mov $1, %edi
	lea line(%rip), %rsi
	mov $line_end - line, %edx
	syscall
#ifdef WAIT
	mov $34, %eax			/* pause() */
	syscall
#endif
	mov $169, %eax			/* reboot(magic, magic2, LINUX_REBOOT_CMD_POWER_OFF) */
	mov $0xfee1dead, %edi
	mov $672274793, %esi
	mov $0x4321fedc, %edx
	syscall
1:	jmp 1b
	.section .rodata
line:	.ascii "guest is up\n"
line_end:
	.section .note.GNU-stack,"",@progbits
