/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket of a VM; see control_server.h and docs/control.md. */
#include "control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config_net.h"
#include "hull/util.h"
#include "unix_socket.h"
#include "vm_lock.h"

enum {
	LINES_A_ROUND = 4,    /* of one client, before others have their turn */
	ACCEPTS_A_ROUND = 4,  /* as above */
	MAX_ANSWER = 1024,    /* bytes of an answer, with its newline */
	MAX_GRACE = 31536000, /* seconds */
};

/* A client that said nothing for so long makes room for another one, unless the owner says otherwise. */
static const uint64_t default_idle_ns = UINT64_C(10) * 1000000000;

const char *const control_state_words[CONTROL_STATES] = {"running", "paused", "stopping"};

/* An answer is sent before the next request is looked at: a client has one at a time. */
struct client {
	int fd;   /* -1: this place is free */
	char *in; /* CONTROL_MAX_LINE bytes */
	size_t in_len;
	char out[MAX_ANSWER];
	size_t out_len, out_sent;
	int out_fd;         /* goes with the first byte of the answer; -1: none */
	bool closing;       /* once the answer is sent */
	bool awaits_end;    /* asked for the VM's end: being silent is its business */
	uint64_t active_ns; /* when it last said something */
};

struct control_server {
	const struct control_server_ops *ops;
	void *arg;
	int listen_fd;
	int lock_fd;
	int spare_fd; /* given up for a moment to turn a client away when there are no descriptors left */
	char dir[CONFIG_MAX_SOCKET];
	char name[CONFIG_MAX_NAME];
	char path[CONFIG_MAX_SOCKET];
	struct client clients[CONTROL_MAX_CLIENTS];
};

/* ---- answers ---- */

/* Takes over `object`, which may be NULL: there was no memory for it. */
static size_t write_answer(char *out, json_t *object)
{
	static const char fallback[] = "{\"ok\":false,\"error\":\"out of memory\"}";
	size_t len = object ? json_dumpb(object, out, MAX_ANSWER - 1, JSON_COMPACT) : 0;

	json_decref(object);
	if (len == 0 || len > MAX_ANSWER - 1) {
		len = sizeof(fallback) - 1;
		memcpy(out, fallback, len);
	}
	out[len] = '\n';
	return len + 1;
}

static json_t *refusal(const char *text)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static json_t *result(int r, const struct err *err)
{
	return r < 0 ? refusal(err->msg[0] ? err->msg : "it cannot be done") : json_pack("{s:b}", "ok", 1);
}

static json_t *status_answer(const struct control_server *server)
{
	struct control_status st = {0};
	uint64_t uptime_ms;

	server->ops->status(server->arg, &st);
	uptime_ms = st.uptime_ns / 1000000;
	return json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:f, s:s}", "ok", 1, "name", st.name, "pid",
			 (json_int_t)st.pid, "vcpus", (json_int_t)st.cpus, "memory", (json_int_t)st.memory,
			 "resident", (json_int_t)st.resident, "uptime", (double)uptime_ms / 1000.0, "state",
			 control_state_words[st.state]);
}

/* ---- requests ---- */

static int grace_of(const json_t *request, uint64_t *ret_ns, struct err *err)
{
	const json_t *grace = json_object_get(request, "grace");

	*ret_ns = CONTROL_DEFAULT_GRACE;
	if (!grace)
		return 0;
	if (!json_is_number(grace) || !(json_number_value(grace) >= 0) ||
	    json_number_value(grace) > MAX_GRACE)
		return err_set(err, -EINVAL, "grace: expected a number of seconds, 0 to %d", MAX_GRACE);
	*ret_ns = (uint64_t)(json_number_value(grace) * 1e9);
	return 0;
}

static int do_stop(const struct control_server *server, struct client *c, const json_t *request,
		   struct err *err)
{
	uint64_t grace_ns;
	int r = grace_of(request, &grace_ns, err);

	if (r == 0)
		r = server->ops->stop(server->arg, grace_ns, err);
	c->awaits_end |= r == 0;
	return r;
}

static int do_kill(const struct control_server *server, struct client *c, struct err *err)
{
	int r = server->ops->kill(server->arg, err);

	c->awaits_end |= r == 0;
	return r;
}

