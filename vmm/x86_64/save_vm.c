/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a snapshot has of the VM itself: KVM's interrupt controllers and its clock. What sits in the I/O
 * APIC undelivered is delivered as soon as it is loaded, so local APICs are loaded before it.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "hull/arch.h"
#include "hull/util.h"
#include "x86_64/save.h"

enum { IOAPIC_BASE = (int)0xfec00000u };

struct chip {
	const char *section;
	uint32_t id;
	const struct state_table *table;
};

static const struct chip chips[] = {
	{"irqchip/pic0", KVM_IRQCHIP_PIC_MASTER, &pic_table},
	{"irqchip/pic1", KVM_IRQCHIP_PIC_SLAVE, &pic_table},
	{"irqchip/ioapic", KVM_IRQCHIP_IOAPIC, &ioapic_table},
};

void arch_vm_save(struct vm *vm, struct snapshot_writer *writer)
{
	struct vm_clock_state clock;
	struct err err = {0};
	int r = vm_clock_get(vm, &clock, &err);

	if (r == 0)
		snapshot_put(writer, "clock", &vm_clock_table, &clock);
	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(chips); i++) {
		struct kvm_irqchip chip = {.chip_id = chips[i].id};

		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
			r = err_errno(&err, -errno, "KVM does not show its interrupt controllers");
		else
			snapshot_put(writer, chips[i].section, chips[i].table, &chip.chip);
	}
	if (r < 0)
		snapshot_writer_fail(writer, &err);
}

static int load_chip(struct vm *vm, const struct chip *c, struct snapshot *snapshot, struct err *err)
{
	struct kvm_irqchip chip = {.chip_id = c->id};
	int r;

	/* What the snapshot lacks, as the mask of level-triggered lines, is this KVM's. */
	if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
		return err_errno(err, -errno, "KVM does not show its interrupt controllers");
	r = snapshot_get(snapshot, c->section, c->table, &chip.chip, err);
	if (r < 0)
		return r;
	if (c->id == KVM_IRQCHIP_IOAPIC && chip.chip.ioapic.base_address != (uint32_t)IOAPIC_BASE)
		return err_set(err, -EINVAL, "an I/O APIC at 0x%llx",
			       (unsigned long long)chip.chip.ioapic.base_address);
	if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip) < 0)
		return err_errno(err, -errno, "KVM refuses the state of %s", c->section);
	return 0;
}

int arch_vm_load(struct vm *vm, struct snapshot *snapshot, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(chips); i++)
		r = load_chip(vm, &chips[i], snapshot, err);
	return r;
}
