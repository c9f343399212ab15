/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The serial port, by register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/serial_reg.h>

#include "hull/util.h"
#include "rig.h"

enum { COM1 = 0x3f8 };

static const struct device_place place = {
	.type = "serial",
	.ranges = {{SPACE_PIO, COM1, 8}},
	.gsi = 4,
};

static struct rig *rig_of(void **state)
{
	return *state;
}

static int setup(void **state)
{
	static struct rig rig;

	rig_init(&rig, &place);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	rig_finish(*state);
	return 0;
}

static uint8_t in(struct rig *rig, unsigned reg)
{
	return rig_inb(rig, COM1 + reg);
}

static void out(struct rig *rig, unsigned reg, unsigned val)
{
	rig_outb(rig, COM1 + reg, val);
}

static void type(struct rig *rig, const char *text)
{
	loop_lock(&rig->loop);
	mem_stream_type(&rig->stream, text, strlen(text));
	loop_unlock(&rig->loop);
}

/* FIFO on, interrupts of the line enabled at OUT2: how a driver runs the port. */
static void open_port(struct rig *rig, unsigned ier)
{
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8);
	out(rig, UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	out(rig, UART_IER, ier);
}

static void test_reset_values(void **state)
{
	struct rig *rig = rig_of(state);

	assert_int_equal(in(rig, UART_IER), 0);
	assert_int_equal(in(rig, UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(in(rig, UART_MCR), 0);
	assert_int_equal(in(rig, UART_LSR), UART_LSR_TEMT | UART_LSR_THRE);
	assert_int_equal(in(rig, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
	assert_int_equal(in(rig, UART_RX), 0);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
}

/* The steps by which Linux' 8250 driver tells what it has in front of it. */
static void test_linux_autoconfig(void **state)
{
	struct rig *rig = rig_of(state);
	unsigned mcr, status, count;

	/* Existence. */
	out(rig, UART_IER, 0);
	assert_int_equal(in(rig, UART_IER) & 0x0f, 0);
	out(rig, UART_IER, 0x0f);
	assert_int_equal(in(rig, UART_IER) & 0x0f, 0x0f);
	out(rig, UART_IER, 0);

	/* Loopback. */
	mcr = in(rig, UART_MCR);
	out(rig, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(in(rig, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	out(rig, UART_MCR, mcr);

	/* A 16550A by the upper bits of IIR, without the registers of its successors. */
	out(rig, UART_LCR, UART_LCR_CONF_MODE_B);
	out(rig, UART_EFR, 0);
	out(rig, UART_LCR, 0);
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(in(rig, UART_IIR) >> 6, 3);
	out(rig, UART_LCR, UART_LCR_CONF_MODE_A);
	assert_int_not_equal(in(rig, UART_EFR), 0);
	out(rig, UART_LCR, UART_LCR_CONF_MODE_B);
	assert_int_not_equal(in(rig, UART_EFR), 0);

	/* National's EXCR1, behind bank 2, would follow the loopback bit. */
	out(rig, UART_LCR, 0);
	mcr = in(rig, UART_MCR);
	out(rig, UART_LCR, 0xe0);
	status = in(rig, 2);
	assert_false((status ^ mcr) & UART_MCR_LOOP);
	out(rig, UART_LCR, 0);
	out(rig, UART_MCR, mcr ^ UART_MCR_LOOP);
	out(rig, UART_LCR, 0xe0);
	status = in(rig, 2);
	out(rig, UART_LCR, 0);
	out(rig, UART_MCR, mcr);
	assert_false((status ^ mcr) & UART_MCR_LOOP);

	/* Not a 16750, with or without DLAB. */
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(in(rig, UART_IIR) >> 5, 6);
	out(rig, UART_LCR, UART_LCR_CONF_MODE_A);
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(in(rig, UART_IIR) >> 5, 6);
	out(rig, UART_LCR, 0);

	/* Not an XScale. */
	out(rig, UART_IER, 0x40);
	assert_int_equal(in(rig, UART_IER) & 0x40, 0);
	out(rig, UART_IER, 0);

	/* The FIFO has 16 bytes. */
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
	out(rig, UART_MCR, UART_MCR_LOOP);
	for (unsigned i = 0; i < 256; i++)
		out(rig, UART_TX, i);
	for (count = 0; (in(rig, UART_LSR) & UART_LSR_DR) && count < 256; count++)
		assert_int_equal(in(rig, UART_RX), count);
	assert_int_equal(count, 16);
	out(rig, UART_MCR, mcr);
	assert_int_equal(rig->stream.out_len, 0);
}

/* Linux' start-up tests: the THRE interrupt must come back each time IER.THRI is set. */
static void test_linux_startup(void **state)
{
	struct rig *rig = rig_of(state);

	out(rig, UART_IER, UART_IER_THRI);
	assert_int_equal(in(rig, UART_IIR) & UART_IIR_ID, UART_IIR_THRI);
	assert_int_equal(in(rig, UART_IIR) & 0x0f, UART_IIR_NO_INT);
	out(rig, UART_IER, 0);
	out(rig, UART_IER, UART_IER_THRI);
	assert_int_equal(in(rig, UART_IIR) & 0x0f, UART_IIR_THRI);
	out(rig, UART_IER, 0);
	assert_int_not_equal(in(rig, UART_LSR), 0xff);
}

static void test_output(void **state)
{
	struct rig *rig = rig_of(state);
	static const char text[] = "Hello, world\r\n";

	for (unsigned i = 0; text[i]; i++) {
		assert_true(in(rig, UART_LSR) & UART_LSR_THRE);
		out(rig, UART_TX, (unsigned char)text[i]);
	}
	assert_int_equal(rig->stream.out_len, sizeof(text) - 1);
	assert_memory_equal(rig->stream.out, text, sizeof(text) - 1);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
}

static void test_divisor_latch(void **state)
{
	struct rig *rig = rig_of(state);

	out(rig, UART_IER, 0x05);
	out(rig, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	out(rig, UART_DLL, 0xab);
	out(rig, UART_DLM, 0xcd);
	assert_int_equal(in(rig, UART_DLL), 0xab);
	assert_int_equal(in(rig, UART_DLM), 0xcd);
	out(rig, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(in(rig, UART_IER), 0x05);
	assert_int_equal(in(rig, UART_RX), 0);
	assert_int_equal(in(rig, UART_LCR), UART_LCR_WLEN8);
	assert_int_equal(rig->stream.out_len, 0);
}

static void test_scratch_and_masks(void **state)
{
	struct rig *rig = rig_of(state);

	out(rig, UART_SCR, 0x5a);
	assert_int_equal(in(rig, UART_SCR), 0x5a);
	out(rig, UART_IER, 0xff);
	assert_int_equal(in(rig, UART_IER), 0x0f);
	out(rig, UART_MCR, 0xff);
	assert_int_equal(in(rig, UART_MCR), 0x1f);
	out(rig, UART_LSR, 0xff); /* read-only */
	out(rig, UART_MSR, 0xff);
	assert_int_equal(in(rig, UART_LSR), UART_LSR_TEMT | UART_LSR_THRE);
}

/* Every register with every width that the bus may deliver: only single bytes are registers. */
static void test_widths(void **state)
{
	struct rig *rig = rig_of(state);

	for (unsigned reg = 0; reg < 8; reg++) {
		for (unsigned len = 2; len <= 8; len++) {
			uint64_t ones = len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;

			assert_int_equal(rig_in(rig, COM1 + reg, len), ones);
			rig_out(rig, COM1 + reg, len, ones);
		}
	}
	assert_int_equal(in(rig, UART_IER), 0);
	assert_int_equal(in(rig, UART_MCR), 0);
	assert_int_equal(in(rig, UART_SCR), 0);
	assert_int_equal(rig->stream.out_len, 0);
}

static void test_thre_interrupt(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, 0);
	out(rig, UART_IER, UART_IER_THRI);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_THRI);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_NO_INT);

	/* A byte that leaves raises it again, be the last one identified or not. */
	out(rig, UART_TX, 'a');
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	out(rig, UART_TX, 'b');
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_THRI);

	/* Writing the same IER again is no 0 to 1. */
	out(rig, UART_IER, UART_IER_THRI);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	out(rig, UART_IER, 0);
	out(rig, UART_TX, 'c');
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
	assert_memory_equal(rig->stream.out, "abc", 3);
}

static void test_thre_storm(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, 0);
	for (unsigned i = 0; i < 100000; i++) {
		out(rig, UART_IER, i & 1 ? UART_IER_THRI : 0);
		out(rig, UART_FCR, i & 0xff);
		out(rig, UART_TX, i & 0xff);
		in(rig, i % 8);
	}
	assert_true(in(rig, UART_LSR) & UART_LSR_THRE);
}

/* Without OUT2, and in loopback, where the pin is held inactive, nothing reaches the interrupt controller. */
static void test_out2_gate(void **state)
{
	struct rig *rig = rig_of(state);

	out(rig, UART_IER, UART_IER_THRI);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
	out(rig, UART_MCR, UART_MCR_OUT2);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	out(rig, UART_MCR, UART_MCR_OUT2 | UART_MCR_LOOP);
	out(rig, UART_TX, 'x');
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
	out(rig, UART_MCR, UART_MCR_OUT2);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
}

static void test_input_interrupt(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, UART_IER_RDI);
	type(rig, "abc");
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_RX_TIMEOUT);
	assert_true(in(rig, UART_LSR) & UART_LSR_DR);
	assert_int_equal(in(rig, UART_RX), 'a');
	assert_int_equal(in(rig, UART_RX), 'b');
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_RX_TIMEOUT);
	assert_int_equal(in(rig, UART_RX), 'c');
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	assert_false(in(rig, UART_LSR) & UART_LSR_DR);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
	type(rig, "d");
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
}

static void test_trigger_levels(void **state)
{
	static const unsigned level[] = {1, 4, 8, 14};

	struct rig *rig = rig_of(state);

	for (unsigned i = 0; i < 4; i++) {
		open_port(rig, UART_IER_RDI);
		out(rig, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | i << 6);
		type(rig, "0123456789abcdef");
		for (unsigned left = 16; left > 0; left--) {
			unsigned want = left >= level[i] ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;

			assert_int_equal(in(rig, UART_IIR), 0xc0 | want);
			in(rig, UART_RX);
		}
		assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	}
}

/* The receiver takes what it has room for and comes back for the rest. */
static void test_input_back_pressure(void **state)
{
	struct rig *rig = rig_of(state);
	char flood[1000];

	for (unsigned i = 0; i < sizeof(flood); i++)
		flood[i] = (char)('a' + i % 26);
	open_port(rig, UART_IER_RDI);
	loop_lock(&rig->loop);
	mem_stream_type(&rig->stream, flood, sizeof(flood));
	loop_unlock(&rig->loop);
	assert_int_equal(rig->stream.in_len, sizeof(flood) - 16);
	for (unsigned i = 0; i < sizeof(flood); i++) {
		assert_true(in(rig, UART_LSR) & UART_LSR_DR);
		assert_int_equal(in(rig, UART_RX), flood[i]);
	}
	assert_int_equal(in(rig, UART_LSR), UART_LSR_TEMT | UART_LSR_THRE);
	assert_int_equal(rig->stream.in_len, 0);
}

/* Without FIFOs there is room for one byte, and its interrupt is the plain one. */
static void test_input_16450(void **state)
{
	struct rig *rig = rig_of(state);

	out(rig, UART_MCR, UART_MCR_OUT2);
	out(rig, UART_IER, UART_IER_RDI);
	type(rig, "xy");
	assert_int_equal(rig->stream.in_len, 1);
	assert_int_equal(in(rig, UART_IIR), UART_IIR_RDI);
	assert_int_equal(in(rig, UART_RX), 'x');
	assert_int_equal(fake_irq_pulses(&rig->irq), 2);
	assert_int_equal(in(rig, UART_RX), 'y');
	assert_int_equal(in(rig, UART_IIR), UART_IIR_NO_INT);
}

/* What was typed before the driver listens survives its probing; a guest that polls gets it, too. */
static void test_input_waits_for_listener(void **state)
{
	struct rig *rig = rig_of(state);
	unsigned polls = 0;

	type(rig, "early");
	test_linux_autoconfig(state);
	out(rig, UART_FCR, 0);
	for (unsigned i = 0; i < 20; i++) { /* polled output, as a kernel's console does */
		in(rig, UART_LSR);
		out(rig, UART_TX, '.');
		in(rig, UART_LSR);
		in(rig, UART_IER);
	}
	in(rig, UART_RX);
	assert_int_equal(rig->stream.in_len, 5);

	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO);
	while (!(in(rig, UART_LSR) & UART_LSR_DR) && polls < 10)
		polls++;
	assert_true(polls < 10);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(in(rig, UART_LSR) & UART_LSR_DR);
		assert_int_equal(in(rig, UART_RX), "early"[i]);
	}
	assert_false(in(rig, UART_LSR) & UART_LSR_DR);
}

