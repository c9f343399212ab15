/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All tables of declared state, by hand; see snapshot_tables.h. */
#include "snapshot_tables.h"

#include <string.h>

#include "hull/arch.h"
#include "hull/device.h"
#include "hull/i6300esb.h"
#include "hull/msix.h"
#include "hull/pci.h"
#include "hull/util.h"
#include "hull/virtio.h"
#include "hull/virtio_blk.h"
#include "hull/virtio_transport.h"
#include "hull/virtq.h"
#include "saved_config.h"

static const struct state_table *const tables[] = {
	&saved_machine_table,  &saved_disk_table,       &saved_net_table,         &saved_share_table,
	&saved_port_table,     &saved_publish_table,    &saved_memory_table,      &virtio_state_table,
	&virtq_state_table,    &virtio_pci_state_table, &virtio_mmio_state_table, &virtio_blk_state_table,
	&pci_func_state_table, &msix_state_table,       &i6300esb_state_table,
};

/* Those of types are in their lists. The result is that at *index; else that is lowered by those there are.
 */
static const struct state_table *device_table_at(unsigned *index)
{
	for (unsigned i = 0; device_table[i]; i++) {
		if (device_table[i]->state && (*index)-- == 0)
			return device_table[i]->state;
	}
	for (unsigned i = 0; virtio_table[i]; i++) {
		if (virtio_table[i]->state && (*index)-- == 0)
			return virtio_table[i]->state;
	}
	return NULL;
}

const struct state_table *snapshot_table_at(unsigned index)
{
	const struct state_table *table;

	if (index < ARRAY_SIZE(tables))
		return tables[index];
	index -= (unsigned)ARRAY_SIZE(tables);
	table = device_table_at(&index);
	return table ? table : arch_state_table(index);
}

const struct state_table *snapshot_table_find(const char *kind)
{
	const struct state_table *table;

	for (unsigned i = 0; (table = snapshot_table_at(i)); i++) {
		if (strcmp(table->name, kind) == 0)
			return table;
	}
	return NULL;
}
