/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks are real ones of the host's files, so that processes of the host see them and guests see theirs.
 *
 * A record lock (fcntl) belongs to an owner of the guest's and a file: each pair has an open file of its own
 * here, whose locks (F_OFD_SETLK) are one owner's to the host. It is closed, and with it go the locks, when
 * the owner closes the file (FLUSH) or unlocks all of it. A lock by flock() is that of the handle's open
 * file.
 *
 * Nothing waits: what cannot be had at once and may wait is put off and tried again by a timer, more and more
 * rarely up to 20 times a second, and at once when a lock was given back here. FUSE_INTERRUPT ends it; Linux'
 * driver of virtio-fs sends none (up to 6.12), so that a process waits until it has the lock. Who waits for
 * whom is not looked at.
 *
 * A lock on a file changes what others can do with it: on a read-only share there is none. The guest is not
 * offered any (table.c), and keeps its locks to itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "hull/loop.h"
#include "hull/util.h"
#include "lock.h"

enum {
	MAX_EARLY = LOCKS_MAX_EARLY,
	FIRST_WAIT_NS = 1000000,
	LAST_WAIT_NS = 50000000,
};

/* ---- owners ---- */

/* NULL: there is none. */
static struct lock_owner *owner_find(struct locks *locks, uint64_t owner, const struct stat *st)
{
	struct lock_owner *o = locks->owners;

	while (o && (o->owner != owner || o->dev != st->st_dev || o->ino != st->st_ino))
		o = o->next;
	return o;
}

void lock_owner_drop(struct locks *locks, struct lock_owner *o)
{
	struct lock_owner **link = &locks->owners;

	while (*link != o)
		link = &(*link)->next;
	*link = o->next;
	locks->owner_count--;
	locks->fs->used_fds--;
	lock_ranges_free(locks, o);
	close(o->fd);
	free(o);
}

/* An open file of the inode for locks of both kinds, if the host lets us. */
static int open_for_locks(struct fs *fs, uint64_t nodeid)
{
	static const int modes[] = {O_RDWR, O_RDONLY, O_WRONLY};
	const struct inode *inode = inode_get(fs, nodeid);
	int fd = -ESTALE;

	for (unsigned i = 0; inode && i < ARRAY_SIZE(modes); i++) {
		fd = inode_open(fs, inode, modes[i]);
		if (fd != -EACCES && fd != -EROFS && fd != -EPERM && fd != -ETXTBSY)
			break;
	}
	return fd;
}

int lock_owner_add(struct locks *locks, uint64_t owner, uint64_t nodeid, const struct stat *st,
		   struct lock_owner **ret_owner)
{
	struct lock_owner *o;
	int r = fds_room(locks->fs);

	if (locks->owner_count == LOCKS_MAX_OWNERS || r < 0)
		return -ENOLCK;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->fd = open_for_locks(locks->fs, nodeid);
	if (o->fd < 0) {
		r = o->fd;
		free(o);
		return r;
	}
	o->owner = owner;
	o->nodeid = nodeid;
	o->dev = st->st_dev;
	o->ino = st->st_ino;
	o->next = locks->owners;
	locks->owners = o;
	locks->owner_count++;
	locks->fs->used_fds++;
	*ret_owner = o;
	return 0;
}

/* ---- one try ---- */

static int check_range(const struct fuse_file_lock *lk)
{
	if (lk->type != F_RDLCK && lk->type != F_WRLCK && lk->type != F_UNLCK)
		return -EINVAL;
	return lk->start > lk->end || lk->end > INT64_MAX ? -EINVAL : 0;
}

static struct flock to_flock(uint32_t type, uint64_t start, uint64_t end)
{
	return (struct flock){
		.l_type = (short)type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)start,
		.l_len = end == INT64_MAX ? 0 : (off_t)(end - start + 1),
	};
}

int lock_owner_set(struct locks *locks, struct lock_owner *o, uint32_t type, uint64_t start, uint64_t end)
{
	struct flock lk = to_flock(type, start, end);
	struct lock_range *spare[2];
	int r = lock_ranges_reserve(locks, type, spare);

	if (r < 0)
		return r;
	r = fcntl(o->fd, F_OFD_SETLK, &lk) < 0 ? -errno : 0;
	if (r == 0)
		lock_ranges_set(locks, o, type, start, end, spare);
	lock_ranges_unreserve(spare);
	return r == -EACCES ? -EAGAIN : r;
}

/* Whether the handle was opened in a way that allows the lock. */
static bool is_allowed(const struct handle *h, uint32_t type)
{
	const int mode = fcntl(h->fd, F_GETFL) & O_ACCMODE;

	return type == F_UNLCK || mode == O_RDWR || mode == (type == F_WRLCK ? O_WRONLY : O_RDONLY);
}

static struct handle *get_handle(struct fs *fs, const struct request *r, const struct fuse_lk_in *in)
{
	struct handle *h = handle_get(fs, in->fh, HANDLE_FILE);

	return h && h->nodeid == r->in.nodeid ? h : NULL;
}

