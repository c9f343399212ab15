/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI-X: masks, pending bits, and when a vector is routed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "fakes.h"
#include "hull/msix.h"
#include "hull/util.h"

enum { VECTORS = 5, TABLE = 0x4000, PBA = 0x5000 };

static const uint64_t APIC = 0xfee00000;

struct msix_rig {
	struct fake_msis msis;
	struct pci_func func;
	struct msix msix;
	unsigned moves[VECTORS];
};

static const struct msix_place place = {.bar = 0, .table = TABLE, .pba = PBA};

static void func_written(struct pci_func *func, unsigned off, unsigned len)
{
	struct msix_rig *m = container_of(func, struct msix_rig, func);

	msix_config_written(&m->msix, off, len);
}

static void moved(struct msix *msix, unsigned vector)
{
	container_of(msix, struct msix_rig, msix)->moves[vector]++;
}

static void make(struct msix_rig *m)
{
	static const struct pci_ident ident = {.vendor = 0x1af4, .device = 0x1042};
	static const struct log log = {.level = LOG_WARN};

	memset(m, 0, sizeof(*m));
	fake_msis_init(&m->msis);
	pci_func_init(&m->func, &ident);
	m->func.written = func_written;
	msix_init(&m->msix, &m->func, VECTORS, &place, &m->msis.msis, &log);
	m->msix.moved = moved;
}

static int setup(void **state)
{
	static struct msix_rig m;

	make(&m);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	struct msix_rig *m = *state;

	msix_finish(&m->msix);
	assert_int_equal(m->msis.count, 0);
	return 0;
}

static void control(struct msix_rig *m, unsigned flags)
{
	pci_config_write(&m->func, m->msix.cap + PCI_MSIX_FLAGS, 2, flags);
}

static void set_entry(struct msix_rig *m, unsigned v, uint64_t address, uint32_t data, unsigned ctrl)
{
	msix_table_write(&m->msix, v * 16, 8, address);
	msix_table_write(&m->msix, v * 16 + 8, 4, data);
	msix_table_write(&m->msix, v * 16 + 12, 4, ctrl);
}

static uint64_t table(struct msix_rig *m, uint64_t off, unsigned len)
{
	uint64_t val = len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;

	msix_table_read(&m->msix, off, len, &val);
	return val;
}

static uint64_t pending(struct msix_rig *m)
{
	uint64_t val = UINT64_MAX;

	msix_pba_read(&m->msix, 0, 8, &val);
	return val;
}

static unsigned pulses(struct msix_rig *m, unsigned v)
{
	return fake_line_pulses(&m->msix.lines[v].line);
}

