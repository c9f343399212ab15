/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine around one virtio device: RAM, buses, interrupts, doorbells; see virtio_driver.h. */
#include "virtio_rig.h"

#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "hull/util.h"

enum {
	CF8 = 0xcf8,
	ECAM = 0xe0000000,
	ECAM_SIZE = 0x100000,
	BARS = 0xd0000000,
	BARS_SIZE = 0x1000000,
	MSI_ADDRESS = 0xfee00000,
	MSI_DATA = 0x40, /* plus the vector */
	CANARY = 0xa5,
};

/* ---- interrupts ---- */

unsigned virtio_rig_msi_pulses(struct virtio_rig *rig, unsigned vector)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->msis.count; i++) {
		if (rig->msis.lines[i]->data == MSI_DATA + vector)
			n += fake_line_pulses(&rig->msis.lines[i]->line);
	}
	return n;
}

/* ---- memory ---- */

/* `shared`: for a device whose rings another process serves. */
static void init_mem(struct virtio_rig *rig, bool shared)
{
	int (*add)(struct guest_mem *, uint64_t, uint64_t, struct err *) =
		shared ? mem_add_shared_ram : mem_add_ram;
	struct mem_region *r;

	assert_int_equal(add(&rig->all, RIG_RAM - RIG_CANARY, RIG_RAM_SIZE + 2 * RIG_CANARY, NULL), 0);
	mem_freeze(&rig->all);
	rig->mem = rig->all;
	r = &rig->mem.regions[0];
	memset(r->hva, CANARY, RIG_CANARY);
	memset(r->hva + RIG_CANARY + RIG_RAM_SIZE, CANARY, RIG_CANARY);
	r->gpa = RIG_RAM;
	r->hva += RIG_CANARY;
	r->size = RIG_RAM_SIZE;
	r->offset += shared ? RIG_CANARY : 0;
}

void virtio_rig_check_canary(struct virtio_rig *rig)
{
	const uint8_t *before = rig->all.regions[0].hva;
	const uint8_t *after = before + RIG_CANARY + RIG_RAM_SIZE;
	unsigned wrong = 0;

	for (unsigned i = 0; i < RIG_CANARY; i++)
		wrong += before[i] != CANARY || after[i] != CANARY;
	assert_int_equal(wrong, 0);
}

void *virtio_rig_ram(struct virtio_rig *rig, uint64_t gpa, uint64_t len)
{
	void *p = mem_ptr(&rig->mem, gpa, len);

	assert_non_null(p);
	return p;
}

/* ---- accesses ---- */

uint64_t virtio_rig_read(struct virtio_rig *rig, uint64_t addr, unsigned len)
{
	return bus_read(&rig->mmio, addr, len);
}

void virtio_rig_write(struct virtio_rig *rig, uint64_t addr, unsigned len, uint64_t val)
{
	const struct doorbell *bell = fake_bell_rung(&rig->bells, addr, len, val);

	if (bell)
		assert_int_equal(eventfd_write(bell->fd, 1), 0);
	else
		bus_write(&rig->mmio, addr, len, val);
}

static uint64_t ecam(unsigned off)
{
	return ECAM + (RIG_SLOT << 15 | off);
}

uint32_t virtio_rig_pci_read(struct virtio_rig *rig, unsigned off, unsigned len)
{
	return (uint32_t)bus_read(&rig->mmio, ecam(off), len);
}

void virtio_rig_pci_write(struct virtio_rig *rig, unsigned off, unsigned len, uint32_t val)
{
	bus_write(&rig->mmio, ecam(off), len, val);
}

struct loop *virtio_rig_loop(struct virtio_rig *rig)
{
	return rig->host ? virtio_rig_loop(rig->host) : &rig->loop;
}

