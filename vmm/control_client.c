/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to a running VM; see control_client.h. */
#include "control_client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "config_fields.h"
#include "config_net.h"
#include "hull/util.h"
#include "run_dir.h"
#include "unix_socket.h"
#include "vm_lock.h"

/* What a VM has to answer in: its supervisor never waits for anything. */
static const uint64_t patience_ns = UINT64_C(5) * 1000000000;

/* ---- connection ---- */

static int gone(const struct control_client *c, struct err *err)
{
	return err_set(err, -ESRCH, "no VM called '%s' runs ('hull ps' lists those that do)", c->name);
}

static int silent(const struct control_client *c, struct err *err)
{
	return err_set(err, -ETIMEDOUT, "the VM '%s' does not answer (process %ld)", c->name,
		       (long)control_client_pid(c));
}

int control_client_open(struct control_client *ret_client, const char *name, struct err *err)
{
	char path[CONFIG_MAX_SOCKET];
	int r;

	*ret_client = (struct control_client){.fd = -1};
	if (!config_is_name(name, CONFIG_MAX_NAME - 1))
		return err_set(err, -EINVAL, "'%s' is no name of a VM", name);
	snprintf(ret_client->name, sizeof(ret_client->name), "%s", name);
	r = run_dir(ret_client->dir, sizeof(ret_client->dir), err);
	if (r < 0)
		return r;
	r = vm_path(path, sizeof(path), ret_client->dir, name, ".sock");
	if (r == 0)
		r = unix_socket_connect(path);
	if (r >= 0) {
		ret_client->fd = r;
		return 0;
	}
	if (r == -ENOENT || r == -ECONNREFUSED || r == -ENAMETOOLONG)
		return gone(ret_client, err);
	if (r == -EAGAIN)
		return err_set(err, -ETIMEDOUT, "the VM '%s' does not answer: too many others wait", name);
	return err_errno(err, r, "%s", path);
}

void control_client_close(struct control_client *client)
{
	if (client)
		fd_close(&client->fd);
}

pid_t control_client_pid(const struct control_client *client)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? peer.pid : -1;
}

/* Waits for `events` until `deadline_ns`. 0 or -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = monotonic_ns();
		uint64_t left_ms = deadline_ns > now ? (deadline_ns - now + 999999) / 1000000 : 0;
		int r = poll(&p, 1, (int)min_u64(left_ms, INT_MAX));

		if (r > 0)
			return 0;
		if (r == 0 && monotonic_ns() >= deadline_ns)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

/* ---- request and answer ---- */

static int send_all(struct control_client *c, const char *text, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN && wait_for(c->fd, POLLOUT, c->deadline_ns) == 0)
			continue;
		if (n < 0 && errno == EAGAIN)
			return silent(c, err);
		if (n < 0 && errno != EINTR)
			return gone(c, err);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int control_client_send(struct control_client *client, json_t *request, struct err *err)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int r;

	json_decref(request);
	if (!text)
		return err_errno(err, -ENOMEM, "request");
	client->deadline_ns = monotonic_ns() + patience_ns;
	r = send_all(client, text, strlen(text), err);
	if (r == 0)
		r = send_all(client, "\n", 1, err);
	free(text);
	return r;
}

/* As recv(2); a descriptor that comes with it replaces *fd. */
static ssize_t receive_with_fd(int socket, char *buf, size_t len, int *fd)
{
	struct iovec iov = {buf, len};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))]; /* room for one; the kernel closes others */
	} data = {0};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &data, .msg_controllen = sizeof(data)};
	ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(*fd))) {
		fd_close(fd);
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	}
	return n;
}

/* Reads a line of at most CONTROL_MAX_LINE bytes; its length without the newline. */
static int receive_line(struct control_client *c, char *line, size_t *ret_len, int *fd, struct err *err)
{
	size_t len = 0;

	while (len < CONTROL_MAX_LINE) {
		ssize_t n = receive_with_fd(c->fd, line + len, CONTROL_MAX_LINE - len, fd);
		const char *end;

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (wait_for(c->fd, POLLIN, c->deadline_ns) < 0)
				return silent(c, err);
			continue;
		}
		if (n <= 0)
			return gone(c, err);
		end = memchr(line + len, '\n', (size_t)n);
		len += (size_t)n;
		if (end) {
			*ret_len = (size_t)(end - line);
			return 0;
		}
	}
	return err_set(err, -EPROTO, "the VM '%s' answered with too long a line", c->name);
}

static int judge(const struct control_client *c, const json_t *answer, struct err *err)
{
	const json_t *ok = json_object_get(answer, "ok");
	const char *why = json_string_value(json_object_get(answer, "error"));

	if (json_is_true(ok))
		return 0;
	if (json_is_false(ok) && why)
		return err_set(err, -EREMOTEIO, "%s: %s", c->name, why);
	return err_set(err, -EPROTO, "the VM '%s' answered with something that is no answer", c->name);
}

int control_client_receive(struct control_client *client, json_t **ret_answer, int *ret_fd, struct err *err)
{
	char *line = malloc(CONTROL_MAX_LINE);
	json_t *answer = NULL;
	size_t len = 0;
	int fd = -1;
	int r;

	if (!line)
		return err_errno(err, -ENOMEM, "answer");
	r = receive_line(client, line, &len, &fd, err);
	if (r == 0) {
		answer = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
		r = judge(client, answer, err);
	}
	free(line);
	if (ret_fd && r == 0) {
		*ret_fd = fd;
		fd = -1;
	}
	fd_close(&fd);
	if (ret_answer && r == 0)
		*ret_answer = answer;
	else
		json_decref(answer);
	return r;
}