static void test_capability(void **state)
{
	struct msix_rig *m = *state;
	unsigned cap = m->msix.cap;

	assert_int_equal(pci_config_read(&m->func, PCI_CAPABILITY_LIST, 1), cap);
	assert_true(pci_config_read(&m->func, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	assert_int_equal(pci_config_read(&m->func, cap, 1), PCI_CAP_ID_MSIX);
	assert_int_equal(pci_config_read(&m->func, cap + 1, 1), 0);
	assert_int_equal(pci_config_read(&m->func, cap + PCI_MSIX_TABLE, 4), TABLE);
	assert_int_equal(pci_config_read(&m->func, cap + PCI_MSIX_PBA, 4), PBA);
	control(m, 0xffff);
	assert_int_equal(pci_config_read(&m->func, cap + PCI_MSIX_FLAGS, 2), 0xc000 | (VECTORS - 1));
	pci_config_write(&m->func, cap + PCI_MSIX_TABLE, 4, UINT32_MAX);
	pci_config_write(&m->func, cap + PCI_MSIX_PBA, 4, 0);
	assert_int_equal(pci_config_read(&m->func, cap + PCI_MSIX_TABLE, 4), TABLE);
	assert_int_equal(pci_config_read(&m->func, cap + PCI_MSIX_PBA, 4), PBA);
}

/* Only unmasking, with MSI-X enabled, routes; a raise reaches the line of its vector alone. */
static void test_routing(void **state)
{
	struct msix_rig *m = *state;

	for (unsigned v = 0; v < VECTORS; v++)
		set_entry(m, v, APIC + (v << 12), 0x40 + v, 0);
	assert_int_equal(m->msis.routes, 0);
	control(m, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(m->msis.routes, 0);
	control(m, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(m->msis.routes, VECTORS);
	for (unsigned v = 0; v < VECTORS; v++) {
		assert_true(m->msix.lines[v].address == APIC + (v << 12));
		assert_int_equal(m->msix.lines[v].data, 0x40 + v);
		msix_raise(&m->msix, v);
		for (unsigned w = 0; w < VECTORS; w++)
			assert_int_equal(pulses(m, w), w == v);
	}
	msix_raise(&m->msix, VECTORS);
	msix_raise(&m->msix, 64);
	msix_raise(&m->msix, 0xffff);
	assert_true(pending(m) == 0);
	control(m, 0);
	msix_raise(&m->msix, 0);
	assert_int_equal(pulses(m, 0), 0);
	assert_true(pending(m) == 0);
}

static void test_masked_writes_do_not_route(void **state)
{
	struct msix_rig *m = *state;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned i = 0; i < 1000; i++)
		set_entry(m, 1, APIC + (i % 200 << 12), i, 1);
	assert_int_equal(m->msis.routes, 0);
	set_entry(m, 1, APIC, 0x55, 0);
	assert_int_equal(m->msis.routes, 1);
	assert_int_equal(m->msix.lines[1].data, 0x55);
	/* Writing "not masked" again, or other entries, changes nothing. */
	msix_table_write(&m->msix, 16 + 12, 4, 0);
	msix_table_write(&m->msix, 32, 4, APIC);
	assert_int_equal(m->msis.routes, 1);
	/* Data and control in one access: the new data counts. */
	msix_table_write(&m->msix, 16 + 8, 8, UINT64_C(1) << 32 | 0x66);
	assert_int_equal(m->msis.routes, 1);
	msix_table_write(&m->msix, 16 + 8, 8, 0x77);
	assert_int_equal(m->msis.routes, 2);
	assert_int_equal(m->msix.lines[1].data, 0x77);
}

/* The specification does not say what that does; some systems rely on it. */
static void test_active_writes_route(void **state)
{
	struct msix_rig *m = *state;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	set_entry(m, 1, APIC, 0x55, 0);
	msix_table_write(&m->msix, 16 + 8, 4, 0x56);
	assert_int_equal(m->msis.routes, 2);
	assert_int_equal(m->msix.lines[1].data, 0x56);
	msix_table_write(&m->msix, 16, 4, APIC + 0x1000);
	assert_int_equal(m->msis.routes, 3);
	assert_true(m->msix.lines[1].address == APIC + 0x1000);
	msix_table_write(&m->msix, 16, 8, APIC + 0x1000);
	assert_int_equal(m->msis.routes, 3);
	msix_raise(&m->msix, 1);
	assert_int_equal(pulses(m, 1), 1);
}

static void test_pending(void **state)
{
	struct msix_rig *m = *state;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	set_entry(m, 2, APIC, 1, 1);
	set_entry(m, 3, APIC, 1, 0);
	for (unsigned i = 0; i < 3; i++)
		msix_raise(&m->msix, 2);
	assert_true(pending(m) == 1u << 2);
	assert_int_equal(pulses(m, 2), 0);
	msix_table_write(&m->msix, 2 * 16 + 12, 4, 0);
	assert_int_equal(pulses(m, 2), 1);
	assert_true(pending(m) == 0);
	/* The function's mask, likewise, for those that are not masked themselves. */
	control(m, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	msix_raise(&m->msix, 3);
	msix_raise(&m->msix, 4);
	assert_int_equal(pulses(m, 3), 0);
	assert_true(pending(m) == (1u << 3 | 1u << 4));
	control(m, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(pulses(m, 3), 1);
	assert_true(pending(m) == 1u << 4);
}

/* The eventfd of a vector: there while writing to it is all that raising takes, and said when it changes. */
static void test_irq_fd(void **state)
{
	struct msix_rig *m = *state;
	int fd;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(msix_irq_fd(&m->msix, 2), -1);
	assert_int_equal(m->moves[2], 0);
	set_entry(m, 2, APIC, 1, 0);
	assert_int_equal(m->moves[2], 1);
	fd = msix_irq_fd(&m->msix, 2);
	assert_int_equal(fd, m->msix.lines[2].line.fd);
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_int_equal(pulses(m, 2), 1);
	/* Led elsewhere it is the same one. */
	msix_table_write(&m->msix, 2 * 16, 8, APIC + 0x1000);
	assert_int_equal(m->moves[2], 1);
	assert_int_equal(msix_irq_fd(&m->msix, 2), fd);
	msix_table_write(&m->msix, 2 * 16 + 12, 4, 1);
	assert_int_equal(m->moves[2], 2);
	assert_int_equal(msix_irq_fd(&m->msix, 2), -1);
	/* Unmasked where no APIC is: nothing has come back. */
	set_entry(m, 2, 0x1000, 1, 0);
	assert_int_equal(m->moves[2], 2);
	assert_int_equal(msix_irq_fd(&m->msix, 2), -1);
	set_entry(m, 2, APIC, 1, 0);
	assert_int_equal(m->moves[2], 3);
	assert_int_equal(msix_irq_fd(&m->msix, 2), fd);
	control(m, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(msix_irq_fd(&m->msix, 2), -1);
	control(m, PCI_MSIX_FLAGS_ENABLE);
	control(m, 0);
	assert_int_equal(m->moves[2], 6);
	assert_int_equal(msix_irq_fd(&m->msix, 2), -1);
	for (unsigned v = 0; v < VECTORS; v++)
		assert_true(v == 2 || m->moves[v] == 0);
	assert_int_equal(msix_irq_fd(&m->msix, VECTORS), -1);
	assert_int_equal(msix_irq_fd(&m->msix, 0xffff), -1);
}

static void hostile_25_index_past_the_table(void **state)
{
	struct msix_rig *m = *state;
	uint8_t before[sizeof(m->msix.st)];
	uint64_t val;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	memcpy(before, &m->msix.st, sizeof(before));
	for (uint64_t off = VECTORS * 16; off < 4096; off++) {
		for (unsigned len = 1; len <= 8; len *= 2) {
			msix_table_write(&m->msix, off, len, 0);
			assert_true(table(m, off, len) ==
				    (len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1));
		}
	}
	msix_table_write(&m->msix, UINT64_MAX - 7, 8, 0);
	msix_table_write(&m->msix, VECTORS * 16 - 4, 8, 0);
	assert_memory_equal(before, &m->msix.st, sizeof(before));
	for (uint64_t off = 8; off < 4096; off += 8) {
		val = 0x1234;
		msix_pba_read(&m->msix, off, 8, &val);
		assert_true(val == 0x1234);
	}
	assert_int_equal(m->msis.routes, 0);
}

static void hostile_25_widths(void **state)
{
	struct msix_rig *m = *state;
	uint8_t before[sizeof(m->msix.st)];
	uint64_t val = 0x1234;

	set_entry(m, 0, UINT64_C(0x1122334455667788), 0x99aabbcc, 1);
	memcpy(before, &m->msix.st, sizeof(before));
	for (uint64_t off = 0; off < VECTORS * 16; off++) {
		for (unsigned len = 1; len <= 8; len++) {
			if ((len == 4 || len == 8) && off % len == 0)
				continue;
			msix_table_write(&m->msix, off, len, 0);
			assert_true(table(m, off, len) ==
				    (len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1));
			msix_pba_read(&m->msix, off, len, &val);
			assert_true(val == 0x1234);
		}
	}
	assert_memory_equal(before, &m->msix.st, sizeof(before));
	assert_true(table(m, 0, 8) == UINT64_C(0x1122334455667788));
	assert_true(table(m, 4, 4) == 0x11223344);
	assert_true(table(m, 8, 8) == UINT64_C(0x199aabbcc));
	/* Reserved bits stay 0. */
	msix_table_write(&m->msix, 0, 4, UINT32_MAX);
	msix_table_write(&m->msix, 12, 4, UINT32_MAX);
	assert_true(table(m, 0, 4) == 0xfffffffc);
	assert_true(table(m, 12, 4) == 1);
}

static void hostile_27_garbage_address(void **state)
{
	static const uint64_t bad[] = {0, 0xfed00000, 0xfef00000, UINT64_C(0x1fee00000), UINT64_MAX, 0x1000};
	struct msix_rig *m = *state;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	set_entry(m, 0, APIC, 0x41, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		msix_table_write(&m->msix, 12, 4, 1);
		set_entry(m, 0, bad[i], UINT32_MAX, 0);
		msix_raise(&m->msix, 0);
		/* Dropped: not delivered to where the vector led before. */
		assert_int_equal(pulses(m, 0), 0);
		assert_true(pending(m) == 0);
	}
	assert_int_equal(m->msis.routes, 1);
	msix_table_write(&m->msix, 12, 4, 1);
	set_entry(m, 0, APIC, 0x41, 0);
	msix_raise(&m->msix, 0);
	assert_int_equal(pulses(m, 0), 1);
	/* Any data goes. */
	msix_table_write(&m->msix, 12, 4, 1);
	set_entry(m, 0, APIC + 0xffffc, UINT32_MAX, 0);
	assert_int_equal(m->msix.lines[0].data, UINT32_MAX);
}

static void hostile_27_mask_storm(void **state)
{
	struct msix_rig *m = *state;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned i = 0; i < 100000; i++)
		set_entry(m, i % VECTORS, APIC, i, i & 1);
	assert_int_equal(m->msis.count, VECTORS);
	/* A router that fails: the vector is dead, others are not, and a later try may work. */
	set_entry(m, 0, APIC, 0, 1);
	m->msis.refuse = true;
	for (unsigned i = 0; i < 1000; i++)
		set_entry(m, 0, APIC, i, i & 1);
	assert_true(m->msix.route_failed);
	set_entry(m, 0, APIC, 1, 0);
	msix_raise(&m->msix, 0);
	assert_int_equal(pulses(m, 0), 0);
	m->msis.refuse = false;
	set_entry(m, 0, APIC, 1, 1);
	set_entry(m, 0, APIC, 1, 0);
	msix_raise(&m->msix, 0);
	assert_int_equal(pulses(m, 0), 1);
}

/* Saves `from`, loads it into `to`, and checks that it saves the same again. */
static void copy_state(struct msix_rig *from, struct msix_rig *to)
{
	size_t size = state_size(&msix_state_table);
	uint8_t *first = calloc(2, size);

	assert_non_null(first);
	assert_int_equal(state_save(&msix_state_table, &from->msix.st, first, size), size);
	assert_int_equal(state_load(&msix_state_table, &to->msix.st, first, size, NULL), 0);
	assert_int_equal(state_save(&msix_state_table, &to->msix.st, first + size, size), size);
	assert_memory_equal(first, first + size, size);
	free(first);
	memcpy(to->func.config, from->func.config, sizeof(to->func.config));
}

static void test_state(void **state)
{
	static struct msix_rig copy;
	struct msix_rig *m = *state;

	control(m, PCI_MSIX_FLAGS_ENABLE);
	set_entry(m, 0, APIC, 7, 0);
	set_entry(m, 1, APIC, 8, 1);
	msix_raise(&m->msix, 1);
	make(&copy);
	copy_state(m, &copy);
	assert_int_equal(msix_restored(&copy.msix, NULL), 0);
	assert_int_equal(copy.msis.routes, 1);
	msix_raise(&copy.msix, 0);
	assert_int_equal(pulses(&copy, 0), 1);
	msix_table_write(&copy.msix, 16 + 12, 4, 0);
	assert_int_equal(pulses(&copy, 1), 1);
	msix_finish(&copy.msix);
	assert_int_equal(copy.msis.count, 0);
}

static void test_impossible_state(void **state)
{
	struct msix_rig *m = *state;
	struct err err;

	m->msix.st.pending = 1u << VECTORS;
	assert_int_equal(msix_restored(&m->msix, &err), -EINVAL);
	m->msix.st.pending = 0;
	m->msix.st.table[12] = 3;
	assert_int_equal(msix_restored(&m->msix, &err), -EINVAL);
	m->msix.st.table[12] = 1;
	m->msix.st.table[16] = 1;
	assert_int_equal(msix_restored(&m->msix, &err), -EINVAL);
	m->msix.st.table[16] = 0;
	assert_int_equal(msix_restored(&m->msix, &err), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_capability),
		CASE(test_routing),
		CASE(test_masked_writes_do_not_route),
		CASE(test_active_writes_route),
		CASE(test_pending),
		CASE(test_irq_fd),
		CASE(hostile_25_index_past_the_table),
		CASE(hostile_25_widths),
		CASE(hostile_27_garbage_address),
		CASE(hostile_27_mask_storm),
		CASE(test_state),
		CASE(test_impossible_state),
	};

	return cmocka_run_group_tests_name("msix", tests, NULL, NULL);
}
