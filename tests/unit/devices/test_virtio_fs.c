/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio file system device: what it says to its file server and when, and that the guest
 * gets on without one. The server here is on the same loop, does nothing with the rings, and
 * answers or not as a case wants it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/fs_link.h"
#include "hull/state.h"
#include "hull/util.h"
#include "hull/virtio_fs.h"
#include "leaks.h"
#include "rig_cases.h"
#include "snapshot_rig.h"
#include "virtio_driver.h"

enum {
	QUEUES = 2,
	MAX_HEARD = 8192,
	RUNNING = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
		  VIRTIO_CONFIG_S_DRIVER_OK,
};

/* ---- in the file server's place ---- */

struct server_queue {
	bool started;
	struct fs_ring ring;
	int kick; /* -1: none; so below */
	int call;
	unsigned calls; /* FS_CALL messages */
};

struct server {
	int link;
	struct loop_io io;
	struct loop *loop;
	bool deaf; /* reads nothing */
	bool mute; /* answers nothing */
	bool gone; /* its link has ended */
	/* M, s and S (FS_START of queue 0, 1), c, C, t, T (FS_STOP), p, P (for a while only), R, V (FS_SAVE),
	 * L (FS_LOAD) */
	char heard[MAX_HEARD + 1];
	uint16_t next_avail; /* what it says when it is stopped */
	struct server_queue queues[QUEUES];
	int save_error;   /* what it says to FS_SAVE */
	char session[32]; /* what it has to say */
	uint64_t loaded;  /* bytes that it was told */
	struct fs_region region;
	uint8_t *ram; /* its own mapping of guest memory */
	uint64_t ram_len;
};

static void note(struct server *s, char c)
{
	size_t n = strlen(s->heard);

	assert_true(n < MAX_HEARD);
	s->heard[n] = c;
	s->heard[n + 1] = '\0';
}

static int say_to(int link, enum fs_message_kind kind, unsigned q, uint16_t next_avail)
{
	struct fs_message message = {.kind = kind, .queue = q};

	message.ring.next_avail = next_avail;
	return fs_link_send(link, &message, NULL, 0);
}

static void say(struct server *s, enum fs_message_kind kind, unsigned q)
{
	assert_int_equal(say_to(s->link, kind, q, s->next_avail), 0);
}

static void take_memory(struct server *s, const struct fs_message *message, int *fds)
{
	assert_int_equal(message->count, 1);
	s->region = message->regions[0];
	s->ram_len = s->region.size;
	s->ram = mmap(NULL, s->ram_len, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], (off_t)s->region.offset);
	assert_ptr_not_equal(s->ram, MAP_FAILED);
	close(fds[0]);
	note(s, 'M');
}

static void take_start(struct server *s, const struct fs_message *message, const int *fds)
{
	struct server_queue *queue = &s->queues[message->queue];

	assert_false(queue->started);
	fd_close(&queue->kick);
	fd_close(&queue->call);
	queue->started = true;
	queue->ring = message->ring;
	queue->kick = fds[0];
	queue->call = message->count ? fds[1] : -1;
	note(s, message->queue ? 'S' : 's');
}

static void take_call(struct server *s, const struct fs_message *message, const int *fds)
{
	struct server_queue *queue = &s->queues[message->queue];

	assert_true(queue->started);
	fd_close(&queue->call);
	queue->call = message->count ? fds[0] : -1;
	queue->calls++;
	note(s, message->queue ? 'C' : 'c');
}

static void take_stop(struct server *s, const struct fs_message *message)
{
	assert_true(s->queues[message->queue].started);
	assert_true(message->count <= 1);
	note(s, "tTpP"[2 * message->count + message->queue]);
	if (s->mute)
		return;
	s->queues[message->queue].started = false;
	say(s, FS_STOPPED, message->queue);
}

static void say_saved(struct server *s)
{
	struct fs_message message = {.kind = FS_SAVED};

	message.state.error = s->save_error;
	message.state.bytes = s->save_error ? 0 : strlen(s->session);
	assert_int_equal(fs_link_send(s->link, &message, NULL, 0), 0);
}

static void say_loaded(struct server *s, int error, const char *text)
{
	struct fs_message message = {.kind = FS_LOADED};

	message.state.error = error;
	memcpy(message.state.text, text, strlen(text));
	assert_int_equal(fs_link_send(s->link, &message, NULL, 0), 0);
}

static void take_save(struct server *s, int fd)
{
	for (unsigned q = 0; q < QUEUES; q++)
		assert_false(s->queues[q].started);
	note(s, 'V');
	assert_int_equal(pwrite(fd, s->session, sizeof(s->session), 0), sizeof(s->session));
	/* It may not take the memory away that somebody is about to read. */
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
	if (!s->mute)
		say_saved(s);
}

/* Its bytes are gone by now, see load(): the file server's own tests look at them. */
static void take_load(struct server *s, const struct fs_message *message, int fd)
{
	note(s, 'L');
	s->loaded = message->state.bytes;
	close(fd);
}

static void take(struct server *s, const struct fs_message *message, int *fds, unsigned count)
{
	unsigned expected = message->kind == FS_MEMORY || message->kind == FS_CALL ? message->count : 0;

	if (message->kind == FS_SAVE || message->kind == FS_LOAD)
		expected = 1;

	if (message->kind == FS_START)
		expected = 1 + message->count;
	assert_int_equal(count, expected);
	assert_true(message->kind == FS_MEMORY || message->queue < QUEUES);
	switch (message->kind) {
	case FS_MEMORY:
		take_memory(s, message, fds);
		break;
	case FS_START:
		take_start(s, message, fds);
		break;
	case FS_CALL:
		take_call(s, message, fds);
		break;
	case FS_STOP:
		take_stop(s, message);
		break;
	case FS_RESET:
		for (unsigned q = 0; q < QUEUES; q++)
			assert_false(s->queues[q].started);
		note(s, 'R');
		if (!s->mute)
			say(s, FS_RESET_DONE, 0);
		break;
	case FS_SAVE:
		take_save(s, fds[0]);
		break;
	case FS_LOAD:
		take_load(s, message, fds[0]);
		break;
	default:
		fail();
	}
}

