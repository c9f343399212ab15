/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots of one device; see snapshot_rig.h. */
#include "snapshot_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hull/util.h"

static const char device_name[] = "device0", root_name[] = "pci-root";

/* ---- taking ---- */

void virtio_rig_freeze(struct virtio_rig *rig)
{
	struct loop *loop = virtio_rig_loop(rig);

	loop_lock(loop);
	virtio_freeze(rig->dev);
	loop_unlock(loop);
	for (unsigned i = 0; i < 1000 && !virtio_is_frozen(rig->dev); i++)
		assert_int_equal(loop_run_once(loop, 10), 0);
	assert_true(virtio_is_frozen(rig->dev));
}

void virtio_rig_thaw(struct virtio_rig *rig)
{
	struct loop *loop = virtio_rig_loop(rig);

	loop_lock(loop);
	virtio_thaw(rig->dev);
	loop_unlock(loop);
}

static void save(struct virtio_rig *rig, struct snapshot_writer *writer)
{
	const struct device_type *root = device_find("pci-root");

	virtio_save(rig->dev, writer, device_name);
	if (rig->pci) {
		virtio_pci_save(rig->pci, writer, device_name);
		snapshot_put(writer, root_name, root->state, (char *)rig->root + root->state_offset);
	} else {
		virtio_mmio_save(rig->vmmio, writer, device_name);
	}
}

/* The driver's own of `from`: what it has found, agreed on and counted. */
static void copy_driver(struct virtio_rig *to, const struct virtio_rig *from)
{
	to->common = from->common;
	to->isr = from->isr;
	to->config = from->config;
	to->notify = from->notify;
	to->notify_multiplier = from->notify_multiplier;
	to->msix_table = from->msix_table;
	to->pci_cfg = from->pci_cfg;
	to->msix_cap = from->msix_cap;
	to->vectors = from->vectors;
	to->features = from->features;
	memcpy(to->rings, from->rings, sizeof(to->rings));
}

void rig_snapshot_take(struct rig_snapshot *snap, struct virtio_rig *rig)
{
	struct snapshot_writer *writer;
	const void *bytes;

	memset(snap, 0, sizeof(*snap));
	snap->ram = malloc(RIG_RAM_SIZE);
	assert_non_null(snap->ram);
	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	loop_lock(virtio_rig_loop(rig));
	save(rig, writer);
	memcpy(snap->ram, virtio_rig_ram(rig, RIG_RAM, RIG_RAM_SIZE), RIG_RAM_SIZE);
	loop_unlock(virtio_rig_loop(rig));
	assert_int_equal(snapshot_writer_finish(writer, &bytes, &snap->len, NULL), 0);
	assert_true(snap->len <= sizeof(snap->bytes));
	memcpy(snap->bytes, bytes, snap->len);
	snapshot_writer_destroy(writer);
	copy_driver(&snap->driver, rig);
}

void rig_snapshot_free(struct rig_snapshot *snap)
{
	free(snap->ram);
	snap->ram = NULL;
}

void rig_snapshot_of(struct rig_snapshot *snap, struct virtio_rig *rig)
{
	virtio_rig_freeze(rig);
	rig_snapshot_take(snap, rig);
	virtio_rig_thaw(rig);
}

/* ---- loading ---- */

static int load(struct virtio_rig *rig, struct snapshot *s, struct err *err)
{
	const struct device_type *root = device_find("pci-root");
	int r = virtio_load(rig->dev, s, device_name, err);

	if (r == 0 && rig->pci)
		r = virtio_pci_load(rig->pci, s, device_name, err);
	if (r == 0 && rig->pci)
		r = snapshot_get(s, root_name, root->state, (char *)rig->root + root->state_offset, err);
	if (r == 0 && rig->vmmio)
		r = virtio_mmio_load(rig->vmmio, s, device_name, err);
	if (r == 0)
		r = snapshot_check_complete(s, err);
	return r;
}

static int restored(struct virtio_rig *rig, struct err *err)
{
	int r = rig->pci ? virtio_pci_restored(rig->pci, err) : 0;

	if (r == 0)
		r = virtio_restored(rig->dev, err);
	if (r == 0 && rig->pci)
		r = pci_root_restored(rig->root, err);
	return r;
}

/* As a sparse file would be read: what is zero stays untouched. */
static void load_ram(struct virtio_rig *rig, const struct rig_snapshot *snap)
{
	static const uint8_t zeroes[4096];
	uint8_t *ram = virtio_rig_ram(rig, RIG_RAM, RIG_RAM_SIZE);

	_Static_assert(RIG_RAM_SIZE % sizeof(zeroes) == 0, "whole pages");
	for (size_t at = 0; at < RIG_RAM_SIZE; at += sizeof(zeroes)) {
		if (memcmp(snap->ram + at, zeroes, sizeof(zeroes)) != 0)
			memcpy(ram + at, snap->ram + at, sizeof(zeroes));
	}
}

int rig_snapshot_load(const struct rig_snapshot *snap, struct virtio_rig *rig, struct err *err)
{
	struct snapshot *s;
	int r;

	load_ram(rig, snap);
	copy_driver(rig, &snap->driver);
	r = snapshot_open(&s, snap->bytes, snap->len, err);
	if (r < 0)
		return r;
	loop_lock(virtio_rig_loop(rig));
	r = load(rig, s, err);
	if (r == 0)
		r = restored(rig, err);
	loop_unlock(virtio_rig_loop(rig));
	snapshot_close(s);
	return r;
}

