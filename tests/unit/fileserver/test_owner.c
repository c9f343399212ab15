/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owners and modes: what the guest is shown, what the host gets, what is kept in the xattr. All of it as root
 * and as an ordinary user of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_calls.h"
#include "hull/util.h"
#include "owner.h"

enum { USER = 12345, GROUP = 23456, GUEST_USER = 500, GUEST_GROUP = 600, OTHER = 777 };

struct who {
	uint32_t uid, gid; /* of the host; 0: root */
	uint32_t guest_uid, guest_gid;
};

static const struct who root = {0, 0, 0, 0};
static const struct who user = {USER, GROUP, 0, 0};
static const struct who mapped = {USER, GROUP, GUEST_USER, GUEST_GROUP};

static int setup(void **state)
{
	const struct who *who = *state;
	struct fs_test *t = malloc(sizeof(*t));
	const struct file_share share = {
		.uid = who->uid, .gid = who->gid, .guest_uid = who->guest_uid, .guest_gid = who->guest_gid};

	assert_non_null(t);
	fs_test_begin(t, &share, getuid() == 0 ? who->uid : 0, who->gid);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	fs_test_end(*state);
	free(*state);
	return 0;
}

static void check_attr(struct fs_test *t, uint64_t node, uint32_t uid, uint32_t gid, uint32_t mode)
{
	struct fuse_attr a;

	assert_int_equal(fs_getattr(&t->rig, node, &a), 0);
	assert_int_equal(a.uid, uid);
	assert_int_equal(a.gid, gid);
	assert_int_equal(a.mode & 07777, mode);
}

static void check_host(struct fs_test *t, const char *name, uint32_t mode)
{
	struct stat st;

	assert_int_equal(fstatat(t->dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_uid, t->share.uid);
	assert_int_equal(st.st_gid, t->share.gid);
	assert_int_equal(st.st_mode & 07777, mode);
}

/* `text` NULL: there is none. */
static void check_xattr(struct fs_test *t, const char *name, const char *text)
{
	char path[200], buf[64];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s", t->path, name);
	len = lgetxattr(path, OWNER_XATTR, buf, sizeof(buf) - 1);
	if (!text) {
		assert_int_equal(len, -1);
		return;
	}
	assert_true(len >= 0);
	buf[len] = '\0';
	assert_string_equal(buf, text);
}

static void put_xattr(struct fs_test *t, const char *name, const char *text)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", t->path, name);
	assert_int_equal(setxattr(path, OWNER_XATTR, text, strlen(text), 0), 0);
}

/* ---- the text ---- */

static void test_parse(void **state)
{
	static const char *const bad[] = {
		"",
		"1",
		"1:2",
		"1:2:",
		":2:644",
		"1::644",
		"1:2:8",
		"1:2:644 ",
		" 1:2:644",
		"+1:2:644",
		"-1:2:644",
		"01:2:644",
		"1:2:0644",
		"1:2:10000",
		"1:2:644:",
		"1:2:644\n",
		"4294967295:2:644",
		"1:4294967295:644",
		"99999999999:1:1",
		"1:2:7777777777777",
		"0x1:2:644",
		"1,2,644",
	};
	struct owner o;

	(void)state;
	assert_true(owner_parse("0:0:0", 5, &o));
	assert_int_equal(o.uid | o.gid | o.mode, 0);
	assert_true(owner_parse("4294967294:12:7777", 18, &o));
	assert_int_equal(o.uid, 4294967294);
	assert_int_equal(o.gid, 12);
	assert_int_equal(o.mode, 07777);
	/* The length counts, not what is behind. */
	assert_true(owner_parse("1:2:6445", 7, &o));
	assert_int_equal(o.mode, 0644);
	assert_false(owner_parse("1:2\0:644", 8, &o));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(owner_parse(bad[i], strlen(bad[i]), &o));
}