static void test_loopback_overrun(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, UART_IER_RLSI | UART_IER_RDI);
	out(rig, UART_MCR, UART_MCR_LOOP);
	for (unsigned i = 0; i < 17; i++)
		out(rig, UART_TX, 'a' + i);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_RLSI);
	assert_int_equal(in(rig, UART_LSR), UART_LSR_TEMT | UART_LSR_THRE | UART_LSR_DR | UART_LSR_OE);
	assert_int_equal(in(rig, UART_LSR), UART_LSR_TEMT | UART_LSR_THRE | UART_LSR_DR);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_RDI);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in(rig, UART_RX), 'a' + i); /* the new byte was lost */
	assert_false(in(rig, UART_LSR) & UART_LSR_DR);

	/* Without FIFOs, the old byte is. */
	out(rig, UART_FCR, 0);
	out(rig, UART_TX, 'x');
	out(rig, UART_TX, 'y');
	assert_int_equal(in(rig, UART_LSR) & (UART_LSR_OE | UART_LSR_DR), UART_LSR_OE | UART_LSR_DR);
	assert_int_equal(in(rig, UART_RX), 'y');
	assert_int_equal(rig->stream.out_len, 0);
}

static void test_loopback_ignores_stream(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, UART_IER_RDI);
	out(rig, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2);
	type(rig, "q");
	assert_false(in(rig, UART_LSR) & UART_LSR_DR);
	out(rig, UART_MCR, UART_MCR_OUT2);
	assert_int_equal(in(rig, UART_RX), 'q');
}

