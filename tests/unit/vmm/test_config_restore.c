/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of hull restore and hull fork, and what they make of the configuration in a snapshot. */
#include "config_words.h"

#include <stdio.h>
#include <stdlib.h>

#include "config_restore.h"
#include "hull/util.h"

/* What was given, and what comes of it. */
struct given {
	struct vm_config given, config;
	struct saved_extra extra;
	const char *operand;
	unsigned count;
	struct err err;
};

static char *const machine_words[] = {
	W("--root=/srv/root"),
	W("--disk=/old/a.img,id=data"),
	W("--disk=/old/b.img,id=more,ro"),
	W("--net=user,id=lan"),
	W("--net=tap=tap7,id=wan,mac=52:54:00:12:34:56"),
	W("--share=/old/x:/x"),
	W("--share=/old/y:/y,ro"),
	W("--publish=8080:80"),
	W("--vsock=7"),
	W("--agent"),
	NULL,
};

#define LIST(...) ((const char *[]){__VA_ARGS__, NULL})

static int count_words(const char *const words[])
{
	int n = 0;

	while (words[n])
		n++;
	return n;
}

/* The configuration of a snapshot: without what is the host's (saved_config_get()). */
static void make_machine(struct given *g)
{
	g->config = accepted(machine_words);
	/* --root is a directory: share 0 in the place of disk 0. */
	g->config.root.directory = true;
	g->config.root.path[0] = '\0';
	memmove(&g->config.disks[0], &g->config.disks[1], 2 * sizeof(g->config.disks[0]));
	g->config.disk_count = 2;
	memmove(&g->config.shares[1], &g->config.shares[0], 2 * sizeof(g->config.shares[0]));
	g->config.share_count = 3;
	snprintf(g->config.shares[0].target, sizeof(g->config.shares[0].target), "/");
	for (unsigned i = 0; i < 3; i++) {
		g->config.shares[i].path[0] = '\0';
		snprintf(g->extra.share_paths[i], SAVED_SHOWN, "/old/%u", i);
	}
	for (unsigned i = 0; i < 2; i++)
		g->config.disks[i].path[0] = '\0';
	g->config.nets[1].ifname[0] = '\0';
	snprintf(g->extra.ifnames[1], SAVED_SHOWN, "tap7");
}

static int parse(struct given *g, const char *what, const char *const words[])
{
	memset(g, 0, sizeof(*g));
	return config_restore_parse(what, count_words(words), (char *const *)(uintptr_t)words, &g->given,
				    &g->operand, &g->count, &g->err);
}

static void one_line(const struct given *g, const char *a, const char *b)
{
	if (!strstr(g->err.msg, a) || !strstr(g->err.msg, b) || strchr(g->err.msg, '\n'))
		fail_msg("'%s' has no '%s' or no '%s', or more than a line", g->err.msg, a, b);
	assert_int_equal(g->err.code, -EINVAL);
}

static void no_words(const char *what, const char *const words[], const char *a, const char *b)
{
	struct given *g = malloc(sizeof(*g));

	assert_non_null(g);
	if (parse(g, what, words) == 0)
		fail_msg("accepted: %s ...", words[0]);
	one_line(g, a, b);
	free(g);
}

/* With everything that has to be given, and `more`. */
static int bind(struct given *g, const char *const more[])
{
	const char *words[32] = {"dir", "--root=/new/root", "--share=/new/x:/x", "--share=/new/y:/y",
				 "--net=id=wan,tap=tap9"};
	unsigned n = 5;

	for (; *more; more++)
		words[n++] = *more;
	words[n] = NULL;
	if (parse(g, "restore", words) < 0)
		fail_msg("%s", g->err.msg);
	make_machine(g);
	return config_restore_bind(&g->config, &g->given, &g->extra, &g->err);
}

static struct given *bound(const char *const more[])
{
	struct given *g = malloc(sizeof(*g));

	assert_non_null(g);
	if (bind(g, more) < 0)
		fail_msg("%s", g->err.msg);
	return g;
}

