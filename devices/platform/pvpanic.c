/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvpanic: one port by which a guest's kernel says that it has panicked, or that it
 * has shut down. Linux binds drivers/misc/pvpanic to the ACPI id QEMU0001.
 *
 *   read   the events that the device knows
 *   write  bit 0: it panicked, and that is the end of it;
 *          bit 1: it panicked, and its crash kernel takes over: the machine goes on;
 *          bit 2: it has shut down. Linux registers that as a way to power off.
 *
 * Bits that the device does not know are ignored. There is no state.
 * Lock: that of env.loop, held in every function here.
 */
#include "../types.h"

enum {
	EVENT_PANICKED = 1 << 0,
	EVENT_CRASH_LOADED = 1 << 1,
	EVENT_SHUTDOWN = 1 << 2,
	EVENTS = EVENT_PANICKED | EVENT_CRASH_LOADED | EVENT_SHUTDOWN,
};

struct pvpanic {
	struct device_env env;
	struct log_limit crash_limit;
};

static void pvpanic_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	(void)dev;
	(void)off;
	(void)len;
	*val = EVENTS;
}

static void report(const struct pvpanic *p, enum machine_event event)
{
	if (p->env.events.fn)
		p->env.events.fn(p->env.events.arg, event);
}

static void pvpanic_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct pvpanic *p = dev;

	(void)off;
	(void)len;
	if (val & EVENT_PANICKED)
		report(p, MACHINE_PANIC);
	else if (val & EVENT_CRASH_LOADED)
		log_guest(p->env.log, &p->crash_limit,
			  "the guest's kernel panicked, and its crash kernel takes over");
	else if (val & EVENT_SHUTDOWN)
		report(p, MACHINE_POWEROFF);
}

static int pvpanic_init(void *dev, const struct device_env *env, struct err *err)
{
	struct pvpanic *p = dev;

	(void)err;
	p->env = *env;
	return 0;
}

static const struct io_ops pvpanic_ops = {
	.read = pvpanic_read,
	.write = pvpanic_write,
	.widths = IO_WIDTH_1,
};

const struct device_type pvpanic_type = {
	.name = "pvpanic",
	.size = sizeof(struct pvpanic),
	.ops = {&pvpanic_ops},
	.init = pvpanic_init,
};
