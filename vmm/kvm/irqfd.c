/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt lines into the kernel's interrupt controllers; see vm.h. */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "hull/vm.h"

int vm_irqfd(struct vm *vm, const struct irq_line *line, unsigned gsi, struct err *err)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)line->fd, .gsi = gsi};

	if (ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
		return err_errno(err, -errno, "KVM cannot connect interrupt %u", gsi);
	return 0;
}