static void server_ready(struct loop_io *io, uint32_t events)
{
	struct server *s = container_of(io, struct server, io);
	struct fs_message message;
	int fds[MEM_MAX_REGIONS];
	unsigned count = 0;
	int r;

	(void)events;
	while (!s->deaf && (r = fs_link_receive(s->link, &message, fds, &count)) != -EAGAIN) {
		if (r == 0) {
			s->gone = true;
			loop_io_del(s->loop, io);
			return;
		}
		assert_int_equal(r, 1);
		take(s, &message, fds, count);
	}
}

static void server_listen(struct server *s, struct loop *loop)
{
	s->loop = loop;
	s->io = (struct loop_io){.fd = s->link, .events = EPOLLIN, .ready = server_ready};
	loop_lock(loop);
	assert_int_equal(loop_io_add(loop, &s->io), 0);
	loop_unlock(loop);
}

static void server_deaf(struct server *s, bool deaf)
{
	s->deaf = deaf;
	loop_lock(s->loop);
	assert_int_equal(loop_io_set(s->loop, &s->io, deaf ? 0 : EPOLLIN), 0);
	loop_unlock(s->loop);
}

/* It ends as a process does. */
static void server_die(struct server *s)
{
	if (s->link < 0)
		return;
	loop_lock(s->loop);
	loop_io_del(s->loop, &s->io);
	loop_unlock(s->loop);
	fd_close(&s->link);
	for (unsigned q = 0; q < QUEUES; q++) {
		fd_close(&s->queues[q].kick);
		fd_close(&s->queues[q].call);
	}
	if (s->ram)
		munmap(s->ram, s->ram_len);
	s->ram = NULL;
}

/* ---- the machine ---- */

struct fx {
	struct virtio_rig rig;
	struct server server;
	int link; /* the device's end */
	unsigned fds;
};

static void begin_with(struct fx *fx, enum virtio_rig_transport transport, bool bare)
{
	struct virtio_fs_params params = {.tag = "share0"};
	int pair[2];

	fx->fds = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fx->link = params.link = pair[0];
	fx->server = (struct server){.link = pair[1],
				     .session = "what it knows",
				     .queues = {{.kick = -1, .call = -1}, {.kick = -1, .call = -1}}};
	if (bare)
		virtio_rig_init_bare(&fx->rig, transport, &virtio_fs_type, &params);
	else
		virtio_rig_init(&fx->rig, transport, &virtio_fs_type, &params);
	server_listen(&fx->server, &fx->rig.loop);
}

static void begin(struct fx *fx, enum virtio_rig_transport transport)
{
	begin_with(fx, transport, false);
}

/* For a snapshot to be loaded. */
static void begin_bare(struct fx *fx, enum virtio_rig_transport transport)
{
	begin_with(fx, transport, true);
}

static void end(struct fx *fx)
{
	loop_lock(&fx->rig.loop);
	virtio_fs_hang_up(fx->rig.dev);
	loop_unlock(&fx->rig.loop);
	assert_int_equal(fx->rig.dev->in_flight, 0);
	server_die(&fx->server);
	virtio_rig_finish(&fx->rig);
	close(fx->link);
	assert_int_equal(open_fds(), fx->fds);
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	begin(fx, *(const enum virtio_rig_transport *)*state);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	virtio_rig_check_canary(&fx->rig);
	end(fx);
	free(fx);
	return 0;
}

/* A driver has started the device, and the server knows. */
static void start(struct fx *fx)
{
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	virtio_rig_run(&fx->rig);
}

/* What the server has heard since the last time. */
static void assert_heard(struct fx *fx, const char *what)
{
	virtio_rig_run(&fx->rig);
	assert_string_equal(fx->server.heard, what);
	fx->server.heard[0] = '\0';
}

static bool drain_event(int fd)
{
	eventfd_t n;

	return eventfd_read(fd, &n) == 0;
}

static bool kicked(struct fx *fx, unsigned q)
{
	return drain_event(fx->server.queues[q].kick);
}

static void assert_broken(struct fx *fx, bool broken)
{
	virtio_rig_run(&fx->rig);
	assert_int_equal(!!(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_NEEDS_RESET), broken);
}

/* The queue's interrupt, as the server raises it. */
static void interrupt(struct fx *fx, unsigned q)
{
	if (fx->server.queues[q].call >= 0)
		assert_int_equal(eventfd_write(fx->server.queues[q].call, 1), 0);
	else
		say(&fx->server, FS_INTERRUPT, q);
	virtio_rig_run(&fx->rig);
}

/* ---- life ---- */

static void test_config(void **state)
{
	struct fx *fx = *state;
	struct virtio_fs_config config;

	for (unsigned i = 0; i < sizeof(config); i++)
		((uint8_t *)&config)[i] = (uint8_t)virtio_rig_config_read(&fx->rig, i, 1);
	assert_memory_equal(config.tag, "share0", 7);
	for (unsigned i = 7; i < sizeof(config.tag); i++)
		assert_int_equal(config.tag[i], 0);
	assert_int_equal(
		virtio_rig_config_read(&fx->rig, offsetof(struct virtio_fs_config, num_request_queues), 4),
		1);
	assert_int_equal(virtio_rig_config_read(&fx->rig, sizeof(config), 1), UINT8_MAX);
	virtio_rig_config_write(&fx->rig, 0, 4, 0);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 0, 1), 's');
	assert_true(virtio_rig_queue_max(&fx->rig, 0) >= 16);
	assert_int_equal(virtio_rig_queue_max(&fx->rig, 1), 1024);
	assert_int_equal(virtio_rig_queue_max(&fx->rig, 2), 0);
	if (fx->rig.transport == RIG_PCI) {
		assert_int_equal(virtio_rig_pci_read(&fx->rig, PCI_DEVICE_ID, 2), 0x1040 + 26);
		assert_int_equal(virtio_rig_pci_read(&fx->rig, PCI_CLASS_REVISION, 4) >> 8, 0x018000);
	}
}

