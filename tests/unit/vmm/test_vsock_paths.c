/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Unix sockets of virtio-vsock: the supervisor's paths, and the worker that asks for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "unix_socket.h"
#include "vsock_guest.h"
#include "vsock_paths.h"

/* ---- the supervisor's side ---- */

/* Port 4294967295 of PATH is PATH_4294967295, and no other. */
static void test_connect(void **state)
{
	char dir[] = "/tmp/hull-vsock-XXXXXX";
	char path[sizeof(dir) + 16], name[sizeof(path) + 16];
	int server = -1, fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v.sock", dir);
	snprintf(name, sizeof(name), "%s_4294967295", path);
	assert_int_equal(unix_socket_listen(name, &server, NULL), 0);
	assert_int_equal(vsock_paths_connect(path, 1), -ENOENT);
	fd = vsock_paths_connect(path, 4294967295);
	assert_true(fd >= 0);
	close(fd);
	close(server);
	assert_int_equal(vsock_paths_connect(path, 4294967295), -ECONNREFUSED);
	unix_socket_unlink(name);
	assert_int_equal(rmdir(dir), 0);
}

static void test_connect_long_path(void **state)
{
	char path[108];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[107] = '\0';
	assert_int_equal(vsock_paths_connect(path, 1), -ENAMETOOLONG);
	path[106] = '\0';
	assert_int_equal(vsock_paths_connect(path, 1), -ENAMETOOLONG);
	path[105] = '\0';
	assert_int_equal(vsock_paths_connect(path, 1), -ENOENT);
}

/* ---- the worker's side ---- */

struct worker {
	struct vsock_guest g; /* its own host is not used */
	struct vsock_paths paths;
	int supervisor; /* the other end of the control socket */
};

static struct worker *make_worker(void)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct virtio_vsock_params params = {.cid = VSOCK_GUEST_CID, .host = &w->paths.host};
	int pair[2];

	assert_non_null(w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	w->supervisor = pair[0];
	vsock_paths_init(&w->paths, -1, pair[1]);
	virtio_rig_init(&w->g.rig, RIG_MMIO, &virtio_vsock_type, &params);
	w->g.ram = (uint8_t *)virtio_rig_ram(&w->g.rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM;
	w->g.cid = VSOCK_GUEST_CID;
	w->paths.dev = w->g.rig.dev;
	vsock_guest_start(&w->g);
	return w;
}

static void free_worker(struct worker *w)
{
	virtio_rig_finish(&w->g.rig);
	close(w->supervisor);
	close(w->paths.control);
	free(w);
}

static void test_ask(void **state)
{
	struct worker *w = make_worker();
	struct control_message m;
	struct loop main_loop = {.epoll_fd = -1};
	int fd, pair[2];

	(void)state;
	for (unsigned own = 0; own < 2; own++) {
		vsock_guest_op(&w->g, VIRTIO_VSOCK_OP_REQUEST, 9, 7000 + own, 0);
		assert_int_equal(control_receive(w->supervisor, &m, &fd), 1);
		assert_int_equal(fd, -1);
		assert_int_equal(m.kind, CONTROL_VSOCK_CONNECT);
		assert_int_equal(m.b, 7000 + own);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		/* The device on the loop that is locked already, and on another one. */
		if (own)
			loop_lock(&w->g.rig.loop);
		vsock_paths_connected(&w->paths, own ? &w->g.rig.loop : &main_loop, m.a, pair[1]);
		if (own)
			loop_unlock(&w->g.rig.loop);
		vsock_guest_expect(&w->g, VIRTIO_VSOCK_OP_RESPONSE, 9, 7000 + own);
		close(pair[0]);
		virtio_rig_run(&w->g.rig);
		vsock_guest_expect(&w->g, VIRTIO_VSOCK_OP_SHUTDOWN, 9, 7000 + own);
	}
	vsock_guest_op(&w->g, VIRTIO_VSOCK_OP_REQUEST, 9, 1, 0);
	assert_int_equal(control_receive(w->supervisor, &m, &fd), 1);
	vsock_paths_connected(&w->paths, &main_loop, m.a, -ENOENT);
	vsock_guest_expect(&w->g, VIRTIO_VSOCK_OP_RST, 9, 1);
	free_worker(w);
}

/* A supervisor that does not read, or is gone: refused at once. */
static void test_ask_in_vain(void **state)
{
	struct worker *w = make_worker();
	struct vsock_packet p;
	unsigned asked = 0;

	(void)state;
	for (; asked < 1000; asked++) {
		vsock_guest_op(&w->g, VIRTIO_VSOCK_OP_REQUEST, asked, 1, 0);
		if (vsock_guest_receive(&w->g, &p))
			break;
	}
	assert_true(asked > 0 && asked < 1000);
	assert_int_equal(p.header.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(p.header.dst_port, asked);
	close(w->supervisor);
	vsock_guest_op(&w->g, VIRTIO_VSOCK_OP_REQUEST, 5000, 1, 0);
	vsock_guest_expect(&w->g, VIRTIO_VSOCK_OP_RST, 5000, 1);
	w->supervisor = -1;
	free_worker(w);
}

/* An answer when there is no device (any more). */
static void test_answer_without_device(void **state)
{
	struct vsock_paths paths;
	int pair[2];
	char c;

	(void)state;
	vsock_paths_init(&paths, -1, -1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vsock_paths_connected(&paths, NULL, 1, pair[1]);
	assert_int_equal(recv(pair[0], &c, 1, 0), 0);
	close(pair[0]);
	vsock_paths_connected(&paths, NULL, 1, -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_long_path),
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_ask_in_vain),
		cmocka_unit_test(test_answer_without_device),
	};

	return cmocka_run_group_tests_name("vsock-paths", tests, NULL, NULL);
}
