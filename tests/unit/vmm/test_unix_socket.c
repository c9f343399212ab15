/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets by path: made, found in the way, connected to, removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hull/util.h"
#include "unix_socket.h"

struct fx {
	char dir[32];
	char path[64];
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-socket-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->path, sizeof(fx->path), "%s/x.sock", fx->dir);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	unlink(fx->path);
	rmdir(fx->dir); /* fails when a test left something */
	assert_int_equal(access(fx->dir, F_OK), -1);
	free(fx);
	return 0;
}

static int listen_ok(const char *path)
{
	int fd = -1;

	assert_int_equal(unix_socket_listen(path, &fd, NULL), 0);
	assert_true(fd >= 0);
	return fd;
}

static void listen_fails(const char *path, int code, const char *word)
{
	struct err err = {0};
	int fd = -1;

	assert_int_equal(unix_socket_listen(path, &fd, &err), code);
	assert_int_equal(fd, -1);
	assert_non_null(strstr(err.msg, path));
	assert_non_null(strstr(err.msg, word));
}

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void test_listen(void **state)
{
	struct fx *fx = *state;
	int fd = listen_ok(fx->path), client = dial(fx->path);
	struct stat st;

	assert_true(client >= 0);
	assert_int_equal(stat(fx->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(client);
	close(fd);
	unix_socket_unlink(fx->path);
	assert_int_equal(access(fx->path, F_OK), -1);
	unix_socket_unlink(fx->path); /* nothing there */
}

static void test_listen_stale(void **state)
{
	struct fx *fx = *state;
	int fd = listen_ok(fx->path);

	listen_fails(fx->path, -EADDRINUSE, "another process");
	assert_int_equal(access(fx->path, F_OK), 0);
	close(fd); /* as by a process that died */
	fd = listen_ok(fx->path);
	close(dial(fx->path));
	close(fd);
}

/* What listens, but has no room for one more, is alive. */
static void test_listen_full(void **state)
{
	struct fx *fx = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), fds[4];

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", fx->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial(fx->path);
	assert_int_equal(fds[ARRAY_SIZE(fds) - 1], -1);
	listen_fails(fx->path, -EADDRINUSE, "another process");
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(&fds[i]);
	close(fd);
}

static void test_listen_not_a_socket(void **state)
{
	struct fx *fx = *state;
	char other[sizeof(fx->path)];
	int fd = open(fx->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	listen_fails(fx->path, -EEXIST, "no socket");
	unix_socket_unlink(fx->path);
	assert_int_equal(unlink(fx->path), 0); /* it was still there */
	assert_int_equal(mkdir(fx->path, 0700), 0);
	listen_fails(fx->path, -EEXIST, "no socket");
	assert_int_equal(rmdir(fx->path), 0);
	/* A link to a stale socket stays, and so does the socket. */
	snprintf(other, sizeof(other), "%s/other", fx->dir);
	close(listen_ok(other));
	assert_int_equal(symlink(other, fx->path), 0);
	listen_fails(fx->path, -EEXIST, "no socket");
	assert_int_equal(unlink(other), 0);
}

static void test_listen_bad_paths(void **state)
{
	struct fx *fx = *state;
	char path[200];

	memset(path, 'a', sizeof(path));
	path[108] = '\0';
	listen_fails(path, -ENAMETOOLONG, "too long");
	listen_fails("", -EINVAL, "nvalid");
	snprintf(path, sizeof(path), "%s/none/x.sock", fx->dir);
	listen_fails(path, -ENOENT, "No such");
}

static void test_connect(void **state)
{
	struct fx *fx = *state;
	int server, fd, accepted;
	char c;

	assert_int_equal(unix_socket_connect(fx->path), -ENOENT);
	server = listen_ok(fx->path);
	fd = unix_socket_connect(fx->path);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	accepted = accept(server, NULL, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(send(accepted, "x", 1, 0), 1);
	assert_int_equal(recv(fd, &c, 1, 0), 1);
	close(accepted);
	close(fd);
	close(server);
	assert_int_equal(unix_socket_connect(fx->path), -ECONNREFUSED);
}

/* A server that does not accept is not waited for. */
static void test_connect_full(void **state)
{
	struct fx *fx = *state;
	int server = listen_ok(fx->path);
	int fds[256], r = 0;
	unsigned n = 0;

	while (n < ARRAY_SIZE(fds) && (r = unix_socket_connect(fx->path)) >= 0)
		fds[n++] = r;
	assert_int_equal(r, -EAGAIN);
	while (n)
		close(fds[--n]);
	close(server);
}

static void test_connect_bad_paths(void **state)
{
	char path[109];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[108] = '\0';
	assert_int_equal(unix_socket_connect(path), -ENAMETOOLONG);
	path[107] = '\0';
	assert_int_equal(unix_socket_connect(path), -ENOENT);
	assert_int_equal(unix_socket_connect(""), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_listen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listen_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listen_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listen_not_a_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listen_bad_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connect_full, setup, teardown),
		cmocka_unit_test(test_connect_bad_paths),
	};

	return cmocka_run_group_tests_name("unix-socket", tests, NULL, NULL);
}