static void test_host_mode(void **state)
{
	(void)state;
	assert_int_equal(owner_host_mode(S_IFREG | 07777, false), 0777);
	assert_int_equal(owner_host_mode(0, false), 0600);
	assert_int_equal(owner_host_mode(0, true), 0700);
	assert_int_equal(owner_host_mode(0444, false), 0644);
	assert_int_equal(owner_host_mode(02050, true), 0750);
}

/* ---- what is shown ---- */

static void test_show_mapped(void **state)
{
	struct fs_test *t = *state;

	fs_test_file(t, "own", "x", 0640);
	check_attr(t, fs_node(&t->rig, "own"), t->share.guest_uid, t->share.guest_gid, 0640);
	check_attr(t, FUSE_ROOT_ID, t->share.guest_uid, t->share.guest_gid, 0755);
}

static void test_show_others(void **state)
{
	struct fs_test *t = *state;
	const uid_t euid = geteuid();
	const gid_t egid = getegid();

	if (getuid() != 0)
		skip();
	assert_int_equal(seteuid(0), 0);
	fs_test_file(t, "foreign", "x", 0644);
	/* One whose owner says that it is root's, with setuid: not believed. */
	put_xattr(t, "foreign", "0:0:4755");
	assert_int_equal(fchownat(t->dir, "foreign", OTHER, OTHER + 1, 0), 0);
	assert_int_equal(setegid(egid), 0);
	assert_int_equal(seteuid(euid), 0);
	check_attr(t, fs_node(&t->rig, "foreign"), OTHER, OTHER + 1, 0644);
	/* Nor can it be given away, be it by root. */
	assert_int_equal(fs_chown(&t->rig, fs_node(&t->rig, "foreign"), 5, 5), -EPERM);
	assert_int_equal(fs_chown(&t->rig, fs_node(&t->rig, "foreign"), OTHER, OTHER + 1), 0);
	assert_int_equal(fs_chmod(&t->rig, fs_node(&t->rig, "foreign"), 0600), euid == 0 ? 0 : -EPERM);
}

static void test_show_hostile_xattr(void **state)
{
	struct fs_test *t = *state;
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "f", "x", 0644);
	node = fs_node(&t->rig, "f");
	put_xattr(t, "f", "1:2:99999");
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0644);
	put_xattr(t, "f", "1:2:644 and more than thirty-two bytes of this");
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0644);
	put_xattr(t, "f", "1:2:4644");
	check_attr(t, node, 1, 2, 04644);
	/* Whoever changes the mode on the host is believed, but for the owner. */
	assert_int_equal(fchmodat(t->dir, "f", 0600, 0), 0);
	check_attr(t, node, 1, 2, 0600);
}

/* ---- chown, chmod ---- */

static void test_chown(void **state)
{
	struct fs_test *t = *state;
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "f", "x", 0644);
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_chown(&t->rig, node, 33, 44), 0);
	check_attr(t, node, 33, 44, 0644);
	check_host(t, "f", 0644);
	check_xattr(t, "f", "33:44:644");
	assert_int_equal(fs_chown(&t->rig, node, UINT32_MAX, 45), 0);
	check_attr(t, node, 33, 45, 0644);
	/* As it is without: nothing is kept. */
	assert_int_equal(fs_chown(&t->rig, node, t->share.guest_uid, t->share.guest_gid), 0);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0644);
	check_xattr(t, "f", NULL);
}

static void test_chmod(void **state)
{
	static const struct {
		uint32_t mode, host;
		bool kept;
	} cases[] = {
		{0600, 0600, false}, {0777, 0777, false}, {04755, 0755, true}, {02755, 0755, true},
		{01777, 0777, true}, {0444, 0644, true},  {0000, 0600, true},  {0644, 0644, false},
		{07000, 0600, true}, {0200, 0600, true},
	};
	struct fs_test *t = *state;
	char text[64];
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "f", "x", 0644);
	node = fs_node(&t->rig, "f");
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(fs_chmod(&t->rig, node, cases[i].mode), 0);
		check_attr(t, node, t->share.guest_uid, t->share.guest_gid, cases[i].mode);
		check_host(t, "f", cases[i].host);
		snprintf(text, sizeof(text), "%u:%u:%o", t->share.guest_uid, t->share.guest_gid,
			 cases[i].mode);
		check_xattr(t, "f", cases[i].kept ? text : NULL);
	}
}

