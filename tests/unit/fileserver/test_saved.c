/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions that are saved, and go on with another server over the same memory and directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_calls.h"
#include "hull/util.h"
#include "leaks.h"
#include "saved.h"

enum { OWNER_A = 0xaaaa, OWNER_B = 0xbbbb, FILES = 200 };

static int setup(void **state)
{
	const struct file_share share = {.uid = getuid(), .gid = getgid()};
	struct fs_test *t = malloc(sizeof(*t));

	assert_non_null(t);
	fs_test_begin(t, &share, 0, 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fs_test *t = *state;

	fs_test_end(t);
	assert_int_equal(t->rig.result, 0);
	free(t);
	return 0;
}

/* The session goes on in a new server. */
static struct fs_state move(struct fs_test *t)
{
	struct fs_rig_saved saved;
	struct fs_state lost;

	fs_rig_save(&t->rig, &saved);
	if (fs_rig_load(&t->rig, &saved, &lost) != 0)
		fail_msg("%s", lost.text);
	fs_rig_go_on(&t->rig, &saved);
	fs_rig_saved_free(&saved);
	return lost;
}

static uint64_t look(struct fs_test *t, uint64_t dir, const char *name)
{
	struct fuse_entry_out entry;

	assert_int_equal(fs_lookup(&t->rig, dir, name, &entry), 0);
	return entry.nodeid;
}

static uint64_t open_file(struct fs_test *t, uint64_t node, uint32_t flags)
{
	struct fuse_open_out open;

	assert_int_equal(fs_open(&t->rig, node, flags, &open), 0);
	return open.fh;
}

static int attr(struct fs_test *t, uint64_t node)
{
	struct fuse_attr a;

	return fs_getattr(&t->rig, node, &a);
}

static void assert_lost(const struct fs_state *lost, unsigned handles, unsigned locks)
{
	assert_int_equal(lost->handles, handles);
	assert_int_equal(lost->locks, locks);
	assert_int_equal(lost->other_root, 0);
}

/* ---- files ---- */

static void test_files(void **state)
{
	struct fs_test *t = *state;
	struct fs_state lost;
	char buf[16];
	uint64_t f, fh, only_read, d, g;

	fs_test_file(t, "f", "0123456789", 0644);
	assert_int_equal(mkdirat(t->dir, "d", 0755) | mkdirat(t->dir, "d/e", 0755), 0);
	fs_test_file(t, "d/e/g", "deep", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	fh = open_file(t, f, O_RDWR);
	only_read = open_file(t, f, O_RDONLY);
	d = look(t, FUSE_ROOT_ID, "d");
	g = look(t, look(t, d, "e"), "g");
	assert_int_equal(fs_read(&t->rig, f, fh, buf, 5, 0), 5);
	for (unsigned i = 0; i < 3; i++) {
		lost = move(t);
		assert_lost(&lost, 0, 0);
		assert_int_equal(fs_read(&t->rig, f, fh, buf, 5, 5), 5);
		assert_memory_equal(buf, i ? "56xyz" : "56789", 5);
		assert_int_equal(fs_write(&t->rig, f, fh, "xyz", 3, 7), 3);
		assert_int_equal(fs_write(&t->rig, f, only_read, "xyz", 3, 7), -EBADF);
		assert_int_equal(attr(t, g), 0);
		/* The same nodes, which may not change under the feet of who is in there. */
		assert_int_equal(look(t, FUSE_ROOT_ID, "f"), f);
		assert_int_equal(look(t, FUSE_ROOT_ID, "d"), d);
		assert_int_equal(look(t, look(t, d, "e"), "g"), g);
	}
	assert_int_equal(fs_release(&t->rig, f, fh, 0, 0), 0);
	assert_int_equal(fs_read(&t->rig, f, fh, buf, 5, 5), -EBADF);
}

/* The one that was saved goes on as if nothing had been. */
static void test_original(void **state)
{
	struct fs_test *t = *state;
	struct fs_rig_saved saved;
	unsigned fds;
	uint64_t f, fh;
	char buf[4];

	fs_test_file(t, "f", "abcd", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	fh = open_file(t, f, O_RDWR);
	assert_int_equal(unlinkat(t->dir, "f", 0), 0);
	fds = open_fds();
	for (unsigned i = 0; i < 5; i++) {
		fs_rig_save(&t->rig, &saved);
		fs_rig_go_on(&t->rig, &saved);
		fs_rig_saved_free(&saved);
		assert_int_equal(fs_read(&t->rig, f, fh, buf, 4, 0), 4);
		assert_int_equal(attr(t, f), 0);
	}
	assert_int_equal(open_fds(), fds);
}

/* New nodes and handles are not old ones, whether those are there or forgotten. */
static void test_numbers(void **state)
{
	struct fs_test *t = *state;
	uint64_t nodes[6], fhs[6];
	char name[] = "a";

	for (unsigned i = 0; i < ARRAY_SIZE(nodes); i++) {
		name[0] = (char)('a' + i);
		fs_test_file(t, name, name, 0644);
		if (i == 3) {
			/* The second is forgotten, and its handle given back. */
			const struct fuse_forget_in in = {.nlookup = 1};

			assert_int_equal(fs_release(&t->rig, nodes[1], fhs[1], 0, 0), 0);
			fs_rig_wait_slot(&t->rig, fs_rig_begin(&t->rig, 0, FUSE_FORGET, nodes[1], &in,
							       sizeof(in), NULL, 0, 0));
			(void)move(t);
		}
		nodes[i] = look(t, FUSE_ROOT_ID, name);
		fhs[i] = open_file(t, nodes[i], O_RDONLY);
		for (unsigned k = 0; k < i; k++)
			assert_true(nodes[k] != nodes[i] && fhs[k] != fhs[i]);
	}
	assert_int_equal(attr(t, nodes[1]), -ESTALE);
	assert_int_equal(attr(t, nodes[0]), 0);
}

/* Renames of the guest's after it looked things up, and of the host's of what is open. */
static void test_renamed(void **state)
{
	struct fs_test *t = *state;
	const struct fuse_rename_in in = {.newdir = FUSE_ROOT_ID};
	static const char names[] = "d\0moved";
	uint64_t d, f, g, h, fh;
	struct fs_state lost;
	char buf[8];

	assert_int_equal(mkdirat(t->dir, "d", 0755), 0);
	fs_test_file(t, "d/f", "in d", 0644);
	fs_test_file(t, "g", "of g", 0644);
	fs_test_file(t, "h", "of h", 0644);
	d = look(t, FUSE_ROOT_ID, "d");
	f = look(t, d, "f");
	g = look(t, FUSE_ROOT_ID, "g");
	h = look(t, FUSE_ROOT_ID, "h");
	fh = open_file(t, g, O_RDONLY);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_RENAME, FUSE_ROOT_ID, &in, sizeof(in), names,
				     sizeof(names), NULL, 0),
			 0);
	assert_int_equal(renameat(t->dir, "g", t->dir, "moved/elsewhere"), 0);
	assert_int_equal(renameat(t->dir, "h", t->dir, "moved/away"), 0);
	lost = move(t);
	assert_lost(&lost, 0, 0);
	assert_int_equal(fs_read(&t->rig, g, fh, buf, 4, 0), 4);
	assert_memory_equal(buf, "of g", 4);
	assert_int_equal(attr(t, f), 0);
	assert_int_equal(look(t, FUSE_ROOT_ID, "moved"), d);
	/* What was not open is found again by its names alone, until somebody looks it up. */
	assert_int_equal(attr(t, h), -ESTALE);
	assert_int_equal(look(t, d, "away"), h);
	assert_int_equal(attr(t, h), 0);
	/* Once more, with a path. */
	lost = move(t);
	assert_lost(&lost, 0, 0);
	assert_int_equal(fs_read(&t->rig, g, fh, buf, 4, 0), 4);
}

/* Gone, or another file by now: stale, and nothing else suffers. */
static void test_gone(void **state)
{
	struct fs_test *t = *state;
	uint64_t a, b, c, d, open_c, open_d, keep;
	struct fs_rig_saved saved;
	struct fs_state lost;
	char buf[4];

	for (const char *name = "abcdk"; *name; name++)
		fs_test_file(t, (char[]){*name, '\0'}, "text", 0644);
	a = look(t, FUSE_ROOT_ID, "a");
	b = look(t, FUSE_ROOT_ID, "b");
	c = look(t, FUSE_ROOT_ID, "c");
	d = look(t, FUSE_ROOT_ID, "d");
	keep = look(t, FUSE_ROOT_ID, "k");
	open_c = open_file(t, c, O_RDWR);
	open_d = open_file(t, d, O_RDWR);
	/* By the guest, before: it has no name. */
	assert_int_equal(fs_rig_call(&t->rig, FUSE_UNLINK, FUSE_ROOT_ID, NULL, 0, "d", 2, NULL, 0), 0);
	assert_int_equal(fs_read(&t->rig, d, open_d, buf, 4, 0), 4);
	fs_rig_save(&t->rig, &saved);
	fs_test_file(t, "new", "another", 0644);
	assert_int_equal(unlinkat(t->dir, "a", 0) | unlinkat(t->dir, "c", 0), 0);
	assert_int_equal(renameat(t->dir, "new", t->dir, "b"), 0);
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), 0);
	assert_lost(&lost, 2, 0);
	fs_rig_go_on(&t->rig, &saved);
	fs_rig_saved_free(&saved);
	assert_int_equal(attr(t, a), -ESTALE);
	assert_int_equal(attr(t, b), -ESTALE);
	assert_int_equal(attr(t, c), -ESTALE);
	assert_int_equal(attr(t, keep), 0);
	assert_int_equal(fs_read(&t->rig, c, open_c, buf, 4, 0), -ESTALE);
	assert_int_equal(fs_write(&t->rig, c, open_c, "text", 4, 0), -ESTALE);
	assert_int_equal(fs_read(&t->rig, d, open_d, buf, 4, 0), -ESTALE);
	assert_true(look(t, FUSE_ROOT_ID, "b") != b);
	/* It stays so, and can be closed. */
	lost = move(t);
	assert_lost(&lost, 2, 0);
	assert_int_equal(fs_read(&t->rig, c, open_c, buf, 4, 0), -ESTALE);
	assert_int_equal(fs_release(&t->rig, c, open_c, 0, 0), 0);
	assert_int_equal(fs_release(&t->rig, c, open_c, 0, 0), -EBADF);
	lost = move(t);
	assert_lost(&lost, 1, 0);
}

