/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to VMs: that answer, that answer nonsense, that do not, that are not there. */
#include "control_rig.h"

#include <sys/stat.h>

#include "control_client.h"
#include "unix_socket.h"

struct fx {
	char dir[40]; /* $XDG_RUNTIME_DIR */
	char run[48];
	unsigned fds;
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-client-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	setenv("XDG_RUNTIME_DIR", fx->dir, 1);
	snprintf(fx->run, sizeof(fx->run), "%s/hull", fx->dir);
	assert_int_equal(mkdir(fx->run, 0700), 0);
	fx->fds = open_fds();
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(open_fds(), fx->fds);
	assert_int_equal(rmdir(fx->run), 0);
	assert_int_equal(rmdir(fx->dir), 0);
	free(fx);
	return 0;
}

static void nobody(void **state)
{
	static const char *const names[] = {"", "../x", "a/b", ".hidden", "a b", "-x"};
	struct err err = {0};
	int fd = -1;

	(void)state;
	assert_int_equal(control_client_do("none", "pause", &err), -ESRCH);
	assert_non_null(strstr(err.msg, "no VM called 'none'"));
	assert_int_equal(control_client_exec("none", &fd, &err), -ESRCH);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(control_client_do(names[i], "pause", &err), -EINVAL);
	assert_int_equal(fd, -1);
}

static void whole_requests(void **state)
{
	struct fx *fx = *state;
	pid_t pid = fork_server(fx->run, "vm", true);
	struct control_snapshot_answer vm;
	struct control_status st;
	struct err err = {0};
	char text[6] = "", path[64];
	int fd = -1;

	assert_int_equal(control_client_status("vm", &st, &err), 0);
	assert_string_equal(st.name, "vm");
	assert_int_equal(st.pid, 42);
	assert_int_equal(st.cpus, 2);
	assert_int_equal(st.memory, MIB(64));
	assert_int_equal(st.resident, 8192);
	assert_int_equal(st.uptime_ns, 1500000000);
	assert_int_equal(control_client_do("vm", "pause", &err), 0);
	assert_int_equal(control_client_status("vm", &st, &err), 0);
	assert_int_equal(st.state, CONTROL_STATE_PAUSED);
	assert_int_equal(control_client_do("vm", "nonsense", &err), -EREMOTEIO);
	assert_string_equal(err.msg, "vm: this VM knows no such request");
	assert_int_equal(control_client_exec("vm", &fd, &err), 0);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(read(fd, text, 5), 5);
	assert_string_equal(text, "agent");
	close(fd);
	assert_int_equal(control_client_snapshot("vm", &vm, &err), 0);
	assert_int_equal(vm.memory, MIB(64));
	assert_int_equal(vm.disk_count, 2);
	assert_string_equal(vm.disks[1], "data");
	assert_int_equal(vm.net_count, 3);
	assert_int_equal(vm.nets[1], NET_TAP);
	assert_int_equal(vm.share_count, 4);
	assert_true(fcntl(vm.link, F_GETFD) & FD_CLOEXEC);
	close(vm.link);
	kill_server(pid);
	assert_int_equal(control_client_do("vm", "pause", &err), -ESRCH);
	assert_int_equal(control_client_snapshot("vm", &vm, &err), -ESRCH);
	assert_int_equal(vm.link, -1);
	snprintf(path, sizeof(path), "%s/vm.sock", fx->run);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/vm.lock", fx->run);
	assert_int_equal(unlink(path), 0);
}

/* A VM of the test's own, connected to `client`. */
struct peer {
	char path[64];
	int listen_fd, fd;
	struct control_client client;
};

static void start_peer(struct peer *p, const struct fx *fx)
{
	snprintf(p->path, sizeof(p->path), "%s/peer.sock", fx->run);
	assert_int_equal(unix_socket_listen(p->path, &p->listen_fd, NULL), 0);
	assert_int_equal(control_client_open(&p->client, "peer", NULL), 0);
	/* cppcheck-suppress nullPointer ; no address is asked for */
	p->fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p->fd >= 0);
	assert_int_equal(control_client_send(&p->client, json_pack("{s:s}", "do", "status"), NULL), 0);
}