/* Tags may be as long as the field, without a NUL. */
static void test_tags(void **state)
{
	char tag[] = "0123456789abcdefghijklmnopqrstuvwxyz-";
	struct virtio_fs_params params = {.tag = tag};
	struct virtio_dev *dev = NULL;
	struct fx *fx = *state;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	params.link = pair[0];
	loop_lock(&fx->rig.loop);
	assert_int_equal(virtio_create(&dev, &virtio_fs_type, &fx->rig.dev->env, &params, NULL), -EINVAL);
	params.tag = "";
	assert_int_equal(virtio_create(&dev, &virtio_fs_type, &fx->rig.dev->env, &params, NULL), -EINVAL);
	tag[VIRTIO_FS_TAG_BYTES] = '\0';
	params.tag = tag;
	assert_int_equal(virtio_create(&dev, &virtio_fs_type, &fx->rig.dev->env, &params, NULL), 0);
	assert_memory_equal(dev->config, tag, VIRTIO_FS_TAG_BYTES);
	assert_int_equal(virtio_config_read(dev, VIRTIO_FS_TAG_BYTES, 4), 1);
	virtio_destroy(dev);
	loop_unlock(&fx->rig.loop);
	close(pair[0]);
	close(pair[1]);
}

/* A machine without memory to share, or without a server, is refused when it is built. */
static void test_refused(void **state)
{
	struct virtio_fs_params params = {.tag = "share0"};
	struct guest_mem private = {0};
	struct fx *fx = *state;
	struct virtio_env env = fx->rig.dev->env;
	struct virtio_dev *dev = NULL;
	struct err err = {0};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	params.link = pair[0];
	assert_int_equal(mem_add_ram(&private, 0, 4096, NULL), 0);
	env.mem = &private;
	loop_lock(&fx->rig.loop);
	assert_int_equal(virtio_create(&dev, &virtio_fs_type, &env, &params, &err), -EINVAL);
	close(pair[1]);
	env.mem = fx->rig.dev->env.mem;
	assert_int_equal(virtio_create(&dev, &virtio_fs_type, &env, &params, &err), -EPIPE);
	loop_unlock(&fx->rig.loop);
	assert_null(dev);
	mem_finish(&private);
	close(pair[0]);
}

static void test_memory(void **state)
{
	struct fx *fx = *state;
	struct server *s = &fx->server;

	assert_heard(fx, "M");
	assert_int_equal(s->region.gpa, RIG_RAM);
	assert_int_equal(s->region.size, RIG_RAM_SIZE);
	memcpy(virtio_rig_ram(&fx->rig, RIG_DATA, 5), "hello", 5);
	assert_memory_equal(s->ram + (RIG_DATA - RIG_RAM), "hello", 5);
	s->ram[RIG_RAM_SIZE - 1] = 0x77;
	assert_int_equal(*(uint8_t *)virtio_rig_ram(&fx->rig, RIG_DATA_END - 1, 1), 0x77);
	start(fx);
	start(fx);
	assert_heard(fx, "sStTRsS"); /* once */
}

static void test_start(void **state)
{
	struct fx *fx = *state;

	start(fx);
	assert_heard(fx, "MsS");
	for (unsigned q = 0; q < QUEUES; q++) {
		const struct server_queue *queue = &fx->server.queues[q];

		assert_int_equal(queue->ring.desc, fx->rig.rings[q].desc);
		assert_int_equal(queue->ring.driver, fx->rig.rings[q].avail);
		assert_int_equal(queue->ring.device, fx->rig.rings[q].used);
		assert_int_equal(queue->ring.size, fx->rig.rings[q].size);
		assert_int_equal(queue->ring.next_avail, 0);
		assert_int_equal(queue->ring.next_used, 0);
		assert_int_equal(queue->ring.event_idx, 1);
		assert_int_equal(queue->ring.indirect, 1);
		assert_int_equal(queue->call >= 0, fx->rig.transport == RIG_PCI);
		assert_true(kicked(fx, q)); /* it looks at the ring once */
		assert_false(kicked(fx, q));
	}
	virtio_rig_avail(&fx->rig, 1, 0);
	virtio_rig_kick(&fx->rig, 1);
	assert_true(kicked(fx, 1));
	assert_false(kicked(fx, 0));
	virtio_rig_kick_by_exit(&fx->rig, 0);
	assert_true(kicked(fx, 0));
	/* Nobody else has touched the ring. */
	assert_int_equal(virtio_rig_used_idx(&fx->rig, 1), 0);
	assert_int_equal(fx->rig.dev->queues[1].vq.st.next_avail, 0);
}

static void test_features(void **state)
{
	struct fx *fx = *state;

	virtio_rig_start(&fx->rig, 0, 16);
	assert_heard(fx, "MsS");
	assert_int_equal(fx->server.queues[1].ring.event_idx, 0);
	assert_int_equal(fx->server.queues[1].ring.indirect, 0);
	assert_int_equal(fx->server.queues[1].ring.size, 16);
}

