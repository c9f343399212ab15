/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watchdog timer of Intel's 6300ESB (Intel 6300ESB I/O Controller Hub, document
 * 300641, chapter 16), as much as drivers use; see i6300esb.h.
 *
 *   BAR0   +0x00 preload value 1, +0x04 preload value 2 (20 bits)
 *          +0x08 interrupt status: bit 0, the first stage has expired
 *          +0x0c reload: bit 8 reloads the timer, bit 9 the second stage has expired
 *   config 0x60  bits 1:0 interrupt (3: none), bit 2 the fast clock, bit 5 no output
 *          0x68  bit 0 locks this register, bit 1 counts, bit 2 free-running
 *
 *   enabled, or reloaded -> stage 1: preload 1 -> stage 2: preload 2 -> MACHINE_WATCHDOG
 *
 * Free-running there is stage 2 alone. Preloads and bits 8 and 9 of the reload register
 * take one write after 0x80 and then 0x86 were written to that register. The PCI clock
 * of 33 MHz is divided by 2^15 (about 1 kHz), or by 2^5 (about 1 MHz). There is no
 * interrupt pin: who wants to know of the first stage has to look.
 *
 * After the end the timer stands still until it is reloaded or enabled anew.
 */
#include "hull/i6300esb.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

#include "hull/util.h"

enum {
	BAR_BYTES = 4096,
	REG_PRELOAD_1 = 0x00,
	REG_PRELOAD_2 = 0x04,
	REG_INTERRUPT = 0x08,
	REG_RELOAD = 0x0c,
	REGS_END = 0x10,

	PRELOAD_MASK = 0xfffff,
	RELOAD_NOW = 0x0100,
	RELOAD_TIMEOUT = 0x0200,
	UNLOCK_FIRST = 0x80,
	UNLOCK_SECOND = 0x86,

	CONFIG_REG = 0x60,
	CONFIG_INTERRUPT = 0x03,
	CONFIG_INTERRUPT_NONE = 0x03,
	CONFIG_FAST = 0x04,
	CONFIG_NO_OUTPUT = 0x20,
	LOCK_REG = 0x68,
	LOCK_LOCK = 0x01,
	LOCK_ENABLE = 0x02,
	LOCK_FREE_RUNNING = 0x04,

	SLOW_SHIFT = 15,
	FAST_SHIFT = 5,
	CLOCK_NS = 30, /* of 33 MHz */

	VENDOR = 0x8086,
	DEVICE = 0x25ab,
	CLASS = 0x088000, /* base system peripheral, other */
};

enum unlock { LOCKED, HALF, UNLOCKED };

struct i6300esb_state {
	uint32_t preload[2];
	uint64_t left_ns; /* until the stage expires; only when saved and while paused */
	uint8_t stage;    /* 1 or 2; 0: it does not count */
	uint8_t unlock;   /* enum unlock */
	uint8_t lock;     /* LOCK_REG: the guest's write comes after config was changed */
	uint8_t interrupt;
	uint8_t timeout;
};

static const uint64_t longest_ns = ((uint64_t)PRELOAD_MASK << SLOW_SHIFT) * CLOCK_NS;

#define FIELD(kind_, tag_, member_, max_) STATE_FIELD(struct i6300esb_state, kind_, tag_, 1, member_, max_, 0)

static const struct state_field i6300esb_fields[] = {
	FIELD(STATE_U32, 1, preload[0], PRELOAD_MASK),
	FIELD(STATE_U32, 2, preload[1], PRELOAD_MASK),
	FIELD(STATE_U64, 3, left_ns, ((uint64_t)PRELOAD_MASK << SLOW_SHIFT) * CLOCK_NS),
	FIELD(STATE_U8, 4, stage, 2),
	FIELD(STATE_U8, 5, unlock, UNLOCKED),
	FIELD(STATE_U8, 6, lock, LOCK_LOCK | LOCK_ENABLE | LOCK_FREE_RUNNING),
	FIELD(STATE_U8, 7, interrupt, 1),
	FIELD(STATE_U8, 8, timeout, 1),
};

const struct state_table i6300esb_state_table = {
	.name = "i6300esb",
	.version = 1,
	.count = ARRAY_SIZE(i6300esb_fields),
	.fields = i6300esb_fields,
	.size = sizeof(struct i6300esb_state),
};

struct i6300esb {
	struct pci_func func;
	struct i6300esb_env env;
	struct i6300esb_state st;
	struct loop_timer timer; /* armed while it counts and is not paused */
	bool paused;
	struct log_limit expired_limit;
};