/* A file of the same number that was born later is not it. */
static void test_number_used_again(void **state)
{
	struct fs_test *t = *state;
	struct fs_rig_saved saved;
	struct fs_state lost;
	struct stat before, after;
	uint64_t f;
	char name[16];

	fs_test_file(t, "f", "first", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	fs_rig_save(&t->rig, &saved);
	assert_int_equal(fstatat(t->dir, "f", &before, 0), 0);
	/* Whoever has the file open keeps its number. */
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), 0);
	assert_int_equal(unlinkat(t->dir, "f", 0), 0);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		fs_test_file(t, name, "second", 0644);
		assert_int_equal(fstatat(t->dir, name, &after, 0), 0);
		if (after.st_ino == before.st_ino)
			break;
	}
	assert_int_equal(renameat(t->dir, name, t->dir, "f"), 0);
	fs_rig_go_on(&t->rig, &saved);
	fs_rig_saved_free(&saved);
	if (after.st_ino == before.st_ino)
		print_message("a file got the number again\n");
	assert_int_equal(attr(t, f), -ESTALE);
	assert_true(look(t, FUSE_ROOT_ID, "f") != f);
	assert_int_equal(attr(t, f), -ESTALE);
}

/* A link in the place of a directory leads nowhere. */
static void test_link_in_the_way(void **state)
{
	struct fs_test *t = *state;
	struct fs_rig_saved saved;
	struct fs_state lost;
	uint64_t f, fh;
	char buf[4];

	assert_int_equal(mkdirat(t->dir, "d", 0755) | mkdirat(t->dir, "../out", 0755), 0);
	fs_test_file(t, "d/f", "text", 0644);
	f = look(t, look(t, FUSE_ROOT_ID, "d"), "f");
	fh = open_file(t, f, O_RDWR);
	fs_rig_save(&t->rig, &saved);
	assert_int_equal(renameat(t->dir, "d/f", t->dir, "../out/f"), 0);
	assert_int_equal(unlinkat(t->dir, "d", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("../out", t->dir, "d"), 0);
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), 0);
	assert_lost(&lost, 1, 0);
	fs_rig_go_on(&t->rig, &saved);
	fs_rig_saved_free(&saved);
	assert_int_equal(attr(t, f), -ESTALE);
	assert_int_equal(fs_read(&t->rig, f, fh, buf, 4, 0), -ESTALE);
}