/* A driver that uses one queue only. */
static void test_one_queue(void **state)
{
	struct fx *fx = *state;

	assert_true(virtio_rig_negotiate(&fx->rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(&fx->rig, 1, 0));
	virtio_rig_set_status(&fx->rig, RUNNING);
	assert_heard(fx, "MS");
	virtio_rig_set_status(&fx->rig, 0);
	assert_heard(fx, "TR");
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
}

/* ---- reset ---- */

/* A server that never had anything is not bothered: each driver begins with a reset. */
static void test_reset_before_start(void **state)
{
	struct fx *fx = *state;

	fx->server.mute = true;
	for (unsigned i = 0; i < 3; i++) {
		virtio_rig_set_status(&fx->rig, 0);
		assert_int_equal(virtio_rig_status(&fx->rig), 0);
		assert_true(virtio_rig_negotiate(&fx->rig, UINT64_MAX));
	}
	assert_heard(fx, "M");
}

static void test_reset_waits(void **state)
{
	struct fx *fx = *state;
	struct server *s = &fx->server;

	start(fx);
	assert_heard(fx, "MsS");
	s->mute = true;
	virtio_rig_set_status(&fx->rig, 0);
	assert_heard(fx, "tT");
	assert_int_equal(virtio_rig_status(&fx->rig), RUNNING);
	virtio_rig_set_status(&fx->rig, 0); /* again changes nothing */
	virtio_rig_set_status(&fx->rig, VIRTIO_CONFIG_S_FAILED);
	/* Late, and fine. */
	say(s, FS_INTERRUPT, 1);
	say(s, FS_BROKEN, 1);
	s->queues[0].started = false;
	say(s, FS_STOPPED, 0);
	assert_heard(fx, "");
	assert_int_equal(virtio_rig_status(&fx->rig), RUNNING);
	s->queues[1].started = false;
	say(s, FS_STOPPED, 1);
	assert_heard(fx, "R"); /* not before everything stands still */
	assert_int_equal(virtio_rig_status(&fx->rig), RUNNING);
	assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 1), 0);
	say(s, FS_RESET_DONE, 0);
	assert_heard(fx, "");
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_int_equal(fx->rig.dev->in_flight, 0);
	s->mute = false;
	start(fx);
	assert_heard(fx, "sS");
	assert_true(kicked(fx, 1));
	virtio_rig_kick(&fx->rig, 1);
	assert_true(kicked(fx, 1));
	virtio_rig_check_alive(&fx->rig, NULL);
}

static void test_failed(void **state)
{
	struct fx *fx = *state;
	struct server *s = &fx->server;

	start(fx);
	assert_heard(fx, "MsS");
	s->mute = true;
	virtio_rig_set_status(&fx->rig, RUNNING | VIRTIO_CONFIG_S_FAILED);
	assert_heard(fx, "tT");
	s->queues[0].started = false;
	say(s, FS_STOPPED, 0);
	virtio_rig_run(&fx->rig);
	/* The rest is in flight. */
	virtio_rig_set_status(&fx->rig, 0);
	assert_heard(fx, "");
	assert_true(virtio_rig_status(&fx->rig) != 0);
	s->mute = false;
	s->queues[1].started = false;
	say(s, FS_STOPPED, 1);
	assert_heard(fx, "R");
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	virtio_rig_check_alive(&fx->rig, NULL);
}

static void test_driver_breaks_a_ring(void **state)
{
	struct fx *fx = *state;

	say(&fx->server, FS_BROKEN, 0);
	assert_broken(fx, false); /* there is no driver */
	start(fx);
	say(&fx->server, FS_BROKEN, 1);
	assert_broken(fx, true);
	assert_true(virtio_rig_config_irqs(&fx->rig) > 0);
	virtio_rig_check_alive(&fx->rig, NULL);
	assert_heard(fx, "MsStTRsS");
}

/* ---- interrupts ---- */

static void test_interrupts(void **state)
{
	struct fx *fx = *state;

	start(fx);
	for (unsigned q = 0; q < QUEUES; q++) {
		interrupt(fx, q);
		assert_int_equal(virtio_rig_queue_irqs(&fx->rig, q), 1);
		assert_int_equal(virtio_rig_queue_irqs(&fx->rig, !q), 0);
		if (fx->rig.transport == RIG_MMIO)
			assert_int_equal(virtio_rig_isr(&fx->rig), 1);
	}
}

static void mask(struct fx *fx, unsigned q, bool on)
{
	const uint64_t entry = fx->rig.msix_table + (1 + q) * PCI_MSIX_ENTRY_SIZE;

	virtio_rig_write(&fx->rig, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, on);
}

/* A vector that is masked is not the server's; what it says meanwhile is pending. */
static void test_masked_vector(void **state)
{
	struct fx *fx = *state;

	if (fx->rig.transport != RIG_PCI)
		return;
	start(fx);
	assert_heard(fx, "MsS");
	mask(fx, 1, true);
	assert_heard(fx, "C");
	assert_int_equal(fx->server.queues[1].call, -1);
	interrupt(fx, 1);
	assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 1), 0);
	mask(fx, 1, false);
	assert_heard(fx, "C");
	assert_true(fx->server.queues[1].call >= 0);
	assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 1), 1);
	interrupt(fx, 1);
	assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 1), 1);
	/* Masked when the driver starts. */
	mask(fx, 0, true);
	start(fx);
	assert_heard(fx, "ctTRsS");
	assert_int_equal(fx->server.queues[0].call, -1);
	/* After the reset nobody is told. */
	virtio_rig_set_status(&fx->rig, 0);
	assert_heard(fx, "tTR");
	mask(fx, 0, false);
	mask(fx, 1, true);
	assert_heard(fx, "");
}

