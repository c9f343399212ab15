/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket under clients of every kind: well-behaved, slow, silent, hostile. */
#include "control_rig.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "unix_socket.h"
#include "vm_lock.h"

struct fx {
	char dir[40];
	char path[64];
	struct asked asked;
	struct control_server *server;
	unsigned fds;
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-control-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->path, sizeof(fx->path), "%s/vm.sock", fx->dir);
	fx->asked.name = "vm";
	fx->fds = open_fds();
	assert_int_equal(control_server_create(&fx->server, fx->dir, "vm", &rig_ops, &fx->asked, NULL), 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	control_server_destroy(fx->server);
	assert_int_equal(open_fds(), fx->fds);
	assert_int_equal(rmdir(fx->dir), 0); /* fails when something is left */
	free(fx);
	return 0;
}

static int dial(const struct fx *fx)
{
	int fd = unix_socket_connect(fx->path);

	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the server has said to `fd`; *ret_end: and has closed. */
static const char *hear(int fd, bool *ret_end)
{
	static char text[1 << 20];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	if (ret_end)
		*ret_end = n == 0 || errno != EAGAIN;
	return text;
}

static const char *ask(struct fx *fx, int fd, const char *request)
{
	say(fd, request);
	pump(fx->server);
	return hear(fd, NULL);
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

#define OK "{\"ok\":true}\n"

static void answers(void **state)
{
	struct fx *fx = *state;
	int fd = dial(fx);

	assert_string_equal(
		ask(fx, fd, "{\"do\":\"status\"}\n"),
		"{\"ok\":true,\"name\":\"vm\",\"pid\":42,\"vcpus\":2,\"memory\":67108864,\"resident\":8192,"
		"\"uptime\":1.5,\"state\":\"running\"}\n");
	assert_string_equal(ask(fx, fd, "{\"do\":\"pause\"}\n"), OK);
	assert_non_null(strstr(ask(fx, fd, "{\"do\":\"status\"}\n"), "\"state\":\"paused\""));
	assert_string_equal(ask(fx, fd, " { \"later\" : [1] , \"do\":\"resume\" } \r\n"), OK);
	assert_string_equal(ask(fx, fd, "{\"do\":\"stop\"}\n"), OK);
	assert_true(fx->asked.grace_ns == CONTROL_DEFAULT_GRACE);
	assert_string_equal(ask(fx, fd, "{\"do\":\"stop\",\"grace\":2.5}\n"), OK);
	assert_int_equal(fx->asked.grace_ns, 2500000000);
	assert_string_equal(ask(fx, fd, "{\"do\":\"stop\",\"grace\":0}\n"), OK);
	assert_int_equal(fx->asked.grace_ns, 0);
	assert_string_equal(ask(fx, fd, "{\"do\":\"kill\"}\n"), OK);
	assert_int_equal(fx->asked.stops, 3);
	assert_int_equal(fx->asked.kills, 1);
	assert_int_equal(fx->asked.pauses, 1);
	assert_int_equal(fx->asked.resumes, 1);
	fx->asked.refuse = true;
	assert_string_equal(ask(fx, fd, "{\"do\":\"pause\"}\n{\"do\":\"exec\"}\n"),
			    "{\"ok\":false,\"error\":\"not now\"}\n{\"ok\":false,\"error\":\"not now\"}\n");
	close(fd);
	pump(fx->server);
}

/* Each has one answer, an error, and does nothing; the connection stays. */
static void nonsense(void **state)
{
	static const char *const words[] = {
		"\n",
		"status\n",
		"{}\n",
		"[]\n",
		"[\"do\",\"kill\"]\n",
		"\"kill\"\n",
		"null\n",
		"{\"do\":1}\n",
		"{\"do\":null}\n",
		"{\"do\":[\"kill\"]}\n",
		"{\"do\":\"\"}\n",
		"{\"do\":\"KILL\"}\n",
		"{\"do\":\"kill \"}\n",
		"{\"do\":\"kill\\u0000\"}\n",
		"{\"do\":\"kill\"}{\"do\":\"kill\"}\n",
		"{\"do\":\"kill\",\"do\":\"kill\"}\n",
		"{\"do\":\"kill\n",
		"{\"do\":\"stop\",\"grace\":-1}\n",
		"{\"do\":\"stop\",\"grace\":\"1\"}\n",
		"{\"do\":\"stop\",\"grace\":null}\n",
		"{\"do\":\"stop\",\"grace\":1e300}\n",
		"{\"do\":\"stop\",\"grace\":1e999}\n",
		"{\"do\":\"\xff\xfe\"}\n",
		"GET / HTTP/1.1\r\n",
	};
	struct fx *fx = *state;
	int fd = dial(fx);

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		const char *text = ask(fx, fd, words[i]);

		assert_ptr_equal(strstr(text, "{\"ok\":false,\"error\":\""), text);
		assert_int_equal(lines(text), 1);
	}
	assert_int_equal(fx->asked.stops + fx->asked.kills, 0);
	assert_non_null(strstr(ask(fx, fd, "{\"do\":\"status\"}\n"), "\"ok\":true"));
	close(fd);
}

static void deep(void **state)
{
	struct fx *fx = *state;
	static char text[60001];
	int fd = dial(fx);

	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 2] = '\n';
	assert_non_null(strstr(ask(fx, fd, text), "\"ok\":false"));
	close(fd);
}