static int try_flock(struct handle *h, uint32_t type)
{
	int op = type == F_RDLCK ? LOCK_SH : type == F_WRLCK ? LOCK_EX : LOCK_UN;

	if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
		return -EINVAL;
	/* One that is changed and cannot be had is given back before. */
	if (flock(h->fd, op | LOCK_NB) < 0) {
		h->flock = errno == EWOULDBLOCK ? F_UNLCK : h->flock;
		return -errno;
	}
	h->flock = type;
	return 0;
}

static int try_record(struct locks *locks, const struct handle *h, const struct fuse_lk_in *in)
{
	struct lock_owner *o;
	bool made = false;
	struct stat st;
	int r = check_range(&in->lk);

	if (r < 0)
		return r;
	if (!is_allowed(h, in->lk.type))
		return -EBADF;
	if (fstat(h->fd, &st) < 0)
		return -errno;
	o = owner_find(locks, in->owner, &st);
	if (!o && in->lk.type == F_UNLCK)
		return 0;
	if (o && in->lk.type == F_UNLCK && in->lk.start == 0 && in->lk.end == INT64_MAX) {
		lock_owner_drop(locks, o);
		return 0;
	}
	if (!o) {
		r = lock_owner_add(locks, in->owner, h->nodeid, &st, &o);
		if (!o)
			return r;
		made = true;
	}
	r = lock_owner_set(locks, o, in->lk.type, in->lk.start, in->lk.end);
	if (r < 0 && made)
		lock_owner_drop(locks, o);
	return r;
}

/* 0; -EAGAIN: somebody else has it. */
static int try_lock(struct locks *locks, const struct request *r, const struct fuse_lk_in *in)
{
	struct handle *h = get_handle(locks->fs, r, in);

	/* No request comes so far, but one of a snapshot that waits. */
	if (fs_share(locks->fs)->read_only)
		return -EROFS;
	if (!h)
		return handle_error(locks->fs, in->fh);
	if (in->lk_flags & FUSE_LK_FLOCK)
		return try_flock(h, in->lk.type);
	return try_record(locks, h, in);
}

/* ---- those that wait ---- */

static void waiter_end(struct locks *locks, struct waiter *w, int result)
{
	struct waiter **link = &locks->waiters;
	struct request *r = w->r;

	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	locks->waiter_count--;
	loop_timer_cancel(fs_loop(locks->fs), &w->timer);
	free(w);
	request_finish(locks->fs, r, result);
}

/* Something was unlocked: everybody tries soon. */
static void wake(struct locks *locks)
{
	struct loop *loop = fs_loop(locks->fs);

	for (struct waiter *w = locks->waiters; w; w = w->next) {
		if (!w->paused)
			loop_timer_set(loop, &w->timer, loop_now(loop));
	}
}

static void try_again(struct loop_timer *timer)
{
	struct waiter *w = container_of(timer, struct waiter, timer);
	struct locks *locks = w->locks;
	struct loop *loop = fs_loop(locks->fs);
	const bool weaker = w->in.lk.type == F_RDLCK;
	int r = try_lock(locks, w->r, &w->in);

	if (r == -EAGAIN) {
		w->wait_ns = min_u64(w->wait_ns * 2, LAST_WAIT_NS);
		loop_timer_set(loop, &w->timer, loop_now(loop) + w->wait_ns);
		return;
	}
	waiter_end(locks, w, r);
	/* It may have given back what it had for writing. */
	if (r == 0 && weaker)
		wake(locks);
}

static bool take_early(struct locks *locks, uint64_t unique)
{
	for (unsigned i = 0; unique && i < MAX_EARLY; i++) {
		if (locks->early[i] == unique) {
			locks->early[i] = 0;
			return true;
		}
	}
	return false;
}

int lock_wait(struct locks *locks, struct request *r, const struct fuse_lk_in *in, bool paused,
	      bool interrupted)
{
	struct loop *loop = fs_loop(locks->fs);
	struct waiter **link = &locks->waiters;
	struct waiter *w;

	if (locks->waiter_count == LOCKS_MAX_WAITERS)
		return -ENOLCK;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct waiter){.locks = locks,
			     .r = r,
			     .in = *in,
			     .wait_ns = FIRST_WAIT_NS,
			     .paused = paused,
			     .interrupted = interrupted};
	w->timer.expired = try_again;
	while (*link)
		link = &(*link)->next;
	*link = w;
	locks->waiter_count++;
	if (!paused)
		loop_timer_set(loop, &w->timer, loop_now(loop) + w->wait_ns);
	return 0;
}

/* ---- operations ---- */

static int set_lock(struct fs *fs, struct request *r, bool wait)
{
	struct locks *locks = fs_locks(fs);
	struct fuse_lk_in in;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	res = try_lock(locks, r, &in);
	if (res == -EAGAIN && wait && in.lk.type != F_UNLCK) {
		if (take_early(locks, r->in.unique))
			return -EINTR;
		res = lock_wait(locks, r, &in, false, false);
		return res < 0 ? res : FS_LATER;
	}
	/* A lock for reading may have been one for writing. */
	if (res == 0 && in.lk.type != F_WRLCK)
		wake(locks);
	return res;
}