static void test_modem_lines(void **state)
{
	static const struct {
		uint8_t mcr, msr;
	} wires[] = {
		{UART_MCR_DTR, UART_MSR_DSR},
		{UART_MCR_RTS, UART_MSR_CTS},
		{UART_MCR_OUT1, UART_MSR_RI},
		{UART_MCR_OUT2, UART_MSR_DCD},
	};
	struct rig *rig = rig_of(state);

	out(rig, UART_MCR, UART_MCR_LOOP);
	assert_int_equal(in(rig, UART_MSR), UART_MSR_DDCD | UART_MSR_DDSR | UART_MSR_DCTS);
	assert_int_equal(in(rig, UART_MSR), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(wires); i++) {
		unsigned delta = wires[i].msr == UART_MSR_RI ? 0 : wires[i].msr >> 4;

		out(rig, UART_MCR, UART_MCR_LOOP | wires[i].mcr);
		assert_int_equal(in(rig, UART_MSR), wires[i].msr | delta);
		assert_int_equal(in(rig, UART_MSR), wires[i].msr);
		out(rig, UART_MCR, UART_MCR_LOOP);
		/* The ring indicator counts when it ends. */
		assert_int_equal(in(rig, UART_MSR), wires[i].msr == UART_MSR_RI ? UART_MSR_TERI : delta);
	}
	out(rig, UART_IER, UART_IER_MSI);
	out(rig, UART_MCR, UART_MCR_OUT2); /* out of loopback: lines change, the gate opens */
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(in(rig, UART_IIR), UART_IIR_MSI);
	in(rig, UART_MSR);
	assert_int_equal(in(rig, UART_IIR), UART_IIR_NO_INT);
}

