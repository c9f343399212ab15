/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file server's process: the link to the worker, the rings, the loop; see fs.h.
 *
 *	kick (eventfd) -> queue_run() -> call_next() ... -> call (eventfd), or FS_INTERRUPT by the link
 *
 * What the worker is told is noted as bits of fs->owed and sent as the socket takes it: a worker that does
 *not read makes us wait, and loses nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/syscalls.h"
#include "hull/util.h"
#include "saved.h"
#include "session.h"

enum {
	ROUND = 64,    /* requests of a queue before the link and the other queue are looked at */
	MESSAGES = 16, /* likewise of the link */
	/* Each keeps a KiB or so of the host's kernel. With more inodes than that some are opened again. */
	MAX_FDS = 1 << 17,
};

/* In the order in which they are sent; INTERRUPT, BROKEN and STOPPED one a queue. */
enum {
	OWE_INTERRUPT = 0,
	OWE_BROKEN = OWE_INTERRUPT + FS_MAX_QUEUES,
	OWE_STOPPED = OWE_BROKEN + FS_MAX_QUEUES,
	OWE_RESET_DONE = OWE_STOPPED + FS_MAX_QUEUES,
	OWE_ANSWER, /* fs->answer */
	OWE_COUNT,
};

const struct file_share *fs_share(const struct fs *fs)
{
	return &fs->share;
}

struct inodes *fs_inodes(struct fs *fs)
{
	return fs->inodes;
}

struct locks *fs_locks(struct fs *fs)
{
	return fs->locks;
}

struct handles *fs_handles(struct fs *fs)
{
	return fs->handles;
}

struct loop *fs_loop(struct fs *fs)
{
	return &fs->loop;
}

bool fs_writeback(const struct fs *fs)
{
	return fs->writeback;
}

uint64_t fs_valid_ns(const struct fs *fs)
{
	const uint64_t second = UINT64_C(1000000000), century = UINT64_C(100) * 365 * 86400;

	return fs->share.cache == FILE_CACHE_LONG ? century * second : second;
}

void session_reset(struct fs *fs)
{
	locks_reset(fs);
	handles_reset(fs);
	inodes_reset(fs);
	fs->ready = false;
	fs->writeback = false;
}

/* ---- to the worker ---- */

static void end(struct fs *fs, int result)
{
	if (fs->result == 0)
		fs->result = result;
	loop_stop(&fs->loop);
}

static struct fs_message owed_message(const struct fs *fs, unsigned what)
{
	struct fs_message message = {.queue = what % FS_MAX_QUEUES};

	if (what == OWE_ANSWER)
		return fs->answer;

	_Static_assert(OWE_BROKEN % FS_MAX_QUEUES == 0 && OWE_STOPPED % FS_MAX_QUEUES == 0,
		       "bits of a queue");
	if (what < OWE_BROKEN) {
		message.kind = FS_INTERRUPT;
	} else if (what < OWE_STOPPED) {
		message.kind = FS_BROKEN;
	} else if (what < OWE_RESET_DONE) {
		message.kind = FS_STOPPED;
		message.ring = fs->queues[message.queue].stopped;
	} else {
		message.kind = FS_RESET_DONE;
	}
	return message;
}

static void send_owed(struct fs *fs)
{
	uint32_t events = EPOLLIN;

	for (unsigned what = 0; what < OWE_COUNT && fs->owed; what++) {
		struct fs_message message;
		int r;

		if (!(fs->owed & 1u << what))
			continue;
		message = owed_message(fs, what);
		r = fs_link_send(fs->link_io.fd, &message, NULL, 0);
		if (r == -EAGAIN) {
			events |= EPOLLOUT;
			break;
		}
		if (r < 0) {
			end(fs, r == -EPIPE ? 0 : r);
			return;
		}
		fs->owed &= ~(1u << what);
	}
	if (events != fs->link_io.events)
		(void)loop_io_set(&fs->loop, &fs->link_io, events);
}

static void owe(struct fs *fs, unsigned what)
{
	fs->owed |= 1u << what;
	send_owed(fs);
}

/* ---- queues ---- */

void queue_interrupt(struct fs_queue *q)
{
	const uint64_t one = 1;

	if (!virtq_needs_interrupt(&q->vq))
		return;
	if (q->call_fd < 0 || write(q->call_fd, &one, sizeof(one)) < 0)
		owe(q->fs, OWE_INTERRUPT + q->index);
}

static bool queue_started(const struct fs_queue *q)
{
	return q->kick_io.fd >= 0;
}

