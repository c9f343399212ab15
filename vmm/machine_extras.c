/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers, balloon and watchdog; see machine_extras.h. */
#include "machine_extras.h"

#include <errno.h>
#include <stdlib.h>

#include "hull/i6300esb.h"
#include "hull/pci.h"
#include "hull/virtio_balloon.h"
#include "hull/virtio_rng.h"
#include "machine_virtio.h"

struct machine_extras {
	struct machine_virtio rng;
	struct machine_virtio balloon;
	struct i6300esb *watchdog; /* NULL: none */
};

static int build_rng(struct machine_extras *x, struct machine *m, struct err *err)
{
	const struct virtio_env env = machine_virtio_env(m, &m->loop);
	const struct virtio_rng_params params = {.fill = NULL};
	int r = virtio_create(&x->rng.dev, &virtio_rng_type, &env, &params, err);

	return r < 0 ? r : machine_virtio_plug(m, &x->rng, SLOT_RNG, 0, err);
}

static int build_balloon(struct machine_extras *x, struct machine *m, struct err *err)
{
	const struct virtio_env env = machine_virtio_env(m, &m->loop);
	const struct virtio_balloon_params params = {.target = m->config->balloon.bytes};
	int r = virtio_create(&x->balloon.dev, &virtio_balloon_type, &env, &params, err);

	return r < 0 ? r : machine_virtio_plug(m, &x->balloon, SLOT_BALLOON, 0, err);
}

static int build_watchdog(struct machine_extras *x, struct machine *m, struct err *err)
{
	const struct i6300esb_env env = {.loop = &m->loop, .log = m->log, .events = machine_listener(m)};
	int r = i6300esb_create(&x->watchdog, &env, err);

	if (r < 0)
		return r;
	return pci_root_add(m->pci_root, resolve_pci_slot(m->config, SLOT_WATCHDOG, 0),
			    i6300esb_func(x->watchdog), err);
}

int machine_extras_build(struct machine *m, struct err *err)
{
	struct machine_extras *x = calloc(1, sizeof(*x));
	int r = 0;

	if (!x)
		return err_errno(err, -ENOMEM, "devices");
	m->extras = x;
	loop_lock(&m->loop);
	if (m->config->rng)
		r = build_rng(x, m, err);
	if (r == 0 && m->config->balloon.on)
		r = build_balloon(x, m, err);
	if (r == 0 && m->config->watchdog != WATCHDOG_NONE)
		r = build_watchdog(x, m, err);
	loop_unlock(&m->loop);
	return r;
}

void machine_extras_pause(struct machine_extras *x, bool paused)
{
	if (x && x->watchdog)
		i6300esb_pause(x->watchdog, paused);
}

static const char watchdog_name[] = "watchdog";

void machine_extras_save(struct machine_extras *x, struct snapshot_writer *w)
{
	if (x && x->watchdog)
		i6300esb_save(x->watchdog, w, watchdog_name);
}

int machine_extras_load(struct machine_extras *x, struct machine *m, struct snapshot *s, struct err *err)
{
	int r;

	if (!x || !x->watchdog)
		return 0;
	loop_lock(&m->loop);
	r = i6300esb_load(x->watchdog, s, watchdog_name, err);
	if (r == 0)
		r = i6300esb_restored(x->watchdog, err);
	loop_unlock(&m->loop);
	return r;
}

void machine_extras_destroy(struct machine_extras *x)
{
	if (!x)
		return;
	i6300esb_destroy(x->watchdog);
	machine_virtio_destroy(&x->balloon);
	machine_virtio_destroy(&x->rng);
	free(x);
}