/* Another directory in the share's place: the guest finds its way by names. */
static void test_other_root(void **state)
{
	struct fs_test *t = *state;
	const int root = t->rig.share.root_fd;
	struct fs_rig_saved saved;
	struct fs_state lost;
	uint64_t f;

	fs_test_file(t, "f", "text", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	fs_rig_save(&t->rig, &saved);
	assert_int_equal(mkdirat(t->dir, "other", 0755), 0);
	fs_test_file(t, "other/f", "other text", 0644);
	t->rig.share.root_fd = openat(t->dir, "other", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), 0);
	assert_int_equal(lost.other_root, 1);
	fs_rig_go_on(&t->rig, &saved);
	fs_rig_saved_free(&saved);
	assert_int_equal(attr(t, f), -ESTALE);
	assert_true(look(t, FUSE_ROOT_ID, "f") != f);
	close(t->rig.share.root_fd);
	t->rig.share.root_fd = root;
}

/* ---- directories ---- */

/* Reads some of a directory from `off`: notes which of FILES were seen. Returns the next offset, 0: the end.
 */
static uint64_t read_some(struct fs_test *t, uint64_t node, uint64_t fh, uint64_t off, uint8_t *seen)
{
	const struct fuse_read_in in = {.fh = fh, .offset = off, .size = 600};
	uint8_t out[600];
	ssize_t n = fs_rig_call(&t->rig, FUSE_READDIR, node, &in, sizeof(in), NULL, 0, out, sizeof(out));
	struct fuse_dirent e;

	assert_true(n >= 0);
	off = 0;
	for (size_t at = 0; at < (size_t)n; at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + e.namelen)) {
		memcpy(&e, out + at, FUSE_NAME_OFFSET);
		off = e.off;
		if (e.namelen > 1 && out[at + FUSE_NAME_OFFSET] == 'f')
			seen[atoi((const char *)out + at + FUSE_NAME_OFFSET + 1)]++;
	}
	return off;
}

