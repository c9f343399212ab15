/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio file system device (virtio 1.2, 5.11): configuration and life. Its rings are
 * served by a file server, a process of its own with guest memory, which takes kicks from the
 * queues' eventfds and raises interrupts by those of MSI-X vectors; see fs_link.h.
 *
 *                DRIVER_OK                 reset, FAILED               FS_STOPPED
 *     OURS ---------------------> THEIRS ------------------> STOPPING -----------> OURS
 *               FS_START                     FS_STOP
 *
 * A snapshot stops the queues for a while, and what waits in the server goes on waiting: FS_STOP
 * with `count` 1, and FS_START when it is over. Nothing is forgotten, so there is no FS_RESET. Meanwhile the
 * server says what it knows (FS_SAVE); see fs_snapshot.c.
 *
 * A reset ends when both queues are ours again and the server has forgotten the guest
 * (FS_RESET_DONE). It waits as long as the server does: what is in flight writes to the guest's
 * memory, as with a disk. A server that has gone, or says what it cannot say, is not talked to
 * any more: the device needs a reset, completes that without it, and needs one again as soon as a
 * driver starts it.
 *
 * Nothing waits for the server here: what it does not take yet is noted in `say`, and what is
 * noted is said once there is room. Of interrupts that move only the last place is.
 *
 * After a vector was masked the server may use its eventfd once more, until it has read FS_CALL:
 * a driver has to expect that of messages that were on their way, and none is lost.
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#include "fs.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/syscalls.h"
#include "hull/util.h"

enum {
	QUEUE_HIPRIO,
	QUEUE_REQUESTS,
	QUEUES,

	HIPRIO_SIZE = 128,
	/* Linux puts the pages of a request into one chain: this is what lets it use 1 MiB. */
	REQUESTS_SIZE = 1024,
	MESSAGES_A_ROUND = 16,
	STORAGE_CLASS = 0x018000, /* a mass storage controller of another kind */
};

_Static_assert((int)QUEUES == (int)FS_MAX_QUEUES, "as the link has them");

/* What is to be said about a queue, in this order. */
enum { SAY_START = 1, SAY_CALL = 2, SAY_STOP = 4 };

static bool all_ours(const struct virtio_fs *fs)
{
	return fs->queues[QUEUE_HIPRIO].state == OURS && fs->queues[QUEUE_REQUESTS].state == OURS;
}

/* Ends a reset and a freeze that have waited for the server. */
static void settle(struct virtio_fs *fs)
{
	if (fs->freezing && all_ours(fs) && !fs->saved.wanted && !fs->saved.asked) {
		fs->freezing = false;
		virtio_end(&fs->dev);
	}
	if (fs->ending && all_ours(fs) && !fs->session) {
		fs->ending = false;
		virtio_end(&fs->dev);
	}
}

/* From now on there is no server. `why` NULL: as we wanted it. */
static void give_up(struct virtio_fs *fs, const char *why)
{
	if (fs->gone)
		return;
	fs->gone = true;
	loop_io_del(fs->dev.env.loop, &fs->io);
	(void)shutdown(fs->io.fd, SHUT_RDWR); /* one that is still there ends by this */
	memset(fs->queues, 0, sizeof(fs->queues));
	fs->session = false;
	fs->say_reset = false;
	fs->saved.wanted = fs->saved.asked = false;
	if (why && fs->dev.started)
		virtio_broken(&fs->dev, why);
	else if (why && fs->dev.env.log)
		log_guest(fs->dev.env.log, &fs->gone_limit, "virtio-fs: %s", why);
	settle(fs);
}

/* ---- what is said ---- */

/* False: not now, or never. */
static bool send_message(struct virtio_fs *fs, const struct fs_message *message, const int *fds,
			 unsigned count)
{
	int r = fs_link_send(fs->io.fd, message, fds, count);

	if (r < 0 && r != -EAGAIN)
		give_up(fs, "its file server has gone");
	return r == 0;
}