static json_t *do_snapshot(const struct control_server *server, struct client *c)
{
	struct control_snapshot snapshot = {.link = -1};
	struct err err = {0};
	json_t *answer, *disks, *nets;
	int r = server->ops->snapshot(server->arg, &snapshot, &err);

	if (r < 0)
		return result(r, &err);
	c->out_fd = snapshot.link;
	disks = json_array();
	for (unsigned i = 0; i < snapshot.disk_count; i++)
		json_array_append_new(disks, json_string(snapshot.disks[i]));
	nets = json_array();
	for (unsigned i = 0; i < snapshot.net_count; i++)
		json_array_append_new(nets, json_string(config_net_kind(snapshot.nets[i])));
	answer = result(0, &err);
	json_object_set_new(answer, "memory", json_integer((json_int_t)snapshot.memory));
	json_object_set_new(answer, "disks", disks);
	json_object_set_new(answer, "nets", nets);
	json_object_set_new(answer, "shares", json_integer(snapshot.share_count));
	return answer;
}

static json_t *handle_request(const struct control_server *server, struct client *c, const json_t *request)
{
	const struct control_server_ops *ops = server->ops;
	const char *what = json_string_value(json_object_get(request, "do"));
	struct err err = {0};

	if (!what)
		return refusal("expected an object with a string \"do\"");
	if (strcmp(what, "status") == 0 && ops->status)
		return status_answer(server);
	if (strcmp(what, "stop") == 0 && ops->stop)
		return result(do_stop(server, c, request, &err), &err);
	if (strcmp(what, "kill") == 0 && ops->kill)
		return result(do_kill(server, c, &err), &err);
	if (strcmp(what, "pause") == 0 && ops->pause)
		return result(ops->pause(server->arg, &err), &err);
	if (strcmp(what, "resume") == 0 && ops->resume)
		return result(ops->resume(server->arg, &err), &err);
	if (strcmp(what, "exec") == 0 && ops->exec)
		return result(ops->exec(server->arg, &c->out_fd, &err), &err);
	if (strcmp(what, "snapshot") == 0 && ops->snapshot)
		return do_snapshot(server, c);
	return refusal("this VM knows no such request");
}

static void answer_line(const struct control_server *server, struct client *c, size_t len)
{
	json_t *request = json_loadb(c->in, len, JSON_REJECT_DUPLICATES, NULL);

	c->out_len = write_answer(c->out, request ? handle_request(server, c, request)
						  : refusal("expected an object of JSON in a line"));
	c->out_sent = 0;
	json_decref(request);
}

/* ---- clients ---- */

static void drop(struct client *c)
{
	fd_close(&c->fd);
	fd_close(&c->out_fd);
	free(c->in);
	*c = (struct client){.fd = -1, .out_fd = -1};
}

static bool is_answering(const struct client *c)
{
	return c->out_sent < c->out_len;
}

static ssize_t send_with_fd(int socket, struct iovec *iov, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} data = {0};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *header;

		msg.msg_control = &data;
		msg.msg_controllen = sizeof(data);
		header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Sends what there is room for. False: the client has gone, or is to go. */
static bool flush(struct client *c)
{
	while (is_answering(c)) {
		struct iovec iov = {c->out + c->out_sent, c->out_len - c->out_sent};
		ssize_t n = send_with_fd(c->fd, &iov, c->out_fd);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		fd_close(&c->out_fd);
		c->out_sent += (size_t)n;
	}
	return !c->closing;
}

static bool receive(struct client *c, bool *ret_more)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, CONTROL_MAX_LINE - c->in_len, MSG_DONTWAIT);

	*ret_more = n > 0;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->in_len += (size_t)n;
	c->active_ns = monotonic_ns();
	return n > 0;
}

/* Bytes of the first line, without its newline; -1: it is not complete. */
static ssize_t line_length(const struct client *c)
{
	const char *end = c->in_len ? memchr(c->in, '\n', c->in_len) : NULL;

	return end ? end - c->in : -1;
}

static void refuse_long_line(struct client *c)
{
	c->out_len = write_answer(c->out, refusal("a line of more than 64 KiB"));
	c->out_sent = 0;
	c->closing = true;
}

/* False: the client has gone, or is to go. */
static bool serve_lines(const struct control_server *server, struct client *c)
{
	bool more = true;

	for (unsigned i = 0; i < LINES_A_ROUND; i++) {
		ssize_t len;

		if (!flush(c))
			return false;
		if (is_answering(c))
			return true;
		len = line_length(c);
		if (len >= 0) {
			answer_line(server, c, (size_t)len);
			c->in_len -= (size_t)len + 1;
			memmove(c->in, c->in + len + 1, c->in_len);
		} else if (c->in_len == CONTROL_MAX_LINE) {
			refuse_long_line(c);
		} else if (!receive(c, &more)) {
			return false;
		} else if (!more) {
			return true;
		}
	}
	return flush(c);
}

/* ---- new clients ---- */

