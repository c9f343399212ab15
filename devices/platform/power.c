/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reset, soft-off, the power button and the news of another generation ID: the registers of hull/power.h,
 * which the ACPI tables name. ACPI 6.4: 4.8.3.6 reset register, 4.8.3.7 sleep control
 * and status registers, 5.6.9 generic event device.
 *
 * Every legal write reports its event; it is the machine that heeds the first
 * one. A sleep type other than S5 and a wrong reset value do nothing.
 *
 * Lock: that of env.loop, held in every function here.
 */
#include "hull/power.h"

#include "../types.h"
#include "hull/util.h"

enum {
	SLP_TYP_SHIFT = 2,
	SLP_TYP_MASK = 7,
	SLP_EN = 0x20,
};

struct power_state {
	uint8_t event; /* POWER_EVENT_*, not read yet */
};

static const struct state_field power_fields[] = {
	STATE_FIELD(struct power_state, STATE_U8, 1, 1, event, POWER_EVENT_BUTTON | POWER_EVENT_GENERATION,
		    0),
};

static const struct state_table power_table = {
	.name = "power",
	.version = 2, /* of version 1 the event was the button alone */
	.count = ARRAY_SIZE(power_fields),
	.fields = power_fields,
	.size = sizeof(struct power_state),
};

struct power {
	struct device_env env;
	struct power_state st;
};

static void report(const struct power *p, enum machine_event event)
{
	if (p->env.events.fn)
		p->env.events.fn(p->env.events.arg, event);
}

static void power_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	struct power *p = dev;

	(void)len;
	switch (off) {
	case POWER_EVENT:
		*val = p->st.event;
		p->st.event = 0;
		break;
	default:
		/*
		 * Write-only, or WAK_STS: it must stay clear, as a guest that has entered
		 * S5 waits for it until the machine stops; set, it would run on.
		 */
		*val = 0;
		break;
	}
}

static void power_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct power *p = dev;

	(void)len;
	switch (off) {
	case POWER_RESET:
		if (val == POWER_RESET_VALUE)
			report(p, MACHINE_RESET);
		break;
	case POWER_SLEEP_CONTROL:
		if ((val & SLP_EN) && ((val >> SLP_TYP_SHIFT) & SLP_TYP_MASK) == POWER_SLP_TYP_S5)
			report(p, MACHINE_POWEROFF);
		break;
	}
}

/* The guest reads the events in its handler; what happens twice before that is one event. */
static void tell(struct power *p, unsigned event)
{
	p->st.event |= (uint8_t)event;
	irq_raise(p->env.irq);
}

static void power_button(void *dev)
{
	tell(dev, POWER_EVENT_BUTTON);
}

static void power_generation_changed(void *dev)
{
	tell(dev, POWER_EVENT_GENERATION);
}

/* An interrupt more than the guest had is none for it: it reads no event. */
static int power_restored(void *dev, struct err *err)
{
	const struct power *p = dev;

	(void)err;
	if (p->st.event)
		irq_raise(p->env.irq);
	return 0;
}

static int power_init(void *dev, const struct device_env *env, struct err *err)
{
	struct power *p = dev;

	(void)err;
	p->env = *env;
	return 0;
}

static const struct io_ops power_ops = {
	.read = power_read,
	.write = power_write,
	.widths = IO_WIDTH_1,
};

const struct device_type power_type = {
	.name = "power",
	.size = sizeof(struct power),
	.ops = {&power_ops},
	.init = power_init,
	.power_button = power_button,
	.generation_changed = power_generation_changed,
	.state = &power_table,
	.state_offset = offsetof(struct power, st),
	.restored = power_restored,
};
