/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run`: console, vsock, the small devices, and what cannot go together. */
#include "config_words.h"

#include <stdio.h>

#include "hull/util.h"

static void test_console(void **state)
{
	struct vm_config c = accepted_value("--console", "virtio,port=org.x-0:/a:b,,c,port=P_2:q");

	(void)state;
	assert_int_equal(c.console, CONSOLE_VIRTIO);
	assert_int_equal(c.port_count, 2);
	assert_string_equal(c.ports[0].name, "org.x-0");
	assert_string_equal(c.ports[0].path, "/a:b,c");
	assert_string_equal(c.ports[1].name, "P_2");
	assert_string_equal(c.ports[1].path, "q");
	c = accepted_value("--console", "serial");
	assert_int_equal(c.console, CONSOLE_SERIAL);
	assert_int_equal(c.port_count, 0);
	assert_int_equal(accepted_value("--console", "none").console, CONSOLE_NONE);
	/* The last one counts, with all of its ports. */
	c = accepted(WORDS(W("--console=virtio,port=a:/a,port=b:/b"), W("--console=virtio,port=c:/c")));
	assert_int_equal(c.port_count, 1);
	assert_string_equal(c.ports[0].name, "c");
	c = accepted(WORDS(W("--console=virtio,port=a:/a"), W("--console=serial")));
	assert_int_equal(c.port_count, 0);
}

static void test_bad_consoles(void **state)
{
	static const struct {
		const char *value, *a, *b;
	} bad[] = {
		{"tty", "--console tty", "serial, virtio"},
		{"Serial", "--console Serial", "or none"},
		{"serialx", "--console serialx", "or none"},
		{",port=a:/b", "--console", "or none"},
		{"virtio,", "''", "port="},
		{"virtio,ports=a:/b", "unknown word 'ports=a:/b'", "expected port="},
		{"virtio,port", "port=", "NAME:SOCKET"},
		{"virtio,port=", "port=", "NAME:SOCKET"},
		{"virtio,port=a", "port=a", "NAME:SOCKET"},
		{"virtio,port=a:", "port=a:", "less than 108 bytes"},
		{"virtio,port=:/b", "port=:/b", "NAME:SOCKET"},
		{"virtio,port=a b:/b", "port=a b:/b", "letters"},
		{"virtio,port=a/b:/b", "port=a/b:/b", "letters"},
		{"virtio,port=..:/b", "port=..:/b", "letters"},
		{"virtio,port=12345678901234567890123456789012:/b", "port=1234", "1 to 31"},
		{"serial,port=a:/b", "--console serial", "only with virtio"},
		{"none,port=a:/b", "--console none", "only with virtio"},
		{"virtio,port=a:/b,port=a:/c", "--console virtio", "the name 'a'"},
		{"virtio,port=a:/b,port=c:/d,port=e:/b", "--console virtio", "the socket '/b'"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_value("--console", bad[i].value, bad[i].a, bad[i].b);
}

static void test_longest_ports(void **state)
{
	char value[400];
	char path[CONFIG_MAX_SOCKET + 1];
	struct vm_config c;

	(void)state;
	memset(path, 'p', CONFIG_MAX_SOCKET);
	path[CONFIG_MAX_SOCKET] = '\0';
	snprintf(value, sizeof(value), "virtio,port=1234567890123456789012345678901:%s", path);
	refused_value("--console", value, "--console virtio", "less than 108");
	value[strlen(value) - 1] = '\0';
	c = accepted_value("--console", value);
	assert_string_equal(c.ports[0].name, "1234567890123456789012345678901");
	assert_int_equal(strlen(c.ports[0].path), CONFIG_MAX_SOCKET - 1);
	memset(value + strlen("virtio,port=a:"), 'p', 300);
	value[350] = '\0';
	refused_value("--console", value, "--console virtio", "too long");
}

static void test_many_ports(void **state)
{
	char value[200] = "virtio";
	struct vm_config c;

	(void)state;
	for (unsigned i = 0; i < CONFIG_MAX_PORTS; i++)
		snprintf(value + strlen(value), sizeof(value) - strlen(value), ",port=p%u:/s%u", i, i);
	c = accepted_value("--console", value);
	assert_int_equal(c.port_count, CONFIG_MAX_PORTS);
	assert_string_equal(c.ports[6].name, "p6");
	snprintf(value + strlen(value), sizeof(value) - strlen(value), ",port=p7:/s7");
	refused_value("--console", value, "port=p7:/s7", "at most 7");
}

static void test_vsock(void **state)
{
	struct vm_config c = accepted_value("--vsock", "3");
	char value[200];
	size_t len;

	(void)state;
	assert_int_equal(c.vsock.cid, 3);
	assert_string_equal(c.vsock.path, "");
	c = accepted_value("--vsock", "4294967294,path=/run/v,,1=2");
	assert_true(c.vsock.cid == 4294967294);
	assert_string_equal(c.vsock.path, "/run/v,1=2");
	/* The last one counts, path and all. */
	c = accepted(WORDS(W("--vsock=5,path=/a"), W("--vsock=6")));
	assert_int_equal(c.vsock.cid, 6);
	assert_string_equal(c.vsock.path, "");
	len = (size_t)snprintf(value, sizeof(value), "7,path=");
	memset(value + len, 'p', CONFIG_MAX_SOCKET);
	value[len + CONFIG_MAX_SOCKET] = '\0';
	refused_value("--vsock", value, "--vsock 7: path=ppp", "less than 108");
	value[len + CONFIG_MAX_SOCKET - 1] = '\0';
	assert_int_equal(strlen(accepted_value("--vsock", value).vsock.path), CONFIG_MAX_SOCKET - 1);
}

static void test_bad_vsocks(void **state)
{
	static const struct {
		const char *value, *a, *b;
	} bad[] = {
		{"0", "--vsock 0", "3 to 4294967294"},
		{"2", "--vsock 2", "3 to 4294967294"},
		{"4294967295", "--vsock 4294967295", "3 to 4294967294"},
		{"4294967299", "--vsock 4294967299", "3 to 4294967294"},
		{"18446744073709551619", "--vsock 1844", "3 to"},
		{"-3", "--vsock -3", "3 to"},
		{"3x", "--vsock 3x", "3 to"},
		{"any", "--vsock any", "3 to"},
		{",path=/x", "--vsock", "3 to"},
		{"path=/x", "--vsock path=/x", "3 to"},
		{"3,/x", "unknown word '/x'", "path="},
		{"3,path", "path=", "path of a socket"},
		{"3,path=", "path=", "path of a socket"},
		{"3,path=/a,path=/b", "path", "twice"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_value("--vsock", bad[i].value, bad[i].a, bad[i].b);
}

static void balloon_is(const struct vm_config c, bool on, uint64_t bytes)
{
	assert_int_equal(c.balloon.on, on);
	assert_true(c.balloon.bytes == bytes);
}

/* Its value may be missing: what follows is its value only when it looks like one. */
static void test_balloon(void **state)
{
	struct vm_config c;

	(void)state;
	balloon_is(accepted(WORDS(W("--balloon"))), true, 0);
	balloon_is(accepted(WORDS(W("--balloon"), W("off"))), false, 0);
	balloon_is(accepted(WORDS(W("--balloon=off"))), false, 0);
	balloon_is(accepted(WORDS(W("--balloon"), W("128M"))), true, MIB(128));
	balloon_is(accepted(WORDS(W("--balloon=4K"))), true, KIB(4));
	balloon_is(accepted(WORDS(W("--balloon"), W("0"))), true, 0);
	c = accepted(WORDS(W("--balloon"), W("-c"), W("3")));
	balloon_is(c, true, 0);
	assert_int_equal(c.cpus, 3);
	c = accepted(WORDS(W("--balloon=8K"), W("--balloon"), W("--rng=off")));
	balloon_is(c, true, 0);
	assert_false(c.rng);
	balloon_is(accepted(WORDS(W("--balloon=off"), W("--balloon"))), true, 0);
	refused(WORDS(W("--balloon"), W("on")), "'on'", "unexpected word");
	refused(WORDS(W("--balloon"), W("OFF")), "'OFF'", "unexpected word");
	refused(WORDS(W("--balloon=")), "--balloon", "a size such as 256M, or off");
	refused(WORDS(W("--balloon=on")), "--balloon on", "a size such as 256M, or off");
	refused(WORDS(W("--balloon"), W("1X")), "--balloon 1X", "a size such as 256M, or off");
	refused(WORDS(W("--balloon"), W("00")), "--balloon 00", "a size");
	refused(WORDS(W("--balloon=4097")), "--balloon 4097", "4K");
	refused(WORDS(W("--balloon"), W("")), "''", "unexpected word");
}

/* Checked at the end: the memory may come later. */
static void test_balloon_and_memory(void **state)
{
	(void)state;
	balloon_is(accepted(WORDS(W("--balloon"), W("480M"))), true, MIB(480));
	refused(WORDS(W("--balloon"), W("491524K")), "--balloon", "at most 480M");
	balloon_is(accepted(WORDS(W("--balloon"), W("1G"), W("-m"), W("2G"))), true, GIB(1));
	refused(WORDS(W("--balloon"), W("480M"), W("-m"), W("128M")), "--balloon", "at most 96M");
	refused(WORDS(W("--balloon"), W("480M"), W("-m"), W("65540K")), "--balloon", "at most 32772K");
	refused(WORDS(W("-m"), W("32M"), W("--balloon"), W("4K")), "--balloon", "at most 0M");
	balloon_is(accepted(WORDS(W("-m"), W("32M"), W("--balloon"))), true, 0);
}

/* Unless the user says otherwise: always a balloon, random numbers when there is anything else. */
static void test_extras(void **state)
{
	char others[][2][16] = {{"--disk", "image"},    {"--root", "image"}, {"--net", "user"},
				{"--publish", "80:80"}, {"--vsock", "3"},    {"--console", "virtio"},
				{"--watchdog", "exit"}, {"--share", "a:/b"}, {"--", "true"}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		struct vm_config c = accepted(WORDS(others[i][0], others[i][1]));

		assert_true(c.rng);
		balloon_is(c, true, 0);
		c = accepted(WORDS(W("--rng=off"), W("--balloon=off"), others[i][0], others[i][1]));
		assert_false(c.rng);
		balloon_is(c, false, 0);
	}
	assert_false(accepted(WORDS(W("--balloon"))).rng);
	balloon_is(accepted(WORDS(W("--rng=on"))), true, 0);
	balloon_is(accepted(WORDS(W("-c"), W("2"))), true, 0);
	assert_false(accepted(WORDS(W("-c"), W("2"))).rng);
}

static void test_rng(void **state)
{
	(void)state;
	assert_true(accepted(WORDS(W("--rng"), W("on"))).rng);
	assert_false(accepted(WORDS(W("--rng=off"))).rng);
	assert_true(accepted(WORDS(W("--rng=off"), W("--rng=on"))).rng);
	refused_value("--rng", "yes", "--rng yes", "on or off");
	refused_value("--rng", "On", "--rng On", "on or off");
}

static void test_watchdog(void **state)
{
	(void)state;
	assert_int_equal(accepted_value("--watchdog", "reset").watchdog, WATCHDOG_RESET);
	assert_int_equal(accepted_value("--watchdog", "poweroff").watchdog, WATCHDOG_POWEROFF);
	assert_int_equal(accepted_value("--watchdog", "exit").watchdog, WATCHDOG_EXIT);
	refused_value("--watchdog", "none", "--watchdog none", "reset, poweroff or exit");
	refused_value("--watchdog", "reboot", "--watchdog reboot", "reset, poweroff or exit");
}

static void test_grace(void **state)
{
	static const char *const bad[] = {"", "-1", "1s", "00", "0.0", "soon", "999999999999"};

	(void)state;
	assert_true(accepted_value("--grace", "0").grace_ns == 0);
	assert_true(accepted_value("--grace", "2.5").grace_ns == UINT64_C(2500000000));
	assert_true(accepted(WORDS(W("--grace=0"), W("--grace=7"))).grace_ns == UINT64_C(7000000000));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_value("--grace", bad[i], "--grace", "a number of seconds");
}

static void test_sandbox(void **state)
{
	static const char *const bad[] = {"0", "-1", "4294967295", "nobody", "1x", ""};
	struct config_sandbox sandbox;

	(void)state;
	sandbox = accepted(WORDS(W("-v"))).sandbox;
	assert_int_equal(sandbox.mode, SANDBOX_ON);
	assert_int_equal(sandbox.uid, 65534);
	assert_false(sandbox.uid_given);
	assert_int_equal(accepted_value("--sandbox", "strict").sandbox.mode, SANDBOX_STRICT);
	assert_int_equal(accepted_value("--sandbox", "off").sandbox.mode, SANDBOX_OFF);
	assert_int_equal(accepted(WORDS(W("--sandbox=off"), W("--sandbox=on"))).sandbox.mode, SANDBOX_ON);
	refused_value("--sandbox", "yes", "--sandbox yes", "on, off or strict");
	sandbox = accepted_value("--uid", "4294967294").sandbox;
	assert_true(sandbox.uid == 4294967294 && sandbox.uid_given);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_value("--uid", bad[i], "--uid", "a user");
	refused(WORDS(W("--uid=5"), W("--sandbox=off")), "--uid", "--sandbox off");
}

/* virtio-mmio has 16 places; a watchdog needs none of them, nor does any other console. */
static void test_places_for_mmio(void **state)
{
	char *words[30] = {W("--transport=mmio"), W("--watchdog=reset")};
	char disk[] = "-dx";
	unsigned n = 2;

	(void)state;
	while (n < 2 + 12)
		words[n++] = disk;
	words[n++] = W("-nuser");
	words[n++] = W("--vsock=3");
	accepted(words); /* 12 + 1 + 1, entropy and balloon */
	words[n++] = W("--console=virtio");
	refused(words, "--transport mmio", "at most 16 devices, and there are 17 (--rng off");
	words[n] = W("--rng=off");
	accepted(words);
	words[n] = W("--balloon=off");
	accepted(words);
	words[n + 1] = W("-ntap=t");
	refused(words, "--transport mmio", "there are 17");
	words[n + 2] = W("--rng=off");
	accepted(words);
	words[n + 3] = disk;
	refused(words, "--transport mmio", "at most 16 devices, and there are 17");
	/* PCI has places for all. */
	words[0] = W("--transport=pci");
	accepted(words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_console),         cmocka_unit_test(test_bad_consoles),
		cmocka_unit_test(test_longest_ports),   cmocka_unit_test(test_many_ports),
		cmocka_unit_test(test_vsock),           cmocka_unit_test(test_bad_vsocks),
		cmocka_unit_test(test_balloon),         cmocka_unit_test(test_balloon_and_memory),
		cmocka_unit_test(test_extras),          cmocka_unit_test(test_rng),
		cmocka_unit_test(test_watchdog),        cmocka_unit_test(test_grace),
		cmocka_unit_test(test_places_for_mmio), cmocka_unit_test(test_sandbox),
	};

	return cmocka_run_group_tests_name("config-misc", tests, NULL, NULL);
}
