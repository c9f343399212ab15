/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial port: a 16550A. National Semiconductor / TI PC16550D data sheet;
 * section numbers below are of its chapter 8, "Registers". Register and bit
 * names are those of the kernel's header.
 *
 * What is exact: registers, both FIFO modes, interrupt identification and
 * priority, loopback, modem lines. What is not: time. A byte written to THR has
 * left at once, so that THRE and TEMT are always set; the receiver's character
 * timeout (8.4, four character times) is over as soon as the FIFO holds
 * anything below the trigger level; parity, framing and break do not exist.
 *
 * The interrupt line is an edge: it pulses when the UART's INTR output rises,
 * and INTR passes the gate that PCs put behind OUT2 (closed in loopback mode,
 * where the chip holds OUT2 inactive).
 *
 * Input is pulled from the stream, never pushed: at most what the FIFO has room
 * for, and only once the guest listens. A driver's probing empties the FIFO
 * several times; what was typed or piped in before would be lost there.
 *
 * Output: a driver fills the FIFO, or writes one byte, and reads LSR or IIR before the next. Once
 * a guest has shown that it does so, writes of THR are coalesced, and the read that follows lets
 * them take effect: half the exits of a console that is polled. For the last byte, and should the
 * guest do otherwise after all, a timer looks at the ring for as long as the port is used.
 *
 * Lock: that of env.loop, held in every function here.
 */
#include "../types.h"

#include <linux/serial_reg.h>

#include "hull/util.h"

enum {
	SERIAL_PORTS = 8,
	SERIAL_FIFO = 16, /* bytes */
	/*
	 * So many reads of LSR in a row, with nothing but reads of RBR between them,
	 * are a guest that polls for input. Probing and polled output have two.
	 */
	SERIAL_POLLS = 4,
	/* So many bytes written in bursts that a read ended each: writes are coalesced. */
	SERIAL_ORDERLY = 64,
	/* Times that coalescing is switched on: each takes a moment with the loop's lock held. */
	SERIAL_SWITCHES = 4,
	SERIAL_MODEM_PRESENT = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS,
};

/* What a snapshot holds. */
struct serial_state {
	uint8_t ier;
	uint8_t fcr; /* enable bit and trigger bits */
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scr;
	uint8_t dll;
	uint8_t dlm;
	uint8_t overrun;     /* LSR.OE */
	uint8_t msr_delta;   /* low half of MSR */
	uint8_t thr_pending; /* the THRE interrupt has not been identified yet; counts while IER.THRI is set
			      */
	uint8_t line;        /* level of the gated INTR output */
	uint8_t rx_head;     /* index of the oldest byte */
	uint8_t rx_count;
	uint8_t rx[SERIAL_FIFO];
};

#define FIELD(tag_, member_, max_) STATE_FIELD(struct serial_state, STATE_U8, tag_, 1, member_, max_, 0)

static const struct state_field serial_fields[] = {
	FIELD(1, ier, 0x0f),
	FIELD(2, fcr, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK),
	FIELD(3, lcr, 0xff),
	FIELD(4, mcr, 0x1f),
	FIELD(5, scr, 0xff),
	FIELD(6, dll, 0xff),
	FIELD(7, dlm, 0xff),
	FIELD(8, overrun, 1),
	FIELD(9, msr_delta, UART_MSR_ANY_DELTA),
	FIELD(10, thr_pending, 1),
	FIELD(11, line, 1),
	FIELD(12, rx_head, SERIAL_FIFO - 1),
	FIELD(13, rx_count, SERIAL_FIFO),
	STATE_FIELD(struct serial_state, STATE_BYTES, 14, 1, rx, 0, 0),
};

static const struct state_table serial_table = {
	.name = "serial",
	.version = 1,
	.count = ARRAY_SIZE(serial_fields),
	.fields = serial_fields,
	.size = sizeof(struct serial_state),
};

struct serial {
	struct device_env env;
	struct serial_state st;
	uint8_t polls; /* reads of LSR in a row, up to SERIAL_POLLS */

	uint8_t burst;           /* bytes written since the last read */
	uint8_t orderly;         /* bytes written in order, up to SERIAL_ORDERLY */
	uint8_t switches;        /* times that coalescing was switched on */
	bool coalesced;          /* writes of THR are */
	bool used;               /* read since the timer was looked at */
	struct loop_timer timer; /* looks at what is coalesced; armed while the port is used */
};

