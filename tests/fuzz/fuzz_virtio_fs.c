/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the virtio-fs device from both sides: a guest that does anything with its registers, and a file
 * server that says anything by the link, answers late or never, or leaves. After that a driver finds a device
 * that can be reset, and that starts, or says that it needs a reset when its server has gone.
 *
 * The first byte chooses the transport. An operation is a byte and its arguments as they come; what the input
 * lacks reads as 0.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <linux/virtio_config.h>
#include <sys/socket.h>

#include "hull/fs_link.h"
#include "hull/virtio_fs.h"
#include "virtio_driver.h"

enum { MAX_OPS = 300, QUEUES = 2, QUEUE_SIZE = 16, KINDS = FS_LOADED + 2 };

struct play {
	struct virtio_rig rig;
	int link; /* the server's end; -1: it has gone */
	bool honest;
	struct fuzz_input in;
};

static void say(struct play *p, uint32_t kind, uint32_t q)
{
	struct fs_message message = {.kind = kind, .queue = q};

	message.ring.next_avail = fuzz_u16(&p->in);
	if (p->link >= 0)
		(void)fs_link_send(p->link, &message, NULL, 0);
}

/* What the device has said is read; an honest server answers. */
static void hear(struct play *p)
{
	struct fs_message message;
	int fds[MEM_MAX_REGIONS];
	unsigned count;

	while (p->link >= 0 && fs_link_receive(p->link, &message, fds, &count) == 1) {
		require((message.kind >= FS_MEMORY && message.kind <= FS_RESET) || message.kind == FS_SAVE);
		require(message.kind == FS_MEMORY || message.queue < QUEUES);
		for (unsigned i = 0; i < count; i++)
			close(fds[i]);
		if (p->honest && message.kind == FS_STOP)
			say(p, FS_STOPPED, message.queue);
		else if (p->honest && message.kind == FS_RESET)
			say(p, FS_RESET_DONE, 0);
		else if (p->honest && message.kind == FS_SAVE)
			say(p, FS_SAVED, 0);
	}
}

/* Any message, of any length, with a descriptor or not. */
static void nonsense(struct play *p)
{
	struct fs_message message;
	uint8_t how = fuzz_u8(&p->in);
	int fd;

	memset(&message, how, sizeof(message));
	message.kind = fuzz_u8(&p->in) % KINDS;
	message.queue = fuzz_u8(&p->in) % (QUEUES + 1);
	if (p->link < 0)
		return;
	if (how & 1) {
		(void)!send(p->link, &message, min_u64(fuzz_u16(&p->in), sizeof(message)),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	fd = fuzz_file("", 0);
	(void)fs_link_send(p->link, &message, &fd, how & 2 ? 1 : 0);
	close(fd);
}

/* A snapshot is made, or is over. */
static void rest(struct virtio_rig *rig, bool on)
{
	loop_lock(virtio_rig_loop(rig));
	if (on)
		virtio_freeze(rig->dev);
	else
		virtio_thaw(rig->dev);
	loop_unlock(virtio_rig_loop(rig));
}

static void guest_op(struct play *p)
{
	struct virtio_rig *rig = &p->rig;
	uint8_t what = fuzz_u8(&p->in);

	switch (what % 8) {
	case 0:
		if (!rig->dev->resetting)
			virtio_rig_set_status(rig, fuzz_u8(&p->in));
		break;
	case 1:
		virtio_rig_set_features(rig, UINT64_C(1) << 32 | fuzz_u32(&p->in));
		break;
	case 2:
		virtio_rig_queue_setup(rig, what >> 3 & 1, QUEUE_SIZE);
		break;
	case 3:
		virtio_rig_kick_by_exit(rig, what >> 3 & 3);
		break;
	case 4:
		(void)virtio_rig_config_read(rig, fuzz_u8(&p->in), 1U << (what >> 3 & 3));
		virtio_rig_config_write(rig, fuzz_u8(&p->in), 1U << (what >> 3 & 3), fuzz_u32(&p->in));
		break;
	case 5:
		/* A vector is masked, or leads elsewhere. */
		if (rig->transport == RIG_PCI)
			virtio_rig_write(rig, rig->msix_table + (what >> 3 & 3) * 16U + (what >> 5 & 3) * 4U,
					 4, fuzz_u32(&p->in));
		break;
	case 6:
		if (rig->transport == RIG_PCI)
			virtio_rig_pci_write(rig, rig->msix_cap + 2, 2, fuzz_u16(&p->in));
		break;
	case 7:
		if (what & 24)
			rest(rig, what & 8);
		else
			(void)virtio_rig_isr(rig);
		break;
	}
}

/* A start without waiting: the rig's own waits for what this server may not do. */
static void start_op(struct play *p)
{
	struct virtio_rig *rig = &p->rig;

	if (rig->dev->resetting)
		return;
	virtio_rig_set_status(rig, 0);
	virtio_rig_run(rig);
	if (rig->dev->resetting)
		return;
	virtio_rig_set_status(rig, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	virtio_rig_set_features(rig, UINT64_C(1) << VIRTIO_F_VERSION_1);
	virtio_rig_set_status(rig, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					   VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned q = 0; q < QUEUES; q++)
		virtio_rig_queue_setup(rig, q, QUEUE_SIZE);
	virtio_rig_set_status(rig, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					   VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void run_op(struct play *p)
{
	uint8_t op = fuzz_u8(&p->in);

	switch (op % 8) {
	case 0:
		start_op(p);
		break;
	case 1:
	case 2:
		guest_op(p);
		break;
	case 3:
		say(p, FS_STOPPED + (op >> 3) % 4, op >> 5 & 1);
		break;
	case 4:
		hear(p);
		break;
	case 5:
		virtio_rig_run(&p->rig);
		break;
	case 6:
		p->honest = op & 8;
		if (op >> 3 == 31)
			fd_close(&p->link);
		break;
	case 7:
		nonsense(p);
		break;
	}
}

/* An honest driver, and a server that is honest from now on, or has gone. */
static void check(struct play *p)
{
	struct virtio_rig *rig = &p->rig;

	/* What was left unanswered is lost: the session with it. */
	fd_close(&p->link);
	virtio_rig_run(rig);
	rest(rig, false);
	virtio_rig_run(rig);
	require(!rig->dev->resetting);
	if (rig->transport == RIG_PCI) {
		virtio_rig_pci_write(rig, rig->msix_cap + 2, 2, 0x8000);
		virtio_rig_run(rig);
	}
	start_op(p);
	virtio_rig_run(rig);
	require(virtio_rig_status(rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	virtio_rig_set_status(rig, 0);
	virtio_rig_run(rig);
	require(virtio_rig_status(rig) == 0);
	virtio_rig_check_canary(rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play play;
	struct virtio_fs_params params = {.tag = "share0"};
	int link[2];

	memset(&play, 0, sizeof(play));
	play.in = (struct fuzz_input){data, size};
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) == 0);
	play.link = link[0];
	play.honest = true;
	params.link = link[1];
	virtio_rig_init(&play.rig, fuzz_u8(&play.in) & 1 ? RIG_PCI : RIG_MMIO, &virtio_fs_type, &params);
	for (unsigned i = 0; i < MAX_OPS && play.in.left > 0; i++)
		run_op(&play);
	check(&play);
	loop_lock(virtio_rig_loop(&play.rig));
	virtio_fs_hang_up(play.rig.dev);
	loop_unlock(virtio_rig_loop(&play.rig));
	virtio_rig_finish(&play.rig);
	close(link[1]);
	return 0;
}