/* A server that does not read: the guest's vectors may move as often as they like. */
static void test_slow_server(void **state)
{
	struct fx *fx = *state;

	server_deaf(&fx->server, true);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	for (unsigned i = 0; i < 20000 && fx->rig.transport == RIG_PCI; i++) {
		mask(fx, 1, i % 2 == 0); /* unmasked at last */
		if (i % 100 == 0)
			virtio_rig_run(&fx->rig);
	}
	assert_broken(fx, false);
	fx->server.heard[0] = '\0';
	server_deaf(&fx->server, false);
	virtio_rig_run(&fx->rig);
	assert_int_equal(fx->server.queues[1].call >= 0, fx->rig.transport == RIG_PCI);
	assert_true(fx->server.queues[1].calls < 5000);
	interrupt(fx, 1);
	assert_true(virtio_rig_queue_irqs(&fx->rig, 1) > 0);
}

static void fill_link(struct fx *fx)
{
	const struct fs_message message = {.kind = FS_CALL};

	server_deaf(&fx->server, true);
	while (fs_link_send(fx->link, &message, NULL, 0) == 0)
		;
}

static void drain_link(struct fx *fx)
{
	struct fs_message message;
	int fds[MEM_MAX_REGIONS];
	unsigned count;

	while (fs_link_receive(fx->server.link, &message, fds, &count) == 1)
		assert_int_equal(message.kind, FS_CALL);
	server_deaf(&fx->server, false);
}

/* A start that was not said yet is not said any more after a reset, and the reset does not wait. */
static void test_no_room_to_start(void **state)
{
	struct fx *fx = *state;

	virtio_rig_run(&fx->rig);
	fill_link(fx);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	virtio_rig_set_status(&fx->rig, 0);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	assert_heard(fx, "M");
	drain_link(fx);
	assert_heard(fx, "sS");
	assert_true(kicked(fx, 1));
	fill_link(fx);
	virtio_rig_set_status(&fx->rig, 0);
	virtio_rig_run(&fx->rig);
	assert_true(virtio_rig_status(&fx->rig) != 0);
	drain_link(fx);
	assert_heard(fx, "tTR");
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
}

/* ---- at rest ---- */

static bool freeze(struct fx *fx)
{
	bool frozen;

	loop_lock(&fx->rig.loop);
	virtio_freeze(fx->rig.dev);
	loop_unlock(&fx->rig.loop);
	virtio_rig_run(&fx->rig);
	loop_lock(&fx->rig.loop);
	frozen = virtio_is_frozen(fx->rig.dev);
	loop_unlock(&fx->rig.loop);
	return frozen;
}

static void thaw(struct fx *fx)
{
	loop_lock(&fx->rig.loop);
	virtio_thaw(fx->rig.dev);
	loop_unlock(&fx->rig.loop);
	virtio_rig_run(&fx->rig);
}

/* The server's answer to FS_STOP. */
static void stopped(struct fx *fx, unsigned q)
{
	fx->server.queues[q].started = false;
	say(&fx->server, FS_STOPPED, q);
	virtio_rig_run(&fx->rig);
}

/* Queues stop for a while, and go on where they were; nothing is forgotten. */
static void test_freeze(void **state)
{
	struct fx *fx = *state;

	start(fx);
	assert_heard(fx, "MsS");
	for (uint16_t i = 1; i < 4; i++) {
		fx->server.next_avail = i;
		assert_true(freeze(fx));
		assert_heard(fx, "pPV");
		assert_int_equal(fx->rig.dev->queues[1].vq.st.next_avail, i);
		assert_int_equal(virtio_rig_status(&fx->rig), RUNNING);
		(void)kicked(fx, 1);
		virtio_rig_kick(&fx->rig, 1);
		thaw(fx);
		assert_heard(fx, "sS");
		assert_int_equal(fx->server.queues[1].ring.next_avail, i);
		assert_true(kicked(fx, 1)); /* whatever came meanwhile */
		interrupt(fx, 1);
		assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 1), 1);
	}
	assert_int_equal(fx->rig.dev->in_flight, 0);
	virtio_rig_check_alive(&fx->rig, NULL);
	assert_heard(fx, "tTRsS");
}

/* It is not there before the server says so of both queues, and may be given up meanwhile. */
static void test_freeze_waits(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	assert_false(freeze(fx));
	assert_heard(fx, "MsSpP");
	stopped(fx, 0);
	assert_false(virtio_is_frozen(fx->rig.dev));
	stopped(fx, 1);
	assert_false(virtio_is_frozen(fx->rig.dev)); /* it has not said what it knows */
	assert_heard(fx, "V");
	say_saved(&fx->server);
	virtio_rig_run(&fx->rig);
	assert_true(virtio_is_frozen(fx->rig.dev));
	thaw(fx);
	assert_heard(fx, "sS");
	assert_false(freeze(fx));
	stopped(fx, 0);
	thaw(fx); /* one has stopped, the other has not */
	assert_int_equal(fx->rig.dev->in_flight, 0);
	assert_heard(fx, "pPs");
	stopped(fx, 1);
	assert_heard(fx, "S");
	fx->server.mute = false;
	assert_true(freeze(fx));
	thaw(fx);
	assert_heard(fx, "pPVsS");
	virtio_rig_check_alive(&fx->rig, NULL);
}

/* Given up, and wanted again before the server has answered. */
static void test_freeze_again(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	assert_false(freeze(fx));
	thaw(fx);
	assert_false(freeze(fx));
	assert_heard(fx, "MsSpP");
	stopped(fx, 1);
	stopped(fx, 0);
	assert_heard(fx, "V");
	/* What was asked for is to come, and is not what the next freeze wants to know. */
	thaw(fx);
	assert_false(freeze(fx));
	stopped(fx, 0);
	stopped(fx, 1);
	assert_heard(fx, "sSpP");
	say_saved(&fx->server);
	virtio_rig_run(&fx->rig);
	assert_false(virtio_is_frozen(fx->rig.dev));
	assert_heard(fx, "V");
	say_saved(&fx->server);
	virtio_rig_run(&fx->rig);
	assert_true(virtio_is_frozen(fx->rig.dev));
	thaw(fx);
	assert_heard(fx, "sS");
}

