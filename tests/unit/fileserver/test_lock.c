/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks: between owners of the guest, and between the guest and another process of the host. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_calls.h"
#include "hull/util.h"
#include "leaks.h"

enum { OWNER_A = 0xaaaa, OWNER_B = 0xbbbb };

struct locked {
	struct fs_test t;
	uint64_t node, fh;
};

static int begin(void **state, bool read_only)
{
	const struct file_share share = {.uid = getuid(), .gid = getgid(), .read_only = read_only};
	struct locked *l = malloc(sizeof(*l));
	struct fuse_open_out open;

	assert_non_null(l);
	fs_test_begin(&l->t, &share, 0, 0);
	fs_test_file(&l->t, "f", "hello", 0644);
	l->node = fs_node(&l->t.rig, "f");
	assert_int_equal(fs_open(&l->t.rig, l->node, read_only ? O_RDONLY : O_RDWR, &open), 0);
	l->fh = open.fh;
	*state = l;
	return 0;
}

static int setup(void **state)
{
	return begin(state, false);
}

static int setup_read_only(void **state)
{
	return begin(state, true);
}

static int teardown(void **state)
{
	struct locked *l = *state;

	fs_test_end(&l->t);
	free(l);
	return 0;
}

static struct fuse_lk_in lock_in(const struct locked *l, uint64_t owner, uint32_t type, uint64_t start,
				 uint64_t end)
{
	return (struct fuse_lk_in){
		.fh = l->fh, .owner = owner, .lk = {.start = start, .end = end, .type = type, .pid = 42}};
}

static int set_lock(struct locked *l, uint64_t owner, uint32_t type, uint64_t start, uint64_t end)
{
	const struct fuse_lk_in in = lock_in(l, owner, type, start, end);

	return (int)fs_rig_call(&l->t.rig, FUSE_SETLK, l->node, &in, sizeof(in), NULL, 0, NULL, 0);
}

static struct fuse_file_lock get_lock(struct locked *l, uint64_t owner, uint32_t type, uint64_t start,
				      uint64_t end)
{
	const struct fuse_lk_in in = lock_in(l, owner, type, start, end);
	struct fuse_lk_out out;

	assert_int_equal(
		fs_rig_call(&l->t.rig, FUSE_GETLK, l->node, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
		sizeof(out));
	return out.lk;
}

static int set_flock(struct locked *l, uint64_t fh, uint32_t type)
{
	struct fuse_lk_in in = lock_in(l, OWNER_A, type, 0, INT64_MAX);

	in.fh = fh;
	in.lk_flags = FUSE_LK_FLOCK;
	return (int)fs_rig_call(&l->t.rig, FUSE_SETLK, l->node, &in, sizeof(in), NULL, 0, NULL, 0);
}

/* ---- another process ---- */

struct peer {
	pid_t pid;
	int in, out;
};

/* What the peer does for a byte: its answer is 0 or an errno. */
static int peer_op(int fd, char op)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};

	switch (op) {
	case 'l':
		return fcntl(fd, F_SETLK, &lk) < 0 ? errno : 0;
	case 'u':
		lk.l_type = F_UNLCK;
		return fcntl(fd, F_SETLK, &lk) < 0 ? errno : 0;
	case 'f':
		return flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
	default:
		return flock(fd, LOCK_UN) < 0 ? errno : 0;
	}
}

static void peer_start(struct peer *p, const struct locked *l)
{
	int to[2], from[2], fd;
	char op;

	assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		close(to[1]);
		close(from[0]);
		fd = openat(l->t.dir, "f", O_RDWR);
		while (fd >= 0 && read(to[0], &op, 1) == 1) {
			op = (char)peer_op(fd, op);
			if (write(from[1], &op, 1) != 1)
				break;
		}
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	p->in = to[1];
	p->out = from[0];
}

static int peer_do(struct peer *p, char op)
{
	assert_int_equal(write(p->in, &op, 1), 1);
	assert_int_equal(read(p->out, &op, 1), 1);
	return op;
}

static void peer_end(struct peer *p)
{
	close(p->in);
	close(p->out);
	assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
}

/* ---- cases ---- */

