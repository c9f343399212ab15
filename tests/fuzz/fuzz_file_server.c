/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the file server as a guest: the input is a program of FUSE requests, honest and not, on a small
 * directory, in which somebody on the host swaps a directory for a symbolic link now and then. Beside the
 * directory is a secret. It aborts when bytes of the secret come in an answer, when the secret or its
 * surroundings change, when an answer is not well-formed, or when a descriptor is left.
 *
 * The first byte chooses the kind of share. A step is a byte and its arguments as they come; what the input
 * lacks reads as 0.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.h"
#include "hull/util.h"
#include "leaks.h"

enum {
	MAX_STEPS = 64,
	MAX_BODY = 128,
	OUT = 8192,
	KNOWN = 8,            /* nodes and handles that are remembered */
	FILE_LIMIT = 1 << 20, /* bytes of a file: the host's disk is not filled */

	/* Bits of the first byte. */
	PLAY_READ_ONLY = 1,
	PLAY_CACHE_SHIFT = 1, /* two bits */
	PLAY_MAPPED = 8,
};

#define SECRET "zQ7-what-no-guest-may-see-9Xk"

struct fuzz {
	struct fs_test t;
	struct fuzz_input in;
	uint64_t nodes[KNOWN], fhs[KNOWN];
	unsigned node_count, fh_count;
	uint8_t out[OUT];
};

static const uint32_t opcodes[] = {
	FUSE_LOOKUP,          FUSE_FORGET,      FUSE_GETATTR,     FUSE_SETATTR,   FUSE_READLINK,
	FUSE_SYMLINK,         FUSE_MKNOD,       FUSE_MKDIR,       FUSE_UNLINK,    FUSE_RMDIR,
	FUSE_RENAME,          FUSE_LINK,        FUSE_OPEN,        FUSE_READ,      FUSE_WRITE,
	FUSE_STATFS,          FUSE_RELEASE,     FUSE_FSYNC,       FUSE_SETXATTR,  FUSE_GETXATTR,
	FUSE_LISTXATTR,       FUSE_REMOVEXATTR, FUSE_FLUSH,       FUSE_INIT,      FUSE_OPENDIR,
	FUSE_READDIR,         FUSE_RELEASEDIR,  FUSE_FSYNCDIR,    FUSE_GETLK,     FUSE_SETLK,
	FUSE_SETLKW,          FUSE_ACCESS,      FUSE_CREATE,      FUSE_INTERRUPT, FUSE_DESTROY,
	FUSE_BATCH_FORGET,    FUSE_FALLOCATE,   FUSE_READDIRPLUS, FUSE_RENAME2,   FUSE_LSEEK,
	FUSE_COPY_FILE_RANGE, FUSE_SYNCFS,      FUSE_TMPFILE,     FUSE_IOCTL,
};