static void queue_run(struct fs_queue *q)
{
	unsigned left = ROUND;
	int r;

	if (!queue_started(q) || q->stopping || q->broken)
		return;
	virtq_kicks_off(&q->vq);
	do {
		while ((r = call_next(q->fs, q)) > 0) {
			if (--left == 0) {
				loop_post(&q->fs->loop, &q->again);
				return;
			}
		}
		if (r < 0) {
			q->broken = true;
			loop_io_del(&q->fs->loop, &q->kick_io);
			owe(q->fs, OWE_BROKEN + q->index);
			return;
		}
	} while (virtq_kicks_on(&q->vq));
}

/* Each edge is told: the eventfd's counter need not be read. */
static void kicked(struct loop_io *io, uint32_t events)
{
	(void)events;
	queue_run(container_of(io, struct fs_queue, kick_io));
}

static void run_again(struct loop_task *task)
{
	queue_run(container_of(task, struct fs_queue, again));
}

static void queue_close(struct fs_queue *q)
{
	loop_io_del(&q->fs->loop, &q->kick_io);
	virtq_stop(&q->vq);
	fd_close(&q->kick_io.fd);
	fd_close(&q->call_fd);
	q->stopping = false;
	q->broken = false;
}

/* Nothing of it is in flight. */
static void queue_stopped(struct fs_queue *q)
{
	const struct virtq_state *st = &q->vq.st;

	q->stopped = (struct fs_ring){.desc = st->desc,
				      .driver = st->driver,
				      .device = st->device,
				      .size = st->size,
				      .next_avail = st->next_avail,
				      .next_used = st->next_used,
				      .signalled = st->signalled,
				      .event_idx = q->vq.event_idx,
				      .indirect = q->vq.indirect};
	queue_close(q);
	owe(q->fs, OWE_STOPPED + q->index);
}

void queue_later_done(struct fs_queue *q)
{
	q->later--;
	if (q->stopping && q->later == 0)
		queue_stopped(q);
}

/* `keep`: what waits goes on waiting, without a look at the ring. */
static void queue_stop(struct fs_queue *q, bool keep)
{
	if (!queue_started(q)) {
		/* It could not be started: there is nothing of it. */
		owe(q->fs, OWE_STOPPED + q->index);
		return;
	}
	loop_io_del(&q->fs->loop, &q->kick_io);
	if (keep)
		locks_pause(q->fs, q->index);
	if (keep || q->later == 0) {
		queue_stopped(q);
		return;
	}
	q->stopping = true;
	locks_cancel(q->fs, -EINTR);
}

static void queue_start(struct fs_queue *q, const struct fs_ring *ring, int kick_fd, int call_fd)
{
	struct fs *fs = q->fs;

	fs->started = true;
	q->vq.max_size = VIRTQ_MAX_SIZE;
	virtq_reset(&q->vq);
	q->vq.st = (struct virtq_state){.desc = ring->desc,
					.driver = ring->driver,
					.device = ring->device,
					.size = ring->size,
					.next_avail = ring->next_avail,
					.next_used = ring->next_used,
					.signalled = ring->signalled};
	q->vq.event_idx = ring->event_idx;
	q->vq.indirect = ring->indirect;
	q->call_fd = call_fd;
	q->kick_io.fd = kick_fd;
	q->kick_io.events = EPOLLIN | EPOLLET;
	q->kick_io.ready = kicked;
	if (virtq_start(&q->vq, &fs->mem) < 0 || locks_resume(fs, q->index) < 0 ||
	    loop_io_add(&fs->loop, &q->kick_io) < 0) {
		q->broken = true;
		owe(fs, OWE_BROKEN + q->index);
		return;
	}
	loop_post(&fs->loop, &q->again); /* what is available already */
}

/* ---- from the worker ---- */

/* Takes the descriptors over. */
static int take_memory(struct fs *fs, const struct fs_message *message, const int *fds, unsigned fd_count)
{
	int r = fs->mem.frozen || message->count == 0 || message->count != fd_count ? -EPROTO : 0;

	for (unsigned i = 0; i < fd_count; i++) {
		const struct fs_region *region = &message->regions[i];
		int fd = fds[i];

		if (r == 0)
			r = mem_add_shared(&fs->mem, region->gpa, region->size, fd, region->offset, NULL);
		else
			fd_close(&fd);
	}
	mem_freeze(&fs->mem);
	return r < 0 ? r : 1;
}

static bool all_stopped(const struct fs *fs)
{
	return !queue_started(&fs->queues[0]) && !queue_started(&fs->queues[1]);
}

static void save(struct fs *fs, int fd)
{
	int64_t n = session_save(fs, fd);

	fs->answer = (struct fs_message){.kind = FS_SAVED};
	if (n < 0)
		fs->answer.state.error = (int32_t)-n;
	else
		fs->answer.state.bytes = (uint64_t)n;
	owe(fs, OWE_ANSWER);
}