/* There is nothing to be stopped, or it has been already. */
static void test_freeze_idle(void **state)
{
	struct fx *fx = *state;

	assert_true(freeze(fx));
	thaw(fx);
	assert_heard(fx, "M");
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	start(fx);
	virtio_rig_set_status(&fx->rig, RUNNING | VIRTIO_CONFIG_S_FAILED);
	assert_heard(fx, "sStT");
	assert_true(freeze(fx));
	thaw(fx);
	assert_heard(fx, "V");
	virtio_rig_check_alive(&fx->rig, NULL);
}

/* A reset that waits for the server comes first. */
static void test_freeze_in_reset(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	virtio_rig_set_status(&fx->rig, 0);
	assert_false(freeze(fx));
	stopped(fx, 0);
	stopped(fx, 1);
	assert_heard(fx, "MsStTR");
	assert_false(virtio_is_frozen(fx->rig.dev));
	say(&fx->server, FS_RESET_DONE, 0);
	virtio_rig_run(&fx->rig);
	assert_true(virtio_is_frozen(fx->rig.dev));
	thaw(fx);
	fx->server.mute = false;
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	virtio_rig_check_alive(&fx->rig, NULL);
}

/* FS_START was not said yet; then it need not be. */
static void test_freeze_without_room(void **state)
{
	struct fx *fx = *state;

	virtio_rig_run(&fx->rig);
	fill_link(fx);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	assert_true(freeze(fx));
	drain_link(fx);
	assert_heard(fx, "M");
	thaw(fx);
	assert_heard(fx, "sS");
	fill_link(fx);
	assert_false(freeze(fx));
	drain_link(fx);
	assert_heard(fx, "pPV");
	assert_true(virtio_is_frozen(fx->rig.dev));
	thaw(fx);
	assert_heard(fx, "sS");
	virtio_rig_check_alive(&fx->rig, NULL);
}

/* ---- a server that goes ---- */

/* Without a server each start ends with a device that needs a reset, and each reset ends. */
static void assert_no_server(struct fx *fx)
{
	virtio_rig_run(&fx->rig);
	for (unsigned i = 0; i < 2; i++) {
		virtio_rig_set_status(&fx->rig, 0);
		assert_int_equal(virtio_rig_status(&fx->rig), 0);
		virtio_rig_start(&fx->rig, UINT64_MAX, 0);
		assert_broken(fx, true);
		virtio_rig_kick(&fx->rig, 1);
		virtio_rig_kick_by_exit(&fx->rig, 0);
		virtio_rig_run(&fx->rig);
	}
	assert_int_equal(fx->rig.dev->in_flight, 0);
}

static void test_gone_before_start(void **state)
{
	struct fx *fx = *state;

	server_die(&fx->server);
	assert_broken(fx, false);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_no_server(fx);
}

static void test_gone_while_running(void **state)
{
	struct fx *fx = *state;

	start(fx);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 0);
	server_die(&fx->server);
	assert_broken(fx, true);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 1);
	virtio_rig_run(&fx->rig);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 0);
	assert_no_server(fx);
}

/* Noticed by what is said to it, not by what is heard. */
static void test_gone_when_told(void **state)
{
	struct fx *fx = *state;

	server_die(&fx->server);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	assert_broken(fx, true);
	assert_no_server(fx);
}

static void test_gone_at_reset(void **state)
{
	struct fx *fx = *state;

	start(fx);
	server_die(&fx->server);
	virtio_rig_set_status(&fx->rig, 0);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_no_server(fx);
}

static void test_gone_during_reset(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	virtio_rig_set_status(&fx->rig, 0);
	virtio_rig_run(&fx->rig);
	assert_int_equal(virtio_rig_status(&fx->rig), RUNNING);
	server_die(&fx->server);
	virtio_rig_run(&fx->rig);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_no_server(fx);
}

static void test_gone_after_stop(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	virtio_rig_set_status(&fx->rig, 0);
	virtio_rig_run(&fx->rig);
	for (unsigned q = 0; q < QUEUES; q++) {
		fx->server.queues[q].started = false;
		say(&fx->server, FS_STOPPED, q);
	}
	virtio_rig_run(&fx->rig);
	assert_int_equal(virtio_rig_status(&fx->rig), RUNNING);
	server_die(&fx->server);
	virtio_rig_run(&fx->rig);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_no_server(fx);
}

static void test_gone_after_failed(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	virtio_rig_set_status(&fx->rig, RUNNING | VIRTIO_CONFIG_S_FAILED);
	virtio_rig_run(&fx->rig);
	server_die(&fx->server);
	virtio_rig_run(&fx->rig);
	assert_no_server(fx);
}

static void test_gone_during_freeze(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	assert_false(freeze(fx));
	server_die(&fx->server);
	virtio_rig_run(&fx->rig);
	assert_true(virtio_is_frozen(fx->rig.dev));
	thaw(fx);
	assert_broken(fx, true);
	assert_no_server(fx);
}

static void test_gone_while_frozen(void **state)
{
	struct fx *fx = *state;

	start(fx);
	assert_true(freeze(fx));
	server_die(&fx->server);
	thaw(fx);
	assert_broken(fx, true);
	assert_no_server(fx);
}

