/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small devices of a machine: what a pause of the machine means to them. Of the
 * machine there is a loop on a manual clock, and what it hears of its devices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hull/pci.h"
#include "hull/virtio_balloon.h"
#include "hull/virtio_rng.h"
#include "machine_extras.h"
#include "machine_virtio.h"

enum { LOCK_REG = 0x68, LOCK_ENABLE = 2 };

static const uint64_t minute = UINT64_C(60) * 1000000000;

static uint64_t now;
static struct pci_func *function; /* the one that was plugged in */
static unsigned bites;

/* ---- what the devices are linked to ---- */

const struct virtio_type virtio_rng_type;
const struct virtio_type virtio_balloon_type;

int virtio_create(struct virtio_dev **ret_dev, const struct virtio_type *type, const struct virtio_env *env,
		  const void *params, struct err *err)
{
	(void)ret_dev;
	(void)type;
	(void)env;
	(void)params;
	return err_set(err, -1, "none is configured");
}

struct virtio_env machine_virtio_env(struct machine *m, struct loop *loop)
{
	return (struct virtio_env){.loop = loop, .log = m->log};
}

int machine_virtio_plug(struct machine *m, struct machine_virtio *v, enum slot_kind kind, unsigned index,
			struct err *err)
{
	(void)m;
	(void)v;
	(void)kind;
	(void)index;
	(void)err;
	return 0;
}

void machine_virtio_destroy(struct machine_virtio *v)
{
	assert_null(v->dev);
}

static void on_event(void *arg, enum machine_event event)
{
	(void)arg;
	assert_int_equal(event, MACHINE_WATCHDOG);
	bites++;
}

struct machine_listener machine_listener(struct machine *m)
{
	return (struct machine_listener){.fn = on_event, .arg = m};
}

unsigned resolve_pci_slot(const struct vm_config *config, enum slot_kind kind, unsigned index)
{
	(void)config;
	assert_int_equal(kind, SLOT_WATCHDOG);
	return index + 1;
}

int pci_root_add(void *dev, unsigned slot, struct pci_func *func, struct err *err)
{
	(void)dev;
	(void)slot;
	(void)err;
	function = func;
	return 0;
}

/* ---- cases ---- */

static uint64_t manual_clock(void)
{
	return now;
}

static void pass(struct machine *m, uint64_t ns)
{
	now += ns;
	assert_int_equal(loop_run_once(&m->loop, 0), 0);
}

static void set_paused(struct machine *m, bool paused)
{
	loop_lock(&m->loop);
	machine_extras_pause(m->extras, paused);
	loop_unlock(&m->loop);
}

static void build(struct machine *m, const struct vm_config *config, const struct log *log)
{
	struct err err = {0};

	*m = (struct machine){.config = config, .log = log};
	function = NULL;
	bites = 0;
	now = minute;
	assert_int_equal(loop_init(&m->loop, &err), 0);
	m->loop.now = manual_clock;
	assert_int_equal(machine_extras_build(m, &err), 0);
}

static void finish(struct machine *m)
{
	machine_extras_destroy(m->extras);
	loop_finish(&m->loop);
}

static void a_paused_machine_is_not_late(void **state)
{
	const struct vm_config config = {.watchdog = WATCHDOG_RESET};
	const struct log log = {.level = LOG_ERROR};
	struct machine m;

	(void)state;
	build(&m, &config, &log);
	assert_non_null(function);
	loop_lock(&m.loop);
	pci_config_write(function, LOCK_REG, 1, LOCK_ENABLE); /* twice 17 minutes and a half */
	loop_unlock(&m.loop);
	pass(&m, 17 * minute);
	set_paused(&m, true);
	for (unsigned i = 0; i < 10; i++)
		pass(&m, 100 * minute);
	assert_int_equal(bites, 0);
	set_paused(&m, false);
	pass(&m, minute);
	assert_int_equal(bites, 0);
	pass(&m, 18 * minute);
	assert_int_equal(bites, 1);
	finish(&m);
}

static void without_any(void **state)
{
	const struct vm_config config = {.watchdog = WATCHDOG_NONE};
	struct machine m;

	(void)state;
	build(&m, &config, NULL);
	assert_null(function);
	set_paused(&m, true);
	set_paused(&m, false);
	finish(&m);
	machine_extras_pause(NULL, true); /* nothing was plugged in */
	machine_extras_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_paused_machine_is_not_late),
		cmocka_unit_test(without_any),
	};

	return cmocka_run_group_tests_name("machine-extras", tests, NULL, NULL);
}