static void test_records(void **state)
{
	struct locked *l = *state;
	struct fuse_file_lock lk;

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	assert_int_equal(set_lock(l, OWNER_B, F_WRLCK, 19, 30), -EAGAIN);
	assert_int_equal(set_lock(l, OWNER_B, F_WRLCK, 20, 30), 0);
	assert_int_equal(set_lock(l, OWNER_A, F_RDLCK, 0, 19), 0);
	assert_int_equal(set_lock(l, OWNER_B, F_RDLCK, 0, 5), 0);
	assert_int_equal(set_lock(l, OWNER_B, F_WRLCK, 0, 5), -EAGAIN);
	lk = get_lock(l, OWNER_B, F_WRLCK, 0, INT64_MAX);
	assert_int_equal(lk.type, F_RDLCK);
	assert_int_equal(lk.start, 0);
	assert_int_equal(lk.end, 19);
	assert_int_equal(lk.pid, 0);
	lk = get_lock(l, OWNER_A, F_WRLCK, 0, 4);
	assert_int_equal(lk.type, F_RDLCK);
	assert_int_equal(lk.end, 5);
	assert_int_equal(get_lock(l, OWNER_B, F_RDLCK, 0, 10).type, F_UNLCK);
	/* In parts, and all. */
	assert_int_equal(set_lock(l, OWNER_A, F_UNLCK, 0, 9), 0);
	assert_int_equal(set_lock(l, OWNER_B, F_WRLCK, 0, 9), 0);
	assert_int_equal(set_lock(l, OWNER_A, F_UNLCK, 0, INT64_MAX), 0);
	assert_int_equal(set_lock(l, OWNER_B, F_WRLCK, 0, INT64_MAX), 0);
	assert_int_equal(get_lock(l, OWNER_A, F_RDLCK, 0, 0).end, INT64_MAX);
}

static void test_flush_releases(void **state)
{
	struct locked *l = *state;
	const unsigned fds = open_fds();

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(set_lock(l, OWNER_B, F_WRLCK, 10, 19), 0);
	assert_int_equal(fs_flush(&l->t.rig, l->node, l->fh, OWNER_A), 0);
	assert_int_equal(set_lock(l, OWNER_B, F_WRLCK, 0, 19), 0);
	assert_int_equal(fs_flush(&l->t.rig, l->node, l->fh, OWNER_B), 0);
	assert_int_equal(open_fds(), fds);
}

static void test_errors(void **state)
{
	struct locked *l = *state;
	struct fuse_lk_in in = lock_in(l, OWNER_A, F_WRLCK, 0, 9);
	struct fuse_open_out only_read, only_write;
	struct fuse_lk_out out;

	assert_int_equal(set_lock(l, OWNER_A, 99, 0, 9), -EINVAL);
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 9, 8), -EINVAL);
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 0, UINT64_MAX), -EINVAL);
	assert_int_equal(set_lock(l, OWNER_A, F_UNLCK, 0, 9), 0);
	assert_int_equal(set_flock(l, l->fh, 99), -EINVAL);
	assert_int_equal(set_flock(l, l->fh + 99, F_RDLCK), -EBADF);
	in.fh += 99;
	assert_int_equal(fs_rig_call(&l->t.rig, FUSE_SETLK, l->node, &in, sizeof(in), NULL, 0, NULL, 0),
			 -EBADF);
	assert_int_equal(
		fs_rig_call(&l->t.rig, FUSE_GETLK, l->node, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
		-EBADF);
	in.fh = l->fh;
	assert_int_equal(fs_rig_call(&l->t.rig, FUSE_SETLK, FUSE_ROOT_ID, &in, sizeof(in), NULL, 0, NULL, 0),
			 -EBADF);
	in.lk.type = F_UNLCK;
	assert_int_equal(
		fs_rig_call(&l->t.rig, FUSE_GETLK, l->node, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
		-EINVAL);
	/* As a handle allows. */
	assert_int_equal(fs_open(&l->t.rig, l->node, O_RDONLY, &only_read), 0);
	assert_int_equal(fs_open(&l->t.rig, l->node, O_WRONLY, &only_write), 0);
	l->fh = only_read.fh;
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 0, 9), -EBADF);
	assert_int_equal(set_lock(l, OWNER_A, F_RDLCK, 0, 9), 0);
	l->fh = only_write.fh;
	assert_int_equal(set_lock(l, OWNER_A, F_RDLCK, 0, 9), -EBADF);
}