static const uint64_t flush_ns = UINT64_C(10) * 1000000;

/* ---- coalesced output ---- */

static void flush_expired(struct loop_timer *timer)
{
	struct serial *s = container_of(timer, struct serial, timer);

	s->env.coalesced->ops->flush(s->env.coalesced);
	if (s->used)
		loop_timer_set(s->env.loop, timer, loop_now(s->env.loop) + flush_ns);
	s->used = false;
}

static void switch_coalescing(struct serial *s, bool on)
{
	struct coalesced *c = s->env.coalesced;

	if (!c || s->coalesced == on || (on && s->switches == SERIAL_SWITCHES))
		return;
	if (c->ops->set(c, (uint16_t)(s->env.base + UART_TX), on) < 0)
		return;
	s->coalesced = on;
	s->switches += on;
}

/* A byte was written to THR. */
static void note_output(struct serial *s)
{
	if (s->burst == SERIAL_FIFO) {
		s->orderly = 0;
		switch_coalescing(s, false);
		return;
	}
	s->burst++;
	if (s->orderly < SERIAL_ORDERLY)
		s->orderly++;
	else
		switch_coalescing(s, true);
}

/* A register was read: what was written before has taken effect. */
static void note_read(struct serial *s)
{
	s->burst = 0;
	if (!s->coalesced)
		return;
	if (!s->timer.armed)
		loop_timer_set(s->env.loop, &s->timer, loop_now(s->env.loop) + flush_ns);
	s->used = true;
}

/* Another byte waits behind the one that is being written. */
static bool more_follows(const struct serial *s)
{
	return s->coalesced && s->env.coalesced->ops->more(s->env.coalesced);
}

static unsigned fifo_capacity(const struct serial_state *st)
{
	return (st->fcr & UART_FCR_ENABLE_FIFO) ? SERIAL_FIFO : 1;
}