void virtio_rig_restore(struct virtio_rig *rig, const struct rig_snapshot *snap)
{
	struct err err = {0};

	if (rig_snapshot_load(snap, rig, &err) < 0)
		fail_msg("%s", err.msg);
	for (unsigned q = 0; q < rig->dev->queue_count; q++)
		virtio_rig_queue_irqs(rig, q);
	virtio_rig_config_irqs(rig);
	virtio_rig_isr(rig);
}

/* ---- falsifying ---- */

enum { VARIANTS = 8, FIELD_HEADER = 6, MAX_SECTION = 8 << 10 };

/* Replaces the field of `len` bytes by variant `v`. False: it is the same as before. */
static bool alter(uint8_t *field, size_t len, unsigned v)
{
	static const uint8_t fills[] = {0x00, 0xff, 0x01, 0x80, 0x7f, 0x55};
	uint8_t before[MAX_SECTION];

	memcpy(before, field, len);
	if (v < ARRAY_SIZE(fills))
		memset(field, fills[v], len);
	else if (v == VARIANTS - 2)
		field[0]++;
	else
		field[len - 1] ^= 0x80;
	return memcmp(before, field, len) != 0;
}

/* One section, and where in it the field is. */
struct target {
	unsigned section;
	size_t at, len;
	unsigned variant;
};

/* Writes the file of `s` again, with `t` altered. False: nothing was. */
static bool rewrite(const struct snapshot *s, const struct target *t, struct rig_snapshot *out)
{
	struct snapshot_writer *writer;
	uint8_t buf[MAX_SECTION];
	const void *bytes;
	bool changed = false;

	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	for (unsigned i = 0; i < snapshot_count(s); i++) {
		struct snapshot_section section = snapshot_section(s, i);

		assert_true(section.len <= sizeof(buf));
		memcpy(buf, section.bytes, section.len);
		if (i == t->section)
			changed = alter(buf + t->at, t->len, t->variant);
		snapshot_put_bytes(writer, section.name, section.kind, buf, section.len);
	}
	assert_int_equal(snapshot_writer_finish(writer, &bytes, &out->len, NULL), 0);
	memcpy(out->bytes, bytes, out->len);
	snapshot_writer_destroy(writer);
	return changed;
}

struct falsifier {
	struct rig_snapshot copy; /* its RAM is that of the original */
	struct virtio_rig *(*make)(void *arg);
	void (*unmake)(void *arg, struct virtio_rig *rig);
	void (*traffic)(struct virtio_rig *rig);
	void *arg;
	unsigned refused, taken;
};

static void try_one(struct falsifier *f)
{
	struct virtio_rig *rig = f->make(f->arg);
	struct err err = {0};
	int r = rig_snapshot_load(&f->copy, rig, &err);

	if (r < 0) {
		assert_true(err.code == r && err.msg[0] != '\0');
		f->refused++;
	} else {
		f->taken++;
		virtio_rig_run(rig);
		if (f->traffic)
			f->traffic(rig);
		virtio_rig_check_canary(rig);
		/* Where the registers are is not known when it was the BAR. */
		if (virtio_rig_status(rig) != UINT8_MAX)
			virtio_rig_check_alive(rig, NULL);
	}
	virtio_rig_check_canary(rig);
	f->unmake(f->arg, rig);
}

static void try_range(struct falsifier *f, const struct snapshot *s, struct target t)
{
	for (t.variant = 0; t.variant < VARIANTS; t.variant++) {
		if (rewrite(s, &t, &f->copy))
			try_one(f);
	}
}

/* The fields of a table: u16 version, then u16 tag, u32 length, bytes, of each (state.h). False: it is none.
 */
static bool is_table(const struct snapshot_section *section)
{
	const uint8_t *p = section->bytes;
	uint64_t at = 2;

	while (at + FIELD_HEADER <= section->len)
		at += FIELD_HEADER + load_le32(p + at + 2);
	return at == section->len;
}

/* Bytes that no table has written are altered in pieces of eight. */
static void try_section(struct falsifier *f, const struct snapshot *s, unsigned i)
{
	const struct snapshot_section section = snapshot_section(s, i);
	const bool table = is_table(&section);
	struct target t = {.section = i};

	for (size_t at = table ? 2 : 0; at < section.len; at = t.at + t.len) {
		t.at = table ? at + FIELD_HEADER : at;
		t.len = table ? load_le32((const uint8_t *)section.bytes + at + 2)
			      : min_u64(8, section.len - at);
		try_range(f, s, t);
	}
}

unsigned rig_snapshot_falsify(const struct rig_snapshot *snap, struct virtio_rig *(*make)(void *arg),
			      void (*unmake)(void *arg, struct virtio_rig *rig),
			      void (*traffic)(struct virtio_rig *rig), void *arg, unsigned *ret_taken)
{
	struct falsifier f = {.copy = *snap, .make = make, .unmake = unmake, .traffic = traffic, .arg = arg};
	struct snapshot *s;

	assert_int_equal(snapshot_open(&s, snap->bytes, snap->len, NULL), 0);
	for (unsigned i = 0; i < snapshot_count(s); i++)
		try_section(&f, s, i);
	snapshot_close(s);
	*ret_taken = f.taken;
	return f.refused;
}