static bool send_start(struct virtio_fs *fs, unsigned q)
{
	const struct virtio_queue *queue = &fs->dev.queues[q];
	const struct virtq *vq = &queue->vq;
	const int fds[] = {queue->kick_fd, virtio_queue_irq_fd(&fs->dev, q)};
	const unsigned calls = fds[1] >= 0;
	struct fs_message message;

	memset(&message, 0, sizeof(message)); /* all of it is sent */
	message.kind = FS_START;
	message.queue = q;
	message.count = calls;
	message.ring = (struct fs_ring){
		.desc = vq->st.desc,
		.driver = vq->st.driver,
		.device = vq->st.device,
		.size = vq->st.size,
		.next_avail = vq->st.next_avail,
		.next_used = vq->st.next_used,
		.signalled = vq->st.signalled,
		.event_idx = vq->event_idx,
		.indirect = vq->indirect,
	};
	return send_message(fs, &message, fds, 1 + calls);
}

static bool send_plain(struct virtio_fs *fs, enum fs_message_kind kind, unsigned q, uint32_t count)
{
	struct fs_message message;

	memset(&message, 0, sizeof(message));
	message.kind = kind;
	message.queue = q;
	message.count = count;
	return send_message(fs, &message, NULL, 0);
}

static bool send_call(struct virtio_fs *fs, unsigned q)
{
	const int fd = virtio_queue_irq_fd(&fs->dev, q);
	struct fs_message message;

	memset(&message, 0, sizeof(message));
	message.kind = FS_CALL;
	message.queue = q;
	message.count = fd >= 0;
	return send_message(fs, &message, &fd, message.count);
}

/* False: the rest waits for room. */
static bool say_queue(struct virtio_fs *fs, unsigned q)
{
	struct fs_queue *queue = &fs->queues[q];

	if (queue->say & SAY_START) {
		if (!send_start(fs, q))
			return false;
		queue->say &= ~(unsigned)(SAY_START | SAY_CALL);
		fs->session = true;
		/* What has become available meanwhile needs no kick of the driver's. */
		virtio_kick_later(&fs->dev, q);
	}
	if (queue->say & SAY_CALL) {
		if (!send_call(fs, q))
			return false;
		queue->say &= ~(unsigned)SAY_CALL;
	}
	if (queue->say & SAY_STOP) {
		if (!send_plain(fs, FS_STOP, q, queue->keep))
			return false;
		queue->say &= ~(unsigned)SAY_STOP;
	}
	return true;
}

/* False: it waits for room. */
static bool say_save(struct virtio_fs *fs)
{
	int r = fs_session_ask(fs);

	if (r < 0 && r != -EAGAIN)
		give_up(fs, "its file server has gone");
	return r == 0;
}