static void load(struct fs *fs, int fd, uint64_t bytes)
{
	struct fs_state *state = &fs->answer.state;
	struct saved_losses losses;
	int r;

	fs->answer = (struct fs_message){.kind = FS_LOADED};
	r = session_load(fs, fd, bytes, &losses, state->text, sizeof(state->text));
	state->error = -r;
	state->handles = losses.handles;
	state->locks = losses.locks;
	state->other_root = losses.other_root;
	owe(fs, OWE_ANSWER);
}

/* Takes the descriptors over when it returns 1. */
static int take_message(struct fs *fs, const struct fs_message *message, const int *fds, unsigned fd_count)
{
	struct fs_queue *q = message->queue < FS_MAX_QUEUES ? &fs->queues[message->queue] : NULL;

	switch (message->kind) {
	case FS_MEMORY:
		return take_memory(fs, message, fds, fd_count);
	case FS_START:
		if (!q || queue_started(q) || !fs->mem.frozen || message->count > 1 ||
		    fd_count != 1 + message->count)
			return -EPROTO;
		queue_start(q, &message->ring, fds[0], fd_count > 1 ? fds[1] : -1);
		return 1;
	case FS_CALL:
		if (!q || message->count > 1 || fd_count != message->count)
			return -EPROTO;
		if (!queue_started(q))
			return 0;
		fd_close(&q->call_fd);
		q->call_fd = fd_count > 0 ? fds[0] : -1;
		return 1;
	case FS_STOP:
		if (!q || fd_count > 0 || q->stopping || message->count > 1)
			return -EPROTO;
		queue_stop(q, message->count == 1);
		return 0;
	case FS_RESET:
		if (fd_count > 0)
			return -EPROTO;
		session_reset(fs);
		owe(fs, OWE_RESET_DONE);
		return 0;
	case FS_SAVE:
		if (fd_count != 1 || !all_stopped(fs))
			return -EPROTO;
		save(fs, fds[0]);
		return 0;
	case FS_LOAD:
		/* Once: a session is put where there was none. */
		if (fd_count != 1 || !fs->mem.frozen || fs->started || fs->ready || fs->loaded)
			return -EPROTO;
		fs->loaded = true;
		load(fs, fds[0], message->state.bytes);
		return 0;
	default:
		return -EPROTO;
	}
}

static void link_ready(struct loop_io *io, uint32_t events)
{
	struct fs *fs = container_of(io, struct fs, link_io);
	struct fs_message message;
	int fds[MEM_MAX_REGIONS];
	unsigned fd_count;

	(void)events;
	for (unsigned i = 0; i < MESSAGES; i++) {
		int r = fs_link_receive(io->fd, &message, fds, &fd_count);

		if (r == -EAGAIN)
			break;
		if (r <= 0) {
			end(fs, r);
			return;
		}
		r = take_message(fs, &message, fds, fd_count);
		/* take_memory() has taken them, whatever became of it; else they are its only if it says so.
		 */
		while (r <= 0 && message.kind != FS_MEMORY && fd_count > 0)
			fd_close(&fds[--fd_count]);
		if (r < 0) {
			end(fs, r);
			return;
		}
	}
	send_owed(fs);
}

/* ---- life ---- */

/* What this process may have open; a part is left to what is opened for a moment. */
static unsigned count_fds(void)
{
	struct rlimit limit;
	rlim_t max;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	max = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > MAX_FDS ? MAX_FDS : limit.rlim_cur;
	return max > 2 * FS_RESERVE_FDS ? (unsigned)max - FS_RESERVE_FDS : FS_RESERVE_FDS;
}

static int prepare(struct fs *fs, struct err *err)
{
	int r;

	fs->max_fds = count_fds();
	for (unsigned i = 0; i < FS_MAX_QUEUES; i++) {
		struct fs_queue *q = &fs->queues[i];

		*q = (struct fs_queue){.fs = fs, .index = i, .call_fd = -1};
		q->kick_io.fd = -1;
		q->again.run = run_again;
	}
	table_init(fs);
	r = loop_init(&fs->loop, err);
	if (r < 0)
		return r;
	if (fs->share.proc_fd >= 0 && fchdir(fs->share.proc_fd) < 0)
		return err_errno(err, -errno, "file server: /proc/self/fd");
	/* The guest has applied its own umask. */
	umask(0);
	/* A file that may not become as large as the guest wants is an error for it, not our end. */
	signal(SIGXFSZ, SIG_IGN);
	fs->call = malloc(sizeof(*fs->call));
	fs->dir_in = malloc(FS_DIR_BYTES);
	fs->dir_out = malloc(FS_DIR_BYTES);
	fs->locks = locks_new(fs);
	r = fs->call && fs->dir_in && fs->dir_out && fs->locks ? handles_create(fs) : -ENOMEM;
	if (r == 0)
		r = inodes_create(fs);
	if (r == 0)
		r = loop_io_add(&fs->loop, &fs->link_io);
	if (r == 0 && fs->share.confine)
		fs->share.confine(ROLE_FILES);
	return r < 0 ? err_errno(err, r, "file server") : 0;
}