static void test_interrupt_priority(void **state)
{
	struct rig *rig = rig_of(state);

	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(rig, UART_MCR, UART_MCR_LOOP); /* modem lines changed */
	for (unsigned i = 0; i < 17; i++)  /* data, overrun */
		out(rig, UART_TX, i);
	out(rig, UART_IER, 0x0f); /* and THRE */
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_RLSI);
	in(rig, UART_LSR);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_RDI);
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_THRI);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_MSI);
	in(rig, UART_MSR);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_NO_INT);
}

static void test_fifo_control(void **state)
{
	struct rig *rig = rig_of(state);

	/* The other bits count only together with the enable bit. */
	out(rig, UART_FCR, UART_FCR_TRIGGER_14 | UART_FCR_CLEAR_RCVR);
	assert_int_equal(in(rig, UART_IIR), UART_IIR_NO_INT);
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(rig, UART_MCR, UART_MCR_LOOP);
	for (unsigned i = 0; i < 4; i++) {
		out(rig, UART_TX, 'x');
		out(rig, UART_TX, 'y');
		assert_true(in(rig, UART_LSR) & UART_LSR_DR);
		/* Changing the mode empties the FIFO, as the bit for it does. */
		out(rig, UART_FCR, i == 0 || i == 3 ? 0 : UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
		assert_false(in(rig, UART_LSR) & UART_LSR_DR);
		assert_int_equal(in(rig, UART_IIR) & 0x0f, UART_IIR_NO_INT);
	}
	out(rig, UART_MCR, 0);
}

/* Linux enables the interrupt, then the FIFO, and clears it: nothing of the input may be lost. */
static void test_input_survives_setup(void **state)
{
	struct rig *rig = rig_of(state);

	type(rig, "0123456789abcdefgh");
	out(rig, UART_MCR, UART_MCR_OUT2);
	out(rig, UART_IER, UART_IER_RLSI | UART_IER_RDI);
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(rig, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8 | UART_FCR_CLEAR_RCVR);
	for (unsigned i = 0; i < 18; i++)
		assert_int_equal(in(rig, UART_RX), "0123456789abcdefgh"[i]);
}

static void test_state(void **state)
{
	struct rig *rig = rig_of(state);

	rig_check_state(rig);
	open_port(rig, UART_IER_RDI | UART_IER_THRI);
	out(rig, UART_SCR, 0x77);
	type(rig, "snapshot");
	assert_int_equal(in(rig, UART_RX), 's');
	rig_migrate(rig);
	assert_int_equal(in(rig, UART_SCR), 0x77);
	assert_int_equal(in(rig, UART_IER), UART_IER_RDI | UART_IER_THRI);
	for (unsigned i = 1; i < 8; i++)
		assert_int_equal(in(rig, UART_RX), "snapshot"[i]);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_THRI);
	type(rig, "!");
	assert_int_equal(in(rig, UART_RX), '!');
}