static void without_hooks(void **state)
{
	static const struct control_server_ops none = {0};
	static const char *const words[] = {"status", "stop", "kill", "pause", "resume", "exec"};
	struct fx *fx = *state;
	struct control_server *server;
	char path[64], request[64];
	int fd;

	assert_int_equal(control_server_create(&server, fx->dir, "none", &none, NULL, NULL), 0);
	snprintf(path, sizeof(path), "%s/none.sock", fx->dir);
	fd = unix_socket_connect(path);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(request, sizeof(request), "{\"do\":\"%s\"}\n", words[i]);
		say(fd, request);
		pump(server);
		assert_non_null(strstr(hear(fd, NULL), "no such request"));
	}
	close(fd);
	control_server_destroy(server);
}

/* Connected, and heard once. */
static int client_of(struct control_server *server, const char *path, const char *request)
{
	int fd = unix_socket_connect(path);

	assert_true(fd >= 0);
	say(fd, request);
	pump(server);
	assert_string_equal(hear(fd, NULL), OK);
	return fd;
}

/* Who has been silent for longest makes room, unless it waits for the VM's end. */
static void silent_clients(void **state)
{
	struct control_server_ops ops = rig_ops;
	struct fx *fx = *state;
	struct control_server *server;
	int fds[CONTROL_MAX_CLIENTS + 2];
	char path[64];
	bool end;

	ops.idle_ns = 1;
	assert_int_equal(control_server_create(&server, fx->dir, "idle", &ops, &fx->asked, NULL), 0);
	snprintf(path, sizeof(path), "%s/idle.sock", fx->dir);
	fds[0] = client_of(server, path, "{\"do\":\"stop\"}\n");
	for (unsigned i = 1; i < CONTROL_MAX_CLIENTS; i++)
		fds[i] = client_of(server, path, "{\"do\":\"pause\"}\n");
	/* Since the first of them was heard last, the second has been silent for longest. */
	say(fds[1], "{\"do\":\"resume\"}\n");
	pump(server);
	assert_string_equal(hear(fds[1], NULL), OK);
	fds[CONTROL_MAX_CLIENTS] = client_of(server, path, "{\"do\":\"pause\"}\n");
	fds[CONTROL_MAX_CLIENTS + 1] = client_of(server, path, "{\"do\":\"pause\"}\n");
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		hear(fds[i], &end);
		assert_int_equal(end, i == 2 || i == 3);
		close(fds[i]);
	}
	pump(server);
	control_server_destroy(server);
}

static void pieces(void **state)
{
	struct fx *fx = *state;
	const char *request = "{\"do\":\"pause\"}\n";
	int fd = dial(fx);

	for (const char *p = request; *p; p++) {
		assert_string_equal(hear(fd, NULL), "");
		assert_int_equal(send(fd, p, 1, 0), 1);
		pump(fx->server);
	}
	assert_string_equal(hear(fd, NULL), OK);
	/* More than a round's, and half of one. */
	for (unsigned i = 0; i < 50; i++)
		say(fd, request);
	assert_int_equal(lines(ask(fx, fd, "{\"do\":")), 50);
	assert_string_equal(ask(fx, fd, "\"resume\"}\n"), OK);
	assert_int_equal(fx->asked.pauses, 51);
	/* The last words of one who has closed its side are heard. */
	say(fd, "{\"do\":\"kill\"}\n{\"do\":\"kill\"}");
	shutdown(fd, SHUT_WR);
	pump(fx->server);
	assert_string_equal(hear(fd, NULL), OK);
	assert_int_equal(fx->asked.kills, 1);
	close(fd);
}