static void turn_away(int fd, const char *text)
{
	char out[MAX_ANSWER];
	size_t len = write_answer(out, refusal(text));

	(void)!send(fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/* A free place, perhaps that of the client which has been silent for longest; NULL: none. */
static struct client *find_place(struct control_server *server)
{
	const uint64_t idle_ns = server->ops->idle_ns ? server->ops->idle_ns : default_idle_ns;
	struct client *oldest = NULL;

	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		struct client *c = &server->clients[i];

		if (c->fd < 0)
			return c;
		if (!c->awaits_end && (!oldest || c->active_ns < oldest->active_ns))
			oldest = c;
	}
	if (!oldest || monotonic_ns() - oldest->active_ns < idle_ns)
		return NULL;
	drop(oldest);
	return oldest;
}

static void welcome(struct control_server *server, int fd)
{
	struct client *c;
	char *in;

	if (!is_allowed(fd)) {
		turn_away(fd, "this VM belongs to another user");
		return;
	}
	c = find_place(server);
	if (!c) {
		turn_away(fd, "too many clients");
		return;
	}
	in = malloc(CONTROL_MAX_LINE);
	if (!in) {
		turn_away(fd, "out of memory");
		return;
	}
	*c = (struct client){.fd = fd, .in = in, .out_fd = -1, .active_ns = monotonic_ns()};
}

/* Without descriptors the socket would be ready for ever: the client is taken and dropped. */
static void turn_away_unseen(struct control_server *server)
{
	int fd;

	fd_close(&server->spare_fd);
	/* cppcheck-suppress nullPointer ; no address is asked for */
	fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		turn_away(fd, "too many open files");
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_clients(struct control_server *server)
{
	for (unsigned i = 0; i < ACCEPTS_A_ROUND; i++) {
		/* cppcheck-suppress nullPointer ; no address is asked for */
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				turn_away_unseen(server);
			return;
		}
		welcome(server, fd);
	}
}

/* ---- the loop's side ---- */

unsigned control_server_fds(const struct control_server *server, struct pollfd *fds, unsigned cap)
{
	unsigned n = 0;

	if (!server)
		return 0;
	if (n < cap)
		fds[n++] = (struct pollfd){.fd = server->listen_fd, .events = POLLIN};
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS && n < cap; i++) {
		const struct client *c = &server->clients[i];

		/* Lines that wait for their turn: it comes at once, as there is room for an answer. */
		if (c->fd >= 0)
			fds[n++] = (struct pollfd){
				.fd = c->fd,
				.events = is_answering(c) || line_length(c) >= 0 ? POLLOUT : POLLIN,
			};
	}
	return n;
}

static struct client *find_client(struct control_server *server, int fd)
{
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (server->clients[i].fd == fd)
			return &server->clients[i];
	}
	return NULL;
}

void control_server_ready(struct control_server *server, const struct pollfd *fds, unsigned n)
{
	bool knocked = false;

	if (!server)
		return;
	for (unsigned i = 0; i < n; i++) {
		struct client *c;

		if (!fds[i].revents || fds[i].fd < 0)
			continue;
		c = find_client(server, fds[i].fd);
		if (fds[i].fd == server->listen_fd)
			knocked = true;
		else if (c && !serve_lines(server, c))
			drop(c);
	}
	/* Last: a new client may have the number of one that has gone. */
	if (knocked)
		accept_clients(server);
}

/* ---- life ---- */

int control_server_create(struct control_server **ret_server, const char *dir, const char *name,
			  const struct control_server_ops *ops, void *arg, struct err *err)
{
	struct control_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return err_errno(err, -ENOMEM, "control socket");
	server->ops = ops;
	server->arg = arg;
	server->listen_fd = server->lock_fd = server->spare_fd = -1;
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++)
		server->clients[i].fd = server->clients[i].out_fd = -1;
	r = vm_path(server->path, sizeof(server->path), dir, name, ".sock");
	if (r < 0)
		err_errno(err, r, "control socket %s/%s.sock", dir, name);
	if (r == 0) {
		snprintf(server->dir, sizeof(server->dir), "%s", dir);
		snprintf(server->name, sizeof(server->name), "%s", name);
		r = vm_lock_take(dir, name, &server->lock_fd, err);
	}
	if (r == 0)
		r = unix_socket_listen(server->path, &server->listen_fd, err);
	if (r < 0) {
		control_server_destroy(server);
		return r;
	}
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*ret_server = server;
	return 0;
}

void control_server_destroy(struct control_server *server)
{
	if (!server)
		return;
	if (server->listen_fd >= 0)
		unix_socket_unlink(server->path);
	fd_close(&server->listen_fd);
	vm_lock_drop(server->dir, server->name, &server->lock_fd);
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (server->clients[i].fd >= 0)
			drop(&server->clients[i]);
	}
	fd_close(&server->spare_fd);
	free(server);
}
