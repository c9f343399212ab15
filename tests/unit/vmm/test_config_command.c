/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run`: COMMAND, how it is run, and what it implies. */
#include "config_words.h"

#include <stdio.h>
#include <stdlib.h>

#include "config_command.h"
#include "hull/agent.h"
#include "hull/util.h"

static void test_command(void **state)
{
	struct vm_config c = accepted(WORDS(W("-q"), W("--"), W("ls"), W("-l"), W(""), W("--"), W("-v")));

	(void)state;
	assert_int_equal(c.command.argc, 5);
	assert_string_equal(c.command.argv[0], "ls");
	assert_string_equal(c.command.argv[1], "-l");
	assert_string_equal(c.command.argv[2], "");
	assert_string_equal(c.command.argv[3], "--");
	assert_string_equal(c.command.argv[4], "-v");
	/* None of its words is an option of hull. */
	assert_int_equal(c.log_level, LOG_ERROR);
	assert_null(accepted(WORDS(W("-q"))).command.argv);
	refused(WORDS(W("--")), "--", "COMMAND [ARG...]");
	refused(WORDS(W("-q"), W("--")), "--", "COMMAND [ARG...]");
	refused(WORDS(W("--"), W("")), "--", "empty word");
	refused(WORDS(W("true"), W("--"), W("true")), "'true'", "unexpected word");
}

static void test_defaults(void **state)
{
	struct vm_config c = accepted(WORDS(W("--"), W("true")));

	(void)state;
	assert_int_equal(c.command.env_count, 0);
	assert_null(c.command.workdir);
	assert_string_equal(c.command.user, "");
	assert_int_equal(c.command.tty, TTY_AUTO);
	assert_true(c.command.boot_timeout_ns == CONFIG_DEFAULT_BOOT_TIMEOUT_NS);
	assert_false(c.agent);
	assert_int_equal(c.console, CONSOLE_SERIAL);
	/* What is implied: the host's root, a vsock without a socket, and so random numbers. */
	assert_string_equal(c.root.path, "/");
	assert_true(c.root.directory);
	assert_false(c.root.mode_given);
	assert_int_equal(c.root.mode, ROOT_COW);
	assert_int_equal(c.disk_count, 0);
	assert_int_equal(c.share_count, 1);
	assert_string_equal(c.shares[0].path, "/");
	assert_string_equal(c.shares[0].tag, "root");
	assert_true(c.shares[0].read_only);
	assert_int_equal(c.vsock.cid, 3);
	assert_true(c.vsock.implied);
	assert_string_equal(c.vsock.path, "");
	assert_true(c.rng);
}

static void test_vsock(void **state)
{
	struct vm_config c = accepted(WORDS(W("--vsock=9"), W("--"), W("true")));

	(void)state;
	assert_int_equal(c.vsock.cid, 9);
	assert_false(c.vsock.implied);
	c = accepted(WORDS(W("-i/i"), W("--agent")));
	assert_int_equal(c.vsock.cid, 3);
	assert_true(c.vsock.implied);
	c = accepted(WORDS(W("-i/i"), W("--agent"), W("--vsock"), W("4,path=/s")));
	assert_int_equal(c.vsock.cid, 4);
	assert_false(c.vsock.implied);
	assert_string_equal(c.vsock.path, "/s");
	assert_int_equal(accepted(WORDS(W("-i/i"))).vsock.cid, 0);
}

static void test_roots(void **state)
{
	struct vm_config c = accepted(WORDS(W("--root=r"), W("-dx"), W("--"), W("true")));

	(void)state;
	assert_string_equal(c.root.path, "r");
	assert_false(c.root.directory); /* nobody has looked */
	assert_int_equal(c.disk_count, 2);
	assert_int_equal(c.share_count, 0);
	c = accepted(WORDS(W("-i/i"), W("-dx"), W("--"), W("true")));
	assert_string_equal(c.root.path, "");
	assert_int_equal(c.disk_count, 1);
	assert_string_equal(c.disks[0].id, "disk0");
	assert_int_equal(c.share_count, 0);
	/* Nothing that could be run. */
	refused(WORDS(W("-dx"), W("--"), W("true")), "--disk", "--root IMAGE");
	/* The kernel's words name the disk. */
	c = accepted(WORDS(W("-dx"), W("-a"), W("root=/dev/vda"), W("--"), W("true")));
	assert_string_equal(c.root.path, "");
	assert_int_equal(c.disk_count, 1);
	/* Shares come after the root. */
	c = accepted(WORDS(W("--share=.:/w"), W("--"), W("true")));
	assert_int_equal(c.share_count, 2);
	assert_string_equal(c.shares[0].target, "/");
	assert_string_equal(c.shares[1].tag, "share0");
}

static void test_options(void **state)
{
	struct vm_config c = accepted(WORDS(W("--workdir"), W("/a/../b"), W("--user=www-data"), W("-vt"),
					    W("--boot-timeout"), W("2.5"), W("--"), W("x")));

	(void)state;
	assert_string_equal(c.command.workdir, "/a/../b");
	assert_string_equal(c.command.user, "www-data");
	assert_int_equal(c.command.tty, TTY_ON);
	assert_true(c.command.boot_timeout_ns == UINT64_C(2500000000));
	/* The last one counts. */
	c = accepted(WORDS(W("--tty"), W("--no-tty"), W("--user=a"), W("--user=7"), W("--workdir=/a"),
			   W("--workdir=/b"), W("--"), W("x")));
	assert_int_equal(c.command.tty, TTY_OFF);
	assert_string_equal(c.command.user, "7");
	assert_string_equal(c.command.workdir, "/b");
	c = accepted(WORDS(W("--no-tty"), W("-t"), W("--"), W("x")));
	assert_int_equal(c.command.tty, TTY_ON);
	assert_string_equal(config_tty_choice(TTY_AUTO), "auto");
	assert_string_equal(config_tty_choice(TTY_ON), "on");
	assert_string_equal(config_tty_choice(TTY_OFF), "off");
}

/* What the kernel says has somewhere to go with COMMAND as without. */
static void test_consoles(void **state)
{
	(void)state;
	assert_int_equal(accepted(WORDS(W("--console=none"), W("--"), W("x"))).console, CONSOLE_NONE);
	assert_int_equal(accepted(WORDS(W("--console=virtio,port=a:/b"), W("--"), W("x"))).port_count, 1);
}

static void test_without_command(void **state)
{
	(void)state;
	refused(WORDS(W("-t")), "--tty", "COMMAND");
	refused(WORDS(W("--tty")), "--tty", "COMMAND");
	refused(WORDS(W("--no-tty")), "--no-tty", "COMMAND");
	refused(WORDS(W("--workdir=/")), "--workdir", "COMMAND");
	refused(WORDS(W("--env=A")), "--env", "COMMAND");
	refused(WORDS(W("--user=root")), "--user", "COMMAND");
	refused(WORDS(W("--boot-timeout=9")), "--boot-timeout", "COMMAND");
	refused(WORDS(W("--root=r"), W("--agent"), W("--env=A")), "--env", "COMMAND");
	assert_true(accepted(WORDS(W("-q"))).command.boot_timeout_ns == 0);
}

static void test_agent(void **state)
{
	(void)state;
	assert_true(accepted(WORDS(W("--agent"), W("--root=r"))).agent);
	assert_true(accepted(WORDS(W("--agent"), W("-i/i"))).agent);
	assert_true(accepted(WORDS(W("--agent"), W("--"), W("x"))).agent);
	refused(WORDS(W("--agent")), "--agent", "--root or --initrd");
	refused(WORDS(W("--agent"), W("-dx")), "--agent", "--root or --initrd");
	refused(WORDS(W("--agent=on")), "--agent", "no value");
}

/* "--" ends the options, and is no value of the last of them. */
static void test_value_forgotten(void **state)
{
	(void)state;
	refused(WORDS(W("--env"), W("--"), W("x")), "--env", "NAME=VALUE");
	refused(WORDS(W("-m"), W("--"), W("x")), "-m", "512M");
	accepted(WORDS(W("--append=--"), W("--"), W("x")));
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *option, *value, *a, *b;
	} bad[] = {
		{"--workdir", "work", "--workdir work", "begins with '/'"},
		{"--workdir", "./x", "--workdir ./x", "begins with '/'"},
		{"--env", "=", "--env =", "NAME=VALUE"},
		{"--env", "=x", "--env =x", "NAME=VALUE"},
		{"--user", "a b", "--user a b", "name of a user"},
		{"--user", "a:b", "--user a:b", "name of a user"},
		{"--user", "a/b", "--user a/b", "name of a user"},
		{"--user", "-x", "--user -x", "name of a user"},
		{"--user", "-1", "--user -1", "name of a user"},
		{"--user", "+", "--user +", "name of a user"},
		{"--user", "x\n", "--user x", "name of a user"},
		{"--user", "4294967295", "--user 4294967295", "up to 4294967294"},
		{"--user", "18446744073709551616", "--user 1844", "up to 4294967294"},
		{"--boot-timeout", "0", "--boot-timeout 0", "above 0"},
		{"--boot-timeout", "soon", "--boot-timeout soon", "seconds"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused((char *[]){(char *)bad[i].option, (char *)bad[i].value, W("--"), W("x"), NULL},
			bad[i].a, bad[i].b);
}

static void user_is(const char *user, bool known, uint32_t uid)
{
	struct vm_config c = accepted((char *[]){W("--user"), (char *)user, W("--"), W("x"), NULL});
	uint32_t got = 12345;

	assert_string_equal(c.command.user, user);
	assert_int_equal(config_user_number(&c.command, &got), known);
	assert_true(got == (known ? uid : 12345));
}

static void test_users(void **state)
{
	struct config_command none = {.user = ""};
	char name[CONFIG_MAX_USER + 1];
	uint32_t uid = 7;

	(void)state;
	user_is("0", true, 0);
	user_is("1000", true, 1000);
	user_is("4294967294", true, 4294967294);
	user_is("root", false, 0);
	user_is("_apt", false, 0);
	user_is("7up", false, 0);
	user_is("caf\xc3\xa9", false, 0);
	assert_true(config_user_number(&none, &uid));
	assert_int_equal(uid, 0);
	memset(name, 'u', CONFIG_MAX_USER);
	name[CONFIG_MAX_USER] = '\0';
	refused(WORDS(W("--user"), name, W("--"), W("x")), "--user uuu", "name of a user");
	name[CONFIG_MAX_USER - 1] = '\0';
	user_is(name, false, 0);
}

static void test_environment(void **state)
{
	struct vm_config c =
		accepted(WORDS(W("--env=A=1"), W("--env"), W("B"), W("--env=AB="), W("--env=C=a=b c\n"),
			       W("--env=A"), W("--env=B=2"), W("--"), W("x")));

	(void)state;
	/* In their order; of the same name the last counts. */
	assert_int_equal(c.command.env_count, 4);
	assert_string_equal(c.command.env[0], "A");
	assert_string_equal(c.command.env[1], "B=2");
	assert_string_equal(c.command.env[2], "AB=");
	assert_string_equal(c.command.env[3], "C=a=b c\n");
}

static void test_many_variables(void **state)
{
	static char texts[CONFIG_MAX_ENV + 1][16];
	static char *words[CONFIG_MAX_ENV + 4];
	struct vm_config c;

	(void)state;
	for (unsigned i = 0; i <= CONFIG_MAX_ENV; i++) {
		snprintf(texts[i], sizeof(texts[i]), "--env=V%u=x", i);
		words[i] = texts[i];
	}
	words[CONFIG_MAX_ENV] = W("--env=V0=y");
	words[CONFIG_MAX_ENV + 1] = W("--");
	words[CONFIG_MAX_ENV + 2] = W("x");
	c = accepted(words);
	assert_int_equal(c.command.env_count, CONFIG_MAX_ENV);
	assert_string_equal(c.command.env[0], "V0=y");
	words[CONFIG_MAX_ENV] = texts[CONFIG_MAX_ENV];
	refused(words, "--env V256=x", "at most 256");
}

/* What the protocol carries is accepted, and no more. */
static void test_longest_words(void **state)
{
	char *text = malloc(AGENT_MAX_WORD + 1);
	struct vm_config c;

	(void)state;
	assert_non_null(text);
	memset(text, 'w', AGENT_MAX_WORD);
	text[AGENT_MAX_WORD] = '\0';
	refused(WORDS(W("--env"), text, W("--"), W("x")), "--env www", "131071");
	refused(WORDS(W("--"), W("x"), text), "-- x", "131071");
	text[AGENT_MAX_WORD - 1] = '\0';
	c = accepted(WORDS(W("--env"), text, W("--"), text, text));
	assert_int_equal(c.command.env_count, 1);
	text[0] = '/';
	text[AGENT_MAX_PATH] = '\0';
	refused(WORDS(W("--workdir"), text, W("--"), W("x")), "--workdir", "4095");
	text[AGENT_MAX_PATH - 1] = '\0';
	accepted(WORDS(W("--workdir"), text, W("--"), W("x")));
	free(text);
}

static void test_many_words(void **state)
{
	enum { MOST = AGENT_MAX_WORDS - 16 }; /* what hull adds has room, too */
	static char *words[MOST + 4];
	char word[] = "x";
	struct vm_config c;

	(void)state;
	words[0] = W("--env=A");
	words[1] = W("--");
	for (unsigned i = 0; i < MOST - 1; i++)
		words[2 + i] = word;
	c = accepted(words);
	assert_int_equal(c.command.argc, MOST - 1);
	words[2 + MOST - 1] = word;
	refused(words, "-- x", "4081 words: expected at most 4080");
	words[0] = W("-q");
	accepted(words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command),         cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_vsock),           cmocka_unit_test(test_roots),
		cmocka_unit_test(test_options),         cmocka_unit_test(test_consoles),
		cmocka_unit_test(test_without_command), cmocka_unit_test(test_agent),
		cmocka_unit_test(test_value_forgotten), cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_users),           cmocka_unit_test(test_environment),
		cmocka_unit_test(test_many_variables),  cmocka_unit_test(test_longest_words),
		cmocka_unit_test(test_many_words),
	};

	return cmocka_run_group_tests_name("config-command", tests, NULL, NULL);
}
