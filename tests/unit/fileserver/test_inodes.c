/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fileserver/inodes.c: how many nodes there may be, and that there can be; their life is test_dir.c's. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_calls.h"
#include "hull/syscalls.h"
#include "hull/util.h"
#include "session.h"

enum { MANY = 9000 }; /* slots of so many nodes are a block that malloc() has from mmap() */

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

/* Of the sandbox's filter the one call that realloc() makes of large blocks: who makes it ends the test. */
static void forbid_mremap(enum syscall_role role)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_SIZE(code), code};

	assert_int_equal(role, ROLE_FILES);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* More files than the table begins with, all known at once. */
static void test_many(void **state)
{
	const struct file_share share = {.uid = getuid(), .gid = getgid(), .confine = forbid_mremap};
	struct fs_test t;

	(void)state;
	fs_test_begin(&t, &share, 0, 0);
	for (unsigned i = 0; i < MANY; i++) {
		struct fuse_entry_out entry;
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(mknodat(t.dir, name, S_IFREG | 0644, 0), 0);
		assert_int_equal(fs_lookup(&t.rig, FUSE_ROOT_ID, name, &entry), 0);
	}
	fs_test_end(&t);
	assert_int_equal(t.rig.result, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_without_memory),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
