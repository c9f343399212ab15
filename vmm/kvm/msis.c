/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSIs by KVM_IRQFD and KVM_SET_GSI_ROUTING; see msi.h.
 *
 * KVM's table of routes is replaced as a whole: what its interrupt controllers have
 * had since they were made, the pins of the I/O APIC and of the pair of 8259s, stays
 * at its head, and an entry for each MSI that the guest has used follows, with the
 * GSIs after the pins. Nothing is asked of KVM before the first of these.
 *
 * Lock: one mutex of its own, inside those of the devices.
 */
#include "hull/msi.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"
#include "hull/vm.h"

enum {
	IOAPIC_PINS = 24,
	PIC_PINS = 16,
	FIXED_ROUTES = IOAPIC_PINS + PIC_PINS,
	MAX_ROUTES = 1024, /* more than KVM takes at least, and than any machine of ours needs */
	FIRST_GSI = IOAPIC_PINS,
};

struct kvm_msis {
	struct msis msis;
	struct vm *vm;
	pthread_mutex_t lock; /* protects all below */
	unsigned max_routes;
	struct kvm_irq_routing *table; /* room for max_routes entries */
	uint8_t used[MAX_ROUTES];      /* by GSI, from FIRST_GSI */
};

static struct kvm_msis *from_msis(struct msis *m)
{
	return container_of(m, struct kvm_msis, msis);
}

static void add_pin(struct kvm_irq_routing *table, unsigned gsi, unsigned chip, unsigned pin)
{
	struct kvm_irq_routing_entry *e = &table->entries[table->nr++];

	*e = (struct kvm_irq_routing_entry){.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP};
	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

/* The routes that KVM makes with its interrupt controllers. */
static void add_pins(struct kvm_irq_routing *table)
{
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		add_pin(table, i, KVM_IRQCHIP_IOAPIC, i);
		if (i < PIC_PINS)
			add_pin(table, i, i < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, i % 8);
	}
}

static struct kvm_irq_routing_entry *find(struct kvm_msis *k, int gsi)
{
	for (unsigned i = FIXED_ROUTES; i < k->table->nr; i++) {
		if (k->table->entries[i].gsi == (unsigned)gsi)
			return &k->table->entries[i];
	}
	return NULL;
}

static int set_routing(struct kvm_msis *k)
{
	return ioctl(k->vm->fd, KVM_SET_GSI_ROUTING, k->table) < 0 ? -errno : 0;
}

static int irqfd(struct kvm_msis *k, const struct msi_line *msi, unsigned flags)
{
	struct kvm_irqfd e = {.fd = (uint32_t)msi->line.fd, .gsi = (uint32_t)msi->gsi, .flags = flags};

	return ioctl(k->vm->fd, KVM_IRQFD, &e) < 0 ? -errno : 0;
}

/* Takes a GSI and an entry without a destination yet, and makes the line. */
static int take(struct kvm_msis *k, struct msi_line *msi)
{
	struct irq_line line;
	unsigned i = 0;
	int r;

	while (i < k->max_routes - FIXED_ROUTES && k->used[i])
		i++;
	if (i == k->max_routes - FIXED_ROUTES)
		return -ENOSPC;
	r = irq_line_init(&line, NULL);
	if (r < 0)
		return r;
	msi->line = line;
	msi->gsi = (int)(FIRST_GSI + i);
	k->used[i] = 1;
	k->table->entries[k->table->nr++] =
		(struct kvm_irq_routing_entry){.gsi = (unsigned)msi->gsi, .type = KVM_IRQ_ROUTING_MSI};
	return 0;
}

/* Gives the entry, the GSI and the line back. KVM's own copy of the entry, without a line, does no harm. */
static void drop(struct kvm_msis *k, struct msi_line *msi)
{
	struct kvm_irq_routing_entry *e = find(k, msi->gsi);

	if (e)
		*e = k->table->entries[--k->table->nr];
	k->used[msi->gsi - FIRST_GSI] = 0;
	irq_line_finish(&msi->line);
	msi->gsi = -1;
}

