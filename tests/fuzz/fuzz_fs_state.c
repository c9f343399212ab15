/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes what a file server is told by a snapshot (fileserver/saved.h): the input is a session. It is refused
 * whole, or requests of the nodes and handles in it are answered as ever; what is saved then is loaded by
 * another server. Beside the directory is a secret, which comes in no answer, and nothing changes.
 *
 * Numbers of inodes below FILES stand for those of the directory's files. All is said before the server runs,
 * on the same thread.
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
#include "saved.h"

#define RAM    UINT64_C(0x200000)
#define SECRET "zQ7-what-no-guest-may-see-9Xk"

enum {
	RAM_SIZE = 2 << 20,
	SIZE = 32, /* of the ring */
	DRIVER = 0x800,
	DEVICE = 0x1000,
	REQUESTS = 0x8000,
	ROOM = 0x2000, /* of a request and its answer */
	NODES = 6,     /* that are asked for, and as many handles */
	WAITING = 24,  /* the head of a chain that the server has had */
};

static const char *const files[] = {".", "f", "d", "d/g", "link", "../secret", "d/h", "fifo"};

enum { FILES = ARRAY_SIZE(files) };

/* ---- the directory, the same for all inputs ---- */

static void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static int shared_dir(uint64_t numbers[FILES])
{
	static char top[] = "/tmp/hull-fuzz-XXXXXX";
	static bool made;
	char path[64];
	struct stat st;
	int fd;

	if (!made)
		require(mkdtemp(top) != NULL);
	snprintf(path, sizeof(path), "%s/root", top);
	require(made || mkdir(path, 0700) == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(fd >= 0);
	if (!made) {
		require(mkdirat(fd, "d", 0700) == 0 && symlinkat("..", fd, "link") == 0 &&
			mkfifoat(fd, "fifo", 0600) == 0);
		put_file(fd, "f", "some bytes of a file");
		put_file(fd, "d/g", "g");
		put_file(fd, "d/h", "h");
		put_file(fd, "../secret", SECRET);
	}
	made = true;
	for (unsigned i = 0; i < FILES; i++) {
		require(fstatat(fd, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0);
		numbers[i] = st.st_ino;
	}
	return fd;
}

/* Numbers of files take the places of small ones. */
static void put_numbers(uint8_t *bytes, size_t len, const uint64_t numbers[FILES])
{
	struct saved_header header;
	struct saved_inode inode;
	size_t at = sizeof(header);

	if (len < at)
		return;
	memcpy(&header, bytes, sizeof(header));
	at += header.devices * sizeof(struct saved_device);
	for (uint32_t i = 0; i < header.inodes && at < len && len - at >= sizeof(inode); i++) {
		memcpy(&inode, bytes + at, sizeof(inode));
		if (inode.ino < FILES)
			inode.ino = numbers[inode.ino];
		memcpy(bytes + at, &inode, sizeof(inode));
		at += sizeof(inode) + inode.name_bytes;
	}
}

/* ---- the guest ---- */

/* A request of `len` bytes behind its header, and room for the answer. */
static void request(uint8_t *ram, uint32_t opcode, uint64_t node, const void *body, uint32_t len)
{
	struct vring_desc *desc = (struct vring_desc *)(void *)ram;
	struct vring_avail *avail = (struct vring_avail *)(void *)(ram + DRIVER);
	const uint64_t at = REQUESTS + (uint64_t)avail->idx * ROOM;
	const unsigned head = avail->idx * 2U;
	const struct fuse_in_header header = {.len = (uint32_t)sizeof(header) + len,
					      .opcode = opcode,
					      .unique = avail->idx + 2U,
					      .nodeid = node};

	require(head + 1 < SIZE * 2 && at + ROOM <= RAM_SIZE);
	memcpy(ram + at, &header, sizeof(header));
	if (len)
		memcpy(ram + at + sizeof(header), body, len);
	desc[head % SIZE] =
		(struct vring_desc){RAM + at, header.len, VRING_DESC_F_NEXT, (uint16_t)(head % SIZE + 1)};
	desc[head % SIZE + 1] = (struct vring_desc){RAM + at + ROOM / 2, ROOM / 2, VRING_DESC_F_WRITE, 0};
	avail->ring[avail->idx % SIZE] = (uint16_t)(head % SIZE);
	avail->idx++;
}

static void put_requests(uint8_t *ram)
{
	struct vring_desc *desc = (struct vring_desc *)(void *)ram;
	const struct fuse_getattr_in attr = {0};

	desc[WAITING] = (struct vring_desc){RAM + REQUESTS / 2, 40, VRING_DESC_F_NEXT, WAITING + 1};
	desc[WAITING + 1] = (struct vring_desc){RAM + REQUESTS / 2 + 64, 64, VRING_DESC_F_WRITE, 0};
	for (uint32_t i = 0; i < NODES; i++) {
		const struct fuse_read_in in = {.fh = i, .size = 1024};

		request(ram, i % 2 ? FUSE_LOOKUP : FUSE_GETATTR, i + 1, i % 2 ? "g" : (const char *)&attr,
			i % 2 ? 2 : sizeof(attr));
		request(ram, i % 2 ? FUSE_READDIR : FUSE_READ, i + 1, &in, sizeof(in));
	}
}

/* ---- the worker ---- */

static void say(int link, const struct fs_message *message, const int *fds, unsigned count)
{
	require(fs_link_send(link, message, fds, count) == 0);
}

/* What the server said of FS_LOAD: an errno or 0. With FS_SAVED the bytes in *ret_saved. */
static int hear(int link, uint64_t *ret_saved)
{
	struct fs_message message;
	int fds[MEM_MAX_REGIONS], error = -1;
	unsigned count;

	*ret_saved = 0;
	while (fs_link_receive(link, &message, fds, &count) == 1) {
		require(count == 0);
		if (message.kind == FS_LOADED)
			error = message.state.error;
		if (message.kind == FS_LOADED && error)
			require(message.state.text[0] != '\0');
		if (message.kind == FS_SAVED && message.state.error == 0)
			*ret_saved = message.state.bytes;
	}
	require(error >= 0);
	return error;
}

/* A server that loads the session, saves it to `to`, and is asked. Returns what it said of loading. */
static int serve(const struct guest_mem *mem, int root, int from, uint64_t len, int to, uint64_t *ret_saved)
{
	const struct file_share share = {.root_fd = root, .proc_fd = -1};
	struct fs_message message = {.kind = FS_MEMORY, .count = 1};
	int link[2],
		fds[2] = {eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}, r;

	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) == 0 && fds[0] >= 0 &&
		fds[1] >= 0);
	message.regions[0] = (struct fs_region){RAM, RAM_SIZE, mem->regions[0].offset};
	say(link[0], &message, &mem->regions[0].fd, 1);
	message = (struct fs_message){.kind = FS_LOAD};
	message.state.bytes = len;
	say(link[0], &message, &from, 1);
	message = (struct fs_message){.kind = FS_SAVE};
	say(link[0], &message, &to, 1);
	message = (struct fs_message){.kind = FS_START, .queue = 1, .count = 1};
	message.ring =
		(struct fs_ring){.desc = RAM, .driver = RAM + DRIVER, .device = RAM + DEVICE, .size = SIZE};
	say(link[0], &message, fds, 2);
	shutdown(link[0], SHUT_WR);
	require(file_server_run(&share, link[1], NULL) == 0);
	r = hear(link[0], ret_saved);
	for (unsigned i = 0; i < 2; i++) {
		close(fds[i]);
		close(link[i]);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned before = open_fds();
	uint8_t *bytes = malloc(size + 1), *ram;
	struct guest_mem mem = {0};
	uint64_t numbers[FILES], saved, again;
	int root = shared_dir(numbers), from, to;

	require(bytes && mem_add_shared_ram(&mem, RAM, RAM_SIZE, NULL) == 0);
	memcpy(bytes, data, size);
	put_numbers(bytes, size, numbers);
	from = fuzz_file(bytes, size);
	to = fuzz_file("", 0);
	require(ftruncate(to, 4 << 20) == 0);
	ram = mem_ptr(&mem, RAM, RAM_SIZE);
	put_requests(ram);
	if (serve(&mem, root, from, size, to, &saved) == 0 && saved > 0) {
		require(ftruncate(from, 4 << 20) == 0);
		memset(ram + DEVICE, 0, DEVICE);
		require(serve(&mem, root, to, saved, from, &again) == 0);
	}
	require(!memmem(ram, RAM_SIZE, SECRET, sizeof(SECRET) - 1));
	mem_finish(&mem);
	close(from);
	close(to);
	close(root);
	free(bytes);
	require(open_fds() == before);
	return 0;
}