/* ---- the timer ---- */

static bool is_counting(const struct i6300esb *w)
{
	return w->st.stage != 0;
}

static void stop(struct i6300esb *w)
{
	w->st.stage = 0;
	w->st.left_ns = 0;
	loop_timer_cancel(w->env.loop, &w->timer);
}

/* Arms the timer with what is left. */
static void go_on(struct i6300esb *w)
{
	loop_timer_set(w->env.loop, &w->timer, loop_now(w->env.loop) + w->st.left_ns);
}

static void enter(struct i6300esb *w, unsigned stage)
{
	const unsigned shift = w->func.config[CONFIG_REG] & CONFIG_FAST ? FAST_SHIFT : SLOW_SHIFT;

	w->st.stage = (uint8_t)stage;
	w->st.left_ns = ((uint64_t)w->st.preload[stage - 1] << shift) * CLOCK_NS;
	if (!w->paused)
		go_on(w);
}

static void restart(struct i6300esb *w)
{
	if (w->st.lock & LOCK_ENABLE)
		enter(w, w->st.lock & LOCK_FREE_RUNNING ? 2 : 1);
}

static void end(struct i6300esb *w)
{
	stop(w);
	w->st.timeout = 1;
	if (w->func.config[CONFIG_REG] & CONFIG_NO_OUTPUT)
		return;
	log_guest(w->env.log, &w->expired_limit, "the watchdog has expired");
	if (w->env.events.fn)
		w->env.events.fn(w->env.events.arg, MACHINE_WATCHDOG);
}

static void expired(struct loop_timer *timer)
{
	struct i6300esb *w = container_of(timer, struct i6300esb, timer);

	if (w->st.stage != 1) {
		end(w);
		return;
	}
	if ((w->func.config[CONFIG_REG] & CONFIG_INTERRUPT) != CONFIG_INTERRUPT_NONE)
		w->st.interrupt = 1;
	enter(w, 2);
}

/* ---- registers ---- */

static uint32_t reg_value(const struct i6300esb *w, uint64_t reg)
{
	switch (reg) {
	case REG_PRELOAD_1:
		return w->st.preload[0];
	case REG_PRELOAD_2:
		return w->st.preload[1];
	case REG_INTERRUPT:
		return w->st.interrupt;
	default:
		return w->st.timeout ? RELOAD_TIMEOUT : 0;
	}
}

static void esb_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	const struct i6300esb *w = dev;
	const unsigned at = off % 4;

	if (off >= REGS_END || off % len)
		return;
	*val = reg_value(w, off - at) >> 8 * at & (uint32_t)all_ones(len);
}

/* The reload register: steps of the unlocking, or the one write after them. */
static void write_reload(struct i6300esb *w, unsigned len, uint32_t val)
{
	const bool unlocked = w->st.unlock == UNLOCKED;

	if (val == UNLOCK_FIRST) {
		w->st.unlock = HALF;
		return;
	}
	if (val == UNLOCK_SECOND && w->st.unlock == HALF) {
		w->st.unlock = UNLOCKED;
		return;
	}
	if (len < 2)
		return;
	w->st.unlock = LOCKED;
	if (!unlocked)
		return;
	if (val & RELOAD_TIMEOUT)
		w->st.timeout = 0;
	if (val & RELOAD_NOW)
		restart(w);
}

static void write_preload(struct i6300esb *w, unsigned i, uint32_t val)
{
	if (w->st.unlock == UNLOCKED)
		w->st.preload[i] = val & PRELOAD_MASK; /* for the next time the stage begins */
	w->st.unlock = LOCKED;
}

static void esb_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct i6300esb *w = dev;

	switch (off) {
	case REG_PRELOAD_1:
	case REG_PRELOAD_2:
		if (len == 4)
			write_preload(w, off == REG_PRELOAD_2, (uint32_t)val);
		break;
	case REG_INTERRUPT:
		if (val & 1) /* write 1 to clear */
			w->st.interrupt = 0;
		break;
	case REG_RELOAD:
		write_reload(w, len, (uint32_t)val);
		break;
	}
}

/* ---- configuration space ---- */

static void written(struct pci_func *func, unsigned off, unsigned len)
{
	struct i6300esb *w = container_of(func, struct i6300esb, func);
	const uint8_t old = w->st.lock;

	if (off > LOCK_REG || off + len <= LOCK_REG)
		return;
	if (old & LOCK_LOCK) {
		func->config[LOCK_REG] = old;
		return;
	}
	w->st.lock = func->config[LOCK_REG];
	if (!(w->st.lock & LOCK_ENABLE))
		stop(w);
	else if (!(old & LOCK_ENABLE))
		restart(w);
}

