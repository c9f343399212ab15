/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a PC has its keyboard controller: enough for a guest to reset the
 * machine through it, and to find quickly that nothing else is there.
 *
 * The status register is the constant "output buffer full, input buffer empty":
 *   - Probing drivers first empty the output buffer. Linux gives up after 16
 *     bytes, "No controller found", 33 accesses and 0.8 ms. With an empty output
 *     buffer it would send a command and wait half a second for the answer; all
 *     ones would do for the probe, but ...
 *   - ... whoever resets (Linux: reboot=k) first waits for an empty INPUT buffer,
 *     65,536 times 2 µs when that bit is stuck.
 * The tables say that there is no controller (FADT, IAPC_BOOT_ARCH), so that an
 * ACPI guest does not even look.
 *
 * Port 0x61 is the PC's system control port B. It is optional in the place, and
 * keeps a guest that gets an NMI from seeing all error bits set, and one that
 * times PIT channel 2, which is absent, from waiting for its output for ever.
 *
 * There is no state.
 * Lock: that of env.loop, held in every function here.
 */
#include "../types.h"

enum {
	STATUS_OUTPUT_FULL = 0x01,
	/* Commands 0xf0 to 0xff pulse the output port's lines whose bit is 0; line 0 is the processor's
	   reset. */
	COMMAND_PULSE = 0xf0,
	PULSE_NOT_RESET = 0x01,
	PORT_B_TIMER2_OUT = 0x20,
};

struct i8042 {
	struct device_env env;
};

static void data_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	(void)dev;
	(void)off;
	(void)len;
	*val = 0xff;
}

static void ignore_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	(void)dev;
	(void)off;
	(void)len;
	(void)val;
}

static void status_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	(void)dev;
	(void)off;
	(void)len;
	*val = STATUS_OUTPUT_FULL;
}

static void command_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	const struct i8042 *kbc = dev;

	(void)off;
	(void)len;
	if ((val & COMMAND_PULSE) == COMMAND_PULSE && !(val & PULSE_NOT_RESET) && kbc->env.events.fn)
		kbc->env.events.fn(kbc->env.events.arg, MACHINE_RESET);
}

static void port_b_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	(void)dev;
	(void)off;
	(void)len;
	*val = PORT_B_TIMER2_OUT;
}

static int i8042_init(void *dev, const struct device_env *env, struct err *err)
{
	struct i8042 *kbc = dev;

	(void)err;
	kbc->env = *env;
	return 0;
}

static const struct io_ops data_ops = {.read = data_read, .write = ignore_write, .widths = IO_WIDTH_1};
static const struct io_ops command_ops = {.read = status_read, .write = command_write, .widths = IO_WIDTH_1};
static const struct io_ops port_b_ops = {.read = port_b_read, .write = ignore_write, .widths = IO_WIDTH_1};

const struct device_type i8042_type = {
	.name = "i8042",
	.size = sizeof(struct i8042),
	.ops = {&data_ops, &command_ops, &port_b_ops},
	.init = i8042_init,
};