static void test_flock(void **state)
{
	struct locked *l = *state;
	struct fuse_open_out other;

	assert_int_equal(fs_open(&l->t.rig, l->node, O_RDONLY, &other), 0);
	assert_int_equal(set_flock(l, l->fh, F_RDLCK), 0);
	assert_int_equal(set_flock(l, other.fh, F_RDLCK), 0);
	assert_int_equal(set_flock(l, other.fh, F_WRLCK), -EAGAIN);
	assert_int_equal(set_flock(l, l->fh, F_UNLCK), 0);
	assert_int_equal(set_flock(l, other.fh, F_WRLCK), 0);
	/* Not in the way of the other kind. */
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 0, INT64_MAX), 0);
	assert_int_equal(set_flock(l, l->fh, F_RDLCK), -EAGAIN);
	assert_int_equal(fs_release(&l->t.rig, l->node, other.fh, FUSE_RELEASE_FLOCK_UNLOCK, OWNER_A), 0);
	assert_int_equal(set_flock(l, l->fh, F_RDLCK), 0);
}

static void test_host_process(void **state)
{
	struct locked *l = *state;
	struct peer p;

	peer_start(&p, l);
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 19, 19), 0);
	assert_true(peer_do(&p, 'l') != 0);
	assert_int_equal(set_lock(l, OWNER_A, F_UNLCK, 19, 19), 0);
	assert_int_equal(peer_do(&p, 'l'), 0);
	assert_int_equal(set_lock(l, OWNER_A, F_RDLCK, 0, 10), -EAGAIN);
	assert_int_equal(get_lock(l, OWNER_A, F_RDLCK, 0, 100).start, 10);
	assert_int_equal(get_lock(l, OWNER_A, F_RDLCK, 0, 100).pid, 0);
	assert_int_equal(set_lock(l, OWNER_A, F_RDLCK, 0, 9), 0);
	/* flock. */
	assert_int_equal(set_flock(l, l->fh, F_RDLCK), 0);
	assert_int_equal(peer_do(&p, 'f'), EWOULDBLOCK);
	assert_int_equal(set_flock(l, l->fh, F_UNLCK), 0);
	assert_int_equal(peer_do(&p, 'f'), 0);
	assert_int_equal(set_flock(l, l->fh, F_RDLCK), -EAGAIN);
	peer_end(&p);
	assert_int_equal(set_flock(l, l->fh, F_RDLCK), 0);
}

/* Who may only read must not hold up a program of the host: the guest's locks stay in the guest. */
static void test_read_only(void **state)
{
	struct locked *l = *state;
	struct fuse_lk_in in = lock_in(l, OWNER_A, F_RDLCK, 10, 19);
	struct peer p;

	assert_false(l->t.rig.init.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS));
	peer_start(&p, l);
	assert_int_equal(set_lock(l, OWNER_A, F_RDLCK, 0, INT64_MAX), -EROFS);
	assert_int_equal(set_flock(l, l->fh, F_RDLCK), -EROFS);
	assert_int_equal(set_flock(l, l->fh, F_WRLCK), -EROFS);
	assert_int_equal(fs_rig_call(&l->t.rig, FUSE_SETLKW, l->node, &in, sizeof(in), NULL, 0, NULL, 0),
			 -EROFS);
	assert_int_equal(peer_do(&p, 'l'), 0);
	assert_int_equal(peer_do(&p, 'f'), 0);
	peer_end(&p);
}

/* ---- those that wait ---- */

static unsigned start_wait(struct locked *l, uint64_t owner, uint32_t type, uint32_t lk_flags, uint64_t fh)
{
	struct fuse_lk_in in = lock_in(l, owner, type, 10, 19);

	in.lk_flags = lk_flags;
	in.fh = fh;
	return fs_rig_begin(&l->t.rig, 1, FUSE_SETLKW, l->node, &in, sizeof(in), NULL, 0, 0);
}

static void test_wait(void **state)
{
	struct locked *l = *state;
	unsigned slot;
	int result;

	/* What is free is had at once. */
	slot = start_wait(l, OWNER_A, F_WRLCK, 0, l->fh);
	assert_true(fs_wait(&l->t.rig, slot, 5000, &result));
	assert_int_equal(result, 0);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	assert_false(fs_wait(&l->t.rig, slot, 100, &result));
	/* Others are served meanwhile. */
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 100, 101), 0);
	assert_int_equal(set_lock(l, OWNER_A, F_UNLCK, 10, 19), 0);
	assert_true(fs_wait(&l->t.rig, slot, 5000, &result));
	assert_int_equal(result, 0);
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), -EAGAIN);
}