/* The level of the modem lines, as the upper half of MSR (8.7, 8.8). */
static uint8_t modem_lines(uint8_t mcr)
{
	unsigned msr = 0;

	if (!(mcr & UART_MCR_LOOP))
		return SERIAL_MODEM_PRESENT;
	if (mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return (uint8_t)msr;
}

/* The pending interrupt of the highest priority, as the low half of IIR (8.6, table IV). */
static uint8_t pending_source(const struct serial_state *st)
{
	static const uint8_t trigger[] = {1, 4, 8, 14};

	if ((st->ier & UART_IER_RLSI) && st->overrun)
		return UART_IIR_RLSI;
	if ((st->ier & UART_IER_RDI) && st->rx_count) {
		if (!(st->fcr & UART_FCR_ENABLE_FIFO) || st->rx_count >= trigger[st->fcr >> 6])
			return UART_IIR_RDI;
		return UART_IIR_RX_TIMEOUT;
	}
	if ((st->ier & UART_IER_THRI) && st->thr_pending)
		return UART_IIR_THRI;
	if ((st->ier & UART_IER_MSI) && st->msr_delta)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

/* Follows the INTR output after anything that may have changed it. */
static void update_line(struct serial *s)
{
	bool open = (s->st.mcr & (UART_MCR_OUT2 | UART_MCR_LOOP)) == UART_MCR_OUT2;
	bool level = open && pending_source(&s->st) != UART_IIR_NO_INT;

	if (level && !s->st.line)
		irq_raise(s->env.irq);
	s->st.line = level;
}

static void rx_put(struct serial_state *st, uint8_t byte)
{
	if (st->rx_count < fifo_capacity(st)) {
		st->rx[(st->rx_head + st->rx_count) % SERIAL_FIFO] = byte;
		st->rx_count++;
		return;
	}
	/* 8.4: without FIFOs the new byte replaces the old one, with them it is the new one that is lost. */
	st->overrun = 1;
	if (!(st->fcr & UART_FCR_ENABLE_FIFO))
		st->rx[st->rx_head] = byte;
}

static void rx_clear(struct serial_state *st)
{
	st->rx_head = 0;
	st->rx_count = 0;
}

/*
 * Whether somebody waits for input: the receive interrupt is enabled and gets
 * through (probing sets all of IER, but not OUT2), or LSR is polled.
 */
static bool listening(const struct serial *s)
{
	return ((s->st.ier & UART_IER_RDI) && (s->st.mcr & UART_MCR_OUT2)) || s->polls >= SERIAL_POLLS;
}

/* Fills the receiver from the stream as far as it has room and the guest listens. */
static void pull_input(struct serial *s)
{
	struct serial_state *st = &s->st;
	unsigned capacity = fifo_capacity(st);
	uint8_t buf[SERIAL_FIFO];
	size_t n;

	if (!s->env.stream || (st->mcr & UART_MCR_LOOP) || st->rx_count >= capacity)
		return;
	if (!listening(s))
		return;
	n = s->env.stream->ops->read(s->env.stream, buf, capacity - st->rx_count);
	for (size_t i = 0; i < n; i++)
		rx_put(st, buf[i]);
	if (n)
		update_line(s);
}

/* The stream says that there is input. */
static void serial_input(void *dev)
{
	pull_input(dev);
}

static uint8_t read_rbr(struct serial *s)
{
	struct serial_state *st = &s->st;
	uint8_t byte;

	if (!st->rx_count)
		return 0;
	byte = st->rx[st->rx_head];
	st->rx_head = (uint8_t)((st->rx_head + 1u) % SERIAL_FIFO);
	st->rx_count--;
	update_line(s);
	if (!st->rx_count)
		pull_input(s);
	return byte;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = pending_source(&s->st);

	/* Table IV: reading IIR resets the THRE interrupt when that is what it says. */
	if (iir == UART_IIR_THRI) {
		s->st.thr_pending = 0;
		update_line(s);
	}
	if (s->st.fcr & UART_FCR_ENABLE_FIFO)
		iir |= 0xc0;
	return iir;
}

static uint8_t read_lsr(struct serial *s)
{
	unsigned lsr = UART_LSR_TEMT | UART_LSR_THRE;

	if (s->polls < SERIAL_POLLS)
		s->polls++;
	if (!s->st.rx_count)
		pull_input(s);
	if (s->st.rx_count)
		lsr |= UART_LSR_DR;
	if (s->st.overrun) {
		lsr |= UART_LSR_OE;
		s->st.overrun = 0;
		update_line(s);
	}
	return (uint8_t)lsr;
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t msr = modem_lines(s->st.mcr) | s->st.msr_delta;

	if (s->st.msr_delta) {
		s->st.msr_delta = 0;
		update_line(s);
	}
	return msr;
}

static void serial_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	struct serial *s = dev;
	struct serial_state *st = &s->st;
	bool dlab = st->lcr & UART_LCR_DLAB;

	(void)len;
	note_read(s);
	if (off != UART_LSR && (off != UART_RX || dlab))
		s->polls = 0;
	switch (off) {
	case UART_RX:
		*val = dlab ? st->dll : read_rbr(s);
		break;
	case UART_IER:
		*val = dlab ? st->dlm : st->ier;
		break;
	case UART_IIR:
		*val = read_iir(s);
		break;
	case UART_LCR:
		*val = st->lcr;
		break;
	case UART_MCR:
		*val = st->mcr;
		break;
	case UART_LSR:
		*val = read_lsr(s);
		break;
	case UART_MSR:
		*val = read_msr(s);
		break;
	case UART_SCR:
		*val = st->scr;
		break;
	}
}

static void write_thr(struct serial *s, uint8_t byte)
{
	struct serial_state *st = &s->st;

	note_output(s);
	if (st->mcr & UART_MCR_LOOP) {
		rx_put(st, byte);
		update_line(s);
	} else if (s->env.stream) {
		s->env.stream->ops->write(s->env.stream, &byte, 1);
	}
	/*
	 * Writing THR resets the THRE interrupt, and the byte's departure sets it
	 * again: a new edge each time. A driver that never reads IIR lives on that.
	 * Of bytes that take effect together, the last one does it.
	 */
	if ((st->ier & UART_IER_THRI) && !more_follows(s)) {
		st->thr_pending = 0;
		update_line(s);
		st->thr_pending = 1;
		update_line(s);
	}
}

static void write_ier(struct serial *s, uint8_t val)
{
	struct serial_state *st = &s->st;
	uint8_t old = st->ier;

	st->ier = val & 0x0f;
	/* THR is empty, always: enabling its interrupt makes it pending. */
	if (st->ier & ~old & UART_IER_THRI)
		st->thr_pending = 1;
	update_line(s);
	pull_input(s);
}

/*
 * 8.4: the other bits count only while bit 0 is written as 1; changing bit 0
 * empties the FIFOs, as bit 1 does. Once the guest listens, however, what the
 * stream has given stays: the line has no other end that would send it again,
 * and more would come at once anyway. Linux' driver enables the interrupt
 * before the FIFO, and would lose what had come first.
 */
static void write_fcr(struct serial *s, uint8_t val)
{
	struct serial_state *st = &s->st;
	bool clear;

	if (!(val & UART_FCR_ENABLE_FIFO))
		val = 0;
	clear = ((val ^ st->fcr) & UART_FCR_ENABLE_FIFO) || (val & UART_FCR_CLEAR_RCVR);
	if (clear && ((st->mcr & UART_MCR_LOOP) || !listening(s)))
		rx_clear(st);
	st->fcr = val & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK);
	update_line(s);
	pull_input(s);
}