static void not_bound(const char *const more[], const char *a, const char *b)
{
	struct given *g = malloc(sizeof(*g));

	assert_non_null(g);
	if (bind(g, more) == 0)
		fail_msg("accepted: %s", more[0]);
	one_line(g, a, b);
	free(g);
}

static void test_nothing_more(void **state)
{
	struct given *g = bound(LIST(NULL));

	(void)state;
	assert_string_equal(g->operand, "dir");
	assert_int_equal(g->count, 0);
	assert_string_equal(g->config.root.path, "/new/root");
	assert_string_equal(g->config.shares[0].path, "/new/root");
	assert_string_equal(g->config.shares[1].path, "/new/x");
	assert_string_equal(g->config.shares[2].path, "/new/y");
	assert_true(g->config.shares[2].read_only); /* as it was */
	assert_false(g->config.shares[1].read_only);
	assert_string_equal(g->config.disks[0].path, "");
	assert_string_equal(g->config.nets[1].ifname, "tap9");
	assert_false(g->config.nets[1].new_mac);
	assert_int_equal(g->config.nets[1].mac[5], 0x56);
	assert_int_equal(g->config.published_count, 1);
	assert_int_equal(g->config.vsock.cid, 7);
	free(g);
}

static void test_disks(void **state)
{
	struct given *g;

	(void)state;
	g = bound(LIST("-d", "id=data,path=/new/a,,b.img,engine=sync", "--disk=/new/m.img,id=more"));
	assert_string_equal(g->config.disks[0].path, "/new/a,b.img");
	assert_int_equal(g->config.disks[0].engine, BLOCK_ENGINE_SYNC);
	assert_string_equal(g->config.disks[1].path, "/new/m.img");
	assert_true(g->config.disks[1].read_only);
	free(g);
	g = bound(LIST("-d", "id=data,path=/x,ro"));
	assert_true(g->config.disks[0].read_only);
	free(g);
	g = bound(LIST("-d", "id=data,path=/ends,,"));
	assert_string_equal(g->config.disks[0].path, "/ends,");
	free(g);
	not_bound(LIST("-d", "id=none,path=/x"), "--disk /x", "no disk 'none'");
	not_bound(LIST("-d", "/x"), "--disk /x", "expected id=ID");
	not_bound(LIST("-d", "id=data,path=/x", "-d", "id=data,path=/y"), "", "data");
	no_words("restore", LIST("-d", "id=data,path="), "-d", "");
	no_words("restore", LIST("-d", "id=data"), "-d", "");
	no_words("restore", LIST("-d", "id=data,path=/x,id=more"), "-d", "id");
	no_words("restore", LIST("-d", "id=data,path=/x,cache=none"), "-d", "cache");
	no_words("restore", LIST("-d", ""), "-d", "expected");
	no_words("restore", LIST("-d"), "-d", "expected");
}

static void test_long_values(void **state)
{
	char *long_word = malloc(CONFIG_MAX_PATH + 1024);

	(void)state;
	assert_non_null(long_word);
	memset(long_word, 'x', CONFIG_MAX_PATH + 1023);
	memcpy(long_word, "id=a,path=/", 11);
	long_word[CONFIG_MAX_PATH + 1023] = '\0';
	no_words("restore", (const char *[]){"-d", long_word, NULL}, "-d", "too long");
	no_words("restore", (const char *[]){"-n", long_word, NULL}, "-n", "too long");
	memcpy(long_word, "path=/xxxxx", 11);
	no_words("restore", (const char *[]){"--vsock", long_word, NULL}, "--vsock", "");
	free(long_word);
}

