/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Power registers, clock and keyboard controller, by register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <errno.h>

#include "hull/power.h"
#include "hull/util.h"
#include "rig.h"

enum { POWER = 0x600, RTC = 0x70, PVPANIC = 0x505 };

static const struct device_place power_place = {
	.type = "power",
	.ranges = {{SPACE_PIO, POWER, POWER_REGS}},
	.gsi = 9,
};

static const struct device_place rtc_place = {
	.type = "rtc",
	.ranges = {{SPACE_PIO, RTC, 2}},
	.gsi = -1,
};

static const struct device_place i8042_place = {
	.type = "i8042",
	.ranges = {{SPACE_PIO, 0x60, 1}, {SPACE_PIO, 0x64, 1}, {SPACE_PIO, 0x61, 1}},
	.gsi = -1,
};

static const struct device_place pvpanic_place = {
	.type = "pvpanic",
	.ranges = {{SPACE_PIO, PVPANIC, 1}},
	.gsi = -1,
};

static struct rig *setup_rig(const struct device_place *place)
{
	static struct rig rig;

	rig_init(&rig, place);
	return &rig;
}

static int setup_power(void **state)
{
	*state = setup_rig(&power_place);
	return 0;
}

static int setup_rtc(void **state)
{
	*state = setup_rig(&rtc_place);
	return 0;
}

static int setup_i8042(void **state)
{
	*state = setup_rig(&i8042_place);
	return 0;
}

static int setup_pvpanic(void **state)
{
	*state = setup_rig(&pvpanic_place);
	return 0;
}

static int teardown(void **state)
{
	rig_finish(*state);
	return 0;
}

/* ---- power ---- */

static void test_power_reset(void **state)
{
	struct rig *rig = *state;

	rig_outb(rig, POWER + POWER_RESET, 0);
	rig_outb(rig, POWER + POWER_RESET, 0xff);
	assert_int_equal(rig->events[MACHINE_RESET], 0);
	rig_outb(rig, POWER + POWER_RESET, POWER_RESET_VALUE);
	assert_int_equal(rig->events[MACHINE_RESET], 1);
	assert_int_equal(rig_inb(rig, POWER + POWER_RESET), 0);
}

static void test_power_sleep(void **state)
{
	struct rig *rig = *state;

	for (unsigned v = 0; v < 256; v++) {
		unsigned before = rig->events[MACHINE_POWEROFF];
		bool off = (v & 0x20) && (v >> 2 & 7) == POWER_SLP_TYP_S5;

		rig_outb(rig, POWER + POWER_SLEEP_CONTROL, v);
		assert_int_equal(rig->events[MACHINE_POWEROFF] - before, off);
	}
	assert_int_equal(rig->events[MACHINE_RESET], 0);
	/* A guest that has entered S5 waits for WAK_STS, which must not come. */
	rig_outb(rig, POWER + POWER_SLEEP_STATUS, 0x80);
	assert_int_equal(rig_inb(rig, POWER + POWER_SLEEP_STATUS), 0);
	assert_int_equal(rig_inb(rig, POWER + POWER_SLEEP_CONTROL), 0);
}

static void test_power_widths(void **state)
{
	struct rig *rig = *state;

	for (unsigned off = 0; off < POWER_REGS; off++) {
		for (unsigned len = 2; len <= 8; len++) {
			rig_out(rig, POWER + off, len, 0x3434343434343401);
			rig_out(rig, POWER + off, len, POWER_RESET_VALUE);
			rig_in(rig, POWER + off, len);
		}
	}
	assert_int_equal(rig->events[MACHINE_RESET], 0);
	assert_int_equal(rig->events[MACHINE_POWEROFF], 0);
}

static void press(struct rig *rig)
{
	loop_lock(&rig->loop);
	rig->type->power_button(rig->dev);
	loop_unlock(&rig->loop);
}

/* A copy of a machine, with the button pressed before its guest has seen either. */
static void test_power_generation(void **state)
{
	struct rig *rig = *state;

	loop_lock(&rig->loop);
	rig->type->generation_changed(rig->dev);
	loop_unlock(&rig->loop);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	press(rig);
	rig_migrate(rig);
	fake_irq_pulses(&rig->irq);
	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), POWER_EVENT_GENERATION | POWER_EVENT_BUTTON);
	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), 0);
}

/* The interrupt is not lost with the machine that had it; without an event there is none. */
static void test_power_restored(void **state)
{
	struct rig *rig = *state;

	loop_lock(&rig->loop);
	assert_int_equal(rig->type->restored(rig->dev, NULL), 0);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
	rig->type->generation_changed(rig->dev);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(rig->type->restored(rig->dev, NULL), 0);
	loop_unlock(&rig->loop);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
}