static void long_line(void **state)
{
	struct fx *fx = *state;
	char chunk[4096];
	int fd = dial(fx);
	size_t sent = 0;
	bool end;

	memset(chunk, ' ', sizeof(chunk));
	while (sent < MIB(1)) {
		ssize_t n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
		pump(fx->server);
	}
	assert_true(sent < MIB(1)); /* it was closed on us */
	assert_non_null(strstr(hear(fd, &end), "64 KiB"));
	assert_true(end);
	close(fd);
	fd = dial(fx);
	assert_string_equal(ask(fx, fd, "{\"do\":\"pause\"}\n"), OK);
	close(fd);
}

/* One who asks and does not read fills its own socket, and nothing else. */
static void slow_reader(void **state)
{
	static const char request[] = "{\"do\":\"status\"}\n";
	struct fx *fx = *state;
	int slow = dial(fx), other = dial(fx);
	unsigned sent = 0, answered = 0;
	unsigned idle = 0;

	while (idle < 2) {
		ssize_t n = send(slow, request, sizeof(request) - 1, MSG_DONTWAIT);

		assert_true(n == (ssize_t)sizeof(request) - 1 || (n < 0 && errno == EAGAIN));
		sent += n > 0;
		idle = n > 0 ? 0 : idle + 1;
		if (n < 0)
			pump(fx->server);
	}
	assert_string_equal(ask(fx, other, "{\"do\":\"pause\"}\n"), OK);
	for (idle = 0; idle < 2;) {
		unsigned n = lines(hear(slow, NULL));

		answered += n;
		idle = n ? 0 : idle + 1;
		pump(fx->server);
	}
	assert_int_equal(answered, sent);
	close(slow);
	close(other);
}

static void gone_in_the_middle(void **state)
{
	struct fx *fx = *state;
	unsigned before = open_fds();

	for (unsigned i = 0; i < 40; i++) {
		int fd = dial(fx);

		if (i % 4 == 1)
			say(fd, "{\"do\":\"sta");
		if (i % 4 >= 2)
			say(fd, "{\"do\":\"exec\"}\n{\"do\":\"status\"}\n{\"do\":");
		if (i % 4 == 3)
			pump(fx->server);
		close(fd);
		pump(fx->server);
	}
	assert_int_equal(open_fds(), before);
}

static void hundred_clients(void **state)
{
	struct fx *fx = *state;
	unsigned before = open_fds(), served = 0, refused = 0;
	int fds[100];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(fx);
		pump(fx->server);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		bool end;

		send(fds[i], "{\"do\":\"pause\"}\n", 15, MSG_NOSIGNAL);
		pump(fx->server);
		if (strcmp(hear(fds[i], &end), OK) == 0)
			served++;
		else
			refused += end;
	}
	assert_int_equal(served, CONTROL_MAX_CLIENTS);
	assert_int_equal(refused, ARRAY_SIZE(fds) - CONTROL_MAX_CLIENTS);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	pump(fx->server);
	assert_int_equal(open_fds(), before);
	fds[0] = dial(fx);
	assert_string_equal(ask(fx, fds[0], "{\"do\":\"pause\"}\n"), OK);
	close(fds[0]);
}

static void passes_a_descriptor(void **state)
{
	struct fx *fx = *state;
	char text[64] = "", data[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = data, .msg_controllen = sizeof(data)};
	const struct cmsghdr *passed;
	int fd = dial(fx), got = -1;

	say(fd, "{\"do\":\"exec\"}\n");
	pump(fx->server);
	assert_int_equal(recvmsg(fd, &msg, 0), strlen(OK));
	assert_string_equal(text, OK);
	passed = CMSG_FIRSTHDR(&msg);
	if (!passed) {
		fail_msg("no descriptor came");
		return;
	}
	memcpy(&got, CMSG_DATA(passed), sizeof(got));
	assert_string_equal(hear(got, NULL), "agent");
	close(got);
	assert_string_equal(ask(fx, fd, "{\"do\":\"pause\"}\n"), OK);
	close(fd);
}