/* Says what there is to say, as far as there is room, and asks for room for the rest. */
static void speak(struct virtio_fs *fs)
{
	bool all = true;

	for (unsigned q = 0; q < QUEUES && all && !fs->gone; q++)
		all = say_queue(fs, q);
	if (all && !fs->gone && fs->say_reset && all_ours(fs)) {
		all = send_plain(fs, FS_RESET, 0, 0);
		fs->say_reset = !all && !fs->gone;
	}
	if (all && !fs->gone && all_ours(fs))
		all = say_save(fs);
	if (!fs->gone)
		(void)loop_io_set(fs->dev.env.loop, &fs->io, all ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/* `freeze`: for a while only. */
static void stop_queues(struct virtio_fs *fs, bool freeze)
{
	for (unsigned q = 0; q < QUEUES; q++) {
		struct fs_queue *queue = &fs->queues[q];

		if (!freeze)
			queue->resume = false;
		if (queue->state != THEIRS)
			continue;
		if (queue->say & SAY_START) /* the server has not heard of it */
			*queue = (struct fs_queue){.state = OURS, .resume = freeze};
		else
			*queue = (struct fs_queue){
				.state = STOPPING, .say = SAY_STOP, .keep = freeze, .resume = freeze};
	}
}

static void start_queue(struct virtio_fs *fs, unsigned q)
{
	virtio_queue_listen(&fs->dev, q, false);
	fs->queues[q] = (struct fs_queue){.state = THEIRS, .say = SAY_START};
}

/* Those that a freeze has stopped. */
static void resume_queues(struct virtio_fs *fs)
{
	for (unsigned q = 0; q < QUEUES; q++) {
		if (fs->queues[q].resume && fs->queues[q].state == OURS && !fs->frozen)
			start_queue(fs, q);
	}
}

/* ---- what is heard ---- */

static bool queue_stopped(struct virtio_fs *fs, const struct fs_message *message)
{
	struct fs_queue *queue;

	if (message->queue >= QUEUES)
		return false;
	queue = &fs->queues[message->queue];
	if (queue->state != STOPPING || (queue->say & SAY_STOP))
		return false;
	queue->state = OURS;
	virtq_go_on(&fs->dev.queues[message->queue].vq, message->ring.next_avail);
	return true;
}

static bool reset_done(struct virtio_fs *fs)
{
	if (!fs->ending || !fs->session || fs->say_reset)
		return false;
	fs->session = false;
	return true;
}

/* False: no server of ours says that. */
static bool handle(struct virtio_fs *fs, const struct fs_message *message)
{
	switch (message->kind) {
	case FS_STOPPED:
		return queue_stopped(fs, message);
	case FS_RESET_DONE:
		return reset_done(fs);
	case FS_INTERRUPT:
		if (message->queue >= QUEUES)
			return false;
		if (fs->queues[message->queue].state != OURS)
			virtio_queue_signal(&fs->dev, message->queue);
		return true;
	case FS_SAVED:
		return fs_session_saved(fs, message);
	case FS_BROKEN:
		if (fs->dev.started)
			virtio_broken(&fs->dev, "the driver broke a ring, as the file server says");
		return true;
	default:
		return false;
	}
}

/* Takes one message. False: there is none, or there will be none. */
static bool hear(struct virtio_fs *fs)
{
	int fds[MEM_MAX_REGIONS];
	struct fs_message message;
	unsigned count = 0;
	int r = fs_link_receive(fs->io.fd, &message, fds, &count);

	if (r == -EAGAIN)
		return false;
	/* It has nothing to give. */
	for (unsigned i = 0; r == 1 && i < count; i++)
		close(fds[i]);
	if (r == 1 && count == 0 && handle(fs, &message))
		return true;
	give_up(fs,
		r == 0 || r == -ECONNRESET ? "its file server has gone" : "its file server talks nonsense");
	return false;
}

static void link_ready(struct loop_io *io, uint32_t events)
{
	struct virtio_fs *fs = container_of(io, struct virtio_fs, io);

	(void)events;
	/* What is left makes the descriptor ready again. */
	for (unsigned i = 0; i < MESSAGES_A_ROUND && !fs->gone && hear(fs); i++)
		;
	resume_queues(fs);
	speak(fs);
	settle(fs);
}

/* ---- life ---- */

static void fs_start(struct virtio_dev *dev)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	if (fs->gone) {
		virtio_broken(dev, "its file server has gone");
		return;
	}
	for (unsigned q = 0; q < QUEUES; q++) {
		if (!dev->queues[q].vq.st.ready)
			continue;
		start_queue(fs, q);
	}
	speak(fs);
}

static void fs_interrupt_moved(struct virtio_dev *dev, unsigned q)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	if (fs->queues[q].state != THEIRS)
		return;
	fs->queues[q].say |= SAY_CALL;
	speak(fs);
}

static void fs_failed(struct virtio_dev *dev)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	stop_queues(fs, false);
	speak(fs);
}

static void fs_drain(struct virtio_dev *dev)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	stop_queues(fs, false);
	fs->say_reset = fs->session;
	if (all_ours(fs) && !fs->session)
		return;
	fs->ending = true;
	virtio_begin(dev);
	speak(fs);
}

static void fs_freeze(struct virtio_dev *dev)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	fs->frozen = true;
	stop_queues(fs, true);
	fs_session_want(fs);
	fs->freezing = true;
	virtio_begin(dev);
	speak(fs);
	settle(fs);
}