/* What was saved before there was a generation ID. */
static void test_power_version_1(void **state)
{
	static const uint8_t button[] = {1, 0, 1, 0, 1, 0, 0, 0, 1};
	static const uint8_t both[] = {1, 0, 1, 0, 1, 0, 0, 0, 4};
	struct rig *rig = *state;
	void *st = (uint8_t *)rig->dev + rig->type->state_offset;
	struct err err;

	assert_int_equal(state_load(rig->type->state, st, button, sizeof(button), &err), 0);
	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), POWER_EVENT_BUTTON);
	assert_int_equal(state_load(rig->type->state, st, both, sizeof(both), &err), -EINVAL);
}

static void test_power_button(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), 0);
	press(rig);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	rig_outb(rig, POWER + POWER_EVENT, 0xff); /* read-only */
	/* A read of the wrong width must not clear it. */
	assert_int_equal(rig_in(rig, POWER + POWER_EVENT - 1, 2), 0xffff);
	rig_migrate(rig);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1); /* not seen yet: again */
	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), POWER_EVENT_BUTTON);
	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), 0);
	press(rig);
	press(rig);
	assert_int_equal(fake_irq_pulses(&rig->irq), 2);
	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), POWER_EVENT_BUTTON);
	rig_check_state(rig);
}

/* ---- clock ---- */

static uint8_t cmos(struct rig *rig, unsigned index)
{
	rig_outb(rig, RTC, index);
	return rig_inb(rig, RTC + 1);
}

static void cmos_set(struct rig *rig, unsigned index, unsigned val)
{
	rig_outb(rig, RTC, index);
	rig_outb(rig, RTC + 1, val);
}

static unsigned from_bcd(unsigned v)
{
	assert_true((v & 0xf) < 10 && v >> 4 < 10);
	return (v >> 4) * 10 + (v & 0xf);
}

static void check_time(struct rig *rig, int64_t seconds)
{
	time_t t = seconds;
	struct tm tm;

	assert_non_null(gmtime_r(&t, &tm));
	manual_wall_clock_set(seconds);
	assert_int_equal(from_bcd(cmos(rig, 0x00)), tm.tm_sec);
	assert_int_equal(from_bcd(cmos(rig, 0x02)), tm.tm_min);
	assert_int_equal(from_bcd(cmos(rig, 0x04)), tm.tm_hour);
	assert_int_equal(from_bcd(cmos(rig, 0x06)), tm.tm_wday + 1);
	assert_int_equal(from_bcd(cmos(rig, 0x07)), tm.tm_mday);
	assert_int_equal(from_bcd(cmos(rig, 0x08)), tm.tm_mon + 1);
	assert_int_equal(from_bcd(cmos(rig, 0x09)) + 100 * from_bcd(cmos(rig, 0x32)), tm.tm_year + 1900);
}

static void test_rtc_calendar(void **state)
{
	static const int64_t times[] = {
		0,          951782399,  951782400,    951868800,  /* end of February 2000 */
		1709164799, 1709164800, 1709251199,   1709251200, /* and 2024 */
		4107542399, 4107542400,                           /* 2100 has no leap day */
		2147483647, 2147483648, 253402300799,
	};
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(times); i++)
		check_time(rig, times[i]);
	for (int64_t t = 0; t < 9000000000; t += 86400 * 17 + 12345)
		check_time(rig, t);
}

static void test_rtc_out_of_range(void **state)
{
	struct rig *rig = *state;

	manual_wall_clock_set(INT64_MIN);
	assert_int_equal(cmos(rig, 0x09), 0x70);
	manual_wall_clock_set(INT64_MAX);
	assert_int_equal(cmos(rig, 0x00), 0x59);
	assert_int_equal(cmos(rig, 0x32), 0x99);
}

static void test_rtc_formats(void **state)
{
	static const struct {
		unsigned hour, h24, h12, bin12;
	} hours[] = {
		{0, 0x00, 0x12, 12},    {1, 0x01, 0x01, 1},     {11, 0x11, 0x11, 11},
		{12, 0x12, 0x92, 0x8c}, {13, 0x13, 0x81, 0x81}, {23, 0x23, 0x91, 0x8b},
	};
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(hours); i++) {
		manual_wall_clock_set(1000000000 / 86400 * 86400 + (int64_t)hours[i].hour * 3600 + 45 * 60);
		cmos(rig, 0x0a); /* takes a new sample */
		cmos_set(rig, 0x0b, 0x02);
		assert_int_equal(cmos(rig, 0x04), hours[i].h24);
		assert_int_equal(cmos(rig, 0x02), 0x45);
		cmos_set(rig, 0x0b, 0x00);
		assert_int_equal(cmos(rig, 0x04), hours[i].h12);
		cmos_set(rig, 0x0b, 0x04);
		assert_int_equal(cmos(rig, 0x04), hours[i].bin12);
		assert_int_equal(cmos(rig, 0x02), 45);
		cmos_set(rig, 0x0b, 0x06);
		assert_int_equal(cmos(rig, 0x04), hours[i].hour);
	}
}