static void test_half_read(void **state)
{
	struct fs_test *t = *state;
	const struct fuse_open_in in = {0};
	struct fuse_open_out open;
	uint8_t seen[1000] = {0};
	uint64_t d, off = 0;
	unsigned rounds = 0;
	char name[16];

	assert_int_equal(mkdirat(t->dir, "d", 0755), 0);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "d/f%03u", i);
		fs_test_file(t, name, "", 0644);
	}
	d = look(t, FUSE_ROOT_ID, "d");
	assert_int_equal(fs_rig_call(&t->rig, FUSE_OPENDIR, d, &in, sizeof(in), NULL, 0, &open, sizeof(open)),
			 sizeof(open));
	do {
		off = read_some(t, d, open.fh, off, seen);
		if (rounds++ % 4 == 1)
			(void)move(t);
	} while (off != 0);
	assert_true(rounds > 8);
	for (unsigned i = 0; i < FILES; i++)
		assert_int_equal(seen[i], 1);
}

/* ---- locks ---- */

static int set_lock(struct fs_test *t, uint64_t node, uint64_t fh, uint64_t owner, uint32_t type,
		    uint64_t start, uint64_t end)
{
	const struct fuse_lk_in in = {
		.fh = fh, .owner = owner, .lk = {.start = start, .end = end, .type = type}};

	return (int)fs_rig_call(&t->rig, FUSE_SETLK, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

static int set_flock(struct fs_test *t, uint64_t node, uint64_t fh, uint32_t type)
{
	const struct fuse_lk_in in = {.fh = fh, .lk_flags = FUSE_LK_FLOCK, .lk = {.type = type}};

	return (int)fs_rig_call(&t->rig, FUSE_SETLK, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

/* What somebody on the host is told: whether the byte is locked, for whom who wants to write. */
static bool host_sees(const struct fs_test *t, uint64_t at)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
	int fd = openat(t->dir, "f", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_GETLK, &lk), 0);
	close(fd);
	return lk.l_type != F_UNLCK;
}

static void test_locks(void **state)
{
	/* The bytes of the guest's two owners, after all that is done to them below. */
	static const char map[] = "AAA.aaaaBBBB.AA...";
	struct fs_test *t = *state;
	struct fs_state lost;
	uint64_t f, fh, other;
	int fd;

	fs_test_file(t, "f", "0123456789", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	fh = open_file(t, f, O_RDWR);
	other = open_file(t, f, O_RDWR);
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_WRLCK, 0, 16), 0);
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_UNLCK, 3, 3), 0);
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_RDLCK, 4, 9), 0);
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_UNLCK, 8, 12), 0);
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_UNLCK, 15, INT64_MAX), 0);
	assert_int_equal(set_lock(t, f, other, OWNER_B, F_WRLCK, 8, 11), 0);
	assert_int_equal(set_flock(t, f, fh, F_RDLCK), 0);
	for (unsigned i = 0; i < 2; i++) {
		lost = move(t);
		assert_lost(&lost, 0, 0);
		for (unsigned at = 0; at < sizeof(map) - 1; at++) {
			const char c = map[at];

			assert_int_equal(host_sees(t, at), c != '.');
			assert_int_equal(set_lock(t, f, other, 3, F_RDLCK, at, at),
					 c == '.' || c == 'a' ? 0 : -EAGAIN);
			assert_int_equal(set_lock(t, f, other, 3, F_UNLCK, at, at), 0);
		}
		fd = openat(t->dir, "f", O_RDWR | O_CLOEXEC);
		assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
		assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
		close(fd);
	}
	/* They go with who has them. */
	assert_int_equal(fs_flush(&t->rig, f, fh, OWNER_A), 0);
	assert_false(host_sees(t, 0));
	assert_true(host_sees(t, 8));
}