static void set_entry(struct kvm_irq_routing_entry *e, uint64_t address, uint32_t data)
{
	e->u.msi.address_lo = (uint32_t)address;
	e->u.msi.address_hi = (uint32_t)(address >> 32);
	e->u.msi.data = data;
}

/* The first route of a line: only one that has a destination is bound to it. */
static int connect_line(struct kvm_msis *k, struct msi_line *msi, uint64_t address, uint32_t data)
{
	int r = take(k, msi);

	if (r < 0)
		return r;
	set_entry(find(k, msi->gsi), address, data);
	r = set_routing(k);
	if (r == 0)
		r = irqfd(k, msi, 0);
	if (r < 0)
		drop(k, msi);
	return r;
}

static int move_line(struct kvm_msis *k, const struct msi_line *msi, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry *e = find(k, msi->gsi);
	int r;

	set_entry(e, address, data);
	r = set_routing(k);
	if (r < 0)
		set_entry(e, msi->address, msi->data);
	return r;
}

static int msis_route(struct msis *m, struct msi_line *msi, uint64_t address, uint32_t data)
{
	struct kvm_msis *k = from_msis(m);
	int r = 0;

	pthread_mutex_lock(&k->lock);
	if (msi->gsi < 0)
		r = connect_line(k, msi, address, data);
	else if (msi->address != address || msi->data != data)
		r = move_line(k, msi, address, data);
	if (r == 0) {
		msi->address = address;
		msi->data = data;
	}
	pthread_mutex_unlock(&k->lock);
	return r;
}

static void msis_release(struct msis *m, struct msi_line *msi)
{
	struct kvm_msis *k = from_msis(m);

	if (msi->gsi < 0)
		return;
	pthread_mutex_lock(&k->lock);
	irqfd(k, msi, KVM_IRQFD_FLAG_DEASSIGN);
	drop(k, msi);
	pthread_mutex_unlock(&k->lock);
}

int vm_msis_create(struct msis **ret_msis, struct vm *vm, struct err *err)
{
	static const struct msis_ops ops = {.route = msis_route, .release = msis_release};
	int routes = vm_check(vm, KVM_CAP_IRQ_ROUTING);
	struct kvm_msis *k;

	if (routes <= FIXED_ROUTES)
		return err_set(err, -ENOTSUP, "this kernel's KVM lacks KVM_CAP_IRQ_ROUTING");
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_errno(err, -ENOMEM, "message-signalled interrupts");
	k->max_routes = (unsigned)min_u64((uint64_t)routes, MAX_ROUTES);
	/* Not calloc(), which would touch all pages. */
	k->table = mmap(NULL, sizeof(*k->table) + k->max_routes * sizeof(k->table->entries[0]),
			PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (k->table == MAP_FAILED) {
		free(k);
		return err_errno(err, -ENOMEM, "message-signalled interrupts");
	}
	k->msis.ops = &ops;
	k->vm = vm;
	pthread_mutex_init(&k->lock, NULL);
	add_pins(k->table);
	*ret_msis = &k->msis;
	return 0;
}

const struct syscall_rule msis_syscalls[] = {
	{SYS_ioctl,
	 ROLE_MAIN | ROLE_IO | ROLE_NET,
	 {SYSCALL_ARG(1, KVM_SET_GSI_ROUTING)},
	 "where an MSI goes",
	 NULL},
	{SYS_ioctl, ROLE_MAIN | ROLE_IO | ROLE_NET, {SYSCALL_ARG(1, KVM_IRQFD)}, "its line", NULL},
	{SYS_eventfd2, ROLE_MAIN | ROLE_IO | ROLE_NET, {{0}}, "the same", NULL},
	{SYS_close,
	 ROLE_MAIN | ROLE_IO | ROLE_NET,
	 {{0}},
	 "a line that cannot be had, or is not needed any more",
	 NULL},
	{0},
};