/* The edge that may not have arrived comes again, as often as the machine is restored; without a cause none
 * does. */
/* ---- coalesced output ---- */

static void print_polled(struct rig *rig, unsigned bytes)
{
	while (bytes-- > 0) {
		assert_true(in(rig, UART_LSR) & UART_LSR_THRE);
		out(rig, UART_TX, 'x');
	}
}

static void at_ms(struct rig *rig, uint64_t ms)
{
	manual_clock_set(ms * 1000000);
	assert_int_equal(loop_run_once(&rig->loop, 0), 0);
}

static void test_polled_output_is_coalesced(void **state)
{
	struct rig *rig = rig_of(state);
	struct fake_coalesced *c = &rig->coalesced;

	manual_clock_set(0);
	print_polled(rig, 60);
	assert_int_equal(c->switched, 0);
	print_polled(rig, 10);
	assert_true(c->on);
	assert_int_equal(c->port, COM1);
	print_polled(rig, 100);
	assert_int_equal(c->switched, 1);
	assert_int_equal(rig->stream.out_len, 170);

	/* The ring is looked at while the port is used, and once more. */
	at_ms(rig, 9);
	assert_int_equal(c->flushes, 0);
	at_ms(rig, 10);
	assert_int_equal(c->flushes, 1);
	at_ms(rig, 20);
	assert_int_equal(c->flushes, 2);
	at_ms(rig, 1000);
	assert_int_equal(c->flushes, 2);
	print_polled(rig, 1);
	at_ms(rig, 1010);
	assert_int_equal(c->flushes, 3);
}

