/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the PCI root from the guest's side: both ways to configuration space, BARs that are moved over each
 * other and over everything else, a function with MSI-X, and the watchdog. The input is a program of
 * accesses, raised vectors, and time that passes. In the end a driver that behaves finds both functions where
 * it puts them.
 *
 * An operation is a byte and its arguments as they come; what the input lacks reads as 0.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <linux/pci_regs.h>

#include "fakes.h"
#include "hull/i6300esb.h"
#include "hull/msix.h"
#include "hull/pci.h"
#include "rig.h"

#define ECAM UINT64_C(0xe0000000)
#define BARS UINT64_C(0xd0000000)

enum { MAX_OPS = 1000, CF8 = 0xcf8, FUNC = 3, DOG = 4, VECTORS = 5, BAR_SIZE = 0x1000, PBA = 0x800 };

static const struct device_place place = {
	.type = "pci-root",
	.ranges = {{SPACE_PIO, CF8, 8}, {SPACE_MMIO, ECAM, MIB(1)}},
	.gsi = -1,
};

struct play {
	struct rig rig;
	struct log log;
	struct pci_func func;
	struct msix msix;
	struct fake_msis msis;
	struct i6300esb *dog;
	unsigned mapped, unmapped;
	uint64_t now;
};

/* ---- a function with MSI-X in its BAR ---- */

static void bar_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	struct play *p = dev;

	require(range_fits(off, len, BAR_SIZE));
	if (off >= PBA)
		msix_pba_read(&p->msix, off - PBA, len, val);
	else
		msix_table_read(&p->msix, off, len, val);
}

static void bar_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct play *p = dev;

	require(range_fits(off, len, BAR_SIZE));
	msix_table_write(&p->msix, off, len, val);
}

static const struct io_ops bar_ops = {
	.read = bar_read, .write = bar_write, .widths = IO_WIDTH_1 | IO_WIDTH_4 | IO_WIDTH_8};

static void on_written(struct pci_func *func, unsigned off, unsigned len)
{
	struct play *p = container_of(func, struct play, func);

	require(range_fits(off, len, PCI_CONFIG_SIZE));
	msix_config_written(&p->msix, off, len);
}

static void on_mapped(struct pci_func *func, unsigned bar, uint64_t gpa)
{
	struct play *p = container_of(func, struct play, func);

	require(bar == 1 && gpa % BAR_SIZE == 0 && gpa != 0);
	p->mapped++;
}

static void on_unmapped(struct pci_func *func, unsigned bar, uint64_t gpa)
{
	struct play *p = container_of(func, struct play, func);

	(void)gpa;
	require(bar == 1 && p->unmapped < p->mapped);
	p->unmapped++;
}

static void on_event(void *arg, enum machine_event event)
{
	(void)arg;
	require(event == MACHINE_WATCHDOG);
}

static void setup(struct play *p)
{
	static const struct pci_ident ident = {.vendor = 0x1af4, .device = 0x1042, .class_code = 0x018000};
	static const struct msix_place where = {.bar = 1, .table = 0, .pba = PBA};
	const struct pci_bar bar = {
		.size = BAR_SIZE, .ops = &bar_ops, .dev = p, .mapped = on_mapped, .unmapped = on_unmapped};
	const struct i6300esb_env env = {
		.loop = &p->rig.loop, .log = &p->log, .events = {.fn = on_event, .arg = p}};

	memset(p, 0, sizeof(*p));
	manual_clock_set(0);
	rig_init(&p->rig, &place);
	fake_msis_init(&p->msis);
	pci_func_init(&p->func, &ident);
	p->func.wmask[PCI_COMMAND] = PCI_COMMAND_MASTER;
	pci_func_set_bar(&p->func, 1, &bar);
	p->func.written = on_written;
	msix_init(&p->msix, &p->func, VECTORS, &where, &p->msis.msis, &p->log);
	require(i6300esb_create(&p->dog, &env, NULL) == 0);
	require(pci_root_add(p->rig.dev, FUNC, &p->func, NULL) == 0);
	require(pci_root_add(p->rig.dev, DOG, i6300esb_func(p->dog), NULL) == 0);
	require(pci_root_assign(p->rig.dev, BARS, MIB(1), NULL) == 0);
}

/* ---- operations ---- */

static uint64_t take(struct fuzz_input *in, unsigned n)
{
	uint64_t val = 0;

	fuzz_bytes(in, &val, n);
	return val;
}