/* What has not stopped yet is started as soon as it has. */
static void fs_thaw(struct virtio_dev *dev)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	fs->frozen = false;
	fs_session_forget(fs);
	if (fs->freezing) {
		fs->freezing = false;
		virtio_end(dev);
	}
	resume_queues(fs);
	speak(fs);
}

/* Rings are the server's, and without one they are nobody's. */
static void fs_kick(struct virtio_dev *dev, unsigned q)
{
	(void)dev;
	(void)q;
}

void virtio_fs_hang_up(struct virtio_dev *dev)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	loop_assert_held(dev->env.loop);
	give_up(fs, NULL);
}

/* The server gets guest memory, all of it, before anything else. */
static int send_memory(struct virtio_fs *fs, struct err *err)
{
	const struct guest_mem *mem = fs->dev.env.mem;
	struct fs_message message;
	int fds[MEM_MAX_REGIONS];
	int r;

	memset(&message, 0, sizeof(message));
	message.kind = FS_MEMORY;
	message.count = mem->count;
	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *region = &mem->regions[i];

		if (region->fd < 0)
			return err_set(err, -EINVAL, "virtio-fs: guest memory that cannot be shared");
		fds[i] = region->fd;
		message.regions[i] = (struct fs_region){region->gpa, region->size, region->offset};
	}
	r = fs_link_send(fs->io.fd, &message, fds, mem->count);
	return r < 0 ? err_errno(err, r, "virtio-fs: the file server has gone") : 0;
}

static int fs_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	const struct virtio_fs_params *params = arg;
	struct virtio_fs *fs = to_virtio_fs(dev);
	const size_t tag_len = strlen(params->tag);
	int r;

	fs->saved.fd = -1;
	if (tag_len == 0 || tag_len > VIRTIO_FS_TAG_BYTES)
		return err_set(err, -EINVAL, "virtio-fs: a tag has 1 to %d bytes", VIRTIO_FS_TAG_BYTES);
	memcpy(fs->config.tag, params->tag, tag_len);
	store_le32((uint8_t *)&fs->config.num_request_queues, QUEUES - QUEUE_REQUESTS);
	dev->config = &fs->config;
	dev->config_size = sizeof(fs->config);
	dev->queue_count = QUEUES;
	dev->queues[QUEUE_HIPRIO].vq.max_size = HIPRIO_SIZE;
	dev->queues[QUEUE_REQUESTS].vq.max_size = REQUESTS_SIZE;
	fs->io = (struct loop_io){.fd = params->link, .events = EPOLLIN, .ready = link_ready};
	r = fs_session_create(fs, err);
	if (r == 0)
		r = send_memory(fs, err);
	if (r < 0)
		return r;
	r = loop_io_add(dev->env.loop, &fs->io);
	return r < 0 ? err_errno(err, r, "link of virtio-fs") : 0;
}

static void fs_destroy(struct virtio_dev *dev)
{
	struct virtio_fs *fs = to_virtio_fs(dev);

	loop_io_del(dev->env.loop, &fs->io);
	fs_session_destroy(fs);
}

const struct virtio_type virtio_fs_type = {
	.name = "virtio-fs",
	.id = VIRTIO_ID_FS,
	.pci_class = STORAGE_CLASS,
	.size = sizeof(struct virtio_fs),
	.create = fs_create,
	.kick = fs_kick,
	.start = fs_start,
	.interrupt_moved = fs_interrupt_moved,
	.failed = fs_failed,
	.drain = fs_drain,
	.freeze = fs_freeze,
	.thaw = fs_thaw,
	.save = fs_session_save,
	.load = fs_session_load,
	.destroy = fs_destroy,
};

const struct syscall_rule virtio_fs_syscalls[] = {
	{SYS_shutdown, ROLE_MAIN, {{0}}, "ends a file server that talks nonsense", NULL},
	{SYS_close, ROLE_MAIN, {{0}}, "what it sent", NULL},
	{SYS_madvise, ROLE_MAIN, {SYSCALL_ARG(2, MADV_REMOVE)}, "what it said for a snapshot", NULL},
	{0},
};
