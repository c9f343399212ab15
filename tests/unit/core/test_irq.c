/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt lines: one raise, one pulse; raising never blocks. */
#include "unit.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "hull/irq.h"

static uint64_t pulses(const struct irq_line *line)
{
	eventfd_t n = 0;

	return eventfd_read(line->fd, &n) == 0 ? n : 0;
}

static void test_raise(void **state)
{
	struct irq_line line;
	struct err err = {0};

	(void)state;
	assert_int_equal(irq_line_init(&line, &err), 0);
	assert_true(line.fd >= 0);
	assert_int_equal(pulses(&line), 0);
	irq_raise(&line);
	assert_int_equal(pulses(&line), 1);
	assert_int_equal(pulses(&line), 0);
	irq_raise(&line);
	irq_raise(&line);
	assert_int_equal(pulses(&line), 2);
	irq_line_finish(&line);
}

static void test_full_counter_does_not_block(void **state)
{
	struct irq_line line;
	struct err err = {0};

	(void)state;
	assert_int_equal(irq_line_init(&line, &err), 0);
	assert_int_equal(eventfd_write(line.fd, UINT64_MAX - 1), 0);
	watchdog(10);
	irq_raise(&line);
	watchdog(0);
	assert_true(pulses(&line) == UINT64_MAX - 1);
	irq_line_finish(&line);
}

static void test_descriptor_is_not_inherited(void **state)
{
	struct irq_line line;
	struct err err = {0};

	(void)state;
	assert_int_equal(irq_line_init(&line, &err), 0);
	assert_true(fcntl(line.fd, F_GETFD) & FD_CLOEXEC);
	irq_line_finish(&line);
}

static void test_finish(void **state)
{
	struct irq_line line;
	struct err err = {0};
	int fd;

	(void)state;
	assert_int_equal(irq_line_init(&line, &err), 0);
	fd = line.fd;
	irq_line_finish(&line);
	assert_int_equal(line.fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	irq_line_finish(&line);
	irq_line_finish(NULL);
}

static void test_not_connected(void **state)
{
	const struct irq_line line = {.fd = -1};

	(void)state;
	irq_raise(&line);
	irq_raise(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raise),
		cmocka_unit_test(test_full_counter_does_not_block),
		cmocka_unit_test(test_descriptor_is_not_inherited),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_not_connected),
	};

	return cmocka_run_group_tests_name("irq", tests, NULL, NULL);
}
