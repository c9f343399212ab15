/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI-X; see msix.h. */
#include "hull/msix.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "hull/util.h"

/*
 * Where x86's local APICs listen for messages: 0xfeexxxxx. A write by a device to any
 * other address would be DMA, of which MSI-X must not be a second kind.
 */
static const uint64_t apic_window = 0xfee00000;
static const uint64_t apic_window_mask = ~UINT64_C(0xfffff);

static const struct state_field msix_fields[] = {
	STATE_FIELD(struct msix_state, STATE_BYTES, 1, 1, table, 0, 0),
	STATE_FIELD(struct msix_state, STATE_U64, 2, 1, pending, UINT64_MAX, 0),
};

const struct state_table msix_state_table = {
	.name = "msix",
	.version = 1,
	.count = ARRAY_SIZE(msix_fields),
	.fields = msix_fields,
	.size = sizeof(struct msix_state),
};

static uint64_t bit(unsigned vector)
{
	return UINT64_C(1) << vector;
}

static uint8_t *entry(struct msix *msix, unsigned vector)
{
	return msix->st.table + (size_t)vector * MSIX_ENTRY_SIZE;
}

void msix_init(struct msix *msix, struct pci_func *func, unsigned count, const struct msix_place *place,
	       struct msis *msis, const struct log *log)
{
	unsigned cap = pci_func_add_cap(func, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);

