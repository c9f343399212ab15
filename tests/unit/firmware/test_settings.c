/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware/init/settings.c: /root.conf and what the kernel's command line says about the root. */
#include "../core/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "init/init.h"

static struct settings *parse(const char *conf, const char *cmdline)
{
	struct settings *s = malloc(sizeof(*s));

	assert_non_null(s);
	memset(s, 0xee, sizeof(*s));
	parse_settings(s, conf, cmdline);
	return s;
}

static void nothing(void **state)
{
	struct settings *s = parse("", "");

	(void)state;
	assert_false(has_root(s) || s->read_only || s->cow || s->command || s->agent);
	assert_int_equal(s->share_count, 0);
	assert_string_equal(s->hostname, "");
	free(s);
}

static void a_disk(void **state)
{
	struct settings *s =
		parse("device /dev/vda\nmode cow\nfstype ext4\ndhcp eth0\nhostname one\nagent\n", "");

	(void)state;
	assert_string_equal(s->device, "/dev/vda");
	assert_string_equal(s->fstype, "ext4");
	assert_string_equal(s->dhcp, "eth0");
	assert_string_equal(s->hostname, "one");
	assert_true(has_root(s) && s->cow && s->read_only && s->agent);
	assert_false(s->command);
	free(s);
}

static void a_directory(void **state)
{
	struct settings *s = parse("tag root\nmode rw\ndir /run/a\\040b\ncommand", "");

	(void)state;
	assert_string_equal(s->tag, "root");
	assert_string_equal(s->device, "");
	assert_string_equal(s->dir, "/run/a b");
	assert_true(has_root(s) && s->command);
	assert_false(s->cow || s->read_only || s->agent);
	free(s);
}

static void shares(void **state)
{
	struct settings *s = parse("share share0 /a\\040b\\134\\012c ro\nshare share1 /d rw\n", "");

	(void)state;
	assert_int_equal(s->share_count, 2);
	assert_string_equal(s->shares[0].tag, "share0");
	assert_string_equal(s->shares[0].path, "/a b\\\nc");
	assert_true(s->shares[0].read_only);
	assert_string_equal(s->shares[1].tag, "share1");
	assert_string_equal(s->shares[1].path, "/d");
	assert_false(s->shares[1].read_only);
	free(s);
}

/* What is cut off or odd is left out, or is itself; nothing is read beyond. */
static void odd_lines(void **state)
{
	struct settings *s =
		parse("share\nshare x\nshare x /y\nshare x  ro\nshare y /\\04 rw\nshare z /\\9990 rw\n"
		      "devices /dev/x\ncommands\n\n\nmode\nagent ",
		      "");

	(void)state;
	assert_int_equal(s->share_count, 2);
	assert_string_equal(s->shares[0].path, "/\\04");
	assert_string_equal(s->shares[1].path, "/\\9990");
	assert_false(s->command || s->agent || s->cow || s->read_only || has_root(s));
	free(s);
}

static void many_shares(void **state)
{
	char conf[(SHARES_MAX + 4) * 32] = "";
	struct settings *s;

	(void)state;
	for (int i = 0; i < SHARES_MAX + 4; i++)
		snprintf(conf + strlen(conf), sizeof(conf) - strlen(conf), "share s%d /p%d rw\n", i, i);
	s = parse(conf, "");
	assert_int_equal(s->share_count, SHARES_MAX);
	assert_string_equal(s->shares[SHARES_MAX - 1].path, "/p15");
	free(s);
}

static void long_words(void **state)
{
	char conf[3 * PATH_WORD_MAX];
	struct settings *s;

	(void)state;
	memset(conf, 'x', sizeof(conf));
	conf[sizeof(conf) - 1] = '\0';
	memcpy(conf, "device ", 7);
	s = parse(conf, "");
	assert_int_equal(strlen(s->device), WORD_MAX - 1);
	free(s);
	memcpy(conf, "share x /", 9);
	memcpy(conf + sizeof(conf) - 4, " ro", 3);
	s = parse(conf, "");
	assert_int_equal(strlen(s->shares[0].path), PATH_WORD_MAX - 1);
	assert_true(s->shares[0].read_only);
	free(s);
}

static void command_line(void **state)
{
	struct settings *s =
		parse("device /dev/vda\nmode rw\n",
		      "console=ttyS0 root=/dev/vda2 rootfstype=xfs rootflags=a,b init=/bin/x ro -- init=/no");

	(void)state;
	assert_string_equal(s->device, "/dev/vda2");
	assert_string_equal(s->fstype, "xfs");
	assert_string_equal(s->flags, "a,b");
	assert_string_equal(s->init, "/bin/x");
	assert_true(s->read_only);
	free(s);
	s = parse("device /dev/vda\nmode ro\n", "rw root=LABEL=x");
	assert_true(s->read_only); /* the disk is */
	assert_string_equal(s->device, "/dev/vda");
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing),    cmocka_unit_test(a_disk),       cmocka_unit_test(a_directory),
		cmocka_unit_test(shares),     cmocka_unit_test(odd_lines),    cmocka_unit_test(many_shares),
		cmocka_unit_test(long_words), cmocka_unit_test(command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