/* Without descriptors clients are turned away, and the loop does not spin. */
static void no_descriptors(void **state)
{
	struct fx *fx = *state;
	struct rlimit old, low;
	int fd = dial(fx), fill[64];
	unsigned n = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)open_fds() + 8;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < ARRAY_SIZE(fill) && (fill[n] = dup(fd)) >= 0)
		n++;
	pump(fx->server);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_true(n < ARRAY_SIZE(fill));
	while (n > 0)
		close(fill[--n]);
	assert_non_null(strstr(hear(fd, NULL), "too many open files"));
	close(fd);
	fd = dial(fx);
	assert_string_equal(ask(fx, fd, "{\"do\":\"pause\"}\n"), OK);
	close(fd);
}

static void two_of_a_name(void **state)
{
	struct fx *fx = *state;
	struct control_server *second = NULL, *other;
	struct err err = {0};
	int fd;

	assert_int_equal(control_server_create(&second, fx->dir, "vm", &rig_ops, &fx->asked, &err),
			 -EADDRINUSE);
	assert_null(second);
	assert_non_null(strstr(err.msg, "a VM called 'vm' runs already"));
	fd = dial(fx); /* it has lost nothing */
	assert_string_equal(ask(fx, fd, "{\"do\":\"pause\"}\n"), OK);
	close(fd);
	assert_int_equal(control_server_create(&other, fx->dir, "vm2", &rig_ops, &fx->asked, NULL), 0);
	control_server_destroy(other);
}

static void after_a_crash(void **state)
{
	struct fx *fx = *state;
	struct control_server *server;
	char path[64];
	struct stat st;

	fork_server(fx->dir, "dead", false);
	snprintf(path, sizeof(path), "%s/dead.sock", fx->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_false(vm_lock_is_held(fx->dir, "dead"));
	assert_int_equal(control_server_create(&server, fx->dir, "dead", &rig_ops, &fx->asked, NULL), 0);
	assert_true(vm_lock_is_held(fx->dir, "dead"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	vm_lock_tidy(fx->dir, "dead"); /* one that lives stays */
	assert_int_equal(access(path, F_OK), 0);
	assert_true(vm_lock_is_held(fx->dir, "dead"));
	control_server_destroy(server);
	assert_int_equal(access(path, F_OK), -1);
}

static void lock_in_the_way(void **state)
{
	struct fx *fx = *state;
	struct control_server *server = NULL;
	char path[64];

	snprintf(path, sizeof(path), "%s/odd.lock", fx->dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(control_server_create(&server, fx->dir, "odd", &rig_ops, &fx->asked, NULL), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(control_server_create(&server, fx->dir, "odd", &rig_ops, &fx->asked, NULL), -EISDIR);
	assert_false(vm_lock_is_held(fx->dir, "odd"));
	assert_int_equal(rmdir(path), 0);
	assert_null(server);
}

static void the_end(void **state)
{
	struct fx *fx = *state;
	int fd = dial(fx);
	bool end;

	assert_string_equal(ask(fx, fd, "{\"do\":\"stop\"}\n"), OK);
	hear(fd, &end);
	assert_false(end);
	control_server_destroy(fx->server);
	fx->server = NULL;
	hear(fd, &end);
	assert_true(end);
	assert_int_equal(access(fx->path, F_OK), -1);
	close(fd);
	assert_int_equal(control_server_fds(NULL, NULL, 0), 0);
	control_server_ready(NULL, NULL, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(answers),
		CASE(nonsense),
		CASE(deep),
		CASE(without_hooks),
		CASE(silent_clients),
		CASE(pieces),
		CASE(long_line),
		CASE(slow_reader),
		CASE(gone_in_the_middle),
		CASE(hundred_clients),
		CASE(passes_a_descriptor),
		CASE(no_descriptors),
		CASE(two_of_a_name),
		CASE(after_a_crash),
		CASE(lock_in_the_way),
		CASE(the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