static int op_setlk(struct fs *fs, struct request *r)
{
	return set_lock(fs, r, false);
}

static int op_setlkw(struct fs *fs, struct request *r)
{
	return set_lock(fs, r, true);
}

/* Who has the lock is not told: the numbers of processes are the host's. */
static int op_getlk(struct fs *fs, struct request *r)
{
	struct locks *locks = fs_locks(fs);
	struct fuse_lk_out out = {.lk.type = F_UNLCK};
	const struct lock_owner *o;
	const struct handle *h;
	struct fuse_lk_in in;
	struct flock lk;
	struct stat st;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	h = get_handle(fs, r, &in);
	if (!h)
		return handle_error(fs, in.fh);
	res = check_range(&in.lk);
	if (res < 0)
		return res;
	if (in.lk_flags & FUSE_LK_FLOCK || in.lk.type == F_UNLCK)
		return -EINVAL;
	lk = to_flock(in.lk.type, in.lk.start, in.lk.end);
	if (fstat(h->fd, &st) < 0)
		return -errno;
	/* The handle's own open file has no record locks. */
	o = owner_find(locks, in.owner, &st);
	if (fcntl(o ? o->fd : h->fd, F_OFD_GETLK, &lk) < 0)
		return -errno;
	if (lk.l_type != F_UNLCK) {
		out.lk.type = (uint32_t)lk.l_type;
		out.lk.start = (uint64_t)lk.l_start;
		out.lk.end = lk.l_len == 0 ? INT64_MAX : (uint64_t)(lk.l_start + lk.l_len - 1);
	}
	return request_add(r, &out, sizeof(out));
}

/* ---- life ---- */

struct locks *locks_new(struct fs *fs)
{
	struct locks *locks = calloc(1, sizeof(*locks));

	if (locks)
		locks->fs = fs;
	return locks;
}

void locks_release(struct fs *fs, struct handle *handle, uint64_t owner, bool flock_too)
{
	struct locks *locks = fs_locks(fs);
	struct lock_owner *o;
	struct stat st;

	if (locks->owners && fstat(handle->fd, &st) == 0) {
		o = owner_find(locks, owner, &st);
		if (o)
			lock_owner_drop(locks, o);
	}
	if (flock_too && flock(handle->fd, LOCK_UN) == 0)
		handle->flock = F_UNLCK;
	wake(locks);
}

void locks_interrupt(struct fs *fs, uint64_t unique)
{
	struct locks *locks = fs_locks(fs);
	struct waiter *w = locks->waiters;

	while (w && w->r->in.unique != unique)
		w = w->next;
	if (w && w->paused)
		w->interrupted = true;
	else if (w)
		waiter_end(locks, w, -EINTR);
	else
		locks->early[locks->early_next++ % MAX_EARLY] = unique;
}

void locks_pause(struct fs *fs, unsigned queue)
{
	for (struct waiter *w = fs_locks(fs)->waiters; w; w = w->next) {
		if (w->r->queue != queue)
			continue;
		w->paused = true;
		loop_timer_cancel(fs_loop(fs), &w->timer);
		request_pause(w->r);
	}
}

int locks_resume(struct fs *fs, unsigned queue)
{
	struct locks *locks = fs_locks(fs);
	struct waiter *next;

	for (struct waiter *w = locks->waiters; w; w = next) {
		next = w->next;
		if (w->r->queue != queue || !w->paused)
			continue;
		if (request_resume(fs, w->r) < 0)
			return -EBADMSG;
		w->paused = false;
		if (w->interrupted)
			waiter_end(locks, w, -EINTR);
		else
			loop_timer_set(fs_loop(fs), &w->timer, loop_now(fs_loop(fs)));
	}
	return 0;
}

void locks_cancel(struct fs *fs, int result)
{
	struct locks *locks = fs_locks(fs);

	while (locks->waiters)
		waiter_end(locks, locks->waiters, result);
}

void locks_reset(struct fs *fs)
{
	struct locks *locks = fs_locks(fs);

	locks_cancel(fs, -EINTR);
	memset(locks->early, 0, sizeof(locks->early));
	while (locks->owners)
		lock_owner_drop(locks, locks->owners);
}

void locks_free(struct locks *locks)
{
	struct waiter *w;

	if (!locks)
		return;
	while ((w = locks->waiters)) {
		locks->waiters = w->next;
		loop_timer_cancel(fs_loop(locks->fs), &w->timer);
		free(w);
	}
	while (locks->owners)
		lock_owner_drop(locks, locks->owners);
	free(locks);
}

const struct fs_op fs_lock_ops[] = {
	{.opcode = FUSE_GETLK, .run = op_getlk},
	{.opcode = FUSE_SETLK, .run = op_setlk, .changes = true},
	{.opcode = FUSE_SETLKW, .run = op_setlkw, .changes = true},
	{0},
};