/* The machine ends while a reset waits. */
static void test_hang_up(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.mute = true;
	virtio_rig_set_status(&fx->rig, 0);
	virtio_rig_run(&fx->rig);
	assert_true(fx->rig.dev->in_flight > 0);
	loop_lock(&fx->rig.loop);
	virtio_fs_hang_up(fx->rig.dev);
	virtio_fs_hang_up(fx->rig.dev);
	loop_unlock(&fx->rig.loop);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	virtio_rig_run(&fx->rig);
	assert_true(fx->server.gone);
	assert_no_server(fx);
}

/* ---- a server that is hostile ---- */

/* Nothing is believed after that, and the server sees its end. */
static void assert_hung_up(struct fx *fx)
{
	assert_broken(fx, true);
	assert_true(fx->server.gone);
	assert_no_server(fx);
}

static void test_nonsense(void **state)
{
	static const struct {
		uint32_t kind, queue;
	} cases[] = {
		{0, 0},
		{FS_MEMORY, 0},
		{FS_START, 0},
		{FS_CALL, 1},
		{FS_STOP, 0},
		{FS_RESET, 0},
		{FS_SAVE, 0},
		{FS_LOAD, 0},
		{FS_SAVED, 0},
		{FS_LOADED, 0},
		{FS_LOADED + 1, 0},
		{UINT32_MAX, 0},
		{FS_STOPPED, 0},
		{FS_STOPPED, 2},
		{FS_STOPPED, UINT32_MAX},
		{FS_RESET_DONE, 0},
		{FS_INTERRUPT, 2},
		{FS_INTERRUPT, UINT32_MAX},
	};
	struct fx *fx = *state;
	const enum virtio_rig_transport transport = fx->rig.transport;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		start(fx);
		assert_int_equal(say_to(fx->server.link, cases[i].kind, cases[i].queue, 0), 0);
		assert_hung_up(fx);
		end(fx);
		begin(fx, transport);
	}
}

static void test_malformed(void **state)
{
	static const size_t lengths[] = {1, 11, sizeof(struct fs_message) - 1, sizeof(struct fs_message) + 1,
					 4096};
	struct fx *fx = *state;
	const enum virtio_rig_transport transport = fx->rig.transport;
	char bytes[4096] = {FS_INTERRUPT};

	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		start(fx);
		assert_int_equal(send(fx->server.link, bytes, lengths[i], 0), lengths[i]);
		assert_hung_up(fx);
		end(fx);
		begin(fx, transport);
	}
}