	assert(count >= 1 && count <= MSIX_MAX_VECTORS);
	msix->func = func;
	msix->msis = msis;
	msix->log = log;
	msix->cap = cap;
	msix->count = count;
	for (unsigned i = 0; i < MSIX_MAX_VECTORS; i++) {
		store_le32(entry(msix, i) + PCI_MSIX_ENTRY_VECTOR_CTRL, PCI_MSIX_ENTRY_CTRL_MASKBIT);
		msix->lines[i].gsi = -1;
	}
	store_le16(func->config + cap + PCI_MSIX_FLAGS, (uint16_t)(count - 1));
	store_le32(func->config + cap + PCI_MSIX_TABLE, place->table | place->bar);
	store_le32(func->config + cap + PCI_MSIX_PBA, place->pba | place->bar);
	store_le16(func->wmask + cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
}

void msix_finish(struct msix *msix)
{
	if (!msix || !msix->msis)
		return;
	for (unsigned i = 0; i < msix->count; i++)
		msix->msis->ops->release(msix->msis, &msix->lines[i]);
	msix->live = 0;
}

/* Reads the entry of a vector that becomes active, and leads its line there. */
static void route(struct msix *msix, unsigned vector)
{
	const uint8_t *e = entry(msix, vector);
	uint64_t address = load_le64(e + PCI_MSIX_ENTRY_LOWER_ADDR);
	uint32_t data = load_le32(e + PCI_MSIX_ENTRY_DATA);
	int r;

	msix->live &= ~bit(vector);
	if ((address & apic_window_mask) != apic_window) {
		log_guest(msix->log, &msix->address_limit,
			  "pci: MSI-X vector %u has address 0x%" PRIx64 ", where no APIC is", vector,
			  address);
		return;
	}
	r = msix->msis->ops->route(msix->msis, &msix->lines[vector], address, data);
	if (r == 0) {
		msix->live |= bit(vector);
	} else if (!msix->route_failed) {
		msix->route_failed = true;
		log_line(msix->log, LOG_WARN, "pci: an MSI-X vector cannot be routed: %s",
			 strerrordesc_np(-r));
	}
}

static void deliver(struct msix *msix, unsigned vector)
{
	if (msix->live & bit(vector))
		irq_raise(&msix->lines[vector].line);
}

/* What the control word and the mask bits of the table make active. */
static uint64_t wanted_active(struct msix *msix)
{
	uint16_t flags = load_le16(msix->func->config + msix->cap + PCI_MSIX_FLAGS);
	uint64_t active = 0;

	if ((flags & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)) != PCI_MSIX_FLAGS_ENABLE)
		return 0;
	for (unsigned i = 0; i < msix->count; i++) {
		if (!(entry(msix, i)[PCI_MSIX_ENTRY_VECTOR_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT))
			active |= bit(i);
	}
	return active;
}

/* Says of which vectors the eventfd has come or gone since the last time. */
static void tell_moved(struct msix *msix)
{
	uint64_t now = msix->active & msix->live;
	uint64_t changed = now ^ msix->told;

	msix->told = now;
	for (unsigned i = 0; msix->moved && i < msix->count; i++) {
		if (changed & bit(i))
			msix->moved(msix, i);
	}
}

/* Follows the masks: a vector that becomes active is routed, and what is pending delivered. */
static void follow(void *arg)
{
	struct msix *msix = arg;
	uint64_t was = msix->active;

	msix->active = wanted_active(msix);
	for (unsigned i = 0; i < msix->count; i++) {
		if (!(msix->active & ~was & bit(i)))
			continue;
		route(msix, i);
		if (msix->st.pending & bit(i))
			deliver(msix, i);
		msix->st.pending &= ~bit(i);
	}
	tell_moved(msix);
}

/* Lines are made and led on the loop's thread; most writes of a driver change nothing there. */
static void update(struct msix *msix)
{
	const uint64_t active = wanted_active(msix);

	if (active == msix->active && (active & msix->live) == msix->told)
		return;
	if (msix->func->loop)
		loop_call(msix->func->loop, follow, msix);
	else
		follow(msix);
}

static bool access_ok(uint64_t off, unsigned len, uint64_t limit)
{
	return (len == 4 || len == 8) && off % len == 0 && range_fits(off, len, limit);
}

void msix_table_read(const struct msix *msix, uint64_t off, unsigned len, uint64_t *val)
{
	if (!access_ok(off, len, (uint64_t)msix->count * MSIX_ENTRY_SIZE))
		return;
	*val = len == 8 ? load_le64(msix->st.table + off) : load_le32(msix->st.table + off);
}

/* Stores a dword of an entry without the bits that are reserved. */
static void store_dword(struct msix *msix, uint64_t off, uint32_t val)
{
	if (off % MSIX_ENTRY_SIZE == PCI_MSIX_ENTRY_LOWER_ADDR)
		val &= ~3u;
	if (off % MSIX_ENTRY_SIZE == PCI_MSIX_ENTRY_VECTOR_CTRL)
		val &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	store_le32(msix->st.table + off, val);
}

void msix_table_write(struct msix *msix, uint64_t off, unsigned len, uint64_t val)
{
	uint8_t before[sizeof(val)];

	if (!access_ok(off, len, (uint64_t)msix->count * MSIX_ENTRY_SIZE))
		return;
	memcpy(before, msix->st.table + off, len);
	store_dword(msix, off, (uint32_t)val);
	if (len == 8)
		store_dword(msix, off + 4, (uint32_t)(val >> 32));
	/* Some systems rewrite an entry that is active: it is led anew. */
	if (memcmp(before, msix->st.table + off, len) != 0)
		msix->active &= ~bit((unsigned)(off / MSIX_ENTRY_SIZE));
	update(msix);
}

void msix_pba_read(const struct msix *msix, uint64_t off, unsigned len, uint64_t *val)
{
	if (access_ok(off, len, sizeof(msix->st.pending)))
		*val = msix->st.pending >> 8 * off;
}

void msix_config_written(struct msix *msix, unsigned off, unsigned len)
{
	if (off < msix->cap + PCI_MSIX_TABLE && off + len > msix->cap + PCI_MSIX_FLAGS)
		update(msix);
}

void msix_raise(struct msix *msix, unsigned vector)
{
	uint16_t flags = load_le16(msix->func->config + msix->cap + PCI_MSIX_FLAGS);

	if (vector >= msix->count || !(flags & PCI_MSIX_FLAGS_ENABLE))
		return;
	if (msix->active & bit(vector))
		deliver(msix, vector);
	else
		msix->st.pending |= bit(vector);
}

int msix_irq_fd(const struct msix *msix, unsigned vector)
{
	if (vector >= msix->count || !(msix->active & msix->live & bit(vector)))
		return -1;
	return msix->lines[vector].line.fd;
}

/* True when the guest could have written this table. */
static bool table_possible(struct msix *msix)
{
	for (unsigned i = 0; i < MSIX_MAX_VECTORS; i++) {
		uint32_t control = load_le32(entry(msix, i) + PCI_MSIX_ENTRY_VECTOR_CTRL);

		if (control & ~(uint32_t)PCI_MSIX_ENTRY_CTRL_MASKBIT)
			return false;
		if (entry(msix, i)[PCI_MSIX_ENTRY_LOWER_ADDR] & 3)
			return false;
	}
	return msix->count == MSIX_MAX_VECTORS || msix->st.pending >> msix->count == 0;
}

int msix_restored(struct msix *msix, struct err *err)
{
	if (!table_possible(msix))
		return err_set(err, -EINVAL, "state of msix: a table that no guest can have written");
	msix->active = 0;
	update(msix);
	return 0;
}