int control_client_wait_end(struct control_client *client, uint64_t ns, struct err *err)
{
	const uint64_t deadline_ns = monotonic_ns() + ns;
	char rest[256];

	for (;;) {
		ssize_t n = recv(client->fd, rest, sizeof(rest), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return 0;
		if (n < 0 && wait_for(client->fd, POLLIN, deadline_ns) < 0)
			return err_set(err, -ETIMEDOUT, "the VM '%s' does not end (process %ld)",
				       client->name, (long)control_client_pid(client));
	}
}

/* ---- whole requests ---- */

static int number(const json_t *answer, const char *key, uint64_t max, uint64_t *ret_n)
{
	const json_t *value = json_object_get(answer, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > max)
		return -EPROTO;
	*ret_n = (uint64_t)json_integer_value(value);
	return 0;
}

int control_client_parse_status(const json_t *answer, struct control_status *ret_status, struct err *err)
{
	const char *name = json_string_value(json_object_get(answer, "name"));
	const char *state = json_string_value(json_object_get(answer, "state"));
	const double uptime = json_number_value(json_object_get(answer, "uptime"));
	unsigned i = 0;
	uint64_t pid, cpus;

	*ret_status = (struct control_status){0};
	while (state && i < CONTROL_STATES && strcmp(state, control_state_words[i]) != 0)
		i++;
	if (!state || i == CONTROL_STATES || !name || !config_is_name(name, CONFIG_MAX_NAME - 1) ||
	    number(answer, "pid", INT_MAX, &pid) < 0 || number(answer, "vcpus", UINT_MAX, &cpus) < 0 ||
	    number(answer, "memory", INT64_MAX, &ret_status->memory) < 0 ||
	    number(answer, "resident", INT64_MAX, &ret_status->resident) < 0 ||
	    !(uptime >= 0 && uptime < 1e9))
		return err_set(err, -EPROTO, "a VM answered with a status that is none");
	snprintf(ret_status->name, sizeof(ret_status->name), "%s", name);
	ret_status->pid = (pid_t)pid;
	ret_status->cpus = (unsigned)cpus;
	ret_status->uptime_ns = (uint64_t)(uptime * 1e9);
	ret_status->state = (enum control_state)i;
	return 0;
}

static int ask(const char *name, const char *what, json_t **ret_answer, int *ret_fd, struct err *err)
{
	struct control_client client;
	int r = control_client_open(&client, name, err);

	if (r == 0)
		r = control_client_send(&client, json_pack("{s:s}", "do", what), err);
	if (r == 0)
		r = control_client_receive(&client, ret_answer, ret_fd, err);
	control_client_close(&client);
	return r;
}

int control_client_do(const char *name, const char *what, struct err *err)
{
	return ask(name, what, NULL, NULL, err);
}

int control_client_status(const char *name, struct control_status *ret_status, struct err *err)
{
	json_t *answer = NULL;
	int r = ask(name, "status", &answer, NULL, err);

	if (r == 0)
		r = control_client_parse_status(answer, ret_status, err);
	json_decref(answer);
	return r;
}

static int parse_nets(const json_t *nets, struct control_snapshot_answer *ret)
{
	if (!json_is_array(nets) || json_array_size(nets) > CONFIG_MAX_NETS)
		return -EPROTO;
	for (; ret->net_count < json_array_size(nets); ret->net_count++) {
		const char *word = json_string_value(json_array_get(nets, ret->net_count));
		unsigned kind = NET_USER;

		while (word && kind <= NET_FD && strcmp(word, config_net_kind((enum net_kind)kind)) != 0)
			kind++;
		if (!word || kind > NET_FD)
			return -EPROTO;
		ret->nets[ret->net_count] = (enum net_kind)kind;
	}
	return 0;
}

static int parse_snapshot(const json_t *answer, struct control_snapshot_answer *ret)
{
	const json_t *disks = json_object_get(answer, "disks");
	uint64_t shares;

	if (ret->link < 0 || number(answer, "memory", INT64_MAX, &ret->memory) < 0 ||
	    number(answer, "shares", CONFIG_MAX_SHARES, &shares) < 0 || !json_is_array(disks) ||
	    json_array_size(disks) > CONFIG_MAX_DISKS)
		return -EPROTO;
	ret->share_count = (unsigned)shares;
	for (; ret->disk_count < json_array_size(disks); ret->disk_count++) {
		const char *id = json_string_value(json_array_get(disks, ret->disk_count));

		if (!id || !config_is_name(id, CONFIG_MAX_ID))
			return -EPROTO;
		snprintf(ret->disks[ret->disk_count], sizeof(ret->disks[0]), "%s", id);
	}
	return parse_nets(json_object_get(answer, "nets"), ret);
}

int control_client_snapshot(const char *name, struct control_snapshot_answer *ret, struct err *err)
{
	json_t *answer = NULL;
	int r;

	*ret = (struct control_snapshot_answer){.link = -1};
	r = ask(name, "snapshot", &answer, &ret->link, err);
	if (r == 0 && parse_snapshot(answer, ret) < 0)
		r = err_set(err, -EPROTO, "the VM '%s' answered with something that is no answer", name);
	if (r < 0)
		fd_close(&ret->link);
	json_decref(answer);
	return r;
}

int control_client_exec(const char *name, int *ret_fd, struct err *err)
{
	int fd = -1;
	int r = ask(name, "exec", NULL, &fd, err);

	if (r == 0 && fd < 0)
		return err_set(err, -EPROTO, "the VM '%s' gave no connection to its guest", name);
	if (r < 0)
		return r;
	/* Both sides may have their own mind about waiting: here it is one of threads and plain reads. */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0) {
		r = -errno;
		fd_close(&fd);
		return err_errno(err, r, "connection to the guest");
	}
	*ret_fd = fd;
	return 0;
}