static void test_chmod_directory(void **state)
{
	struct fs_test *t = *state;
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	assert_int_equal(mkdirat(t->dir, "d", 0755), 0);
	node = fs_node(&t->rig, "d");
	assert_int_equal(fs_chmod(&t->rig, node, 01555), 0);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 01555);
	check_host(t, "d", 0755);
	assert_int_equal(fs_chmod(&t->rig, node, 0755), 0);
	check_xattr(t, "d", NULL);
}

/* A file of the host's that its owner cannot write has no room for an xattr before its mode is changed. */
static void test_chown_read_only_file(void **state)
{
	struct fs_test *t = *state;
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "f", "x", 0444);
	node = fs_node(&t->rig, "f");
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0444);
	assert_int_equal(fs_chown(&t->rig, node, 5, 6), 0);
	check_attr(t, node, 5, 6, 0444);
	check_host(t, "f", 0644);
}

static void test_chown_kills_set_ids(void **state)
{
	struct fs_test *t = *state;
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "f", "x", 0755);
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_chmod(&t->rig, node, 06755), 0);
	assert_int_equal(fs_chown(&t->rig, node, 5, 6), 0);
	check_attr(t, node, 5, 6, 0755);
	/* Without x for the group setgid stays. */
	assert_int_equal(fs_chmod(&t->rig, node, 06745), 0);
	assert_int_equal(fs_chown(&t->rig, node, 6, 7), 0);
	check_attr(t, node, 6, 7, 02745);
}

static void test_chown_invalid(void **state)
{
	const struct fuse_setattr_in in = {.valid = FATTR_UID, .uid = UINT32_MAX};
	struct fs_test *t = *state;

	fs_test_file(t, "f", "x", 0755);
	assert_int_equal(fs_setattr(&t->rig, fs_node(&t->rig, "f"), &in, NULL), -EINVAL);
}

static void test_links_and_fifos(void **state)
{
	struct fs_test *t = *state;
	uint64_t link, fifo;

	assert_int_equal(symlinkat("nowhere", t->dir, "link"), 0);
	assert_int_equal(mkfifoat(t->dir, "fifo", 0644), 0);
	link = fs_node(&t->rig, "link");
	fifo = fs_node(&t->rig, "fifo");
	assert_int_equal(fs_chown(&t->rig, link, 5, 6), 0);
	check_attr(t, link, t->share.guest_uid, t->share.guest_gid, 0777);
	assert_int_equal(fs_chmod(&t->rig, link, 0600), -EOPNOTSUPP);
	assert_int_equal(fs_chown(&t->rig, fifo, 5, 6), 0);
	check_attr(t, fifo, t->share.guest_uid, t->share.guest_gid, 0644);
	assert_int_equal(fs_chmod(&t->rig, fifo, 04600), 0);
	check_attr(t, fifo, t->share.guest_uid, t->share.guest_gid, 0600);
	check_host(t, "fifo", 0600);
}

/* ---- what is created ---- */

static void create_as(struct fs_test *t, uint32_t uid, uint32_t gid, const char *name, uint32_t mode,
		      uint32_t host)
{
	struct fs_made made;

	fs_user(&t->rig, uid, gid);
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, name, O_RDWR, S_IFREG | mode, &made), 0);
	assert_int_equal(made.entry.attr.uid, uid);
	assert_int_equal(made.entry.attr.gid, gid);
	assert_int_equal(made.entry.attr.mode, S_IFREG | mode);
	check_attr(t, made.entry.nodeid, uid, gid, mode);
	check_host(t, name, host);
	assert_int_equal(fs_release(&t->rig, made.entry.nodeid, made.open.fh, 0, 0), 0);
}

