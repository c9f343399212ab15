/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fileserver/inodes.c: how many nodes there may be; their life is test_dir.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "session.h"

static struct guest_mem memory(uint64_t low, uint64_t high)
{
	struct guest_mem mem = {.count = high ? 2 : 1};

	mem.regions[0].size = low;
	mem.regions[1].size = high;
	return mem;
}

/* Room for all that a guest can keep, and never more of the host's memory than the guest has. */
static void test_limit(void **state)
{
	static const uint64_t gib = UINT64_C(1) << 30;
	static const struct {
		uint64_t low, high;
	} guests[] = {{gib / 8, 0}, {gib / 2, 0}, {3 * gib, gib}, {3 * gib, 13 * gib}, {3 * gib, 1021 * gib}};
	const uint64_t bytes = sizeof(struct inode) + NAME_MAX + 1;

	(void)state;
	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		const struct guest_mem mem = memory(guests[i].low, guests[i].high);
		const uint64_t ram = guests[i].low + guests[i].high, limit = inodes_limit(&mem);

		assert_true(limit * bytes < ram + ram / 16);
		assert_true(limit >= ram / 1024 || limit >= 1 << 24);
	}
}

/* The root is there before there is memory. */
static void test_without_memory(void **state)
{
	const struct guest_mem none = {0};

	(void)state;
	assert_in_range(inodes_limit(&none), 1, 1 << 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
