/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watchdog, driven as Linux's i6300esb.c drives it, with a clock that stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hull/i6300esb.h"
#include "hull/sink.h"
#include "hull/util.h"
#include "rig.h"

#define ECAM      UINT64_C(0xe0000000)
#define ECAM_SIZE MIB(1)
#define BARS      UINT64_C(0xd0000000)

enum {
	SLOT = 4,
	TIMER1 = 0x00,
	TIMER2 = 0x04,
	GINTSR = 0x08,
	RELOAD = 0x0c,
	CONFIG = 0x60,
	LOCK = 0x68,
	TIMEOUT = 0x200,
	MS = 1000000,
};

static const struct device_place place = {
	.type = "pci-root",
	.ranges = {{SPACE_PIO, 0xcf8, 8}, {SPACE_MMIO, ECAM, ECAM_SIZE}},
	.gsi = -1,
};

struct dog {
	struct rig rig;
	struct i6300esb *esb;
	struct log log;
	unsigned bites; /* MACHINE_WATCHDOG */
	unsigned others;
	uint64_t now; /* ns */
};

static void on_event(void *arg, enum machine_event event)
{
	struct dog *d = arg;

	if (event == MACHINE_WATCHDOG)
		d->bites++;
	else
		d->others++;
}

static struct i6300esb *make(struct dog *d)
{
	const struct i6300esb_env env = {
		.loop = &d->rig.loop, .log = &d->log, .events = {.fn = on_event, .arg = d}};
	struct i6300esb *esb = NULL;

	assert_int_equal(i6300esb_create(&esb, &env, NULL), 0);
	return esb;
}

/* ---- accesses of a guest ---- */

static uint64_t ecam(unsigned reg)
{
	return ECAM + (SLOT << 15 | reg);
}

static uint64_t config_read(struct dog *d, unsigned reg, unsigned len)
{
	return bus_read(&d->rig.mmio, ecam(reg), len);
}

static void config_write(struct dog *d, unsigned reg, unsigned len, uint64_t val)
{
	bus_write(&d->rig.mmio, ecam(reg), len, val);
}

static uint64_t bar(struct dog *d)
{
	return config_read(d, PCI_BASE_ADDRESS_0, 4) & ~UINT64_C(0xfff);
}

static uint64_t reg_read(struct dog *d, unsigned reg, unsigned len)
{
	return bus_read(&d->rig.mmio, bar(d) + reg, len);
}

static void reg_write(struct dog *d, unsigned reg, unsigned len, uint64_t val)
{
	bus_write(&d->rig.mmio, bar(d) + reg, len, val);
}

static void tick(struct dog *d, uint64_t ns)
{
	d->now += ns;
	manual_clock_set(d->now);
	assert_int_equal(loop_run_once(&d->rig.loop, 0), 0);
}

/* In steps: a stage begins when the loop comes round. */
static void advance(struct dog *d, uint64_t ms)
{
	enum { STEPS = 200 };

	for (unsigned i = 0; i < STEPS; i++)
		tick(d, ms * MS / STEPS);
}

/* ---- Linux's driver ---- */

static void unlock(struct dog *d)
{
	reg_write(d, RELOAD, 1, 0x80);
	reg_write(d, RELOAD, 1, 0x86);
}

static void ping(struct dog *d)
{
	unlock(d);
	reg_write(d, RELOAD, 2, 0x100);
}

static void set_timer(struct dog *d, unsigned timer, uint32_t val)
{
	unlock(d);
	reg_write(d, timer, 4, val);
}

/* esb_timer_set_heartbeat() */
static void set_heartbeat(struct dog *d, unsigned seconds)
{
	set_timer(d, TIMER1, seconds << 9);
	set_timer(d, TIMER2, seconds << 9);
	ping(d);
}

/* esb_initdevice(): returns whether the last boot was the watchdog's. */
static bool probe(struct dog *d)
{
	bool triggered;

	config_write(d, CONFIG, 2, 0x0003);
	assert_int_equal(config_read(d, CONFIG, 2), 3);
	assert_int_equal(config_read(d, LOCK, 1) & 1, 0);
	config_write(d, LOCK, 1, 0);
	unlock(d);
	triggered = reg_read(d, RELOAD, 2) & TIMEOUT;
	unlock(d);
	reg_write(d, RELOAD, 2, TIMEOUT | 0x100);
	return triggered;
}