/* The bytes of each request's struct, before names and data. */
static const struct {
	uint32_t opcode;
	size_t len;
	int fh;    /* where a handle is in it; -1: nowhere */
	int node;  /* ... a node */
	int names; /* that follow */
} shapes[] = {
	{FUSE_LOOKUP, 0, -1, -1, 1},
	{FUSE_FORGET, sizeof(struct fuse_forget_in), -1, -1, 0},
	{FUSE_GETATTR, sizeof(struct fuse_getattr_in), 8, -1, 0},
	{FUSE_SETATTR, sizeof(struct fuse_setattr_in), 8, -1, 0},
	{FUSE_READLINK, 0, -1, -1, 0},
	{FUSE_SYMLINK, 0, -1, -1, 2},
	{FUSE_MKNOD, sizeof(struct fuse_mknod_in), -1, -1, 1},
	{FUSE_MKDIR, sizeof(struct fuse_mkdir_in), -1, -1, 1},
	{FUSE_UNLINK, 0, -1, -1, 1},
	{FUSE_RMDIR, 0, -1, -1, 1},
	{FUSE_RENAME, sizeof(struct fuse_rename_in), -1, 0, 2},
	{FUSE_RENAME2, sizeof(struct fuse_rename2_in), -1, 0, 2},
	{FUSE_LINK, sizeof(struct fuse_link_in), -1, 0, 1},
	{FUSE_OPEN, sizeof(struct fuse_open_in), -1, -1, 0},
	{FUSE_OPENDIR, sizeof(struct fuse_open_in), -1, -1, 0},
	{FUSE_READ, sizeof(struct fuse_read_in), 0, -1, 0},
	{FUSE_READDIR, sizeof(struct fuse_read_in), 0, -1, 0},
	{FUSE_READDIRPLUS, sizeof(struct fuse_read_in), 0, -1, 0},
	{FUSE_WRITE, sizeof(struct fuse_write_in), 0, -1, 0},
	{FUSE_RELEASE, sizeof(struct fuse_release_in), 0, -1, 0},
	{FUSE_RELEASEDIR, sizeof(struct fuse_release_in), 0, -1, 0},
	{FUSE_FSYNC, sizeof(struct fuse_fsync_in), 0, -1, 0},
	{FUSE_FSYNCDIR, sizeof(struct fuse_fsync_in), 0, -1, 0},
	{FUSE_FLUSH, sizeof(struct fuse_flush_in), 0, -1, 0},
	{FUSE_SETXATTR, FUSE_COMPAT_SETXATTR_IN_SIZE, -1, -1, 1},
	{FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), -1, -1, 1},
	{FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in), -1, -1, 0},
	{FUSE_REMOVEXATTR, 0, -1, -1, 1},
	{FUSE_GETLK, sizeof(struct fuse_lk_in), 0, -1, 0},
	{FUSE_SETLK, sizeof(struct fuse_lk_in), 0, -1, 0},
	{FUSE_SETLKW, sizeof(struct fuse_lk_in), 0, -1, 0},
	{FUSE_ACCESS, sizeof(struct fuse_access_in), -1, -1, 0},
	{FUSE_CREATE, sizeof(struct fuse_create_in), -1, -1, 1},
	{FUSE_TMPFILE, sizeof(struct fuse_create_in), -1, -1, 1},
	{FUSE_INTERRUPT, sizeof(struct fuse_interrupt_in), -1, -1, 0},
	{FUSE_BATCH_FORGET, 8 + 2 * sizeof(struct fuse_forget_one), -1, 8, 0},
	{FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), 0, -1, 0},
	{FUSE_LSEEK, sizeof(struct fuse_lseek_in), 0, -1, 0},
	{FUSE_COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in), 0, 16, 0},
	{FUSE_INIT, sizeof(struct fuse_init_in), -1, -1, 0},
};

static void check_that(bool ok)
{
	if (!ok)
		abort();
}

/* ---- the directory and the secret ---- */

static void make_tree(struct fs_test *t)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/secret", t->top);
	fs_test_file(t, "f", "some bytes of a file", 0644);
	fs_test_file(t, "../secret", SECRET, 0600);
	check_that(mkdirat(t->dir, "d", 0755) == 0 && mkdirat(t->dir, "d/e", 0700) == 0);
	fs_test_file(t, "d/g", "g", 0600);
	check_that(symlinkat("../secret", t->dir, "link") == 0);
	check_that(symlinkat(path, t->dir, "absolute") == 0);
	check_that(symlinkat(t->top, t->dir, "out") == 0);
	check_that(symlinkat("..", t->dir, "swap") == 0);
	check_that(mkfifoat(t->dir, "fifo", 0666) == 0);
}