static void finish(struct fs *fs)
{
	if (fs->locks)
		locks_cancel(fs, -EINTR); /* their requests are freed */
	for (unsigned i = 0; i < FS_MAX_QUEUES; i++) {
		if (queue_started(&fs->queues[i]))
			queue_close(&fs->queues[i]);
	}
	locks_free(fs->locks);
	if (fs->inodes)
		inodes_destroy(fs);
	handles_destroy(fs);
	free(fs->call);
	free(fs->spare);
	free(fs->dir_in);
	free(fs->dir_out);
	loop_finish(&fs->loop);
	mem_finish(&fs->mem);
	free(fs);
}

int file_server_run(const struct file_share *share, int link, struct err *err)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return err_errno(err, -ENOMEM, "file server");
	fs->share = *share;
	fs->link_io = (struct loop_io){.fd = link, .events = EPOLLIN, .ready = link_ready};
	r = prepare(fs, err);
	if (r == 0)
		r = loop_run(&fs->loop);
	if (r == 0 && fs->result < 0)
		r = err_errno(err, fs->result, "file server");
	finish(fs);
	return r;
}

/* Of the whole server. Paths are names below the share, or numbers of descriptors below /proc/self/fd. */
const struct syscall_rule file_server_syscalls[] = {
	{SYS_openat2, ROLE_FILES, {{0}}, "a name, never beyond the share", NULL},
	{SYS_openat, ROLE_FILES, {{0}}, "another descriptor of what one is open of", NULL},
	{SYS_close, ROLE_FILES, {{0}}, "the same", NULL},
	{SYS_newfstatat, ROLE_FILES, {{0}}, "fstat()", NULL},
	{SYS_statx, ROLE_FILES, {{0}}, "attributes", NULL},
	{SYS_fstatfs, ROLE_FILES, {{0}}, "what a file system is; statvfs()", NULL},
	{SYS_fcntl, ROLE_FILES, {SYSCALL_ARG(1, F_GETFL)}, "locks, copies of descriptors", NULL},
	{SYS_fcntl, ROLE_FILES, {SYSCALL_ARG(1, F_DUPFD_CLOEXEC)}, "locks, copies of descriptors", NULL},
	{SYS_fcntl, ROLE_FILES, {SYSCALL_ARG(1, F_OFD_SETLK)}, "locks, copies of descriptors", NULL},
	{SYS_fcntl, ROLE_FILES, {SYSCALL_ARG(1, F_OFD_GETLK)}, "locks, copies of descriptors", NULL},
	{SYS_flock, ROLE_FILES, {{0}}, "locks", NULL},
	{SYS_chmod, ROLE_FILES, {SYSCALL_BITS(1, 0777)}, "modes, without set-id bits", NULL},
	{SYS_ftruncate, ROLE_FILES, {{0}}, "sizes", NULL},
	{SYS_utimensat, ROLE_FILES, {{0}}, "times", NULL},
	{SYS_getxattr, ROLE_FILES, {{0}}, "extended attributes, owners among them", NULL},
	{SYS_setxattr, ROLE_FILES, {{0}}, "extended attributes, owners among them", NULL},
	{SYS_listxattr, ROLE_FILES, {{0}}, "extended attributes, owners among them", NULL},
	{SYS_removexattr, ROLE_FILES, {{0}}, "extended attributes, owners among them", NULL},
	{SYS_getdents64, ROLE_FILES, {{0}}, "directories", NULL},
	{SYS_lseek, ROLE_FILES, {{0}}, "places in files and directories", NULL},
	{SYS_preadv2, ROLE_FILES, {{0}}, "content", NULL},
	{SYS_pwritev2, ROLE_FILES, {{0}}, "content", NULL},
	{SYS_fallocate, ROLE_FILES, {{0}}, "content", NULL},
	{SYS_copy_file_range, ROLE_FILES, {{0}}, "content", NULL},
	{SYS_fsync, ROLE_FILES, {{0}}, "to disk", NULL},
	{SYS_fdatasync, ROLE_FILES, {{0}}, "to disk", NULL},
	{SYS_mkdirat, ROLE_FILES, {{0}}, "names", NULL},
	{SYS_symlinkat, ROLE_FILES, {{0}}, "names", NULL},
	{SYS_linkat, ROLE_FILES, {{0}}, "names", NULL},
	{SYS_unlinkat, ROLE_FILES, {{0}}, "names", NULL},
	{SYS_renameat, ROLE_FILES, {{0}}, "names: renameat2() without flags", NULL},
	{SYS_renameat2, ROLE_FILES, {{0}}, "names", NULL},
	{SYS_readlinkat, ROLE_FILES, {{0}}, "names", NULL},
	{0},
};