/* Locks that somebody else has by then: who had them is told by errors, others are not. */
static void test_lost_locks(void **state)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
	struct fs_test *t = *state;
	struct fs_rig_saved saved;
	struct fs_state lost;
	uint64_t f, writer, reader, g, flocked, other;
	int fd, fd_g;
	char buf[4];

	fs_test_file(t, "f", "0123456789", 0644);
	fs_test_file(t, "g", "0123456789", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	g = look(t, FUSE_ROOT_ID, "g");
	writer = open_file(t, f, O_RDWR);
	reader = open_file(t, f, O_RDONLY);
	flocked = open_file(t, g, O_RDWR);
	other = open_file(t, g, O_RDWR);
	assert_int_equal(set_lock(t, f, writer, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(set_flock(t, g, flocked, F_WRLCK), 0);
	fs_rig_save(&t->rig, &saved);
	/* As if the machine that was saved had ended, and somebody else had come. */
	fs_rig_finish_server(&t->rig);
	fd = openat(t->dir, "f", O_RDWR | O_CLOEXEC);
	fd_g = openat(t->dir, "g", O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lk), 0);
	assert_int_equal(flock(fd_g, LOCK_SH | LOCK_NB), 0);
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), 0);
	assert_lost(&lost, 2, 2);
	fs_rig_go_on(&t->rig, &saved);
	fs_rig_saved_free(&saved);
	assert_int_equal(fs_write(&t->rig, f, writer, "x", 1, 0), -EIO);
	assert_int_equal(fs_read(&t->rig, f, reader, buf, 1, 0), 1);
	assert_int_equal(fs_read(&t->rig, g, flocked, buf, 1, 0), -EIO);
	assert_int_equal(set_flock(t, g, flocked, F_WRLCK), -EIO);
	assert_int_equal(fs_write(&t->rig, g, other, "x", 1, 0), 1);
	/* Nothing is left of it. */
	close(fd);
	close(fd_g);
	assert_false(host_sees(t, 0));
	assert_int_equal(fs_release(&t->rig, g, flocked, FUSE_RELEASE_FLOCK_UNLOCK, 0), 0);
}

