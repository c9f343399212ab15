/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run`: every form of every option, and one good line for every mistake. */
#include "config_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hull/util.h"

static void test_defaults(void **state)
{
	struct vm_config c = {0};
	struct err err = {0};
	char name[CONFIG_MAX_NAME];

	(void)state;
	assert_int_equal(config_parse(0, (char *[]){NULL}, &c, &err), 0);
	snprintf(name, sizeof(name), "hull-%ld", (long)getpid());
	assert_null(c.kernel);
	assert_int_equal(c.initrd_count, 0);
	assert_string_equal(c.append, "");
	assert_int_equal(c.cpus, 1);
	assert_true(c.memory == MIB(512));
	assert_int_equal(c.console, CONSOLE_SERIAL);
	assert_true(c.timeout_ns == 0);
	assert_string_equal(c.name, name);
	assert_null(c.log);
	assert_int_equal(c.log_level, LOG_WARN);
	assert_false(c.dry_run);
	assert_int_equal(c.disk_count, 0);
	assert_string_equal(c.root.path, "");
	assert_int_equal(c.transport, TRANSPORT_PCI);
	assert_int_equal(c.net_count, 0);
	assert_false(c.net_none);
	assert_int_equal(c.published_count, 0);
	assert_int_equal(c.port_count, 0);
	assert_int_equal(c.vsock.cid, 0);
	assert_true(c.balloon.on);
	assert_true(c.balloon.bytes == 0);
	assert_false(c.rng);
	assert_int_equal(c.watchdog, WATCHDOG_NONE);
	assert_true(c.grace_ns == CONFIG_DEFAULT_GRACE_NS);
	assert_false(c.name_given);
	assert_int_equal(c.share_count, 0);
	assert_null(c.command.argv);
	assert_int_equal(c.command.tty, TTY_AUTO);
	assert_false(c.agent);
}

static void test_separate_words(void **state)
{
	struct vm_config c = accepted(WORDS(W("--kernel"), W("/k"), W("--initrd"), W("/i"), W("--append"),
					    W("a b"), W("--cpus"), W("4"), W("--memory"), W("2G"),
					    W("--console"), W("none"), W("--timeout"), W("2.5"), W("--name"),
					    W("web.1"), W("--log"), W("/l"), W("--verbose"), W("--dry-run")));

	(void)state;
	assert_string_equal(c.kernel, "/k");
	assert_int_equal(c.initrd_count, 1);
	assert_string_equal(c.initrds[0], "/i");
	assert_string_equal(c.append, "a b");
	assert_int_equal(c.cpus, 4);
	assert_true(c.memory == GIB(2));
	assert_int_equal(c.console, CONSOLE_NONE);
	assert_true(c.timeout_ns == UINT64_C(2500000000));
	assert_string_equal(c.name, "web.1");
	assert_true(c.name_given);
	assert_string_equal(c.log, "/l");
	assert_int_equal(c.log_level, LOG_INFO);
	assert_true(c.dry_run);
}

static void test_equals_sign(void **state)
{
	struct vm_config c =
		accepted(WORDS(W("--kernel=/k=2"), W("--initrd=/i"), W("--append=root=/dev/vda ro"),
			       W("--cpus=64"), W("--memory=32M"), W("--console=serial"), W("--timeout=1"),
			       W("--name=0"), W("--log=-"), W("--quiet")));

	(void)state;
	assert_string_equal(c.kernel, "/k=2");
	assert_string_equal(c.initrds[0], "/i");
	assert_string_equal(c.append, "root=/dev/vda ro");
	assert_int_equal(c.cpus, 64);
	assert_true(c.memory == MIB(32));
	assert_int_equal(c.console, CONSOLE_SERIAL);
	assert_true(c.timeout_ns == UINT64_C(1000000000));
	assert_string_equal(c.name, "0");
	assert_string_equal(c.log, "-");
	assert_int_equal(c.log_level, LOG_ERROR);
}

static void test_short_options(void **state)
{
	struct vm_config c = accepted(WORDS(W("-k"), W("/k"), W("-i"), W("/i"), W("-a"), W("x"), W("-c"),
					    W("2"), W("-m"), W("1G"), W("-q")));

	(void)state;
	assert_string_equal(c.kernel, "/k");
	assert_string_equal(c.initrds[0], "/i");
	assert_string_equal(c.append, "x");
	assert_int_equal(c.cpus, 2);
	assert_true(c.memory == GIB(1));
	assert_int_equal(c.log_level, LOG_ERROR);
}

static void test_clusters(void **state)
{
	struct vm_config c = accepted(WORDS(W("-vk/k"), W("-c4"), W("-m64M"), W("-i/a"), W("-ax=y")));

	(void)state;
	assert_int_equal(c.log_level, LOG_INFO);
	assert_string_equal(c.kernel, "/k");
	assert_int_equal(c.cpus, 4);
	assert_true(c.memory == MIB(64));
	assert_string_equal(c.initrds[0], "/a");
	assert_string_equal(c.append, "x=y");
	c = accepted(WORDS(W("-vvvc"), W("3")));
	assert_int_equal(c.cpus, 3);
	assert_int_equal(c.log_level, LOG_INFO);
	c = accepted(WORDS(W("-qq")));
	assert_int_equal(c.log_level, LOG_ERROR);
}

/* A value is a value, whatever it looks like. */
static void test_values_that_look_like_options(void **state)
{
	struct vm_config c = accepted(WORDS(W("-k"), W("-v"), W("--append=--"), W("--log"), W("--quiet")));

	(void)state;
	assert_string_equal(c.kernel, "-v");
	assert_string_equal(c.append, "--");
	assert_string_equal(c.log, "--quiet");
	assert_int_equal(c.log_level, LOG_WARN);
}

static void test_the_last_one_counts(void **state)
{
	struct vm_config c =
		accepted(WORDS(W("-k"), W("/a"), W("--kernel=/b"), W("-c2"), W("-c3"), W("-m1G"), W("-m2G"),
			       W("--name=a"), W("--name=bb"), W("--timeout=1"), W("--timeout=2")));

	(void)state;
	assert_string_equal(c.kernel, "/b");
	assert_int_equal(c.cpus, 3);
	assert_true(c.memory == GIB(2));
	assert_string_equal(c.name, "bb");
	assert_true(c.timeout_ns == UINT64_C(2000000000));
}

static void test_initrds(void **state)
{
	char *words[2 * (CONFIG_MAX_INITRDS + 1) + 1] = {NULL};
	char options[2][16] = {"--initrd", "-i"};
	char names[CONFIG_MAX_INITRDS + 1][8];
	struct vm_config c;

	(void)state;
	for (unsigned i = 0; i < CONFIG_MAX_INITRDS; i++) {
		snprintf(names[i], sizeof(names[i]), "/i%u", i);
		words[2 * i] = options[i % 2];
		words[2 * i + 1] = names[i];
	}
	c = accepted(words);
	assert_int_equal(c.initrd_count, CONFIG_MAX_INITRDS);
	for (unsigned i = 0; i < CONFIG_MAX_INITRDS; i++)
		assert_string_equal(c.initrds[i], names[i]);
	words[2 * CONFIG_MAX_INITRDS] = W("-i");
	words[2 * CONFIG_MAX_INITRDS + 1] = W("/more");
	refused(words, "-i", "at most 16");
}

static void test_append(void **state)
{
	struct vm_config c = accepted(WORDS(W("-a"), W("one"), W("-atwo three"), W("--append=four")));
	char text[CONFIG_MAX_APPEND];

	(void)state;
	assert_string_equal(c.append, "one two three four");
	/* The longest line there may be, in one word and in two; and a byte more. */
	memset(text, 'x', sizeof(text));
	text[CONFIG_MAX_APPEND - 1] = '\0';
	c = accepted(WORDS(W("-a"), text));
	assert_int_equal(strlen(c.append), CONFIG_MAX_APPEND - 1);
	refused(WORDS(W("-a"), text, W("-a"), W("y")), "-a", "8191");
	text[CONFIG_MAX_APPEND - 3] = '\0';
	c = accepted(WORDS(W("-a"), text, W("-a"), W("y")));
	assert_int_equal(strlen(c.append), CONFIG_MAX_APPEND - 1);
	refused(WORDS(W("-a"), text, W("--append=yz")), "--append", "8191");
}

static void test_unknown_options(void **state)
{
	(void)state;
	refused(WORDS(W("--frobnicate")), "--frobnicate", "unknown option");
	refused(WORDS(W("--frobnicate=7")), "--frobnicate", "unknown option");
	refused(WORDS(W("--kern"), W("/k")), "--kern", "unknown option");
	refused(WORDS(W("--kernels=/k")), "--kernels", "unknown option");
	refused(WORDS(W("--=x")), "--", "unknown option");
	refused(WORDS(W("--k"), W("/k")), "--k", "unknown option");
	refused(WORDS(W("-z")), "-z", "unknown option");
	refused(WORDS(W("-vz")), "-z", "unknown option");
	refused(WORDS(W("-K/k")), "-K", "unknown option");
	refused(WORDS(W("-kernel"), W("-V")), "-V", "unknown option");
}

static void test_stray_words(void **state)
{
	(void)state;
	refused(WORDS(W("vmlinux")), "vmlinux", "unexpected word");
	refused(WORDS(W("-c"), W("2"), W("more")), "more", "unexpected word");
	refused(WORDS(W("-")), "'-'", "unexpected word");
	refused(WORDS(W("")), "''", "unexpected word");
	refused(WORDS(W("ls"), W("--"), W("ls")), "'ls'", "COMMAND");
}

static void test_missing_values(void **state)
{
	static const struct {
		const char *option;
		const char *expected;
	} all[] = {
		{"-k", "bzImage"},
		{"--kernel", "vmlinux"},
		{"-i", "cpio"},
		{"--initrd", "cpio"},
		{"-a", "command line"},
		{"--append", "words"},
		{"-c", "number"},
		{"--cpus", "vCPUs"},
		{"-m", "512M"},
		{"--memory", "size"},
		{"--console", "serial"},
		{"--timeout", "seconds"},
		{"--name", "name"},
		{"--log", "file"},
		{"-d", "disk image"},
		{"--disk", "image"},
		{"--root", "ro|rw|cow"},
		{"--transport", "pci or mmio"},
		{"-n", "tap=IFNAME"},
		{"--net", "user"},
		{"-p", "HOST:GUEST"},
		{"--publish", "8080:80"},
		{"--vsock", "CID"},
		{"--rng", "on or off"},
		{"--watchdog", "poweroff"},
		{"--grace", "seconds"},
		{"--share", "DIR:PATH"},
		{"--workdir", "path of the guest"},
		{"--env", "NAME=VALUE"},
		{"--user", "name or number"},
		{"--boot-timeout", "seconds"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		char option[32];
		char empty[40];

		snprintf(option, sizeof(option), "%s", all[i].option);
		refused(WORDS(option), all[i].option, all[i].expected);
		refused(WORDS(W("-v"), option), all[i].option, "expected");
		refused(WORDS(option, W("")), all[i].option, all[i].expected);
		if (option[1] != '-')
			continue;
		snprintf(empty, sizeof(empty), "%s=", all[i].option);
		refused(WORDS(empty), all[i].option, all[i].expected);
	}
}

static void test_values_for_flags(void **state)
{
	(void)state;
	refused(WORDS(W("--verbose=1")), "--verbose", "no value");
	refused(WORDS(W("--quiet=")), "--quiet", "no value");
	refused(WORDS(W("--dry-run=yes")), "--dry-run", "no value");
	refused(WORDS(W("--tty=on")), "--tty", "no value");
	refused(WORDS(W("--no-tty=")), "--no-tty", "no value");
}

static void test_verbose_and_quiet(void **state)
{
	(void)state;
	refused(WORDS(W("-v"), W("-q")), "-q", "-v");
	refused(WORDS(W("--quiet"), W("--verbose")), "--verbose", "-q");
	refused(WORDS(W("-vq")), "-q", "-v");
}

static void test_bad_cpus(void **state)
{
	static const char *const bad[] = {"0",
					  "65",
					  "-1",
					  "+4",
					  "4x",
					  "x",
					  "4.0",
					  " 4",
					  "4 ",
					  "1e1",
					  "0x4",
					  "",
					  "1000",
					  "18446744073709551617",
					  "55340232221128654850"}; /* 1 and 2 more than a multiple of 2^64 */

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		char value[32];

		snprintf(value, sizeof(value), "%s", bad[i]);
		refused(WORDS(W("--cpus"), value), "--cpus", "vCPUs");
	}
}

static void test_bad_memory(void **state)
{
	static const struct {
		const char *value;
		const char *expected;
	} bad[] = {
		{"abc", "512M"},
		{"1.5G", "512M"},
		{"-1G", "512M"},
		{"512MB", "512M"},
		{"G", "512M"},
		{"0", "512M"},
		{"0G", "512M"},
		{"0x20000000", "512M"},
		{" 1G", "512M"},
		{"1G ", "512M"},
		{"1P", "512M"},
		{"16777216T", "512M"},
		{"18446744073709551616", "512M"},
		{"99999999999999999999T", "512M"},
		{"31M", "32M"},
		{"1K", "32M"},
		{"512", "counts bytes"},
		{"33554433", "4K"},
		{"1073741823", "4K"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		char value[32];

		snprintf(value, sizeof(value), "%s", bad[i].value);
		refused(WORDS(W("-m"), value), "-m", bad[i].expected);
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"1", 1},
		{"4096", 4096},
		{"007", 7},
		{"1K", KIB(1)},
		{"1k", KIB(1)},
		{"512M", MIB(512)},
		{"512m", MIB(512)},
		{"3G", GIB(3)},
		{"3g", GIB(3)},
		{"2T", GIB(2048)},
		{"2t", GIB(2048)},
		{"18446744073709551615", UINT64_MAX},
		{"16777215T", UINT64_MAX - GIB(1024) + 1},
	};
	static const char *const bad[] = {"",   "K", "-1", "+1",   "1KK",  "1Kb", "1 K",
					  "1B", "0", "0K", "0.5G", "1,5G", "१"};
	static const char *const large[] = {"18446744073709551616", "16777216T", "17179869184G",
					    "99999999999999999999999"};
	uint64_t bytes = 77;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(config_parse_size(bad[i], &bytes), -EINVAL);
	for (unsigned i = 0; i < ARRAY_SIZE(large); i++)
		assert_int_equal(config_parse_size(large[i], &bytes), -ERANGE);
	assert_true(bytes == 77);
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(config_parse_size(good[i].text, &bytes), 0);
		assert_true(bytes == good[i].bytes);
	}
}

static void test_seconds(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{"1", UINT64_C(1000000000)},
		{"1.", UINT64_C(1000000000)},
		{"0.5", UINT64_C(500000000)},
		{".5", UINT64_C(500000000)},
		{"1.25", UINT64_C(1250000000)},
		{"3600", UINT64_C(3600000000000)},
		{"316224000", UINT64_C(316224000000000000)}, /* ten years */
	};
	static const char *const bad[] = {"",
					  "0",
					  "0.0",
					  "-1",
					  "+1",
					  "1s",
					  "1e3",
					  "inf",
					  "nan",
					  "0x1",
					  "1,5",
					  ".",
					  "1..5",
					  " 1",
					  "1 ",
					  "1.2.3",
					  "0.0000000001",
					  "316224001",
					  "99999999999999999999999999999999"};
	uint64_t ns = 77;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(config_parse_seconds(bad[i], &ns), -EINVAL);
	assert_true(ns == 77);
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(config_parse_seconds(good[i].text, &ns), 0);
		assert_true(ns == good[i].ns);
	}
	refused(WORDS(W("--timeout"), W("soon")), "--timeout", "seconds");
	refused(WORDS(W("--timeout=0")), "--timeout", "above 0");
	refused(WORDS(W("--timeout=-5")), "--timeout", "seconds");
}

static void test_transport(void **state)
{
	struct vm_config c = accepted(WORDS(W("--transport"), W("mmio")));

	(void)state;
	assert_int_equal(c.transport, TRANSPORT_MMIO);
	c = accepted(WORDS(W("--transport=mmio"), W("--transport=pci")));
	assert_int_equal(c.transport, TRANSPORT_PCI);
	refused(WORDS(W("--transport=ccw")), "--transport", "pci or mmio");
	refused(WORDS(W("--transport=PCI")), "--transport", "pci or mmio");
}

/* What -p, -n and others are as short options. */
static void test_letters_of_networks(void **state)
{
	struct vm_config c = accepted(WORDS(W("-vnuser"), W("-p80:81"), W("-n"), W("tap=t")));

	(void)state;
	assert_int_equal(c.log_level, LOG_INFO);
	assert_int_equal(c.net_count, 2);
	assert_int_equal(c.published_count, 1);
}

static void test_names(void **state)
{
	static const char *const good[] = {"a", "7", "web-1", "A.b_c-9", "x..", "0-"};
	static const char *const bad[] = {".",    "..",  ".hidden", "-x",       "_x",          "a/b",
					  "../x", "a b", "a\n",     "a\x1b[2J", "caf\xc3\xa9", "a*"};
	char longest[CONFIG_MAX_NAME + 1];
	struct vm_config c;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		char value[32];

		snprintf(value, sizeof(value), "%s", good[i]);
		c = accepted(WORDS(W("--name"), value));
		assert_string_equal(c.name, good[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		char value[32];

		snprintf(value, sizeof(value), "%s", bad[i]);
		refused(WORDS(W("--name"), value), "--name", "letters, digits");
	}
	memset(longest, 'n', sizeof(longest));
	longest[CONFIG_MAX_NAME] = '\0';
	refused(WORDS(W("--name"), longest), "--name", "63");
	longest[CONFIG_MAX_NAME - 1] = '\0';
	c = accepted(WORDS(W("--name"), longest));
	assert_string_equal(c.name, longest);
}

/* Whatever is in a word: the message stays one line without control bytes, and ends in time. */
static void test_messages_with_strange_words(void **state)
{
	char endless[5000];

	(void)state;
	refused(WORDS(W("-c"), W("1\n2")), "-c", "vCPUs");
	refused(WORDS(W("a\nb")), "unexpected", "word");
	refused(WORDS(W("--bad\noption")), "unknown", "option");
	refused(WORDS(W("-\n")), "unknown", "option");
	memset(endless, 'e', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	refused(WORDS(W("-m"), endless), "-m", "eee");
	refused(WORDS(endless), "unexpected word", "eee");
	endless[0] = endless[1] = '-';
	refused(WORDS(endless), "unknown option", "--eee");
}

/* All of it is there in the copy; what is not used of it is zero in both. */
static void test_copies(void **state)
{
	static struct vm_config copy;
	struct vm_config c =
		accepted(WORDS(W("-k"), W("/k"), W("-i"), W("/i"), W("-a"), W("x y"), W("-da"), W("-db,ro"),
			       W("--root=/r"), W("--share=/s:/t"), W("-n"), W("tap=t"), W("--vsock=9"),
			       W("--console=virtio,port=p:q"), W("-q"), W("--"), W("true")));

	(void)state;
	assert_true(c.disk_count == 3 && c.share_count == 1);
	config_copy(&copy, &c);
	assert_memory_equal(&copy, &c, sizeof(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_separate_words),
		cmocka_unit_test(test_equals_sign),
		cmocka_unit_test(test_short_options),
		cmocka_unit_test(test_clusters),
		cmocka_unit_test(test_values_that_look_like_options),
		cmocka_unit_test(test_the_last_one_counts),
		cmocka_unit_test(test_initrds),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_unknown_options),
		cmocka_unit_test(test_stray_words),
		cmocka_unit_test(test_missing_values),
		cmocka_unit_test(test_values_for_flags),
		cmocka_unit_test(test_verbose_and_quiet),
		cmocka_unit_test(test_bad_cpus),
		cmocka_unit_test(test_bad_memory),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_transport),
		cmocka_unit_test(test_letters_of_networks),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_messages_with_strange_words),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