/* As a driver with interrupts does it: the FIFO filled, then IIR. */
static void test_bursts_are_coalesced(void **state)
{
	struct rig *rig = rig_of(state);

	for (unsigned i = 0; i < 10; i++) {
		for (unsigned k = 0; k < 16; k++)
			out(rig, UART_TX, 'x');
		in(rig, UART_IIR);
	}
	assert_true(rig->coalesced.on);
}

/* Of bytes that take effect together, the last one interrupts. */
static void test_burst_interrupts_once(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, UART_IER_THRI);
	print_polled(rig, 100);
	assert_true(rig->coalesced.on);
	in(rig, UART_IIR);
	fake_irq_pulses(&rig->irq);
	rig->coalesced.more = true;
	for (unsigned i = 0; i < 15; i++)
		out(rig, UART_TX, 'x');
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
	rig->coalesced.more = false;
	out(rig, UART_TX, 'x');
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(in(rig, UART_IIR) & 0x0f, UART_IIR_THRI);
	assert_int_equal(rig->stream.out_len, 116);
}

/* A guest that never reads waits for nothing: its bytes come at once, each by itself. */
static void test_output_without_reads(void **state)
{
	struct rig *rig = rig_of(state);

	for (unsigned i = 0; i < 1000; i++)
		out(rig, UART_TX, 'x');
	assert_int_equal(rig->coalesced.switched, 0);

	/* Nor when it once did otherwise. */
	print_polled(rig, 100);
	assert_true(rig->coalesced.on);
	for (unsigned i = 0; i < 17; i++)
		out(rig, UART_TX, 'x');
	assert_false(rig->coalesced.on);
}

static void test_coalescing_is_bounded(void **state)
{
	struct rig *rig = rig_of(state);

	for (unsigned i = 0; i < 100; i++) {
		print_polled(rig, 100);
		for (unsigned k = 0; k < 20; k++)
			out(rig, UART_TX, 'x');
	}
	assert_int_equal(rig->coalesced.switched, 4);
	assert_false(rig->coalesced.on);
}

static void test_restored_interrupt(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, UART_IER_RDI | UART_IER_THRI);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_THRI);
	fake_irq_pulses(&rig->irq);
	rig_migrate(rig);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
	type(rig, "x");
	for (unsigned i = 0; i < 3; i++) {
		assert_true(fake_irq_pulses(&rig->irq) >= 1);
		rig_migrate(rig);
	}
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(in(rig, UART_RX), 'x');
	/* Output goes on with its interrupts. */
	out(rig, UART_TX, 'y');
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(rig->stream.out_len, 1);
	rig_migrate(rig);
	assert_int_equal(fake_irq_pulses(&rig->irq), 1);
	assert_int_equal(in(rig, UART_IIR), 0xc0 | UART_IIR_THRI);
	assert_int_equal(rig->stream.out_len, 1);
	/* The gate is closed. */
	type(rig, "z");
	out(rig, UART_MCR, 0);
	fake_irq_pulses(&rig->irq);
	rig_migrate(rig);
	assert_int_equal(fake_irq_pulses(&rig->irq), 0);
}

