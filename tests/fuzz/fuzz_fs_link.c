/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the file server as its worker, which a guest may have taken over: any messages with any descriptors,
 * guest memory that is no memory, rings anywhere, and what is in them. All is said before the server runs, on
 * the same thread, and it ends when it has heard it. It says nothing but what a server says, and keeps no
 * descriptor.
 *
 * The input is a program of messages; a byte and its arguments as they come. What the input lacks reads as 0.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "hull/file_server.h"
#include "hull/fs_link.h"
#include "leaks.h"

#define RAM UINT64_C(0x200000)

enum {
	MAX_OPS = 48,
	RAM_SIZE = 2 << 20,
	RING = 0x2000, /* bytes of a queue's ring */
	SIZE = 16,     /* of it */
	REQUESTS = 0x8000,
};

struct play {
	struct guest_mem mem;
	int link;
	struct fuzz_input in;
};

/* A descriptor of any kind. */
static int any_fd(struct play *p)
{
	static const unsigned seals[] = {F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_GROW, 0};
	uint8_t how = fuzz_u8(&p->in);
	int fd;

	switch (how % 8) {
	case 0:
	case 1:
	case 2:
		fd = eventfd(how >> 3, EFD_CLOEXEC | EFD_NONBLOCK);
		break;
	case 3:
		return fuzz_file("x", 1);
	case 4:
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	case 5:
		fd = open("/", O_PATH | O_CLOEXEC);
		break;
	default:
		fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		require(fd >= 0 && ftruncate(fd, (off_t)(how >> 5) << 20) == 0);
		require(fcntl(fd, F_ADD_SEALS, seals[how >> 3 & 3]) == 0);
		break;
	}
	require(fd >= 0);
	return fd;
}

