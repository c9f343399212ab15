/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair of 8259s that comes with KVM's interrupt controllers. ACPI says that
 * there is none (MADT without PCAT_COMPAT), so no guest would mask it; but KVM
 * makes it unmasked, with vector base 0, and LINT0 passes it on: the first
 * device interrupt would arrive as an exception. A guest that looks for the pair
 * without ACPI sets it up from the start.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "hull/arch.h"
#include "hull/util.h"

int arch_irqchip_init(struct vm *vm, struct err *err)
{
	static const uint32_t pics[] = {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE};

	for (unsigned i = 0; i < ARRAY_SIZE(pics); i++) {
		struct kvm_irqchip chip = {.chip_id = pics[i]};

		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
			return err_errno(err, -errno, "KVM does not show its interrupt controllers");
		chip.chip.pic.imr = 0xff;
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip) < 0)
			return err_errno(err, -errno, "KVM refuses to mask its 8259s");
	}
	return 0;
}