static void test_networks(void **state)
{
	struct given *g;

	(void)state;
	g = bound(LIST("-n", "id=lan,tap=tap1,mac=52:54:00:00:00:01"));
	assert_int_equal(g->config.nets[0].kind, NET_TAP);
	assert_string_equal(g->config.nets[0].ifname, "tap1");
	assert_true(g->config.nets[0].new_mac);
	assert_int_equal(g->config.nets[0].mac[5], 1);
	free(g);
	g = bound(LIST("-n", "user,id=wan,mac=52:54:00:12:34:56"));
	assert_int_equal(g->config.nets[1].kind, NET_USER);
	assert_false(g->config.nets[1].new_mac); /* it is the same */
	free(g);
	not_bound(LIST("-n", "id=none,user"), "--net", "no network 'none'");
	not_bound(LIST("-n", "user"), "--net", "expected id=ID");
	no_words("restore", LIST("-n", "id=lan"), "-n", "");
	no_words("restore", LIST("-n", "id=lan,sea"), "-n", "");
	no_words("restore", LIST("-n", "id=lan,tap="), "-n", "");
}

/* What is needed, one after the other. */
static void test_needed(void **state)
{
	static const char *const words[][5] = {
		{"--share=/x:/x", "--share=/y:/y", "--net=id=wan,tap=t", NULL},
		{"--root=/r", "--share=/y:/y", "--net=id=wan,tap=t", NULL},
		{"--root=/r", "--share=/x:/x", "--share=/y:/y", NULL},
	};
	static const char *const says[] = {"--root /old/0", "--share /old/1:/x", "--net id=wan,tap=tap7"};
	struct given *g = malloc(sizeof(*g));

	(void)state;
	assert_non_null(g);
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		assert_int_equal(parse(g, "restore", words[i]), 0);
		make_machine(g);
		assert_int_equal(config_restore_bind(&g->config, &g->given, &g->extra, &g->err), -EINVAL);
		one_line(g, says[i], "");
	}
	free(g);
	not_bound(LIST("--share=/z:/z"), "--share /z:/z", "no directory at /z");
}

static void test_vsock(void **state)
{
	struct given *g = bound(LIST("--vsock", "path=/run/s"));

	(void)state;
	assert_int_equal(g->config.vsock.cid, 7);
	assert_string_equal(g->config.vsock.path, "/run/s");
	free(g);
	g = bound(LIST("--vsock=9"));
	assert_int_equal(g->config.vsock.cid, 9);
	assert_string_equal(g->config.vsock.path, "");
	free(g);
	g = bound(LIST("--vsock=9,path=/run/s"));
	assert_int_equal(g->config.vsock.cid, 9);
	free(g);
	no_words("restore", LIST("--vsock=path="), "--vsock", "");
	no_words("restore", LIST("--vsock=2"), "--vsock", "");
	g = malloc(sizeof(*g));
	assert_non_null(g);
	assert_int_equal(parse(g, "restore", LIST("--vsock=9", "dir")), 0);
	g->config = accepted(WORDS(W("--cpus=1")));
	assert_int_equal(config_restore_bind(&g->config, &g->given, &g->extra, &g->err), -EINVAL);
	one_line(g, "--vsock", "has none");
	free(g);
}

static void test_host(void **state)
{
	struct given *g = bound(LIST("--timeout=9", "--grace=3", "--name=new", "--log=/l", "-v", "-p",
				     "9090:90", "-p", "9091:91", "--sandbox=strict"));

	(void)state;
	assert_int_equal(g->config.timeout_ns, UINT64_C(9000000000));
	assert_int_equal(g->config.grace_ns, UINT64_C(3000000000));
	assert_string_equal(g->config.name, "new");
	assert_true(g->config.name_given);
	assert_string_equal(g->config.log, "/l");
	assert_int_equal(g->config.published_count, 2);
	free(g);
}