/* A request that waits for a lock waits on in the other server, and gets it. */
static void test_waiting(void **state)
{
	struct fs_test *t = *state;
	struct fuse_interrupt_in interrupt;
	struct fuse_lk_in in = {.owner = OWNER_B, .lk = {.start = 5, .end = 5, .type = F_WRLCK}};
	uint64_t f, fh;
	unsigned slots[2];
	int result;

	fs_test_file(t, "f", "0123456789", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	in.fh = fh = open_file(t, f, O_RDWR);
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_WRLCK, 0, 9), 0);
	slots[0] = fs_rig_begin(&t->rig, 1, FUSE_SETLKW, f, &in, sizeof(in), NULL, 0, 0);
	in.owner++;
	slots[1] = fs_rig_begin(&t->rig, 1, FUSE_SETLKW, f, &in, sizeof(in), NULL, 0, 0);
	assert_int_equal(attr(t, f), 0);
	for (unsigned i = 0; i < 2; i++) {
		(void)move(t);
		assert_false(fs_wait(&t->rig, slots[0], 30, &result));
	}
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_UNLCK, 0, 9), 0);
	assert_true(fs_wait(&t->rig, slots[0], 5000, &result));
	assert_int_equal(result, 0);
	assert_int_equal(set_lock(t, f, fh, OWNER_A, F_WRLCK, 5, 5), -EAGAIN);
	interrupt = (struct fuse_interrupt_in){.unique = t->rig.uniques[slots[1]]};
	fs_interrupt(&t->rig, &interrupt);
	assert_true(fs_wait(&t->rig, slots[1], 5000, &result));
	assert_int_equal(result, -EINTR);
}

/* On a share that is read only now, nothing of the host's is locked: neither by what was, nor by who waits.
 */
static void test_read_only_locks(void **state)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 1};
	struct fs_test *t = *state;
	struct fuse_lk_in in = {.owner = OWNER_B, .lk = {.start = 20, .end = 20, .type = F_RDLCK}};
	struct fs_state lost;
	uint64_t f, flocked;
	unsigned slot;
	int fd, result;
	char buf[4];

	fs_test_file(t, "f", "0123456789", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	in.fh = open_file(t, f, O_RDONLY);
	flocked = open_file(t, f, O_RDONLY);
	assert_int_equal(set_lock(t, f, in.fh, OWNER_A, F_RDLCK, 0, 9), 0);
	assert_int_equal(set_flock(t, f, flocked, F_WRLCK), 0);
	fd = openat(t->dir, "f", O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lk), 0);
	slot = fs_rig_begin(&t->rig, 1, FUSE_SETLKW, f, &in, sizeof(in), NULL, 0, 0);
	assert_int_equal(attr(t, f), 0);
	t->rig.share.read_only = true;
	lost = move(t);
	assert_lost(&lost, 1, 2);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	assert_false(host_sees(t, 0));
	assert_true(fs_wait(&t->rig, slot, 5000, &result));
	assert_int_equal(result, -EROFS);
	assert_false(host_sees(t, 20));
	assert_int_equal(fs_read(&t->rig, f, in.fh, buf, 1, 0), 1);
	assert_int_equal(fs_read(&t->rig, f, flocked, buf, 1, 0), -EIO);
}