/* All that is beside the directory is as it was. */
static void check_secret(const struct fs_test *t)
{
	char buf[sizeof(SECRET) + 1];
	struct stat st;
	int fd = openat(t->dir, "../secret", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	check_that(fd >= 0 && fstat(fd, &st) == 0);
	check_that(st.st_mode == (S_IFREG | 0600) && st.st_nlink == 1 && st.st_size == sizeof(SECRET) - 1);
	check_that(read(fd, buf, sizeof(buf)) == sizeof(SECRET) - 1);
	check_that(memcmp(buf, SECRET, sizeof(SECRET) - 1) == 0);
	close(fd);
	check_that(dir_entries(t->top) == 4); /* with "." and ".." */
}

static void check_answer(const struct fuzz *f, size_t len)
{
	check_that(len <= OUT && !memmem(f->out, len, SECRET, sizeof(SECRET) - 1));
}

/* ---- requests ---- */

static uint64_t take_known(struct fuzz *f, const uint64_t *known, unsigned count)
{
	const unsigned i = fuzz_u8(&f->in);

	if (i >= 0xf8)
		return (uint64_t)fuzz_u32(&f->in) << 32 | fuzz_u32(&f->in);
	return count ? known[i % (count < KNOWN ? count : KNOWN)] : FUSE_ROOT_ID;
}

static uint64_t take_node(struct fuzz *f)
{
	return take_known(f, f->nodes, f->node_count);
}

/* Appends a name, honest or not, and its NUL, mostly. */
static size_t take_name(struct fuzz *f, uint8_t *to, size_t cap)
{
	static const char *const names[] = {
		"f",
		"d",
		"link",
		"absolute",
		"out",
		"swap",
		"fifo",
		"g",
		"e",
		"new",
		"..",
		".",
		"../secret",
		"secret",
		"/",
		"out/secret",
		"user.a",
		"d/g",
		"",
		"user.hull.owner",
		"security.capability",
		"/etc/passwd",
		"new2",
		"d/../../secret",
	};
	const unsigned i = fuzz_u8(&f->in);
	size_t len;

	if (i >= 0xf0) {
		len = fuzz_u8(&f->in) % cap;
		fuzz_bytes(&f->in, to, len);
		return len;
	}
	len = strlen(names[i % ARRAY_SIZE(names)]) + 1;
	check_that(len <= cap);
	memcpy(to, names[i % ARRAY_SIZE(names)], len);
	return len;
}

static void remember(struct fuzz *f, uint32_t opcode, size_t len)
{
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	const bool opened = opcode == FUSE_OPEN || opcode == FUSE_OPENDIR;

	if (!opened && len >= sizeof(entry) && opcode != FUSE_READ && opcode != FUSE_READDIR &&
	    opcode != FUSE_GETATTR && opcode != FUSE_SETATTR) {
		memcpy(&entry, f->out, sizeof(entry));
		if (entry.nodeid != 0) /* 0: there is none, and that holds for a while */
			f->nodes[f->node_count++ % KNOWN] = entry.nodeid;
	}
	if (opened || (len == sizeof(entry) + sizeof(open))) {
		if (len < sizeof(open))
			return;
		memcpy(&open, f->out + len - sizeof(open), sizeof(open));
		f->fhs[f->fh_count++ % KNOWN] = open.fh;
	}
}

/* One that waits for a lock is interrupted. */
static void send_request(struct fuzz *f, uint32_t opcode, uint64_t node, const uint8_t *body, size_t len,
			 const uint8_t *more, size_t more_len)
{
	const bool no_answer =
		opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
	struct fuse_interrupt_in interrupt;
	size_t room = OUT;
	unsigned slot;
	ssize_t n;

	if (opcode == FUSE_SETLKW || fuzz_u8(&f->in) == 0xff)
		room = fuzz_u8(&f->in);
	slot = fs_rig_begin(&f->t.rig, 1, opcode, node, body, len, more, more_len, room);
	if (no_answer) {
		fs_rig_wait_slot(&f->t.rig, slot);
		return;
	}
	if (opcode == FUSE_SETLKW) {
		interrupt = (struct fuse_interrupt_in){.unique = f->t.rig.uniques[slot]};
		fs_interrupt(&f->t.rig, &interrupt);
	}
	n = fs_rig_end(&f->t.rig, slot, f->out, room);
	if (n <= 0)
		return;
	check_answer(f, (size_t)n);
	remember(f, opcode, (size_t)n);
}

/* A request whose struct has its length, more often than not. */
static void request_step(struct fuzz *f)
{
	const uint32_t opcode = opcodes[fuzz_u8(&f->in) % ARRAY_SIZE(opcodes)];
	uint8_t body[MAX_BODY] = {0}, more[600];
	const uint64_t node = take_node(f);
	size_t len = 0, more_len = 0;
	unsigned odd;
	uint64_t val;

	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		if (shapes[i].opcode != opcode)
			continue;
		len = shapes[i].len;
		fuzz_bytes(&f->in, body, len);
		if (shapes[i].fh >= 0) {
			val = take_known(f, f->fhs, f->fh_count);
			memcpy(body + shapes[i].fh, &val, sizeof(val));
		}
		if (shapes[i].node >= 0) {
			val = take_node(f);
			memcpy(body + shapes[i].node, &val, sizeof(val));
		}
		for (int n = 0; n < shapes[i].names; n++)
			more_len += take_name(f, more + more_len, 256);
	}
	if (opcode == FUSE_COPY_FILE_RANGE) {
		val = take_known(f, f->fhs, f->fh_count);
		memcpy(body + 24, &val, sizeof(val));
	}
	odd = fuzz_u8(&f->in);
	if (odd >= 0xf8)
		len = odd % (MAX_BODY - 1);
	if (opcode == FUSE_WRITE || opcode == FUSE_SETXATTR) {
		odd = fuzz_u8(&f->in) % 64;
		fuzz_bytes(&f->in, more + more_len, odd);
		more_len += odd;
	}
	f->t.rig.uid = fuzz_u8(&f->in) % 4;
	f->t.rig.gid = f->t.rig.uid;
	send_request(f, opcode, node, body, len, more, more_len);
}