/* COMMAND is what is behind "--", wherever an option has that as its value. */
static void test_command(void **state)
{
	static const char *const words[] = {"dir", "--name=x", "--", "sh", "--", "-n", NULL};
	struct given *g = malloc(sizeof(*g));

	(void)state;
	assert_non_null(g);
	assert_int_equal(parse(g, "restore", words), 0);
	assert_int_equal(g->given.command.argc, 3);
	assert_ptr_equal(g->given.command.argv, &words[3]);
	assert_int_equal(parse(g, "fork", LIST("-n", "3", "c", "--", "-n", "4")), 0);
	assert_int_equal(g->count, 3);
	assert_int_equal(g->given.command.argc, 2);
	assert_string_equal(g->given.command.argv[0], "-n");
	assert_string_equal(g->given.command.argv[1], "4");
	assert_int_equal(parse(g, "restore", words), 0);
	g->config = accepted(WORDS(W("--cpus=1")));
	assert_int_equal(config_restore_bind(&g->config, &g->given, &g->extra, &g->err), -EINVAL);
	one_line(g, "-- sh", "no agent");
	free(g);
	no_words("restore", LIST("dir", "--log", "--", "x"), "--log", "expected");
}

static void test_fork(void **state)
{
	struct given *g = malloc(sizeof(*g));

	(void)state;
	assert_non_null(g);
	assert_int_equal(parse(g, "fork", LIST("c", "-n", "1000")), 0);
	assert_int_equal(g->count, 1000);
	assert_string_equal(g->operand, "c");
	assert_int_equal(parse(g, "fork", LIST("-n7", "c", "--name", "a{}b", "--net=id=lan,user")), 0);
	assert_int_equal(g->count, 7);
	assert_string_equal(g->given.name, "a{}b");
	assert_int_equal(g->given.net_count, 1);
	assert_int_equal(parse(g, "fork", LIST("--copies=2", "c", "--copies", "3")), 0);
	assert_int_equal(g->count, 3);
	assert_int_equal(parse(g, "fork", LIST("c")), 0);
	assert_int_equal(g->count, 0);
	assert_null(strstr(g->given.name, "{}"));
	free(g);
	no_words("fork", LIST("c", "-n", "0"), "-n 0", "1 to 1000");
	no_words("fork", LIST("c", "-n", "1001"), "-n 1001", "1 to 1000");
	no_words("fork", LIST("c", "-n", "-1"), "-n -1", "1 to 1000");
	no_words("fork", LIST("c", "-n"), "-n ", "1 to 1000");
	no_words("fork", LIST("c", "-nx"), "-n x", "1 to 1000");
	no_words("fork", LIST("c", "--copies="), "-n ", "1 to 1000");
	no_words("fork", LIST("c", "--name", "{}{"), "--name", "");
	no_words("fork", LIST("c", "--name", "{}/x"), "--name", "");
	no_words("fork", LIST("c", "d"), "unexpected word 'd'", "");
}

/* Every option that is one of hull run alone, and nonsense. */
static void test_unknown(void **state)
{
	static const char *const unknown[] = {"-k",
					      "--kernel=x",
					      "-i",
					      "-c2",
					      "--cpus=2",
					      "-m1G",
					      "--memory=1",
					      "-ax",
					      "--rng=on",
					      "--console=none",
					      "--balloon",
					      "--transport=pci",
					      "--watchdog=reset",
					      "--agent",
					      "--bogus",
					      "-Z"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
		no_words("restore", (const char *[]){"dir", unknown[i], NULL}, "unknown option",
			 "hull help restore");
		no_words("fork", (const char *[]){"dir", unknown[i], NULL}, "unknown option",
			 "hull help fork");
	}
	no_words("restore", LIST("--name", "a{}"), "--name a{}", "hull fork");
	no_words("restore", LIST("--timeout=x"), "--timeout", "expected");
	no_words("restore", LIST("--sandbox=maybe"), "--sandbox", "");
	no_words("restore", LIST("--dry-run=yes"), "--dry-run", "takes no value");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_more), cmocka_unit_test(test_disks),
		cmocka_unit_test(test_long_values),  cmocka_unit_test(test_networks),
		cmocka_unit_test(test_needed),       cmocka_unit_test(test_vsock),
		cmocka_unit_test(test_host),         cmocka_unit_test(test_command),
		cmocka_unit_test(test_fork),         cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