static void stop_peer(struct peer *p)
{
	control_client_close(&p->client);
	fd_close(&p->fd);
	fd_close(&p->listen_fd);
	unix_socket_unlink(p->path);
}

static int answer_with(const struct fx *fx, const char *text, struct err *err)
{
	struct peer p;
	int fd = -1, r;

	start_peer(&p, fx);
	assert_int_equal(send(p.fd, text, strlen(text), 0), strlen(text));
	shutdown(p.fd, SHUT_WR);
	r = control_client_receive(&p.client, NULL, &fd, err);
	assert_int_equal(fd, -1);
	stop_peer(&p);
	return r;
}

static void odd_answers(void **state)
{
	static const char *const bad[] = {"\n",
					  "x\n",
					  "[]\n",
					  "{}\n",
					  "{\"ok\":1}\n",
					  "{\"ok\":false}\n",
					  "{\"ok\":false,\"error\":1}\n",
					  "{\"ok\":true}{\"ok\":true}\n"};
	struct fx *fx = *state;
	struct err err;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(answer_with(fx, bad[i], &err), -EPROTO);
	assert_int_equal(answer_with(fx, "", &err), -ESRCH);
	assert_int_equal(answer_with(fx, "{\"ok\":true}", &err), -ESRCH); /* not the whole line */
	assert_int_equal(answer_with(fx, "{\"ok\":true}\nmore", &err), 0);
	assert_int_equal(answer_with(fx, "{\"ok\":false,\"error\":\"a\\nb\\u001b\"}\n", &err), -EREMOTEIO);
	assert_string_equal(err.msg, "peer: a?b?");
}

static void endless_answer(void **state)
{
	struct fx *fx = *state;
	char *text = malloc(CONTROL_MAX_LINE + 1);

	assert_non_null(text);
	memset(text, ' ', CONTROL_MAX_LINE);
	text[CONTROL_MAX_LINE] = '\0';
	assert_int_equal(answer_with(fx, text, NULL), -EPROTO);
	free(text);
}

static void odd_status(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"name\":\"a\",\"pid\":1,\"vcpus\":1,\"memory\":1,\"resident\":1,\"uptime\":1,\"state\":\"odd\"}",
		"{\"name\":\"a b\",\"pid\":1,\"vcpus\":1,\"memory\":1,\"resident\":1,\"uptime\":1,\"state\":\"paused\"}",
		"{\"name\":\"a\",\"pid\":-1,\"vcpus\":1,\"memory\":1,\"resident\":1,\"uptime\":1,\"state\":\"paused\"}",
		"{\"name\":\"a\",\"pid\":1,\"vcpus\":1.5,\"memory\":1,\"resident\":1,\"uptime\":1,\"state\":\"paused\"}",
		"{\"name\":\"a\",\"pid\":1,\"vcpus\":1,\"memory\":1,\"resident\":1,\"uptime\":-1,\"state\":\"paused\"}",
	};
	struct control_status st;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *answer = json_loads(bad[i], 0, NULL);

		assert_non_null(answer);
		assert_int_equal(control_client_parse_status(answer, &st, NULL), -EPROTO);
		json_decref(answer);
	}
}

/* The clock is moved, not waited for. */
static void no_answer(void **state)
{
	struct fx *fx = *state;
	struct err err = {0};
	struct peer p;

	start_peer(&p, fx);
	p.client.deadline_ns = monotonic_ns();
	assert_int_equal(control_client_receive(&p.client, NULL, NULL, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "the VM 'peer' does not answer"));
	assert_int_equal(control_client_pid(&p.client), getpid());
	assert_int_equal(control_client_wait_end(&p.client, 0, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "does not end"));
	fd_close(&p.fd);
	assert_int_equal(control_client_wait_end(&p.client, 0, &err), 0);
	stop_peer(&p);
}