/* Descriptors that nobody wants are closed: end() counts. */
static void test_descriptors(void **state)
{
	const struct fs_message message = {.kind = FS_INTERRUPT};
	struct fx *fx = *state;
	int fds[MEM_MAX_REGIONS];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	start(fx);
	assert_int_equal(fs_link_send(fx->server.link, &message, fds, ARRAY_SIZE(fds)), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	assert_hung_up(fx);
}

/* Answers twice, or before the question. */
static void test_out_of_turn(void **state)
{
	struct fx *fx = *state;
	struct server *s = &fx->server;
	const enum virtio_rig_transport transport = fx->rig.transport;

	for (unsigned i = 0; i < 3; i++) {
		start(fx);
		s->mute = true;
		virtio_rig_set_status(&fx->rig, 0);
		virtio_rig_run(&fx->rig);
		say(s, i == 0 ? FS_RESET_DONE : FS_STOPPED, 0);
		if (i == 1)
			say(s, FS_STOPPED, 0);
		if (i == 2)
			say(s, FS_RESET_DONE, 0);
		virtio_rig_run(&fx->rig);
		assert_true(s->gone);
		assert_no_server(fx);
		end(fx);
		begin(fx, transport);
	}
}

/* Any number of interrupts is no more than many; the loop has other things to do. */
static void test_flood(void **state)
{
	struct fx *fx = *state;
	unsigned sent = 0, rounds = 0;
	struct fs_message message;
	int fds[MEM_MAX_REGIONS];
	unsigned count;

	start(fx);
	while (say_to(fx->server.link, FS_INTERRUPT, 1, 0) == 0)
		sent++;
	assert_true(sent > 100);
	loop_run_once(&fx->rig.loop, 0);
	/* Most of it is still there, as a reader of the socket would see. */
	while (fs_link_receive(fx->link, &message, fds, &count) == 1)
		rounds++;
	assert_true(rounds >= sent - 32);
	assert_true(virtio_rig_queue_irqs(&fx->rig, 1) > 0);
	assert_broken(fx, false);
	virtio_rig_check_alive(&fx->rig, NULL);
}

/* Indices of a server are what the next one is told, whatever they are. */
static void test_wild_indices(void **state)
{
	struct fx *fx = *state;

	start(fx);
	fx->server.next_avail = 0xbeef;
	virtio_rig_set_status(&fx->rig, RUNNING | VIRTIO_CONFIG_S_FAILED);
	virtio_rig_run(&fx->rig);
	assert_int_equal(fx->rig.dev->queues[1].vq.st.next_avail, 0xbeef);
	virtio_rig_check_alive(&fx->rig, NULL);
	virtio_rig_run(&fx->rig);
	assert_int_equal(fx->server.queues[1].ring.next_avail, 0);
}

/* ---- snapshots ---- */

/* Another machine of the same memory, with a device and a server that know nothing. */
static struct fx *another(const struct fx *fx)
{
	struct fx *to = calloc(1, sizeof(*to));

	assert_non_null(to);
	begin_bare(to, fx->rig.transport);
	return to;
}

/* What the server answers it has said before: it is on the same loop, which does not run. */
static int load(struct fx *to, const struct rig_snapshot *snap, struct err *err)
{
	return rig_snapshot_load(snap, &to->rig, err);
}

static void unmake(struct fx *to)
{
	end(to);
	free(to);
}

/* A device that was loaded goes on where the first one's server has stopped, with what that one knew. */
static void test_state(void **state)
{
	struct rig_snapshot snap;
	struct fx *fx = *state, *to;

	start(fx);
	fx->server.next_avail = 5;
	rig_snapshot_of(&snap, &fx->rig);
	assert_heard(fx, "MsSpPVsS");
	to = another(fx);
	say_loaded(&to->server, 0, "");
	assert_int_equal(load(to, &snap, NULL), 0);
	assert_heard(to, "MLsS");
	assert_int_equal(to->server.loaded, strlen("what it knows"));
	assert_int_equal(to->server.queues[1].ring.next_avail, 5);
	assert_int_equal(to->server.queues[1].ring.desc, fx->rig.rings[1].desc);
	assert_true(kicked(to, 1));
	/* And once more, and a reset makes it forget. */
	virtio_rig_freeze(&to->rig);
	virtio_rig_thaw(&to->rig);
	assert_heard(to, "pPVsS");
	virtio_rig_check_alive(&to->rig, NULL);
	assert_heard(to, "tTRsS");
	unmake(to);
	rig_snapshot_free(&snap);
	virtio_rig_check_alive(&fx->rig, NULL);
}

/* A server that has nothing to say yet is not asked, and one of a snapshot like that is told nothing. */
static void test_state_idle(void **state)
{
	struct rig_snapshot snap;
	struct fx *fx = *state, *to;

	rig_snapshot_of(&snap, &fx->rig);
	assert_heard(fx, "M");
	to = another(fx);
	assert_int_equal(load(to, &snap, NULL), 0);
	assert_heard(to, "M");
	virtio_rig_check_alive(&to->rig, NULL);
	unmake(to);
	rig_snapshot_free(&snap);
}

/* What its server refuses, or does not understand, is an error of the restore, in a line that can be printed.
 */
static void test_state_refused(void **state)
{
	struct rig_snapshot snap;
	struct fx *fx = *state, *to;
	struct err err = {0};

	start(fx);
	rig_snapshot_of(&snap, &fx->rig);
	to = another(fx);
	say_loaded(&to->server, EINVAL, "bad\033files");
	assert_int_equal(load(to, &snap, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "bad\\x1bfiles"));
	unmake(to);
	to = another(fx);
	say(&to->server, FS_INTERRUPT, 0);
	assert_int_equal(load(to, &snap, &err), -EBADMSG);
	unmake(to);
	to = another(fx);
	server_die(&to->server);
	assert_int_equal(load(to, &snap, &err), -EPIPE);
	unmake(to);
	rig_snapshot_free(&snap);
}

/* A server that cannot say what it knows, or has more than there can be. */
static void test_save_fails(void **state)
{
	struct snapshot_writer *writer;
	struct fx *fx = *state;
	struct fs_message message = {.kind = FS_SAVED};
	struct err err = {0};
	const void *bytes;
	size_t len;

	start(fx);
	fx->server.save_error = ENOSPC;
	assert_true(freeze(fx));
	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	loop_lock(&fx->rig.loop);
	virtio_save(fx->rig.dev, writer, "share0");
	loop_unlock(&fx->rig.loop);
	assert_int_equal(snapshot_writer_finish(writer, &bytes, &len, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "share0"));
	snapshot_writer_destroy(writer);
	thaw(fx);
	fx->server.save_error = 0;
	assert_true(freeze(fx));
	thaw(fx);
	assert_heard(fx, "MsSpPVsSpPVsS");
	fx->server.mute = true;
	assert_false(freeze(fx));
	stopped(fx, 0);
	stopped(fx, 1);
	message.state.bytes = (uint64_t)FS_STATE_BYTES + 1;
	assert_int_equal(fs_link_send(fx->server.link, &message, NULL, 0), 0);
	virtio_rig_run(&fx->rig);
	assert_true(fx->server.gone);
	thaw(fx);
	assert_no_server(fx);
}

static const struct rig_case cases[] = {
	RIG_CASE(test_config),
	RIG_CASE(test_tags),
	RIG_CASE(test_refused),
	RIG_CASE(test_memory),
	RIG_CASE(test_start),
	RIG_CASE(test_features),
	RIG_CASE(test_one_queue),
	RIG_CASE(test_reset_before_start),
	RIG_CASE(test_reset_waits),
	RIG_CASE(test_failed),
	RIG_CASE(test_driver_breaks_a_ring),
	RIG_CASE(test_interrupts),
	RIG_CASE(test_masked_vector),
	RIG_CASE(test_slow_server),
	RIG_CASE(test_no_room_to_start),
	RIG_CASE(test_freeze),
	RIG_CASE(test_freeze_waits),
	RIG_CASE(test_freeze_again),
	RIG_CASE(test_freeze_idle),
	RIG_CASE(test_freeze_in_reset),
	RIG_CASE(test_freeze_without_room),
	RIG_CASE(test_gone_before_start),
	RIG_CASE(test_gone_while_running),
	RIG_CASE(test_gone_when_told),
	RIG_CASE(test_gone_at_reset),
	RIG_CASE(test_gone_during_reset),
	RIG_CASE(test_gone_after_stop),
	RIG_CASE(test_gone_after_failed),
	RIG_CASE(test_gone_during_freeze),
	RIG_CASE(test_gone_while_frozen),
	RIG_CASE(test_hang_up),
	RIG_CASE(test_nonsense),
	RIG_CASE(test_malformed),
	RIG_CASE(test_descriptors),
	RIG_CASE(test_out_of_turn),
	RIG_CASE(test_flood),
	RIG_CASE(test_wild_indices),
	RIG_CASE(test_state),
	RIG_CASE(test_state_idle),
	RIG_CASE(test_state_refused),
	RIG_CASE(test_save_fails),
};

int main(void)
{
	return rig_run_cases("virtio_fs", cases, ARRAY_SIZE(cases), setup, teardown);
}
