/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: what the driver is told of the disk (virtio 1.2, 5.2.3, 5.2.4), and what a snapshot
 * says of it.
 *
 * A driver reads the configuration when it starts, and keeps much of it: a disk that takes the
 * place of another in a running guest has the same size and blocks, and can be written if that
 * could. All else is features, which virtio_load() compares.
 */
#include "blk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "hull/util.h"

/* What disk the driver knows. */
struct disk_state {
	uint64_t size; /* bytes */
	uint32_t block_size;
	uint8_t read_only;
};

static const struct state_field disk_fields[] = {
	STATE_FIELD(struct disk_state, STATE_U64, 1, 1, size, INT64_MAX, 0),
	STATE_FIELD(struct disk_state, STATE_U32, 2, 1, block_size, UINT32_MAX, 0),
	STATE_FIELD(struct disk_state, STATE_U8, 3, 1, read_only, 1, 0),
};

const struct state_table virtio_blk_state_table = {
	.name = "virtio-blk",
	.version = 1,
	.count = ARRAY_SIZE(disk_fields),
	.fields = disk_fields,
	.size = sizeof(struct disk_state),
};

const struct virtio_feature_name blk_feature_names[] = {
	{VIRTIO_BLK_F_SEG_MAX, "seg_max"},
	{VIRTIO_BLK_F_RO, "ro"},
	{VIRTIO_BLK_F_BLK_SIZE, "blk_size"},
	{VIRTIO_BLK_F_FLUSH, "flush"},
	{VIRTIO_BLK_F_TOPOLOGY, "topology"},
	{VIRTIO_BLK_F_MQ, "mq"},
	{VIRTIO_BLK_F_DISCARD, "discard"},
	{VIRTIO_BLK_F_WRITE_ZEROES, "write_zeroes"},
	{0, NULL},
};

/* ---- for the driver ---- */

static uint8_t exponent(uint32_t power_of_two)
{
	return (uint8_t)__builtin_ctz(power_of_two);
}

/* What the guest is told of blocks, in blocks of `block_size` bytes. */
static void fill_blocks(struct virtio_blk_config *c, const struct block_backend *b, uint32_t block_size)
{
	const uint32_t physical = b->physical_size < block_size ? block_size : b->physical_size;

	c->blk_size = block_size;
	c->physical_block_exp = exponent(physical / block_size);
	c->min_io_size = (uint16_t)(physical / block_size);
	c->opt_io_size = b->optimal_io / block_size;
}

void blk_fill_config(struct virtio_blk *blk, unsigned queues)
{
	const struct block_backend *b = blk->backend;
	struct virtio_blk_config *c = &blk->config;

	c->capacity = b->size / BLK_SECTOR;
	c->seg_max = BLK_SEG_MAX;
	fill_blocks(c, b, b->block_size);
	c->num_queues = (uint16_t)queues;
	if (b->can_discard) {
		c->max_discard_sectors = BLK_ZEROES_MAX_SECTORS;
		c->max_discard_seg = 1;
		c->discard_sector_alignment = b->physical_size / BLK_SECTOR;
	}
	if (!b->read_only) {
		c->max_write_zeroes_sectors = BLK_ZEROES_MAX_SECTORS;
		c->max_write_zeroes_seg = 1;
		c->write_zeroes_may_unmap = b->can_discard;
	}
}

uint64_t blk_features(const struct block_backend *b, unsigned queues)
{
	uint64_t features = virtio_bit(VIRTIO_BLK_F_SEG_MAX) | virtio_bit(VIRTIO_BLK_F_BLK_SIZE) |
			    virtio_bit(VIRTIO_BLK_F_TOPOLOGY) | virtio_bit(VIRTIO_BLK_F_FLUSH);

	if (queues > 1)
		features |= virtio_bit(VIRTIO_BLK_F_MQ);
	if (b->can_discard)
		features |= virtio_bit(VIRTIO_BLK_F_DISCARD);
	features |= b->read_only ? virtio_bit(VIRTIO_BLK_F_RO) : virtio_bit(VIRTIO_BLK_F_WRITE_ZEROES);
	return features;
}

/* ---- for a snapshot ---- */

static void section_name(char name[static SNAPSHOT_MAX_NAME], const char *device)
{
	(void)snprintf(name, SNAPSHOT_MAX_NAME, "%s/disk", device);
}

void blk_save(struct virtio_dev *dev, struct snapshot_writer *writer, const char *name)
{
	const struct block_backend *b = container_of(dev, struct virtio_blk, dev)->backend;
	const struct disk_state st = {
		.size = b->size, .block_size = b->block_size, .read_only = b->read_only};
	char section[SNAPSHOT_MAX_NAME];

	section_name(section, name);
	snapshot_put(writer, section, &virtio_blk_state_table, &st);
}

/* A guest that asks for whole blocks of 4 KiB needs no disk that has such blocks. */
static bool fits_blocks(uint32_t known, uint32_t have)
{
	return known == have || (known == 4096 && have < known);
}

int blk_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err)
{
	struct virtio_blk *blk = container_of(dev, struct virtio_blk, dev);
	const struct block_backend *b = blk->backend;
	struct disk_state st = {0};
	char section[SNAPSHOT_MAX_NAME];
	int r;

	section_name(section, name);
	r = snapshot_get(snapshot, section, &virtio_blk_state_table, &st, err);
	if (r < 0)
		return r;
	if (st.size != b->size)
		return err_set(err, -EINVAL,
			       "%s: a disk of %" PRIu64 " bytes, but the guest knows it with %" PRIu64, name,
			       b->size, st.size);
	if (!fits_blocks(st.block_size, b->block_size))
		return err_set(err, -EINVAL, "%s: blocks of %u bytes, but the guest knows it with %u", name,
			       b->block_size, st.block_size);
	if (b->read_only && !st.read_only)
		return err_set(err, -EINVAL, "%s: read-only, but the guest may write to it", name);
	fill_blocks(&blk->config, b, st.block_size);
	return 0;
}