static unsigned take_len(struct fuzz_input *in)
{
	static const uint8_t lens[] = {4, 4, 1, 2, 4, 8, 3, 7};

	return lens[take(in, 1) % ARRAY_SIZE(lens)];
}

static void access_bus(struct bus *bus, uint64_t addr, struct fuzz_input *in)
{
	unsigned len = take_len(in);
	uint64_t val;

	if (take(in, 1) & 1) {
		bus_write(bus, addr, len, take(in, len));
		return;
	}
	val = bus_read(bus, addr, len);
	require(len == 8 || val >> 8 * len == 0);
}

static uint64_t ecam(unsigned slot, unsigned reg)
{
	return ECAM + ((uint64_t)slot << 15 | reg);
}

/* A BAR goes anywhere, and is looked for there. */
static void move_op(struct play *p, struct fuzz_input *in)
{
	unsigned slot = FUNC + (take(in, 1) & 1);
	unsigned reg = slot == FUNC ? PCI_BASE_ADDRESS_1 : PCI_BASE_ADDRESS_0;
	uint64_t at = take(in, 4);

	bus_write(&p->rig.mmio, ecam(slot, reg), 4, at);
	bus_write(&p->rig.mmio, ecam(slot, PCI_COMMAND), 2, take(in, 1));
}

/* An access to a BAR where it is now. */
static void bar_op(struct play *p, struct fuzz_input *in)
{
	unsigned slot = FUNC + (take(in, 1) & 1);
	unsigned reg = slot == FUNC ? PCI_BASE_ADDRESS_1 : PCI_BASE_ADDRESS_0;
	uint64_t at = bus_read(&p->rig.mmio, ecam(slot, reg), 4) & ~UINT64_C(0xf);

	access_bus(&p->rig.mmio, at + take(in, 2) % BAR_SIZE, in);
}

static void run_op(struct play *p, struct fuzz_input *in)
{
	switch (take(in, 1) % 8) {
	case 0:
		access_bus(&p->rig.pio, CF8 + take(in, 1) % 10, in);
		break;
	case 1:
		access_bus(&p->rig.mmio, ECAM + take(in, 3) % (MIB(1) + 16), in);
		break;
	case 2:
		access_bus(&p->rig.mmio, ecam(FUNC + (take(in, 1) & 1), (unsigned)take(in, 1)), in);
		break;
	case 3:
		move_op(p, in);
		break;
	case 4:
		bar_op(p, in);
		break;
	case 5:
		access_bus(&p->rig.mmio, take(in, 4), in);
		break;
	case 6:
		loop_lock(&p->rig.loop);
		msix_raise(&p->msix, (unsigned)take(in, 1) % (VECTORS + 1));
		(void)msix_irq_fd(&p->msix, (unsigned)take(in, 1) % (VECTORS + 1));
		i6300esb_pause(p->dog, take(in, 1) & 1);
		loop_unlock(&p->rig.loop);
		p->msis.refuse = take(in, 1) == 0x5a;
		break;
	case 7:
		p->now += take(in, 5);
		manual_clock_set(p->now);
		require(loop_run_once(&p->rig.loop, 0) == 0);
		break;
	}
}

static void check(struct play *p)
{
	struct bus *mmio = &p->rig.mmio;

	/* Both off, then each to its place. */
	bus_write(mmio, ecam(FUNC, PCI_COMMAND), 2, 0);
	bus_write(mmio, ecam(DOG, PCI_COMMAND), 2, 0);
	require(p->mapped == p->unmapped);
	bus_write(mmio, ecam(FUNC, PCI_BASE_ADDRESS_1), 4, BARS);
	bus_write(mmio, ecam(DOG, PCI_BASE_ADDRESS_0), 4, BARS + BAR_SIZE);
	bus_write(mmio, ecam(FUNC, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
	bus_write(mmio, ecam(DOG, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
	require(p->mapped == p->unmapped + 1);
	bus_write(mmio, BARS + 4, 4, 0x12345678);
	require(bus_read(mmio, BARS + 4, 4) == 0x12345678);
	require(bus_read(mmio, ecam(0, PCI_VENDOR_ID), 4) == 0x00081b36);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play play;
	struct fuzz_input in = {data, size};

	setup(&play);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		run_op(&play, &in);
	check(&play);
	msix_finish(&play.msix);
	loop_lock(&play.rig.loop);
	i6300esb_destroy(play.dog);
	loop_unlock(&play.rig.loop);
	rig_finish(&play.rig);
	return 0;
}