/* ---- hostile ---- */

/* A session with some of everything. */
static void make_session(struct fs_test *t, struct fs_rig_saved *saved)
{
	const struct fuse_open_in open_in = {0};
	struct fuse_open_out open;
	struct fuse_lk_in in = {.owner = OWNER_B, .lk = {.start = 5, .end = 5, .type = F_WRLCK}};
	uint64_t f, d;

	fs_test_file(t, "f", "0123456789", 0644);
	assert_int_equal(mkdirat(t->dir, "d", 0755), 0);
	fs_test_file(t, "d/g", "g", 0644);
	f = look(t, FUSE_ROOT_ID, "f");
	d = look(t, FUSE_ROOT_ID, "d");
	(void)look(t, d, "g");
	in.fh = open_file(t, f, O_RDWR);
	assert_int_equal(set_lock(t, f, in.fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(set_flock(t, f, in.fh, F_WRLCK), 0);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_OPENDIR, d, &open_in, sizeof(open_in), NULL, 0, &open,
				     sizeof(open)),
			 sizeof(open));
	fs_rig_begin(&t->rig, 1, FUSE_SETLKW, f, &in, sizeof(in), NULL, 0, 0);
	assert_int_equal(attr(t, f), 0);
	fs_rig_save(&t->rig, saved);
}

/* Cut anywhere it is refused, and the server is as it was: a session can begin. */
static void test_cut(void **state)
{
	struct fs_test *t = *state;
	struct fs_rig_saved saved;
	struct fs_state lost;
	uint64_t all;

	make_session(t, &saved);
	all = saved.bytes;
	for (saved.bytes = 0; saved.bytes < all; saved.bytes += saved.bytes % 16 == 7 ? 9 : 7) {
		assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), EINVAL);
		assert_true(lost.text[0] != '\0');
	}
	saved.bytes = all + 1;
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), EINVAL);
	saved.bytes = UINT64_MAX;
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), EINVAL);
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_start(&t->rig, q, true);
	memset(t->rig.busy, 0, sizeof(t->rig.busy));
	assert_int_equal(fs_rig_session(&t->rig), 0);
	fs_rig_saved_free(&saved);
}

/* Each byte altered: it is refused, or what is loaded does no harm. */
static void test_altered(void **state)
{
	static const uint8_t bits[] = {0x01, 0x80, 0xff};
	struct fs_test *t = *state;
	struct fs_rig_saved saved;
	struct fs_state lost;
	uint8_t *bytes;

	make_session(t, &saved);
	bytes = mmap(NULL, saved.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, saved.fd, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	for (uint64_t i = 0; i < saved.bytes; i++) {
		const uint8_t bit = bits[i % ARRAY_SIZE(bits)];

		bytes[i] ^= bit;
		(void)fs_rig_load(&t->rig, &saved, &lost);
		bytes[i] ^= bit;
	}
	munmap(bytes, saved.bytes);
	assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), 0);
	assert_lost(&lost, 0, 0);
	fs_rig_saved_free(&saved);
}

