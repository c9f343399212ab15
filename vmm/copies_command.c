/* SPDX-License-Identifier: GPL-2.0-or-later */
/* COMMAND in each of some copies; see copies.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "copies.h"
#include "exec_vm.h"
#include "hull/util.h"
#include "summary.h"
#include "supervisor.h"

enum { LINE_BYTES = 8192, STREAMS = 2 };

/* One stream of one copy's command, cut into lines. */
struct tagged {
	int from; /* -1: it has ended */
	int to;
	unsigned number;
	size_t len;
	char line[LINE_BYTES];
};

/* ---- output ---- */

/* As one piece, so that lines of copies do not mix. A reader who has gone is not waited for. */
static void put_line(const struct tagged *t, size_t len)
{
	char out[LINE_BYTES + 16];
	int n = snprintf(out, sizeof(out), "%u: ", t->number);

	memcpy(out + n, t->line, len);
	n += (int)len;
	if (len == 0 || t->line[len - 1] != '\n')
		out[n++] = '\n';
	(void)!write(t->to, out, (size_t)n);
}

static void put_lines(struct tagged *t, bool all)
{
	char *end;

	while ((end = memchr(t->line, '\n', t->len))) {
		const size_t len = (size_t)(end - t->line) + 1;

		put_line(t, len);
		t->len -= len;
		memmove(t->line, t->line + len, t->len);
	}
	if (t->len == LINE_BYTES || (all && t->len > 0)) {
		put_line(t, t->len);
		t->len = 0;
	}
}

static void take(struct tagged *t)
{
	ssize_t n = read(t->from, t->line + t->len, LINE_BYTES - t->len);

	if (n < 0 && errno == EINTR)
		return;
	if (n > 0)
		t->len += (size_t)n;
	put_lines(t, n <= 0);
	if (n <= 0)
		fd_close(&t->from);
}

static void relay(struct tagged *streams, unsigned count)
{
	struct pollfd *fds = calloc(count, sizeof(*fds));
	unsigned open = count;

	while (fds && open > 0) {
		open = 0;
		for (unsigned i = 0; i < count; i++) {
			fds[i] = (struct pollfd){.fd = streams[i].from, .events = POLLIN};
			open += streams[i].from >= 0;
		}
		if (open == 0 || (poll(fds, count, -1) < 0 && errno != EINTR))
			break;
		for (unsigned i = 0; i < count; i++) {
			if (streams[i].from >= 0 && fds[i].revents)
				take(&streams[i]);
		}
	}
	free(fds);
}

/* ---- processes ---- */

static _Noreturn void be_command(struct copies *c, const struct copy *copy, const int out[STREAMS])
{
	struct err err = {0};
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int status;

	fd_close(&c->word[1]);
	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(out[0], STDOUT_FILENO) < 0 ||
	    dup2(out[1], STDERR_FILENO) < 0)
		_exit(EXIT_HULL_FAILED);
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	status = exec_in_vm(copy->name, copy->config, &err);
	if (status < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	_exit(status < 0 ? EXIT_HULL_FAILED : status);
}

/* -1: it could not be started. */
static pid_t start_command(struct copies *c, unsigned index, struct tagged streams[STREAMS])
{
	int out[STREAMS] = {-1, -1}, in[STREAMS] = {-1, -1};
	pid_t pid = -1;

	for (unsigned i = 0; i < STREAMS; i++) {
		int pair[2];

		streams[i] = (struct tagged){
			.from = -1, .to = i + 1 == 1 ? STDOUT_FILENO : STDERR_FILENO, .number = index + 1};
		if (pipe2(pair, O_CLOEXEC) < 0)
			continue;
		in[i] = pair[0];
		out[i] = pair[1];
	}
	if (out[0] >= 0 && out[1] >= 0)
		pid = fork();
	if (pid == 0)
		be_command(c, &c->list[index], out);
	for (unsigned i = 0; i < STREAMS; i++) {
		fd_close(&out[i]);
		if (pid < 0)
			fd_close(&in[i]);
		streams[i].from = in[i];
	}
	return pid;
}

static int status_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return EXIT_HULL_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_BY_SIGNAL + WTERMSIG(status);
}

/* Signals are the commands', which end by them; then the copies do. */
static void leave_signals_to_commands(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

static int run_tagged(struct copies *c)
{
	struct tagged *streams = calloc((size_t)c->count * STREAMS, sizeof(*streams));
	pid_t *pids = calloc(c->count, sizeof(*pids));
	int first = 0;

	leave_signals_to_commands();
	for (unsigned i = 0; streams && pids && i < c->count; i++)
		pids[i] = start_command(c, i, &streams[(size_t)i * STREAMS]);
	if (streams && pids)
		relay(streams, c->count * STREAMS);
	for (unsigned i = 0; streams && pids && i < c->count; i++) {
		char text[CONFIG_MAX_NAME + 64];
		const int status = status_of(pids[i]);

		if (status == 0)
			continue;
		snprintf(text, sizeof(text), "%s: status %d", c->list[i].name, status);
		summary_warning(c->list[i].config, STDERR_FILENO, text);
		first = first ? first : status;
	}
	first = streams && pids ? first : EXIT_HULL_FAILED;
	free(streams);
	free(pids);
	return first;
}

int copies_command(struct copies *c, bool tagged)
{
	struct err err = {0};
	int r;

	if (tagged)
		return run_tagged(c);
	r = exec_in_vm(c->list[0].name, c->list[0].config, &err);
	if (r < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	return r < 0 ? EXIT_HULL_FAILED : r;
}
