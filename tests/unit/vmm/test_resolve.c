/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a configuration means for the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hull/arch.h"
#include "resolve.h"

/* True when `word` is one of the words of the line. */
static bool has_word(const char *line, const char *word)
{
	char padded[CMDLINE_BASE_BYTES + 2];
	char wanted[64];

	snprintf(padded, sizeof(padded), " %s ", line);
	snprintf(wanted, sizeof(wanted), " %s ", word);
	return strstr(padded, wanted) != NULL;
}

static void resolve(enum console_kind console, char base[static CMDLINE_BASE_BYTES])
{
	struct vm_config config = {.console = console};

	memset(base, 0x7e, CMDLINE_BASE_BYTES);
	resolve_cmdline(&config, base);
	assert_true(strnlen(base, CMDLINE_BASE_BYTES) < CMDLINE_BASE_BYTES - 1);
}

static void test_cmdline(void **state)
{
	char base[CMDLINE_BASE_BYTES];

	(void)state;
	resolve(CONSOLE_SERIAL, base);
	assert_true(has_word(base, "console=ttyS0"));
	assert_true(has_word(base, "panic=-1"));
	resolve(CONSOLE_NONE, base);
	assert_null(strstr(base, "console="));
	assert_true(has_word(base, "panic=-1"));
	assert_true(base[0] != ' ');
}

static void test_devices(void **state)
{
	const struct vm_config serial = {.console = CONSOLE_SERIAL};
	const struct vm_config none = {.console = CONSOLE_NONE};
	unsigned left_out = 0;
	unsigned n;
	const struct device_place *places = arch_places(&n);

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		assert_true(resolve_has_device(&serial, &places[i]));
		if (!resolve_has_device(&none, &places[i])) {
			assert_string_equal(places[i].type, "serial");
			left_out++;
		}
	}
	assert_int_equal(left_out, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cmdline),
		cmocka_unit_test(test_devices),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