static void test_create(void **state)
{
	struct fs_test *t = *state;

	if (!fs_test_has_xattrs(t))
		skip();
	create_as(t, t->share.guest_uid, t->share.guest_gid, "plain", 0644, 0644);
	check_xattr(t, "plain", NULL);
	create_as(t, 1000, 1001, "users", 0600, 0600);
	check_xattr(t, "users", "1000:1001:600");
	create_as(t, t->share.guest_uid, t->share.guest_gid, "read-only", 0444, 0644);
	create_as(t, t->share.guest_uid, t->share.guest_gid, "nothing", 0, 0600);
	create_as(t, 1, 2, "set", 06711, 0711);
	check_xattr(t, "set", "1:2:6711");
}

static void test_create_in_setgid(void **state)
{
	const struct fuse_mkdir_in in = {.mode = 0755};
	struct fs_test *t = *state;
	struct fuse_entry_out made_dir;
	struct fs_made made;
	uint64_t dir;

	if (!fs_test_has_xattrs(t))
		skip();
	assert_int_equal(mkdirat(t->dir, "d", 0755), 0);
	dir = fs_node(&t->rig, "d");
	assert_int_equal(fs_chown(&t->rig, dir, 5, 6), 0);
	assert_int_equal(fs_chmod(&t->rig, dir, 02775), 0);
	fs_user(&t->rig, 7, 8);
	assert_int_equal(fs_create(&t->rig, dir, "f", O_RDWR, S_IFREG | 0644, &made), 0);
	check_attr(t, made.entry.nodeid, 7, 6, 0644);
	assert_int_equal(
		fs_rig_call(&t->rig, FUSE_MKDIR, dir, &in, sizeof(in), "sub", 4, &made_dir, sizeof(made_dir)),
		sizeof(made_dir));
	check_attr(t, made_dir.nodeid, 7, 6, 02755);
	check_host(t, "d/sub", 0755);
}

/* A file system without user xattrs: what archives want succeeds, and the host has what it can have. */
static void test_without_xattrs(void **state)
{
	const struct file_share share = {.uid = 0, .gid = 0};
	struct fs_test *t = *state, *plain;
	struct fs_made made;
	char path[120];

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		skip();
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	snprintf(path, sizeof(path), "%s/ramfs", t->path);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(mount("none", path, "ramfs", 0, NULL), 0);
	plain = calloc(1, sizeof(*plain));
	assert_non_null(plain);
	snprintf(plain->path, sizeof(plain->path), "%.60s/ramfs", t->path);
	plain->share = share;
	plain->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	plain->share.root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_false(fs_test_has_xattrs(plain));
	fs_rig_init(&plain->rig, &plain->share);
	fs_user(&plain->rig, 7, 8);
	assert_int_equal(fs_create(&plain->rig, FUSE_ROOT_ID, "f", O_RDWR, S_IFREG | 0440, &made), 0);
	check_attr(plain, made.entry.nodeid, 0, 0, 0440);
	assert_int_equal(fs_chown(&plain->rig, made.entry.nodeid, 7, 8), 0);
	check_attr(plain, made.entry.nodeid, 0, 0, 0440);
	assert_int_equal(fs_chmod(&plain->rig, made.entry.nodeid, 04751), 0);
	check_attr(plain, made.entry.nodeid, 0, 0, 0751);
	check_host(plain, "f", 0751);
	assert_int_equal(fs_setxattr(&plain->rig, made.entry.nodeid, "user.a", "x", 1, 0), -EOPNOTSUPP);
	fs_rig_finish(&plain->rig);
	close(plain->dir);
	close(plain->share.root_fd);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	free(plain);
}

static void test_kill_by_write(void **state)
{
	struct fs_test *t = *state;
	struct fuse_open_out open;
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "f", "x", 0755);
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_chmod(&t->rig, node, 04755), 0);
	assert_int_equal(fs_open(&t->rig, node, O_RDWR, &open), 0);
	assert_int_equal(fs_write(&t->rig, node, open.fh, "a", 1, 0), 1);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 04755);
	assert_int_equal(fs_write_with(&t->rig, node, open.fh, "a", 1, 0, O_RDWR, FUSE_WRITE_KILL_SUIDGID),
			 1);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0755);
	check_xattr(t, "f", NULL);
}

