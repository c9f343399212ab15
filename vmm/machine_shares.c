/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shared directories of a machine; see machine_shares.h. */
#include "machine_shares.h"

#include <errno.h>
#include <stdlib.h>

#include "config_share.h"
#include "hull/virtio_fs.h"
#include "machine_virtio.h"

struct machine_shares {
	struct machine *machine;
	unsigned count;
	struct machine_virtio devices[CONFIG_MAX_SHARES];
};

static int build_share(struct machine_shares *shares, unsigned index, struct err *err)
{
	struct machine *m = shares->machine;
	const struct config_share *config = &m->config->shares[index];
	const struct virtio_env env = machine_virtio_env(m, &m->loop);
	const struct virtio_fs_params params = {.tag = config->tag, .link = m->res->shares[index].link};
	struct machine_virtio *device = &shares->devices[index];
	int r = virtio_create(&device->dev, &virtio_fs_type, &env, &params, err);

	if (r < 0)
		return r;
	log_line(m->log, LOG_INFO, "share %s: %s at %s%s, cache %s", config->tag, config->path,
		 config->target, config->read_only ? ", read-only" : "", config_share_cache(config->cache));
	return machine_virtio_plug(m, device, SLOT_SHARE, index, err);
}

int machine_shares_build(struct machine *m, struct err *err)
{
	struct machine_shares *shares;
	int r = 0;

	if (m->config->share_count == 0)
		return 0;
	shares = calloc(1, sizeof(*shares));
	if (!shares)
		return err_errno(err, -ENOMEM, "shares");
	m->shares = shares;
	shares->machine = m;
	loop_lock(&m->loop);
	while (r == 0 && shares->count < m->config->share_count)
		r = build_share(shares, shares->count++, err);
	loop_unlock(&m->loop);
	return r;
}