static void test_wait_for_host(void **state)
{
	struct locked *l = *state;
	unsigned slot, flocked;
	struct peer p;
	int result;

	peer_start(&p, l);
	assert_int_equal(peer_do(&p, 'l'), 0);
	assert_int_equal(peer_do(&p, 'f'), 0);
	slot = start_wait(l, OWNER_A, F_RDLCK, 0, l->fh);
	flocked = start_wait(l, OWNER_A, F_WRLCK, FUSE_LK_FLOCK, l->fh);
	assert_false(fs_wait(&l->t.rig, slot, 20, &result));
	assert_false(fs_wait(&l->t.rig, flocked, 20, &result));
	assert_int_equal(peer_do(&p, 'u'), 0);
	assert_true(fs_wait(&l->t.rig, slot, 5000, &result));
	assert_int_equal(result, 0);
	assert_false(fs_wait(&l->t.rig, flocked, 20, &result));
	peer_end(&p);
	assert_true(fs_wait(&l->t.rig, flocked, 5000, &result));
	assert_int_equal(result, 0);
}

static void test_interrupt(void **state)
{
	struct locked *l = *state;
	struct fuse_interrupt_in in = {0};
	const unsigned fds = open_fds();
	unsigned slot, other;
	int result;

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	other = start_wait(l, OWNER_B, F_RDLCK, 0, l->fh);
	in.unique = l->t.rig.uniques[slot];
	fs_interrupt(&l->t.rig, &in);
	assert_true(fs_wait(&l->t.rig, slot, 1000, &result));
	assert_int_equal(result, -EINTR);
	assert_false(fs_wait(&l->t.rig, other, 20, &result));
	/* Of none. */
	in.unique = 0x123456789;
	fs_interrupt(&l->t.rig, &in);
	assert_int_equal(set_lock(l, OWNER_A, F_UNLCK, 0, INT64_MAX), 0);
	assert_true(fs_wait(&l->t.rig, other, 5000, &result));
	assert_int_equal(result, 0);
	assert_int_equal(fs_flush(&l->t.rig, l->node, l->fh, OWNER_B), 0);
	assert_int_equal(open_fds(), fds);
}

/* The interrupt has another queue, and may get there first. */
static void test_early_interrupt(void **state)
{
	struct locked *l = *state;
	struct fuse_interrupt_in in = {0};
	unsigned slot;
	int result;

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	in.unique = l->t.rig.unique + 2; /* the next but one: the interrupt has one, too */
	fs_interrupt(&l->t.rig, &in);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	assert_int_equal(l->t.rig.uniques[slot], in.unique);
	assert_true(fs_wait(&l->t.rig, slot, 5000, &result));
	assert_int_equal(result, -EINTR);
	/* Once. */
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	assert_false(fs_wait(&l->t.rig, slot, 20, &result));
}

/* The handle is closed below who waits by it. */
static void test_wait_of_closed(void **state)
{
	struct locked *l = *state;
	struct fuse_open_out other;
	unsigned slot;
	int result;

	assert_int_equal(fs_open(&l->t.rig, l->node, O_RDWR, &other), 0);
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, other.fh);
	assert_int_equal(fs_release(&l->t.rig, l->node, other.fh, 0, OWNER_B), 0);
	assert_true(fs_wait(&l->t.rig, slot, 5000, &result));
	assert_int_equal(result, -EBADF);
}

static void pause_all(struct locked *l, struct fs_ring rings[FS_MAX_QUEUES])
{
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_pause(&l->t.rig, q, &rings[q]);
}

static void resume_all(struct locked *l, const struct fs_ring rings[FS_MAX_QUEUES])
{
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_resume(&l->t.rig, q, &rings[q]);
}

/* Whoever waits goes on waiting when queues stop for a snapshot, and touches nothing meanwhile. */
static void test_wait_over_pause(void **state)
{
	struct fs_ring rings[FS_MAX_QUEUES];
	struct locked *l = *state;
	struct peer p;
	unsigned slot;
	int result;

	peer_start(&p, l);
	assert_int_equal(peer_do(&p, 'l'), 0);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	assert_false(fs_wait(&l->t.rig, slot, 20, &result));
	for (unsigned i = 0; i < 3; i++) {
		pause_all(l, rings);
		resume_all(l, rings);
		assert_false(fs_wait(&l->t.rig, slot, 20, &result));
	}
	pause_all(l, rings);
	assert_int_equal(peer_do(&p, 'u'), 0);
	assert_false(fs_wait(&l->t.rig, slot, 120, &result));
	resume_all(l, rings);
	assert_true(fs_wait(&l->t.rig, slot, 5000, &result));
	assert_int_equal(result, 0);
	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), -EAGAIN);
	peer_end(&p);
}