static void start(struct dog *d, bool no_way_out)
{
	ping(d);
	config_write(d, LOCK, 1, no_way_out ? 3 : 2);
}

/* esb_timer_stop(): true when it was stopped. */
static bool stop(struct dog *d)
{
	ping(d);
	config_write(d, LOCK, 1, 0);
	return !(config_read(d, LOCK, 1) & 1);
}

/* ---- ---- */

static int setup(void **state)
{
	static struct dog d;

	memset(&d, 0, sizeof(d));
	manual_clock_set(0);
	rig_init(&d.rig, &place);
	d.esb = make(&d);
	loop_lock(&d.rig.loop);
	assert_int_equal(pci_root_add(d.rig.dev, SLOT, i6300esb_func(d.esb), NULL), 0);
	assert_int_equal(pci_root_assign(d.rig.dev, BARS, MIB(1), NULL), 0);
	loop_unlock(&d.rig.loop);
	config_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	*state = &d;
	return 0;
}

static int teardown(void **state)
{
	struct dog *d = *state;

	rig_finish(&d->rig);
	return 0;
}

static int teardown_all(void **state)
{
	struct dog *d = *state;

	assert_int_equal(d->others, 0);
	i6300esb_destroy(d->esb);
	return teardown(state);
}

static void test_identity(void **state)
{
	struct dog *d = *state;

	assert_int_equal(config_read(d, PCI_VENDOR_ID, 4), 0x25ab8086);
	assert_int_equal(config_read(d, PCI_CLASS_REVISION, 4) >> 8, 0x088000);
	assert_int_equal(config_read(d, PCI_INTERRUPT_PIN, 1), 0);
	config_write(d, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	assert_int_equal(config_read(d, PCI_BASE_ADDRESS_0, 4), 0xfffff000);
	config_write(d, PCI_BASE_ADDRESS_0, 4, BARS);
	assert_int_equal(reg_read(d, TIMER1, 4), 0xfffff);
	assert_int_equal(reg_read(d, TIMER2, 4), 0xfffff);
	assert_int_equal(reg_read(d, RELOAD, 2), 0);
}

/* Both stages must pass: a heartbeat of 30 s is twice 15.1 s. */
static void test_silence(void **state)
{
	struct dog *d = *state;

	assert_false(probe(d));
	set_heartbeat(d, 30);
	assert_int_equal(reg_read(d, TIMER1, 4), 30 << 9);
	advance(d, 100000); /* not started yet */
	assert_int_equal(d->bites, 0);
	start(d, false);
	advance(d, 15000);
	assert_int_equal(d->bites, 0);
	advance(d, 14500);
	assert_int_equal(d->bites, 0);
	advance(d, 1500);
	assert_int_equal(d->bites, 1);
	/* Once. */
	for (unsigned i = 0; i < 100; i++)
		advance(d, 100000);
	assert_int_equal(d->bites, 1);
	assert_int_equal(reg_read(d, RELOAD, 2), TIMEOUT);
	/* What the driver finds at the next boot, and puts away. */
	assert_true(probe(d));
	assert_false(probe(d));
}

static void test_pings(void **state)
{
	struct dog *d = *state;

	probe(d);
	set_heartbeat(d, 10);
	start(d, false);
	for (unsigned i = 0; i < 1000; i++) {
		advance(d, i % 2 ? 4900 : 9900); /* the second stage may have begun */
		ping(d);
	}
	assert_int_equal(d->bites, 0);
	assert_int_equal(reg_read(d, RELOAD, 2), 0);
	advance(d, 5100); /* in the second stage now: the ping begins with the first */
	ping(d);
	advance(d, 9900);
	assert_int_equal(d->bites, 0);
	advance(d, 500);
	assert_int_equal(d->bites, 1);
}

/* A new heartbeat counts from the next ping on. */
static void test_new_heartbeat(void **state)
{
	struct dog *d = *state;

	probe(d);
	set_heartbeat(d, 10);
	start(d, false);
	set_timer(d, TIMER1, 60 << 9);
	advance(d, 5100);
	set_timer(d, TIMER2, 1); /* the second stage is under way */
	advance(d, 4500);
	assert_int_equal(d->bites, 0);
	ping(d);
	advance(d, 30000);
	assert_int_equal(d->bites, 0);
	advance(d, 400);
	assert_int_equal(d->bites, 1);
}

/* To enable what is enabled is no ping. */
static void test_enabled_twice(void **state)
{
	struct dog *d = *state;

	probe(d);
	set_heartbeat(d, 10);
	start(d, false);
	for (unsigned i = 0; i < 10; i++) {
		config_write(d, LOCK, 1, i == 5 ? 3 : 2);
		advance(d, 1020);
	}
	assert_int_equal(d->bites, 1);
}

/* The magic close. */
static void test_stop(void **state)
{
	struct dog *d = *state;

	probe(d);
	set_heartbeat(d, 10);
	start(d, false);
	advance(d, 8000);
	assert_true(stop(d));
	advance(d, 1000000);
	assert_int_equal(d->bites, 0);
	ping(d); /* does not start it */
	advance(d, 1000000);
	assert_int_equal(d->bites, 0);
	start(d, false);
	advance(d, 9900);
	assert_int_equal(d->bites, 0);
	advance(d, 300);
	assert_int_equal(d->bites, 1);
}

/* nowayout: nothing but a reset of the machine unlocks it. */
static void test_locked(void **state)
{
	struct dog *d = *state;

	probe(d);
	set_heartbeat(d, 10);
	start(d, true);
	assert_false(stop(d));
	for (unsigned v = 0; v < 256; v++) {
		config_write(d, LOCK, 1, v);
		config_write(d, LOCK, 2, v);
		config_write(d, LOCK, 4, v);
		assert_int_equal(config_read(d, LOCK, 4), 3);
	}
	advance(d, 9900);
	assert_int_equal(d->bites, 0);
	advance(d, 300);
	assert_int_equal(d->bites, 1);
}

static void test_locked_off(void **state)
{
	struct dog *d = *state;

	config_write(d, LOCK, 1, 1);
	config_write(d, LOCK, 1, 2);
	assert_int_equal(config_read(d, LOCK, 1), 1);
	advance(d, 10000000);
	assert_int_equal(d->bites, 0);
}

/* 0x80, 0x86, and one write of the right width. */
static void test_unlocking(void **state)
{
	struct dog *d = *state;

	reg_write(d, TIMER1, 4, 5);
	assert_int_equal(reg_read(d, TIMER1, 4), 0xfffff);
	reg_write(d, RELOAD, 1, 0x86); /* the second half alone */
	reg_write(d, TIMER1, 4, 5);
	assert_int_equal(reg_read(d, TIMER1, 4), 0xfffff);
	reg_write(d, RELOAD, 1, 0x86); /* the wrong order */
	reg_write(d, RELOAD, 1, 0x80);
	reg_write(d, TIMER1, 4, 5);
	assert_int_equal(reg_read(d, TIMER1, 4), 0xfffff);
	unlock(d);
	reg_write(d, TIMER1, 1, 5); /* these do not count */
	reg_write(d, TIMER1, 2, 5);
	reg_write(d, TIMER1 + 1, 4, 5);
	reg_write(d, TIMER1, 8, 5);
	assert_int_equal(reg_read(d, TIMER1, 4), 0xfffff);
	reg_write(d, TIMER1, 4, 0xfff12345);
	assert_int_equal(reg_read(d, TIMER1, 4), 0x12345);
	reg_write(d, TIMER2, 4, 7); /* once only */
	assert_int_equal(reg_read(d, TIMER2, 4), 0xfffff);
	set_timer(d, TIMER2, 7);
	assert_int_equal(reg_read(d, TIMER2, 4), 7);

	set_timer(d, TIMER1, 1000);
	set_timer(d, TIMER2, 1000);
	start(d, false);
	for (unsigned i = 0; i < 10; i++) {
		advance(d, 100);
		reg_write(d, RELOAD, 2, 0x100); /* locked: no ping */
		reg_write(d, RELOAD, 1, 0x80);
		reg_write(d, RELOAD, 2, 0x100);
	}
	advance(d, 1100);
	assert_int_equal(d->bites, 1);
	reg_write(d, RELOAD, 2, TIMEOUT);
	assert_int_equal(reg_read(d, RELOAD, 2), TIMEOUT);
	unlock(d);
	reg_write(d, RELOAD, 2, 0); /* this was the one write */
	reg_write(d, RELOAD, 2, TIMEOUT);
	assert_int_equal(reg_read(d, RELOAD, 2), TIMEOUT);
	unlock(d);
	reg_write(d, RELOAD, 1, 1); /* a byte is none */
	reg_write(d, RELOAD, 2, TIMEOUT);
	assert_int_equal(reg_read(d, RELOAD, 2), 0);
}

/* The fast clock, no second stage before the first; preloads of nothing. */
static void test_modes(void **state)
{
	struct dog *d = *state;

	config_write(d, CONFIG, 2, 0x0007);
	set_timer(d, TIMER1, 500000); /* about a µs each */
	set_timer(d, TIMER2, 500000);
	start(d, false);
	advance(d, 900);
	assert_int_equal(d->bites, 0);
	advance(d, 100);
	assert_int_equal(d->bites, 1);
	stop(d);

	config_write(d, LOCK, 1, 6); /* free-running: the second preload only */
	advance(d, 400);
	assert_int_equal(d->bites, 1);
	advance(d, 100);
	assert_int_equal(d->bites, 2);
	stop(d);

	set_timer(d, TIMER1, 0);
	set_timer(d, TIMER2, 0);
	start(d, false);
	assert_int_equal(d->bites, 2); /* by the loop, not under the guest's write */
	advance(d, 0);
	advance(d, 100000);
	assert_int_equal(d->bites, 3);
}

static void test_no_output(void **state)
{
	struct dog *d = *state;

	config_write(d, CONFIG, 2, 0xffff);
	assert_int_equal(config_read(d, CONFIG, 2), 0x0027);
	config_write(d, CONFIG, 2, 0x0023);
	set_heartbeat(d, 1);
	start(d, false);
	advance(d, 600);
	assert_int_equal(reg_read(d, GINTSR, 4), 0); /* type 3: none */
	advance(d, 600);
	assert_int_equal(d->bites, 0);
	assert_int_equal(reg_read(d, RELOAD, 2), TIMEOUT);
	/* The first stage can be seen. */
	config_write(d, CONFIG, 2, 0x0020);
	ping(d);
	advance(d, 600);
	assert_int_equal(reg_read(d, GINTSR, 4), 1);
	reg_write(d, GINTSR, 4, 0xfffe);
	assert_int_equal(reg_read(d, GINTSR, 1), 1);
	reg_write(d, GINTSR, 4, 1);
	assert_int_equal(reg_read(d, GINTSR, 4), 0);
}

/* Every offset, width and value: nothing but a deadline comes of it. */
static void test_registers(void **state)
{
	struct dog *d = *state;

	for (unsigned off = 0; off < 4096; off++) {
		for (unsigned len = 1; len <= 8; len++) {
			uint64_t ones = len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;

			reg_write(d, off, len, UINT64_MAX);
			if (off >= 0x10 || (len != 1 && len != 2 && len != 4) || off % len)
				assert_true(reg_read(d, off, len) == ones);
			else
				assert_true(reg_read(d, off, len) <= 0xfffff);
		}
	}
	assert_int_equal(reg_read(d, TIMER1, 4), 0xfffff);
	assert_int_equal(reg_read(d, TIMER1 + 1, 1), 0xff);
	assert_int_equal(reg_read(d, TIMER1 + 2, 2), 0xf);
	advance(d, 10000000);
	assert_int_equal(d->bites, 0);
}

static void test_pause(void **state)
{
	struct dog *d = *state;

	probe(d);
	set_heartbeat(d, 10);
	start(d, false);
	advance(d, 4000);
	loop_lock(&d->rig.loop);
	i6300esb_pause(d->esb, true);
	i6300esb_pause(d->esb, true);
	loop_unlock(&d->rig.loop);
	advance(d, 1000000);
	assert_int_equal(d->bites, 0);
	loop_lock(&d->rig.loop);
	i6300esb_pause(d->esb, false);
	i6300esb_pause(d->esb, false);
	loop_unlock(&d->rig.loop);
	advance(d, 5900);
	assert_int_equal(d->bites, 0);
	loop_lock(&d->rig.loop);
	i6300esb_pause(d->esb, true);
	loop_unlock(&d->rig.loop);
	ping(d); /* the last thing that a vCPU did */
	advance(d, 1000000);
	assert_int_equal(d->bites, 0);
	loop_lock(&d->rig.loop);
	i6300esb_pause(d->esb, false);
	loop_unlock(&d->rig.loop);
	advance(d, 9900);
	assert_int_equal(d->bites, 0);
	advance(d, 300);
	assert_int_equal(d->bites, 1);
}

/* When the host was late, the guest has the second stage as a whole. */
static void test_late_host(void **state)
{
	struct dog *d = *state;

	probe(d);
	set_heartbeat(d, 10);
	start(d, false);
	tick(d, UINT64_C(1000000) * MS);
	tick(d, 4900 * (uint64_t)MS);
	assert_int_equal(d->bites, 0);
	tick(d, 200 * MS);
	assert_int_equal(d->bites, 1);
}

/* A watchdog that goes on elsewhere, where the clock is another. */
static struct i6300esb *copy_of(struct dog *d, int want)
{
	uint8_t state[256], config[512];
	struct i6300esb *copy = make(d);
	struct loop *loop = &d->rig.loop;
	size_t state_len, config_len;
	struct err err;

	loop_lock(loop);
	state_len = state_save(&i6300esb_state_table, i6300esb_state(d->esb), state, sizeof(state));
	config_len = state_save(&pci_func_state_table, i6300esb_func(d->esb), config, sizeof(config));
	assert_true(state_len > 0 && config_len > 0);
	assert_int_equal(state_load(&i6300esb_state_table, i6300esb_state(copy), state, state_len, NULL), 0);
	if (want == 0)
		assert_int_equal(
			state_load(&pci_func_state_table, i6300esb_func(copy), config, config_len, NULL), 0);
	assert_int_equal(i6300esb_restored(copy, &err), want);
	loop_unlock(loop);
	return copy;
}

static void test_restored(void **state)
{
	struct dog *d = *state;
	struct i6300esb *copy;

	probe(d);
	set_heartbeat(d, 10);
	start(d, true);
	advance(d, 2000);
	copy = copy_of(d, 0);
	i6300esb_destroy(d->esb);
	d->esb = copy;
	advance(d, 3000);
	assert_int_equal(d->bites, 0);
	advance(d, 4900);
	assert_int_equal(d->bites, 0);
	advance(d, 500);
	assert_int_equal(d->bites, 1);
}

/* What has ended does not end again elsewhere. */
static void test_restored_after_the_end(void **state)
{
	struct dog *d = *state;
	struct i6300esb *copy;

	probe(d);
	set_heartbeat(d, 1);
	start(d, false);
	advance(d, 1100);
	assert_int_equal(d->bites, 1);
	copy = copy_of(d, 0);
	advance(d, 100000);
	assert_int_equal(d->bites, 1);
	i6300esb_destroy(copy);
}

static void test_restored_refused(void **state)
{
	struct dog *d = *state;
	struct i6300esb *copy;

	start(d, false);
	copy = copy_of(d, -EINVAL); /* its configuration space says that it does not count */
	i6300esb_destroy(copy);
	advance(d, 1);
	i6300esb_destroy(NULL);
}

static size_t save_sections(struct dog *d, uint8_t *bytes, size_t cap)
{
	struct snapshot_writer *writer;
	const void *file;
	size_t len;

	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	loop_lock(&d->rig.loop);
	i6300esb_save(d->esb, writer, "watchdog");
	loop_unlock(&d->rig.loop);
	assert_int_equal(snapshot_writer_finish(writer, &file, &len, NULL), 0);
	assert_true(len <= cap);
	memcpy(bytes, file, len);
	snapshot_writer_destroy(writer);
	return len;
}

/* The machine stands still while it is saved, and the copy begins much later on: neither is late. */
static void test_snapshot(void **state)
{
	struct dog *d = *state;
	struct i6300esb *copy = make(d);
	struct snapshot *snapshot;
	uint8_t bytes[2048];
	size_t len;

	probe(d);
	set_heartbeat(d, 10);
	start(d, true);
	advance(d, 2000);
	loop_lock(&d->rig.loop);
	i6300esb_pause(d->esb, true);
	loop_unlock(&d->rig.loop);
	advance(d, 60000);
	len = save_sections(d, bytes, sizeof(bytes));
	loop_lock(&d->rig.loop);
	i6300esb_pause(d->esb, false);
	loop_unlock(&d->rig.loop);
	advance(d, 7900);
	assert_int_equal(d->bites, 0);
	advance(d, 500);
	assert_int_equal(d->bites, 1);
	i6300esb_destroy(d->esb);

	advance(d, 600000);
	assert_int_equal(snapshot_open(&snapshot, bytes, len, NULL), 0);
	loop_lock(&d->rig.loop);
	assert_int_equal(i6300esb_load(copy, snapshot, "watchdog", NULL), 0);
	assert_int_equal(i6300esb_restored(copy, NULL), 0);
	loop_unlock(&d->rig.loop);
	assert_int_equal(snapshot_check_complete(snapshot, NULL), 0);
	snapshot_close(snapshot);
	d->esb = copy;
	advance(d, 7900);
	assert_int_equal(d->bites, 1);
	advance(d, 500);
	assert_int_equal(d->bites, 2);
}

/* One that is loaded with whatever: it is refused, or at worst bites or does not. */
static int load_altered(struct dog *d, const uint8_t *bytes, size_t len, unsigned section, size_t at,
			uint8_t with)
{
	struct i6300esb *copy = make(d);
	struct snapshot *from, *to;
	struct snapshot_writer *writer;
	const void *file;
	size_t file_len;
	int r;

	assert_int_equal(snapshot_open(&from, bytes, len, NULL), 0);
	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	for (unsigned i = 0; i < snapshot_count(from); i++) {
		struct snapshot_section s = snapshot_section(from, i);
		uint8_t copied[512];

		assert_true(s.len <= sizeof(copied));
		memcpy(copied, s.bytes, s.len);
		if (i == section && at < s.len)
			copied[at] = with;
		snapshot_put_bytes(writer, s.name, s.kind, copied, s.len);
	}
	assert_int_equal(snapshot_writer_finish(writer, &file, &file_len, NULL), 0);
	assert_int_equal(snapshot_open(&to, file, file_len, NULL), 0);
	loop_lock(&d->rig.loop);
	r = i6300esb_load(copy, to, "watchdog", NULL);
	if (r == 0)
		r = i6300esb_restored(copy, NULL);
	loop_unlock(&d->rig.loop);
	advance(d, 100000);
	i6300esb_destroy(copy);
	snapshot_close(from);
	snapshot_close(to);
	snapshot_writer_destroy(writer);
	return r;
}

static void test_snapshot_hostile(void **state)
{
	static const uint8_t values[] = {0x00, 0x01, 0x02, 0x7f, 0x80, 0xff};
	struct dog *d = *state;
	unsigned refused = 0, taken = 0;
	uint8_t bytes[2048];
	size_t len;

	probe(d);
	set_heartbeat(d, 10);
	start(d, true);
	len = save_sections(d, bytes, sizeof(bytes));
	for (unsigned section = 0; section < 2; section++) {
		for (size_t at = 0; at < (section ? 2 + 6 + 256 : state_size(&i6300esb_state_table)); at++) {
			for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
				int r = load_altered(d, bytes, len, section, at, values[v]);

				assert_true(r == 0 || r == -EINVAL);
				taken += r == 0;
				refused += r < 0;
			}
		}
	}
	assert_true(refused > 100 && taken > 100);
}