/* A VM that answers one request with `text`, and a descriptor if that is wanted. */
static pid_t fork_answer(const struct fx *fx, const char *text, bool with_fd)
{
	char path[64];
	struct err err = {0};
	int listener = -1;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/vm.sock", fx->run);
	assert_int_equal(unix_socket_listen(path, &listener, &err), 0);
	assert_int_equal(fcntl(listener, F_SETFL, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* cppcheck-suppress nullPointer ; no address is asked for */
		int fd = accept(listener, NULL, NULL);
		int null = open("/dev/null", O_RDWR);
		struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} data = {.align = {.cmsg_level = SOL_SOCKET,
				    .cmsg_type = SCM_RIGHTS,
				    .cmsg_len = CMSG_LEN(sizeof(int))}};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		char c = 0;

		memcpy(CMSG_DATA(&data.align), &null, sizeof(null));
		if (with_fd) {
			msg.msg_control = &data;
			msg.msg_controllen = sizeof(data);
		}
		/* All of the request: what is left unread at the end resets the connection. */
		while (c != '\n' && read(fd, &c, 1) == 1)
			;
		_exit(sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? 1 : 0);
	}
	close(listener);
	return pid;
}

static int ask_once(const struct fx *fx, const char *text, bool with_fd, struct err *err)
{
	struct control_snapshot_answer vm;
	pid_t pid = fork_answer(fx, text, with_fd);
	char path[64];
	int r = control_client_snapshot("vm", &vm, err);

	if (r < 0)
		assert_int_equal(vm.link, -1);
	fd_close(&vm.link);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	snprintf(path, sizeof(path), "%s/vm.sock", fx->run);
	assert_int_equal(unlink(path), 0);
	return r;
}

static void odd_snapshot(void **state)
{
#define ANSWER(memory, disks, nets, shares) \
	"{\"ok\":true,\"memory\":" memory ",\"disks\":" disks ",\"nets\":" nets ",\"shares\":" shares "}\n"
	static const char *const odd[] = {
		"{\"ok\":true}\n",
		ANSWER("-1", "[]", "[]", "0"),
		ANSWER("1.5", "[]", "[]", "0"),
		ANSWER("\"1\"", "[]", "[]", "0"),
		ANSWER("1", "{}", "[]", "0"),
		ANSWER("1", "null", "[]", "0"),
		ANSWER("1", "[1]", "[]", "0"),
		ANSWER("1", "[null]", "[]", "0"),
		ANSWER("1", "[\"\"]", "[]", "0"),
		ANSWER("1", "[\"../x\"]", "[]", "0"),
		ANSWER("1", "[\"a/b\"]", "[]", "0"),
		ANSWER("1", "[\".a\"]", "[]", "0"),
		ANSWER("1", "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]", "[]", "0"),
		ANSWER("1",
		       "[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
		       "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]",
		       "[]", "0"),
		ANSWER("1", "[]", "[\"sea\"]", "0"),
		ANSWER("1", "[]", "[0]", "0"),
		ANSWER("1", "[]", "\"user\"", "0"),
		ANSWER("1", "[]", "[]", "1000"),
		ANSWER("1", "[]", "[]", "-1"),
		ANSWER("1", "[]", "[]", "null"),
	};
	static const char good[] = ANSWER("1", "[\"a\"]", "[\"user\"]", "1");
	struct fx *fx = *state;
	struct err err = {0};

	assert_int_equal(ask_once(fx, good, true, &err), 0);
	assert_int_equal(ask_once(fx, good, false, &err), -EPROTO);
	for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
		if (ask_once(fx, odd[i], true, &err) != -EPROTO)
			fail_msg("taken: %s", odd[i]);
		assert_non_null(strstr(err.msg, "something that is no answer"));
	}
	assert_int_equal(ask_once(fx, "{\"ok\":false,\"error\":\"no\"}\n", true, &err), -EREMOTEIO);
	assert_string_equal(err.msg, "vm: no");
	assert_int_equal(ask_once(fx, "{", true, &err), -ESRCH);
#undef ANSWER
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(nobody),     CASE(whole_requests), CASE(odd_answers),  CASE(endless_answer),
		CASE(odd_status), CASE(no_answer),      CASE(odd_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
