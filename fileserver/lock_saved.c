/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks in a snapshot, and requests that wait for them; see saved.h. A lock that somebody else has by then
 * (the machine that was saved, another copy of it, a program of the host) is lost, and with it the handles
 * that could write: who had it must not go on as if it were alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lock.h"
#include "saved.h"

/* ---- saving ---- */

static uint32_t count_ranges(const struct lock_owner *o)
{
	uint32_t n = 0;

	for (const struct lock_range *range = o->ranges; range; range = range->next)
		n++;
	return n;
}

uint64_t locks_count_saved(const struct fs *fs, struct saved_header *header)
{
	const struct locks *locks = fs->locks;

	header->owners = locks->owner_count;
	header->waiters = locks->waiter_count;
	return header->owners * sizeof(struct saved_owner) + locks->range_count * sizeof(struct saved_range) +
	       header->waiters * sizeof(struct saved_waiter);
}

static void put_owner(struct saved_file *f, const struct lock_owner *o)
{
	const struct saved_owner saved = {.owner = o->owner, .nodeid = o->nodeid, .ranges = count_ranges(o)};

	saved_put(f, &saved, sizeof(saved));
	for (const struct lock_range *range = o->ranges; range; range = range->next) {
		const struct saved_range part = {
			.start = range->start, .end = range->end, .type = range->type};

		saved_put(f, &part, sizeof(part));
	}
}

void locks_save(const struct fs *fs, struct saved_file *f)
{
	const struct locks *locks = fs->locks;

	for (const struct lock_owner *o = locks->owners; o; o = o->next)
		put_owner(f, o);
	for (const struct waiter *w = locks->waiters; w; w = w->next) {
		const struct fuse_file_lock *lk = &w->in.lk;
		const struct saved_waiter saved = {.unique = w->r->in.unique,
						   .nodeid = w->r->in.nodeid,
						   .fh = w->in.fh,
						   .owner = w->in.owner,
						   .start = lk->start,
						   .end = lk->end,
						   .type = lk->type,
						   .pid = lk->pid,
						   .lk_flags = w->in.lk_flags,
						   .head = request_head(w->r),
						   .queue = (uint8_t)w->r->queue,
						   .interrupted = w->interrupted};

		saved_put(f, &saved, sizeof(saved));
	}
}

/* ---- loading ---- */

/*
 * NULL: its file is not there any more, and who asks for it is told that; or the share is read only, whatever
 * it was when it was saved.
 */
static struct lock_owner *owner_again(struct fs *fs, const struct saved_owner *saved)
{
	const struct inode *inode = fs_share(fs)->read_only ? NULL : inode_get(fs, saved->nodeid);
	struct lock_owner *o = NULL;
	struct stat st;

	if (!inode || !S_ISREG(inode->type) || fstat(inode->fd, &st) < 0 ||
	    lock_owner_add(fs->locks, saved->owner, saved->nodeid, &st, &o) < 0)
		return NULL;
	return o;
}

static void load_owner(struct fs *fs, struct saved_file *f, const struct saved_owner *saved,
		       struct saved_losses *losses)
{
	struct lock_owner *o =
		saved->reserved == 0 && saved->ranges <= 2 * LOCKS_MAX_RANGES ? owner_again(fs, saved) : NULL;
	struct saved_range range;
	bool lost = !o;

	if (saved->reserved != 0 || saved->ranges > 2 * LOCKS_MAX_RANGES)
		saved_fail(f, -EINVAL);
	for (uint32_t i = 0; i < saved->ranges && saved_take(f, &range, sizeof(range)); i++) {
		if ((range.type != F_RDLCK && range.type != F_WRLCK) || range.start > range.end ||
		    range.end > INT64_MAX || range.reserved != 0) {
			saved_fail(f, -EINVAL);
			return;
		}
		if (!lost && lock_owner_set(fs->locks, o, range.type, range.start, range.end) < 0)
			lost = true;
	}
	if (!lost)
		return;
	losses->locks++;
	losses->handles += handles_lose_writers(fs, saved->nodeid);
	if (o)
		lock_owner_drop(fs->locks, o);
}

static int load_waiter(struct fs *fs, const struct saved_waiter *saved)
{
	const struct fuse_lk_in in = {
		.fh = saved->fh,
		.owner = saved->owner,
		.lk = {.start = saved->start, .end = saved->end, .type = saved->type, .pid = saved->pid},
		.lk_flags = saved->lk_flags,
	};
	struct request *r;
	int result;

	if (saved->queue >= FS_MAX_QUEUES || saved->interrupted > 1)
		return -EINVAL;
	r = request_put_off(fs, saved->queue, saved->head, saved->unique, saved->nodeid);
	if (!r)
		return -ENOMEM;
	result = lock_wait(fs->locks, r, &in, true, saved->interrupted);
	if (result < 0)
		request_finish(fs, r, result);
	return result == -ENOLCK ? -EINVAL : result;
}

void locks_load(struct fs *fs, struct saved_file *f, const struct saved_header *header,
		struct saved_losses *losses)
{
	struct saved_owner owner;
	struct saved_waiter waiter;

	if (header->owners > LOCKS_MAX_OWNERS || header->waiters > LOCKS_MAX_WAITERS)
		saved_fail(f, -EINVAL);
	for (uint32_t i = 0; i < header->owners && saved_take(f, &owner, sizeof(owner)); i++)
		load_owner(fs, f, &owner, losses);
	for (uint32_t i = 0; i < header->waiters && saved_take(f, &waiter, sizeof(waiter)); i++)
		saved_fail(f, load_waiter(fs, &waiter));
}
