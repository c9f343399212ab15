/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run`: disks and the root. */
#include "config_words.h"

#include "hull/util.h"

static struct config_disk one_disk(const char *value)
{
	struct vm_config c = accepted_value("-d", value);

	assert_int_equal(c.disk_count, 1);
	return c.disks[0];
}

static void refused_disk(const char *value, const char *a, const char *b)
{
	refused_value("-d", value, a, b);
}

static void test_disk_defaults(void **state)
{
	struct config_disk d = one_disk("/a.img");

	(void)state;
	assert_string_equal(d.path, "/a.img");
	assert_string_equal(d.id, "disk0");
	assert_string_equal(d.serial, "disk0");
	assert_false(d.read_only);
	assert_false(d.direct);
	assert_true(d.discard);
	assert_true(d.pause_on_enospc);
	assert_int_equal(d.engine, BLOCK_ENGINE_AUTO);
	assert_int_equal(d.queues, 1);
}

static void test_disk_words(void **state)
{
	struct config_disk d =
		one_disk("a,id=Data.1,serial=S 1/2,format=raw,engine=io_uring,direct,discard=off,"
			 "queues=16,on-enospc=report");

	(void)state;
	assert_string_equal(d.path, "a");
	assert_string_equal(d.id, "Data.1");
	assert_string_equal(d.serial, "S 1/2");
	assert_true(d.direct);
	assert_false(d.discard);
	assert_false(d.pause_on_enospc);
	assert_int_equal(d.engine, BLOCK_ENGINE_IO_URING);
	assert_int_equal(d.queues, 16);
	assert_int_equal(one_disk("a,engine=sync").engine, BLOCK_ENGINE_SYNC);
	assert_false(one_disk("a,engine=sync").direct);
	assert_true(one_disk("a,on-enospc=pause").pause_on_enospc);
	assert_true(one_disk("a,discard=on").discard);
	assert_int_equal(one_disk("a,queues=1").queues, 1);
}

static void test_read_only_does_not_discard(void **state)
{
	struct config_disk d = one_disk("a,ro");

	(void)state;
	assert_true(d.read_only);
	assert_false(d.discard);
	assert_false(one_disk("a,ro,discard=off").discard);
	refused_disk("a,ro,discard=on", "discard=on", "ro");
	refused_disk("a,discard=on,ro", "discard=on", "ro");
}

static void test_aio_implies_direct(void **state)
{
	struct config_disk d = one_disk("a,engine=aio");

	(void)state;
	assert_int_equal(d.engine, BLOCK_ENGINE_AIO);
	assert_true(d.direct);
}

static void test_commas_in_paths(void **state)
{
	(void)state;
	assert_string_equal(one_disk("a,,b").path, "a,b");
	assert_string_equal(one_disk("a,,ro").path, "a,ro");
	assert_false(one_disk("a,,ro").read_only);
	assert_string_equal(one_disk("a,,,ro").path, "a,");
	assert_true(one_disk("a,,,ro").read_only);
	assert_string_equal(one_disk(",,,,").path, ",,");
	assert_string_equal(one_disk("a,serial=x,,y,ro").serial, "x,y");
	assert_string_equal(one_disk("a=b").path, "a=b");
}

static void test_bad_disks(void **state)
{
	static const struct {
		const char *value, *a, *b;
	} bad[] = {
		{",ro", "-d", "path"},
		{"a,", "-d a", "''"},
		{"a,rw", "-d a", "'rw'"},
		{"a,Ro", "-d a", "'Ro'"},
		{"a,b.img", "'b.img'", "written as two"},
		{"a,cache=none", "'cache=none'", "engine="},
		{"a,=x", "'=x'", "id="},
		{"a,ro,ro", "ro", "twice"},
		{"a,id=x,id=y", "id", "twice"},
		{"a,engine=aio,engine=aio", "engine", "twice"},
		{"a,ro=on", "ro", "no value"},
		{"a,direct=", "direct", "no value"},
		{"a,id", "id=", "letters"},
		{"a,serial", "serial=", "printable"},
		{"a,queues", "queues=", "1 to 16"},
		{"a,id=", "id=", "letters"},
		{"a,id=-x", "id=-x", "letters"},
		{"a,id=a/b", "id=a/b", "letters"},
		{"a,id=123456789012345678901", "id=1234", "1 to 20"},
		{"a,serial=", "serial=", "printable"},
		{"a,serial=x\ty", "serial=", "printable"},
		{"a,serial=caf\xc3\xa9", "serial=", "printable"},
		{"a,serial=123456789012345678901", "serial=", "20"},
		{"a,format=qcow2", "format=qcow2", "not there yet"},
		{"a,format=vmdk", "format=vmdk", "raw"},
		{"a,engine=uring", "engine=uring", "io_uring"},
		{"a,discard=yes", "discard=yes", "on or off"},
		{"a,queues=0", "queues=0", "1 to 16"},
		{"a,queues=17", "queues=17", "1 to 16"},
		{"a,queues=2x", "queues=2x", "1 to 16"},
		{"a,queues=-1", "queues=-1", "1 to 16"},
		{"a,queues=18446744073709551617", "queues=1844", "1 to 16"},
		{"a,on-enospc=stop", "on-enospc=stop", "pause"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_disk(bad[i].value, bad[i].a, bad[i].b);
}

static void test_longest_values(void **state)
{
	static char path[CONFIG_MAX_PATH + 1];
	static char word[400];
	struct vm_config c;

	(void)state;
	assert_string_equal(one_disk("a,id=12345678901234567890").id, "12345678901234567890");
	assert_string_equal(one_disk("a,serial=12345678901234567890").serial, "12345678901234567890");
	memset(path, 'p', CONFIG_MAX_PATH);
	refused(WORDS(W("-d"), path), "-d", "4095");
	path[CONFIG_MAX_PATH - 1] = '\0';
	c = accepted(WORDS(W("-d"), path));
	assert_string_equal(c.disks[0].path, path);
	memset(word, 's', sizeof(word) - 1);
	memcpy(word, "a,serial=", 9);
	refused(WORDS(W("-d"), word), "-d a", "too long");
}

static void test_several_disks(void **state)
{
	struct vm_config c =
		accepted(WORDS(W("-da"), W("--disk=b,id=x"), W("--disk"), W("c"), W("-c"), W("4")));

	(void)state;
	assert_int_equal(c.disk_count, 3);
	assert_string_equal(c.disks[0].path, "a");
	assert_string_equal(c.disks[0].id, "disk0");
	assert_string_equal(c.disks[1].id, "x");
	assert_string_equal(c.disks[1].serial, "x");
	assert_string_equal(c.disks[2].path, "c");
	assert_string_equal(c.disks[2].id, "disk2");
	/* A queue for each vCPU, wherever -c is. */
	assert_int_equal(c.disks[0].queues, 4);
	c = accepted(WORDS(W("-c"), W("64"), W("-d"), W("a")));
	assert_int_equal(c.disks[0].queues, CONFIG_MAX_QUEUES);
	c = accepted(WORDS(W("-c"), W("64"), W("-d"), W("a,queues=2")));
	assert_int_equal(c.disks[0].queues, 2);
}

static void test_ids_are_unique(void **state)
{
	(void)state;
	refused(WORDS(W("-da,id=x"), W("-db,id=x")), "b", "'x'");
	refused(WORDS(W("-da,id=disk1"), W("-db")), "b", "'disk1'");
	refused(WORDS(W("--root=a"), W("-db,id=root")), "b", "'root'");
}

static void test_many_disks(void **state)
{
	char *words[CONFIG_MAX_DISKS + 2] = {NULL};
	char option[] = "-dx";
	struct vm_config c;

	(void)state;
	for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++)
		words[i] = option;
	c = accepted(words);
	assert_int_equal(c.disk_count, CONFIG_MAX_DISKS);
	assert_string_equal(c.disks[CONFIG_MAX_DISKS - 1].id, "disk15");
	words[CONFIG_MAX_DISKS] = option;
	refused(words, "-d", "at most 16");
	words[CONFIG_MAX_DISKS] = W("--root=r");
	refused(words, "--root", "at most 16");
}

static void test_root(void **state)
{
	struct vm_config c = accepted(WORDS(W("-da"), W("--root"), W("r,,1.img"), W("-db")));

	(void)state;
	assert_string_equal(c.root.path, "r,1.img");
	assert_int_equal(c.root.mode, ROOT_RW);
	assert_false(c.root.mode_given);
	assert_false(c.root.directory);
	assert_int_equal(c.disk_count, 3);
	assert_string_equal(c.disks[0].path, "r,1.img");
	assert_string_equal(c.disks[0].id, "root");
	assert_string_equal(c.disks[0].serial, "root");
	assert_false(c.disks[0].read_only);
	assert_string_equal(c.disks[1].path, "a");
	assert_string_equal(c.disks[1].id, "disk0");
	assert_string_equal(c.disks[2].path, "b");
	assert_string_equal(c.disks[2].id, "disk1");
	c = accepted(WORDS(W("--root=r,ro")));
	assert_int_equal(c.root.mode, ROOT_RO);
	assert_true(c.root.mode_given);
	assert_true(c.disks[0].read_only);
	c = accepted(WORDS(W("--root=r,cow")));
	assert_int_equal(c.root.mode, ROOT_COW);
	assert_true(c.disks[0].read_only);
	/* The last one counts. */
	c = accepted(WORDS(W("--root=r,ro"), W("-da"), W("--root=s,rw")));
	assert_int_equal(c.disk_count, 2);
	assert_string_equal(c.disks[0].path, "s");
	assert_string_equal(c.root.path, "s");
	assert_false(c.disks[0].read_only);
	refused(WORDS(W("--root=r,rx")), "--root r", "ro, rw and cow");
	refused(WORDS(W("--root=r,")), "--root r", "ro, rw and cow");
	refused(WORDS(W("--root=r,ro,rw")), "--root r", "ro, rw and cow");
	refused(WORDS(W("--root=r,ro=1")), "--root r", "ro, rw and cow");
	refused(WORDS(W("--root=,ro")), "--root", "path");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_defaults),
		cmocka_unit_test(test_disk_words),
		cmocka_unit_test(test_read_only_does_not_discard),
		cmocka_unit_test(test_aio_implies_direct),
		cmocka_unit_test(test_commas_in_paths),
		cmocka_unit_test(test_bad_disks),
		cmocka_unit_test(test_longest_values),
		cmocka_unit_test(test_several_disks),
		cmocka_unit_test(test_ids_are_unique),
		cmocka_unit_test(test_many_disks),
		cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests_name("config-disk", tests, NULL, NULL);
}