/* ---- life ---- */

int i6300esb_create(struct i6300esb **ret_watchdog, const struct i6300esb_env *env, struct err *err)
{
	static const struct io_ops ops = {
		.read = esb_read,
		.write = esb_write,
		.widths = IO_WIDTH_1 | IO_WIDTH_2 | IO_WIDTH_4,
	};
	static const struct pci_ident ident = {.vendor = VENDOR, .device = DEVICE, .class_code = CLASS};
	struct i6300esb *w = calloc(1, sizeof(*w));

	if (!w)
		return err_errno(err, -ENOMEM, "watchdog");
	w->env = *env;
	w->timer.expired = expired;
	w->st.preload[0] = PRELOAD_MASK;
	w->st.preload[1] = PRELOAD_MASK;
	pci_func_init(&w->func, &ident);
	pci_func_set_bar(&w->func, 0, &(struct pci_bar){.size = BAR_BYTES, .ops = &ops, .dev = w});
	w->func.loop = env->loop;
	w->func.wmask[CONFIG_REG] = CONFIG_INTERRUPT | CONFIG_FAST | CONFIG_NO_OUTPUT;
	w->func.wmask[LOCK_REG] = LOCK_LOCK | LOCK_ENABLE | LOCK_FREE_RUNNING;
	w->func.written = written;
	*ret_watchdog = w;
	return 0;
}

struct pci_func *i6300esb_func(struct i6300esb *watchdog)
{
	return &watchdog->func;
}

/* What is left of the stage, as the clock says. */
static void note_left(struct i6300esb *w)
{
	const uint64_t now = loop_now(w->env.loop);

	if (w->timer.armed)
		w->st.left_ns = w->timer.deadline_ns > now ? w->timer.deadline_ns - now : 0;
}

void *i6300esb_state(struct i6300esb *watchdog)
{
	note_left(watchdog);
	return &watchdog->st;
}

/* Where the two sections are. The names of devices are short: all of it fits. */
static void section_names(const char *name, char device[static SNAPSHOT_MAX_NAME],
			  char config[static SNAPSHOT_MAX_NAME])
{
	(void)snprintf(device, SNAPSHOT_MAX_NAME, "%s/device", name);
	(void)snprintf(config, SNAPSHOT_MAX_NAME, "%s/config", name);
}

void i6300esb_save(struct i6300esb *watchdog, struct snapshot_writer *writer, const char *name)
{
	char device[SNAPSHOT_MAX_NAME], config[SNAPSHOT_MAX_NAME];

	section_names(name, device, config);
	snapshot_put(writer, device, &i6300esb_state_table, i6300esb_state(watchdog));
	snapshot_put(writer, config, &pci_func_state_table, &watchdog->func);
}

int i6300esb_load(struct i6300esb *watchdog, struct snapshot *snapshot, const char *name, struct err *err)
{
	char device[SNAPSHOT_MAX_NAME], config[SNAPSHOT_MAX_NAME];
	int r;

	section_names(name, device, config);
	r = snapshot_get(snapshot, device, &i6300esb_state_table, &watchdog->st, err);
	if (r == 0)
		r = snapshot_get(snapshot, config, &pci_func_state_table, &watchdog->func, err);
	return r;
}

int i6300esb_restored(struct i6300esb *watchdog, struct err *err)
{
	const struct i6300esb_state *st = &watchdog->st;

	if (st->lock != watchdog->func.config[LOCK_REG] || st->left_ns > longest_ns ||
	    (is_counting(watchdog) && !(st->lock & LOCK_ENABLE)))
		return err_set(err, -EINVAL, "watchdog: impossible state");
	loop_timer_cancel(watchdog->env.loop, &watchdog->timer);
	if (is_counting(watchdog) && !watchdog->paused)
		go_on(watchdog);
	return 0;
}

void i6300esb_pause(struct i6300esb *watchdog, bool paused)
{
	if (watchdog->paused == paused)
		return;
	watchdog->paused = paused;
	note_left(watchdog);
	loop_timer_cancel(watchdog->env.loop, &watchdog->timer);
	if (!paused && is_counting(watchdog))
		go_on(watchdog);
}

void i6300esb_destroy(struct i6300esb *watchdog)
{
	if (!watchdog)
		return;
	loop_timer_cancel(watchdog->env.loop, &watchdog->timer);
	free(watchdog);
}
