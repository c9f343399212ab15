/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device types that there are, by hand. */
#include "types.h"

#include <string.h>

#include "hull/virtio_balloon.h"
#include "hull/virtio_blk.h"
#include "hull/virtio_console.h"
#include "hull/virtio_fs.h"
#include "hull/virtio_net.h"
#include "hull/virtio_rng.h"
#include "hull/virtio_vsock.h"

const struct device_type *const device_table[] = {
	&serial_type, &power_type, &rtc_type, &i8042_type, &pvpanic_type, &pci_root_type, NULL,
};

const struct virtio_type *const virtio_table[] = {
	&virtio_blk_type,     &virtio_net_type,   &virtio_console_type, &virtio_rng_type,
	&virtio_balloon_type, &virtio_vsock_type, &virtio_fs_type,      NULL,
};

const struct device_type *device_find(const char *name)
{
	for (unsigned i = 0; device_table[i]; i++) {
		if (strcmp(device_table[i]->name, name) == 0)
			return device_table[i];
	}
	return NULL;
}