static void test_rtc_registers(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(cmos(rig, 0x0a), 0x26);
	assert_int_equal(cmos(rig, 0x0b), 0x02);
	assert_int_equal(cmos(rig, 0x0c), 0x00);
	assert_int_equal(cmos(rig, 0x0d), 0x80);
	/* The fastest rate, every interrupt: there are none, and nothing is divided by. */
	cmos_set(rig, 0x0a, 0x0f);
	cmos_set(rig, 0x0b, 0xff);
	assert_int_equal(cmos(rig, 0x0a), 0x26);
	assert_int_equal(cmos(rig, 0x0b), 0x87);
	assert_int_equal(cmos(rig, 0x0c), 0x00);
	assert_int_equal(rig_inb(rig, RTC), 0xff);
	assert_int_equal(rig_in(rig, RTC, 2), 0xffff);
}

/* All 256 indexes (bit 7 is the NMI mask, not part of it) with garbage: RAM keeps it, the time does not move.
 */
static void test_rtc_every_index(void **state)
{
	struct rig *rig = *state;

	manual_wall_clock_set(1234567890);
	for (unsigned index = 0; index < 256; index++) {
		bool clock = (index & 0x7f) <= 0x0d || (index & 0x7f) == 0x32;
		bool alarm = (index & 0x7f) == 1 || (index & 0x7f) == 3 || (index & 0x7f) == 5;

		cmos_set(rig, index, 0xea);
		if (!clock || alarm)
			assert_int_equal(cmos(rig, index & 0x7f), 0xea);
	}
	cmos_set(rig, 0x0b, 0x02);
	check_time(rig, 1234567890);
	cmos_set(rig, 0x8f, 0x00); /* what Linux does before a reset */
	assert_int_equal(cmos(rig, 0x0f), 0x00);
	rig_check_state(rig);
	rig_migrate(rig);
	assert_int_equal(cmos(rig, 0x40), 0xea);
}

/* A reader that takes register after register sees one moment. */
static void test_rtc_consistent(void **state)
{
	struct rig *rig = *state;

	manual_wall_clock_set(1699999199); /* ..:59:59 */
	assert_int_equal(cmos(rig, 0x00), 0x59);
	manual_wall_clock_set(1699999200);
	assert_int_equal(cmos(rig, 0x02), 0x59);
	assert_int_equal(cmos(rig, 0x00), 0x00);
	assert_int_equal(cmos(rig, 0x02), 0x00);
	manual_wall_clock_set(1699999200 + 60 * 7); /* without a look at the seconds, too, time goes on */
	assert_int_equal(cmos(rig, 0x02), 0x07);
	manual_wall_clock_set(1699999200 - 60 * 7); /* and back, if the host's clock was set */
	assert_int_equal(cmos(rig, 0x02), 0x53);
}

/* The time is the host's, whatever has passed meanwhile, and the index and RAM are the guest's. */
static void test_rtc_restored(void **state)
{
	struct rig *rig = *state;

	manual_wall_clock_set(1700000000);
	check_time(rig, 1700000000);
	cmos_set(rig, 0x0b, 0x06);
	cmos_set(rig, 0x50, 0x12);
	cmos(rig, 0x50); /* selects it */
	manual_wall_clock_set(1700000000 + 86400 * 40);
	rig_migrate(rig);
	assert_int_equal(rig_inb(rig, RTC + 1), 0x12);
	assert_int_equal(cmos(rig, 0x0b), 0x06);
	cmos_set(rig, 0x0b, 0x02);
	check_time(rig, 1700000000 + 86400 * 40);
}

static void use_rtc(struct rig *rig)
{
	rig_inb(rig, RTC + 1);
	for (unsigned i = 0; i < 256; i++)
		cmos(rig, i);
	cmos_set(rig, 0x0b, 0xff);
}

static void test_rtc_hostile_state(void **state)
{
	struct rig *rig = *state;

	assert_true(rig_falsify(rig, use_rtc) > 10);
}

static void use_power(struct rig *rig)
{
	rig_inb(rig, POWER + POWER_EVENT);
	press(rig);
	assert_true(rig_inb(rig, POWER + POWER_EVENT) & POWER_EVENT_BUTTON);
	assert_int_equal(rig_inb(rig, POWER + POWER_EVENT), 0);
}

static void test_power_hostile_state(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_falsify(rig, use_power), 3); /* none, and either event */
}

/* ---- keyboard controller ---- */

static void test_i8042_reset(void **state)
{
	struct rig *rig = *state;

	rig_outb(rig, 0x64, 0xfe);
	assert_int_equal(rig->events[MACHINE_RESET], 1);
}