/* In loopback mode the outputs of MCR are the inputs of MSR; leaving or entering it changes lines, too. */
static void write_mcr(struct serial *s, uint8_t val)
{
	struct serial_state *st = &s->st;
	unsigned before = modem_lines(st->mcr);
	unsigned after, delta;

	st->mcr = val & 0x1f;
	after = modem_lines(st->mcr);
	delta = ((before ^ after) >> 4) & (UART_MSR_DCTS | UART_MSR_DDSR | UART_MSR_DDCD);
	if (before & ~after & UART_MSR_RI)
		delta |= UART_MSR_TERI;
	st->msr_delta |= (uint8_t)delta;
	update_line(s);
	pull_input(s);
}

static void serial_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct serial *s = dev;
	struct serial_state *st = &s->st;
	uint8_t byte = (uint8_t)val;
	bool dlab = st->lcr & UART_LCR_DLAB;

	(void)len;
	s->polls = 0;
	switch (off) {
	case UART_TX:
		if (dlab)
			st->dll = byte;
		else
			write_thr(s, byte);
		break;
	case UART_IER:
		if (dlab)
			st->dlm = byte;
		else
			write_ier(s, byte);
		break;
	case UART_FCR:
		write_fcr(s, byte);
		break;
	case UART_LCR:
		st->lcr = byte;
		break;
	case UART_MCR:
		write_mcr(s, byte);
		break;
	case UART_SCR:
		st->scr = byte;
		break;
	}
}

static int serial_init(void *dev, const struct device_env *env, struct err *err)
{
	struct serial *s = dev;

	(void)err;
	s->env = *env;
	s->timer.expired = flush_expired;
	s->st.dll = 12; /* 9600 baud, as firmware leaves it; nothing depends on it */
	s->st.lcr = UART_LCR_WLEN8;
	if (env->stream) {
		env->stream->input = serial_input;
		env->stream->dev = s;
	}
	return 0;
}

/*
 * The edge of an interrupt that is pending may not have reached the guest's interrupt controller
 * when that was saved: it comes once more, and at worst the guest finds nothing. Nobody has typed
 * for this guest yet, but the stream may hold what came before it.
 */
static int serial_restored(void *dev, struct err *err)
{
	struct serial *s = dev;

	(void)err;
	s->st.line = 0;
	update_line(s);
	pull_input(s);
	return 0;
}

static void serial_finish(void *dev)
{
	struct serial *s = dev;

	if (s->env.loop)
		loop_timer_cancel(s->env.loop, &s->timer);
	if (s->env.stream)
		s->env.stream->input = NULL;
}

static const struct io_ops serial_ops = {
	.read = serial_read,
	.write = serial_write,
	.widths = IO_WIDTH_1,
};

const struct device_type serial_type = {
	.name = "serial",
	.size = sizeof(struct serial),
	.ops = {&serial_ops},
	.init = serial_init,
	.finish = serial_finish,
	.state = &serial_table,
	.state_offset = offsetof(struct serial, st),
	.restored = serial_restored,
};