static void send_all(struct play *p, const struct fs_message *message, unsigned count, bool of_ours)
{
	int fds[MEM_MAX_REGIONS];

	for (unsigned i = 0; i < count; i++)
		fds[i] = of_ours && i == 0 ? dup(p->mem.regions[0].fd) : any_fd(p);
	(void)fs_link_send(p->link, message, fds, count);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

/* What an honest worker says. */
static void memory_op(struct play *p)
{
	struct fs_message message = {.kind = FS_MEMORY, .count = 1};

	message.regions[0] = (struct fs_region){RAM, RAM_SIZE, p->mem.regions[0].offset};
	send_all(p, &message, 1, true);
}

static void start_op(struct play *p, unsigned q, bool call)
{
	const uint64_t at = RAM + q * RING;
	struct fs_message message = {.kind = FS_START, .queue = q, .count = call};
	int fds[2] = {eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

	message.ring = (struct fs_ring){
		.desc = at, .driver = at + 0x800, .device = at + 0x1000, .size = SIZE, .indirect = 1};
	require(fds[0] >= 0 && fds[1] >= 0);
	(void)fs_link_send(p->link, &message, fds, 1U + call);
	close(fds[0]);
	close(fds[1]);
}

/* A request whose chain is as a driver makes it: `body` bytes behind the header, room for an answer. */
static void request_op(struct play *p, unsigned q)
{
	static const uint8_t opcodes[] = {FUSE_INIT,    FUSE_LOOKUP,  FUSE_GETATTR,      FUSE_OPENDIR,
					  FUSE_READDIR, FUSE_DESTROY, FUSE_BATCH_FORGET, FUSE_STATFS,
					  FUSE_READ,    FUSE_FORGET,  FUSE_SETLKW,       FUSE_INTERRUPT};
	uint8_t *ram = mem_ptr(&p->mem, RAM, RAM_SIZE);
	struct vring_desc *desc = (struct vring_desc *)(void *)(ram + q * RING);
	struct vring_avail *avail = (struct vring_avail *)(void *)(ram + q * RING + 0x800);
	unsigned head = avail->idx % (SIZE / 2) * 2;
	uint8_t *at = ram + REQUESTS + (q * SIZE + head) * 0x1000;
	struct fuse_in_header header = {.opcode = opcodes[fuzz_u8(&p->in) % ARRAY_SIZE(opcodes)],
					.nodeid = 1,
					.unique = avail->idx + 2U};
	uint32_t body = fuzz_u8(&p->in);

	header.len = (uint32_t)sizeof(header) + body;
	fuzz_bytes(&p->in, at + sizeof(header), body);
	memcpy(at, &header, sizeof(header));
	desc[head] = (struct vring_desc){RAM + (uint64_t)(at - ram), header.len, VRING_DESC_F_NEXT,
					 (uint16_t)(head + 1)};
	desc[head + 1] =
		(struct vring_desc){RAM + (uint64_t)(at - ram) + 0x800, 0x1000, VRING_DESC_F_WRITE, 0};
	avail->ring[avail->idx % SIZE] = (uint16_t)head;
	avail->idx++;
}

static void plain_op(struct play *p, uint32_t kind, uint32_t q, uint32_t n)
{
	const struct fs_message message = {.kind = kind, .queue = q, .count = n};

	send_all(p, &message, 0, false);
}

/* Any message with any descriptors. */
static void any_op(struct play *p)
{
	struct fs_message message = {0};
	uint8_t how = fuzz_u8(&p->in);

	message.kind = how % (FS_LOADED + 2);
	message.queue = fuzz_u8(&p->in) % (FS_MAX_QUEUES + 1);
	message.count = fuzz_u8(&p->in) % (MEM_MAX_REGIONS + 2);
	if (message.kind == FS_MEMORY) {
		for (unsigned i = 0; i < MEM_MAX_REGIONS; i++)
			message.regions[i] = (struct fs_region){(uint64_t)fuzz_u32(&p->in) << 10,
								(uint64_t)fuzz_u16(&p->in) << 10,
								(uint64_t)fuzz_u16(&p->in) << 10};
	} else {
		fuzz_bytes(&p->in, &message.ring, sizeof(message.ring));
	}
	send_all(p, &message, fuzz_u8(&p->in) % (MEM_MAX_REGIONS + 1U), how & 0x80);
}

static void ram_op(struct play *p)
{
	uint8_t *ram = mem_ptr(&p->mem, RAM, RAM_SIZE);
	size_t off = fuzz_u16(&p->in) % (2 * RING);

	fuzz_bytes(&p->in, ram + off, 8);
}

static void run_op(struct play *p)
{
	uint8_t op = fuzz_u8(&p->in);

	switch (op % 8) {
	case 0:
		memory_op(p);
		break;
	case 1:
		start_op(p, op >> 3 & 1, op & 16);
		break;
	case 2:
		request_op(p, op >> 3 & 1);
		break;
	case 3:
		plain_op(p, FS_STOP, op >> 3 & 1, op >> 4 & 1);
		break;
	case 4:
		plain_op(p, FS_RESET, 0, 0);
		break;
	case 5:
		any_op(p);
		break;
	case 6:
		ram_op(p);
		break;
	case 7: {
		const struct fs_message message = {
			.kind = FS_CALL, .queue = op >> 3 & 1, .count = op >> 4 & 1};

		send_all(p, &message, message.count, false);
		break;
	}
	}
}

static void check_said(int link)
{
	struct fs_message message;
	int fds[MEM_MAX_REGIONS];
	unsigned count;

	while (fs_link_receive(link, &message, fds, &count) == 1)
		require(count == 0 && message.queue < FS_MAX_QUEUES &&
			((message.kind >= FS_STOPPED && message.kind <= FS_BROKEN) ||
			 message.kind == FS_SAVED || message.kind == FS_LOADED));
}

/* An empty directory, the same for all inputs: nothing in here can be made without a session's worth of luck.
 */
static int shared_dir(void)
{
	static char dir[] = "/tmp/hull-fuzz-XXXXXX";
	static bool made;

	if (!made)
		require(mkdtemp(dir) != NULL);
	made = true;
	return open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play play;
	struct play *p = &play;
	struct file_share share = {.proc_fd = -1, .read_only = true};
	unsigned before = open_fds();
	int link[2];

	memset(p, 0, sizeof(*p));
	p->in = (struct fuzz_input){data, size};
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) == 0);
	p->link = link[0];
	require(mem_add_shared_ram(&p->mem, RAM, RAM_SIZE, NULL) == 0);
	share.root_fd = shared_dir();
	for (unsigned i = 0; i < MAX_OPS && p->in.left > 0; i++)
		run_op(p);
	/* It hears all, and then that nobody is there any more, but can still answer. */
	shutdown(p->link, SHUT_WR);
	(void)file_server_run(&share, link[1], NULL);
	check_said(p->link);
	close(share.root_fd);
	close(link[0]);
	close(link[1]);
	mem_finish(&p->mem);
	require(open_fds() == before);
	return 0;
}