/* How Linux looks for a controller: it must find none, after few accesses. */
static void test_i8042_probe(void **state)
{
	struct rig *rig = *state;
	unsigned i;

	for (i = 0; (rig_inb(rig, 0x64) & 0x01) && i < 16; i++)
		rig_inb(rig, 0x60);
	assert_int_equal(i, 16); /* never empty: no controller */
	/* And how it waits before a reset: not at all. */
	assert_int_equal(rig_inb(rig, 0x64) & 0x02, 0);
}

static void test_i8042_storm(void **state)
{
	struct rig *rig = *state;
	unsigned want = 0;

	for (unsigned i = 0; i < 256 * 100; i++) {
		unsigned command = i & 0xff;

		rig_outb(rig, 0x64, command);
		rig_outb(rig, 0x60, i >> 4);
		rig_inb(rig, 0x60);
		rig_out(rig, 0x64, 2, 0xfefe);
		rig_out(rig, 0x64, 4, 0xfefefefe);
		want += command >= 0xf0 && !(command & 1);
	}
	assert_int_equal(rig->events[MACHINE_RESET], want);
	assert_int_equal(rig->events[MACHINE_POWEROFF], 0);
	assert_int_equal(rig_inb(rig, 0x64), 0x01);
}

static void test_port_61(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_inb(rig, 0x61) & 0xc0, 0);    /* no NMI reason */
	assert_int_equal(rig_inb(rig, 0x61) & 0x20, 0x20); /* timer 2 is done */
	rig_outb(rig, 0x61, 0xff);
	assert_int_equal(rig_inb(rig, 0x61), 0x20);
}

/* ---- panics ---- */

/* The driver sends only what the device says that it knows. */
static void test_pvpanic_capabilities(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_inb(rig, PVPANIC), 7);
	rig_outb(rig, PVPANIC, 0xf8);
	assert_int_equal(rig_inb(rig, PVPANIC), 7);
	for (unsigned i = 0; i < ARRAY_SIZE(rig->events); i++)
		assert_int_equal(rig->events[i], 0);
}

/* A panic is a panic whatever else is said; a crash kernel wants the machine to go on. */
static void test_pvpanic_events(void **state)
{
	struct rig *rig = *state;

	for (unsigned v = 0; v < 256; v++) {
		unsigned panics = rig->events[MACHINE_PANIC];
		unsigned offs = rig->events[MACHINE_POWEROFF];

		rig_outb(rig, PVPANIC, v);
		assert_int_equal(rig->events[MACHINE_PANIC] - panics, v & 1);
		assert_int_equal(rig->events[MACHINE_POWEROFF] - offs, (v & 7) == 4);
	}
	assert_int_equal(rig->events[MACHINE_RESET], 0);
	assert_int_equal(rig->events[MACHINE_WATCHDOG], 0);
}

static void test_pvpanic_widths(void **state)
{
	struct rig *rig = *state;

	for (unsigned len = 2; len <= 8; len++) {
		rig_out(rig, PVPANIC, len, 0x0101010101010101);
		assert_true(rig_in(rig, PVPANIC, len) ==
			    (len < 8 ? (UINT64_C(1) << 8 * len) - 1 : UINT64_MAX));
	}
	assert_int_equal(rig->events[MACHINE_PANIC], 0);
}

/* ---- the table ---- */

static void test_table(void **state)
{
	(void)state;
	for (unsigned i = 0; device_table[i]; i++) {
		assert_ptr_equal(device_find(device_table[i]->name), device_table[i]);
		assert_non_null(device_table[i]->ops[0]);
		assert_non_null(device_table[i]->init);
		assert_true(device_table[i]->size > 0);
	}
	assert_null(device_find("floppy"));
}

#define CASE(f, device) cmocka_unit_test_setup_teardown(f, setup_##device, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_power_reset, power),
		CASE(test_power_sleep, power),
		CASE(test_power_widths, power),
		CASE(test_power_button, power),
		CASE(test_power_generation, power),
		CASE(test_power_restored, power),
		CASE(test_power_hostile_state, power),
		CASE(test_rtc_restored, rtc),
		CASE(test_rtc_hostile_state, rtc),
		CASE(test_power_version_1, power),
		CASE(test_rtc_calendar, rtc),
		CASE(test_rtc_out_of_range, rtc),
		CASE(test_rtc_formats, rtc),
		CASE(test_rtc_registers, rtc),
		CASE(test_rtc_every_index, rtc),
		CASE(test_rtc_consistent, rtc),
		CASE(test_i8042_reset, i8042),
		CASE(test_i8042_probe, i8042),
		CASE(test_i8042_storm, i8042),
		CASE(test_port_61, i8042),
		CASE(test_pvpanic_capabilities, pvpanic),
		CASE(test_pvpanic_events, pvpanic),
		CASE(test_pvpanic_widths, pvpanic),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