/* What was typed before the guest was there is for who listens already, and for nobody else. */
static void test_restored_input(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, 0);
	rig->stream.in = (const uint8_t *)"early";
	rig->stream.in_len = 5;
	rig_migrate(rig);
	assert_int_equal(rig->stream.in_len, 5);
	out(rig, UART_IER, UART_IER_RDI);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(in(rig, UART_RX), "early"[i]);
	rig->stream.in = (const uint8_t *)"0123456789abcdefghij";
	rig->stream.in_len = 20;
	fake_irq_pulses(&rig->irq);
	rig_migrate(rig);
	assert_true(fake_irq_pulses(&rig->irq) >= 1);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(in(rig, UART_RX), "0123456789abcdefghij"[i]);
}

/* All registers, in both meanings, and a byte each way. */
static void use(struct rig *rig)
{
	for (unsigned lcr = 0; lcr <= 0x80; lcr += 0x80) {
		out(rig, UART_LCR, lcr);
		for (unsigned off = 0; off < 8; off++)
			in(rig, off);
	}
	type(rig, "0123456789abcdefghijklmnopqrstuvwxyz");
	out(rig, UART_LCR, 0);
	for (unsigned fcr = 0; fcr < 256; fcr += 51) {
		out(rig, UART_FCR, fcr);
		out(rig, UART_MCR, fcr & 0x1f);
		out(rig, UART_TX, 'x');
		for (unsigned i = 0; i < 20; i++) {
			in(rig, UART_RX);
			in(rig, UART_LSR);
		}
	}
	type(rig, "");
}

static void test_hostile_state(void **state)
{
	struct rig *rig = rig_of(state);

	open_port(rig, UART_IER_RDI | UART_IER_THRI);
	type(rig, "hostile");
	assert_int_equal(in(rig, UART_RX), 'h');
	assert_in_range(rig_falsify(rig, use), 50, 14 * 11);
	assert_int_equal(in(rig, UART_RX), 'o');
}

/* A port with nothing behind it still works as a port. */
static void test_no_stream(void **state)
{
	const struct device_type *t = device_find("serial");
	struct loop loop = {0};
	struct device_env env = {.loop = &loop};
	uint8_t dev[4096] = {0};
	uint64_t val = 0;

	(void)state;
	assert_true(t->size <= sizeof(dev));
	assert_int_equal(t->init(dev, &env, NULL), 0);
	t->ops[0]->write(dev, UART_IER, 1, 0x0f);
	t->ops[0]->write(dev, UART_MCR, 1, UART_MCR_OUT2);
	t->ops[0]->write(dev, UART_TX, 1, 'x');
	t->ops[0]->read(dev, UART_LSR, 1, &val);
	assert_int_equal(val, UART_LSR_TEMT | UART_LSR_THRE);
	t->finish(dev);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_reset_values),
		CASE(test_linux_autoconfig),
		CASE(test_linux_startup),
		CASE(test_output),
		CASE(test_divisor_latch),
		CASE(test_scratch_and_masks),
		CASE(test_widths),
		CASE(test_thre_interrupt),
		CASE(test_thre_storm),
		CASE(test_out2_gate),
		CASE(test_input_interrupt),
		CASE(test_trigger_levels),
		CASE(test_input_back_pressure),
		CASE(test_input_16450),
		CASE(test_input_waits_for_listener),
		CASE(test_loopback_overrun),
		CASE(test_loopback_ignores_stream),
		CASE(test_modem_lines),
		CASE(test_interrupt_priority),
		CASE(test_fifo_control),
		CASE(test_input_survives_setup),
		CASE(test_polled_output_is_coalesced),
		CASE(test_bursts_are_coalesced),
		CASE(test_burst_interrupts_once),
		CASE(test_output_without_reads),
		CASE(test_coalescing_is_bounded),
		CASE(test_state),
		CASE(test_restored_interrupt),
		CASE(test_restored_input),
		CASE(test_hostile_state),
		cmocka_unit_test(test_no_stream),
	};

	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