/* Requests that do not say whether whoever changes the contents may keep them. */
static void test_kill_by_range(void **state)
{
	struct fs_test *t = *state;
	struct fuse_open_out from, to;
	uint64_t from_node, node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "from", "xyz", 0644);
	fs_test_file(t, "f", "x", 0755);
	from_node = fs_node(&t->rig, "from");
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_open(&t->rig, from_node, O_RDONLY, &from), 0);
	assert_int_equal(fs_open(&t->rig, node, O_RDWR, &to), 0);
	assert_int_equal(fs_chmod(&t->rig, node, 06755), 0);
	assert_int_equal(fs_fallocate(&t->rig, node, to.fh, 0, 0, 100), 0);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0755);
	assert_int_equal(fs_chmod(&t->rig, node, 06755), 0);
	assert_int_equal(fs_copy(&t->rig, from_node, from.fh, 0, node, to.fh, 0, 3), 3);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0755);
	/* By a handle that cannot write nothing changes. */
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &to), 0);
	assert_int_equal(fs_chmod(&t->rig, node, 06755), 0);
	assert_int_equal(fs_fallocate(&t->rig, node, to.fh, 0, 0, 100), -EBADF);
	assert_int_equal(fs_copy(&t->rig, from_node, from.fh, 0, node, to.fh, 0, 3), -EBADF);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 06755);
}

/* A truncation that takes the bits along. */
static void test_kill_by_setattr(void **state)
{
	const struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_KILL_SUIDGID, .size = 0};
	struct fs_test *t = *state;
	uint64_t node;

	if (!fs_test_has_xattrs(t))
		skip();
	fs_test_file(t, "f", "x", 0755);
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_chmod(&t->rig, node, 06755), 0);
	assert_int_equal(fs_setattr(&t->rig, node, &in, NULL), 0);
	check_attr(t, node, t->share.guest_uid, t->share.guest_gid, 0755);
}

#define CASE(f)                              \
	{                                    \
#f, f, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(test_show_mapped),
		CASE(test_show_others),
		CASE(test_show_hostile_xattr),
		CASE(test_chown),
		CASE(test_chmod),
		CASE(test_chmod_directory),
		CASE(test_chown_read_only_file),
		CASE(test_chown_invalid),
		CASE(test_chown_kills_set_ids),
		CASE(test_links_and_fifos),
		CASE(test_create),
		CASE(test_kill_by_write),
		CASE(test_kill_by_range),
		CASE(test_kill_by_setattr),
		CASE(test_create_in_setgid),
	};
	static const struct {
		const char *name;
		const struct who *who;
	} whos[] = {{"root", &root}, {"user", &user}, {"mapped", &mapped}};
	struct who self = {getuid(), getgid(), 0, 0},
		   self_mapped = {getuid(), getgid(), GUEST_USER, GUEST_GROUP};
	struct CMUnitTest tests[ARRAY_SIZE(cases) * ARRAY_SIZE(whos) + 3];
	static char names[ARRAY_SIZE(tests)][64];
	size_t n = 0;

	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_parse);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_host_mode);
	tests[n] = (struct CMUnitTest)CASE(test_without_xattrs);
	tests[n++].initial_state = getuid() == 0 ? (void *)(uintptr_t)&root : &self;
	for (size_t w = 0; w < ARRAY_SIZE(whos); w++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++, n++) {
			tests[n] = cases[i];
			snprintf(names[n], sizeof(names[n]), "%s as %s", cases[i].name, whos[w].name);
			tests[n].name = names[n];
			/* Without privileges, all are who we are. */
			tests[n].initial_state = (void *)(uintptr_t)(getuid() == 0            ? whos[w].who
								     : whos[w].who == &mapped ? &self_mapped
											      : &self);
		}
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
