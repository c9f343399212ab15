/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a module's signature begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "init/init.h"

void say(const char *fmt, ...)
{
	(void)fmt;
}

char *read_file(const char *path)
{
	static char nothing[1];

	(void)path;
	return nothing;
}

#define WORDS "~Module signature appended~\n"

enum { MODULE = 100, PKCS7 = 300, TRAILER = 12 + sizeof(WORDS) - 1 };

/* A module of MODULE bytes, its signature, which says that it is `len` bytes long, and the words. */
static size_t make(uint8_t *buf, uint32_t len)
{
	const uint8_t trailer[12] = {
		0, 0, 2, [8] = (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};

	memset(buf, 0x5a, MODULE + PKCS7);
	memcpy(buf + MODULE + PKCS7, trailer, sizeof(trailer));
	memcpy(buf + MODULE + PKCS7 + sizeof(trailer), WORDS, sizeof(WORDS) - 1);
	return MODULE + PKCS7 + TRAILER;
}

static void test_signed(void **state)
{
	uint8_t buf[MODULE + PKCS7 + TRAILER];

	(void)state;
	assert_int_equal(module_unsigned_len(buf, make(buf, PKCS7)), MODULE);
}

static void test_unsigned(void **state)
{
	uint8_t buf[MODULE + PKCS7 + TRAILER];
	size_t len = make(buf, PKCS7);

	(void)state;
	assert_int_equal(module_unsigned_len(buf, len - 1), len - 1);
	assert_int_equal(module_unsigned_len(buf, MODULE), MODULE);
	assert_int_equal(module_unsigned_len(buf, 0), 0);
	assert_int_equal(module_unsigned_len((const uint8_t *)WORDS, sizeof(WORDS) - 1), sizeof(WORDS) - 1);
}

/* A signature longer than the file, or as long: not one. The kernel is given all of it, and says so. */
static void test_lying(void **state)
{
	static const uint32_t lengths[] = {MODULE + PKCS7, MODULE + PKCS7 + 1, UINT32_MAX, INT32_MAX};
	uint8_t buf[MODULE + PKCS7 + TRAILER];

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = make(buf, lengths[i]);

		assert_int_equal(module_unsigned_len(buf, len), len);
	}
	assert_int_equal(module_unsigned_len(buf, make(buf, MODULE + PKCS7 - 1)), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_lying),
	};

	return cmocka_run_group_tests_name("modules", tests, NULL, NULL);
}