/* An interrupt that comes while the lock's queue stands still is not lost. */
static void test_interrupt_over_pause(void **state)
{
	struct fuse_interrupt_in in;
	struct fs_ring ring;
	struct locked *l = *state;
	unsigned slot;
	int result;

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	assert_false(fs_wait(&l->t.rig, slot, 20, &result));
	fs_rig_pause(&l->t.rig, 1, &ring);
	in = (struct fuse_interrupt_in){.unique = l->t.rig.uniques[slot]};
	fs_interrupt(&l->t.rig, &in);
	assert_false(fs_wait(&l->t.rig, slot, 20, &result));
	fs_rig_resume(&l->t.rig, 1, &ring);
	assert_true(fs_wait(&l->t.rig, slot, 5000, &result));
	assert_int_equal(result, -EINTR);
}

/* The guest is gone while one waits in a queue that stands still: nothing is written to the ring. */
static void test_reset_over_pause(void **state)
{
	struct fs_ring rings[FS_MAX_QUEUES];
	struct locked *l = *state;
	unsigned slot;
	int result;

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	assert_false(fs_wait(&l->t.rig, slot, 20, &result));
	pause_all(l, rings);
	memset(fs_rig_ram(&l->t.rig, fs_rig_out(slot), 16), 0x5a, 16);
	fs_rig_reset(&l->t.rig);
	assert_false(fs_rig_answered(&l->t.rig, slot));
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(*(uint8_t *)fs_rig_ram(&l->t.rig, fs_rig_out(slot) + i, 1), 0x5a);
	resume_all(l, rings);
	assert_int_equal(fs_rig_session(&l->t.rig), 0);
}

/* The chain of one that waits is not what it was: the ring is broken, and no more. */
static void test_chain_changed_over_pause(void **state)
{
	struct fs_ring rings[FS_MAX_QUEUES];
	struct fs_message message;
	struct locked *l = *state;
	unsigned slot;
	int result;

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	slot = start_wait(l, OWNER_B, F_WRLCK, 0, l->fh);
	assert_false(fs_wait(&l->t.rig, slot, 20, &result));
	pause_all(l, rings);
	/* A loop. */
	store_le16(fs_rig_ram(&l->t.rig, l->t.rig.rings[1].desc + 16ul * slot * FS_RIG_PARTS + 14, 2),
		   (uint16_t)(slot * FS_RIG_PARTS));
	fs_rig_resume(&l->t.rig, 1, &rings[1]);
	fs_rig_message(&l->t.rig, &message);
	assert_int_equal(message.kind, FS_BROKEN);
	fs_rig_stop(&l->t.rig, 1, &rings[1]);
	assert_false(fs_rig_answered(&l->t.rig, slot));
}

/* Those that wait at the end are not answered and not leaked. */
static void test_end_while_waiting(void **state)
{
	struct locked *l = *state;

	assert_int_equal(set_lock(l, OWNER_A, F_WRLCK, 10, 19), 0);
	for (unsigned i = 0; i < 5; i++)
		start_wait(l, OWNER_B + i, F_WRLCK, 0, l->fh);
}

static void test_bounded(void **state)
{
	struct locked *l = *state;
	unsigned had = 0;
	int r = 0;

	for (unsigned i = 0; i < 600 && r == 0; i++) {
		r = set_lock(l, i + 1, F_RDLCK, i, i);
		had += r == 0;
	}
	assert_int_equal(r, -ENOLCK);
	assert_in_range(had, 16, 512);
	assert_int_equal(fs_flush(&l->t.rig, l->node, l->fh, 1), 0);
	assert_int_equal(set_lock(l, 1000, F_RDLCK, 0, 0), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_records),
		CASE(test_flush_releases),
		CASE(test_errors),
		CASE(test_flock),
		CASE(test_host_process),
		CASE(test_wait),
		CASE(test_wait_for_host),
		CASE(test_interrupt),
		CASE(test_wait_of_closed),
		CASE(test_wait_over_pause),
		CASE(test_interrupt_over_pause),
		CASE(test_reset_over_pause),
		CASE(test_chain_changed_over_pause),
		CASE(test_end_while_waiting),
		CASE(test_bounded),
		CASE(test_early_interrupt),
		cmocka_unit_test_setup_teardown(test_read_only, setup_read_only, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