/* Files below the root by path, that climb, or are none. */
static void test_paths(void **state)
{
	static const char *const paths[] = {
		"../secret", "/etc/passwd", "d/../../secret", "d//g",       ".", "..",
		"",          "d/",          "d/./g",          "link/secret"};
	struct fs_test *t = *state;
	struct saved_header header = {.magic = SAVED_MAGIC,
				      .version = SAVED_VERSION,
				      .flags = SAVED_READY,
				      .devices = 1,
				      .inodes = 2,
				      .generation = 1};
	struct fs_rig_saved saved = {.fd = memfd_create("paths", MFD_CLOEXEC)};
	struct saved_inode root = {.nodeid = 1, .type = S_IFDIR >> 12}, inode = {.nodeid = 2, .lookups = 1};
	struct saved_device device = {0};
	struct fs_state lost;
	struct stat st;

	fs_test_file(t, "../secret", "secret", 0600);
	assert_int_equal(mkdirat(t->dir, "d", 0755) | symlinkat("..", t->dir, "link"), 0);
	assert_int_equal(fstatat(t->dir, "../secret", &st, 0), 0);
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_pause(&t->rig, q, &saved.rings[q]);
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		const size_t len = strlen(paths[i]);
		int r;

		inode.ino = st.st_ino;
		inode.type = S_IFREG >> 12;
		inode.parent = FUSE_ROOT_ID;
		inode.name_bytes = (uint16_t)len;
		assert_int_equal(ftruncate(saved.fd, 0) | lseek(saved.fd, 0, SEEK_SET), 0);
		assert_int_equal(write(saved.fd, &header, sizeof(header)), sizeof(header));
		assert_int_equal(write(saved.fd, &device, sizeof(device)), sizeof(device));
		assert_int_equal(write(saved.fd, &root, sizeof(root)), sizeof(root));
		assert_int_equal(write(saved.fd, &inode, sizeof(inode)), sizeof(inode));
		assert_int_equal(write(saved.fd, paths[i], len), len);
		saved.bytes = (uint64_t)lseek(saved.fd, 0, SEEK_CUR);
		r = fs_rig_load(&t->rig, &saved, &lost);
		assert_int_equal(r, strcmp(paths[i], "link/secret") == 0 ? 0 : EINVAL);
	}
	fs_rig_go_on(&t->rig, &saved);
	assert_int_equal(attr(t, 2), -ESTALE);
	assert_int_equal(unlinkat(t->dir, "../secret", 0), 0);
	fs_rig_saved_free(&saved);
}

/* Only a server that has nothing yet loads, and only one that stands still saves. */
static void test_out_of_turn(void **state)
{
	struct fs_test *t = *state;
	const struct fs_message save = {.kind = FS_SAVE};
	int fd = memfd_create("saved", MFD_CLOEXEC);

	assert_int_equal(fs_link_send(t->rig.link, &save, &fd, 1), 0);
	assert_int_equal(fs_rig_wait_end(&t->rig), -EPROTO);
	close(fd);
	t->rig.result = 0;
}

/* Also when the first session was none that has begun, or was refused: what it took is not taken twice. */
static void test_twice(void **state)
{
	struct fs_test *t = *state;
	struct fs_message load = {.kind = FS_LOAD};
	struct fs_rig_saved saved;
	struct fs_state lost;

	make_session(t, &saved);
	for (unsigned i = 0; i < 2; i++) {
		const uint32_t flags = 0;

		/* Without SAVED_READY; then with bits that are none. */
		assert_int_equal(pwrite(saved.fd, i ? "\xff\xff" : (const char *)&flags, 2,
					offsetof(struct saved_header, flags)),
				 2);
		assert_int_equal(fs_rig_load(&t->rig, &saved, &lost), i ? EINVAL : 0);
		load.state.bytes = saved.bytes;
		assert_int_equal(fs_link_send(t->rig.link, &load, &saved.fd, 1), 0);
		assert_int_equal(fs_rig_wait_end(&t->rig), -EPROTO);
		t->rig.result = 0;
	}
	fs_rig_saved_free(&saved);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_files),           CASE(test_original),    CASE(test_numbers),
		CASE(test_renamed),         CASE(test_gone),        CASE(test_number_used_again),
		CASE(test_link_in_the_way), CASE(test_other_root),  CASE(test_half_read),
		CASE(test_locks),           CASE(test_lost_locks),  CASE(test_waiting),
		CASE(test_read_only_locks), CASE(test_cut),         CASE(test_altered),
		CASE(test_paths),           CASE(test_out_of_turn), CASE(test_twice),
	};

	return cmocka_run_group_tests_name("file server: saved sessions", tests, NULL, NULL);
}