static bool has_work(struct virtio_rig *rig)
{
	const struct loop *loop = virtio_rig_loop(rig);
	struct pollfd fd = {.fd = loop->epoll_fd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0 || loop->tasks;
}

void virtio_rig_run(struct virtio_rig *rig)
{
	for (unsigned i = 0; i < 10000 && has_work(rig); i++)
		assert_int_equal(loop_run_once(virtio_rig_loop(rig), 0), 0);
}

/* ---- the function is found (virtio 1.2, 4.1.4) ---- */

static uint64_t bar_address(struct virtio_rig *rig, unsigned bar)
{
	assert_true(bar < PCI_BARS);
	return virtio_rig_pci_read(rig, PCI_BASE_ADDRESS_0 + 4 * bar, 4) & PCI_BASE_ADDRESS_MEM_MASK;
}

static void take_virtio_cap(struct virtio_rig *rig, unsigned cap)
{
	uint64_t at = bar_address(rig, virtio_rig_pci_read(rig, cap + VIRTIO_PCI_CAP_BAR, 1)) +
		      virtio_rig_pci_read(rig, cap + VIRTIO_PCI_CAP_OFFSET, 4);

	switch (virtio_rig_pci_read(rig, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		rig->common = at;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		rig->notify = at;
		rig->notify_multiplier = virtio_rig_pci_read(rig, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		rig->isr = at;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		rig->config = at;
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		rig->pci_cfg = cap;
		break;
	}
}

static void take_msix_cap(struct virtio_rig *rig, unsigned cap)
{
	uint32_t table = virtio_rig_pci_read(rig, cap + PCI_MSIX_TABLE, 4);

	rig->msix_cap = cap;
	rig->vectors = 1 + (virtio_rig_pci_read(rig, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE);
	rig->msix_table = bar_address(rig, table & PCI_MSIX_TABLE_BIR) + (table & PCI_MSIX_TABLE_OFFSET);
}

static void find_caps(struct virtio_rig *rig)
{
	unsigned cap = virtio_rig_pci_read(rig, PCI_CAPABILITY_LIST, 1);

	assert_true(virtio_rig_pci_read(rig, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	for (unsigned i = 0; cap && i < 48; i++) {
		unsigned id = virtio_rig_pci_read(rig, cap + PCI_CAP_LIST_ID, 1);

		if (id == PCI_CAP_ID_VNDR)
			take_virtio_cap(rig, cap);
		else if (id == PCI_CAP_ID_MSIX)
			take_msix_cap(rig, cap);
		cap = virtio_rig_pci_read(rig, cap + PCI_CAP_LIST_NEXT, 1);
	}
	assert_int_equal(cap, 0);
	assert_true(rig->common && rig->notify && rig->isr && rig->pci_cfg && rig->msix_table);
}

/* Vector v sends MSI_DATA + v; none is masked. */
static void enable_msix(struct virtio_rig *rig)
{
	for (unsigned v = 0; v < rig->vectors; v++) {
		uint64_t entry = rig->msix_table + v * PCI_MSIX_ENTRY_SIZE;

		virtio_rig_write(rig, entry + PCI_MSIX_ENTRY_LOWER_ADDR, 4, MSI_ADDRESS);
		virtio_rig_write(rig, entry + PCI_MSIX_ENTRY_UPPER_ADDR, 4, 0);
		virtio_rig_write(rig, entry + PCI_MSIX_ENTRY_DATA, 4, MSI_DATA + v);
		virtio_rig_write(rig, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	}
	virtio_rig_pci_write(rig, rig->msix_cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

/* ---- the machine ---- */

static void on_event(void *arg, enum machine_event event)
{
	((struct virtio_rig *)arg)->events[event]++;
}

static void init_pci(struct virtio_rig *rig)
{
	const struct device_type *type = device_find("pci-root");
	struct loop *loop = virtio_rig_loop(rig);
	const struct device_env env = {.loop = loop, .mmio = &rig->mmio};
	const struct bus_range ports = {
		.base = CF8, .len = 8, .ops = type->ops[0], .dev = calloc(1, type->size), .loop = loop};
	struct bus_range window = ports;

	rig->root = ports.dev;
	assert_non_null(rig->root);
	loop_lock(loop);
	assert_int_equal(type->init(rig->root, &env, NULL), 0);
	assert_int_equal(virtio_pci_create(&rig->pci, rig->dev, &rig->bells.doorbells, &rig->msis.msis, NULL),
			 0);
	assert_int_equal(pci_root_add(rig->root, RIG_SLOT, virtio_pci_func(rig->pci), NULL), 0);
	assert_int_equal(pci_root_assign(rig->root, BARS, BARS_SIZE, NULL), 0);
	loop_unlock(loop);
	window.base = ECAM;
	window.len = ECAM_SIZE;
	window.ops = type->ops[1];
	assert_int_equal(bus_add(&rig->pio, &ports, NULL), 0);
	assert_int_equal(bus_add(&rig->mmio, &window, NULL), 0);
}

/* What a guest's system does before its driver comes. */
static void find_device(struct virtio_rig *rig)
{
	if (rig->transport == RIG_MMIO) {
		rig->common = RIG_MMIO_BASE;
		rig->isr = RIG_MMIO_BASE + VIRTIO_MMIO_INTERRUPT_STATUS;
		rig->config = RIG_MMIO_BASE + VIRTIO_MMIO_CONFIG;
		return;
	}
	virtio_rig_pci_write(rig, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	find_caps(rig);
	enable_msix(rig);
}

static void init_mmio(struct virtio_rig *rig)
{
	struct bus_range range = {.base = RIG_MMIO_BASE,
				  .len = VIRTIO_MMIO_SIZE,
				  .ops = &virtio_mmio_ops,
				  .loop = virtio_rig_loop(rig)};

	assert_int_equal(irq_line_init(&rig->irq, NULL), 0);
	assert_int_equal(virtio_mmio_create(&rig->vmmio, rig->dev, &rig->bells.doorbells, RIG_MMIO_BASE,
					    &rig->irq, NULL),
			 0);
	range.dev = rig->vmmio;
	assert_int_equal(bus_add(&rig->mmio, &range, NULL), 0);
}

static void make_machine(struct virtio_rig *rig, struct virtio_rig *host, enum virtio_rig_transport transport,
			 const struct virtio_type *type, const void *params)
{
	const struct virtio_env env = {
		.loop = host ? virtio_rig_loop(host) : &rig->loop,
		.mem = &rig->mem,
		.log = &rig->log,
		.events = {.fn = on_event, .arg = rig},
	};

	memset(rig, 0, sizeof(*rig));
	rig->host = host;
	rig->log.level = LOG_WARN;
	rig->transport = transport;
	fake_doorbells_init(&rig->bells);
	fake_msis_init(&rig->msis);
	if (!host)
		assert_int_equal(loop_init(&rig->loop, NULL), 0);
	init_mem(rig, type->id == VIRTIO_ID_FS);
	bus_init(&rig->pio, "port");
	bus_init(&rig->mmio, "memory");
	assert_int_equal(virtio_create(&rig->dev, type, &env, params, NULL), 0);
	if (transport == RIG_PCI)
		init_pci(rig);
	else
		init_mmio(rig);
}

void virtio_rig_init_bare(struct virtio_rig *rig, enum virtio_rig_transport transport,
			  const struct virtio_type *type, const void *params)
{
	make_machine(rig, NULL, transport, type, params);
}

void virtio_rig_init_beside(struct virtio_rig *rig, struct virtio_rig *host,
			    enum virtio_rig_transport transport, const struct virtio_type *type,
			    const void *params)
{
	make_machine(rig, host, transport, type, params);
	find_device(rig);
}

void virtio_rig_init(struct virtio_rig *rig, enum virtio_rig_transport transport,
		     const struct virtio_type *type, const void *params)
{
	virtio_rig_init_beside(rig, NULL, transport, type, params);
}

void virtio_rig_finish(struct virtio_rig *rig)
{
	virtio_pci_destroy(rig->pci);
	virtio_mmio_destroy(rig->vmmio);
	assert_int_equal(rig->bells.wrong, 0);
	if (rig->transport == RIG_MMIO) /* where BARs are is the root's business until the end */
		assert_int_equal(rig->bells.count, 0);
	virtio_destroy(rig->dev);
	free(rig->root);
	irq_line_finish(&rig->irq);
	bus_finish(&rig->pio);
	bus_finish(&rig->mmio);
	mem_finish(&rig->all);
	if (!rig->host)
		loop_finish(&rig->loop);
}