/* Whoever asks for it all the time fills no log. */
static void test_log(void **state)
{
	struct dog *d = *state;
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct sink *sink;
	char text[4096];
	ssize_t n;

	assert_true(fd >= 0);
	assert_int_equal(sink_create(&sink, fd, 1 << 16, "log", NULL, NULL), 0);
	d->log.level = LOG_WARN;
	d->log.sink = sink;
	set_timer(d, TIMER1, 0);
	set_timer(d, TIMER2, 0);
	for (unsigned i = 0; i < 1000; i++) {
		start(d, false);
		advance(d, 1);
		stop(d);
	}
	assert_int_equal(d->bites, 1000);
	assert_int_equal(sink_flush(sink, 1000), 0);
	n = pread(fd, text, sizeof(text) - 1, 0);
	assert_in_range(n, 1, 1000);
	text[n] = '\0';
	assert_non_null(strstr(text, "the watchdog has expired"));
	sink_destroy(sink);
	close(fd);
	d->log.sink = NULL;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_identity),
		CASE(test_silence),
		CASE(test_pings),
		CASE(test_new_heartbeat),
		CASE(test_stop),
		CASE(test_locked),
		CASE(test_locked_off),
		CASE(test_unlocking),
		CASE(test_modes),
		CASE(test_no_output),
		CASE(test_registers),
		CASE(test_pause),
		CASE(test_late_host),
		CASE(test_enabled_twice),
		CASE(test_restored_after_the_end),
		CASE(test_restored),
		CASE(test_restored_refused),
		CASE(test_snapshot),
		CASE(test_snapshot_hostile),
		CASE(test_log),
	};

	return cmocka_run_group_tests_name("i6300esb", tests, NULL, NULL);
}