/* Any bytes in place of a request. */
static void bytes_step(struct fuzz *f)
{
	uint8_t bytes[200];
	const size_t len = 1 + fuzz_u8(&f->in) % sizeof(bytes);
	const uint32_t wait = FUSE_SETLKW, no_wait = FUSE_SETLK;
	const unsigned how = fuzz_u8(&f->in);
	const size_t room = how & 2 ? how : 256;
	uint32_t n;

	memset(bytes, 0, sizeof(bytes));
	fuzz_bytes(&f->in, bytes, len);
	if (how & 4)
		store_le32(bytes, (uint32_t)len);
	if (load_le32(bytes + 4) == wait)
		store_le32(bytes + 4, no_wait);
	n = fs_rig_bytes(&f->t.rig, how & 1, bytes, len, f->out, room);
	check_answer(f, n);
}

/* "swap" is a directory, or the link that leads out of everything. */
static void host_step(struct fuzz *f)
{
	const int dir = f->t.dir;

	switch (fuzz_u8(&f->in) % 4) {
	case 0:
		(void)renameat2(dir, "swap", dir, "d", RENAME_EXCHANGE);
		break;
	case 1:
		(void)renameat2(dir, "link", dir, "f", RENAME_EXCHANGE);
		break;
	case 2:
		(void)renameat2(dir, "absolute", dir, "new", RENAME_EXCHANGE);
		break;
	default:
		(void)!symlinkat("../secret", dir, "new");
		break;
	}
}

/* The guest starts again. */
static void reset_step(struct fuzz *f)
{
	struct fs_ring ring;

	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_stop(&f->t.rig, q, &ring);
	fs_rig_reset(&f->t.rig);
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_start(&f->t.rig, q, true);
	check_that(fs_rig_session(&f->t.rig) == 0);
}

static void one_step(struct fuzz *f)
{
	switch (fuzz_u8(&f->in) % 16) {
	case 0:
		bytes_step(f);
		break;
	case 1:
	case 2:
		host_step(f);
		break;
	case 3:
		reset_step(f);
		break;
	default:
		request_step(f);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rlimit limit = {FILE_LIMIT, RLIM_INFINITY};
	struct rlimit had;
	struct file_share share = {.uid = getuid(), .gid = getgid()};
	struct fuzz *f = calloc(1, sizeof(*f));
	const unsigned fds = open_fds();
	unsigned play;

	check_that(f != NULL);
	f->in = (struct fuzz_input){data, size};
	play = fuzz_u8(&f->in);
	share.read_only = play & PLAY_READ_ONLY;
	share.cache = (enum file_cache)((play >> PLAY_CACHE_SHIFT & 3) % 3);
	share.guest_uid = share.guest_gid = play & PLAY_MAPPED ? 1 : 0;
	check_that(getrlimit(RLIMIT_FSIZE, &had) == 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	fs_test_begin(&f->t, &share, 0, 0);
	check_that(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	make_tree(&f->t);
	f->nodes[f->node_count++] = FUSE_ROOT_ID;
	for (unsigned i = 0; i < MAX_STEPS && f->in.left; i++)
		one_step(f);
	check_secret(&f->t);
	check_that(setrlimit(RLIMIT_FSIZE, &had) == 0);
	fs_test_end(&f->t);
	free(f);
	check_that(open_fds() == fds);
	return 0;
}
