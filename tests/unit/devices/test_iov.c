/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a chain, cut in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hull/util.h"
#include "iov.h"

enum { BYTES = 12 };

/* Three pieces with room between them, so that a byte beyond one is seen; the second may be empty. */
struct pieces {
	uint8_t room[3 * (BYTES + 1)];
	struct iovec iov[3];
};

static void cut(struct pieces *p, size_t first, size_t second)
{
	const size_t lens[] = {first, second, BYTES - first - second};

	memset(p->room, 0xee, sizeof(p->room));
	for (unsigned i = 0; i < 3; i++)
		p->iov[i] = (struct iovec){p->room + i * (BYTES + 1), lens[i]};
}

static void put_bytes(struct pieces *p, const uint8_t *bytes)
{
	for (unsigned i = 0; i < 3; i++) {
		memcpy(p->iov[i].iov_base, bytes, p->iov[i].iov_len);
		bytes += p->iov[i].iov_len;
	}
}

static void check_range(size_t first, size_t second, size_t off, size_t len)
{
	static const uint8_t bytes[BYTES] = "abcdefghijkl";
	uint8_t fetched[BYTES] = {0}, want[BYTES] = {0};
	struct pieces stored, expected;

	cut(&stored, first, second);
	put_bytes(&stored, bytes);
	iov_fetch(stored.iov, off, fetched, len);
	memcpy(want, bytes + off, len);
	assert_memory_equal(fetched, want, BYTES); /* these, and no more of them */

	cut(&stored, first, second);
	cut(&expected, first, second);
	memset(want, 0xee, sizeof(want));
	memcpy(want + off, bytes, len);
	put_bytes(&expected, want);
	iov_store(stored.iov, off, bytes, len);
	assert_memory_equal(stored.room, expected.room, sizeof(stored.room));
}

static void test_ranges(void **state)
{
	(void)state;
	for (size_t first = 0; first <= BYTES; first++) {
		for (size_t second = 0; second <= BYTES - first; second++) {
			for (size_t off = 0; off <= BYTES; off++) {
				for (size_t len = 0; len <= BYTES - off; len++)
					check_range(first, second, off, len);
			}
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
